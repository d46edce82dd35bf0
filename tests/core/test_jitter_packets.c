/* The jitter buffer, one packet at a time: what senders do, what goes missing, and what is not audio at all. */
#include "virtual_network.h"

#define FRAME 960
#define MAX_HEARD (48000 * 40)

/* A buffer with a clock of its own: packets arrive now, pulling moves now. */
typedef struct {
    bw_jitter_buffer *buffer;
    int64_t now_ns;
    uint32_t sequence;
    uint32_t timestamp;
    uint32_t heard_frames;
} bench;

static float heard[2 * MAX_HEARD];
static uint8_t packet[4000];

static bench open_bench_with(uint32_t start_ms, uint32_t min_ms, uint32_t max_ms) {
    bw_jitter_buffer *buffer = make_buffer(start_ms, min_ms, max_ms, true);
    return (bench){.buffer = buffer, .now_ns = SECOND_NS, .sequence = 65530, .timestamp = 1000 * FRAME + 7};
}

static bench open_bench(uint32_t start_ms, uint32_t max_ms) { return open_bench_with(start_ms, 0, max_ms); }

static bench open_bench_with_minimum(uint32_t min_ms, uint32_t max_ms) {
    return open_bench_with(min_ms, min_ms, max_ms);
}

static void close_bench(bench *b) { bw_jitter_buffer_free(b->buffer); }

static void put_as(bench *b, uint8_t payload_type, const uint8_t *payload, uint32_t length) {
    uint32_t header = write_header(packet, payload_type, b->sequence, b->timestamp);
    memcpy(packet + header, payload, length);
    bw_jitter_buffer_insert(b->buffer, packet, header + length, b->now_ns);
}

static void pull(bench *b, uint32_t frames) {
    CHECK_LESS(b->heard_frames + frames, MAX_HEARD);
    b->now_ns += (int64_t)frames * 62500 / 3;
    bw_jitter_buffer_get(b->buffer, heard + 2 * b->heard_frames, frames, b->now_ns);
    b->heard_frames += frames;
}

static void pull_ms(bench *b, uint32_t ms) {
    for (uint32_t i = 0; i < ms; i += 10)
        pull(b, 480);
}

/* One packet arrives, and as long as it plays is pulled. */
static void play(bench *b, const uint8_t *payload, uint32_t length, uint32_t samples) {
    put_as(b, PAYLOAD_TYPE, payload, length);
    pull_ms(b, samples / 48);
    b->sequence++;
    b->timestamp += samples;
}

static void skip(bench *b, uint32_t samples) {
    pull_ms(b, samples / 48);
    b->sequence++;
    b->timestamp += samples;
}

static bw_receiver_stats stats_of(bench *b) {
    bw_receiver_stats stats;
    bw_jitter_buffer_get_stats(b->buffer, &stats);
    return stats;
}

static double level_of(const bench *b, uint32_t back_ms, uint32_t ms) {
    double square = 0.0;
    const float *from = heard + 2 * (b->heard_frames - back_ms * 48);
    for (uint32_t i = 0; i < 2 * ms * 48; i++)
        square += (double)from[i] * from[i];
    return decibels(sqrt(square / (2.0 * ms * 48)));
}

static simulation *tones(void) {
    static simulation sim;
    memset(&sim, 0, sizeof sim);
    sim.scenario = with_defaults((scenario){.seed = 1});
    encode_loop(&sim);
    return &sim;
}

static void play_tones(bench *b, uint32_t count) {
    static simulation *sim;
    sim = sim ? sim : tones();
    for (uint32_t i = 0; i < count; i++) {
        const encoded *frame = &sim->loop[b->timestamp / FRAME % sim->loop_count];
        play(b, frame->data, frame->length, FRAME);
    }
}

/* ------------------------------------------------------------------ silence of the sender */

typedef struct {
    OpusEncoder *encoder;
    uint64_t position;
    bool speaks;
} speaker;

static speaker open_speaker(int channels, bool dtx, bool fec) {
    int error;
    speaker s = {.encoder = opus_encoder_create(48000, channels, OPUS_APPLICATION_VOIP, &error), .speaks = true};
    opus_encoder_ctl(s.encoder, OPUS_SET_BITRATE(24000));
    opus_encoder_ctl(s.encoder, OPUS_SET_DTX(dtx));
    opus_encoder_ctl(s.encoder, OPUS_SET_INBAND_FEC(fec));
    opus_encoder_ctl(s.encoder, OPUS_SET_PACKET_LOSS_PERC(fec ? 20 : 0));
    return s;
}

