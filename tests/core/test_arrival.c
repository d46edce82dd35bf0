/* How the arrival of packets becomes a delay that covers it. */
#include "arrival.h"
#include "check.h"

#define MS_NS 1000000LL
#define FRAME 960

typedef struct {
    bw_arrival arrival;
    uint32_t frame;
} path;

/* The next packet, `late_ms` after the fastest way. */
static void receive(path *path, double late_ms) {
    int64_t sent_ns = 20 * MS_NS * path->frame;
    bw_arrival_add(&path->arrival, sent_ns + (int64_t)((100.0 + late_ms) * 1e6), (int64_t)path->frame * FRAME);
    path->frame++;
}

static void receive_many(path *path, uint32_t count, double late_ms) {
    for (uint32_t i = 0; i < count; i++)
        receive(path, late_ms);
}

static path clean(uint32_t packets) {
    path path = {.frame = 0};
    bw_arrival_reset(&path.arrival);
    receive_many(&path, packets, 0.0);
    return path;
}

static double age_ms(const path *path) {
    int64_t now_ns = 20 * MS_NS * path->frame + 100 * MS_NS;
    return bw_arrival_age_ms(&path->arrival, now_ns, (int64_t)path->frame * FRAME);
}

static void test_a_path_without_jitter_needs_no_delay(void) {
    path path = clean(500);
    CHECK_EQ(bw_arrival_covering_ms(&path.arrival), 0.0);
    CHECK_NEAR(age_ms(&path), 0.0, 0.001);
}

static void test_without_a_packet_there_is_no_base(void) {
    path path = clean(0);
    CHECK(!bw_arrival_has_base(&path.arrival));
    CHECK_EQ(age_ms(&path), 0.0);
    receive(&path, 0.0);
    CHECK(bw_arrival_has_base(&path.arrival));
    bw_arrival_rebase(&path.arrival);
    CHECK(!bw_arrival_has_base(&path.arrival));
}

static void test_regular_lateness_is_covered_within_a_second(void) {
    path path = clean(0);
    for (uint32_t i = 0; i < 50; i++)
        receive(&path, i % 5 == 0 ? 35.0 : 0.0);
    CHECK_NEAR(bw_arrival_covering_ms(&path.arrival), 35.0, 0.1);
}

static void note_copy(path *path, uint32_t wait_samples) {
    bw_arrival_add_copy(&path->arrival, 20 * MS_NS * path->frame + 100 * MS_NS, wait_samples);
}

static void test_the_wait_for_a_copy_is_remembered_for_a_quarter_of_a_minute_or_two(void) {
    path path = clean(50);
    note_copy(&path, 0);
    receive_many(&path, 50, 0.0);
    CHECK_EQ(bw_arrival_covering_ms(&path.arrival), 0.0);
    note_copy(&path, 2 * FRAME);
    note_copy(&path, FRAME);
    receive_many(&path, 50, 0.0);
    CHECK_EQ(bw_arrival_covering_ms(&path.arrival), 40.0);
    receive_many(&path, 14 * 50, 0.0);
    CHECK_EQ(bw_arrival_covering_ms(&path.arrival), 40.0);
    note_copy(&path, FRAME);
    receive_many(&path, 16 * 50, 0.0);
    CHECK_EQ(bw_arrival_covering_ms(&path.arrival), 20.0);
    receive_many(&path, 16 * 50, 0.0);
    CHECK_EQ(bw_arrival_covering_ms(&path.arrival), 0.0);
}

/* Where lateness alone takes more, the copies come in time anyway. */
static void test_the_wait_for_a_copy_and_lateness_do_not_add_up(void) {
    path path = clean(0);
    note_copy(&path, FRAME);
    for (uint32_t i = 0; i < 100; i++)
        receive(&path, i % 5 == 0 ? 35.0 : 0.0);
    CHECK_NEAR(bw_arrival_covering_ms(&path.arrival), 35.0, 0.1);
}

static void test_two_outliers_in_ten_seconds_are_not_worth_the_delay(void) {
    path path = clean(600);
    receive(&path, 80.0);
    receive_many(&path, 100, 0.0);
    receive(&path, 80.0);
    receive_many(&path, 100, 0.0);
    CHECK_EQ(bw_arrival_covering_ms(&path.arrival), 0.0);
}

