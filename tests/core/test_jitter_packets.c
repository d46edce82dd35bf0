/* The jitter buffer, one packet at a time: silence of the sender, and what goes missing. */
#include "jitter_bench.h"

/* ------------------------------------------------------------------ silence of the sender */

/* As browsers do it: the first packet of a silence is sent, and one in 400 ms; numbers go on, timestamps jump. */
static void test_op12_a_silent_sender_is_not_a_lossy_one(void) {
    bench b = open_bench(20, 200);
    speaker s = open_speaker(1, true, false);
    uint8_t payload[1500];
    uint32_t left_out = 0;
    bool was_silent = false;
    for (uint32_t i = 0; i < 900; i++) {
        s.speaks = i % 300 < 150;
        uint32_t length = speak(&s, payload, FRAME, 1);
        if (length <= 2 && was_silent) {
            left_out++;
            b.timestamp += FRAME;
            pull_ms(&b, 20);
        } else {
            play(&b, payload, length, FRAME);
        }
        was_silent = length <= 2;
    }
    bw_receiver_stats stats = stats_of(&b);
    CHECK_LESS(250, left_out);
    CHECK_EQ(stats.concealed_samples, 0);
    CHECK_EQ(stats.underruns, 0);
    CHECK_EQ(stats.late_packets, 0);
    CHECK_NEAR(stats.jitter_buffer_ms, stats.jitter_buffer_target_ms, 10.0);
    opus_encoder_destroy(s.encoder);
    close_bench(&b);
}

static void test_op12_a_timestamp_that_jumps_without_a_lost_number_is_silence(void) {
    bench b = open_bench(20, 200);
    play_tones(&b, 50);
    b.timestamp += 3 * FRAME; /* At once: this sender does not keep time. */
    play_tones(&b, 50);
    CHECK_EQ(stats_of(&b).concealed_samples, 0);
    CHECK_EQ(stats_of(&b).late_packets, 0);
    close_bench(&b);
}

static void test_op12_silence_longer_than_the_maximum_does_not_cost_the_delay(void) {
    bench b = open_bench_with_minimum(80, 150);
    const uint8_t silence[] = {0xF8};
    play_tones(&b, 100);
    for (uint32_t i = 0; i < 10; i++) {
        play(&b, silence, 1, FRAME);
        b.timestamp += 19 * FRAME;
        pull_ms(&b, 380);
        play_tones(&b, 1);
        CHECK_NEAR(stats_of(&b).jitter_buffer_ms, 80.0, 10.0);
    }
    play_tones(&b, 50);
    CHECK_NEAR(stats_of(&b).jitter_buffer_ms, 80.0, 10.0);
    CHECK_EQ(stats_of(&b).packets_discarded, 0);
    CHECK_EQ(stats_of(&b).concealed_samples, 0);
    close_bench(&b);
}

static void test_a_sender_that_dies_in_silence_is_waited_for_only_so_long(void) {
    bench b = open_bench(20, 200);
    const uint8_t silence[] = {0x08};
    play_tones(&b, 50);
    play(&b, silence, 1, FRAME);
    pull_ms(&b, 3000);
    CHECK_EQ(stats_of(&b).is_buffering, 1);
    CHECK_EQ(level_of(&b, 100, 100), -300.0);
    close_bench(&b);
}

/* ------------------------------------------------------------------ what goes missing */

static void test_lost_frames_are_decoded_from_the_copy_in_the_next_packet(void) {
    bench b = open_bench(60, 200);
    speaker s = open_speaker(2, false, true);
    uint8_t payload[1500];
    uint32_t lost = 0;
    for (uint32_t i = 0; i < 600; i++) {
        uint32_t length = speak(&s, payload, FRAME, 2);
        if (i % 10 == 9) {
            lost++;
            skip(&b, FRAME);
        } else {
            play(&b, payload, length, FRAME);
        }
    }
    bw_receiver_stats stats = stats_of(&b);
    CHECK_AT_LEAST(stats.fec_packets_used, 0.7 * lost); /* The encoder copies no silence. */
    CHECK_AT_MOST(stats.fec_packets_used, lost);
    CHECK_AT_MOST(stats.concealed_samples, 0.3 * lost * FRAME);
    CHECK_AT_LEAST(stats.jitter_buffer_target_ms, 20.0); /* One packet, to wait for the copy ... */
    CHECK_AT_MOST(stats.jitter_buffer_target_ms, 30.0);  /* ... and some to spare. */
    opus_encoder_destroy(s.encoder);
    close_bench(&b);
}

static void test_concealment_lasts_100_ms_and_then_falls_silent(void) {
    bench b = open_bench(20, 200);
    play_tones(&b, 100);
    double before = level_of(&b, 100, 100);
    pull_ms(&b, 400);
    CHECK_LESS(before - 6.0, level_of(&b, 370, 30));
    CHECK_EQ(level_of(&b, 200, 200), -300.0);
    CHECK_EQ(stats_of(&b).concealment_events, 1);
    CHECK_EQ(stats_of(&b).is_buffering, 1);
    close_bench(&b);
}

