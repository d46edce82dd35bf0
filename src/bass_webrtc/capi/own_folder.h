/* Windows: the folder of the DLL that this is compiled into. */
#ifndef BW_OWN_FOLDER_H
#define BW_OWN_FOLDER_H

#include <stdint.h>
#include <stdlib.h>
#include <wchar.h>
#include <windows.h>

#define BW_PATH_CHARACTERS 32768 /* the longest path of Windows, including the final 0 */

/* Returns the folder without a final backslash, to be freed, or NULL if there is no memory. */
static inline wchar_t *bw_own_folder(void) {
    HMODULE own = NULL;
    wchar_t *path = malloc(BW_PATH_CHARACTERS * sizeof *path);
    if (path == NULL)
        return NULL;
    GetModuleHandleExW(GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS | GET_MODULE_HANDLE_EX_FLAG_UNCHANGED_REFCOUNT,
                       (const wchar_t *)(uintptr_t)bw_own_folder, &own);
    path[GetModuleFileNameW(own, path, BW_PATH_CHARACTERS - 1)] = L'\0';
    wchar_t *name = wcsrchr(path, L'\\');
    if (name != NULL)
        *name = L'\0';
    return path;
}

/* Keeps the DLL in memory until the process ends: FreeLibrary would unmap code that threads still run. */
static inline void bw_pin_own_library(void) {
    HMODULE own;
    GetModuleHandleExW(GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS | GET_MODULE_HANDLE_EX_FLAG_PIN,
                       (const wchar_t *)(uintptr_t)bw_own_folder, &own);
}

/* Returns the text as UTF-8, to be freed, or NULL if there is no memory. */
static inline char *bw_utf8(const wchar_t *text) {
    int bytes = WideCharToMultiByte(CP_UTF8, 0, text, -1, NULL, 0, NULL, NULL);
    char *utf8 = malloc((size_t)bytes);
    if (utf8 != NULL)
        WideCharToMultiByte(CP_UTF8, 0, text, -1, utf8, bytes, NULL, NULL);
    return utf8;
}

#endif
