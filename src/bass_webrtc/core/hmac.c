#include "hmac.h"

#include <openssl/crypto.h>
#include <string.h>

#define BLOCK_BYTES 64

/* ---- SHA-1 states between two blocks */

static void save(uint32_t state[5], const SHA_CTX *hash) {
    state[0] = hash->h0;
    state[1] = hash->h1;
    state[2] = hash->h2;
    state[3] = hash->h3;
    state[4] = hash->h4;
}

/* Continues after one block. */
static void resume(SHA_CTX *hash, const uint32_t state[5]) {
    SHA1_Init(hash);
    hash->h0 = state[0];
    hash->h1 = state[1];
    hash->h2 = state[2];
    hash->h3 = state[3];
    hash->h4 = state[4];
    hash->Nl = 8 * BLOCK_BYTES;
}

static void hash_pad(uint32_t state[5], const uint8_t key[BLOCK_BYTES], uint8_t pad) {
    SHA_CTX hash;
    uint8_t block[BLOCK_BYTES];
    for (int i = 0; i < BLOCK_BYTES; i++)
        block[i] = key[i] ^ pad;
    SHA1_Init(&hash);
    SHA1_Update(&hash, block, sizeof block);
    save(state, &hash);
    OPENSSL_cleanse(block, sizeof block);
    OPENSSL_cleanse(&hash, sizeof hash);
}

/* ---- HMAC */

void bw_hmac_set_key(bw_hmac_key *key, const void *secret, size_t bytes) {
    uint8_t padded[BLOCK_BYTES] = {0};
    if (bytes > sizeof padded)
        SHA1(secret, bytes, padded);
    else
        memcpy(padded, secret, bytes);
    hash_pad(key->inner, padded, 0x36);
    hash_pad(key->outer, padded, 0x5C);
    OPENSSL_cleanse(padded, sizeof padded);
}

void bw_hmac_begin(const bw_hmac_key *key, SHA_CTX *hash) { resume(hash, key->inner); }

void bw_hmac_end(const bw_hmac_key *key, SHA_CTX *hash, uint8_t sum[BW_HMAC_BYTES]) {
    SHA1_Final(sum, hash);
    resume(hash, key->outer);
    SHA1_Update(hash, sum, BW_HMAC_BYTES);
    SHA1_Final(sum, hash);
}
