/*
 * RTP as it comes in: header (RFC 3550, 5.1), redundant audio (RFC 2198). Header extensions are skipped.
 *
 * The results point into the packet; nothing is copied. Any bytes are allowed: what cannot be read is refused, in time
 * linear in the length. Any thread.
 */
#ifndef BW_RTP_PARSE_H
#define BW_RTP_PARSE_H

#include <stdbool.h>
#include <stdint.h>

typedef struct {
    bool marker;
    uint8_t payload_type;
    uint8_t csrc_count;
    uint16_t sequence;
    uint32_t timestamp;
    uint32_t ssrc;
    uint32_t payload_bytes; /* without padding; may be 0 */
    const uint8_t *payload;
} bw_rtp_packet;

/* False: not RTP of version 2, or CSRCs, extension or padding run past the end. */
bool bw_rtp_parse(bw_rtp_packet *packet, const uint8_t *data, uint32_t length);

#define BW_RED_MAX_BLOCKS 32 /* the most that browsers list in RED's fmtp line */

typedef struct {
    uint8_t payload_type;
    uint32_t timestamp; /* RTP time of the block, not its distance */
    uint32_t bytes;
    const uint8_t *data;
} bw_red_block;

/* The blocks of a RED payload, oldest first as they stand there; the last is the primary one. timestamp: the
 * packet's. Returns how many, 0 when malformed or more than BW_RED_MAX_BLOCKS. */
uint32_t bw_red_parse(bw_red_block blocks[BW_RED_MAX_BLOCKS], const uint8_t *payload, uint32_t length,
                      uint32_t timestamp);

#endif
