/* Sources: conversion, end, live clocks. A fake BASS replaces the real one; time is the number of reads. */
#include "../../src/bass_webrtc/core/internal.h"
#include "check.h"

#include <string.h>

#define FRAME 960
#define BASS_FLOAT 0x40000000u
#define BASS_ERROR 0xFFFFFFFFu

/* ---- a fake BASS channel */

static struct {
    uint32_t channels;
    double hz, rate_hz;
    uint64_t position;
    uint32_t available; /* frames that can be read; UINT32_MAX: unlimited */
    bool ended;
    int error;      /* of the calls after the end */
    uint32_t calls; /* of fake_get_data */
} bass;

static int fake_get_error(void) { return bass.error; }

static uint32_t fake_get_data(uint32_t handle, void *buffer, uint32_t length) {
    CHECK_EQ(handle, 77);
    bass.calls++;
    CHECK(length & BASS_FLOAT);
    uint32_t frames = (length & ~BASS_FLOAT) / (bass.channels * 4);
    frames = frames < bass.available ? frames : bass.available;
    if (frames == 0 && bass.ended)
        return BASS_ERROR;
    float *out = buffer;
    for (uint32_t i = 0; i < frames; i++, bass.position++) {
        for (uint32_t c = 0; c < bass.channels; c++)
            *out++ = (float)(0.5 * sin(6.283185307179586 * bass.hz * (double)bass.position / bass.rate_hz));
    }
    if (bass.available != UINT32_MAX)
        bass.available -= frames;
    return frames * bass.channels * 4;
}

static bw_source *open_bass(uint32_t rate_hz, uint32_t channels, bool live) {
    memset(&bass, 0, sizeof bass);
    bass.channels = channels;
    bass.hz = 1000;
    bass.rate_hz = rate_hz;
    bass.available = live ? 0 : UINT32_MAX;
    bass.error = 45;
    bw_source *source = bw_source_new_bass((void *)fake_get_data, (void *)fake_get_error, 77, rate_hz, channels, live);
    CHECK(source != NULL);
    return source;
}

static double rms(const float *samples, uint32_t count) {
    double sum = 0;
    for (uint32_t i = 0; i < count; i++)
        sum += (double)samples[i] * samples[i];
    return sqrt(sum / count);
}

/* The largest difference between neighbouring samples of one channel: a gap or click in a sine makes it large. */
static double largest_step(const float *samples, uint32_t frames) {
    double largest = 0;
    for (uint32_t i = 1; i < frames; i++) {
        double step = fabs((double)samples[2 * i] - samples[2 * i - 2]);
        largest = step > largest ? step : largest;
    }
    return largest;
}

#define STEP_OF_1_KHZ 0.0655 /* 0.5 × 2π × 1000 / 48000 */

/* ---- conversion and end */

static void test_any_rate_and_channel_count_becomes_48_khz_stereo(void) {
    const uint32_t rates[] = {8000, 22050, 44100, 48000, 96000, 192000};
    static float output[50 * FRAME * 2];
    for (int r = 0; r < 6; r++) {
        for (uint32_t channels = 1; channels <= 8; channels++) {
            bw_source *source = open_bass(rates[r], channels, false);
            for (int i = 0; i < 50; i++)
                CHECK_EQ(bw_source_read(source, output + (size_t)i * FRAME * 2, FRAME), FRAME);
            CHECK_NEAR(rms(output + FRAME * 20, FRAME * 20), 0.5 / sqrt(2), 0.01);
            CHECK_AT_MOST(largest_step(output + FRAME * 20, FRAME * 30), STEP_OF_1_KHZ * 1.02);
            bw_source_free(source);
        }
    }
}

