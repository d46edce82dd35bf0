/*
 * SRTP of outgoing packets, with libcrypto. The sender thread does this for every packet to every peer: libsrtp2 as
 * Debian builds it (on NSS) takes five times as long, and locks and allocates each time (docs/decisions.md). Here the
 * ciphers are keyed once per peer, and each packet only sets a new IV.
 *
 * The sender knows each packet's index, so roll-over counter estimation and replay protection, which a receiver needs,
 * do not apply. A retransmission has the same index and the same bytes, so no key stream is used twice.
 */
#include "internal.h"

#include <openssl/evp.h>
#include <string.h>

#define KEY_BYTES 16
#define GCM_SALT_BYTES 12
#define GCM_TAG_BYTES 16
#define CM_SALT_BYTES 14
#define CM_TAG_BYTES 10
#define IV_BYTES 16

/* RFC 3711, 4.3.2 */
#define LABEL_ENCRYPTION 0x00
#define LABEL_AUTHENTICATION 0x01
#define LABEL_SALT 0x02

struct bw_protector {
    bool is_gcm;
    EVP_CIPHER_CTX *cipher;
    bw_hmac_key hmac;       /* AES128_CM_SHA1_80 only */
    uint8_t salt[IV_BYTES]; /* at its position in the IV, surrounded by zeros */
};

/* ---- keys */

/* Key derivation with AES in counter mode (RFC 3711, 4.3.3). A shorter salt is padded with zeros (RFC 7714, 11). */
static bool derive(const uint8_t *master, uint32_t salt_bytes, uint8_t label, uint8_t *derived, int bytes) {
    uint8_t counter[IV_BYTES] = {0};
    uint8_t zeros[2 * KEY_BYTES] = {0};
    int length = 0;
    EVP_CIPHER_CTX *aes = EVP_CIPHER_CTX_new();
    memcpy(counter, master + KEY_BYTES, salt_bytes);
    counter[7] ^= label;
    bool done = aes != NULL && EVP_EncryptInit_ex(aes, EVP_aes_128_ctr(), NULL, master, counter) == 1 &&
                EVP_EncryptUpdate(aes, derived, &length, zeros, bytes) == 1;
    EVP_CIPHER_CTX_free(aes);
    return done;
}

static bool init_hmac(bw_protector *protector, const uint8_t *master) {
    uint8_t key[BW_HMAC_BYTES];
    bool done = derive(master, CM_SALT_BYTES, LABEL_AUTHENTICATION, key, sizeof key);
    if (done)
        bw_hmac_set_key(&protector->hmac, key, sizeof key);
    OPENSSL_cleanse(key, sizeof key);
    return done;
}

static bool init_cipher(bw_protector *protector, const uint8_t *master) {
    uint8_t key[KEY_BYTES];
    uint32_t salt_bytes = protector->is_gcm ? GCM_SALT_BYTES : CM_SALT_BYTES;
    protector->cipher = EVP_CIPHER_CTX_new();
    bool done = protector->cipher != NULL && derive(master, salt_bytes, LABEL_ENCRYPTION, key, KEY_BYTES) &&
                derive(master, salt_bytes, LABEL_SALT, protector->salt, (int)salt_bytes) &&
                EVP_EncryptInit_ex(protector->cipher, protector->is_gcm ? EVP_aes_128_gcm() : EVP_aes_128_ctr(), NULL,
                                   key, NULL) == 1;
    OPENSSL_cleanse(key, sizeof key);
    return done;
}

bw_protector *bw_protector_new(uint32_t profile, const uint8_t *key) {
    if (profile != BW_SRTP_AEAD_AES_128_GCM && profile != BW_SRTP_AES128_CM_SHA1_80)
        return NULL;
    bw_protector *protector = calloc(1, sizeof *protector);
    if (protector == NULL)
        return NULL;
    protector->is_gcm = profile == BW_SRTP_AEAD_AES_128_GCM;
    if (init_cipher(protector, key) && (protector->is_gcm || init_hmac(protector, key)))
        return protector;
    bw_protector_free(protector);
    return NULL;
}

