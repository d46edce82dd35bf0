/*
 * Measures how evenly packets arrive, and how much delay would cover the unevenness.
 *
 * Transit is arrival time minus RTP time. Its minimum over the last second is the base; lateness is the transit above
 * the base. Time is divided into blocks of 250 ms, and the latest packet of each block counts:
 *
 *   lateness to cover = the largest of: the 95th percentile of the last 40 blocks,
 *                       the third highest peak of the last 30 s,
 *                       the longest wait for a redundant copy of a lost packet in the last 30 s
 *
 * A path that becomes permanently slower is not lateness: it is detected when a whole block lies above the base, which
 * then moves. Nor is a burst at the start of a stream, from a sender that is ahead of its clock at first (FFmpeg with
 * -re by 0.65 s): in the first second, a packet is late only in comparison with those before it.
 * One thread at a time; nothing is allocated.
 */
#ifndef BW_ARRIVAL_H
#define BW_ARRIVAL_H

#include <stdbool.h>
#include <stdint.h>

#define BW_ARRIVAL_BLOCKS 40 /* of lateness kept: ten seconds */
#define BW_ARRIVAL_BASES 4   /* blocks that determine the base: one second */
#define BW_ARRIVAL_PEAKS 8

typedef struct {
    int64_t time_ns;
    double height_ms;
} bw_arrival_peak;

typedef struct {
    int64_t first_ns; /* transit of the stream's first packet */
    int64_t block_start_ns;
    uint32_t block_packets; /* 0: no block is open */
    int64_t block_min_ns;   /* transit */
    int64_t block_max_ns;
    int64_t bases_ns[BW_ARRIVAL_BASES]; /* minimum transits of the last blocks, newest first */
    uint32_t base_count;
    double lateness_ms[BW_ARRIVAL_BLOCKS];   /* ring */
    uint32_t lateness_count;                 /* blocks since the reset */
    bw_arrival_peak peaks[BW_ARRIVAL_PEAKS]; /* newest first */
    uint32_t peak_count;
    double waits_ms[2]; /* longest waits for copies: of the current 15 s, and of the 15 s before */
    int64_t waits_from_ns;
    double covering_ms;
} bw_arrival;

/* Forgets everything, for a new stream. */
void bw_arrival_reset(bw_arrival *arrival);

/* Forgets the base, because the path may have changed. The lateness is kept. */
void bw_arrival_rebase(bw_arrival *arrival);

/* Adds a packet. timestamp: unwrapped RTP time, 48 kHz. */
void bw_arrival_add(bw_arrival *arrival, int64_t arrival_ns, int64_t timestamp);

/* Records that a copy of a missing packet arrived wait_samples of RTP time after it. The delay for that is kept for
 * a while: further losses are likely, and the sender sends copies. */
void bw_arrival_add_copy(bw_arrival *arrival, int64_t arrival_ns, uint32_t wait_samples);

/* Returns false until the first packet after a reset or rebase. */
bool bw_arrival_has_base(const bw_arrival *arrival);

/* In the first second of a stream: returns how far the sender was ahead of its clock when it began, in ms. Then 0. */
double bw_arrival_ahead_ms(const bw_arrival *arrival);

/* Returns the age of a sample with this RTP time at now_ns, in ms, minus the transit of the fastest packets. */
double bw_arrival_age_ms(const bw_arrival *arrival, int64_t now_ns, int64_t timestamp);

/* Returns the delay that covers the lateness, in ms. */
double bw_arrival_covering_ms(const bw_arrival *arrival);

#endif
