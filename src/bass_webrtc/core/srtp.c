#include "srtp.h"

#include "byte_order.h"
#include "core.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define KEY_BYTES BW_SRTP_KEY_BYTES
#define GCM_SALT_BYTES 12
#define GCM_TAG_BYTES 16
#define CM_SALT_BYTES 14
#define CM_TAG_BYTES 10
#define IV_BYTES BW_SRTP_SALT_BYTES
#define RTP_SSRC 8 /* position in the header */
#define RTCP_SSRC 4
#define RTCP_HEADER_BYTES 8
#define WORD_BYTES 4 /* of SRTCP: E flag and index (RFC 3711, 3.4) */
#define ENCRYPTED 0x80000000u
#define MAX_RTCP_INDEX 0x7FFFFFFFu
#define MAX_RTCP_TRAILER 32 /* as core.h says */

/* RFC 3711, 4.3.2; those of RTCP follow those of RTP. */
#define LABEL_ENCRYPTION 0
#define LABEL_AUTHENTICATION 1
#define LABEL_SALT 2
#define LABELS 3

/* ---- ciphers of a thread */

typedef struct {
    EVP_CIPHER_CTX *gcm;
    EVP_CIPHER_CTX *ctr;
} ciphers;

static pthread_once_t ciphers_once = PTHREAD_ONCE_INIT;
static pthread_key_t ciphers_key;

static void free_ciphers(void *of_thread) {
    ciphers *freed = of_thread;
    EVP_CIPHER_CTX_free(freed->gcm);
    EVP_CIPHER_CTX_free(freed->ctr);
    free(freed);
}

static void create_key(void) { pthread_key_create(&ciphers_key, free_ciphers); }

static ciphers *new_ciphers(void) {
    ciphers *made = calloc(1, sizeof *made);
    if (made == NULL)
        return NULL;
    made->gcm = EVP_CIPHER_CTX_new();
    made->ctr = EVP_CIPHER_CTX_new();
    if (made->gcm != NULL && made->ctr != NULL &&
        EVP_EncryptInit_ex(made->gcm, EVP_aes_128_gcm(), NULL, NULL, NULL) == 1 &&
        EVP_EncryptInit_ex(made->ctr, EVP_aes_128_ctr(), NULL, NULL, NULL) == 1 &&
        pthread_setspecific(ciphers_key, made) == 0)
        return made;
    free_ciphers(made);
    return NULL;
}

/* Returns NULL when out of memory. */
static EVP_CIPHER_CTX *cipher_for(const bw_srtp_keys *keys) {
    pthread_once(&ciphers_once, create_key);
    ciphers *mine = pthread_getspecific(ciphers_key);
    if (mine == NULL && (mine = new_ciphers()) == NULL)
        return NULL;
    return keys->is_gcm ? mine->gcm : mine->ctr;
}

void bw_srtp_prepare_thread(void) { cipher_for(&(bw_srtp_keys){0}); }

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

static bool init_hmac(bw_srtp_keys *keys, uint8_t label, const uint8_t *master) {
    uint8_t key[BW_HMAC_BYTES];
    bool done = derive(master, CM_SALT_BYTES, label, key, sizeof key);
    if (done)
        bw_hmac_set_key(&keys->hmac, key, sizeof key);
    OPENSSL_cleanse(key, sizeof key);
    return done;
}

static bool init_cipher(bw_srtp_keys *keys, uint8_t first_label, const uint8_t *master) {
    uint32_t salt_bytes = keys->is_gcm ? GCM_SALT_BYTES : CM_SALT_BYTES;
    return derive(master, salt_bytes, first_label + LABEL_ENCRYPTION, keys->key, KEY_BYTES) &&
           derive(master, salt_bytes, first_label + LABEL_SALT, keys->salt, (int)salt_bytes);
}

bool bw_srtp_keys_init(bw_srtp_keys *keys, bw_srtp_use use, uint32_t profile, const uint8_t *master) {
    uint8_t first_label = use == BW_SRTP_RTCP ? LABELS : 0;
    memset(keys, 0, sizeof *keys);
    if (profile != BW_SRTP_AEAD_AES_128_GCM && profile != BW_SRTP_AES128_CM_SHA1_80)
        return false;
    keys->is_gcm = profile == BW_SRTP_AEAD_AES_128_GCM;
    if (init_cipher(keys, first_label, master) &&
        (keys->is_gcm || init_hmac(keys, first_label + LABEL_AUTHENTICATION, master)))
        return true;
    bw_srtp_keys_destroy(keys);
    return false;
}

void bw_srtp_keys_destroy(bw_srtp_keys *keys) { OPENSSL_cleanse(keys, sizeof *keys); }

/* ---- transforms of RTP and RTCP */

typedef struct {
    uint8_t *bytes;
    uint32_t header_bytes;
    uint32_t payload_bytes; /* behind the header: what is encrypted */
    const uint8_t *ssrc;
    uint64_t index;
    const uint8_t *word; /* E flag and index; RTP has none */
    uint8_t *tag;
} parts;

