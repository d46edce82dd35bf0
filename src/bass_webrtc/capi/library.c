/*
 * The parts of the library that need no Python: the version, the checks at the start of every generated function, and
 * the calls of the host's callbacks. The errors are in error.c, the statistics in stats.c; dispatch.py generates the
 * rest.
 */
#include "library.h"

#include <fenv.h>

DWORD BASS_WEBRTC_CALL BASS_WEBRTC_GetVersion(void) { return BASS_WEBRTC_VERSION; }

/* ------------------------------------------------------------------ checks before a call into Python */

bool bw_can_make(void) {
    bw_clear_error();
    return bw_start_python();
}

bool bw_can_use(const void *handle) {
    bw_clear_error();
    if (handle == NULL)
        bw_set_error(BASS_WEBRTC_ERROR_HANDLE,
                     "the handle is NULL; expected one that BASS_WEBRTC_Create, ConnectWhip or ConnectWhep returned: "
                     "check whether that call failed");
    else if (!bw_python_is_ready() && !bw_set_start_error())
        bw_set_error(BASS_WEBRTC_ERROR_HANDLE,
                     "this is not a handle: no server and no client has been made in this process yet");
    else
        return bw_python_is_ready();
    return false;
}

int BASS_WEBRTC_CALL BASS_WEBRTC_AddPeer(void *handle, const char *offer_sdp, char *answer_sdp, uint32_t *answer_len) {
    return BASS_WEBRTC_AddPeerEx(handle, offer_sdp, answer_sdp, BASS_WEBRTC_ANSWER_CAPACITY, answer_len);
}

/* ------------------------------------------------------------------ the host's callbacks */

/* A callback written in Pascal enables floating-point exceptions on the thread that calls it, which is one of the
 * library's threads: the environment is restored afterwards. */
#define CALL_IF_SET(callback, ...)                                                                                     \
    do {                                                                                                               \
        fenv_t environment;                                                                                            \
        if (callbacks->callback == NULL)                                                                               \
            return;                                                                                                    \
        fegetenv(&environment);                                                                                        \
        callbacks->callback(__VA_ARGS__, callbacks->user_data);                                                        \
        fesetenv(&environment);                                                                                        \
    } while (0)

void bw_call_on_sdp(const SignalingCallbacks *callbacks, uint32_t peer_id, const char *sdp_type, const char *sdp) {
    CALL_IF_SET(on_sdp, peer_id, sdp_type, sdp);
}

void bw_call_on_ice_candidate(const SignalingCallbacks *callbacks, uint32_t peer_id, const char *candidate,
                              const char *sdp_mid, uint32_t sdp_mline_index) {
    CALL_IF_SET(on_ice_candidate, peer_id, candidate, sdp_mid, sdp_mline_index);
}

void bw_call_on_peer_state(const SignalingCallbacks *callbacks, uint32_t peer_id, uint32_t state) {
    CALL_IF_SET(on_peer_state, peer_id, state);
}

void bw_call_on_call(const CallCallbacks *callbacks, uint32_t event_type, const WebRtcCallStatsFFI *call,
                     const char *reason) {
    CALL_IF_SET(on_call, event_type, call, reason);
}
