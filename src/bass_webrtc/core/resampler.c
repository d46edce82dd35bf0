/*
 *             history, one row per channel                      table: phases + 1 rows of taps
 *   input ─► [ . . . . | x x x x x x x x | . . . ]              row p ──┐
 *                        └── taps ──┘                           row p+1 ┴─ blended by the rest of the phase ─► kernel
 *                             └────────────── dot product ──────────────────────────────────────────────────────┘
 *
 * Kaiser's formulas for window shape and length: Oppenheim and Schafer, Discrete-Time Signal Processing, 7.5.3.
 */
#include "resampler.h"

#include "lanes.h"

#include <math.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#ifdef __x86_64__
#include <immintrin.h>
#endif

#define PI 3.14159265358979323846
#define LANES 8 /* Partial sums of a dot product, for all vector widths. */
#define STOP_BAND_DB 110.0
#define PHASES 512        /* Per zero crossing of the kernel: keeps the interpolation error below -105 dB. */
#define PASS_BAND 0.907   /* Of the lower Nyquist frequency: 20 kHz at 44.1 kHz. */
#define BLOCK_FRAMES 1024 /* Room behind the kernel, so that the history moves only once per this many frames. */

typedef struct {
    atomic_uint owners;
    uint32_t taps;   /* A multiple of LANES. */
    uint32_t phases; /* Per input frame. The table has one more row, which is row 0 one frame later. */
    float table[];
} filter;

struct bw_resampler {
    filter *filter;
    uint32_t (*make_frames)(bw_resampler *resampler, float *output, uint32_t frames);
    uint32_t channels;
    double ratio;      /* Input frames per output frame, without the fine adjustment. */
    double step;       /* The same, with it. */
    double phase;      /* Of the next output frame, relative to `start`; 0 <= phase < 1 once it can be produced. */
    uint32_t start;    /* First history frame under the kernel. */
    uint32_t end;      /* Frames in history. */
    uint32_t capacity; /* Of each channel's history. */
    float *history;    /* channels x capacity. */
};

/* ------------------------------------------------------------------ filter design: not real-time */

static double bessel_i0(double x) {
    double term = 1.0, sum = 1.0;
    for (int k = 1; term > 1e-12 * sum; k++) {
        term *= (x / (2.0 * k)) * (x / (2.0 * k));
        sum += term;
    }
    return sum;
}

static double sinc(double x) { return fabs(x) < 1e-9 ? 1.0 : sin(PI * x) / (PI * x); }

/* The kernel at `time` input frames from its centre, unnormalized. cutoff: as a share of the input rate. */
static double kernel_at(double time, double half_length, double cutoff) {
    double beta = 0.1102 * (STOP_BAND_DB - 8.7);
    double edge = time / half_length;
    return fabs(edge) >= 1.0 ? 0.0 : sinc(2.0 * cutoff * time) * bessel_i0(beta * sqrt(1.0 - edge * edge));
}

/* Row p holds the kernel for a point p/phases of a frame after the centre. Each row has unity gain at 0 Hz. */
static void fill_row(const filter *filter, float *row, uint32_t phase, double cutoff) {
    double half_length = filter->taps / 2.0;
    double offset = half_length - 1.0 + (double)phase / filter->phases;
    double sum = 0.0;
    for (uint32_t tap = 0; tap < filter->taps; tap++)
        sum += kernel_at(tap - offset, half_length, cutoff);
    for (uint32_t tap = 0; tap < filter->taps; tap++)
        row[tap] = (float)(kernel_at(tap - offset, half_length, cutoff) / sum);
}

static filter *filter_new(double input_hz, double pass_hz, double stop_hz) {
    double transition = 2.0 * PI * (stop_hz - pass_hz) / input_hz;
    double cutoff = (pass_hz + stop_hz) / (2.0 * input_hz);
    uint32_t taps = (uint32_t)ceil((STOP_BAND_DB - 7.95) / (2.285 * transition) / LANES) * LANES;
    /* A kernel with a lower cutoff is smoother and needs fewer rows for the same precision. */
    uint32_t phases = (uint32_t)ceil(PHASES * fmin(1.0, 2.0 * cutoff));
    filter *made = malloc(sizeof *made + sizeof(float) * taps * (phases + 1));
    if (made == NULL)
        return NULL;
    atomic_init(&made->owners, 1);
    made->taps = taps;
    made->phases = phases;
    for (uint32_t phase = 0; phase <= phases; phase++)
        fill_row(made, made->table + (size_t)phase * taps, phase, cutoff);
    return made;
}

static void filter_release(filter *filter) {
    if (atomic_fetch_sub(&filter->owners, 1) == 1)
        free(filter);
}

/* ------------------------------------------------------------------ output frames: real-time */

/*
 * One output frame of two channels: the kernel, interpolated between two rows, times both histories. taps: a multiple
 * of LANES.
 */
