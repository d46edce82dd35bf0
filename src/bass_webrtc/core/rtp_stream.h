/*
 * Identifies the packets of the stream being played: unwraps sequence numbers and timestamps, detects duplicates, and
 * detects when another stream takes over (RFC 3550, 5.1 and A.1). One thread at a time; nothing is allocated.
 */
#ifndef BW_RTP_STREAM_H
#define BW_RTP_STREAM_H

#include "rtp_parse.h"

#define BW_RTP_STREAM_WINDOW 64 /* sequence numbers below the highest within which duplicates are detected */

typedef enum {
    BW_STREAM_NEXT,      /* belongs to the stream */
    BW_STREAM_FIRST,     /* starts a new stream; the previous one is over */
    BW_STREAM_DUPLICATE, /* received before */
    BW_STREAM_UNRELATED, /* other SSRC or implausible timestamp; a second packet like it starts a new stream */
} bw_stream_result;

typedef struct {
    bool known;
    uint32_t ssrc;
    uint16_t sequence;
    uint32_t timestamp;
    int64_t arrival_ns;
} bw_rtp_candidate;

typedef struct {
    bool started;
    uint32_t ssrc;
    int64_t sequence;  /* highest, unwrapped */
    int64_t timestamp; /* latest, unwrapped */
    int64_t arrival_ns;
    uint64_t seen; /* bit n: sequence number highest - n was received */
    bw_rtp_candidate candidate;
} bw_rtp_stream;

void bw_rtp_stream_reset(bw_rtp_stream *stream);

/* Classifies a packet. Writes the unwrapped numbers of a packet that belongs to the stream or starts one. */
bw_stream_result bw_rtp_stream_take(bw_rtp_stream *stream, const bw_rtp_packet *packet, int64_t arrival_ns,
                                    int64_t *sequence, int64_t *timestamp);

/* Returns true when a packet with this unwrapped sequence number was accepted; false when it is outside the window. */
bool bw_rtp_stream_has_seen(const bw_rtp_stream *stream, int64_t sequence);

#endif
