/*
 * 1 ppm moves the level by 0.001 ms per second, so with P ppm per ms and I ppm per ms and second the loop obeys
 * s^2 + P/1000 s + I/1000 = (s + w)^2: critically damped for P = 2000 w and I = 1000 w^2. w = 0.05/s settles within
 * two minutes and turns the sawtooth of a device that delivers 10 ms at a time into less than one cent of pitch.
 */
#include "drift.h"

#include <math.h>

#define SMOOTHING_S 1.0
#define PROPORTIONAL_PPM 100.0
#define INTEGRAL_PPM 2.5
#define MAX_PPM 5000.0
#define MAX_SLEW_PPM_PER_S 1000.0 /* A twelfth of a semitone takes five seconds. */
#define MAX_INTEGRAL_PPM 1000.0   /* Crystal clocks do not differ by more. */
#define SETTLING_S 60.0           /* Of an error in level at the start, 20 % are left by then. */
#define LEARNING_RANGE_MS 10.0    /* A larger error comes from a jump and tells nothing about the clocks. */

static double clamp(double value, double limit) { return fmax(-limit, fmin(limit, value)); }

void bw_drift_init(bw_drift *drift, double target_ms) {
    drift->target_ms = target_ms;
    bw_drift_reset(drift);
}

void bw_drift_set_target(bw_drift *drift, double target_ms) { drift->target_ms = target_ms; }

void bw_drift_moved(bw_drift *drift, double by_ms) { drift->level_ms += by_ms; }

void bw_drift_restart(bw_drift *drift) { drift->started = false; }

void bw_drift_reset(bw_drift *drift) {
    drift->integral_ppm = 0.0;
    drift->ppm = 0.0;
    drift->measured_s = 0.0;
    drift->started = false;
}

static void smooth(bw_drift *drift, double level_ms, double elapsed_s) {
    if (!drift->started) {
        drift->level_ms = level_ms;
        drift->started = true;
        return;
    }
    drift->level_ms += (level_ms - drift->level_ms) * (1.0 - exp(-elapsed_s / SMOOTHING_S));
}

double bw_drift_update(bw_drift *drift, double level_ms, double elapsed_s) {
    smooth(drift, level_ms, elapsed_s);
    drift->measured_s += elapsed_s;
    double error_ms = drift->level_ms - drift->target_ms;
    if (fabs(error_ms) < LEARNING_RANGE_MS)
        drift->integral_ppm = clamp(drift->integral_ppm + INTEGRAL_PPM * error_ms * elapsed_s, MAX_INTEGRAL_PPM);
    double wanted = clamp(PROPORTIONAL_PPM * error_ms + drift->integral_ppm, MAX_PPM);
    drift->ppm += clamp(wanted - drift->ppm, MAX_SLEW_PPM_PER_S * elapsed_s);
    return drift->ppm;
}

double bw_drift_estimate_ppm(const bw_drift *drift) {
    return drift->measured_s < SETTLING_S ? 0.0 : drift->integral_ppm;
}