/* SSRC and 48-bit index, after four bytes (RFC 3711, 4.1.1) or two with GCM (RFC 7714, 8.1 and 9.1). */
static void make_iv(const bw_srtp_keys *keys, const parts *packet, uint8_t iv[IV_BYTES]) {
    uint8_t *at = iv + (keys->is_gcm ? 2 : 4);
    memset(iv, 0, IV_BYTES);
    memcpy(at, packet->ssrc, 4);
    bw_write_u32(at + 4, (uint32_t)(packet->index >> 16));
    at[8] = (uint8_t)(packet->index >> 8);
    at[9] = (uint8_t)packet->index;
    for (int i = 0; i < IV_BYTES; i++)
        iv[i] ^= keys->salt[i];
}

/* The header, and of SRTCP the word, are authenticated only (RFC 7714, 8.2 and 9.2). */
static bool begin_gcm(EVP_CIPHER_CTX *gcm, const bw_srtp_keys *keys, const parts *packet, int encrypt) {
    uint8_t iv[IV_BYTES];
    int written = 0;
    make_iv(keys, packet, iv);
    return gcm != NULL && EVP_CipherInit_ex(gcm, NULL, NULL, keys->key, iv, encrypt) == 1 &&
           EVP_CipherUpdate(gcm, NULL, &written, packet->bytes, (int)packet->header_bytes) == 1 &&
           (packet->word == NULL || EVP_CipherUpdate(gcm, NULL, &written, packet->word, WORD_BYTES) == 1);
}

static bool protect_gcm(const bw_srtp_keys *keys, const parts *packet) {
    EVP_CIPHER_CTX *gcm = cipher_for(keys);
    uint8_t *payload = packet->bytes + packet->header_bytes;
    int written = 0;
    return begin_gcm(gcm, keys, packet, 1) &&
           EVP_EncryptUpdate(gcm, payload, &written, payload, (int)packet->payload_bytes) == 1 &&
           EVP_EncryptFinal_ex(gcm, payload + packet->payload_bytes, &written) == 1 &&
           EVP_CIPHER_CTX_ctrl(gcm, EVP_CTRL_AEAD_GET_TAG, GCM_TAG_BYTES, packet->tag) == 1;
}

static bool unprotect_gcm(const bw_srtp_keys *keys, const parts *packet) {
    EVP_CIPHER_CTX *gcm = cipher_for(keys);
    uint8_t *payload = packet->bytes + packet->header_bytes;
    int written = 0;
    return begin_gcm(gcm, keys, packet, 0) &&
           EVP_DecryptUpdate(gcm, payload, &written, payload, (int)packet->payload_bytes) == 1 &&
           EVP_CIPHER_CTX_ctrl(gcm, EVP_CTRL_AEAD_SET_TAG, GCM_TAG_BYTES, packet->tag) == 1 &&
           EVP_DecryptFinal_ex(gcm, payload + packet->payload_bytes, &written) == 1;
}

/* Encrypts and decrypts. */
static bool apply_cm(const bw_srtp_keys *keys, const parts *packet) {
    EVP_CIPHER_CTX *ctr = cipher_for(keys);
    uint8_t iv[IV_BYTES];
    uint8_t *payload = packet->bytes + packet->header_bytes;
    int written = 0;
    make_iv(keys, packet, iv);
    return ctr != NULL && EVP_EncryptInit_ex(ctr, NULL, NULL, keys->key, iv) == 1 &&
           EVP_EncryptUpdate(ctr, payload, &written, payload, (int)packet->payload_bytes) == 1;
}

/* HMAC-SHA1 over an encrypted packet and its roll-over counter or word (RFC 3711, 4.2). */
static void sign_cm(const bw_srtp_keys *keys, const parts *packet, uint8_t sum[BW_HMAC_BYTES]) {
    SHA_CTX hash;
    uint8_t rollover[4];
    bw_write_u32(rollover, (uint32_t)(packet->index >> 16));
    bw_hmac_begin(&keys->hmac, &hash);
    SHA1_Update(&hash, packet->bytes, packet->header_bytes + packet->payload_bytes);
    SHA1_Update(&hash, packet->word != NULL ? packet->word : rollover, 4);
    bw_hmac_end(&keys->hmac, &hash, sum);
}

static bool protect_cm(const bw_srtp_keys *keys, const parts *packet) {
    uint8_t sum[BW_HMAC_BYTES];
    if (!apply_cm(keys, packet))
        return false;
    sign_cm(keys, packet, sum);
    memcpy(packet->tag, sum, CM_TAG_BYTES);
    return true;
}

static bool unprotect_cm(const bw_srtp_keys *keys, const parts *packet) {
    uint8_t sum[BW_HMAC_BYTES];
    sign_cm(keys, packet, sum);
    return CRYPTO_memcmp(packet->tag, sum, CM_TAG_BYTES) == 0 && apply_cm(keys, packet);
}

static bool protect(const bw_srtp_keys *keys, const parts *packet) {
    return keys->is_gcm ? protect_gcm(keys, packet) : protect_cm(keys, packet);
}

static bool unprotect(const bw_srtp_keys *keys, const parts *packet) {
    return keys->is_gcm ? unprotect_gcm(keys, packet) : unprotect_cm(keys, packet);
}