typedef void (*summation)(const float *row, uint32_t taps, float share, const float *left, const float *right,
                          float *sums);

ALWAYS_INLINE void sum_plain(const float *row, uint32_t taps, float share, const float *left, const float *right,
                             float *sums) {
    lanes left_even = {0}, left_odd = {0}, right_even = {0}, right_odd = {0};
    for (uint32_t i = 0; i < taps; i += 8) {
        lanes even = lanes_load(row + i) + share * (lanes_load(row + taps + i) - lanes_load(row + i));
        lanes odd = lanes_load(row + i + 4) + share * (lanes_load(row + taps + i + 4) - lanes_load(row + i + 4));
        left_even += even * lanes_load(left + i);
        left_odd += odd * lanes_load(left + i + 4);
        right_even += even * lanes_load(right + i);
        right_odd += odd * lanes_load(right + i + 4);
    }
    sums[0] = lanes_total(left_even + left_odd);
    sums[1] = lanes_total(right_even + right_odd);
}

#ifdef __x86_64__
#define WIDE __attribute__((target("avx,fma")))

WIDE ALWAYS_INLINE float total_wide(__m256 sum) {
    return lanes_total((lanes)_mm256_castps256_ps128(sum) + (lanes)_mm256_extractf128_ps(sum, 1));
}

WIDE ALWAYS_INLINE void sum_wide(const float *row, uint32_t taps, float share, const float *left, const float *right,
                                 float *sums) {
    __m256 left_sum = _mm256_setzero_ps(), right_sum = _mm256_setzero_ps(), shares = _mm256_set1_ps(share);
    for (uint32_t i = 0; i < taps; i += 8) {
        __m256 here = _mm256_loadu_ps(row + i), next = _mm256_loadu_ps(row + taps + i);
        __m256 kernel = _mm256_fmadd_ps(shares, _mm256_sub_ps(next, here), here);
        left_sum = _mm256_fmadd_ps(kernel, _mm256_loadu_ps(left + i), left_sum);
        right_sum = _mm256_fmadd_ps(kernel, _mm256_loadu_ps(right + i), right_sum);
    }
    sums[0] = total_wide(left_sum);
    sums[1] = total_wide(right_sum);
}

#endif

/* Produces as many frames as the history covers. Whole frames of the phase advance the kernel; a large step may end
 * behind the history. */
ALWAYS_INLINE uint32_t make_frames(bw_resampler *resampler, float *restrict output, uint32_t frames, summation sum) {
    const filter *filter = resampler->filter;
    const uint32_t channels = resampler->channels, taps = filter->taps, end = resampler->end;
    uint32_t start = resampler->start, produced = 0;
    double phase = resampler->phase;
    for (; produced < frames; produced++, phase += resampler->step, output += channels) {
        uint32_t whole = (uint32_t)phase, spare = end - start, move = whole < spare ? whole : spare;
        start += move;
        phase -= move;
        if (whole > move || end - start < taps)
            break;
        double position = phase * filter->phases;
        uint32_t row = (uint32_t)position;
        for (uint32_t channel = 0; channel < channels; channel += 2) {
            uint32_t pair =
                channel + 1 < channels ? 2 : 1; /* The last channel of an odd number is paired with itself. */
            const float *left = resampler->history + (size_t)channel * resampler->capacity + start;
            float sums[2];
            sum(filter->table + (size_t)row * taps, taps, (float)(position - row), left,
                left + (size_t)(pair - 1) * resampler->capacity, sums);
            memcpy(output + channel, sums, sizeof(float) * pair);
        }
    }
    resampler->start = start;
    resampler->phase = phase;
    return produced;
}

static uint32_t frames_plain(bw_resampler *resampler, float *output, uint32_t frames) {
    return make_frames(resampler, output, frames, sum_plain);
}

#ifdef __x86_64__

WIDE static uint32_t frames_wide(bw_resampler *resampler, float *output, uint32_t frames) {
    return make_frames(resampler, output, frames, sum_wide);
}

static bool has_wide(void) { return __builtin_cpu_supports("avx") && __builtin_cpu_supports("fma"); }

#else

#define frames_wide frames_plain

static bool has_wide(void) { return false; }

#endif

/* ------------------------------------------------------------------ life: not real-time */

static bw_resampler *make(filter *filter, uint32_t channels, double ratio) {
    bw_resampler *resampler = calloc(1, sizeof *resampler);
    if (resampler == NULL)
        return NULL;
    atomic_fetch_add(&filter->owners, 1);
    resampler->filter = filter;
    resampler->channels = channels;
    resampler->ratio = resampler->step = ratio;
    resampler->capacity = 2 * filter->taps + BLOCK_FRAMES;
    resampler->make_frames = has_wide() ? frames_wide : frames_plain;
    resampler->history = malloc(sizeof(float) * channels * resampler->capacity);
    if (resampler->history == NULL) {
        bw_resampler_free(resampler);
        return NULL;
    }
    bw_resampler_reset(resampler);
    return resampler;
}

