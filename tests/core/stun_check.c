/* For test_stun_agreement.py: what the core makes of a datagram from a peer with this ufrag and password. */
#include "../../src/bass_webrtc/core/ice.h"
#include "../../src/bass_webrtc/core/stun.h"

#include <string.h>

static bw_ice_message take(uint8_t *data, uint32_t length, const char *ufrag, const char *password, bool is_settled) {
    bw_ice *ice = bw_ice_new(1);
    bw_ice_keys keys = {.ufrag_bytes = (uint32_t)strlen(ufrag)};
    memcpy(keys.ufrag, ufrag, keys.ufrag_bytes);
    bw_hmac_set_key(&keys.local, password, strlen(password));
    bw_ice_add(ice, 0, &keys);
    bw_datagram datagram = {.data = data, .length = length};
    bw_ice_message message = bw_ice_take(ice, is_settled ? 0 : BW_NO_PEER, is_settled, &datagram);
    bw_ice_free(ice);
    return message;
}

/* Whether the core accepts it as a check of this peer. */
int accepts_check(uint8_t *data, uint32_t length, const char *ufrag, const char *password) {
    return take(data, length, ufrag, password, false).peer == 0;
}

/* Writes the core's response to a check from this address if it answers it on a settled path. Returns its length, or 0
 * without a response. */
int answer_check(uint8_t *data, uint32_t length, const char *ufrag, const char *password, const uint8_t *ip,
                 uint32_t ip_bytes, uint32_t port, uint8_t *response) {
    bw_address source = {.family = ip_bytes == 4 ? 4 : 6, .port = (uint16_t)port};
    bw_hmac_key key;
    memcpy(source.ip, ip, ip_bytes);
    bw_hmac_set_key(&key, password, strlen(password));
    if (take(data, length, ufrag, password, true).verdict != BW_ICE_ANSWER)
        return 0;
    return (int)bw_stun_write_success(response, data, &source, &key);
}
