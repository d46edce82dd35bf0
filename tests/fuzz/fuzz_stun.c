/* Fuzzer: any bytes as a STUN datagram, from an unknown, a mapped and a settled address. MESSAGE-INTEGRITY and FINGERPRINT
 * are made right first if the first byte says so, so that what follows the authentication is reached. */
#include "ice.h"
#include "stun.h"
#include "stun_message.h"

#include <assert.h>

#define LOCAL_PASSWORD "local password"
#define REMOTE_PASSWORD "remote password"

static bw_ice *make_ice(void) {
    bw_ice *ice = bw_ice_new(2);
    bw_ice_keys keys = {.ufrag_bytes = 4, .ufrag = "ours"};
    bw_hmac_set_key(&keys.local, LOCAL_PASSWORD, strlen(LOCAL_PASSWORD));
    bw_hmac_set_key(&keys.remote, REMOTE_PASSWORD, strlen(REMOTE_PASSWORD));
    bw_ice_add(ice, 1, &keys);
    return ice;
}

/* Signs the message at the end, as far as it is one. */
static stun_message sign(const uint8_t *data, uint32_t length, const char *password) {
    stun_message message = {.length = length & ~3u};
    memcpy(message.bytes, data, message.length);
    add_integrity(&message, password);
    add_fingerprint(&message);
    return message;
}

static void check_answer(const bw_datagram *datagram, const bw_hmac_key *key) {
    bw_stun_message parsed;
    uint8_t *response = malloc(BW_STUN_MAX_SUCCESS_BYTES);
    uint32_t length = bw_stun_write_success(response, datagram->data, &datagram->source, key);
    assert(bw_stun_parse(&parsed, response, length) && bw_stun_is_authentic(&parsed, response, key));
    free(response);
}

static void take(bw_ice *ice, uint8_t *data, uint32_t length) {
    bw_datagram datagram = {.data = data, .length = length, .source = {.family = 4, .ip = {192, 0, 2, 1}, .port = 1}};
    for (uint32_t known = 0; known < 3; known++) {
        bw_ice_message message = bw_ice_take(ice, known ? 1 : BW_NO_PEER, known == 2, &datagram);
        assert(message.peer == BW_NO_PEER || message.peer == 1);
        if (message.peer == 1 && message.verdict == BW_ICE_ANSWER)
            check_answer(&datagram, message.key);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0)
        return 0;
    bw_ice *ice = make_ice();
    uint32_t length = (uint32_t)size - 1;
    if (data[0] % 3 > 0 && length >= 20) {
        stun_message message = sign(data + 1, length, data[0] % 3 == 1 ? LOCAL_PASSWORD : REMOTE_PASSWORD);
        take(ice, message.bytes, message.length);
    } else {
        uint8_t *copy = malloc(length ? length : 1); /* of the exact size, so that an overread is noticed */
        memcpy(copy, data + 1, length);
        take(ice, copy, length);
        free(copy);
    }
    bw_ice_free(ice);
    return 0;
}
