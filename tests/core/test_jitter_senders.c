/* The jitter buffer, packet by packet: sender behaviour and packets that are not audio. */
#include "jitter_bench.h"

/* ------------------------------------------------------------------ sender behaviour */

/* Covers OP14. */
static void test_channel_count_and_frame_size_may_change_mid_stream(void) {
    bench b = open_bench(40, 300);
    speaker mono = open_speaker(1, false, false), stereo = open_speaker(2, false, false);
    const int sizes[] = {480, 960, 1920, 2880};
    uint8_t payload[1500];
    for (uint32_t i = 0; i < 200; i++) {
        bool is_mono = i / 7 % 2;
        int samples = sizes[i / 5 % 4];
        uint32_t length = speak(is_mono ? &mono : &stereo, payload, samples, is_mono ? 1 : 2);
        play(&b, payload, length, (uint32_t)samples);
    }
    CHECK_EQ(stats_of(&b).concealed_samples, 0);
    CHECK_EQ(stats_of(&b).decode_errors, 0);
    opus_encoder_destroy(mono.encoder);
    opus_encoder_destroy(stereo.encoder);
    close_bench(&b);
}

static void test_rounded_timestamps_make_no_gap(void) {
    bench b = open_bench(20, 200);
    for (uint32_t i = 0; i < 300; i++) {
        b.timestamp += i % 3 - 1u;
        play_tones(&b, 1);
        b.timestamp -= i % 3 - 1u;
    }
    CHECK_EQ(stats_of(&b).concealed_samples, 0);
    CHECK_EQ(stats_of(&b).late_packets, 0);
    close_bench(&b);
}

static void write_ssrc(uint8_t ssrc) { packet[8] = ssrc; }

static void play_tones_of(bench *b, uint8_t ssrc, uint32_t count) {
    simulation *sim = tones();
    for (uint32_t i = 0; i < count; i++) {
        const encoded *frame = &sim->loop[b->timestamp / FRAME % sim->loop_count];
        uint32_t header = write_header(packet, PAYLOAD_TYPE, b->sequence++, b->timestamp);
        write_ssrc(ssrc);
        memcpy(packet + header, frame->data, frame->length);
        bw_jitter_buffer_insert(b->buffer, packet, header + frame->length, b->now_ns);
        b->timestamp += FRAME;
        pull_ms(b, 20);
    }
}

/* Covers OP16. */
static void test_new_ssrc_is_followed(void) {
    bench b = open_bench(20, 200);
    play_tones_of(&b, 1, 100);
    b.timestamp += 123 * FRAME;
    play_tones_of(&b, 2, 100);
    bw_receiver_stats stats = stats_of(&b);
    CHECK_EQ(stats.packets_discarded, 1); /* the first one, until a second confirms the change */
    CHECK_EQ(stats.is_buffering, 0);
    CHECK_NEAR(level_of(&b, 1000, 1000), decibels(AMPLITUDE / sqrt(2.0)), 0.5);
    close_bench(&b);
}

/* Covers OP16. */
static void test_new_ssrc_discards_queued_packets_and_clock_drift(void) {
    for (int32_t jump = -100; jump <= 100; jump += 50) {
        bench b = open_bench_with_minimum(100, 1000);
        play_tones_of(&b, 1, 100);
        b.timestamp += (uint32_t)(jump * FRAME);
        play_tones_of(&b, 2, 200);
        bw_receiver_stats stats = stats_of(&b);
        CHECK_EQ(stats.packets_discarded, 1);
        CHECK_EQ(stats.concealed_samples, 0);
        CHECK_EQ(stats.removed_samples_for_acceleration, 0);
        CHECK_NEAR(stats.jitter_buffer_ms, 100.0, 10.0);
        close_bench(&b);
    }
}

/* Returns how long the next packets wait for being decoded, on average. */
static double waiting_ms(bench *b, uint32_t packets) {
    bw_receiver_stats before = stats_of(b);
    play_tones(b, packets);
    bw_receiver_stats after = stats_of(b);
    return 1000.0 * (after.jitter_buffer_delay_s - before.jitter_buffer_delay_s) /
           (double)(after.jitter_buffer_emitted_count - before.jitter_buffer_emitted_count);
}

