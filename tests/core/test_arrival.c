/* The delay that covers the measured arrivals. */
#include "arrival.h"
#include "check.h"
#include "tone.h"

#define MS_NS 1000000LL
#define FRAME 960

typedef struct {
    bw_arrival arrival;
    uint32_t frame;
} path;

/* Receives the next packet `late_ms` after the fastest path. */
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

static void test_path_without_jitter_needs_no_delay(void) {
    path path = clean(500);
    CHECK_EQ(bw_arrival_covering_ms(&path.arrival), 0.0);
    CHECK_NEAR(age_ms(&path), 0.0, 0.001);
}

static void test_no_base_before_first_packet(void) {
    path path = clean(0);
    CHECK(!bw_arrival_has_base(&path.arrival));
    CHECK_EQ(age_ms(&path), 0.0);
    receive(&path, 0.0);
    CHECK(bw_arrival_has_base(&path.arrival));
    bw_arrival_rebase(&path.arrival);
    CHECK(!bw_arrival_has_base(&path.arrival));
}

static void test_regular_lateness_is_covered_within_one_second(void) {
    path path = clean(0);
    for (uint32_t i = 0; i < 50; i++)
        receive(&path, i % 5 == 0 ? 35.0 : 0.0);
    CHECK_NEAR(bw_arrival_covering_ms(&path.arrival), 35.0, 0.1);
}

/* A sender that is `ahead_ms` ahead at first sends that audio within `burst_ms`. */
static path begun_with_burst(double ahead_ms, double burst_ms) {
    path path = clean(0);
    double total_ms = ahead_ms + burst_ms;
    while (20.0 * path.frame < total_ms)
        receive(&path, ahead_ms * (1.0 - 20.0 * path.frame / total_ms));
    return path;
}

static void test_burst_at_start_is_not_lateness(void) {
    const double ahead_ms[] = {60.0, 300.0, 650.0, 1000.0}, burst_ms[] = {0.0, 10.0, 100.0, 500.0};
    for (int i = 0; i < 16; i++) {
        path path = begun_with_burst(ahead_ms[i / 4], burst_ms[i % 4]);
        for (int block = 0; block < 100; block++) {
            receive_many(&path, 13, 0.0);
            CHECK_AT_MOST(bw_arrival_covering_ms(&path.arrival), 0.1);
        }
        CHECK_NEAR(age_ms(&path), 0.0, 0.001);
    }
}

static void test_lateness_after_burst_at_start_is_covered(void) {
    path path = begun_with_burst(650.0, 10.0);
    for (uint32_t i = 0; i < 50; i++)
        receive(&path, i % 5 == 0 ? 35.0 : 0.0);
    CHECK_NEAR(bw_arrival_covering_ms(&path.arrival), 35.0, 0.1);
}

/* Packets of a later burst have waited on the path. */
static void test_bursts_after_first_second_are_lateness(void) {
    path path = clean(100);
    for (int i = 0; i < 3; i++) {
        for (double late_ms = 200.0; late_ms > 0.0; late_ms -= 20.0)
            receive(&path, late_ms);
        receive_many(&path, 100, 0.0);
    }
    CHECK_NEAR(bw_arrival_covering_ms(&path.arrival), 200.0, 0.1);
}

static void note_copy(path *path, uint32_t wait_samples) {
    bw_arrival_add_copy(&path->arrival, 20 * MS_NS * path->frame + 100 * MS_NS, wait_samples);
}

