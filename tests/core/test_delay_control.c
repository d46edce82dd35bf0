/* Decisions about the delay, given measurements. */
#include "check.h"
#include "delay_control.h"

#define MS_NS 1000000LL

typedef struct {
    bw_delay_control control;
    int64_t now_ns;
    int32_t removed; /* frames */
    int32_t inserted;
    double earliest_s; /* of the first shift */
} run;

static run start(double start_ms) {
    run run = {.earliest_s = -1.0};
    bw_delay_control_init(&run.control, start_ms, 5.0, 200.0);
    return run;
}

/*
 * Pulls every 10 ms for some time. The delay changes only by the requested shifts, which succeed when the required
 * correlation is at most `quality`.
 */
static void pull(run *run, double seconds, double *delay_ms, double covering_ms, float quality) {
    int64_t end_ns = run->now_ns + (int64_t)(seconds * 1e9), start_ns = run->now_ns;
    for (; run->now_ns < end_ns; run->now_ns += 10 * MS_NS) {
        bw_delay_shift shift = bw_delay_control_next_shift(&run->control, run->now_ns);
        if (shift.frames != 0 && shift.min_correlation <= quality) {
            int32_t frames = shift.frames > 480 ? 480 : shift.frames < -480 ? -480 : shift.frames;
            bw_delay_control_shifted(&run->control, run->now_ns, frames);
            *delay_ms -= frames / 48.0;
            *(frames > 0 ? &run->removed : &run->inserted) += abs(frames);
            run->earliest_s = run->earliest_s < 0 ? (double)(run->now_ns - start_ns) * 1e-9 : run->earliest_s;
        }
        double ppm = bw_delay_control_update(&run->control, run->now_ns, *delay_ms, covering_ms);
        *delay_ms -= ppm * 1e-6 * 10.0;
    }
}

static void test_target_rises_immediately_and_falls_slowly(void) {
    run run = start(5.0);
    double delay_ms = 5.0;
    pull(&run, 0.6, &delay_ms, 60.0, 1.0f);
    CHECK_EQ(run.control.target_ms, 64.0);
    pull(&run, 1.0, &delay_ms, 0.0, 1.0f);
    CHECK_NEAR(run.control.target_ms, 34.0, 9.0);
    pull(&run, 6.0, &delay_ms, 0.0, 1.0f);
    CHECK_EQ(run.control.target_ms, 5.0);
}

static void test_target_stays_within_bounds(void) {
    run run = start(1000.0);
    double delay_ms = 100.0;
    CHECK_EQ(run.control.target_ms, 200.0);
    pull(&run, 30.0, &delay_ms, 1000.0, 1.0f);
    CHECK_EQ(run.control.target_ms, 200.0);
    pull(&run, 30.0, &delay_ms, 0.0, 1.0f);
    CHECK_EQ(run.control.target_ms, 5.0);
}

static void test_100_ms_of_excess_delay_are_removed_within_15_s_without_good_cuts(void) {
    for (float quality = 0.0f; quality <= 1.0f; quality += 0.25f) {
        run run = start(5.0);
        double delay_ms = 107.0;
        pull(&run, 15.0, &delay_ms, 3.0, quality);
        CHECK_NEAR(delay_ms, 5.0, 10.0);
    }
}

static void test_removal_rate_is_at_most_one_tenth(void) {
    run run = start(5.0);
    double delay_ms = 200.0;
    pull(&run, 1.5, &delay_ms, 3.0, 1.0f);
    CHECK_AT_MOST(run.removed / 48.0, 150.0 + 10.0);
    CHECK_LESS(50.0, run.removed / 48.0);
}

static void test_small_delay_error_is_left_to_resampler(void) {
    run run = start(20.0);
    double delay_ms = 27.0;
    pull(&run, 60.0, &delay_ms, 16.0, 1.0f);
    CHECK_EQ(run.removed + run.inserted, 0);
    CHECK_NEAR(delay_ms, 20.0, 1.0);
}