static uint32_t tag_bytes(const bw_srtp_keys *keys) { return keys->is_gcm ? GCM_TAG_BYTES : CM_TAG_BYTES; }

/* ---- RTP: header, payload, tag */

static parts divide_rtp(uint8_t *packet, uint32_t header_bytes, uint32_t payload_bytes, uint64_t index) {
    return (parts){.bytes = packet,
                   .header_bytes = header_bytes,
                   .payload_bytes = payload_bytes,
                   .ssrc = packet + RTP_SSRC,
                   .index = index,
                   .tag = packet + header_bytes + payload_bytes};
}

bool bw_srtp_protect_rtp(const bw_srtp_keys *keys, uint8_t *packet, uint32_t header_bytes, uint32_t *length,
                         uint64_t index) {
    parts divided = divide_rtp(packet, header_bytes, *length - header_bytes, index);
    *length += tag_bytes(keys);
    return protect(keys, &divided);
}

bool bw_srtp_unprotect_rtp(const bw_srtp_keys *keys, uint8_t *packet, uint32_t header_bytes, uint32_t *length,
                           uint64_t index) {
    if (*length < header_bytes + tag_bytes(keys))
        return false;
    parts divided = divide_rtp(packet, header_bytes, *length - header_bytes - tag_bytes(keys), index);
    if (!unprotect(keys, &divided))
        return false;
    *length -= tag_bytes(keys);
    return true;
}

/* ---- RTCP: header, payload, then word and tag (RFC 3711, 3.4) or with GCM tag and word (RFC 7714, 9) */

static uint8_t *find_word(const bw_srtp_keys *keys, uint8_t *packet, uint32_t plain_bytes) {
    return packet + plain_bytes + (keys->is_gcm ? GCM_TAG_BYTES : 0);
}

static parts divide_rtcp(const bw_srtp_keys *keys, uint8_t *packet, uint32_t plain_bytes, uint32_t index) {
    return (parts){.bytes = packet,
                   .header_bytes = RTCP_HEADER_BYTES,
                   .payload_bytes = plain_bytes - RTCP_HEADER_BYTES,
                   .ssrc = packet + RTCP_SSRC,
                   .index = index,
                   .word = find_word(keys, packet, plain_bytes),
                   .tag = packet + plain_bytes + (keys->is_gcm ? 0 : WORD_BYTES)};
}

bool bw_srtp_protect_rtcp(const bw_srtp_keys *keys, uint8_t *packet, uint32_t *length, uint32_t index) {
    parts divided = divide_rtcp(keys, packet, *length, index);
    bw_write_u32(find_word(keys, packet, *length), ENCRYPTED | index);
    *length += WORD_BYTES + tag_bytes(keys);
    return protect(keys, &divided);
}

/* The profiles encrypt SRTCP (RFC 5764, 4.1.2), and no signaling of WebRTC agrees on anything else. */
bool bw_srtp_unprotect_rtcp(const bw_srtp_keys *keys, uint8_t *packet, uint32_t *length, uint32_t *index) {
    uint32_t trailer = WORD_BYTES + tag_bytes(keys);
    if (*length < RTCP_HEADER_BYTES + trailer)
        return false;
    uint32_t word = bw_read_u32(find_word(keys, packet, *length - trailer));
    parts divided = divide_rtcp(keys, packet, *length - trailer, word & MAX_RTCP_INDEX);
    if (!(word & ENCRYPTED) || !unprotect(keys, &divided))
        return false;
    *length -= trailer;
    *index = word & MAX_RTCP_INDEX;
    return true;
}

/* ---- RTCP that Python sends: loop thread */

struct bw_srtcp {
    bw_srtp_keys keys;
    uint32_t next_index;
};

bw_srtcp *bw_srtcp_new(uint32_t srtp_profile, const uint8_t *local_key) {
    bw_srtcp *srtcp = calloc(1, sizeof *srtcp);
    if (srtcp == NULL)
        return NULL;
    if (!bw_srtp_keys_init(&srtcp->keys, BW_SRTP_RTCP, srtp_profile, local_key)) {
        free(srtcp);
        return NULL;
    }
    return srtcp;
}

void bw_srtcp_free(bw_srtcp *srtcp) {
    if (srtcp == NULL)
        return;
    bw_srtp_keys_destroy(&srtcp->keys);
    free(srtcp);
}

int bw_srtcp_protect(bw_srtcp *srtcp, uint8_t *packet, uint32_t length, uint32_t capacity) {
    uint32_t protected_length = length;
    if (length < RTCP_HEADER_BYTES || capacity < MAX_RTCP_TRAILER || length > capacity - MAX_RTCP_TRAILER)
        return BW_ERROR_ARGUMENT;
    if (srtcp->next_index > MAX_RTCP_INDEX || /* each index is used once (RFC 3711, 9.2) */
        !bw_srtp_protect_rtcp(&srtcp->keys, packet, &protected_length, srtcp->next_index))
        return BW_ERROR_SRTP;
    srtcp->next_index++;
    return (int)protected_length;
}
