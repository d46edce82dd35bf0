#include "stun.h"

#include <openssl/crypto.h>

#define HEADER_BYTES 20
#define ATTRIBUTE_HEADER_BYTES 4
#define MAX_ATTRIBUTES 64 /* as in rtc/stun.py: fewer are accepted */
#define MAGIC_COOKIE 0x2112A442u

#define USERNAME 0x0006
#define MESSAGE_INTEGRITY 0x0008
#define PRIORITY 0x0024
#define FINGERPRINT 0x8028
#define ICE_CONTROLLED 0x8029
#define ICE_CONTROLLING 0x802A

#define FINGERPRINT_BYTES 4
#define FINGERPRINT_XOR 0x5354554Eu

static uint32_t read_u16(const uint8_t *at) { return (uint32_t)at[0] << 8 | at[1]; }

static uint32_t read_u32(const uint8_t *at) { return read_u16(at) << 16 | read_u16(at + 2); }

bool bw_stun_is_likely(const uint8_t *data, uint32_t length) {
    return length >= HEADER_BYTES && data[0] <= 3 && read_u32(data + 4) == MAGIC_COOKIE;
}

/* ---- parsing */

static bool has_right_length(uint32_t attribute, uint32_t bytes) {
    switch (attribute) {
    case MESSAGE_INTEGRITY:
        return bytes == BW_HMAC_BYTES;
    case FINGERPRINT:
        return bytes == FINGERPRINT_BYTES;
    case PRIORITY:
        return bytes == 4;
    case ICE_CONTROLLED:
    case ICE_CONTROLLING:
        return bytes == 8;
    default:
        return true;
    }
}

/* Notes one attribute. Returns false for a FINGERPRINT that is not the last (RFC 8489, 14.7). */
static bool note_attribute(bw_stun_message *message, const uint8_t *data, uint32_t length, uint32_t at) {
    uint32_t attribute = read_u16(data + at), bytes = read_u16(data + at + 2);
    if (attribute == FINGERPRINT) {
        message->fingerprint_at = at;
        return at + ATTRIBUTE_HEADER_BYTES + FINGERPRINT_BYTES == length;
    }
    if (message->integrity_at != 0)
        return true; /* "agents MUST ignore all other attributes that follow MESSAGE-INTEGRITY" (RFC 8489, 14.5). */
    if (attribute == MESSAGE_INTEGRITY) {
        message->integrity_at = at;
    } else if (attribute == USERNAME && message->username == NULL) {
        message->username = data + at + ATTRIBUTE_HEADER_BYTES;
        message->username_bytes = bytes;
    }
    return true;
}

bool bw_stun_parse(bw_stun_message *message, const uint8_t *data, uint32_t length) {
    if (!bw_stun_is_likely(data, length) || length % 4 != 0 || read_u16(data + 2) != length - HEADER_BYTES)
        return false;
    *message = (bw_stun_message){.kind = (uint16_t)read_u16(data)};
    uint32_t at = HEADER_BYTES;
    for (uint32_t i = 0; i < MAX_ATTRIBUTES; i++) {
        if (at == length)
            return true;
        uint32_t bytes = read_u16(data + at + 2); /* in bounds, because at and length are multiples of 4 */
        uint32_t following = at + ATTRIBUTE_HEADER_BYTES + ((bytes + 3) & ~3u);
        if (following > length || !has_right_length(read_u16(data + at), bytes) ||
            !note_attribute(message, data, length, at))
            return false;
        at = following;
    }
    return false;
}

/* ---- authentication */

/* HMAC over the message, with a length as if it ended with MESSAGE-INTEGRITY (RFC 8489, 14.5). */
static bool has_integrity(const bw_stun_message *message, const uint8_t *data, const bw_hmac_key *key) {
    if (message->integrity_at == 0)
        return false;
    uint32_t length = message->integrity_at - HEADER_BYTES + ATTRIBUTE_HEADER_BYTES + BW_HMAC_BYTES;
    uint8_t start[4] = {data[0], data[1], (uint8_t)(length >> 8), (uint8_t)length};
    uint8_t sum[BW_HMAC_BYTES];
    SHA_CTX hash;
    bw_hmac_begin(key, &hash);
    SHA1_Update(&hash, start, sizeof start);
    SHA1_Update(&hash, data + sizeof start, message->integrity_at - sizeof start);
    bw_hmac_end(key, &hash, sum);
    return CRYPTO_memcmp(sum, data + message->integrity_at + ATTRIBUTE_HEADER_BYTES, sizeof sum) == 0;
}

/* CRC-32 of ISO 3309, as in zlib; four bits at a time. */
static uint32_t crc32(const uint8_t *data, uint32_t length) {
    static const uint32_t table[16] = {
        0x00000000, 0x1DB71064, 0x3B6E20C8, 0x26D930AC, 0x76DC4190, 0x6B6B51F4, 0x4DB26158, 0x5005713C,
        0xEDB88320, 0xF00F9344, 0xD6D6A3E8, 0xCB61B38C, 0x9B64C2B0, 0x86D3D2D4, 0xA00AE278, 0xBDBDF21C,
    };
    uint32_t crc = 0xFFFFFFFFu;
    for (uint32_t i = 0; i < length; i++) {
        crc ^= data[i];
        crc = crc >> 4 ^ table[crc & 15];
        crc = crc >> 4 ^ table[crc & 15];
    }
    return ~crc;
}

static bool has_right_fingerprint(const bw_stun_message *message, const uint8_t *data) {
    uint32_t at = message->fingerprint_at;
    return at == 0 || read_u32(data + at + ATTRIBUTE_HEADER_BYTES) == (crc32(data, at) ^ FINGERPRINT_XOR);
}

bool bw_stun_is_authentic(const bw_stun_message *message, const uint8_t *data, const bw_hmac_key *key) {
    /* The HMAC first: it is the faster of the two, so a forged message costs the least. */
    return has_integrity(message, data, key) && has_right_fingerprint(message, data);
}
