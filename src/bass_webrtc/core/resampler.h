/*
 * Sample rate conversion: a windowed-sinc filter with interpolated phases, whose ratio can be adjusted while it runs.
 *
 * One type serves two purposes: sources whose rate is not 48 kHz, and drift between two clocks (ratio 1, only the fine
 * adjustment changes). The kernel is a Kaiser-windowed sinc of 110 dB; the error of the linear interpolation between
 * its phases stays below -105 dB for any ratio.
 */
#ifndef BW_RESAMPLER_H
#define BW_RESAMPLER_H

#include <stdint.h>

#define BW_RESAMPLER_MAX_CHANNELS 8
#define BW_RESAMPLER_MAX_PPM 5000.0 /* 0.5 %: a twelfth of a semitone, inaudible as pitch */

typedef struct bw_resampler bw_resampler;

/*
 * Rates of 8 to 192 kHz, 1 .. 8 channels, interleaved float. Passes up to 0.907 of the lower Nyquist frequency (20 kHz
 * of 22.05 kHz) and stops from the Nyquist frequency on. Returns NULL for an argument out of range or when out of
 * memory.
 */
bw_resampler *bw_resampler_new(double input_hz, double output_hz, uint32_t channels);

/*
 * The same with the caller's band: passes up to pass_hz, stops from stop_hz. A wide transition gives a short, cheap
 * kernel; stop_hz may exceed the Nyquist frequency when the signal has no content there.
 */
bw_resampler *bw_resampler_new_band(double input_hz, double output_hz, uint32_t channels, double pass_hz,
                                    double stop_hz);

/* A second object with the same rates, channels and filter. The filter table is shared and reference-counted. */
bw_resampler *bw_resampler_new_like(const bw_resampler *other);

void bw_resampler_free(bw_resampler *resampler);

/* The functions below are real-time safe: one thread at a time, no allocation, no lock. */

/* Above 0, input is consumed faster. Clamped to ±BW_RESAMPLER_MAX_PPM; applies from the next frame, with continuous
 * phase. */
void bw_resampler_set_ppm(bw_resampler *resampler, double ppm);

/*
 * Converts until the input is used up or the output is full. Consumes no more input than the output needs; the rest
 * remains with the caller. Returns the frames produced; *consumed is the number of input frames taken.
 */
uint32_t bw_resampler_process(bw_resampler *resampler, const float *input, uint32_t input_frames, uint32_t *consumed,
                              float *output, uint32_t output_frames);

/* Returns the input frames needed to produce this many output frames. */
uint32_t bw_resampler_input_for(const bw_resampler *resampler, uint32_t output_frames);

/* Discards the input so far. The ratio is kept. */
void bw_resampler_reset(bw_resampler *resampler);

/* For tests: uses the code for processors without AVX. */
void bw_resampler_disable_avx(bw_resampler *resampler);

/* Returns the latency in input frames. */
double bw_resampler_latency_frames(const bw_resampler *resampler);

#endif
