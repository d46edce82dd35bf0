#include "delay_control.h"

#include <math.h>
#include <string.h>

#define SAFETY_MS 4.0     /* On top of the measured lateness, for the wake-up latency of threads. */
#define LOSS_SPARE_MS 8.0 /* Enough to cut a quarter of 20 ms, and to join sound in phase. */
#define COARSE_MS 10.0    /* Browsers process blocks of 10 ms and are late by most of one too rarely to be learnt. */
#define LOSS_MEMORY_NS 10000000000LL
#define SPARE_FROM_MS 1.0 /* Uncertainty of the measured delay. */
#define BLOCK_NS 250000000LL
#define BLOCK_MIN_PULLS 2
#define SHRINK_MS_PER_S 30.0 /* The target falls slowly and rises at once. */

#define HOLD_NS 600000000LL /* After missing audio: until arrival.c knows whether the path has changed. */
#define REMOVE_FROM_MS 8.0
#define INSERT_FROM_MS 3.0 /* Too little delay is audible sooner than too much. */
#define FRAMES_PER_MS 48.0
#define NO_SHIFT_AFTER_LOSS_NS 100000000LL /* Sound just after a loss has breaks that a cut would repeat. */
#define TRY_EVERY_NS 30000000LL
#define GOOD_CORRELATION 0.95

/*
 * rate: shift per time played. patience_per_s: by how much the required correlation falls per second without a cut.
 * overshoot_ms: how much more than needed may be inserted to complete a period; the resampler takes the excess back.
 */
typedef struct {
    double rate;
    double patience_per_s;
    double overshoot_ms;
} pace;

static const pace remove_gently = {0.05, 0.4, 0.0}, remove_fast = {0.10, 0.8, 0.0};
static const pace insert_gently = {0.15, 0.0, 4.0}, insert_fast = {0.15, 1.0, 10.0};
#define REMOVE_FAST_FROM_MS 50.0

void bw_delay_control_init(bw_delay_control *control, double start_ms, double min_ms, double max_ms) {
    *control = (bw_delay_control){.min_ms = min_ms, .max_ms = max_ms};
    control->target_ms = fmax(min_ms, fmin(max_ms, start_ms));
    bw_drift_init(&control->drift, control->target_ms);
}

void bw_delay_control_restart(bw_delay_control *control, int64_t now_ns) {
    control->measured = control->block_open = false;
    control->hold_until_ns = now_ns + HOLD_NS;
    bw_drift_restart(&control->drift);
}

void bw_delay_control_reset(bw_delay_control *control, int64_t now_ns) {
    bw_delay_control_restart(control, now_ns);
    bw_drift_reset(&control->drift);
}

void bw_delay_control_rebased(bw_delay_control *control, double rise_ms) {
    control->delay_ms -= rise_ms;
    control->block_delay_ms -= rise_ms;
    control->needed_ms -= rise_ms;
    control->target_ms = fmin(control->max_ms, control->target_ms - rise_ms);
    bw_drift_set_target(&control->drift, control->target_ms);
    bw_drift_moved(&control->drift, -rise_ms);
}

void bw_delay_control_lost(bw_delay_control *control, int64_t now_ns) {
    memmove(control->losses_ns + 1, control->losses_ns, sizeof control->losses_ns - sizeof control->losses_ns[0]);
    control->losses_ns[0] = now_ns;
}

static bool loses_often(const bw_delay_control *control, int64_t now_ns) {
    int64_t first_ns = control->losses_ns[BW_DELAY_LOSSES - 1];
    return first_ns != 0 && now_ns - first_ns < LOSS_MEMORY_NS;
}

static double wanted_ms(const bw_delay_control *control, int64_t now_ns) {
    double with_spare_ms = control->needed_ms + (loses_often(control, now_ns) ? LOSS_SPARE_MS : 0.0);
    double least_ms = fmax(control->min_ms, control->is_coarse ? COARSE_MS : 0.0);
    return fmin(control->max_ms, fmax(least_ms, with_spare_ms));
}

static void move_target(bw_delay_control *control, int64_t now_ns, double covering_ms, double shrink_ms) {
    control->needed_ms = covering_ms + SAFETY_MS;
    control->target_ms = fmax(wanted_ms(control, now_ns), control->target_ms - shrink_ms);
    bw_drift_set_target(&control->drift, control->target_ms);
}

