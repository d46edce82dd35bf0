/* Builds STUN messages. Independent of the core: OpenSSL's HMAC, and a CRC-32 of its own. */
#ifndef BW_STUN_MESSAGE_H
#define BW_STUN_MESSAGE_H

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdint.h>
#include <string.h>

#define REQUEST 0x0001
#define INDICATION 0x0011
#define SUCCESS 0x0101
#define ERROR 0x0111

#define USERNAME 0x0006
#define MESSAGE_INTEGRITY 0x0008
#define XOR_MAPPED_ADDRESS 0x0020
#define PRIORITY 0x0024
#define USE_CANDIDATE 0x0025
#define SOFTWARE 0x8022
#define FINGERPRINT 0x8028
#define ICE_CONTROLLED 0x8029

typedef struct {
    uint8_t bytes[2048];
    uint32_t length;
} stun_message;

static inline void put_u16(uint8_t *at, uint32_t value) {
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

static inline stun_message begin_stun(uint32_t kind, uint32_t transaction) {
    stun_message message = {.bytes = {0, 0, 0, 0, 0x21, 0x12, 0xA4, 0x42}, .length = 20};
    put_u16(message.bytes, kind);
    memcpy(message.bytes + 8, &transaction, sizeof transaction);
    return message;
}

/* Also sets the message's length. */
static inline void add_attribute(stun_message *message, uint32_t attribute, const void *value, uint32_t bytes) {
    uint8_t *at = message->bytes + message->length;
    memset(at, 0, 4 + bytes + 3);
    put_u16(at, attribute);
    put_u16(at + 2, bytes);
    memcpy(at + 4, value, bytes);
    message->length += 4 + ((bytes + 3) & ~3u);
    put_u16(message->bytes + 2, message->length - 20);
}

static inline void add_integrity(stun_message *message, const char *password) {
    uint8_t sum[20];
    uint32_t covered = message->length;
    put_u16(message->bytes + 2, covered - 20 + 24);
    HMAC(EVP_sha1(), password, (int)strlen(password), message->bytes, covered, sum, NULL);
    add_attribute(message, MESSAGE_INTEGRITY, sum, sizeof sum);
}

static inline void add_fingerprint(stun_message *message) {
    uint32_t crc = 0xFFFFFFFFu;
    put_u16(message->bytes + 2, message->length - 20 + 8);
    for (uint32_t i = 0; i < message->length; i++) {
        crc ^= message->bytes[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320u : 0);
    }
    crc = ~crc ^ 0x5354554Eu;
    const uint8_t value[] = {(uint8_t)(crc >> 24), (uint8_t)(crc >> 16), (uint8_t)(crc >> 8), (uint8_t)crc};
    add_attribute(message, FINGERPRINT, value, sizeof value);
}

/* username NULL: none */
static inline stun_message make_stun(uint32_t kind, uint32_t transaction, const char *username, const char *password) {
    stun_message message = begin_stun(kind, transaction);
    if (username != NULL)
        add_attribute(&message, USERNAME, username, (uint32_t)strlen(username));
    add_attribute(&message, PRIORITY, "\x6e\0\1\xff", 4);
    add_integrity(&message, password);
    add_fingerprint(&message);
    return message;
}

#endif
