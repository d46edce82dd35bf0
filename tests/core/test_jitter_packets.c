/* The jitter buffer, packet by packet: silent senders and losses. */
#include "jitter_bench.h"

/* ------------------------------------------------------------------ silent senders */

/* Covers OP12. Like a browser, sends the first packet of a silence and one every 400 ms; sequence numbers continue,
 * timestamps jump. */
static void test_dtx_silence_is_not_counted_as_loss(void) {
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
    check_bench_adds_up(&b, left_out * FRAME); /* comfort noise has no counter */
    opus_encoder_destroy(s.encoder);
    close_bench(&b);
}

/* Covers OP12. */
static void test_timestamp_jump_without_sequence_gap_is_silence(void) {
    bench b = open_bench(20, 200);
    play_tones(&b, 50);
    b.timestamp += 3 * FRAME; /* sent immediately: this sender does not keep time */
    play_tones(&b, 50);
    CHECK_EQ(stats_of(&b).concealed_samples, 0);
    CHECK_EQ(stats_of(&b).late_packets, 0);
    close_bench(&b);
}

/* Covers OP12. */
static void test_silence_longer_than_maximum_keeps_delay(void) {
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

static void test_wait_for_sender_lost_in_silence_is_limited(void) {
    bench b = open_bench(20, 200);
    const uint8_t silence[] = {0x08};
    play_tones(&b, 50);
    play(&b, silence, 1, FRAME);
    pull_ms(&b, 3000);
    CHECK_EQ(stats_of(&b).is_buffering, 1);
    CHECK_EQ(level_of(&b, 100, 100), -300.0);
    close_bench(&b);
}

/* ------------------------------------------------------------------ losses */

static void test_lost_frames_are_decoded_from_fec_in_next_packet(void) {
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
    CHECK_AT_LEAST(stats.fec_packets_used, 0.7 * lost); /* the encoder writes no copies of silence */
    CHECK_AT_MOST(stats.fec_packets_used, lost);
    CHECK_AT_MOST(stats.concealed_samples, 0.3 * lost * FRAME);
    CHECK_AT_LEAST(stats.jitter_buffer_target_ms, 20.0); /* one packet, to wait for the copy ... */
    CHECK_AT_MOST(stats.jitter_buffer_target_ms, 33.0);  /* ... and some spare delay */
    check_bench_adds_up(&b, 0);
    opus_encoder_destroy(s.encoder);
    close_bench(&b);
}

static void test_concealment_fades_to_silence_after_100_ms(void) {
    bench b = open_bench(20, 200);
    play_tones(&b, 100);
    double before = level_of(&b, 100, 100);
    pull_ms(&b, 400);
    CHECK_LESS(before - 6.0, level_of(&b, 370, 30));
    CHECK_EQ(level_of(&b, 200, 200), -300.0);
    bw_receiver_stats stats = stats_of(&b);
    CHECK_EQ(stats.concealment_events, 1);
    CHECK_EQ(stats.is_buffering, 1);
    CHECK_NEAR(stats.concealed_samples - stats.silent_concealed_samples, 48 * 120, 480);
    check_bench_adds_up(&b, 0);
    close_bench(&b);
}

static void test_delay_is_unchanged_after_outage(void) {
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
    check_bench_adds_up(&b, 0);
    CHECK_NEAR(level_of(&b, 1000, 1000), decibels(AMPLITUDE / sqrt(2.0)), 0.5);
    close_bench(&b);
}

static void test_longer_path_after_outage_is_not_excess_delay(void) {
    bench b = open_bench_with_minimum(20, 1000);
    play_tones(&b, 200);
    uint64_t removed = stats_of(&b).removed_samples_for_acceleration;
    pull_ms(&b, 1000); /* nothing arrives, and later packets arrive 700 ms later than before */
    b.sequence += 15;
    b.timestamp += 15 * FRAME;
    play_tones(&b, 200);
    bw_receiver_stats stats = stats_of(&b);
    CHECK_EQ(stats.underruns, 1);
    CHECK_AT_MOST(stats.removed_samples_for_acceleration - removed, 480);
    CHECK_NEAR(stats.jitter_buffer_ms, 20.0, 10.0);
    close_bench(&b);
}

/* Loses `frames` frames at a time, two seconds apart, with the spare delay that a minimum of min_ms leaves. */
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

/* 15 ms are concealed and 5 ms left out; the tone, of 107 samples per period, continues a quarter of one later. */
static void test_stretching_until_sound_fits_in_phase_is_inserted_not_concealed(void) {
    bw_receiver_stats stats = lose(10, 1, 20);
    CHECK_EQ(stats.concealed_samples, 10 * FRAME * 3 / 4);
    CHECK_NEAR(stats.join_delay_samples, 10 * 27, 20);
    CHECK_AT_LEAST(stats.inserted_samples_for_deceleration, stats.join_delay_samples);
}

/* 45 ms are concealed and 15 ms left out; the first quarter of a period of the following sound is skipped. */
static void test_sound_skipped_to_fit_in_phase_is_removed(void) {
    bw_receiver_stats stats = lose(10, 3, 40);
    CHECK_EQ(stats.concealed_samples, 10 * 3 * FRAME * 3 / 4);
    CHECK_NEAR(stats.join_delay_samples, -10 * 27, 20);
    CHECK_AT_LEAST(stats.removed_samples_for_acceleration, -stats.join_delay_samples);
}

/* What was made up meanwhile stays concealed: the delay is longer by as much, and every packet is decoded. */
static void test_late_audio_is_played_in_full_after_concealment(void) {
    bench b = open_bench_with_minimum(5, 500);
    play_tones(&b, 100);
    pull_ms(&b, 60);
    play_tones(&b, 100);
    bw_receiver_stats stats = stats_of(&b);
    CHECK_EQ(stats.concealment_events, 1);
    CHECK_NEAR(stats.concealed_samples, 3 * FRAME, 480);
    CHECK_EQ(stats.silent_concealed_samples, 0);
    CHECK_EQ(stats.late_packets + stats.packets_discarded, 0);
    check_bench_adds_up(&b, 0);
    close_bench(&b);
}

static void test_loss_in_comfort_noise_is_one_concealment_event(void) {
    const uint8_t silence[] = {0x08};
    bench b = open_bench_with_minimum(80, 200); /* more than the part of a loss that may be left out */
    play_tones(&b, 100);
    play(&b, silence, 1, FRAME);
    b.timestamp += 5 * FRAME; /* the sender is silent */
    pull_ms(&b, 100);
    CHECK_EQ(stats_of(&b).concealment_events, 0);
    skip(&b, FRAME);
    skip(&b, FRAME);
    play_tones(&b, 50);
    bw_receiver_stats stats = stats_of(&b);
    CHECK_EQ(stats.concealment_events, 1);
    CHECK_LESS(0, stats.concealed_samples);
    CHECK_AT_MOST(stats.concealed_samples, 80 * 48);
    close_bench(&b);
}

static void test_packet_after_its_playout_time_is_counted_late(void) {
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
    RUN(test_dtx_silence_is_not_counted_as_loss);
    RUN(test_timestamp_jump_without_sequence_gap_is_silence);
    RUN(test_silence_longer_than_maximum_keeps_delay);
    RUN(test_wait_for_sender_lost_in_silence_is_limited);
    RUN(test_lost_frames_are_decoded_from_fec_in_next_packet);
    RUN(test_concealment_fades_to_silence_after_100_ms);
    RUN(test_delay_is_unchanged_after_outage);
    RUN(test_longer_path_after_outage_is_not_excess_delay);
    RUN(test_stretching_until_sound_fits_in_phase_is_inserted_not_concealed);
    RUN(test_sound_skipped_to_fit_in_phase_is_removed);
    RUN(test_late_audio_is_played_in_full_after_concealment);
    RUN(test_loss_in_comfort_noise_is_one_concealment_event);
    RUN(test_packet_after_its_playout_time_is_counted_late);
    return 0;
}
