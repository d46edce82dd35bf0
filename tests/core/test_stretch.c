/* Cutting and stretching decoded sound: exact lengths, undistorted sines, constant levels. */
#include "check.h"
#include "stretch.h"
#include "tone.h"

#include <string.h>

#define TOTAL 48000

static float sound[TOTAL * 2];
static float played[TOTAL * 4];

static void play(bw_stretch *stretch, uint32_t *count, uint32_t frames) {
    memcpy(played + 2 * *count, bw_stretch_peek(stretch), sizeof(float) * 2 * frames);
    bw_stretch_pop(stretch, frames);
    *count += frames;
}

/* Plays `sound` in pieces of 20 ms and tries a cut before every fourth. Returns the frames produced. */
static uint32_t play_with_cuts(int direction, float min_correlation, uint32_t *shifted) {
    bw_stretch stretch;
    uint32_t written = 0, count = 0;
    *shifted = 0;
    CHECK(bw_stretch_init(&stretch));
    while (written < TOTAL || bw_stretch_waiting(&stretch) >= 960) {
        while (written < TOTAL && bw_stretch_waiting(&stretch) < BW_STRETCH_LOOK_AHEAD + 480) {
            memcpy(bw_stretch_begin_write(&stretch), sound + 2 * written, sizeof(float) * 2 * 960);
            bw_stretch_end_write(&stretch, 960);
            written += 960;
        }
        if (count >= 4800 && written < TOTAL && count / 960 % 4 == 0)
            *shifted += direction > 0 ? bw_stretch_remove(&stretch, 1200, min_correlation)
                                      : bw_stretch_insert(&stretch, 1200, min_correlation);
        play(&stretch, &count, 960);
    }
    play(&stretch, &count, bw_stretch_waiting(&stretch));
    bw_stretch_destroy(&stretch);
    return count;
}

static void make_tones(double left_hz, double right_hz) {
    tone_write(sound, TOTAL, 2, left_hz, 48000, 0.5, 0);
    tone_write(sound + 1, TOTAL, 2, right_hz, 48000, 0.5, 0);
}

/* The largest residual of any 5 ms against a sine of this frequency. */
static double worst_break(uint32_t frames, uint32_t channel, double hz) {
    double worst = 0.0;
    for (uint32_t at = 4800; at + 240 < frames; at += 60)
        worst = fmax(worst, tone_measure(played + 2 * at + channel, 240, 2, hz, 48000).residual);
    return worst;
}

static void check_tones(int direction, double left_hz, double right_hz) {
    uint32_t shifted;
    make_tones(left_hz, right_hz);
    uint32_t frames = play_with_cuts(direction, 0.95f, &shifted);
    CHECK_AT_LEAST(shifted, 4800);
    CHECK_EQ(frames, direction > 0 ? TOTAL - shifted : TOTAL + shifted);
    CHECK_LESS(worst_break(frames, 0, left_hz), 0.02);
    CHECK_LESS(worst_break(frames, 1, right_hz), 0.02);
}

static void test_removal_keeps_two_different_sines_intact(void) {
    check_tones(1, 440.0, 880.0);
    check_tones(1, 1000.0, 1500.0);
    check_tones(1, 60.0, 60.0);
    check_tones(1, 3217.0, 3217.0);
}

static void test_insertion_keeps_two_different_sines_intact(void) {
    check_tones(-1, 440.0, 880.0);
    check_tones(-1, 1000.0, 1500.0);
    check_tones(-1, 60.0, 60.0);
    check_tones(-1, 3217.0, 3217.0);
}

static void test_channels_in_opposite_phase_are_not_treated_as_silence(void) {
    uint32_t shifted;
    make_tones(300.0, 300.0);
    for (uint32_t i = 0; i < TOTAL; i++)
        sound[2 * i + 1] = -sound[2 * i];
    uint32_t frames = play_with_cuts(1, 0.95f, &shifted);
    CHECK_AT_LEAST(shifted, 4800);
    CHECK_LESS(worst_break(frames, 0, 300.0), 0.02);
}

