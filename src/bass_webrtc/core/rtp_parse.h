/*
 * Parses incoming RTP headers (RFC 3550, 5.1) and redundant audio (RFC 2198). Header extensions are skipped.
 *
 * Results point into the packet; nothing is copied. Any input is allowed: malformed packets are rejected, in time
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

/* Returns false when the packet is not RTP version 2, or when CSRCs, extension or padding run past its end. */
bool bw_rtp_parse(bw_rtp_packet *packet, const uint8_t *data, uint32_t length);
/* The same for a packet whose payload is still encrypted (SRTP): the payload includes padding and authentication tag. */
bool bw_rtp_parse_header(bw_rtp_packet *packet, const uint8_t *data, uint32_t length);

#define BW_RED_MAX_BLOCKS 32 /* the most that browsers list in RED's fmtp line */

typedef struct {
    uint8_t payload_type;
    uint32_t timestamp; /* RTP time of the block, not its offset */
    uint32_t bytes;
    const uint8_t *data;
} bw_red_block;

/* Returns the number of blocks of a RED payload, oldest first as on the wire, the primary block last; 0 when
 * malformed or more than BW_RED_MAX_BLOCKS. timestamp: the packet's. */
uint32_t bw_red_parse(bw_red_block blocks[BW_RED_MAX_BLOCKS], const uint8_t *payload, uint32_t length,
                      uint32_t timestamp);

#endif
