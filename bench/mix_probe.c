/*
 * Writes down what passes a BASS channel, and when: a DSPPROC, so that no interpreter stands in the way of the sound.
 */
#include <stdint.h>
#include <string.h>
#include <time.h>

#ifdef _WIN32
#define DSPPROC __stdcall
#else
#define DSPPROC
#endif

/* Stereo float. The owner allocates; when it is full, the rest is not written down. */
typedef struct {
    float *samples;
    uint64_t capacity; /* frames */
    uint64_t frames;
    int64_t *block_ns;      /* CLOCK_MONOTONIC of each block ... */
    uint64_t *block_frames; /* ... and frames written before it */
    uint64_t block_capacity;
    uint64_t blocks;
} probe;

void DSPPROC probe_block(uint32_t dsp, uint32_t channel, void *buffer, uint32_t length, void *user) {
    (void)dsp;
    (void)channel;
    probe *probe = user;
    uint64_t frames = length / (2 * sizeof(float));
    struct timespec now;
    if (probe->blocks == probe->block_capacity || frames > probe->capacity - probe->frames)
        return;
    clock_gettime(CLOCK_MONOTONIC, &now);
    memcpy(probe->samples + 2 * probe->frames, buffer, frames * 2 * sizeof(float));
    probe->block_ns[probe->blocks] = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
    probe->block_frames[probe->blocks++] = probe->frames;
    probe->frames += frames;
}