static void test_missing_delay_is_inserted_within_one_second(void) {
    run run = start(5.0);
    double delay_ms = 5.0;
    pull(&run, 1.0, &delay_ms, 40.0, 0.9f);
    CHECK_AT_LEAST(delay_ms, 35.0);
    delay_ms = 5.0;
    pull(&run, 3.0, &delay_ms, 40.0, 0.5f); /* without good cuts it takes longer */
    CHECK_AT_LEAST(delay_ms, 35.0);
    CHECK_EQ(run.removed, 0);
}

static void test_no_shift_after_restart_until_path_is_known(void) {
    run run = start(5.0);
    double delay_ms = 5.0;
    pull(&run, 2.0, &delay_ms, 3.0, 1.0f);
    bw_delay_control_restart(&run.control, run.now_ns);
    CHECK_EQ(bw_delay_control_spare(&run.control), 0);
    delay_ms = 105.0;
    pull(&run, 3.0, &delay_ms, 3.0, 1.0f);
    CHECK_AT_LEAST(run.earliest_s, 0.6);
    CHECK_AT_MOST(run.earliest_s, 1.2);
}

static void test_single_wrong_measurement_causes_no_shift(void) {
    run run = start(60.0);
    double delay_ms = 60.0;
    pull(&run, 5.0, &delay_ms, 56.0, 1.0f);
    for (double error_ms = -6.0; error_ms <= 24.0; error_ms += 30.0) {
        delay_ms += error_ms;
        pull(&run, 0.26, &delay_ms, 56.0, 1.0f);
        delay_ms -= error_ms;
        pull(&run, 5.0, &delay_ms, 56.0, 1.0f);
    }
    CHECK_EQ(run.removed + run.inserted, 0);
    CHECK_NEAR(delay_ms, 60.0, 3.0);
}

static void test_insertion_may_complete_a_period(void) {
    run run = start(20.0);
    double delay_ms = 16.0;
    pull(&run, 0.5, &delay_ms, 16.0, -1.0f); /* no cut is good enough */
    bw_delay_shift shift = bw_delay_control_next_shift(&run.control, run.now_ns + 100 * MS_NS);
    CHECK_AT_MOST(shift.frames, -480);
}

/* With the base, everything that was measured from it. */
static void test_base_that_moves_changes_no_delay_in_effect(void) {
    run run = start(5.0);
    double delay_ms = 64.0;
    pull(&run, 5.0, &delay_ms, 60.0, 1.0f);
    run.removed = run.inserted = 0;
    for (double rise_ms = 30.0; rise_ms >= -30.0; rise_ms -= 60.0) {
        bw_delay_control_rebased(&run.control, rise_ms);
        delay_ms -= rise_ms;
        pull(&run, 5.0, &delay_ms, 60.0 - fmax(rise_ms, 0.0), 1.0f);
        CHECK_NEAR(delay_ms, run.control.target_ms, 2.0);
    }
    CHECK_EQ(run.removed + run.inserted, 0);
}

static void test_target_falls_at_once_on_new_path(void) {
    run run = start(5.0);
    double delay_ms = 10.0;
    pull(&run, 2.0, &delay_ms, 6.0, 1.0f);
    bw_delay_control_rebased(&run.control, -100.0);
    CHECK_EQ(run.control.target_ms, 110.0);
    bw_delay_control_aim(&run.control, run.now_ns, 6.0);
    CHECK_EQ(run.control.target_ms, 10.0);
    delay_ms += 100.0;
    pull(&run, 0.3, &delay_ms, 6.0, 0.0f);
    CHECK_EQ(run.control.target_ms, 10.0);
    pull(&run, 1.7, &delay_ms, 6.0, 1.0f); /* with the second that arrival.c needs: 3 s */
    CHECK_AT_MOST(delay_ms, 25.0);
}