static void test_mono_plays_on_both_channels_and_stereo_is_not_mixed(void) {
    float output[FRAME * 2], input[FRAME * 2];
    for (uint32_t i = 0; i < FRAME; i++) {
        input[2 * i] = 0.25f;
        input[2 * i + 1] = -0.5f;
    }
    bw_source *stereo = bw_source_new_pcm(48000, 2), *mono = bw_source_new_pcm(48000, 1);
    CHECK_EQ(bw_source_write(stereo, input, FRAME), FRAME);
    CHECK_EQ(bw_source_read(stereo, output, FRAME), FRAME);
    CHECK_EQ(memcmp(output, input, sizeof input), 0);
    CHECK_EQ(bw_source_write(mono, input, FRAME), FRAME);
    CHECK_EQ(bw_source_read(mono, output, FRAME), FRAME);
    CHECK_EQ(output[0], 0.25f);
    CHECK_EQ(output[1], 0.25f);
    CHECK_EQ(output[2], -0.5f);
    CHECK_EQ(output[3], -0.5f);
    bw_source_free(stereo);
    bw_source_free(mono);
}

static void test_nan_becomes_silence_and_excess_level_is_limited(void) {
    float output[8], input[8] = {NAN, INFINITY, -INFINITY, 1e30f, 0.5f, 2.0f, -NAN, 0};
    bw_source *source = bw_source_new_pcm(48000, 2);
    CHECK_EQ(bw_source_write(source, input, 4), 4);
    CHECK_EQ(bw_source_read(source, output, 4), 4);
    const float expected[8] = {0, 4, -4, 4, 0.5f, 2, 0, 0};
    CHECK_EQ(memcmp(output, expected, sizeof expected), 0);
    bw_source_free(source);
}

static void test_full_pcm_ring_accepts_what_fits(void) {
    static float input[48000 * 2];
    bw_source *source = bw_source_new_pcm(48000, 2);
    CHECK(bw_source_is_idle(source));
    CHECK_EQ(bw_source_space(source), 24000);
    CHECK_EQ(bw_source_write(source, input, 48000), 24000);
    CHECK_EQ(bw_source_write(source, input, 1), 0);
    float output[FRAME * 2];
    CHECK_EQ(bw_source_read(source, output, FRAME), FRAME);
    CHECK(!bw_source_is_idle(source));
    CHECK_EQ(bw_source_space(source), FRAME);
    bw_source_free(source);
}

static void test_failed_channel_ends_after_its_last_sample(void) {
    float output[FRAME * 2];
    bw_source *source = open_bass(48000, 2, false);
    bass.available = FRAME + 100;
    bass.ended = true;
    CHECK_EQ(bw_source_read(source, output, FRAME), FRAME);
    CHECK(!bw_source_has_ended(source));
    CHECK_EQ(bw_source_read(source, output, FRAME), 100);
    CHECK_EQ(output[200], 0);
    CHECK(bw_source_has_ended(source));
    CHECK_EQ(bw_source_read(source, output, FRAME), 0);
    bw_source_free(source);
}

/* One call per frame looks for new audio; each end counts once. */
static void test_channel_that_gives_audio_again_is_heard_again(void) {
    float output[FRAME * 2];
    bw_source *source = open_bass(48000, 2, false);
    for (uint32_t round = 1; round <= 3; round++) {
        bass.available = 2 * FRAME;
        bass.ended = true;
        CHECK_EQ(bw_source_read(source, output, FRAME), FRAME);
        CHECK(!bw_source_has_ended(source));
        CHECK_EQ(bw_source_read(source, output, FRAME), FRAME);
        for (int i = 0; i < 10; i++) {
            uint32_t before = bass.calls;
            CHECK_EQ(bw_source_read(source, output, FRAME), 0);
            CHECK_EQ(bass.calls, before + 1);
            CHECK(bw_source_has_ended(source));
            CHECK_EQ(bw_source_ends(source), round);
            CHECK_EQ(bw_source_error(source), 45);
        }
    }
    /* A refilled stream without data yet: not an error any more, but nothing to hear either. */
    bass.ended = false;
    CHECK_EQ(bw_source_read(source, output, FRAME), 0);
    CHECK(bw_source_has_ended(source));
    bw_source_free(source);
}