/* FFmpeg with -re sends the first half second of its input at once. */
static void test_burst_at_start_delays_nothing_after_one_second(void) {
    const uint32_t ahead_frames[] = {3, 8, 15, 32}, frames_per_pull[] = {1000, 8, 3, 2};
    for (uint32_t i = 0; i < 16; i++) {
        bench b = open_bench_with(40, 2, 500);
        simulation *sim = tones();
        uint32_t ahead = ahead_frames[i / 4];
        for (uint32_t pulls = 0, sent = 0; pulls < 50; pulls++) {
            uint32_t fast = frames_per_pull[i % 4] * (pulls + 1), due = ahead + pulls + 1;
            for (; sent < (fast < due ? fast : due); sent++) {
                const encoded *frame = &sim->loop[b.timestamp / FRAME % sim->loop_count];
                put_as(&b, PAYLOAD_TYPE, frame->data, frame->length);
                b.sequence++;
                b.timestamp += FRAME;
            }
            pull_ms(&b, 20);
        }
        bw_receiver_stats before = stats_of(&b);
        double soon_ms = waiting_ms(&b, 5);
        play_tones(&b, 150);
        /* The longest burst lasts for up to 0.6 s. */
        CHECK_AT_MOST(soon_ms, waiting_ms(&b, 50) + (ahead < 32 ? 5.0 : 15.0));
        bw_receiver_stats stats = stats_of(&b);
        CHECK_EQ(stats.jitter_buffer_target_ms, 10.0);
        CHECK_EQ(stats.concealed_samples, before.concealed_samples);
        CHECK_EQ(stats.inserted_samples_for_deceleration, 0);
        CHECK_AT_MOST(stats.removed_samples_for_acceleration - before.removed_samples_for_acceleration, 48 * 60);
        CHECK_NEAR(level_of(&b, 4000, 4000), decibels(AMPLITUDE / sqrt(2.0)), 0.3);
        close_bench(&b);
    }
}

static void test_queue_is_bounded_for_sender_ten_times_too_fast(void) {
    bench b = open_bench(20, 200);
    simulation *sim = tones();
    play_tones(&b, 50);
    for (uint32_t i = 0; i < 5000; i++) {
        const encoded *frame = &sim->loop[i % sim->loop_count];
        put_as(&b, PAYLOAD_TYPE, frame->data, frame->length);
        b.sequence++;
        b.timestamp += FRAME;
        if (i % 10 == 0)
            pull_ms(&b, 20);
    }
    bw_receiver_stats stats = stats_of(&b);
    CHECK_LESS(3500, stats.packets_discarded);
    CHECK_AT_MOST(stats.jitter_buffer_target_ms, 200.0);
    close_bench(&b);
}

static void test_burst_of_four_seconds_keeps_only_newest_packets(void) {
    bench b = open_bench(20, 200);
    simulation *sim = tones();
    play_tones(&b, 100);
    for (uint32_t i = 0; i < 200; i++) {
        put_as(&b, PAYLOAD_TYPE, sim->loop[i % sim->loop_count].data, sim->loop[i % sim->loop_count].length);
        b.sequence++;
        b.timestamp += FRAME;
    }
    pull_ms(&b, 20);
    CHECK_AT_LEAST(stats_of(&b).packets_discarded, 185);
    play_tones(&b, 50);
    CHECK_EQ(stats_of(&b).concealed_samples, 0);
    CHECK_EQ(stats_of(&b).underruns, 0);
    close_bench(&b);
}

static void test_newest_audio_plays_after_pause_of_pulls(void) {
    bench b = open_bench(20, 2000);
    simulation *sim = tones();
    play_tones(&b, 100);
    for (uint32_t i = 0; i < 50; i++) {
        b.now_ns += 20 * MS_NS;
        put_as(&b, PAYLOAD_TYPE, sim->loop[i % sim->loop_count].data, sim->loop[i % sim->loop_count].length);
        b.sequence++;
        b.timestamp += FRAME;
    }
    play_tones(&b, 100);
    bw_receiver_stats stats = stats_of(&b);
    CHECK_NEAR(stats.packets_discarded, 49, 2);
    CHECK_NEAR(stats.jitter_buffer_ms, stats.jitter_buffer_target_ms, 10.0);
    CHECK_EQ(stats.concealed_samples, 0);
    close_bench(&b);
}

