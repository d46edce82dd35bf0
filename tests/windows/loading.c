/* loading DLL CASE [FILE]: a Windows program that loads the library by path, and uses it in the way that CASE names. It
 * prints the result of BASS_WEBRTC_Start, the error code and the message, with "detached" to FILE. With "plugin", FILE is
 * this source compiled as a DLL, with "bass" it is bass.dll. */
#include <stdio.h>
#include <stdlib.h>
#include <wchar.h>
#include <windows.h>
#include <xmmintrin.h>

#include "bass_webrtc.h"

static FILE *output;
static void *(BASS_WEBRTC_CALL *create)(DWORD, const WebRtcConfigFFI *);
static int(BASS_WEBRTC_CALL *start)(void *);
static int(BASS_WEBRTC_CALL *release)(void *);
static DWORD(BASS_WEBRTC_CALL *version)(void);
static int(BASS_WEBRTC_CALL *is_running)(void *);
static HSTREAM(BASS_WEBRTC_CALL *get_input_stream)(void *);
static int(BASS_WEBRTC_CALL *error_code)(void);
static const char *(BASS_WEBRTC_CALL *error_message)(void);

static void find(HMODULE library, const char *name, void *function) {
    FARPROC found = GetProcAddress(library, name);
    if (found == NULL) {
        fprintf(stderr, "%s is not exported\n", name);
        exit(1);
    }
    memcpy(function, &found, sizeof found);
}

static HMODULE load(const wchar_t *path) {
    HMODULE library = LoadLibrary(path);
    if (library == NULL) {
        fprintf(stderr, "LoadLibrary: error %lu\n", GetLastError());
        exit(1);
    }
    find(library, "BASS_WEBRTC_Create", &create);
    find(library, "BASS_WEBRTC_Start", &start);
    find(library, "BASS_WEBRTC_Free", &release);
    find(library, "BASS_WEBRTC_GetVersion", &version);
    find(library, "BASS_WEBRTC_IsRunning", &is_running);
    find(library, "BASS_WEBRTC_GetInputStream", &get_input_stream);
    find(library, "BASS_WEBRTC_ErrorGetCode", &error_code);
    find(library, "BASS_WEBRTC_ErrorGetMessage", &error_message);
    return library;
}

/* Makes and starts a server, and prints the result. Returns NULL if there is no server. */
static void *use(DWORD source) {
    WebRtcConfigFFI config = {48000, 2, 128, 100, 5, BASS_WEBRTC_SIGNALING_HTTP, 0, 0};
    void *server = create(source, &config);
    int started = server != NULL && start(server);
    fprintf(output, "%d %d %s\n", started, error_code(), error_message());
    fflush(output);
    return server;
}

static DWORD CALLBACK use_and_free(void *unused) {
    (void)unused;
    void *server = use(BASS_WEBRTC_SOURCE_PCM);
    if (server != NULL)
        release(server);
    return 0;
}

static void wait_for(HANDLE thread) {
    WaitForSingleObject(thread, INFINITE);
    CloseHandle(thread);
}

static void use_in_two_threads(void) {
    HANDLE threads[] = {CreateThread(NULL, 0, use_and_free, NULL, 0, NULL),
                        CreateThread(NULL, 0, use_and_free, NULL, 0, NULL)};
    wait_for(threads[0]);
    wait_for(threads[1]);
}

/* FreeLibrary does not unload the library: its servers go on. */
static void unload(HMODULE library) {
    void *server = use(BASS_WEBRTC_SOURCE_PCM);
    for (int i = 0; i < 10; i++)
        FreeLibrary(library);
    fprintf(output, "%d\n", is_running(server));
    release(server);
}

/* Delphi and Free Pascal enable floating-point exceptions. */
static void use_with_floating_point_exceptions(void) {
    unsigned before = _MM_GET_EXCEPTION_MASK();
    _MM_SET_EXCEPTION_MASK(before & ~(_MM_MASK_INVALID | _MM_MASK_DIV_ZERO | _MM_MASK_OVERFLOW));
    use_and_free(NULL);
    fprintf(output, "%d\n", (_MM_GET_EXCEPTION_MASK() & _MM_MASK_INVALID) == 0);
    _MM_SET_EXCEPTION_MASK(before);
}

/* Leaves open a server that reads from BASS, and a playing stream of the library. */
static void use_bass(const wchar_t *path) {
    const DWORD decode = 0x200000, single = 0x100;
    BOOL(WINAPI * init)(int, DWORD, DWORD, HWND, void *);
    HSTREAM(WINAPI * open)(DWORD, DWORD, DWORD, void *, void *);
    BOOL(WINAPI * play)(DWORD, BOOL);
    HMODULE bass = LoadLibrary(path);
    find(bass, "BASS_Init", &init);
    find(bass, "BASS_StreamCreate", &open);
    find(bass, "BASS_ChannelPlay", &play);
    init(0, 48000, 0, NULL, NULL);
    void *server = use(open(48000, 2, decode | single, (void *)(intptr_t)-1, NULL)); /* STREAMPROC_PUSH */
    fprintf(output, "%d\n", play(get_input_stream(server), FALSE));
    Sleep(500);
}

/* Starts itself as a program without a console and without standard streams, as programs with windows are started. */
static DWORD run_detached(wchar_t **arguments) {
    STARTUPINFO how = {.cb = sizeof how};
    PROCESS_INFORMATION process;
    wchar_t line[4096];
    DWORD code = 1;
    swprintf(line, sizeof line / sizeof *line, L"\"%ls\" \"%ls\" written \"%ls\"", arguments[0], arguments[1],
             arguments[3]);
    if (!CreateProcess(NULL, line, NULL, NULL, FALSE, DETACHED_PROCESS, NULL, NULL, &how, &process))
        return 1;
    WaitForSingleObject(process.hProcess, INFINITE);
    GetExitCodeProcess(process.hProcess, &code);
    return code;
}

static DWORD CALLBACK load_and_use(void *path) {
    load(path);
    return use_and_free(NULL);
}

/* The function of the plug-in: loads and uses the library in a thread of its own. */
__declspec(dllexport) void run_plugin(wchar_t *path);
void run_plugin(wchar_t *path) {
    output = stdout;
    wait_for(CreateThread(NULL, 0, load_and_use, path, 0, NULL));
}

static void run_in_plugin(wchar_t *path, const wchar_t *plugin) {
    void (*run)(wchar_t *);
    find(LoadLibrary(plugin), "run_plugin", &run);
    run(path);
}

int wmain(int argc, wchar_t **argv) {
    if (argc < 3)
        return 1;
    const wchar_t *name = argv[2];
#define IS(text) (wcscmp(name, L##text) == 0)
    output = IS("written") ? _wfopen(argv[3], L"w") : stdout;
    if (IS("detached"))
        return (int)run_detached(argv);
    if (IS("plugin")) {
        run_in_plugin(argv[1], argv[3]);
        return 0;
    }
    HMODULE library = load(argv[1]);
    if (IS("written"))
        use_and_free(NULL);
    else if (IS("threads"))
        use_in_two_threads();
    else if (IS("unload"))
        unload(library);
    else if (IS("exceptions"))
        use_with_floating_point_exceptions();
    else if (IS("bass"))
        use_bass(argv[3]);
    else if (IS("version"))
        fprintf(output, "%lx\n", version());
    else
        use(BASS_WEBRTC_SOURCE_PCM); /* and leave without BASS_WEBRTC_Free */
    fflush(output);
    if (IS("stay"))
        getchar();
    if (IS("exit"))
        exit(7);
    if (IS("ExitProcess"))
        ExitProcess(7);
    return 0;
}
