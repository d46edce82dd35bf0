/* The drift controller in a loop with a simulated buffer: level' = (clock difference - ppm) / 1000 ms per second. */
#include "check.h"
#include "drift.h"

typedef struct {
    bw_drift drift;
    double level_ms, worst_late_ms, fastest_slew, time_s;
} loop;

/* Runs for some seconds in steps of 20 ms; the device delivers blocks of `grain_ms`. */
static void run(loop *loop, double clocks_ppm, double grain_ms, double seconds) {
    double end_s = loop->time_s + seconds;
    for (; loop->time_s < end_s; loop->time_s += 0.02) {
        double before = loop->drift.ppm;
        double arrived_ms = loop->time_s * 1000.0 * (1.0 + clocks_ppm * 1e-6);
        double seen_ms = loop->level_ms - (grain_ms > 0.0 ? fmod(arrived_ms, grain_ms) - grain_ms / 2.0 : 0.0);
        bw_drift_update(&loop->drift, seen_ms, 0.02);
        loop->level_ms += (clocks_ppm - loop->drift.ppm) * 1e-3 * 0.02;
        loop->fastest_slew = fmax(loop->fastest_slew, fabs(loop->drift.ppm - before) / 0.02);
        if (loop->time_s > end_s - seconds / 2.0)
            loop->worst_late_ms = fmax(loop->worst_late_ms, fabs(loop->level_ms - loop->drift.target_ms));
    }
}

static loop start(double target_ms, double level_ms) {
    loop loop = {.level_ms = level_ms};
    bw_drift_init(&loop.drift, target_ms);
    return loop;
}

static void test_level_settles_on_target_at_200_ppm_drift(void) {
    for (double ppm = -200.0; ppm <= 200.0; ppm += 100.0) {
        loop loop = start(50.0, 50.0);
        run(&loop, ppm, 0.0, 600.0);
        CHECK_LESS(loop.worst_late_ms, 0.1);
        CHECK_NEAR(loop.drift.ppm, ppm, 5.0);
    }
}

static void test_10_ms_device_blocks_do_not_disturb_ppm(void) {
    loop loop = start(50.0, 50.0);
    run(&loop, 150.0, 10.0, 1800.0);
    CHECK_LESS(loop.worst_late_ms, 5.0);
    CHECK_LESS(loop.fastest_slew, 1001.0);
}

static void test_pitch_change_is_slow_and_bounded(void) {
    loop loop = start(20.0, 520.0);
    run(&loop, 0.0, 0.0, 30.0);
    CHECK_LESS(loop.fastest_slew, 1001.0);
    CHECK_AT_MOST(loop.drift.ppm, 5000.0);
    CHECK_AT_LEAST(loop.drift.ppm, 4999.0);
}

static void test_level_jump_does_not_change_learnt_drift(void) {
    loop loop = start(50.0, 50.0);
    run(&loop, 100.0, 0.0, 600.0);
    double learnt = loop.drift.integral_ppm;
    loop.level_ms = 150.0;
    run(&loop, 100.0, 0.0, 5.0);
    CHECK_NEAR(loop.drift.integral_ppm, learnt, 5.0);
}

static void test_restart_takes_level_unsmoothed_and_reset_forgets_drift(void) {
    loop loop = start(50.0, 50.0);
    run(&loop, 100.0, 0.0, 600.0);
    bw_drift_restart(&loop.drift);
    bw_drift_update(&loop.drift, 58.0, 0.02);
    CHECK_EQ(loop.drift.level_ms, 58.0);
    CHECK_NEAR(loop.drift.integral_ppm, 100.0, 5.0);
    bw_drift_reset(&loop.drift);
    CHECK_EQ(bw_drift_update(&loop.drift, 50.0, 0.02), 0.0);
}

static void test_estimate_is_0_until_it_has_settled(void) {
    /* Without drift, a level that begins 8 ms off is corrected by 800 ppm, which is no drift. */
    for (double ppm = 0.0; ppm <= 200.0; ppm += 200.0) {
        loop loop = start(50.0, 58.0);
        for (int second = 0; second < 59; second++) {
            run(&loop, ppm, 0.0, 1.0);
            CHECK_EQ(bw_drift_estimate_ppm(&loop.drift), 0.0);
        }
        run(&loop, ppm, 0.0, 2.0);
        CHECK_NEAR(bw_drift_estimate_ppm(&loop.drift), ppm, 60.0);
        run(&loop, ppm, 0.0, 120.0);
        CHECK_NEAR(bw_drift_estimate_ppm(&loop.drift), ppm, 5.0);
    }
}

int main(void) {
    RUN(test_estimate_is_0_until_it_has_settled);
    RUN(test_level_settles_on_target_at_200_ppm_drift);
    RUN(test_10_ms_device_blocks_do_not_disturb_ppm);
    RUN(test_pitch_change_is_slow_and_bounded);
    RUN(test_level_jump_does_not_change_learnt_drift);
    RUN(test_restart_takes_level_unsmoothed_and_reset_forgets_drift);
    return 0;
}