static void test_what_comes_back_three_times_in_ten_seconds_is_covered_and_then_forgotten(void) {
    path path = clean(600);
    for (int i = 0; i < 3; i++) {
        receive(&path, 80.0);
        receive_many(&path, 100, 0.0);
    }
    CHECK_NEAR(bw_arrival_covering_ms(&path.arrival), 80.0, 0.1);
    receive_many(&path, 50 * 31, 0.0);
    CHECK_EQ(bw_arrival_covering_ms(&path.arrival), 0.0);
}

static void test_a_peak_every_nine_seconds_is_covered(void) {
    path path = clean(600);
    for (int i = 0; i < 6; i++) {
        receive(&path, 60.0);
        receive_many(&path, 9 * 50, 0.0);
    }
    CHECK_NEAR(bw_arrival_covering_ms(&path.arrival), 60.0, 0.1);
}

static void test_a_path_that_becomes_longer_for_good_moves_the_base_and_not_the_delay(void) {
    path path = clean(600);
    receive_many(&path, 45, 100.0);
    CHECK_NEAR(age_ms(&path), -100.0, 0.001);
    CHECK_EQ(bw_arrival_covering_ms(&path.arrival), 0.0);
}

/* Where packets queue up, a quarter of a second may well pass without a fast one. */
static void test_a_slow_block_among_jitter_is_not_another_path(void) {
    path path = clean(0);
    for (uint32_t i = 0; i < 300; i++)
        receive(&path, 4.0 * (i % 15));
    receive_many(&path, 20, 40.0);
    CHECK_NEAR(age_ms(&path), 0.0, 0.001);
    receive_many(&path, 20, 100.0);
    CHECK_NEAR(age_ms(&path), -100.0, 0.001);
}

static void test_a_shorter_path_is_the_base_at_once(void) {
    path path = clean(600);
    receive(&path, -40.0);
    CHECK_NEAR(age_ms(&path), 40.0, 0.001);
}

static void test_a_clock_that_drifts_is_followed(void) {
    path path = clean(0);
    for (uint32_t i = 0; i < 100000; i++)
        receive(&path, 0.020 * i * 0.2); /* 200 ppm. */
    CHECK_NEAR(age_ms(&path), -100000 * 0.020 * 0.2, 0.5);
    CHECK_LESS(bw_arrival_covering_ms(&path.arrival), 0.5);
}

static void test_op12_silence_leaves_the_measure_alone(void) {
    path path = clean(600);
    for (int i = 0; i < 50; i++) {
        path.frame += 19; /* One packet in 400 ms. */
        receive(&path, 0.0);
    }
    CHECK_EQ(bw_arrival_covering_ms(&path.arrival), 0.0);
    CHECK_NEAR(age_ms(&path), 0.0, 0.001);
}

static void test_a_late_packet_among_few_does_not_move_the_base(void) {
    path path = clean(600);
    for (int i = 0; i < 4; i++) {
        path.frame += 19;
        receive(&path, 50.0);
    }
    CHECK_NEAR(age_ms(&path), 0.0, 0.001);
}

int main(void) {
    RUN(test_a_path_without_jitter_needs_no_delay);
    RUN(test_without_a_packet_there_is_no_base);
    RUN(test_regular_lateness_is_covered_within_a_second);
    RUN(test_the_wait_for_a_copy_is_remembered_for_a_quarter_of_a_minute_or_two);
    RUN(test_the_wait_for_a_copy_and_lateness_do_not_add_up);
    RUN(test_two_outliers_in_ten_seconds_are_not_worth_the_delay);
    RUN(test_what_comes_back_three_times_in_ten_seconds_is_covered_and_then_forgotten);
    RUN(test_a_peak_every_nine_seconds_is_covered);
    RUN(test_a_path_that_becomes_longer_for_good_moves_the_base_and_not_the_delay);
    RUN(test_a_slow_block_among_jitter_is_not_another_path);
    RUN(test_a_shorter_path_is_the_base_at_once);
    RUN(test_a_clock_that_drifts_is_followed);
    RUN(test_op12_silence_leaves_the_measure_alone);
    RUN(test_a_late_packet_among_few_does_not_move_the_base);
    return 0;
}
