/*
 * Starts Python in a host that has none, in the environment that the library was built in, or joins the host's Python.
 *
 * Environment variables, the current folder and the user's site-packages do not influence what is imported: the
 * interpreter has an isolated configuration, and finds the environment by the path of its python, which is compiled
 * into the library. The interpreter is never finalised, because extension modules do not survive that.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "library.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

/* Extension modules are not linked with libpython: they resolve its functions among the process's global symbols. A
 * host that loads this library with RTLD_LOCAL, as most languages do, would hide them. */
static void make_visible_to_extension_modules(void) {
    Dl_info info;
    if (dladdr((void *)(uintptr_t)Py_IsInitialized, &info) != 0 && info.dli_fname != NULL)
        dlopen(info.dli_fname, RTLD_NOW | RTLD_GLOBAL | RTLD_NOLOAD);
}

static bool succeeded(PyStatus status) {
    if (!PyStatus_Exception(status))
        return true;
    char message[MESSAGE_BYTES];
    snprintf(message, sizeof message, "Python cannot be started: %s",
             status.err_msg != NULL ? status.err_msg : "it asked to exit");
    fail(BASS_WEBRTC_ERROR_PYTHON, message);
    return false;
}

static bool initialise(void) {
    if (access(BW_PYTHON, X_OK) != 0) {
        fail(BASS_WEBRTC_ERROR_PYTHON, "the Python environment that the library was built in is gone: " BW_PYTHON
                                       ". Build the library again: bass-webrtc capi build");
        return false;
    }
    make_visible_to_extension_modules();
    PyPreConfig before;
    PyPreConfig_InitIsolatedConfig(&before);
    before.utf8_mode = 1; /* The host may not have called setlocale. */
    if (!succeeded(Py_PreInitialize(&before)))
        return false;
    PyConfig config;
    PyConfig_InitIsolatedConfig(&config); /* No signal handlers, environment variables or command-line arguments. */
    PyStatus status = PyConfig_SetBytesString(&config, &config.program_name, BW_PYTHON);
    if (!PyStatus_Exception(status))
        status = PyConfig_SetBytesString(&config, &config.executable, BW_PYTHON);
    if (!PyStatus_Exception(status))
        status = Py_InitializeFromConfig(&config);
    PyConfig_Clear(&config);
    return succeeded(status);
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

static void at_exit(void) { bw_py_close_all(); }

/* Called by one thread, without the interpreter's lock. */
static bool start(void) {
    if (!has_expected_version())
        return false;
    bool starts_interpreter = !Py_IsInitialized();
    if (starts_interpreter) {
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
    if (starts_interpreter)
        atexit(at_exit);
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
    bw_set_error(failure_code, failure_message);
    return false;
}
