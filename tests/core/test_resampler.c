#define _POSIX_C_SOURCE 199309L /* for clock_gettime */
/* The resampler: measured quality, and independence of block sizes, ratios and rates. */
#include "check.h"
#include "resampler.h"
#include "tone.h"

#include <string.h>
#include <time.h>

/* Skipped at the start of every measurement, while the filter fills. */
#define SKIP_FRAMES 6000
#ifdef BW_FULL_LENGTH
#define MEASURE_FRAMES 12000
#else
#define MEASURE_FRAMES 2000
#endif
#define MAX_INPUT (192000 * 3)
#define MAX_OUTPUT 18000

static float input[MAX_INPUT * 2];
static float output[MAX_OUTPUT * 8];

/* Resamples a tone in blocks of uneven size and measures the output at `expected_hz`. */
static tone_fit measure(double from_hz, double to_hz, double hz, double expected_hz, double ppm) {
    bw_resampler *resampler = bw_resampler_new(from_hz, to_hz, 1);
    CHECK(resampler != NULL);
    bw_resampler_set_ppm(resampler, ppm);
    uint32_t frames = (uint32_t)((SKIP_FRAMES + MEASURE_FRAMES + 100) * from_hz / to_hz) + 8000;
    frames = frames < MAX_INPUT ? frames : MAX_INPUT;
    tone_write(input, frames, 1, hz, from_hz, 0.9, 0);
    uint32_t produced = 0, taken = 0, block = 1;
    while (produced < SKIP_FRAMES + MEASURE_FRAMES) {
        uint32_t consumed = 0, wanted = SKIP_FRAMES + MEASURE_FRAMES - produced;
        uint32_t offered = block < frames - taken ? block : frames - taken;
        CHECK(offered > 0);
        produced += bw_resampler_process(resampler, input + taken, offered, &consumed, output + produced, wanted);
        taken += consumed;
        block = block * 7 % 1009;
    }
    bw_resampler_free(resampler);
    return tone_measure(output + SKIP_FRAMES, MEASURE_FRAMES, 1, expected_hz, to_hz);
}

static double distortion_db(tone_fit fit) { return decibels(fit.residual * sqrt(2.0) / fit.amplitude); }

static const double rates_hz[] = {8000, 11025, 16000, 22050, 32000, 44100, 48000, 88200, 96000, 176400, 192000};
#define RATES (sizeof rates_hz / sizeof rates_hz[0])

static void test_1_khz_tone_keeps_level_without_distortion_at_any_rate(void) {
    double worst_db = -300.0;
    for (size_t from = 0; from < RATES; from++) {
        for (size_t to = 0; to < RATES; to++) {
            if (rates_hz[from] != 48000 && rates_hz[to] != 48000 && from != 0 && to != 0)
                continue;
            tone_fit fit = measure(rates_hz[from], rates_hz[to], 1000.0, 1000.0, 0.0);
            CHECK_NEAR(decibels(fit.amplitude / 0.9), 0.0, 0.001);
            CHECK_LESS(distortion_db(fit), -100.0);
            worst_db = fmax(worst_db, distortion_db(fit));
        }
    }
    printf("  worst THD+N at 1 kHz: %.1f dB\n", worst_db);
}

static void test_44100_to_48000_is_flat_to_20_khz(void) {
    double worst_db = 0.0, worst_distortion_db = -300.0;
    for (double hz = 20.0; hz <= 20000.0; hz = hz < 19000.0 ? hz * 1.5 : hz + 250.0) {
        tone_fit fit = measure(44100, 48000, hz, hz, 0.0);
        worst_db = fmax(worst_db, fabs(decibels(fit.amplitude / 0.9)));
        worst_distortion_db = fmax(worst_distortion_db, distortion_db(fit));
    }
    printf("  ripple %.5f dB, worst distortion %.1f dB\n", worst_db, worst_distortion_db);
    CHECK_LESS(worst_db, 0.001);
    CHECK_LESS(worst_distortion_db, -100.0);
}

static void test_content_above_new_nyquist_frequency_is_removed(void) {
    const double pairs[][2] = {{96000, 48000}, {192000, 48000}, {192000, 8000}, {48000, 44100}, {44100, 8000}};
    double worst_db = -300.0;
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        double from_hz = pairs[i][0], to_hz = pairs[i][1];
        for (int step = 0; step < 8; step++) {
            double hz = to_hz / 2.0 * 1.002 + step * (from_hz / 2.0 - to_hz / 2.0) / 8.0;
            tone_fit fit = measure(from_hz, to_hz, hz, 0.1 * to_hz, 0.0);
            worst_db = fmax(worst_db, decibels(hypot(fit.residual * sqrt(2.0), fit.amplitude) / 0.9));
        }
    }
    printf("  loudest alias: %.1f dB\n", worst_db);
    CHECK_LESS(worst_db, -100.0);
}

