/*
 * Rate conversion: a windowed-sinc filter, looked up by phase, with a ratio that may be bent while it runs.
 *
 * One object serves two needs: a source whose rate is not 48 kHz, and two clocks that are not the same (the ratio is
 * then 1 and only the fine part moves). The kernel is a Kaiser-windowed sinc of 110 dB; the error of the linear
 * interpolation between its phases stays below -105 dB for any ratio.
 */
#ifndef BW_RESAMPLER_H
#define BW_RESAMPLER_H

#include <stdint.h>

#define BW_RESAMPLER_MAX_CHANNELS 8
#define BW_RESAMPLER_MAX_PPM 5000.0 /* 0.5 %: a twelfth of a semitone, not heard as pitch */

typedef struct bw_resampler bw_resampler;

/* Any rates of 8 to 192 kHz, 1 .. 8 channels, interleaved float. Flat up to 0.907 of the lower Nyquist frequency
 * (20 kHz of 22.05 kHz), silent from there on. NULL when an argument is out of range or there is no memory. */
bw_resampler *bw_resampler_new(double input_hz, double output_hz, uint32_t channels);

/* The same with a band of the caller's choice: flat to pass_hz, silent from stop_hz. A wide gap is short and cheap;
 * stop_hz may lie above the Nyquist frequency when the signal is known to hold nothing up there. */
bw_resampler *bw_resampler_new_band(double input_hz, double output_hz, uint32_t channels, double pass_hz,
                                    double stop_hz);

/* A second object with the same rates, channels and filter; the table is shared. */
bw_resampler *bw_resampler_new_like(const bw_resampler *other);

void bw_resampler_free(bw_resampler *resampler);

/* The functions below are real-time safe: one thread at a time, no allocation, no lock. */

/* Above 0: input is consumed faster. Clamped to BW_RESAMPLER_MAX_PPM either way; takes effect with the next frame,
 * without a break in the phase. */
void bw_resampler_set_ppm(bw_resampler *resampler, double ppm);

/* Converts until the input is used up or the output is full. Takes no more input than the output needs, so what is
 * not consumed stays the caller's. Returns the frames produced; *consumed: input frames taken. */
uint32_t bw_resampler_process(bw_resampler *resampler, const float *input, uint32_t input_frames, uint32_t *consumed,
                              float *output, uint32_t output_frames);

/* Input frames that must be given for this many output frames to come out. */
uint32_t bw_resampler_input_for(const bw_resampler *resampler, uint32_t output_frames);

/* What was put in is forgotten; the ratio stays. */
void bw_resampler_reset(bw_resampler *resampler);

/* As on a processor that has none; the test compares. */
void bw_resampler_without_wide_instructions(bw_resampler *resampler);

/* How long a sample is on its way, in input frames. */
double bw_resampler_latency_frames(const bw_resampler *resampler);

#endif
