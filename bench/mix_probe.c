/*
 * Records what passes a BASS channel and when, as a DSPPROC in C so that no Python interpreter delays the sound; and
 * how long a STREAMPROC takes, in wall-clock time and thread CPU time.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* for clock_gettime and CLOCK_THREAD_CPUTIME_ID */
#endif
#include <stdint.h>
#include <string.h>
#include <time.h>

#ifdef _WIN32
#define DSPPROC __stdcall
#define STREAMPROC __stdcall
#else
#define DSPPROC
#define STREAMPROC
#endif

/* Stereo float. The owner allocates; once full, the rest is not recorded. */
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

typedef uint32_t(STREAMPROC *stream_procedure)(uint32_t handle, void *buffer, uint32_t length, void *user);

/* The owner allocates; once full, the rest is not recorded. */
typedef struct {
    stream_procedure procedure; /* the measured procedure and its user pointer */
    void *user;
    int64_t *wall_ns;
    int64_t *cpu_ns;
    uint64_t capacity;
    uint64_t calls;
} timed;

static int64_t read_ns(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

uint32_t STREAMPROC timed_procedure(uint32_t handle, void *buffer, uint32_t length, void *user) {
    timed *timed = user;
    int64_t wall_ns = read_ns(CLOCK_MONOTONIC), cpu_ns = read_ns(CLOCK_THREAD_CPUTIME_ID);
    uint32_t written = timed->procedure(handle, buffer, length, timed->user);
    if (timed->calls == timed->capacity)
        return written;
    timed->cpu_ns[timed->calls] = read_ns(CLOCK_THREAD_CPUTIME_ID) - cpu_ns;
    timed->wall_ns[timed->calls++] = read_ns(CLOCK_MONOTONIC) - wall_ns;
    return written;
}
