/*
 * Which packets belong to the stream that plays: unwraps sequence numbers and timestamps, finds duplicates, and notices
 * when another stream takes over (RFC 3550, 5.1 and A.1). One thread at a time; nothing is allocated.
 */
#ifndef BW_RTP_STREAM_H
#define BW_RTP_STREAM_H

#include "rtp_parse.h"

#define BW_RTP_STREAM_WINDOW 64 /* sequence numbers below the highest in which duplicates are known */

typedef enum {
    BW_STREAM_NEXT,      /* belongs to the stream */
    BW_STREAM_FIRST,     /* begins a stream: what was before is over */
    BW_STREAM_DUPLICATE, /* has been here */
    BW_STREAM_STRANGER,  /* another SSRC, or times that make no sense; a second one like it begins a stream */
} bw_stream_verdict;

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
    int64_t sequence;  /* the highest, unwrapped */
    int64_t timestamp; /* the last, unwrapped */
    int64_t arrival_ns;
    uint64_t seen; /* bit n: highest - n was here */
    bw_rtp_candidate candidate;
} bw_rtp_stream;

void bw_rtp_stream_reset(bw_rtp_stream *stream);

/* Writes the unwrapped numbers of a packet that belongs to the stream, or begins one. */
bw_stream_verdict bw_rtp_stream_take(bw_rtp_stream *stream, const bw_rtp_packet *packet, int64_t arrival_ns,
                                     int64_t *sequence, int64_t *timestamp);

/* True when a packet with this unwrapped number was taken. False when that is too long ago to know. */
bool bw_rtp_stream_has_seen(const bw_rtp_stream *stream, int64_t sequence);

#endif
