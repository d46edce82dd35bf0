/*
 * bass_webrtc.dll, which a Windows program links with or loads. Everything else is in the folder bass_webrtc beside it,
 * where the loader would not look for the DLLs that the library needs. The first call loads the library from there:
 *
 *     host ─► bass_webrtc.dll ─► bass_webrtc\libbass_webrtc.dll ─► bass_webrtc\python3*.dll
 *
 * This DLL does nothing while it is being loaded or unloaded, when the loader's lock is held.
 */
#include "stub.h"

#include <stdio.h>

#include "own_folder.h"

#define MESSAGE_BYTES 1000
#define LIBRARY L"\\bass_webrtc\\libbass_webrtc.dll"

static INIT_ONCE once = INIT_ONCE_STATIC_INIT;
static bool is_loaded;
static int failure_code;
static char failure_message[MESSAGE_BYTES];

static void fail_to_load(const wchar_t *path, DWORD error) {
    wchar_t reason[256];
    DWORD length = FormatMessageW(FORMAT_MESSAGE_FROM_SYSTEM | FORMAT_MESSAGE_IGNORE_INSERTS, NULL, error, 0, reason,
                                  sizeof reason / sizeof *reason, NULL);
    while (length > 0 && wcschr(L" .\r\n", reason[length - 1]) != NULL)
        length--;
    reason[length] = L'\0';
    char *utf8_path = bw_utf8(path), *utf8_reason = bw_utf8(reason);
    failure_code = BASS_WEBRTC_ERROR_PYTHON;
    snprintf(
        failure_message, sizeof failure_message,
        "%s %s: %s (error %lu). bass_webrtc.dll needs the whole folder bass_webrtc of the SDK beside it: copy both "
        "again",
        utf8_path != NULL ? utf8_path : "libbass_webrtc.dll",
        GetFileAttributesW(path) == INVALID_FILE_ATTRIBUTES ? "was not found"
                                                            : "cannot be loaded, although it is there",
        utf8_reason != NULL ? utf8_reason : "no reason", error);
    free(utf8_path);
    free(utf8_reason);
}

/* Only the library's own folder and that of Windows are searched for the DLLs that it needs: not those of the host, the
 * current folder or PATH. */
static HMODULE load(const wchar_t *path) {
    DWORD host_mode;
    SetThreadErrorMode(SEM_FAILCRITICALERRORS, &host_mode); /* No message box if a DLL is missing. */
    HMODULE library = LoadLibraryExW(path, NULL, LOAD_LIBRARY_SEARCH_DLL_LOAD_DIR | LOAD_LIBRARY_SEARCH_SYSTEM32);
    DWORD error = GetLastError();
    SetThreadErrorMode(host_mode, NULL);
    if (library == NULL)
        fail_to_load(path, error);
    return library;
}

static void fail_with_version(const wchar_t *path) {
    char *utf8_path = bw_utf8(path);
    failure_code = BASS_WEBRTC_ERROR_VERSION;
    snprintf(failure_message, sizeof failure_message,
             "bass_webrtc.dll and %s are of different versions: copy both from the same SDK",
             utf8_path != NULL ? utf8_path : "libbass_webrtc.dll");
    free(utf8_path);
}

static bool is_of_this_version(HMODULE library) {
    DWORD(BASS_WEBRTC_CALL * get_version)(void);
    return bw_find_function(library, "BASS_WEBRTC_GetVersion", &get_version) && get_version() == BASS_WEBRTC_VERSION;
}

static BOOL CALLBACK load_once(INIT_ONCE *this_once, void *unused, void **unused_context) {
    (void)this_once, (void)unused, (void)unused_context;
    bw_pin_own_library();
    wchar_t *path = bw_own_folder();
    if (path == NULL || wcslen(path) + wcslen(LIBRARY) >= BW_PATH_CHARACTERS) {
        fail_to_load(LIBRARY, ERROR_NOT_ENOUGH_MEMORY);
    } else {
        HMODULE library = load(wcscat(path, LIBRARY));
        is_loaded = library != NULL && is_of_this_version(library) && bw_find_functions(library);
        if (library != NULL && !is_loaded)
            fail_with_version(path);
    }
    free(path);
    return TRUE;
}

bool bw_library_is_loaded(void) {
    InitOnceExecuteOnce(&once, load_once, NULL, NULL);
    return is_loaded;
}

bool bw_find_function(HMODULE library, const char *name, void *function) {
    FARPROC found = GetProcAddress(library, name);
    memcpy(function, &found, sizeof found);
    return found != NULL;
}

int bw_load_error_code(void) { return failure_code; }

const char *bw_load_error_message(void) { return failure_message; }