/* ------------------------------------------------------------------ not audio */

/* Covers OP15. */
static void test_other_payload_types_are_dropped_and_counted(void) {
    bench b = open_bench(20, 200);
    play_tones(&b, 20);
    put_as(&b, 13, (const uint8_t[]){1}, 1);           /* comfort noise */
    put_as(&b, 126, (const uint8_t[]){1, 2, 3, 4}, 4); /* telephone event */
    play_tones(&b, 20);
    CHECK_EQ(stats_of(&b).packets_discarded, 2);
    CHECK_EQ(stats_of(&b).concealed_samples, 0);
    close_bench(&b);
}

/* Covers OP14. */
static void test_malformed_opus_is_concealed_and_counted(void) {
    const uint8_t garbage[][4] = {{0xFF, 0, 0, 0}, {0xFF, 0x7F, 0xFF, 0xFF}, {0xFD, 1, 2, 0}, {0xFE, 0xFF, 1, 2}};
    bench b = open_bench(20, 200);
    for (uint32_t i = 0; i < 4; i++) {
        play_tones(&b, 20);
        play(&b, garbage[i], 4, FRAME);
    }
    play_tones(&b, 20);
    play(&b, garbage[0], 0, FRAME);
    play_tones(&b, 20);
    CHECK_EQ(stats_of(&b).decode_errors, 5);
    CHECK_AT_MOST(stats_of(&b).concealed_samples, 5 * FRAME);
    CHECK_AT_LEAST(stats_of(&b).concealed_samples, 5 * FRAME * 3 / 4);
    CHECK_EQ(stats_of(&b).late_packets, 0);
    close_bench(&b);
}

static void test_invalid_packets_are_only_counted(void) {
    bench b = open_bench(20, 200);
    uint8_t junk[1600];
    uint32_t state = 5;
    play_tones(&b, 20);
    for (uint32_t length = 0; length < 1600; length += 7) {
        for (uint32_t i = 0; i < length; i++)
            junk[i] = (uint8_t)((state = state * 1664525u + 1013904223u) >> 24);
        if (length > 0)
            junk[0] &= 0x3F; /* not RTP */
        bw_jitter_buffer_insert(b.buffer, junk, length, b.now_ns);
    }
    play_tones(&b, 20);
    CHECK_EQ(stats_of(&b).packets_discarded, 229);
    CHECK_EQ(stats_of(&b).concealed_samples, 0);
    close_bench(&b);
}

static void test_malformed_red_and_red_of_other_codecs_is_dropped(void) {
    bench b = open_bench(20, 200);
    play_tones(&b, 20);
    b.sequence++;
    put_as(&b, RED_PAYLOAD_TYPE, (const uint8_t[]){0xEF, 0, 0, 9, 0x6F}, 5);
    CHECK_EQ(stats_of(&b).packets_discarded, 1);
    b.sequence++;
    put_as(&b, RED_PAYLOAD_TYPE, (const uint8_t[]){0x80, 0, 0, 1, 0x00, 1, 2}, 7);
    play_tones(&b, 20);
    CHECK_EQ(stats_of(&b).decode_errors, 0);
    close_bench(&b);
}

int main(void) {
    RUN(test_channel_count_and_frame_size_may_change_mid_stream);
    RUN(test_rounded_timestamps_make_no_gap);
    RUN(test_new_ssrc_is_followed);
    RUN(test_new_ssrc_discards_queued_packets_and_clock_drift);
    RUN(test_burst_at_start_delays_nothing_after_one_second);
    RUN(test_queue_is_bounded_for_sender_ten_times_too_fast);
    RUN(test_burst_of_four_seconds_keeps_only_newest_packets);
    RUN(test_newest_audio_plays_after_pause_of_pulls);
    RUN(test_other_payload_types_are_dropped_and_counted);
    RUN(test_malformed_opus_is_concealed_and_counted);
    RUN(test_invalid_packets_are_only_counted);
    RUN(test_malformed_red_and_red_of_other_codecs_is_dropped);
    return 0;
}