static void make_noise(void) {
    uint32_t state = 1;
    for (uint32_t i = 0; i < TOTAL * 2; i++) {
        state = state * 1664525u + 1013904223u;
        sound[i] = (float)(int32_t)state / 4294967296.0f;
    }
}

static void test_noise_is_cut_only_at_low_correlation_and_keeps_its_power(void) {
    uint32_t shifted;
    make_noise();
    CHECK_EQ(play_with_cuts(1, 0.9f, &shifted), TOTAL);
    CHECK_EQ(shifted, 0);
    uint32_t frames = play_with_cuts(1, -1.0f, &shifted);
    CHECK_AT_LEAST(shifted, 4800);
    for (uint32_t at = 4800; at + 480 < frames; at += 120) {
        double square = 0.0;
        for (uint32_t i = 0; i < 960; i++)
            square += (double)played[2 * at + i] * played[2 * at + i];
        CHECK_NEAR(decibels(sqrt(square / 960.0) / 0.2887), 0.0, 1.5);
    }
}

static void test_silence_is_cut_by_maximum_anywhere(void) {
    uint32_t shifted;
    memset(sound, 0, sizeof sound);
    play_with_cuts(1, 0.99f, &shifted);
    CHECK_EQ(shifted % 1200, 0);
    CHECK_AT_LEAST(shifted, 6000);
}

static void test_too_little_sound_is_not_cut(void) {
    bw_stretch stretch;
    CHECK(bw_stretch_init(&stretch));
    CHECK_EQ(bw_stretch_insert(&stretch, 1200, -1.0f), 0);
    memset(bw_stretch_begin_write(&stretch), 0, sizeof(float) * 2 * 599);
    bw_stretch_end_write(&stretch, 599);
    CHECK_EQ(bw_stretch_remove(&stretch, 1200, -1.0f), 0);
    CHECK_EQ(bw_stretch_remove(&stretch, 119, -1.0f), 0);
    CHECK_EQ(bw_stretch_waiting(&stretch), 599);
    CHECK_EQ(bw_stretch_insert(&stretch, 119, -1.0f), 0);
    bw_stretch_destroy(&stretch);
}

/* Joins 100 ms of sound in phase with the same sound restarted at `jump`. */
static int32_t join(bw_stretch *stretch, uint32_t jump, uint32_t frames, uint32_t max_sooner) {
    CHECK(bw_stretch_init(stretch));
    memcpy(bw_stretch_begin_write(stretch), sound, sizeof(float) * 2 * 4800);
    bw_stretch_end_write(stretch, 4800);
    bw_stretch_pop(stretch, 4700);
    memcpy(bw_stretch_begin_write(stretch), sound + 2 * (4800 + jump), sizeof(float) * 2 * frames);
    return bw_stretch_end_write_in_phase(stretch, frames, max_sooner);
}

static void test_sound_after_a_gap_is_joined_in_phase(void) {
    for (uint32_t jump = 0; jump < 110; jump += 7) {
        bw_stretch stretch;
        make_tones(450.0, 900.0);
        int32_t shift = join(&stretch, jump, 960, 720);
        uint32_t frames = bw_stretch_waiting(&stretch);
        CHECK_EQ(frames, 100 + 960 + shift);
        CHECK_AT_MOST(abs(shift), 60); /* half a period of 450 Hz is 53 */
        memcpy(played, bw_stretch_peek(&stretch), sizeof(float) * 2 * frames);
        for (uint32_t at = 0; at + 240 < frames; at += 20) {
            CHECK_LESS(tone_measure(played + 2 * at, 240, 2, 450.0, 48000).residual, 0.02);
            CHECK_LESS(tone_measure(played + 2 * at + 1, 240, 2, 900.0, 48000).residual, 0.02);
        }
        bw_stretch_destroy(&stretch);
    }
}

