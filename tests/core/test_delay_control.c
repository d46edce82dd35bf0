/* What is decided about the delay, given what was measured. */
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

/* Pulls every 10 ms for a while; the delay is what it is, but for the shifts that come true when cuts are as good as
 * `quality`. */
static void pull(run *run, double seconds, double *delay_ms, double covering_ms, float quality) {
    int64_t end_ns = run->now_ns + (int64_t)(seconds * 1e9), start_ns = run->now_ns;
    for (; run->now_ns < end_ns; run->now_ns += 10 * MS_NS) {
        bw_delay_shift wish = bw_delay_control_next_shift(&run->control, run->now_ns);
        if (wish.frames != 0 && wish.min_correlation <= quality) {
            int32_t frames = wish.frames > 480 ? 480 : wish.frames < -480 ? -480 : wish.frames;
            bw_delay_control_shifted(&run->control, run->now_ns, frames);
            *delay_ms -= frames / 48.0;
            *(frames > 0 ? &run->removed : &run->inserted) += abs(frames);
            run->earliest_s = run->earliest_s < 0 ? (double)(run->now_ns - start_ns) * 1e-9 : run->earliest_s;
        }
        double ppm = bw_delay_control_update(&run->control, run->now_ns, *delay_ms, covering_ms);
        *delay_ms -= ppm * 1e-6 * 10.0;
    }
}

static void test_the_target_rises_at_once_and_falls_slowly(void) {
    run run = start(5.0);
    double delay_ms = 5.0;
    pull(&run, 0.6, &delay_ms, 60.0, 1.0f);
    CHECK_EQ(run.control.target_ms, 62.0);
    pull(&run, 1.0, &delay_ms, 0.0, 1.0f);
    CHECK_NEAR(run.control.target_ms, 52.0, 3.0);
    pull(&run, 6.0, &delay_ms, 0.0, 1.0f);
    CHECK_EQ(run.control.target_ms, 5.0);
}

static void test_the_target_keeps_its_bounds(void) {
    run run = start(1000.0);
    double delay_ms = 100.0;
    CHECK_EQ(run.control.target_ms, 200.0);
    pull(&run, 30.0, &delay_ms, 1000.0, 1.0f);
    CHECK_EQ(run.control.target_ms, 200.0);
    pull(&run, 30.0, &delay_ms, 0.0, 1.0f);
    CHECK_EQ(run.control.target_ms, 5.0);
}

static void test_100_ms_too_much_are_gone_within_15_s_even_where_no_cut_is_good(void) {
    for (float quality = 0.0f; quality <= 1.0f; quality += 0.25f) {
        run run = start(5.0);
        double delay_ms = 107.0;
        pull(&run, 15.0, &delay_ms, 3.0, quality);
        CHECK_NEAR(delay_ms, 5.0, 10.0);
    }
}

static void test_time_is_cut_by_no_more_than_a_tenth(void) {
    run run = start(5.0);
    double delay_ms = 200.0;
    pull(&run, 1.5, &delay_ms, 3.0, 1.0f);
    CHECK_AT_MOST(run.removed / 48.0, 150.0 + 10.0);
    CHECK_LESS(50.0, run.removed / 48.0);
}

static void test_a_small_error_is_left_to_the_resampler(void) {
    run run = start(20.0);
    double delay_ms = 28.0;
    pull(&run, 60.0, &delay_ms, 18.0, 1.0f);
    CHECK_EQ(run.removed + run.inserted, 0);
    CHECK_NEAR(delay_ms, 20.0, 1.0);
}

static void test_too_little_delay_is_made_up_within_a_second(void) {
    run run = start(5.0);
    double delay_ms = 5.0;
    pull(&run, 1.0, &delay_ms, 40.0, 0.9f);
    CHECK_AT_LEAST(delay_ms, 35.0);
    delay_ms = 5.0;
    pull(&run, 3.0, &delay_ms, 40.0, 0.5f); /* Where no cut is good, it takes longer. */
    CHECK_AT_LEAST(delay_ms, 35.0);
    CHECK_EQ(run.removed, 0);
}

