#include "stun.h"

#include "byte_order.h"

#include <openssl/crypto.h>
#include <string.h>

#define HEADER_BYTES 20
#define ATTRIBUTE_HEADER_BYTES 4
#define MAX_ATTRIBUTES 64 /* as in rtc/stun.py: fewer are accepted */
#define MAGIC_COOKIE 0x2112A442u

#define USERNAME 0x0006
#define MESSAGE_INTEGRITY 0x0008
#define ERROR_CODE 0x0009
#define UNKNOWN_ATTRIBUTES 0x000A
#define XOR_MAPPED_ADDRESS 0x0020
#define PRIORITY 0x0024
#define USE_CANDIDATE 0x0025
#define FIRST_OPTIONAL 0x8000
#define FINGERPRINT 0x8028
#define ICE_CONTROLLED 0x8029
#define ICE_CONTROLLING 0x802A

#define FINGERPRINT_BYTES 4
#define FINGERPRINT_XOR 0x5354554Eu

#define COOKIE_AT 4

bool bw_stun_is_likely(const uint8_t *data, uint32_t length) {
    return length >= HEADER_BYTES && data[0] <= 3 && bw_read_u32(data + 4) == MAGIC_COOKIE;
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

/* ICE-CONTROLLED: a role conflict (RFC 8445, 7.3.1.1); or unknown and comprehension-required (RFC 8489, 6.3.1). */
static bool needs_error(uint32_t attribute) {
    switch (attribute) {
    case USERNAME:
    case MESSAGE_INTEGRITY:
    case ERROR_CODE:
    case UNKNOWN_ATTRIBUTES:
    case XOR_MAPPED_ADDRESS:
    case PRIORITY:
    case USE_CANDIDATE:
        return false;
    default:
        return attribute < FIRST_OPTIONAL || attribute == ICE_CONTROLLED;
    }
}

/* Notes one attribute. Returns false for a FINGERPRINT that is not the last (RFC 8489, 14.7). */
static bool note_attribute(bw_stun_message *message, const uint8_t *data, uint32_t length, uint32_t at) {
    uint32_t attribute = bw_read_u16(data + at), bytes = bw_read_u16(data + at + 2);
    if (attribute == FINGERPRINT) {
        message->fingerprint_at = at;
        return at + ATTRIBUTE_HEADER_BYTES + FINGERPRINT_BYTES == length;
    }
    if (message->integrity_at != 0)
        return true; /* "agents MUST ignore all other attributes that follow MESSAGE-INTEGRITY" (RFC 8489, 14.5). */
    message->needs_error |= needs_error(attribute);
    if (attribute == MESSAGE_INTEGRITY) {
        message->integrity_at = at;
    } else if (attribute == USERNAME && message->username == NULL) {
        message->username = data + at + ATTRIBUTE_HEADER_BYTES;
        message->username_bytes = bytes;
    }
    return true;
}

bool bw_stun_parse(bw_stun_message *message, const uint8_t *data, uint32_t length) {
    if (!bw_stun_is_likely(data, length) || length % 4 != 0 || bw_read_u16(data + 2) != length - HEADER_BYTES)
        return false;
    *message = (bw_stun_message){.kind = (uint16_t)bw_read_u16(data)};
    uint32_t at = HEADER_BYTES;
    for (uint32_t i = 0; i < MAX_ATTRIBUTES; i++) {
        if (at == length)
            return true;
        uint32_t bytes = bw_read_u16(data + at + 2); /* in bounds, because at and length are multiples of 4 */
        uint32_t following = at + ATTRIBUTE_HEADER_BYTES + ((bytes + 3) & ~3u);
        if (following > length || !has_right_length(bw_read_u16(data + at), bytes) ||
            !note_attribute(message, data, length, at))
            return false;
        at = following;
    }
    return false;
}

/* ---- authentication */

/* HMAC over the first bytes of a message, with a length as if it ended with MESSAGE-INTEGRITY (RFC 8489, 14.5). */
static void sign(const uint8_t *data, uint32_t covered, const bw_hmac_key *key, uint8_t sum[BW_HMAC_BYTES]) {
    uint8_t start[4] = {data[0], data[1]};
    SHA_CTX hash;
    bw_write_u16(start + 2, covered - HEADER_BYTES + ATTRIBUTE_HEADER_BYTES + BW_HMAC_BYTES);
    bw_hmac_begin(key, &hash);
    SHA1_Update(&hash, start, sizeof start);
    SHA1_Update(&hash, data + sizeof start, covered - sizeof start);
    bw_hmac_end(key, &hash, sum);
}

static bool has_integrity(const bw_stun_message *message, const uint8_t *data, const bw_hmac_key *key) {
    uint8_t sum[BW_HMAC_BYTES];
    if (message->integrity_at == 0)
        return false;
    sign(data, message->integrity_at, key, sum);
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
    return at == 0 || bw_read_u32(data + at + ATTRIBUTE_HEADER_BYTES) == (crc32(data, at) ^ FINGERPRINT_XOR);
}

bool bw_stun_is_authentic(const bw_stun_message *message, const uint8_t *data, const bw_hmac_key *key) {
    /* The HMAC first: it is the faster of the two, so a forged message costs the least. */
    return has_integrity(message, data, key) && has_right_fingerprint(message, data);
}

/* ---- answering */

/* Writes an attribute's header and returns where its value belongs. Also sets the message's length. */
static uint8_t *begin_attribute(uint8_t *message, uint32_t *length, uint32_t attribute, uint32_t bytes) {
    uint8_t *at = message + *length;
    bw_write_u16(at, attribute);
    bw_write_u16(at + 2, bytes);
    *length += ATTRIBUTE_HEADER_BYTES + bytes;
    bw_write_u16(message + 2, *length - HEADER_BYTES);
    return at + ATTRIBUTE_HEADER_BYTES;
}

/* The XOR keeps NATs from rewriting the address. Its mask is the cookie and the transaction id, which follows it. */
static void write_address(uint8_t *message, uint32_t *length, const bw_address *address) {
    uint32_t ip_bytes = address->family == 4 ? 4 : 16;
    uint8_t *value = begin_attribute(message, length, XOR_MAPPED_ADDRESS, 4 + ip_bytes);
    bw_write_u16(value, address->family == 4 ? 1 : 2);
    bw_write_u16(value + 2, address->port ^ MAGIC_COOKIE >> 16);
    for (uint32_t i = 0; i < ip_bytes; i++)
        value[4 + i] = address->ip[i] ^ message[COOKIE_AT + i];
}

uint32_t bw_stun_write_success(uint8_t *response, const uint8_t *request, const bw_address *source,
                               const bw_hmac_key *key) {
    uint32_t length = HEADER_BYTES, covered;
    bw_write_u16(response, BW_STUN_BINDING_SUCCESS);
    memcpy(response + COOKIE_AT, request + COOKIE_AT, HEADER_BYTES - COOKIE_AT);
    write_address(response, &length, source);
    covered = length;
    sign(response, covered, key, begin_attribute(response, &length, MESSAGE_INTEGRITY, BW_HMAC_BYTES));
    covered = length;
    uint8_t *fingerprint = begin_attribute(response, &length, FINGERPRINT, FINGERPRINT_BYTES);
    bw_write_u32(fingerprint, crc32(response, covered) ^ FINGERPRINT_XOR);
    return length;
}
