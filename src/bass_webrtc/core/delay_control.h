/*
 * Decides how long sound waits before it is played, and how to get there. Measures nothing and applies nothing itself:
 *
 *   arrival.c ── lateness to cover ──► target ─┐                   ┌─► ppm for the resampler: always, up to 0.5 %
 *   jitter_buffer.c ── delay at each pull ─────┴─► their distance ─┤
 *                                                                  └─► a cut or an insertion for stretch.c: from 10 ms
 *
 * Delay is what a packet on the fastest path has to spare when it comes in. With 0 it is just in time.
 * One thread at a time; nothing is allocated.
 */
#ifndef BW_DELAY_CONTROL_H
#define BW_DELAY_CONTROL_H

#include "drift.h"

#include <stdbool.h>
#include <stdint.h>

#define BW_DELAY_LOSSES 3

typedef struct {
    double min_ms;
    double max_ms;
    double target_ms;
    double needed_ms; /* what the lateness takes; the target may be more */
    bool is_coarse;   /* for the owner to set: packets hold several blocks of the sender's */
    double delay_ms;  /* the least of the last block of pulls */
    bool measured;    /* delay_ms holds since the last restart */
    bool block_open;
    uint32_t block_pulls;
    double block_delay_ms;
    int64_t block_start_ns;
    int64_t hold_until_ns; /* nothing is measured before */
    int64_t shift_from_ns; /* the next shift is allowed from here on */
    int64_t next_try_ns;
    int64_t losses_ns[BW_DELAY_LOSSES]; /* when sound was made up last, newest first; 0: never */
    bw_drift drift;
} bw_delay_control;

/* What stretch.c is to try: frames above 0 are removed, below 0 inserted; 0: nothing. */
typedef struct {
    int32_t frames;
    float min_correlation;
} bw_delay_wish;

void bw_delay_control_init(bw_delay_control *control, double start_ms, double min_ms, double max_ms);

/* The delay is another one, or the path perhaps: wait until that is clear, then measure anew. What was learnt of the
 * clocks stays. */
void bw_delay_control_restart(bw_delay_control *control, int64_t now_ns);

/* Another stream with another clock. The target stays. */
void bw_delay_control_reset(bw_delay_control *control, int64_t now_ns);

/* After each pull: the delay, and the lateness to cover. Returns the ppm. */
double bw_delay_control_update(bw_delay_control *control, int64_t now_ns, double delay_ms, double covering_ms);

/* Before each pull; what is wished was tried, says the next call. */
bw_delay_wish bw_delay_control_wish(bw_delay_control *control, int64_t now_ns);

/* A wish came true, as far as this (same sign). */
void bw_delay_control_shifted(bw_delay_control *control, int64_t now_ns, int32_t frames);

/* The delay changed by other means: frames above 0 are less delay. */
void bw_delay_control_moved(bw_delay_control *control, int32_t frames);

/* Something was lost and had to be made up. When that happens often, some delay is kept to spare. */
void bw_delay_control_lost(bw_delay_control *control, int64_t now_ns);

/* Frames by which the delay may become less at once, where that is of use; they come back by and by. */
uint32_t bw_delay_control_spare(const bw_delay_control *control);

#endif