/* BASS may give its number to another channel, which is not ours to read. */
static void test_freed_channel_is_never_read_again(void) {
    float output[FRAME * 2];
    bw_source *source = open_bass(48000, 2, false);
    bass.available = 0;
    bass.ended = true;
    CHECK_EQ(bw_source_read(source, output, FRAME), 0);
    CHECK_EQ(bw_source_error(source), 45);
    bass.error = 5;
    CHECK_EQ(bw_source_read(source, output, FRAME), 0);
    CHECK_EQ(bw_source_error(source), 45); /* why it ended, not what was done with it afterwards */
    uint32_t calls = bass.calls;
    bass.available = UINT32_MAX;
    for (int i = 0; i < 10; i++)
        CHECK_EQ(bw_source_read(source, output, FRAME), 0);
    CHECK_EQ(bass.calls, calls);
    CHECK_EQ(bw_source_ends(source), 1);
    bw_source_free(source);
}

static void test_samples_written_after_an_end_are_played(void) {
    float output[FRAME * 2], input[FRAME * 2] = {0};
    bw_source *source = bw_source_new_pcm(48000, 2);
    for (uint32_t round = 1; round <= 3; round++) {
        for (int i = 0; i < FRAME * 2; i++)
            input[i] = 0.1f * (float)round;
        CHECK_EQ(bw_source_write(source, input, 300), 300);
        bw_source_end(source);
        CHECK_EQ(bw_source_write(source, input, FRAME), FRAME); /* before the end has been reached */
        CHECK_EQ(bw_source_read(source, output, FRAME), 300);
        CHECK_EQ(bw_source_ends(source), round);
        CHECK(bw_source_has_ended(source));
        CHECK_EQ(bw_source_read(source, output, FRAME), FRAME);
        CHECK(!bw_source_has_ended(source));
        CHECK_EQ(memcmp(output, input, sizeof input), 0);
        CHECK_EQ(bw_source_read(source, output, FRAME), 0);
        CHECK(!bw_source_has_ended(source)); /* an underrun, not an end */
    }
    bw_source_free(source);
}

static void test_stalled_network_stream_has_not_ended(void) {
    float output[FRAME * 2];
    bw_source *source = open_bass(44100, 2, false);
    bass.available = 2000;
    CHECK_EQ(bw_source_read(source, output, FRAME), FRAME);
    CHECK_COMPARE(bw_source_read(source, output, FRAME) + bw_source_read(source, output, FRAME), <, 2 * FRAME);
    CHECK(!bw_source_has_ended(source));
    CHECK(!bw_source_is_idle(source));
    bass.available = UINT32_MAX;
    CHECK_EQ(bw_source_read(source, output, FRAME), FRAME);
    bw_source_free(source);
}

/* ---- live: a device with its own clock and block size */

typedef struct {
    double device_hz; /* actual rate of its nominal 48 kHz */
    uint32_t block;   /* frames per delivery */
    double owed;
} device;

static void run_device(device *d, double elapsed_s) {
    d->owed += d->device_hz * elapsed_s;
    while (d->owed >= d->block) {
        d->owed -= d->block;
        bass.available += d->block;
    }
}

/* Runs one minute with a device whose clock difference adds up to 90 ms: no gap after the start, no click. */
static void follow_a_device(double ppm, uint32_t block) {
    static float output[FRAME * 2 * 50];
    device d = {48000 * (1 + ppm * 1e-6), block, 0};
    bw_source *source = open_bass(48000, 2, true);
    uint32_t short_reads = 0, reads = 60 * 50;
    for (uint32_t i = 0; i < reads; i++) {
        run_device(&d, 0.02);
        float *at = output + (size_t)(i % 50) * FRAME * 2;
        if (bw_source_read(source, at, FRAME) < FRAME)
            short_reads += i > 25;
        if (i % 50 == 49 && i > 100) {
            CHECK_NEAR(rms(output, FRAME * 2 * 50), 0.5 / sqrt(2), 0.01);
            CHECK_AT_MOST(largest_step(output, FRAME * 50), STEP_OF_1_KHZ * 1.02);
        }
    }
    CHECK_EQ(short_reads, 0);
    bw_source_free(source);
}

