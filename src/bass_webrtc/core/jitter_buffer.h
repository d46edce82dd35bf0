/*
 * Packets in at the network's pace, sound out at the player's.
 *
 *   insert ─► rtp_parse ─► rtp_stream ─► RED? ─► packet_queue                        arrival (measures)
 *                                                     │                                    │
 *      get ─► packet, copy, concealment ◄─────────────┘                             delay_control (decides)
 *                   │                                                                  │          │
 *                   └─► opus_receiver ─► stretch ─► resampler ─► sound        stretch ◄┘          └► resampler (apply)
 *
 * insert and get belong to the thread that plays. Nothing is allocated, locked or logged after new, and the clock is an
 * argument. Whatever the bytes: they are counted, never a failure.
 */
#ifndef BW_JITTER_BUFFER_H
#define BW_JITTER_BUFFER_H

#include "playout.h"
#include "resampler.h"

#include <stdint.h>

typedef struct bw_jitter_buffer bw_jitter_buffer;

/* Not real-time. resampler: 48 kHz to 48 kHz, stereo; its filter is shared, not it. NULL: no memory. */
bw_jitter_buffer *bw_jitter_buffer_new(const bw_receiver_config *config, const bw_resampler *resampler);
void bw_jitter_buffer_free(bw_jitter_buffer *buffer);

/* An authentic RTP packet, as it came: duplicate, late, out of order, of another stream, or no RTP at all. */
void bw_jitter_buffer_insert(bw_jitter_buffer *buffer, const uint8_t *data, uint32_t length, int64_t arrival_ns);

/* Always fills the block: stereo interleaved. Any number of frames; 10 ms at a time has the least delay. A call more than
 * half a second after the last one plays what is new and forgets what is old. */
void bw_jitter_buffer_get(bw_jitter_buffer *buffer, float *output, uint32_t frames, int64_t now_ns);

/* Any thread. */
void bw_jitter_buffer_get_stats(bw_jitter_buffer *buffer, bw_receiver_stats *stats);

#endif