void bw_protector_free(bw_protector *protector) {
    if (protector == NULL)
        return;
    EVP_CIPHER_CTX_free(protector->cipher);
    OPENSSL_cleanse(protector, sizeof *protector);
    free(protector);
}

/* ---- packets */

static void put_rollover(uint8_t *out, uint64_t index) {
    uint32_t rollover = (uint32_t)(index >> 16);
    for (int i = 0; i < 4; i++)
        out[i] = (uint8_t)(rollover >> (24 - 8 * i));
}

/* SSRC, roll-over counter and sequence number, after four bytes (RFC 3711, 4.1.1) or two with GCM (RFC 7714, 8.1). */
static void make_iv(const bw_protector *protector, const uint8_t *packet, uint64_t index, uint8_t iv[IV_BYTES]) {
    uint8_t *at = iv + (protector->is_gcm ? 2 : 4);
    memset(iv, 0, IV_BYTES);
    memcpy(at, packet + 8, 4);
    put_rollover(at + 4, index);
    memcpy(at + 8, packet + 2, 2);
    for (int i = 0; i < IV_BYTES; i++)
        iv[i] ^= protector->salt[i];
}

static bool protect_gcm(bw_protector *protector, uint8_t *packet, int *length, const uint8_t *iv) {
    uint8_t *payload = packet + BW_RTP_HEADER_BYTES;
    int bytes = *length - BW_RTP_HEADER_BYTES;
    int written = 0;
    if (EVP_EncryptInit_ex(protector->cipher, NULL, NULL, NULL, iv) != 1 ||
        EVP_EncryptUpdate(protector->cipher, NULL, &written, packet, BW_RTP_HEADER_BYTES) != 1 ||
        EVP_EncryptUpdate(protector->cipher, payload, &written, payload, bytes) != 1 ||
        EVP_EncryptFinal_ex(protector->cipher, payload + bytes, &written) != 1 ||
        EVP_CIPHER_CTX_ctrl(protector->cipher, EVP_CTRL_AEAD_GET_TAG, GCM_TAG_BYTES, payload + bytes) != 1)
        return false;
    *length += GCM_TAG_BYTES;
    return true;
}

/* HMAC-SHA1 over a packet and the roll-over counter (RFC 3711, 4.2). */
static void sign(const bw_protector *protector, const uint8_t *packet, size_t bytes, const uint8_t rollover[4],
                 uint8_t sum[BW_HMAC_BYTES]) {
    SHA_CTX hash;
    bw_hmac_begin(&protector->hmac, &hash);
    SHA1_Update(&hash, packet, bytes);
    SHA1_Update(&hash, rollover, 4);
    bw_hmac_end(&protector->hmac, &hash, sum);
}

/* Encrypts, then authenticates the packet and the roll-over counter (RFC 3711, 4.1.1 and 4.2). */
static bool protect_cm(bw_protector *protector, uint8_t *packet, int *length, uint64_t index, const uint8_t *iv) {
    uint8_t *payload = packet + BW_RTP_HEADER_BYTES;
    uint8_t rollover[4], sum[BW_HMAC_BYTES];
    int written = 0;
    put_rollover(rollover, index);
    if (EVP_EncryptInit_ex(protector->cipher, NULL, NULL, NULL, iv) != 1 ||
        EVP_EncryptUpdate(protector->cipher, payload, &written, payload, *length - BW_RTP_HEADER_BYTES) != 1)
        return false;
    sign(protector, packet, (size_t)*length, rollover, sum);
    memcpy(packet + *length, sum, CM_TAG_BYTES);
    *length += CM_TAG_BYTES;
    return true;
}

bool bw_protect(bw_protector *protector, uint8_t *packet, int *length, uint64_t index) {
    uint8_t iv[IV_BYTES];
    make_iv(protector, packet, index, iv);
    return protector->is_gcm ? protect_gcm(protector, packet, length, iv)
                             : protect_cm(protector, packet, length, index, iv);
}
