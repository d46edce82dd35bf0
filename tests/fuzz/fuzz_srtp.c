/*
 * Fuzzer: any script of datagrams, among them protected packets of any content, late, repeated, changed and cut. What is
 * accepted was protected, has its content again, and was not accepted before.
 */
#include "incoming.h"
#include "rtp_parse.h"
#include "srtp_script.h"

#include <assert.h>

#define MAX_PACKETS 4000 /* per script */
#define SSRCS 16
#define FIRST_INDEX 65000 /* wraps soon */

typedef struct {
    uint32_t ssrc;
    uint64_t index;
} identity;

/* What one use of the keys has sent, and what was accepted of it. */
typedef struct {
    bw_srtp_keys keys;
    uint64_t next[SSRCS];
    identity accepted[MAX_PACKETS];
    uint32_t accepted_count;
} direction;

typedef struct {
    script_bytes bytes;
    bw_incoming *incoming;
    bw_reception reception;
    direction rtp, rtcp;
} script;

static void note(direction *on, identity packet) {
    for (uint32_t i = 0; i < on->accepted_count; i++)
        assert(on->accepted[i].ssrc != packet.ssrc || on->accepted[i].index != packet.index);
    if (on->accepted_count < MAX_PACKETS)
        on->accepted[on->accepted_count++] = packet;
}

static bool take(script *s, bool is_rtcp, uint8_t *data, uint32_t *length) {
    if (is_rtcp)
        return bw_incoming_take_rtcp(s->incoming, data, length);
    bw_rtp_result result = bw_incoming_take_rtp(s->incoming, data, length, 0);
    return result == BW_RTP_MEDIA || result == BW_RTP_NOT_NEGOTIATED;
}

/* From memory of the exact size, so that an overread is noticed. Returns what was accepted, or NULL. */
static uint8_t *take_copy(script *s, bool is_rtcp, const uint8_t *data, uint32_t *length) {
    uint8_t *copy = malloc(*length > 0 ? *length : 1);
    memcpy(copy, data, *length);
    if (take(s, is_rtcp, copy, length))
        return copy;
    free(copy);
    return NULL;
}

static void take_raw(script *s, bool is_rtcp) {
    uint32_t length;
    const uint8_t *data = script_rest(&s->bytes, &length);
    if (length <= BW_MAX_DATAGRAM)
        assert(take_copy(s, is_rtcp, data, &length) == NULL);
}

/* Makes the script's bytes a packet of this SSRC and index. Returns the length of its header; 0: it cannot be one. */
static uint32_t make_valid(uint8_t *packet, uint32_t length, bool is_rtcp, identity is) {
    bw_rtp_packet parsed;
    if (length < (is_rtcp ? 8 : 12))
        return 0;
    memset(packet + (is_rtcp ? 4 : 8), 0, 3);
    packet[is_rtcp ? 7 : 11] = (uint8_t)is.ssrc;
    if (is_rtcp)
        return 8;
    packet[0] = 0x80 | (packet[0] & 0x3F);
    packet[2] = (uint8_t)(is.index >> 8);
    packet[3] = (uint8_t)is.index;
    return bw_rtp_parse_header(&parsed, packet, length) ? (uint32_t)(parsed.payload - packet) : 0;
}

/* Returns whether the packet is no longer what was sent. */
static bool damage(script *s, uint8_t flags, uint8_t *packet, uint32_t *length) {
    uint32_t cut = flags & SRTP_CUT ? script_byte(&s->bytes) : 0;
    bool is_damaged = cut > 0;
    if (flags & SRTP_DAMAGED) {
        uint32_t at = script_byte(&s->bytes) % *length;
        uint8_t change = script_byte(&s->bytes);
        packet[at] ^= change;
        is_damaged |= change != 0;
    }
    *length -= cut < *length ? cut : *length;
    return is_damaged;
}

static void take_signed(script *s, bool is_rtcp) {
    static uint8_t plain[BW_MAX_DATAGRAM], wire[BW_MAX_DATAGRAM];
    direction *on = is_rtcp ? &s->rtcp : &s->rtp;
    uint8_t flags = script_byte(&s->bytes);
    int64_t step = (int8_t)script_byte(&s->bytes) * (flags & SRTP_LONG_STEP ? 500 : 1);
    identity is = {flags >> SRTP_SSRC_SHIFT, on->next[flags >> SRTP_SSRC_SHIFT]};
    uint32_t length;
    const uint8_t *bytes = script_rest(&s->bytes, &length);
    uint32_t plain_length = length < BW_MAX_DATAGRAM - 32 ? length : BW_MAX_DATAGRAM - 32;
    memcpy(plain, bytes, plain_length);
    uint32_t header_bytes = make_valid(plain, plain_length, is_rtcp, is);
    if (header_bytes == 0)
        return;
    on->next[is.ssrc] = step >= 0 || is.index >= (uint64_t)-step ? is.index + (uint64_t)step : 0;
    length = plain_length;
    memcpy(wire, plain, length);
    assert(is_rtcp ? bw_srtp_protect_rtcp(&on->keys, wire, &length, (uint32_t)is.index)
                   : bw_srtp_protect_rtp(&on->keys, wire, header_bytes, &length, is.index));
    bool is_damaged = damage(s, flags, wire, &length);
    uint8_t *taken = take_copy(s, is_rtcp, wire, &length);
    if (taken == NULL)
        return;
    assert(!is_damaged && length == plain_length && memcmp(taken, plain, length) == 0);
    note(on, is);
    free(taken);
}

static void open_script(script *s, uint8_t first) {
    bw_peer_config config = {.srtp_profile = first % 2 ? BW_SRTP_AEAD_AES_128_GCM : BW_SRTP_AES128_CM_SHA1_80,
                             .receive = 1,
                             .receive_payload_type = SCRIPT_PAYLOAD_TYPE};
    s->incoming = bw_incoming_new(&config, &s->reception);
    assert(s->incoming != NULL);
    assert(bw_srtp_keys_init(&s->rtp.keys, BW_SRTP_RTP, config.srtp_profile, config.remote_key));
    assert(bw_srtp_keys_init(&s->rtcp.keys, BW_SRTP_RTCP, config.srtp_profile, config.remote_key));
    for (uint32_t ssrc = 0; ssrc < SSRCS; ssrc++)
        s->rtp.next[ssrc] = FIRST_INDEX;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static script s;
    memset(&s, 0, sizeof s);
    s.bytes = (script_bytes){data, size};
    open_script(&s, script_byte(&s.bytes));
    while (s.bytes.left > 0) {
        uint8_t kind = script_byte(&s.bytes) % SRTP_STEPS;
        bool is_rtcp = kind == SRTP_RAW_RTCP || kind == SRTP_SIGNED_RTCP;
        if (kind == SRTP_RAW_RTP || kind == SRTP_RAW_RTCP)
            take_raw(&s, is_rtcp);
        else
            take_signed(&s, is_rtcp);
    }
    bw_incoming_free(s.incoming);
    bw_srtp_keys_destroy(&s.rtp.keys);
    bw_srtp_keys_destroy(&s.rtcp.keys);
    return 0;
}