static void test_after_an_outage_it_goes_on_with_the_delay_it_had(void) {
    bench b = open_bench(20, 200);
    play_tones(&b, 200);
    double before_ms = stats_of(&b).jitter_buffer_ms;
    for (uint32_t i = 0; i < 100; i++)
        skip(&b, FRAME);
    play_tones(&b, 200);
    bw_receiver_stats stats = stats_of(&b);
    CHECK_EQ(stats.is_buffering, 0);
    CHECK_NEAR(stats.jitter_buffer_ms, before_ms, 10.0);
    CHECK_EQ(stats.late_packets, 0);
    CHECK_NEAR(level_of(&b, 1000, 1000), decibels(AMPLITUDE / sqrt(2.0)), 0.5);
    close_bench(&b);
}

static void test_after_an_outage_a_longer_path_is_no_surplus(void) {
    bench b = open_bench_with_minimum(20, 1000);
    play_tones(&b, 200);
    uint64_t removed = stats_of(&b).removed_samples_for_acceleration;
    pull_ms(&b, 1000); /* Nothing comes, and what comes then comes 700 ms later than before. */
    b.sequence += 15;
    b.timestamp += 15 * FRAME;
    play_tones(&b, 200);
    bw_receiver_stats stats = stats_of(&b);
    CHECK_EQ(stats.underruns, 1);
    CHECK_AT_MOST(stats.removed_samples_for_acceleration - removed, 480);
    CHECK_NEAR(stats.jitter_buffer_ms, 20.0, 10.0);
    close_bench(&b);
}

/* Losses of so many frames, two seconds apart, with as much delay to spare as a minimum of min_ms leaves. */
static bw_receiver_stats lose(uint32_t times, uint32_t frames, uint32_t min_ms) {
    bench b = open_bench_with_minimum(min_ms, 200);
    play_tones(&b, 200);
    for (uint32_t i = 0; i < times; i++) {
        for (uint32_t frame = 0; frame < frames; frame++)
            skip(&b, FRAME);
        play_tones(&b, 100);
    }
    bw_receiver_stats stats = stats_of(&b);
    CHECK_EQ(stats.concealment_events, times);
    CHECK_NEAR(stats.jitter_buffer_ms, stats.jitter_buffer_target_ms, 10.0);
    close_bench(&b);
    return stats;
}

static void test_where_no_delay_is_to_spare_all_that_was_lost_is_made_up(void) {
    bw_receiver_stats stats = lose(2, 1, 0);
    CHECK_EQ(stats.concealed_samples, 2 * FRAME);
    CHECK_EQ(stats.removed_samples_for_acceleration, 0);
}

/* 15 ms are made up, and a quarter of a period of 107 samples, which is missing then until the tone goes on. */
static void test_what_is_cut_from_a_loss_and_what_fills_its_end_is_counted(void) {
    bw_receiver_stats stats = lose(10, 1, 20);
    CHECK_NEAR(stats.concealed_samples, 10 * (FRAME * 3 / 4 + 27), 20);
    CHECK_EQ(stats.removed_samples_for_acceleration, 10 * FRAME / 4);
}

/* 45 ms are made up, and a quarter of a period of the sound after them is left out. */
static void test_what_is_left_out_after_a_loss_is_counted(void) {
    bw_receiver_stats stats = lose(10, 3, 40);
    CHECK_EQ(stats.concealed_samples, 10 * 3 * FRAME * 3 / 4);
    CHECK_NEAR(stats.removed_samples_for_acceleration, 10 * (3 * FRAME / 4 + 27), 20);
}

static void test_a_packet_that_comes_when_its_time_has_passed_is_late(void) {
    bench b = open_bench(20, 200);
    play_tones(&b, 50);
    uint32_t sequence = b.sequence, timestamp = b.timestamp;
    skip(&b, FRAME);
    play_tones(&b, 10);
    bench late = b;
    late.sequence = sequence;
    late.timestamp = timestamp;
    put_as(&late, PAYLOAD_TYPE, (const uint8_t[]){0xFC, 1, 2, 3}, 4);
    put_as(&late, PAYLOAD_TYPE, (const uint8_t[]){0xFC, 1, 2, 3}, 4);
    CHECK_EQ(stats_of(&b).late_packets, 1);
    CHECK_EQ(stats_of(&b).duplicate_packets, 1);
    close_bench(&b);
}

int main(void) {
    RUN(test_op12_a_silent_sender_is_not_a_lossy_one);
    RUN(test_op12_a_timestamp_that_jumps_without_a_lost_number_is_silence);
    RUN(test_op12_silence_longer_than_the_maximum_does_not_cost_the_delay);
    RUN(test_a_sender_that_dies_in_silence_is_waited_for_only_so_long);
    RUN(test_lost_frames_are_decoded_from_the_copy_in_the_next_packet);
    RUN(test_concealment_lasts_100_ms_and_then_falls_silent);
    RUN(test_after_an_outage_it_goes_on_with_the_delay_it_had);
    RUN(test_after_an_outage_a_longer_path_is_no_surplus);
    RUN(test_where_no_delay_is_to_spare_all_that_was_lost_is_made_up);
    RUN(test_what_is_cut_from_a_loss_and_what_fills_its_end_is_counted);
    RUN(test_what_is_left_out_after_a_loss_is_counted);
    RUN(test_a_packet_that_comes_when_its_time_has_passed_is_late);
    return 0;
}