static void test_ppm_shifts_tone_by_exact_ratio(void) {
    const double ppms[] = {-5000.0, -200.0, -1.0, 1.0, 200.0, 5000.0};
    for (size_t i = 0; i < sizeof ppms / sizeof ppms[0]; i++) {
        tone_fit fit = measure(48000, 48000, 1000.0, 1000.0 * (1.0 + ppms[i] * 1e-6), ppms[i]);
        CHECK_NEAR(decibels(fit.amplitude / 0.9), 0.0, 0.001);
        CHECK_LESS(distortion_db(fit), -100.0);
    }
    tone_fit clamped = measure(48000, 48000, 1000.0, 1005.0, 90000.0);
    CHECK_LESS(distortion_db(clamped), -100.0);
}

static void test_continuously_changing_ratio_makes_no_click(void) {
    bw_resampler *resampler = bw_resampler_new(48000, 48000, 1);
    tone_write(input, 48000, 1, 400.0, 48000, 0.9, 0);
    uint32_t taken = 0, consumed = 0;
    float previous = 0.0f, previous_slope = 0.0f, worst = 0.0f;
    for (uint32_t i = 0; i < 40000; i++) {
        bw_resampler_set_ppm(resampler, (i / 480) % 2 ? 5000.0 : -5000.0);
        CHECK_EQ(bw_resampler_process(resampler, input + taken, 48000 - taken, &consumed, output, 1), 1);
        taken += consumed;
        float slope = output[0] - previous;
        if (i > 1000)
            worst = fmaxf(worst, fabsf(slope - previous_slope));
        previous = output[0];
        previous_slope = slope;
    }
    bw_resampler_free(resampler);
    /* The sine's own second difference is amplitude * w^2; a click would be many times that. */
    double curvature = 0.9 * pow(2.0 * TONE_PI * 400.0 / 48000.0, 2.0);
    CHECK_LESS(worst, curvature * 1.2 + 0.0005);
}

static void test_channels_do_not_mix(void) {
    bw_resampler *resampler = bw_resampler_new(44100, 48000, 8);
    static float wide[8000 * 8];
    for (uint32_t channel = 0; channel < 8; channel++)
        tone_write(wide + channel, 8000, 8, 300.0 * (channel + 1), 44100, 0.1 * (channel + 1), 0);
    uint32_t consumed = 0;
    uint32_t produced = bw_resampler_process(resampler, wide, 8000, &consumed, output, 8500);
    CHECK_EQ(produced, 8500);
    for (uint32_t channel = 0; channel < 8; channel++) {
        tone_fit fit = tone_measure(output + 8 * 500 + channel, 8000, 8, 300.0 * (channel + 1), 48000);
        CHECK_NEAR(fit.amplitude, 0.1 * (channel + 1), 1e-4);
        CHECK_LESS(distortion_db(fit), -100.0);
    }
    bw_resampler_free(resampler);
}

static void test_latency_matches_reported_value(void) {
    bw_resampler *resampler = bw_resampler_new(48000, 48000, 1);
    uint32_t consumed = 0, peak = 0;
    memset(input, 0, sizeof(float) * 1000);
    input[100] = 1.0f;
    CHECK_EQ(bw_resampler_process(resampler, input, 1000, &consumed, output, 1000), 1000);
    for (uint32_t i = 0; i < 1000; i++)
        peak = output[i] > output[peak] ? i : peak;
    CHECK_NEAR(peak, 100 + bw_resampler_latency_frames(resampler), 1.0);
    bw_resampler_free(resampler);
}

static void test_consumed_input_matches_announced_input(void) {
    const double ratios[][2] = {{44100, 48000}, {192000, 8000}, {8000, 192000}, {48000, 48000}};
    for (size_t i = 0; i < sizeof ratios / sizeof ratios[0]; i++) {
        bw_resampler *resampler = bw_resampler_new(ratios[i][0], ratios[i][1], 2);
        bw_resampler_set_ppm(resampler, 777.0);
        for (uint32_t block = 1; block < 3000; block = block * 3 + 1) {
            uint32_t wanted = bw_resampler_input_for(resampler, block), consumed = 0;
            if (wanted > 0) {
                CHECK_LESS(bw_resampler_process(resampler, input, wanted - 1, &consumed, output, block), block);
                CHECK_EQ(consumed, wanted - 1);
                wanted = bw_resampler_input_for(resampler, 1);
                CHECK_EQ(wanted, 1);
                CHECK_EQ(bw_resampler_process(resampler, input, 1, &consumed, output, 1), 1);
                CHECK_EQ(consumed, 1);
            }
        }
        bw_resampler_free(resampler);
    }
}

