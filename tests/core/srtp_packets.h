/* RTP and RTCP packets for the tests of SRTP, and their keys. */
#ifndef BW_SRTP_PACKETS_H
#define BW_SRTP_PACKETS_H

#include "../../src/bass_webrtc/core/rtp_parse.h"
#include "../../src/bass_webrtc/core/srtp_receiver.h"
#include "check.h"
#include "core.h"

#include <string.h>

#define PACKET_SSRC 0x11223344u
#define PROFILES 2

static const uint32_t profiles[PROFILES] = {BW_SRTP_AEAD_AES_128_GCM, BW_SRTP_AES128_CM_SHA1_80};

typedef struct {
    uint8_t bytes[2048];
    uint32_t header_bytes;
    uint32_t length;
} srtp_packet;

static inline bw_srtp_keys make_keys(bw_srtp_use use, uint32_t profile) {
    uint8_t master[30];
    bw_srtp_keys keys;
    for (int i = 0; i < 30; i++)
        master[i] = (uint8_t)(7 * i + 1);
    CHECK(bw_srtp_keys_init(&keys, use, profile, master));
    return keys;
}

static inline void put_u32(uint8_t *out, uint32_t value) {
    for (int i = 0; i < 4; i++)
        out[i] = (uint8_t)(value >> (24 - 8 * i));
}

static inline void add_bytes(srtp_packet *packet, uint32_t count) {
    for (uint32_t i = 0; i < count; i++)
        packet->bytes[packet->length++] = (uint8_t)(31 * i + count);
}

/* extension_words: 4 bytes each; negative: no extension. */
static inline srtp_packet make_rtp(uint64_t index, uint32_t ssrc, uint32_t csrcs, int extension_words,
                                   uint32_t payload_bytes) {
    srtp_packet packet = {.bytes = {(uint8_t)(0x80 | csrcs | (extension_words >= 0 ? 0x10 : 0)), 111,
                                    (uint8_t)(index >> 8), (uint8_t)index, 1, 2, 3, 4},
                          .length = 12};
    put_u32(packet.bytes + 8, ssrc);
    add_bytes(&packet, 4 * csrcs);
    if (extension_words >= 0) {
        memcpy(packet.bytes + packet.length, (uint8_t[]){0xBE, 0xDE, 0, (uint8_t)extension_words}, 4);
        packet.length += 4;
        add_bytes(&packet, 4 * (uint32_t)extension_words);
    }
    packet.header_bytes = packet.length;
    add_bytes(&packet, payload_bytes);
    return packet;
}

static inline srtp_packet make_rtcp(uint32_t ssrc, uint32_t bytes) {
    srtp_packet packet = {.bytes = {0x81, 201, 0, (uint8_t)(bytes / 4 - 1)}, .header_bytes = 8, .length = 8};
    put_u32(packet.bytes + 4, ssrc);
    add_bytes(&packet, bytes - 8);
    return packet;
}

static inline bool is_same(const srtp_packet *a, const srtp_packet *b) {
    return a->length == b->length && memcmp(a->bytes, b->bytes, a->length) == 0;
}

static inline srtp_packet protect_rtp(bw_srtp_keys *keys, const srtp_packet *plain, uint64_t index) {
    srtp_packet wire = *plain;
    CHECK(bw_srtp_protect_rtp(keys, wire.bytes, wire.header_bytes, &wire.length, index));
    return wire;
}

static inline srtp_packet protect_rtcp(bw_srtp_keys *keys, const srtp_packet *plain, uint32_t index) {
    srtp_packet wire = *plain;
    CHECK(bw_srtp_protect_rtcp(keys, wire.bytes, &wire.length, index));
    return wire;
}

#endif
