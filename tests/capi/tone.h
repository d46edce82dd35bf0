/* A STREAMPROC that makes a tone, the same in both channels, float. */
#ifndef TONE_H
#define TONE_H

#include <math.h>
#include <stdint.h>

#include "bass_functions.h"

typedef struct {
    uint32_t hz;
    double amplitude;
    uint64_t time; /* in samples at 48 kHz */
} tone;

static DWORD make_tone(HSTREAM stream, void *buffer, DWORD length, void *user) {
    tone *own = user;
    float *samples = buffer;
    (void)stream;
    for (DWORD i = 0; i < length / (2 * sizeof(float)); i++, own->time++) {
        double phase = 2.0 * 3.14159265358979323846 * own->hz * (double)(own->time % 48000) / 48000.0;
        samples[2 * i] = samples[2 * i + 1] = (float)(own->amplitude * sin(phase));
    }
    return length;
}

#endif
