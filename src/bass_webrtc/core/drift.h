/*
 * Two clocks that are never the same: a level in, a ratio out. The caller measures the level, this decides, the
 * resampler applies.
 *
 *   level_ms ─► low-pass ─► PI controller ─► slew limit ─► ppm for bw_resampler_set_ppm
 *
 * Level above the target: ppm above 0, the input is consumed faster.
 */
#ifndef BW_DRIFT_H
#define BW_DRIFT_H

#include <stdbool.h>

typedef struct {
    double target_ms;
    double level_ms; /* low-passed */
    double integral_ppm;
    double ppm; /* the last decision */
    bool started;
} bw_drift;

/* Nothing here allocates or waits; one thread at a time. */
void bw_drift_init(bw_drift *drift, double target_ms);

/* A new place to settle at; what was learnt about the clocks stays. */
void bw_drift_set_target(bw_drift *drift, double target_ms);

/* The level was moved, by so much. */
void bw_drift_moved(bw_drift *drift, double by_ms);

/* The level jumped, and not by drift: the next update takes it as it is. What was learnt stays. */
void bw_drift_restart(bw_drift *drift);

/* The two clocks are new: everything is forgotten. The target stays. */
void bw_drift_reset(bw_drift *drift);

/* One measurement, elapsed_s after the last. The level may be as coarse as the device's blocks. Returns the ppm. */
double bw_drift_update(bw_drift *drift, double level_ms, double elapsed_s);

#endif