void bw_delay_control_aim(bw_delay_control *control, int64_t now_ns, double covering_ms) {
    move_target(control, now_ns, covering_ms, control->max_ms);
}

double bw_delay_control_update(bw_delay_control *control, int64_t now_ns, double delay_ms, double covering_ms) {
    if (now_ns < control->hold_until_ns)
        return control->drift.ppm;
    if (!control->block_open) {
        control->block_open = true;
        control->block_start_ns = now_ns;
        control->block_pulls = 0;
        control->block_delay_ms = delay_ms;
    }
    control->block_pulls++;
    control->block_delay_ms = fmin(control->block_delay_ms, delay_ms);
    int64_t elapsed_ns = now_ns - control->block_start_ns;
    if (elapsed_ns >= BLOCK_NS && control->block_pulls >= BLOCK_MIN_PULLS) {
        double elapsed_s = (double)elapsed_ns * 1e-9;
        control->delay_ms = control->block_delay_ms;
        control->measured = true;
        control->block_open = false;
        move_target(control, now_ns, covering_ms, SHRINK_MS_PER_S * elapsed_s);
        bw_drift_update(&control->drift, control->delay_ms, elapsed_s);
    }
    return control->drift.ppm;
}

/* Below the target but above what is needed there is no hurry: only spare delay was used. */
static const pace *choose_pace(const bw_delay_control *control, double error_ms) {
    if (error_ms > 0.0)
        return error_ms > REMOVE_FAST_FROM_MS ? &remove_fast : &remove_gently;
    double least_ms = fmax(control->min_ms, fmin(control->max_ms, control->needed_ms));
    return control->target_ms + error_ms < least_ms - INSERT_FROM_MS ? &insert_fast : &insert_gently;
}

bw_delay_shift bw_delay_control_next_shift(bw_delay_control *control, int64_t now_ns) {
    /* Smoothed: with much jitter the fastest path is not known exactly, and each shift is slightly audible. */
    double error_ms = control->drift.level_ms - control->target_ms;
    bool is_far = error_ms > REMOVE_FROM_MS || error_ms < -INSERT_FROM_MS;
    if (!control->measured || !is_far) {
        control->shift_from_ns = now_ns; /* Start counting patience when a shift becomes necessary. */
        return (bw_delay_shift){0, 0.0f};
    }
    bool is_after_loss = control->losses_ns[0] != 0 && now_ns - control->losses_ns[0] < NO_SHIFT_AFTER_LOSS_NS;
    if (is_after_loss || now_ns < control->shift_from_ns || now_ns < control->next_try_ns)
        return (bw_delay_shift){0, 0.0f};
    control->next_try_ns = now_ns + TRY_EVERY_NS;
    double waited_s = (double)(now_ns - control->shift_from_ns) * 1e-9;
    const pace *pace = choose_pace(control, error_ms);
    double correlation = fmax(0.0, GOOD_CORRELATION - pace->patience_per_s * waited_s);
    double shift_ms = error_ms < 0.0 ? error_ms - pace->overshoot_ms : error_ms;
    return (bw_delay_shift){(int32_t)(shift_ms * FRAMES_PER_MS), (float)correlation};
}

void bw_delay_control_shifted(bw_delay_control *control, int64_t now_ns, int32_t frames) {
    double shift_ms = frames / FRAMES_PER_MS;
    double pause_s = fabs(shift_ms) * 1e-3 / choose_pace(control, control->drift.level_ms - control->target_ms)->rate;
    control->shift_from_ns = now_ns + (int64_t)(pause_s * 1e9);
    bw_delay_control_moved(control, frames);
}

void bw_delay_control_moved(bw_delay_control *control, int32_t frames) {
    double by_ms = frames / FRAMES_PER_MS;
    control->delay_ms -= by_ms;
    control->block_delay_ms -= by_ms;
    bw_drift_moved(&control->drift, -by_ms);
}

uint32_t bw_delay_control_spare(const bw_delay_control *control) {
    double spare_ms = control->measured ? control->delay_ms - control->needed_ms - SPARE_FROM_MS : 0.0;
    return spare_ms > 0.0 ? (uint32_t)(spare_ms * FRAMES_PER_MS) : 0;
}
