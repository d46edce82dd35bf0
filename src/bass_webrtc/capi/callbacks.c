/* Calls of the host's callbacks. Pascal's switch floating point exceptions on in the thread that they are called from,
 * which is ours: it is set back. */
#include "library.h"

#include <fenv.h>

#define CALL(callback, ...)                                                                                            \
    do {                                                                                                               \
        fenv_t ours;                                                                                                   \
        if (callbacks->callback == NULL)                                                                               \
            return;                                                                                                    \
        fegetenv(&ours);                                                                                               \
        callbacks->callback(__VA_ARGS__, callbacks->user_data);                                                        \
        fesetenv(&ours);                                                                                               \
    } while (0)

void bw_tell_sdp(const SignalingCallbacks *callbacks, uint32_t peer_id, const char *sdp_type, const char *sdp) {
    CALL(on_sdp, peer_id, sdp_type, sdp);
}

void bw_tell_ice_candidate(const SignalingCallbacks *callbacks, uint32_t peer_id, const char *candidate,
                           const char *sdp_mid, uint32_t sdp_mline_index) {
    CALL(on_ice_candidate, peer_id, candidate, sdp_mid, sdp_mline_index);
}

void bw_tell_peer_state(const SignalingCallbacks *callbacks, uint32_t peer_id, uint32_t state) {
    CALL(on_peer_state, peer_id, state);
}
