/* What the C files of the library share. */
#ifndef BW_LIBRARY_H
#define BW_LIBRARY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#pragma GCC visibility push(default)
#include "bass_webrtc.h"
#pragma GCC visibility pop

#include "bridge.h"
#include "python_half.h"

/* error.c: forgets the error of the call before. */
void bw_clear_error(void);

/* python_start.c: starts Python, or finds it running, and binds capi.py; once, whichever thread is first. False after
 * bw_set_error when it cannot. */
bool bw_start_python(void);
/* Whether that went well before; never waits. */
bool bw_python_is_ready(void);

/* In the file that cffi generates: defines the bw_py_* functions. 0: done. */
int bw_bind(void);

#endif
