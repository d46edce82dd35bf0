/*
 * Starts Python in a host that has none, where python_place.c finds it, or joins the host's Python.
 *
 * Environment variables, the current folder and the user's site-packages do not influence what is imported: the
 * interpreter has an isolated configuration. It is never finalised, because extension modules do not survive that.
 */
#include "python_place.h"

#include "library.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef _WIN32
#include "own_folder.h"
#define PYTHON_DLL L"python3" BW_PYTHON_MINOR L".dll"
#else
#include <dlfcn.h>
#endif

#define MESSAGE_BYTES 900

typedef enum { NOT_STARTED, READY, FAILED } start_state;

static pthread_mutex_t start_lock = PTHREAD_MUTEX_INITIALIZER;
static _Atomic int state = NOT_STARTED;

/* Why Python cannot be used. It is not tried again: every later call fails with the same error. */
static int failure_code;
static char failure_message[MESSAGE_BYTES];

static void fail(int code, const char *message) {
    failure_code = code;
    snprintf(failure_message, sizeof failure_message, "%s", message);
}

/* ------------------------------------------------------------------ the interpreter */

/* In a host that is itself a Python, calls resolve to the host's functions, whatever this library was linked with. */
static bool has_expected_version(void) {
    char expected[16];
    snprintf(expected, sizeof expected, "%d.%d.", PY_MAJOR_VERSION, PY_MINOR_VERSION);
    if (strncmp(Py_GetVersion(), expected, strlen(expected)) == 0)
        return true;
    char message[MESSAGE_BYTES];
    snprintf(message, sizeof message,
             "this program runs Python %.16s, but the library was built for Python %d.%d. Build it with this program's "
             "Python: bass-webrtc capi build",
             Py_GetVersion(), PY_MAJOR_VERSION, PY_MINOR_VERSION);
    fail(BASS_WEBRTC_ERROR_VERSION, message);
    return false;
}

#ifdef _WIN32

/* Extension modules that use the stable ABI are linked with python3.dll, which forwards to the Python that it belongs
 * to. The loader gives all of them the one that was loaded first, so a process can have only one version of Python. */
static bool has_only_this_python(void) {
    for (int minor = 0; minor < 100; minor++) {
        wchar_t name[16];
        swprintf(name, sizeof name / sizeof *name, L"python3%d.dll", minor);
        if (minor == PY_MINOR_VERSION || GetModuleHandleW(name) == NULL)
            continue;
        char message[MESSAGE_BYTES];
        snprintf(message, sizeof message,
                 "this program has loaded Python 3.%d, and Windows cannot run the library's Python %d.%d in the same "
                 "process. In a Python program, use the package instead: pip install bass-webrtc",
                 minor, PY_MAJOR_VERSION, PY_MINOR_VERSION);
        fail(BASS_WEBRTC_ERROR_VERSION, message);
        return false;
    }
    return true;
}

/* python3.dll is beside the DLL of Python, where extension modules in other folders do not find it. */
static void make_visible_to_extension_modules(void) {
    wchar_t *path = malloc(BW_PATH_CHARACTERS * sizeof *path);
    HMODULE python = GetModuleHandleW(PYTHON_DLL);
    DWORD length = path != NULL ? GetModuleFileNameW(python, path, BW_PATH_CHARACTERS - 1) : 0;
    if (length > wcslen(PYTHON_DLL)) {
        wcscpy(path + length - wcslen(PYTHON_DLL), L"python3.dll");
        LoadLibraryExW(path, NULL, LOAD_LIBRARY_SEARCH_DLL_LOAD_DIR | LOAD_LIBRARY_SEARCH_SYSTEM32);
    }
    free(path);
}

#else

static bool has_only_this_python(void) { return true; } /* has_expected_version has checked it. */

/* Extension modules are not linked with libpython: they resolve its functions among the process's global symbols. A
 * host that loads this library with RTLD_LOCAL, as most languages do, would hide them. */
static void make_visible_to_extension_modules(void) {
    Dl_info info;
    if (dladdr((void *)(uintptr_t)Py_IsInitialized, &info) != 0 && info.dli_fname != NULL)
        dlopen(info.dli_fname, RTLD_NOW | RTLD_GLOBAL | RTLD_NOLOAD);
}

#endif

static bool succeeded(PyStatus status) {
    if (!PyStatus_Exception(status))
        return true;
    char message[MESSAGE_BYTES];
    snprintf(message, sizeof message, "Python cannot be started: %s",
             status.err_msg != NULL ? status.err_msg : "it asked to exit");
    fail(BASS_WEBRTC_ERROR_PYTHON, message);
    return false;
}

/* Whatever the configuration says, the module "signal" takes SIGINT when it is first imported, as asyncio does. This
 * import comes first, and the host gets its signal back; also one that arrived meanwhile. Called by the thread that
 * started Python. */
static void keep_host_interrupt(void) {
#ifdef _WIN32
    PyOS_sighandler_t host = PyOS_getsig(SIGINT);
    PyObject *module = PyImport_ImportModule("_signal");
    PyOS_setsig(SIGINT, host);
#else
    struct sigaction host;
    sigaction(SIGINT, NULL, &host);
    PyObject *module = PyImport_ImportModule("_signal");
    sigaction(SIGINT, &host, NULL);
#endif
    Py_XDECREF(module);
    PyErr_Clear();
    if (PyErr_CheckSignals() != 0) {
        PyErr_Clear();
        raise(SIGINT);
    }
}

