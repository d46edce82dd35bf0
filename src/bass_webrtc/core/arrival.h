/*
 * How evenly packets arrive, and from that, how much delay would cover it.
 *
 * Transit is arrival time minus RTP time: its smallest value of the last second is the base, what lies above is
 * lateness. Time is cut into blocks of a quarter of a second, of which the latest packet counts:
 *
 *   lateness to cover = 95th percentile of the last 40 blocks, or what came back three times in 30 s, if that is more,
 *                       or how long the copy of something lost was waited for in the last 30 s
 *
 * A path that becomes slower for good is not lateness: it is seen when a whole block lies above the base, which then
 * moves. One thread at a time; nothing is allocated.
 */
#ifndef BW_ARRIVAL_H
#define BW_ARRIVAL_H

#include <stdbool.h>
#include <stdint.h>

#define BW_ARRIVAL_BLOCKS 40 /* of lateness that are remembered: ten seconds */
#define BW_ARRIVAL_BASES 4   /* blocks that the base is taken from: a second */
#define BW_ARRIVAL_PEAKS 8

typedef struct {
    int64_t time_ns;
    double height_ms;
} bw_arrival_peak;

typedef struct {
    int64_t block_start_ns;
    uint32_t block_packets; /* 0: no block is open */
    int64_t block_min_ns;   /* transit */
    int64_t block_max_ns;
    int64_t bases_ns[BW_ARRIVAL_BASES]; /* smallest transits of the last blocks, newest first */
    uint32_t base_count;
    double lateness_ms[BW_ARRIVAL_BLOCKS];   /* a ring */
    uint32_t lateness_count;                 /* blocks ever */
    bw_arrival_peak peaks[BW_ARRIVAL_PEAKS]; /* newest first */
    uint32_t peak_count;
    double waits_ms[2]; /* for copies: the longest of this quarter of a minute, and of the one before */
    int64_t waits_from_ns;
    double covering_ms;
} bw_arrival;

/* Another stream: everything is forgotten. */
void bw_arrival_reset(bw_arrival *arrival);

/* Perhaps another path: the base is forgotten, the lateness stays. */
void bw_arrival_rebase(bw_arrival *arrival);

/* timestamp: RTP time, unwrapped, 48 kHz. */
void bw_arrival_add(bw_arrival *arrival, int64_t arrival_ns, int64_t timestamp);

/* A copy of what is missing came wait_samples of RTP time behind it. The delay for that is kept for a while: what was lost
 * once will be lost again, and the copies are sent. */
void bw_arrival_add_copy(bw_arrival *arrival, int64_t arrival_ns, uint32_t wait_samples);

/* False until the first packet after a reset or rebase. */
bool bw_arrival_has_base(const bw_arrival *arrival);

/* How old a sample with this RTP time is at now_ns, beyond the time that the fastest packets took. In ms. */
double bw_arrival_age_ms(const bw_arrival *arrival, int64_t now_ns, int64_t timestamp);

/* The delay that covers the lateness. */
double bw_arrival_covering_ms(const bw_arrival *arrival);

#endif
