/* Parses, authenticates and answers STUN messages (RFC 8489). Any thread; linear in the length; nothing allocates. */
#ifndef BW_STUN_H
#define BW_STUN_H

#include "core.h"
#include "hmac.h"

#include <stdbool.h>
#include <stdint.h>

#define BW_STUN_BINDING_REQUEST 0x0001
#define BW_STUN_BINDING_SUCCESS 0x0101
#define BW_STUN_BINDING_ERROR 0x0111
#define BW_STUN_MAX_SUCCESS_BYTES 76

/* A message of consistent lengths. It refers to the datagram, and is not authenticated yet. */
typedef struct {
    uint16_t kind;           /* class and method */
    const uint8_t *username; /* NULL: there is none */
    uint32_t username_bytes;
    uint32_t integrity_at;   /* offset of MESSAGE-INTEGRITY; 0: there is none */
    uint32_t fingerprint_at; /* offset of FINGERPRINT, which is the last attribute; 0: there is none */
    bool needs_error;        /* a request with it is answered with an error: see stun.c */
} bw_stun_message;

/* Returns true for a datagram that starts like STUN (RFC 7983, RFC 8489, 5); bw_stun_parse may still reject it. */
bool bw_stun_is_likely(const uint8_t *data, uint32_t length);

/* Accepts the same messages as Message.parse in rtc/stun.py, except that the FINGERPRINT's value is not checked.
 * Returns false for any other datagram. */
bool bw_stun_parse(bw_stun_message *message, const uint8_t *data, uint32_t length);

/* Returns true when MESSAGE-INTEGRITY was made with this key, and FINGERPRINT is right or absent. */
bool bw_stun_is_authentic(const bw_stun_message *message, const uint8_t *data, const bw_hmac_key *key);

/* Writes the success response to a binding request, with its source address (RFC 8489, 14.2). Needs a capacity of
 * BW_STUN_MAX_SUCCESS_BYTES; returns the length. */
uint32_t bw_stun_write_success(uint8_t *response, const uint8_t *request, const bw_address *source,
                               const bw_hmac_key *key);

#endif