static bool initialise(void) {
    if (!has_only_this_python())
        return false;
    make_visible_to_extension_modules();
    PyPreConfig before;
    PyPreConfig_InitIsolatedConfig(&before);
    before.utf8_mode = 1; /* The host may not have called setlocale. */
    if (!succeeded(Py_PreInitialize(&before)))
        return false;
    PyConfig config;
    PyConfig_InitIsolatedConfig(&config); /* No signal handlers, environment variables or command-line arguments. */
    char message[MESSAGE_BYTES];
    bool is_placed = bw_place_python(&config, message, sizeof message);
    if (!is_placed)
        fail(BASS_WEBRTC_ERROR_PYTHON, message);
    bool is_started = is_placed && succeeded(Py_InitializeFromConfig(&config));
    PyConfig_Clear(&config);
    if (is_started)
        keep_host_interrupt();
    return is_started;
}

/* ------------------------------------------------------------------ the package */

/* Turns the exception that was raised into the failure. Called with the interpreter's lock. */
static void fail_with_exception(void) {
    PyObject *type, *value, *trace;
    PyErr_Fetch(&type, &value, &trace);
    PyErr_NormalizeException(&type, &value, &trace);
    PyObject *code = value != NULL ? PyObject_GetAttrString(value, "code") : NULL; /* of CapiError */
    PyObject *text = value != NULL ? PyObject_Str(value) : NULL;
    PyObject *prefix = PySys_GetObject("prefix"); /* borrowed */
    const char *reason = text != NULL ? PyUnicode_AsUTF8(text) : NULL;
    const char *environment = prefix != NULL && PyUnicode_Check(prefix) ? PyUnicode_AsUTF8(prefix) : NULL;
    if (reason == NULL)
        reason = "no reason was given";
    if (code != NULL && PyLong_Check(code)) {
        fail((int)PyLong_AsLong(code), reason);
    } else {
        char message[MESSAGE_BYTES];
        snprintf(message, sizeof message, "bass-webrtc cannot be used in the Python of %s: %s",
                 environment != NULL ? environment : "an unknown environment", reason);
        fail(BASS_WEBRTC_ERROR_PYTHON, message);
    }
    PyErr_Clear();
    Py_XDECREF(code);
    Py_XDECREF(text);
    Py_XDECREF(type);
    Py_XDECREF(value);
    Py_XDECREF(trace);
}

static bool package_accepts_library(void) {
    PyGILState_STATE held = PyGILState_Ensure();
    PyObject *module = PyImport_ImportModule("bass_webrtc.capi.capi");
    PyObject *done = module != NULL ? PyObject_CallMethod(module, "check_library", "s", BW_PACKAGE_VERSION) : NULL;
    if (done == NULL)
        fail_with_exception();
    Py_XDECREF(module);
    Py_XDECREF(done);
    PyGILState_Release(held);
    return done != NULL;
}

/* A full garbage collection that looks at everything imported stops the signaling for 50 ms, and each Free collects. */
static void freeze_imported_objects(void) {
    PyGILState_STATE held = PyGILState_Ensure();
    PyRun_SimpleString("import gc\ngc.freeze()\ndel gc\n");
    PyGILState_Release(held);
}

#ifndef _WIN32
/* Windows runs the exit handlers of a DLL when it has ended all other threads, also one that had the lock. */
static void at_exit(void) {
    if (bw_python_is_ready()) /* not in a forked child */
        bw_py_close_all();
}

/* A child that the host forks has none of Python's threads, one of which may have had its lock. */
static void leave_python_to_parent(void) {
    fail(BASS_WEBRTC_ERROR_PYTHON,
         "this process was forked from one that uses the library, whose Python does not survive that: start a program "
         "of its own in it (exec), or fork before the first call");
    atomic_store(&state, FAILED);
    start_lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    bw_forget_servers();
}
#endif

/* Called by one thread, without the interpreter's lock. */
static bool start(void) {
    if (!has_expected_version())
        return false;
    bool starts_interpreter = !Py_IsInitialized();
    if (starts_interpreter) {
#ifndef _WIN32
        pthread_atfork(NULL, NULL, leave_python_to_parent);
#endif
        if (!initialise())
            return false;
        PyEval_SaveThread();
    }
    if (!package_accepts_library())
        return false;
    if (bw_bind() != 0) {
        fail(BASS_WEBRTC_ERROR_PYTHON, "cffi could not bind the library; standard error has the reason");
        return false;
    }
    if (starts_interpreter) {
        freeze_imported_objects();
#ifndef _WIN32
        atexit(at_exit);
#endif
    }
    return true;
}

bool bw_python_is_ready(void) { return atomic_load_explicit(&state, memory_order_acquire) == READY; }

bool bw_start_python(void) {
    if (bw_python_is_ready())
        return true;
    /* ctypes.PyDLL calls with the interpreter's lock held. It is released while this thread waits for the thread that
     * starts Python, which needs it. */
    PyThreadState *host = Py_IsInitialized() && PyGILState_Check() ? PyEval_SaveThread() : NULL;
    pthread_mutex_lock(&start_lock);
    if (atomic_load(&state) == NOT_STARTED)
        atomic_store(&state, start() ? READY : FAILED);
    pthread_mutex_unlock(&start_lock);
    if (host != NULL)
        PyEval_RestoreThread(host);
    if (bw_python_is_ready())
        return true;
    bw_set_start_error();
    return false;
}

bool bw_set_start_error(void) {
    if (atomic_load(&state) != FAILED)
        return false;
    bw_set_error(failure_code, failure_message);
    return true;
}