static void test_sound_is_never_joined_earlier_than_allowed(void) {
    for (uint32_t jump = 0; jump < 110; jump += 7) {
        bw_stretch stretch;
        make_tones(450.0, 900.0);
        CHECK_AT_LEAST(join(&stretch, jump, 960, 20), -20);
        bw_stretch_destroy(&stretch);
    }
}

/* AddressSanitizer detects writes past the buffer. */
static void test_longest_packet_fits_at_any_join(void) {
    make_tones(75.0, 150.0);
    for (uint32_t before = 3600; before <= 5760; before += 120) {
        bw_stretch stretch;
        CHECK(bw_stretch_init(&stretch));
        memcpy(bw_stretch_begin_write(&stretch), sound, sizeof(float) * 2 * before);
        bw_stretch_end_write(&stretch, before);
        bw_stretch_pop(&stretch, before - 100);
        memcpy(bw_stretch_begin_write(&stretch), sound + 2 * (before + 560), sizeof(float) * 2 * 5760);
        int32_t shift = bw_stretch_end_write_in_phase(&stretch, 5760, 0);
        CHECK_NEAR(shift, 560, 4);
        CHECK_EQ(bw_stretch_waiting(&stretch), 100 + 5760 + shift);
        bw_stretch_destroy(&stretch);
    }
}

static void test_aperiodic_sound_is_joined_unmoved(void) {
    bw_stretch stretch;
    make_noise();
    CHECK_EQ(join(&stretch, 1000, 960, 720), 0);
    CHECK_EQ(bw_stretch_waiting(&stretch), 100 + 960);
    CHECK_EQ(memcmp(bw_stretch_peek(&stretch) + 2 * 100, sound + 2 * 5800, sizeof(float) * 2 * 960), 0);
    bw_stretch_destroy(&stretch);
}

static void test_very_short_pieces_are_joined_unmoved(void) {
    bw_stretch stretch;
    make_tones(450.0, 450.0);
    CHECK_EQ(join(&stretch, 50, 240, 720), 0);
    CHECK_EQ(bw_stretch_waiting(&stretch), 340);
    bw_stretch_destroy(&stretch);
}

static void test_only_periodic_sound_is_extrapolated(void) {
    bw_stretch stretch;
    make_tones(450.0, 900.0);
    join(&stretch, 0, 960, 720);
    CHECK(bw_stretch_extrapolate(&stretch, played, 960));
    CHECK_LESS(tone_measure(played, 960, 2, 450.0, 48000).residual, 0.02);
    CHECK_NEAR(played[0], sound[2 * 5760], 0.02);
    bw_stretch_destroy(&stretch);
    make_noise();
    join(&stretch, 0, 960, 720);
    CHECK(!bw_stretch_extrapolate(&stretch, played, 960));
    bw_stretch_reset(&stretch);
    CHECK(!bw_stretch_extrapolate(&stretch, played, 960));
    bw_stretch_destroy(&stretch);
}

int main(void) {
    RUN(test_removal_keeps_two_different_sines_intact);
    RUN(test_insertion_keeps_two_different_sines_intact);
    RUN(test_channels_in_opposite_phase_are_not_treated_as_silence);
    RUN(test_noise_is_cut_only_at_low_correlation_and_keeps_its_power);
    RUN(test_silence_is_cut_by_maximum_anywhere);
    RUN(test_too_little_sound_is_not_cut);
    RUN(test_sound_after_a_gap_is_joined_in_phase);
    RUN(test_sound_is_never_joined_earlier_than_allowed);
    RUN(test_longest_packet_fits_at_any_join);
    RUN(test_aperiodic_sound_is_joined_unmoved);
    RUN(test_very_short_pieces_are_joined_unmoved);
    RUN(test_only_periodic_sound_is_extrapolated);
    return 0;
}