static void test_live_source_follows_fast_device(void) { follow_a_device(1500, 480); }

static void test_live_source_follows_slow_device(void) { follow_a_device(-1500, 480); }

static void test_live_source_follows_device_with_25_ms_blocks(void) { follow_a_device(0, 1200); }

/* A sender that was suspended finds a backlog: the oldest audio is dropped and the delay is small again. */
static void test_live_source_drops_backlog(void) {
    float output[FRAME * 2];
    device d = {48000, 480, 0};
    bw_source *source = open_bass(48000, 2, true);
    for (int i = 0; i < 50; i++) {
        run_device(&d, 0.02);
        bw_source_read(source, output, FRAME);
    }
    bass.available += 48000; /* one second at once */
    uint64_t before = bass.position;
    for (int i = 0; i < 50; i++) {
        run_device(&d, 0.02);
        CHECK_EQ(bw_source_read(source, output, FRAME), FRAME);
    }
    CHECK_NEAR((double)(bass.position - before), 96000, 2000);
    bw_source_free(source);
}

/* The buffer fills again before the sound begins, so that it does not begin with a gap. */
static void test_live_source_that_returns_fills_its_buffer_first(void) {
    float output[FRAME * 2];
    device d = {48000, 480, 0};
    bw_source *source = open_bass(48000, 2, true);
    for (int round = 0; round < 2; round++) {
        bass.ended = false;
        for (int i = 0; i < 50; i++) {
            run_device(&d, 0.02);
            uint32_t got = bw_source_read(source, output, FRAME);
            CHECK(got == FRAME || bw_source_is_idle(source));
        }
        CHECK(!bw_source_is_idle(source));
        bass.available = 0;
        bass.ended = true;
        for (int i = 0; i < 10; i++)
            bw_source_read(source, output, FRAME);
        CHECK_EQ(bw_source_read(source, output, FRAME), 0);
        CHECK(bw_source_is_idle(source));
        CHECK_EQ(bw_source_ends(source), round + 1);
    }
    bw_source_free(source);
}

static void test_invalid_arguments_are_rejected(void) {
    CHECK(bw_source_new_pcm(7999, 2) == NULL);
    CHECK(bw_source_new_pcm(192001, 2) == NULL);
    CHECK(bw_source_new_pcm(48000, 0) == NULL);
    CHECK(bw_source_new_pcm(48000, 9) == NULL);
}

int main(void) {
    RUN(test_any_rate_and_channel_count_becomes_48_khz_stereo);
    RUN(test_mono_plays_on_both_channels_and_stereo_is_not_mixed);
    RUN(test_nan_becomes_silence_and_excess_level_is_limited);
    RUN(test_full_pcm_ring_accepts_what_fits);
    RUN(test_failed_channel_ends_after_its_last_sample);
    RUN(test_channel_that_gives_audio_again_is_heard_again);
    RUN(test_freed_channel_is_never_read_again);
    RUN(test_samples_written_after_an_end_are_played);
    RUN(test_stalled_network_stream_has_not_ended);
    RUN(test_live_source_follows_fast_device);
    RUN(test_live_source_follows_slow_device);
    RUN(test_live_source_follows_device_with_25_ms_blocks);
    RUN(test_live_source_drops_backlog);
    RUN(test_live_source_that_returns_fills_its_buffer_first);
    RUN(test_invalid_arguments_are_rejected);
    return 0;
}