static void test_spare_delay_excludes_delay_needed_for_lateness(void) {
    run run = start(30.0);
    double delay_ms = 30.0;
    bw_delay_control_init(&run.control, 30.0, 30.0, 200.0);
    pull(&run, 2.0, &delay_ms, 8.0, 1.0f);
    CHECK_NEAR(bw_delay_control_spare(&run.control), (30.0 - 8.0 - 4.0 - 1.0) * 48.0, 5.0);
    bw_delay_control_moved(&run.control, 480);
    CHECK_NEAR(bw_delay_control_spare(&run.control), (20.0 - 8.0 - 4.0 - 1.0) * 48.0, 5.0);
    pull(&run, 1.0, &delay_ms, 40.0, 0.0f);
    CHECK_EQ(bw_delay_control_spare(&run.control), 0);
}

static void test_frequent_losses_keep_spare_delay(void) {
    run run = start(5.0);
    double delay_ms = 5.0;
    for (int i = 0; i < 2; i++)
        bw_delay_control_lost(&run.control, run.now_ns + 1);
    pull(&run, 1.0, &delay_ms, 16.0, 1.0f);
    CHECK_EQ(run.control.target_ms, 20.0);
    bw_delay_control_lost(&run.control, run.now_ns);
    pull(&run, 3.0, &delay_ms, 16.0, 1.0f);
    CHECK_EQ(run.control.target_ms, 28.0);
    CHECK_LESS(96, bw_delay_control_spare(&run.control));
    pull(&run, 12.0, &delay_ms, 16.0, 1.0f);
    CHECK_EQ(run.control.target_ms, 20.0);
}

/* 20 ms are needed and 8 ms are spare, of which 7 ms were used. */
static void test_spare_delay_is_restored_gradually(void) {
    run run = start(5.0);
    double delay_ms = 21.0;
    for (int i = 0; i < 3; i++)
        bw_delay_control_lost(&run.control, run.now_ns + 1);
    pull(&run, 3.0, &delay_ms, 16.0, 0.9f); /* no cut is as good as required */
    CHECK_EQ(run.inserted, 0);
    pull(&run, 1.0, &delay_ms, 16.0, 1.0f);
    CHECK_LESS(0, run.inserted);
    CHECK_AT_MOST(delay_ms, 28.0 + 5.0); /* otherwise it would be missing when the next packet is lost */
    CHECK_EQ(run.removed, 0);
}

static void test_no_shift_just_after_loss(void) {
    run run = start(5.0);
    double delay_ms = 5.0;
    pull(&run, 2.0, &delay_ms, 1.0, 1.0f);
    bw_delay_control_lost(&run.control, run.now_ns + 1);
    run.control.drift.level_ms = 0.0;
    pull(&run, 0.09, &delay_ms, 1.0, 1.0f);
    CHECK_EQ(run.inserted, 0);
    pull(&run, 0.05, &delay_ms, 1.0, 1.0f);
    CHECK_LESS(0, run.inserted);
}

static void test_reset_forgets_clock_drift(void) {
    run run = start(20.0);
    double delay_ms = 29.0;
    pull(&run, 30.0, &delay_ms, 16.0, 0.0f);
    bw_delay_control_reset(&run.control, run.now_ns);
    CHECK_EQ(run.control.drift.ppm, 0.0);
}

int main(void) {
    RUN(test_target_rises_immediately_and_falls_slowly);
    RUN(test_target_stays_within_bounds);
    RUN(test_100_ms_of_excess_delay_are_removed_within_15_s_without_good_cuts);
    RUN(test_removal_rate_is_at_most_one_tenth);
    RUN(test_small_delay_error_is_left_to_resampler);
    RUN(test_missing_delay_is_inserted_within_one_second);
    RUN(test_no_shift_after_restart_until_path_is_known);
    RUN(test_single_wrong_measurement_causes_no_shift);
    RUN(test_insertion_may_complete_a_period);
    RUN(test_base_that_moves_changes_no_delay_in_effect);
    RUN(test_target_falls_at_once_on_new_path);
    RUN(test_spare_delay_excludes_delay_needed_for_lateness);
    RUN(test_frequent_losses_keep_spare_delay);
    RUN(test_spare_delay_is_restored_gradually);
    RUN(test_no_shift_just_after_loss);
    RUN(test_reset_forgets_clock_drift);
    return 0;
}
