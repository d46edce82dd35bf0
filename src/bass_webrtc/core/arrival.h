/*
 * Measures how evenly packets arrive, and how much delay would cover the unevenness.
 *
 * Transit is arrival time minus RTP time. Time is divided into blocks of 250 ms; the smallest and the largest transit of
 * each are kept for half a minute:
 *
 *   base              = the smallest transit of the last 16 s: that of the fastest packets
 *   lateness to cover = the transit that 97 % of the blocks do not exceed (all, while there are few), minus the base, or
 *                       the longest wait for a redundant copy of a lost packet in the last 30 s, if that is longer
 *
 * Transits are kept, and not distances from the base, because a delay that wanders moves the base, but not the moment
 * at which packets have to be played. Two things are no lateness:
 *
 *   another path         two blocks in a row that lie entirely above or below those before them after a jump, by more than
 *                        the usual lateness: the former path is forgotten
 *   a burst at the start a sender that is ahead of its clock at first (FFmpeg with -re by half a second): in the first second,
 *                        a packet is late only in comparison with those before it
 *
 * One thread at a time; nothing is allocated.
 */
#ifndef BW_ARRIVAL_H
#define BW_ARRIVAL_H

#include <stdbool.h>
#include <stdint.h>

#define BW_ARRIVAL_BLOCKS 120 /* half a minute */

/* The smallest and the largest transit of some packets. */
typedef struct {
    int64_t min_ns;
    int64_t max_ns;
} bw_arrival_span;

typedef struct {
    double base_rise_ms; /* below 0: the base has fallen */
    bool is_new_path;
} bw_arrival_change;

typedef struct {
    int64_t first_ns; /* transit of the stream's first packet */
    int64_t block_start_ns;
    uint32_t block_packets; /* 0: no block is open */
    bw_arrival_span open;
    bw_arrival_span blocks[BW_ARRIVAL_BLOCKS]; /* of this path, newest first; after a rebase relative to the base */
    uint32_t block_count;
    uint32_t total_blocks; /* since the reset */
    bool is_rebased;       /* since the last block was closed */
    int64_t covered_ns;    /* transit to cover */
    int64_t waits_ns[2];   /* longest waits for copies: of the current 15 s, and of the 15 s before */
    int64_t waits_from_ns;
    int64_t reported_base_ns; /* by the last bw_arrival_take_change */
    bool has_reported;
    bool is_new_path;
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

/* In the second half of a stream's first second, when lateness has been measured: returns how far the sender was ahead
 * of its clock when it began, in ms. Otherwise 0. */
double bw_arrival_ahead_ms(const bw_arrival *arrival);

/* Returns what happened to the base since the last call, after the first second of a stream: what was measured from
 * the base before is smaller by the rise. */
bw_arrival_change bw_arrival_take_change(bw_arrival *arrival);

/* Returns the age of a sample with this RTP time at now_ns, in ms, minus the transit of the fastest packets. */
double bw_arrival_age_ms(const bw_arrival *arrival, int64_t now_ns, int64_t timestamp);

/* Returns the delay that covers the lateness, in ms. */
double bw_arrival_covering_ms(const bw_arrival *arrival);

#endif
