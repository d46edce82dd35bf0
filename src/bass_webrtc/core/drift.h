/*
 * Compensates the drift between two clocks: a buffer level in, a ratio out. The caller measures the level, this module
 * decides, the resampler applies.
 *
 *   level_ms ─► low-pass ─► PI controller ─► slew limit ─► ppm for bw_resampler_set_ppm
 *
 * A level above the target gives ppm above 0: the input is consumed faster.
 */
#ifndef BW_DRIFT_H
#define BW_DRIFT_H

#include <stdbool.h>

typedef struct {
    double target_ms;
    double level_ms; /* low-pass filtered */
    double integral_ppm;
    double ppm;        /* the last result */
    double measured_s; /* since the clocks were new */
    bool started;
} bw_drift;

/* One thread at a time; nothing here allocates or waits. */
void bw_drift_init(bw_drift *drift, double target_ms);

/* Changes the target level. The learnt drift is kept. */
void bw_drift_set_target(bw_drift *drift, double target_ms);

/* Reports that the level was changed by by_ms. */
void bw_drift_moved(bw_drift *drift, double by_ms);

/* Reports that the level jumped for another reason than drift: the next update takes it without smoothing. The
 * learnt drift is kept. */
void bw_drift_restart(bw_drift *drift);

/* Forgets everything but the target, for two new clocks. */
void bw_drift_reset(bw_drift *drift);

/* Takes a measurement, elapsed_s after the last one. The level may be as coarse as the device's blocks. Returns the
 * ppm. */
double bw_drift_update(bw_drift *drift, double level_ms, double elapsed_s);

/* Returns the drift that was learnt, without what corrects the level; 0 until that has settled. */
double bw_drift_estimate_ppm(const bw_drift *drift);

#endif
