/*
 * SRTP and SRTCP (RFC 3711, RFC 7714) with libcrypto: the session keys of one direction, and what they do to one packet.
 *
 * Each thread has ciphers of its own, which are keyed anew for each packet: that takes a tenth of a microsecond, and
 * ciphers of hundreds of peers, a kilobyte each, take four times as long to come from memory. Nothing here locks, and
 * nothing allocates but the first call on a thread. The same keys protect and unprotect. Which index a received packet
 * has, and whether it is a replay: srtp_receiver.h. All work in place. Any thread.
 */
#ifndef BW_SRTP_H
#define BW_SRTP_H

#include "hmac.h"

#include <stdbool.h>

#define BW_SRTP_KEY_BYTES 16
#define BW_SRTP_SALT_BYTES 16
#define BW_SRTP_MAX_RTP_TRAILER 16 /* bytes that protection adds to RTP */

typedef enum { BW_SRTP_RTP, BW_SRTP_RTCP } bw_srtp_use;

typedef struct {
    bool is_gcm;
    uint8_t key[BW_SRTP_KEY_BYTES];
    bw_hmac_key hmac;                 /* AES128_CM_SHA1_80 only */
    uint8_t salt[BW_SRTP_SALT_BYTES]; /* at its position in the IV, surrounded by zeros */
} bw_srtp_keys;

/* Makes the calling thread's ciphers, so that later calls do not allocate. They are freed when the thread ends. */
void bw_srtp_prepare_thread(void);

/* profile: BW_SRTP_AEAD_AES_128_GCM or BW_SRTP_AES128_CM_SHA1_80; master: key, then salt. Returns false for
 * another profile or when out of memory; then there is nothing to destroy. */
bool bw_srtp_keys_init(bw_srtp_keys *keys, bw_srtp_use use, uint32_t profile, const uint8_t *master);
void bw_srtp_keys_destroy(bw_srtp_keys *keys);

/* Only sequence number and SSRC are read from the header; header_bytes includes CSRCs and extension, which are not
 * encrypted. index: roll-over counter << 16 | sequence number. */
bool bw_srtp_protect_rtp(const bw_srtp_keys *keys, uint8_t *packet, uint32_t header_bytes, uint32_t *length,
                         uint64_t index);
/* Returns false, having changed nothing but bytes of the packet, when it is not authentic. */
bool bw_srtp_unprotect_rtp(const bw_srtp_keys *keys, uint8_t *packet, uint32_t header_bytes, uint32_t *length,
                           uint64_t index);

/* The same for RTCP of at least 8 bytes. index: below 2^31; the packet contains it. */
bool bw_srtp_protect_rtcp(const bw_srtp_keys *keys, uint8_t *packet, uint32_t *length, uint32_t index);
/* Takes any bytes. Also returns false for authentic RTCP that is not encrypted. */
bool bw_srtp_unprotect_rtcp(const bw_srtp_keys *keys, uint8_t *packet, uint32_t *length, uint32_t *index);

#endif