static void test_reset_discards_old_input(void) {
    bw_resampler *resampler = bw_resampler_new(48000, 48000, 1);
    uint32_t consumed = 0;
    tone_write(input, 1000, 1, 1000.0, 48000, 0.9, 0);
    bw_resampler_process(resampler, input, 1000, &consumed, output, 1000);
    bw_resampler_reset(resampler);
    memset(input, 0, sizeof(float) * 1000);
    CHECK_EQ(bw_resampler_process(resampler, input, 1000, &consumed, output, 1000), 1000);
    for (uint32_t i = 0; i < 1000; i++)
        CHECK_EQ(output[i], 0.0f);
    bw_resampler_free(resampler);
}

static void test_resamplers_sharing_a_filter_do_not_share_audio(void) {
    bw_resampler *first = bw_resampler_new_band(48000, 48000, 1, 20000, 28000);
    bw_resampler *second = bw_resampler_new_like(first);
    CHECK(first != NULL && second != NULL);
    uint32_t consumed = 0;
    tone_write(input, 4000, 1, 1000.0, 48000, 0.9, 0);
    bw_resampler_process(first, input, 4000, &consumed, output, 4000);
    bw_resampler_free(first);
    memset(input, 0, sizeof(float) * 100);
    CHECK_EQ(bw_resampler_process(second, input, 100, &consumed, output, 100), 100);
    CHECK_EQ(output[99], 0.0f);
    bw_resampler_free(second);
}

/* Compares AVX code with plain code, so that measurements of one hold for the other. */
static void test_avx_and_plain_code_differ_inaudibly(void) {
    static float plain[MAX_OUTPUT];
    for (uint32_t channels = 1; channels <= 5; channels++) {
        uint32_t consumed, frames = MAX_OUTPUT / 8;
        bw_resampler *one = bw_resampler_new(44100, 48000, channels), *other = bw_resampler_new_like(one);
        bw_resampler_disable_avx(other);
        bw_resampler_set_ppm(one, 321.0);
        bw_resampler_set_ppm(other, 321.0);
        for (uint32_t channel = 0; channel < channels; channel++)
            tone_write(input + channel, frames, channels, 1000.0 + 3000.0 * channel, 44100, 0.9, 0);
        CHECK_EQ(bw_resampler_process(one, input, frames, &consumed, output, frames), frames);
        CHECK_EQ(bw_resampler_process(other, input, frames, &consumed, plain, frames), frames);
        for (uint32_t i = 0; i < frames * channels; i++)
            CHECK_NEAR(output[i], plain[i], 1e-6);
        bw_resampler_free(one);
        bw_resampler_free(other);
    }
}

static void test_out_of_range_arguments_return_null(void) {
    CHECK(bw_resampler_new(7999, 48000, 2) == NULL);
    CHECK(bw_resampler_new(48000, 192001, 2) == NULL);
    CHECK(bw_resampler_new(NAN, 48000, 2) == NULL);
    CHECK(bw_resampler_new(48000, 48000, 0) == NULL);
    CHECK(bw_resampler_new(48000, 48000, 9) == NULL);
    CHECK(bw_resampler_new_band(48000, 48000, 1, 24000, 24000) == NULL);
    bw_resampler_free(NULL);
}

static void print_cost(const char *what, bw_resampler *resampler, double rate_hz) {
    struct timespec before, after;
    uint32_t consumed = 0, frames = (uint32_t)rate_hz * 2;
    memset(input, 0, sizeof(float) * frames * 2);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
    for (uint32_t taken = 0; taken < frames; taken += consumed)
        bw_resampler_process(resampler, input + 2 * taken, frames - taken, &consumed, output, 480);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
    double seconds = (double)(after.tv_sec - before.tv_sec) + 1e-9 * (double)(after.tv_nsec - before.tv_nsec);
    printf("  %s: %.3f %% of a core\n", what, 100.0 * seconds / 2.0);
    bw_resampler_free(resampler);
}

static void print_costs(void) {
    print_cost("44.1 to 48 kHz, stereo", bw_resampler_new(44100, 48000, 2), 44100);
    print_cost("48 kHz fine, wide band, stereo", bw_resampler_new_band(48000, 48000, 2, 20000, 28000), 48000);
    print_cost("192 to 48 kHz, stereo", bw_resampler_new(192000, 48000, 2), 192000);
}

int main(void) {
    RUN(test_1_khz_tone_keeps_level_without_distortion_at_any_rate);
    RUN(test_44100_to_48000_is_flat_to_20_khz);
    RUN(test_content_above_new_nyquist_frequency_is_removed);
    RUN(test_ppm_shifts_tone_by_exact_ratio);
    RUN(test_continuously_changing_ratio_makes_no_click);
    RUN(test_channels_do_not_mix);
    RUN(test_latency_matches_reported_value);
    RUN(test_consumed_input_matches_announced_input);
    RUN(test_reset_discards_old_input);
    RUN(test_resamplers_sharing_a_filter_do_not_share_audio);
    RUN(test_avx_and_plain_code_differ_inaudibly);
    RUN(test_out_of_range_arguments_return_null);
    RUN(print_costs);
    return 0;
}
