/*
 * Takes packets as the network delivers them and produces sound at the playing clock's rate.
 *
 *   insert ─► rtp_parse ─► rtp_stream ─► RED? ─► packet_queue                        arrival (measures)
 *                                                     │                                    │
 *      get ─► packet, copy, concealment ◄─────────────┘                             delay_control (decides)
 *                   │                                                                  │          │
 *                   └─► opus_receiver ─► stretch ─► resampler ─► sound        stretch ◄┘          └► resampler (apply)
 *
 * insert and get belong to the playing thread. Nothing is allocated, locked or logged after new, and the clock is an
 * argument. Invalid input is counted and never causes a failure.
 */
#ifndef BW_JITTER_BUFFER_H
#define BW_JITTER_BUFFER_H

#include "enhancement.h"
#include "playout.h"
#include "resampler.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct bw_jitter_buffer bw_jitter_buffer;

/* Not real-time. resampler: 48 kHz to 48 kHz, stereo; only its filter table is shared. The caller owns the buffer.
 * Returns NULL when out of memory. */
bw_jitter_buffer *bw_jitter_buffer_new(const bw_receiver_config *config, const bw_resampler *resampler);
/* Before the first packet: lets libopus enhance speech where `enhancement` allows it, which the caller owns. */
void bw_jitter_buffer_set_enhancement(bw_jitter_buffer *buffer, bw_enhancement *enhancement);
void bw_jitter_buffer_free(bw_jitter_buffer *buffer);

/* Inserts an authentic RTP packet (copied). It may be a duplicate, late, out of order, of another stream, or not RTP
 * at all. */
void bw_jitter_buffer_insert(bw_jitter_buffer *buffer, const uint8_t *data, uint32_t length, int64_t arrival_ns);

/* Fills the block with interleaved stereo. Any number of frames; calls of 10 ms give the least delay. A call more
 * than half a second after the previous one drops old audio and continues with the newest. */
void bw_jitter_buffer_get(bw_jitter_buffer *buffer, float *output, uint32_t frames, int64_t now_ns);

/* For distributing work among pulls: whether the last get decoded a packet, and whether the next one, of so many
 * frames, would decode one that is here already. */
bool bw_jitter_buffer_has_decoded(const bw_jitter_buffer *buffer);
bool bw_jitter_buffer_will_decode(const bw_jitter_buffer *buffer, uint32_t frames);
/* Does so now. next_ns: time of the next get, at which the packet counts as played. Changes neither delay nor sound. */
void bw_jitter_buffer_decode_early(bw_jitter_buffer *buffer, uint32_t frames, int64_t next_ns);

/* Any thread. */
void bw_jitter_buffer_get_stats(bw_jitter_buffer *buffer, bw_receiver_stats *stats);

#endif
