/*
 * Decides how long audio waits before it is played, and how to reach that delay. It neither measures nor applies
 * anything:
 *
 *   arrival.c ── lateness to cover ──► target ─┐                   ┌─► ppm for the resampler: always, up to 0.5 %
 *   jitter_buffer.c ── delay at each pull ─────┴─► their distance ─┤
 *                                                                  └─► a cut or an insertion for stretch.c: from 8 ms
 *
 * Delay is how early a packet on the fastest path arrives. At 0 it arrives just in time. One thread at a time; nothing
 * is allocated.
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
    double needed_ms; /* to cover the lateness; the target may be higher */
    bool is_coarse;   /* set by the owner: packets hold several of the sender's blocks */
    double delay_ms;  /* minimum of the last block of pulls */
    bool measured;    /* delay_ms is valid since the last restart */
    bool block_open;
    uint32_t block_pulls;
    double block_delay_ms;
    int64_t block_start_ns;
    int64_t hold_until_ns; /* no measurement before this time */
    int64_t shift_from_ns; /* no shift before this time */
    int64_t next_try_ns;
    int64_t losses_ns[BW_DELAY_LOSSES]; /* times of the last concealments, newest first; 0: none */
    bw_drift drift;
} bw_delay_control;

/* A shift for stretch.c to try: frames above 0 are removed, below 0 inserted; 0: none. */
typedef struct {
    int32_t frames;
    float min_correlation;
} bw_delay_shift;

void bw_delay_control_init(bw_delay_control *control, double start_ms, double min_ms, double max_ms);

/* The delay has changed, or the path may have: waits until that is clear, then measures again. The learnt clock
 * drift is kept. */
void bw_delay_control_restart(bw_delay_control *control, int64_t now_ns);

/* For a new stream with another clock. The target is kept. */
void bw_delay_control_reset(bw_delay_control *control, int64_t now_ns);

/* After each pull: passes the current delay and the lateness to cover, in ms. Returns the ppm for the resampler. */
double bw_delay_control_update(bw_delay_control *control, int64_t now_ns, double delay_ms, double covering_ms);

/* Lets the target fall at once to what the lateness needs. */
void bw_delay_control_aim(bw_delay_control *control, int64_t now_ns, double covering_ms);

/* Before each pull: returns the shift to try now. The caller is expected to have tried it by the next call. */
bw_delay_shift bw_delay_control_next_shift(bw_delay_control *control, int64_t now_ns);

/* Reports the frames actually shifted (same sign as the request). */
void bw_delay_control_shifted(bw_delay_control *control, int64_t now_ns, int32_t frames);

/* Reports a change of the delay by other means: frames above 0 reduce it. */
void bw_delay_control_moved(bw_delay_control *control, int32_t frames);

/* Reports that the base has risen, from which delays are measured. */
void bw_delay_control_rebased(bw_delay_control *control, double rise_ms);

/* Reports a loss that was concealed. When losses are frequent, some spare delay is kept. */
void bw_delay_control_lost(bw_delay_control *control, int64_t now_ns);

/* Returns the frames by which the delay may be reduced at once where useful; they are restored gradually. */
uint32_t bw_delay_control_spare(const bw_delay_control *control);

#endif
