/*
 * Finds the library's Python. build_capi.py chooses between two ways when it compiles the library:
 *
 *     BW_PYTHON is defined: the environment that the library was built in. BW_PYTHON is the path of its python.
 *     otherwise:            the folder bass_webrtc, relative to the library's own file, wherever that is now.
 *
 * In the second case every path is set here, so that Python derives none of them from environment variables, the
 * registry, a ._pth or pyvenv.cfg file, or the path of the host.
 */
#include "python_place.h"

#include <stdio.h>

static bool is_done(PyStatus status, char *message, size_t bytes) {
    if (PyStatus_Exception(status))
        snprintf(message, bytes, "Python cannot be started: %s", status.err_msg);
    return !PyStatus_Exception(status);
}

#ifdef BW_PYTHON

#include <unistd.h>

bool bw_place_python(PyConfig *config, char *message, size_t bytes) {
    if (access(BW_PYTHON, X_OK) != 0) {
        snprintf(message, bytes, "%s",
                 "the Python environment that the library was built in is gone: " BW_PYTHON
                 ". Build the library again: bass-webrtc capi build");
        return false;
    }
    PyStatus status = PyConfig_SetBytesString(config, &config->program_name, BW_PYTHON);
    if (!PyStatus_Exception(status))
        status = PyConfig_SetBytesString(config, &config->executable, BW_PYTHON);
    return is_done(status, message, bytes);
}

#else

#include <stdlib.h>
#include <string.h>

/* All paths are UTF-8, and relative to the folder of the library's file. */
#ifdef _WIN32

#include "own_folder.h"

/* The library is inside the folder bass_webrtc, which is laid out as Python's embeddable package. */
#define HOME ""
#define EXECUTABLE "\\python.exe"
#define STANDARD_LIBRARY "\\python3" BW_PYTHON_MINOR ".zip"
#define EXTENSION_MODULES ""
#define PACKAGES "\\site-packages"

static char *own_folder(void) {
    wchar_t *folder = bw_own_folder();
    char *utf8 = folder != NULL ? bw_utf8(folder) : NULL;
    free(folder);
    return utf8;
}

static bool exists(const char *path) {
    wchar_t *wide = Py_DecodeLocale(path, NULL);
    bool found = wide != NULL && GetFileAttributesW(wide) != INVALID_FILE_ATTRIBUTES;
    PyMem_RawFree(wide);
    return found;
}

#else

#include <dlfcn.h>
#include <limits.h>
#include <link.h>
#include <unistd.h>

/* The folder bass_webrtc is the prefix of a Python that "make install" made. */
#define HOME "/bass_webrtc"
#define EXECUTABLE HOME "/bin/python3"
#define STANDARD_LIBRARY HOME "/lib/python3." BW_PYTHON_MINOR
#define EXTENSION_MODULES STANDARD_LIBRARY "/lib-dynload"
#define PACKAGES HOME "/site-packages"

/* As the loader remembers it: the path that dladdr reports may be relative to a folder that the host has left. */
static char *own_folder(void) {
    Dl_info info;
    void *own;
    char folder[PATH_MAX];
    if (dladdr1((void *)(uintptr_t)own_folder, &info, &own, RTLD_DL_LINKMAP) == 0 ||
        dlinfo(own, RTLD_DI_ORIGIN, folder) != 0)
        return NULL;
    return strdup(folder);
}

static bool exists(const char *path) { return access(path, R_OK) == 0; }

#endif

/* Returns the path, to be freed, or NULL if there is no memory. */
static char *join(const char *folder, const char *relative) {
    char *path = malloc(strlen(folder) + strlen(relative) + 1);
    return path != NULL ? strcat(strcpy(path, folder), relative) : NULL;
}

static PyStatus set(PyConfig *config, wchar_t **field, const char *folder, const char *relative) {
    char *path = join(folder, relative);
    PyStatus status = path != NULL ? PyConfig_SetBytesString(config, field, path) : PyStatus_NoMemory();
    free(path);
    return status;
}

static PyStatus append_to_search_path(PyConfig *config, const char *folder, const char *relative) {
    char *path = join(folder, relative);
    wchar_t *wide = path != NULL ? Py_DecodeLocale(path, NULL) : NULL;
    PyStatus status = wide != NULL ? PyWideStringList_Append(&config->module_search_paths, wide) : PyStatus_NoMemory();
    PyMem_RawFree(wide);
    free(path);
    return status;
}

static PyStatus set_paths(PyConfig *config, const char *folder) {
    static const char *const search_path[] = {STANDARD_LIBRARY, EXTENSION_MODULES, PACKAGES};
    config->site_import = 0; /* It would process .pth files and import sitecustomize. */
    config->module_search_paths_set = 1;
    PyStatus status = set(config, &config->home, folder, HOME);
    if (!PyStatus_Exception(status))
        status = set(config, &config->program_name, folder, EXECUTABLE);
    if (!PyStatus_Exception(status))
        status = set(config, &config->executable, folder, EXECUTABLE);
    for (size_t i = 0; i < sizeof search_path / sizeof *search_path && !PyStatus_Exception(status); i++)
        status = append_to_search_path(config, folder, search_path[i]);
    return status;
}

bool bw_place_python(PyConfig *config, char *message, size_t bytes) {
    static const char *const needed[] = {STANDARD_LIBRARY, PACKAGES};
    char *folder = own_folder();
    bool is_placed = folder != NULL && is_done(set_paths(config, folder), message, bytes);
    if (folder == NULL)
        snprintf(message, bytes, "Python cannot be started: the folder of the library cannot be found");
    for (size_t i = 0; i < sizeof needed / sizeof *needed && is_placed; i++) {
        char *path = join(folder, needed[i]);
        is_placed = path != NULL && exists(path);
        if (!is_placed)
            snprintf(message, bytes,
                     "the library's Python is incomplete: %s was not found. Copy the library and its folder "
                     "bass_webrtc from the SDK again",
                     path != NULL ? path : needed[i]);
        free(path);
    }
    free(folder);
    return is_placed;
}

#endif
