/*
 * What a receiver of SRTP or SRTCP keeps per SSRC: the highest index, from which the roll-over counter of the next packet
 * is estimated, and which indexes have been received (RFC 3711, 3.3.1 and 3.3.2).
 *
 * A packet changes nothing before it has authenticated, so forged ones need no memory and displace no stream. A stream is
 * created by its first authentic packet, with roll-over counter 0, and is never removed: it is needed as long as the keys
 * are, or its recorded packets would be accepted again. Network thread.
 */
#ifndef BW_SRTP_RECEIVER_H
#define BW_SRTP_RECEIVER_H

#include "srtp.h"

#define BW_REPLAY_WINDOW 1024 /* packets, the newest included */

typedef struct {
    uint32_t ssrc;
    uint64_t highest;                     /* index: roll-over counter << 16 | sequence number, or that of SRTCP */
    uint64_t seen[BW_REPLAY_WINDOW / 64]; /* bits, by index modulo BW_REPLAY_WINDOW */
} bw_srtp_stream;

/* All zeros: no stream. */
typedef struct {
    uint32_t count; /* at most BW_MAX_SSRCS */
    bw_srtp_stream *streams;
} bw_srtp_streams;

/* Returns NULL when there is none. */
const bw_srtp_stream *bw_srtp_find_stream(const bw_srtp_streams *streams, uint32_t ssrc);
void bw_srtp_streams_destroy(bw_srtp_streams *streams);

/* Both unprotect a packet in place. They return false, having changed nothing but bytes of the packet, when it is not
 * authentic, too old, received before, or of one SSRC too many. They allocate only to create a stream. */
/* The header must be a valid one of header_bytes (bw_rtp_parse_header). */
bool bw_srtp_receive_rtp(bw_srtp_streams *streams, bw_srtp_keys *keys, uint8_t *packet, uint32_t header_bytes,
                         uint32_t *length);
/* Takes any bytes. */
bool bw_srtp_receive_rtcp(bw_srtp_streams *streams, bw_srtp_keys *keys, uint8_t *packet, uint32_t *length);

#endif
