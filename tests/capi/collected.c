/* collected LIBRARY: asks the library's Python how many objects its garbage collector no longer looks at. */
#include "check.h"

#include <dlfcn.h>

int main(int argc, char **argv) {
    void *(*create)(DWORD, const WebRtcConfigFFI *);
    int (*ensure)(void), (*run)(const char *);
    void (*release)(int);
    void *library = argc > 1 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : NULL;
    if (library == NULL) {
        fprintf(stderr, "%s\n", dlerror());
        return 1;
    }
    *(void **)&create = dlsym(library, "BASS_WEBRTC_Create");
    *(void **)&ensure = dlsym(library, "PyGILState_Ensure");
    *(void **)&run = dlsym(library, "PyRun_SimpleString");
    *(void **)&release = dlsym(library, "PyGILState_Release");
    create(BASS_WEBRTC_SOURCE_PCM, NULL);
    int held = ensure();
    int failed = run("import gc; print(gc.get_freeze_count(), flush=True)");
    release(held);
    return failed != 0;
}
