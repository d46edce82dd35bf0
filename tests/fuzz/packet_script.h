/*
 * Parses the fuzzers' scripts: each step is one byte for its kind, followed by its arguments (sizes in bytes).
 *
 *   raw packet      length (2)                                         followed by the bytes of the packet
 *   packet          flags, sequence step (1, signed), length (2)       followed by the payload; a valid header is added
 *   wait            ms (1)                                             squared: up to 65 s pass
 */
#ifndef BW_PACKET_SCRIPT_H
#define BW_PACKET_SCRIPT_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define SCRIPT_PAYLOAD_TYPE 111
#define SCRIPT_RED_PAYLOAD_TYPE 63

#define SCRIPT_RED 1          /* flags: the payload is RED */
#define SCRIPT_OTHER_SSRC 2   /* from another SSRC */
#define SCRIPT_TIME_JUMP 4    /* the timestamp jumps */
#define SCRIPT_FRAMES_SHIFT 4 /* flags >> 4: the timestamp moves by this many half frames of 10 ms */

typedef struct {
    const uint8_t *data;
    size_t left;
} script_bytes;

/* State of a sender. */
typedef struct {
    uint16_t sequence;
    uint32_t timestamp;
} script_sender;

static inline uint8_t script_byte(script_bytes *script) {
    if (script->left == 0)
        return 0;
    script->left--;
    return *script->data++;
}

/* Reads a two-byte length and returns as many of the following bytes as there are. */
static inline const uint8_t *script_rest(script_bytes *script, uint32_t *length) {
    uint32_t wanted = (uint32_t)script_byte(script) << 8;
    wanted |= script_byte(script);
    *length = wanted < script->left ? wanted : (uint32_t)script->left;
    const uint8_t *bytes = script->data;
    script->data += *length;
    script->left -= *length;
    return bytes;
}

/* Builds a packet of this sender; valid until the next call. */
static inline const uint8_t *script_packet(script_bytes *script, script_sender *sender, uint32_t *length) {
    static uint8_t packet[12 + 65536];
    uint8_t flags = script_byte(script);
    sender->sequence = (uint16_t)(sender->sequence + (int8_t)script_byte(script));
    sender->timestamp += 240u * (flags >> SCRIPT_FRAMES_SHIFT);
    uint32_t timestamp = sender->timestamp + (flags & SCRIPT_TIME_JUMP ? 0x40000000 : 0), payload_bytes;
    const uint8_t *payload = script_rest(script, &payload_bytes);
    const uint8_t header[12] = {0x80,
                                flags & SCRIPT_RED ? SCRIPT_RED_PAYLOAD_TYPE : SCRIPT_PAYLOAD_TYPE,
                                (uint8_t)(sender->sequence >> 8),
                                (uint8_t)sender->sequence,
                                (uint8_t)(timestamp >> 24),
                                (uint8_t)(timestamp >> 16),
                                (uint8_t)(timestamp >> 8),
                                (uint8_t)timestamp,
                                flags & SCRIPT_OTHER_SSRC ? 1 : 2,
                                0,
                                0,
                                1};
    memcpy(packet, header, sizeof header);
    memcpy(packet + sizeof header, payload, payload_bytes);
    *length = payload_bytes + (uint32_t)sizeof header;
    return packet;
}

static inline int64_t script_wait_ns(script_bytes *script) {
    int64_t ms = script_byte(script);
    return ms * ms * 1000000;
}

#endif