static void test_after_a_restart_nothing_is_shifted_before_the_path_is_known(void) {
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

static void test_a_delay_that_is_measured_wrong_once_is_not_acted_on(void) {
    run run = start(60.0);
    double delay_ms = 60.0;
    pull(&run, 5.0, &delay_ms, 58.0, 1.0f);
    for (double error_ms = -6.0; error_ms <= 24.0; error_ms += 30.0) {
        delay_ms += error_ms;
        pull(&run, 0.26, &delay_ms, 58.0, 1.0f);
        delay_ms -= error_ms;
        pull(&run, 5.0, &delay_ms, 58.0, 1.0f);
    }
    CHECK_EQ(run.removed + run.inserted, 0);
    CHECK_NEAR(delay_ms, 60.0, 3.0);
}

static void test_an_insertion_has_room_for_a_whole_period(void) {
    run run = start(20.0);
    double delay_ms = 16.0;
    pull(&run, 0.5, &delay_ms, 18.0, -1.0f); /* No cut is good enough. */
    bw_delay_shift wish = bw_delay_control_next_shift(&run.control, run.now_ns + 100 * MS_NS);
    CHECK_AT_MOST(wish.frames, -480);
}

static void test_what_may_be_spared_is_what_the_lateness_does_not_take(void) {
    run run = start(30.0);
    double delay_ms = 30.0;
    bw_delay_control_init(&run.control, 30.0, 30.0, 200.0);
    pull(&run, 2.0, &delay_ms, 8.0, 1.0f);
    CHECK_NEAR(bw_delay_control_spare(&run.control), (30.0 - 8.0 - 2.0 - 1.0) * 48.0, 5.0);
    bw_delay_control_moved(&run.control, 480);
    CHECK_NEAR(bw_delay_control_spare(&run.control), (20.0 - 8.0 - 2.0 - 1.0) * 48.0, 5.0);
    pull(&run, 1.0, &delay_ms, 40.0, 0.0f);
    CHECK_EQ(bw_delay_control_spare(&run.control), 0);
}

static void test_where_sound_is_lost_often_some_delay_is_kept_to_spare(void) {
    run run = start(5.0);
    double delay_ms = 5.0;
    for (int i = 0; i < 2; i++)
        bw_delay_control_lost(&run.control, run.now_ns + 1);
    pull(&run, 1.0, &delay_ms, 18.0, 1.0f);
    CHECK_EQ(run.control.target_ms, 20.0);
    bw_delay_control_lost(&run.control, run.now_ns);
    pull(&run, 3.0, &delay_ms, 18.0, 1.0f);
    CHECK_EQ(run.control.target_ms, 26.0);
    CHECK_LESS(96, bw_delay_control_spare(&run.control));
    pull(&run, 12.0, &delay_ms, 18.0, 1.0f);
    CHECK_EQ(run.control.target_ms, 20.0);
}

/* 20 ms are needed, 6 are to spare, of which 5 were used. */
static void test_what_was_to_spare_is_brought_back_without_haste(void) {
    run run = start(5.0);
    double delay_ms = 21.0;
    for (int i = 0; i < 3; i++)
        bw_delay_control_lost(&run.control, run.now_ns + 1);
    pull(&run, 3.0, &delay_ms, 18.0, 0.9f); /* No cut is as good as it must be. */
    CHECK_EQ(run.inserted, 0);
    pull(&run, 1.0, &delay_ms, 18.0, 1.0f);
    CHECK_LESS(0, run.inserted);
    CHECK_AT_MOST(delay_ms, 26.0 + 5.0); /* Less would be missing before the next packet is lost. */
    CHECK_EQ(run.removed, 0);
}

static void test_a_new_clock_is_learnt_from_nothing(void) {
    run run = start(20.0);
    double delay_ms = 29.0;
    pull(&run, 30.0, &delay_ms, 18.0, 0.0f);
    bw_delay_control_reset(&run.control, run.now_ns);
    CHECK_EQ(run.control.drift.ppm, 0.0);
}

int main(void) {
    RUN(test_the_target_rises_at_once_and_falls_slowly);
    RUN(test_the_target_keeps_its_bounds);
    RUN(test_100_ms_too_much_are_gone_within_15_s_even_where_no_cut_is_good);
    RUN(test_time_is_cut_by_no_more_than_a_tenth);
    RUN(test_a_small_error_is_left_to_the_resampler);
    RUN(test_too_little_delay_is_made_up_within_a_second);
    RUN(test_after_a_restart_nothing_is_shifted_before_the_path_is_known);
    RUN(test_a_delay_that_is_measured_wrong_once_is_not_acted_on);
    RUN(test_an_insertion_has_room_for_a_whole_period);
    RUN(test_what_may_be_spared_is_what_the_lateness_does_not_take);
    RUN(test_where_sound_is_lost_often_some_delay_is_kept_to_spare);
    RUN(test_what_was_to_spare_is_brought_back_without_haste);
    RUN(test_a_new_clock_is_learnt_from_nothing);
    return 0;
}
