/* For test_stun_agreement.py: whether the core accepts a datagram as a check of the peer with this ufrag. */
#include "../../src/bass_webrtc/core/ice.h"

#include <string.h>

int accepts_check(uint8_t *data, uint32_t length, const char *ufrag, const char *password) {
    bw_ice *ice = bw_ice_new(1);
    bw_ice_keys keys = {.ufrag_bytes = (uint32_t)strlen(ufrag)};
    memcpy(keys.ufrag, ufrag, keys.ufrag_bytes);
    bw_hmac_set_key(&keys.local, password, strlen(password));
    bw_ice_add(ice, 0, &keys);
    bw_datagram datagram = {.data = data, .length = length};
    bw_ice_sender sender = bw_ice_take(ice, BW_NO_PEER, &datagram);
    bw_ice_free(ice);
    return sender.peer == 0;
}
