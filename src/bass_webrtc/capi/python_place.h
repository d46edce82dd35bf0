/* Where the library's Python is. */
#ifndef BW_PYTHON_PLACE_H
#define BW_PYTHON_PLACE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdbool.h>
#include <stddef.h>

#define BW_TEXT_OF_NAME(name) #name
#define BW_TEXT_OF(macro) BW_TEXT_OF_NAME(macro)
#define BW_PYTHON_MINOR BW_TEXT_OF(PY_MINOR_VERSION) /* "13" */

/* Sets the paths of the configuration. Call after Py_PreInitialize, in UTF-8 mode. Returns false, with a message, if
 * there is no Python. */
bool bw_place_python(PyConfig *config, char *message, size_t bytes);

#endif
