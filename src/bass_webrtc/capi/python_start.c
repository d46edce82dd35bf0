/*
 * Starts Python in a host that has none, in the environment that the library was built in, or joins the one that runs.
 *
 * No variable, no current folder and no user's site-packages decide what is imported: the interpreter is configured as
 * an isolated one, and the path of the environment's python, which stands in the library, leads to the rest. It is never
 * ended again: extension modules do not survive that.
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

#define TEXT_BYTES 900

typedef enum { UNTRIED, READY, REFUSED } condition;

static pthread_mutex_t starting = PTHREAD_MUTEX_INITIALIZER;
static _Atomic int state = UNTRIED;
static int refusal_code;
static char refusal[TEXT_BYTES];

/* It cannot be used, and this is why: for all time. */
static void refuse(int code, const char *message) {
    refusal_code = code;
    snprintf(refusal, sizeof refusal, "%s", message);
}

/* ------------------------------------------------------------------ which Python */

/* A host that is a Python itself brings the functions that we call, whatever we were linked with. */
static bool is_our_version(void) {
    char wanted[16];
    snprintf(wanted, sizeof wanted, "%d.%d.", PY_MAJOR_VERSION, PY_MINOR_VERSION);
    if (strncmp(Py_GetVersion(), wanted, strlen(wanted)) == 0)
        return true;
    char text[TEXT_BYTES];
    snprintf(text, sizeof text,
             "this program runs Python %.16s, and the library was built for Python %d.%d. Build it "
             "with this program's Python: bass-webrtc capi build",
             Py_GetVersion(), PY_MAJOR_VERSION, PY_MINOR_VERSION);
    refuse(BASS_WEBRTC_ERROR_VERSION, text);
    return false;
}

/* Extension modules are linked with no libpython: they look for its functions anywhere in the process. Where the host
 * opened us with RTLD_LOCAL, as most languages do, they would not find them. */
static void make_visible_to_extension_modules(void) {
    Dl_info info;
    if (dladdr((void *)(uintptr_t)Py_IsInitialized, &info) != 0 && info.dli_fname != NULL)
        dlopen(info.dli_fname, RTLD_NOW | RTLD_GLOBAL | RTLD_NOLOAD);
}

static bool succeeded(PyStatus status) {
    if (!PyStatus_Exception(status))
        return true;
    char text[TEXT_BYTES];
    snprintf(text, sizeof text, "Python cannot be started: %s", status.err_msg != NULL ? status.err_msg : "it exits");
    refuse(BASS_WEBRTC_ERROR_PYTHON, text);
    return false;
}

static bool initialise(void) {
    if (access(BW_PYTHON, X_OK) != 0) {
        refuse(BASS_WEBRTC_ERROR_PYTHON, "the Python environment that the library was built in is gone: " BW_PYTHON
                                         ". Build the library again: bass-webrtc capi build");
        return false;
    }
    make_visible_to_extension_modules();
    PyPreConfig before;
    PyPreConfig_InitIsolatedConfig(&before);
    before.utf8_mode = 1; /* The host need not have called setlocale. */
    if (!succeeded(Py_PreInitialize(&before)))
        return false;
    PyConfig config;
    PyConfig_InitIsolatedConfig(&config); /* Neither signal handlers, variables nor arguments. */
    PyStatus status = PyConfig_SetBytesString(&config, &config.program_name, BW_PYTHON);
    if (!PyStatus_Exception(status))
        status = PyConfig_SetBytesString(&config, &config.executable, BW_PYTHON);
    if (!PyStatus_Exception(status))
        status = Py_InitializeFromConfig(&config);
    PyConfig_Clear(&config);
    return succeeded(status);
}

/* ------------------------------------------------------------------ our package in it */

/* With the interpreter's lock: the exception that was raised is the reason. */
static void refuse_with_exception(void) {
    PyObject *type, *value, *trace;
    PyErr_Fetch(&type, &value, &trace);
    PyErr_NormalizeException(&type, &value, &trace);
    PyObject *code = value != NULL ? PyObject_GetAttrString(value, "code") : NULL; /* capi's own have one */
    PyObject *words = value != NULL ? PyObject_Str(value) : NULL;
    PyObject *prefix = PySys_GetObject("prefix"); /* borrowed */
    const char *said = words != NULL ? PyUnicode_AsUTF8(words) : NULL;
    const char *where = prefix != NULL && PyUnicode_Check(prefix) ? PyUnicode_AsUTF8(prefix) : NULL;
    char text[TEXT_BYTES];
    if (code != NULL && PyLong_Check(code)) {
        refuse((int)PyLong_AsLong(code), said != NULL ? said : "no reason was given");
    } else {
        snprintf(text, sizeof text, "bass-webrtc cannot be used in the Python of %s: %s", where != NULL ? where : "?",
                 said != NULL ? said : "no reason was given");
        refuse(BASS_WEBRTC_ERROR_PYTHON, text);
    }
    PyErr_Clear();
    Py_XDECREF(code);
    Py_XDECREF(words);
    Py_XDECREF(type);
    Py_XDECREF(value);
    Py_XDECREF(trace);
}

static bool is_admitted(void) {
    PyGILState_STATE held = PyGILState_Ensure();
    PyObject *module = PyImport_ImportModule("bass_webrtc.capi.capi");
    PyObject *done = module != NULL ? PyObject_CallMethod(module, "admit", "s", BW_PACKAGE_VERSION) : NULL;
    if (done == NULL)
        refuse_with_exception();
    Py_XDECREF(module);
    Py_XDECREF(done);
    PyGILState_Release(held);
    return done != NULL;
}

static void at_exit(void) { bw_py_close_all(); }

/* One thread, without the interpreter's lock. */
static bool start(void) {
    if (!is_our_version())
        return false;
    bool is_ours = !Py_IsInitialized();
    if (is_ours) {
        if (!initialise())
            return false;
        PyEval_SaveThread();
    }
    if (!is_admitted())
        return false;
    if (bw_bind() != 0) {
        refuse(BASS_WEBRTC_ERROR_PYTHON, "cffi could not bind the library; it says why on standard error");
        return false;
    }
    if (is_ours)
        atexit(at_exit);
    return true;
}

bool bw_python_is_ready(void) { return atomic_load_explicit(&state, memory_order_acquire) == READY; }

bool bw_start_python(void) {
    if (bw_python_is_ready())
        return true;
    /* Who waits for the other thread here must not hold what that one needs: ctypes.PyDLL calls with the lock held. */
    PyThreadState *host = Py_IsInitialized() && PyGILState_Check() ? PyEval_SaveThread() : NULL;
    pthread_mutex_lock(&starting);
    if (atomic_load(&state) == UNTRIED)
        atomic_store(&state, start() ? READY : REFUSED);
    pthread_mutex_unlock(&starting);
    if (host != NULL)
        PyEval_RestoreThread(host);
    if (bw_python_is_ready())
        return true;
    bw_set_error(refusal_code, refusal);
    return false;
}