static void test_wait_for_copy_is_remembered_for_15_to_30_s(void) {
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

/* If lateness alone needs more delay, the copies arrive in time anyway. */
static void test_covering_delay_is_maximum_of_copy_wait_and_lateness(void) {
    path path = clean(0);
    note_copy(&path, FRAME);
    for (uint32_t i = 0; i < 100; i++)
        receive(&path, i % 5 == 0 ? 35.0 : 0.0);
    CHECK_NEAR(bw_arrival_covering_ms(&path.arrival), 35.0, 0.1);
}

static void test_rare_peak_is_not_covered_and_repeated_one_is(void) {
    path path = clean(1500);
    for (int i = 0; i < 3; i++) {
        receive(&path, 80.0);
        receive_many(&path, 350, 0.0);
        CHECK_EQ(bw_arrival_covering_ms(&path.arrival), 0.0);
    }
    receive(&path, 80.0);
    receive_many(&path, 50, 0.0);
    CHECK_NEAR(bw_arrival_covering_ms(&path.arrival), 80.0, 0.1);
    receive_many(&path, 50 * 31, 0.0);
    CHECK_EQ(bw_arrival_covering_ms(&path.arrival), 0.0);
}

/* Too few blocks to tell whether a peak is rare. */
static void test_first_peak_is_covered_for_some_seconds(void) {
    path path = clean(100);
    receive(&path, 80.0);
    receive_many(&path, 500, 0.0);
    CHECK_NEAR(bw_arrival_covering_ms(&path.arrival), 80.0, 0.1);
    receive_many(&path, 150, 0.0);
    CHECK_EQ(bw_arrival_covering_ms(&path.arrival), 0.0);
}

/* A mobile network: the delay swings by 40 ms within four seconds, and returns. */
static void test_wandering_delay_is_covered_as_a_whole(void) {
    path path = clean(0);
    for (uint32_t i = 0; i < 800; i++)
        receive(&path, 20.0 - 20.0 * cos(2.0 * TONE_PI * i / 200.0));
    for (uint32_t i = 0; i < 400; i++) {
        receive(&path, 20.0 - 20.0 * cos(2.0 * TONE_PI * i / 200.0));
        CHECK_NEAR(bw_arrival_covering_ms(&path.arrival), 40.0, 1.0);
    }
}

/* The moment at which packets have to be played does not change when the base does. */
static void test_change_of_base_changes_lateness_by_as_much(void) {
    path path = clean(0);
    for (uint32_t i = 0; i < 400; i++)
        receive(&path, i % 5 == 0 ? 50.0 : 10.0);
    bw_arrival_take_change(&path.arrival);
    receive(&path, 0.0);
    bw_arrival_change change = bw_arrival_take_change(&path.arrival);
    CHECK_NEAR(change.base_rise_ms, -10.0, 0.001);
    CHECK(!change.is_new_path);
    CHECK_NEAR(bw_arrival_covering_ms(&path.arrival), 50.0, 0.1);
    double risen_ms = 0.0;
    for (uint32_t i = 0; i < 1000; i++) {
        receive(&path, i % 5 == 0 ? 50.0 : 10.0);
        risen_ms += bw_arrival_take_change(&path.arrival).base_rise_ms;
    }
    CHECK_NEAR(risen_ms, 10.0, 0.001); /* after 16 s */
    CHECK_NEAR(bw_arrival_covering_ms(&path.arrival), 40.0, 0.1);
}

/* Packets of both paths arrive around the change. */
static void check_new_path(double by_ms, double jitter_ms) {
    path path = clean(0);
    for (uint32_t i = 0; i < 600; i++)
        receive(&path, 100.0 + i % 3 * jitter_ms);
    bw_arrival_take_change(&path.arrival);
    for (uint32_t i = 0; i < 5; i++)
        receive(&path, 100.0 + (i % 2 ? by_ms : 0.0));
    uint32_t packets = 0;
    double rise_ms = 0.0;
    for (bool is_new_path = false; !is_new_path && packets < 200; packets++) {
        receive(&path, 100.0 + by_ms + packets % 3 * jitter_ms);
        bw_arrival_change change = bw_arrival_take_change(&path.arrival);
        rise_ms += change.base_rise_ms;
        is_new_path = change.is_new_path;
    }
    CHECK_AT_MOST(packets, 4 * 13 + 3); /* 1 s */
    CHECK_NEAR(rise_ms, by_ms, 0.001);
    CHECK_NEAR(age_ms(&path), -(100.0 + by_ms), 0.001);
    CHECK_NEAR(bw_arrival_covering_ms(&path.arrival), 2.0 * jitter_ms, 0.1);
}

static void test_permanently_slower_or_faster_path_is_new_path(void) {
    check_new_path(100.0, 0.0);
    check_new_path(-100.0, 0.0);
    check_new_path(60.0, 2.0);
    check_new_path(-100.0, 12.0);
}

static void test_wandering_delay_is_no_new_path(void) {
    path path = clean(0);
    for (uint32_t i = 0; i < 4000; i++) {
        receive(&path, 40.0 - 40.0 * cos(2.0 * TONE_PI * i / 250.0));
        CHECK(!bw_arrival_take_change(&path.arrival).is_new_path);
    }
}

static void test_lateness_is_kept_when_base_is_forgotten(void) {
    path path = clean(0);
    for (uint32_t i = 0; i < 400; i++)
        receive(&path, i % 5 == 0 ? 35.0 : 0.0);
    bw_arrival_rebase(&path.arrival);
    bw_arrival_rebase(&path.arrival);
    for (uint32_t i = 1; i < 100; i++) {
        receive(&path, 300.0 + (i % 5 == 0 ? 35.0 : 0.0));
        CHECK_NEAR(bw_arrival_covering_ms(&path.arrival), 35.0, 0.1);
        CHECK_NEAR(age_ms(&path), -300.0, 0.001);
        CHECK_EQ(bw_arrival_take_change(&path.arrival).base_rise_ms, 0.0);
    }
}

/* When packets queue up on the path, 250 ms may pass without a fast one. */
static void test_slow_block_within_jitter_does_not_move_base(void) {
    path path = clean(0);
    for (uint32_t i = 0; i < 300; i++)
        receive(&path, 4.0 * (i % 15));
    receive_many(&path, 20, 40.0);
    CHECK_NEAR(age_ms(&path), 0.0, 0.001);
    receive_many(&path, 60, 160.0);
    CHECK_NEAR(age_ms(&path), -160.0, 0.001);
}

static void test_shorter_path_becomes_base_immediately(void) {
    path path = clean(600);
    receive(&path, -40.0);
    CHECK_NEAR(age_ms(&path), 40.0, 0.001);
}

static void test_base_follows_clock_drift(void) {
    path path = clean(0);
    for (uint32_t i = 0; i < 100000; i++)
        receive(&path, 0.020 * i * 0.2);                   /* 200 ppm. */
    CHECK_NEAR(age_ms(&path), -100000 * 0.020 * 0.2, 3.5); /* by that in 16 s */
    CHECK_LESS(bw_arrival_covering_ms(&path.arrival), 3.5);
}

/* Covers OP12. */
static void test_silence_does_not_change_measurement(void) {
    path path = clean(600);
    for (int i = 0; i < 50; i++) {
        path.frame += 19; /* one packet in 400 ms */
        receive(&path, 0.0);
    }
    CHECK_EQ(bw_arrival_covering_ms(&path.arrival), 0.0);
    CHECK_NEAR(age_ms(&path), 0.0, 0.001);
}

static void test_late_packet_among_few_does_not_move_base(void) {
    path path = clean(600);
    for (int i = 0; i < 4; i++) {
        path.frame += 19;
        receive(&path, 50.0);
    }
    CHECK_NEAR(age_ms(&path), 0.0, 0.001);
}

int main(void) {
    RUN(test_path_without_jitter_needs_no_delay);
    RUN(test_no_base_before_first_packet);
    RUN(test_regular_lateness_is_covered_within_one_second);
    RUN(test_burst_at_start_is_not_lateness);
    RUN(test_lateness_after_burst_at_start_is_covered);
    RUN(test_bursts_after_first_second_are_lateness);
    RUN(test_wait_for_copy_is_remembered_for_15_to_30_s);
    RUN(test_covering_delay_is_maximum_of_copy_wait_and_lateness);
    RUN(test_rare_peak_is_not_covered_and_repeated_one_is);
    RUN(test_first_peak_is_covered_for_some_seconds);
    RUN(test_wandering_delay_is_covered_as_a_whole);
    RUN(test_change_of_base_changes_lateness_by_as_much);
    RUN(test_permanently_slower_or_faster_path_is_new_path);
    RUN(test_wandering_delay_is_no_new_path);
    RUN(test_lateness_is_kept_when_base_is_forgotten);
    RUN(test_slow_block_within_jitter_does_not_move_base);
    RUN(test_shorter_path_becomes_base_immediately);
    RUN(test_base_follows_clock_drift);
    RUN(test_silence_does_not_change_measurement);
    RUN(test_late_packet_among_few_does_not_move_base);
    return 0;
}
