/* dlopened LIBRARY: a host that loads the library with RTLD_LOCAL, as most languages do. Prints the result of
 * BASS_WEBRTC_Start, the error code and the message. */
#include "check.h"

#include <dlfcn.h>

int main(int argc, char **argv) {
    WebRtcConfigFFI config = {48000, 2, 128, 100, 5, BASS_WEBRTC_SIGNALING_HTTP, 0, 0};
    void *(*create)(DWORD, const WebRtcConfigFFI *);
    int (*start)(void *), (*release)(void *), (*code)(void);
    const char *(*message)(void);
    void *library = argc > 1 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : NULL;
    if (library == NULL) {
        fprintf(stderr, "%s\n", dlerror());
        return 1;
    }
    *(void **)&create = dlsym(library, "BASS_WEBRTC_Create");
    *(void **)&start = dlsym(library, "BASS_WEBRTC_Start");
    *(void **)&release = dlsym(library, "BASS_WEBRTC_Free");
    *(void **)&code = dlsym(library, "BASS_WEBRTC_ErrorGetCode");
    *(void **)&message = dlsym(library, "BASS_WEBRTC_ErrorGetMessage");
    void *server = create(BASS_WEBRTC_SOURCE_PCM, &config);
    int started = server != NULL && start(server);
    printf("%d %d %s\n", started, code(), message());
    if (server != NULL)
        release(server);
    return 0;
}

#ifdef OTHER_PYTHON
/* A host that is a Python of another version: its functions are found before those of the library's libpython. */
const char *Py_GetVersion(void);
const char *Py_GetVersion(void) { return "3.9.2 (default)"; }
#endif