static uint32_t speak(speaker *s, uint8_t *out, int samples, uint32_t channels) {
    float pcm[2 * 2880] = {0};
    if (s->speaks)
        tone_write_voice(pcm, (uint32_t)samples, channels, s->position);
    s->position += (uint64_t)samples;
    int length = opus_encode_float(s->encoder, pcm, samples, out, 1500);
    CHECK_LESS(0, length);
    return (uint32_t)length;
}

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

/* ------------------------------------------------------------------ what senders do */

static void test_op14_mono_and_stereo_and_frame_sizes_change_in_mid_stream(void) {
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

static void test_timestamps_that_are_rounded_by_one_make_no_gap(void) {
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

static void test_op16_another_ssrc_is_followed(void) {
    bench b = open_bench(20, 200);
    play_tones_of(&b, 1, 100);
    b.timestamp += 123 * FRAME;
    play_tones_of(&b, 2, 100);
    bw_receiver_stats stats = stats_of(&b);
    CHECK_EQ(stats.packets_discarded, 1); /* The first, until a second shows that it was no accident. */
    CHECK_EQ(stats.is_buffering, 0);
    CHECK_NEAR(level_of(&b, 1000, 1000), decibels(AMPLITUDE / sqrt(2.0)), 0.5);
    close_bench(&b);
}

static void test_op16_what_waits_of_another_ssrc_is_not_played_and_its_clock_is_forgotten(void) {
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

static void test_a_sender_ten_times_too_fast_is_bounded(void) {
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

static void test_four_seconds_at_once_leave_the_newest_and_no_more_than_the_maximum(void) {
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

static void test_a_pause_of_the_player_plays_the_newest_afterwards(void) {
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

/* ------------------------------------------------------------------ what is not audio */

static void test_op15_other_payload_types_are_dropped_and_counted(void) {
    bench b = open_bench(20, 200);
    play_tones(&b, 20);
    put_as(&b, 13, (const uint8_t[]){1}, 1);           /* Comfort noise. */
    put_as(&b, 126, (const uint8_t[]){1, 2, 3, 4}, 4); /* A telephone's keys. */
    play_tones(&b, 20);
    CHECK_EQ(stats_of(&b).packets_discarded, 2);
    CHECK_EQ(stats_of(&b).concealed_samples, 0);
    close_bench(&b);
}

static void test_op14_malformed_opus_is_concealed_and_counted(void) {
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

static void test_junk_is_counted_and_nothing_else_happens(void) {
    bench b = open_bench(20, 200);
    uint8_t junk[1600];
    uint32_t state = 5;
    play_tones(&b, 20);
    for (uint32_t length = 0; length < 1600; length += 7) {
        for (uint32_t i = 0; i < length; i++)
            junk[i] = (uint8_t)((state = state * 1664525u + 1013904223u) >> 24);
        if (length > 0)
            junk[0] &= 0x3F; /* Not RTP. */
        bw_jitter_buffer_insert(b.buffer, junk, length, b.now_ns);
    }
    play_tones(&b, 20);
    CHECK_EQ(stats_of(&b).packets_discarded, 229);
    CHECK_EQ(stats_of(&b).concealed_samples, 0);
    close_bench(&b);
}

static void test_red_that_is_malformed_or_holds_other_codecs_is_dropped(void) {
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
    RUN(test_op14_mono_and_stereo_and_frame_sizes_change_in_mid_stream);
    RUN(test_timestamps_that_are_rounded_by_one_make_no_gap);
    RUN(test_op16_another_ssrc_is_followed);
    RUN(test_op16_what_waits_of_another_ssrc_is_not_played_and_its_clock_is_forgotten);
    RUN(test_a_sender_ten_times_too_fast_is_bounded);
    RUN(test_four_seconds_at_once_leave_the_newest_and_no_more_than_the_maximum);
    RUN(test_a_pause_of_the_player_plays_the_newest_afterwards);
    RUN(test_op15_other_payload_types_are_dropped_and_counted);
    RUN(test_op14_malformed_opus_is_concealed_and_counted);
    RUN(test_junk_is_counted_and_nothing_else_happens);
    RUN(test_red_that_is_malformed_or_holds_other_codecs_is_dropped);
    return 0;
}
