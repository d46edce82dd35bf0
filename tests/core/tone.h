/*
 * Sines for the core's tests: generates one, and measures one by a least-squares fit at a known frequency. The residual
 * of the fit is distortion and noise.
 */
#ifndef BW_TONE_H
#define BW_TONE_H

#include <math.h>
#include <stdint.h>

#define TONE_PI 3.14159265358979323846

typedef struct {
    double amplitude;
    double residual; /* RMS of everything but the tone */
} tone_fit;

static inline double decibels(double ratio) { return 20.0 * log10(fmax(ratio, 1e-15)); }

/* Writes every stride-th value, that is one channel of interleaved frames. */
static inline void tone_write(float *samples, uint32_t frames, uint32_t stride, double hz, double rate_hz,
                              double amplitude, uint64_t first_frame) {
    for (uint32_t i = 0; i < frames; i++) {
        samples[(uint64_t)i * stride] =
            (float)(amplitude * sin(2.0 * TONE_PI * hz * (double)(first_frame + i) / rate_hz));
    }
}

/* Solves the three normal equations of a*sin + b*cos + c by Gaussian elimination. */
static inline void tone_solve(double m[3][4], double solution[3]) {
    for (int column = 0; column < 3; column++) {
        for (int row = column + 1; row < 3; row++) {
            double factor = m[row][column] / m[column][column];
            for (int k = column; k < 4; k++) {
                m[row][k] -= factor * m[column][k];
            }
        }
    }
    for (int row = 2; row >= 0; row--) {
        double sum = m[row][3];
        for (int k = row + 1; k < 3; k++) {
            sum -= m[row][k] * solution[k];
        }
        solution[row] = sum / m[row][row];
    }
}

/* Sine and cosine of the next sample by rotation: twenty times faster than calling sin and cos. */
typedef struct {
    double sine, cosine, step_sine, step_cosine;
} tone_rotor;

static inline tone_rotor tone_rotor_at_zero(double hz, double rate_hz) {
    double step = 2.0 * TONE_PI * hz / rate_hz;
    return (tone_rotor){0.0, 1.0, sin(step), cos(step)};
}

static inline void tone_turn(tone_rotor *rotor) {
    double sine = rotor->sine * rotor->step_cosine + rotor->cosine * rotor->step_sine;
    rotor->cosine = rotor->cosine * rotor->step_cosine - rotor->sine * rotor->step_sine;
    rotor->sine = sine;
}

static inline tone_fit tone_measure(const float *samples, uint32_t frames, uint32_t stride, double hz, double rate_hz) {
    double m[3][4] = {{0}}, solution[3], square = 0.0;
    tone_rotor rotor = tone_rotor_at_zero(hz, rate_hz);
    for (uint32_t i = 0; i < frames; i++, tone_turn(&rotor)) {
        double row[4] = {rotor.sine, rotor.cosine, 1.0, samples[(uint64_t)i * stride]};
        for (int a = 0; a < 3; a++)
            for (int b = a; b < 4; b++)
                m[a][b] += row[a] * row[b];
    }
    m[1][0] = m[0][1];
    m[2][0] = m[0][2];
    m[2][1] = m[1][2];
    tone_solve(m, solution);
    rotor = tone_rotor_at_zero(hz, rate_hz);
    for (uint32_t i = 0; i < frames; i++, tone_turn(&rotor)) {
        double fitted = solution[0] * rotor.sine + solution[1] * rotor.cosine + solution[2];
        double rest = samples[(uint64_t)i * stride] - fitted;
        square += rest * rest;
    }
    return (tone_fit){hypot(solution[0], solution[1]), sqrt(square / frames)};
}

/* A syllable-like signal: harmonics of 120 Hz that fade in and out four times a second. */
static inline void tone_write_voice(float *pcm, uint32_t samples, uint32_t channels, uint64_t first) {
    for (uint32_t i = 0; i < samples; i++) {
        double t = (double)(first + i) / 48000.0, sum = 0.0;
        for (int harmonic = 1; harmonic < 20; harmonic++)
            sum += sin(2.0 * TONE_PI * 120.0 * harmonic * t) / harmonic;
        double syllable = pow(sin(TONE_PI * 4.0 * t), 2.0);
        for (uint32_t channel = 0; channel < channels; channel++)
            pcm[channels * i + channel] = (float)(0.2 * sum * syllable * (channel ? 0.5 : 1.0));
    }
}

#endif