bw_resampler *bw_resampler_new_band(double input_hz, double output_hz, uint32_t channels, double pass_hz,
                                    double stop_hz) {
    int rates_fit = input_hz >= 8e3 && input_hz <= 192e3 && output_hz >= 8e3 && output_hz <= 192e3;
    int band_fits = pass_hz > 0.0 && stop_hz >= pass_hz + 100.0 && stop_hz <= input_hz;
    if (!rates_fit || !band_fits || channels < 1 || channels > BW_RESAMPLER_MAX_CHANNELS)
        return NULL;
    filter *filter = filter_new(input_hz, pass_hz, stop_hz);
    if (filter == NULL)
        return NULL;
    bw_resampler *resampler = make(filter, channels, input_hz / output_hz);
    filter_release(filter);
    return resampler;
}

bw_resampler *bw_resampler_new(double input_hz, double output_hz, uint32_t channels) {
    double nyquist_hz = fmin(input_hz, output_hz) / 2.0;
    return bw_resampler_new_band(input_hz, output_hz, channels, PASS_BAND * nyquist_hz, nyquist_hz);
}

bw_resampler *bw_resampler_new_like(const bw_resampler *other) {
    return make(other->filter, other->channels, other->ratio);
}

void bw_resampler_free(bw_resampler *resampler) {
    if (resampler == NULL)
        return;
    filter_release(resampler->filter);
    free(resampler->history);
    free(resampler);
}

/* ------------------------------------------------------------------ conversion: real-time */

void bw_resampler_reset(bw_resampler *resampler) {
    /* One frame short of a kernel, so that the first input frame produces the first output frame. */
    resampler->start = 0;
    resampler->end = resampler->filter->taps - 1;
    resampler->phase = 0.0;
    memset(resampler->history, 0, sizeof(float) * resampler->channels * resampler->capacity);
}

void bw_resampler_set_ppm(bw_resampler *resampler, double ppm) {
    double clamped = fmax(-BW_RESAMPLER_MAX_PPM, fmin(BW_RESAMPLER_MAX_PPM, ppm));
    resampler->step = resampler->ratio * (1.0 + clamped * 1e-6);
}

double bw_resampler_latency_frames(const bw_resampler *resampler) { return resampler->filter->taps / 2.0; }

uint32_t bw_resampler_input_for(const bw_resampler *resampler, uint32_t output_frames) {
    if (output_frames == 0)
        return 0;
    double last = floor(resampler->phase + (output_frames - 1) * resampler->step);
    double needed = resampler->start + last + resampler->filter->taps - resampler->end;
    return needed > 0.0 ? (uint32_t)needed : 0;
}

/* Makes room by dropping frames that no output needs any more. */
static void drop_used(bw_resampler *resampler) {
    uint32_t left = resampler->end - resampler->start;
    for (uint32_t channel = 0; channel < resampler->channels; channel++) {
        float *history = resampler->history + (size_t)channel * resampler->capacity;
        memmove(history, history + resampler->start, sizeof(float) * left);
    }
    resampler->start = 0;
    resampler->end = left;
}

static void take_input(bw_resampler *resampler, const float *input, uint32_t frames) {
    uint32_t channels = resampler->channels;
    for (uint32_t channel = 0; channel < channels; channel++) {
        float *history = resampler->history + (size_t)channel * resampler->capacity + resampler->end;
        for (uint32_t frame = 0; frame < frames; frame++)
            history[frame] = input[(size_t)frame * channels + channel];
    }
    resampler->end += frames;
}

uint32_t bw_resampler_process(bw_resampler *resampler, const float *input, uint32_t input_frames, uint32_t *consumed,
                              float *output, uint32_t output_frames) {
    uint32_t produced = 0, taken = 0;
    for (;;) {
        float *rest = output + (size_t)produced * resampler->channels;
        produced += resampler->make_frames(resampler, rest, output_frames - produced);
        if (produced == output_frames || taken == input_frames)
            break;
        if (resampler->end == resampler->capacity)
            drop_used(resampler);
        uint32_t wanted = bw_resampler_input_for(resampler, output_frames - produced);
        uint32_t room = resampler->capacity - resampler->end;
        uint32_t left = input_frames - taken;
        uint32_t frames = wanted < room ? wanted : room;
        frames = frames < left ? frames : left;
        take_input(resampler, input + (size_t)taken * resampler->channels, frames);
        taken += frames;
    }
    *consumed = taken;
    return produced;
}

void bw_resampler_disable_avx(bw_resampler *resampler) { resampler->make_frames = frames_plain; }
