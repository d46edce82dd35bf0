/* HMAC-SHA1 (RFC 2104) with a key that is used for many messages. Any thread; nothing allocates. */
#ifndef BW_HMAC_H
#define BW_HMAC_H

/* EVP digests allocate for each message (OpenSSL 3.0). SHA_CTX is a plain struct. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/sha.h>
#include <stddef.h>
#include <stdint.h>

#define BW_HMAC_BYTES 20

/* SHA-1's two states after the padded key: small, whatever the length of the key, and copied like any struct. */
typedef struct {
    uint32_t inner[5];
    uint32_t outer[5];
} bw_hmac_key;

void bw_hmac_set_key(bw_hmac_key *key, const void *secret, size_t bytes);

/* Call SHA1_Update on the hash between the two. */
void bw_hmac_begin(const bw_hmac_key *key, SHA_CTX *hash);
void bw_hmac_end(const bw_hmac_key *key, SHA_CTX *hash, uint8_t sum[BW_HMAC_BYTES]);

#endif
