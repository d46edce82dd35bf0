/* The last error of each thread, as BASS keeps it. */
#include "library.h"

#include <stdio.h>

static _Thread_local int last_code;
static _Thread_local char last_message[1024];

void bw_set_error(int code, const char *message) {
    last_code = code;
    snprintf(last_message, sizeof last_message, "%s", message);
}

void bw_clear_error(void) {
    last_code = BASS_WEBRTC_OK;
    last_message[0] = '\0';
}

int BASS_WEBRTC_CALL BASS_WEBRTC_ErrorGetCode(void) { return last_code; }

const char *BASS_WEBRTC_CALL BASS_WEBRTC_ErrorGetMessage(void) { return last_message; }
