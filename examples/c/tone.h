/* A BASS decoding channel with a test tone, in place of your own audio: 440 Hz left, 880 Hz right, -12 dBFS. */
#ifndef TONE_H
#define TONE_H

#include <math.h>

#include "bass_functions.h"

#define TONE_HZ 440.0
#define TONE_LEVEL 0.25f

/* A STREAMPROC. The library's sender thread calls it every 20 ms, so it must be fast. user: a counter of frames. */
static DWORD make_tone(HSTREAM stream, void *buffer, DWORD length, void *user) {
    uint64_t *time = (uint64_t *)user;
    float *samples = (float *)buffer;
    DWORD frames = length / (2 * sizeof(float));
    (void)stream;
    for (DWORD i = 0; i < frames; i++, ++*time) {
        double phase = 2.0 * 3.14159265358979323846 * TONE_HZ * (double)(*time % 48000) / 48000.0;
        samples[2 * i] = TONE_LEVEL * (float)sin(phase);
        samples[2 * i + 1] = TONE_LEVEL * (float)sin(2.0 * phase);
    }
    return length;
}

static HSTREAM open_tone(void) {
    static uint64_t time;
    return BASS_StreamCreate(48000, 2, BASS_SAMPLE_FLOAT | BASS_STREAM_DECODE, make_tone, &time);
}

#endif
