/* What a decoding stream brings, said each second, in the place of your own mixer. */
#ifndef HEARD_H
#define HEARD_H

#include <math.h>
#include <poll.h>
#include <stdio.h>

#include "bass_functions.h"

#define BLOCK_MS 50
#define BLOCK_FRAMES (48 * BLOCK_MS)
#define BLOCKS_PER_SECOND (1000 / BLOCK_MS)

/* Waits so long, unless there is something to read: then 1. */
static int was_typed(int wait_ms) {
    struct pollfd input = {0, POLLIN, 0};
    return poll(&input, 1, wait_ms) > 0;
}

static void describe(const char *name, const float *second, int channel) {
    int rises = 0;
    double power = 0.0;
    int frames = BLOCKS_PER_SECOND * BLOCK_FRAMES;
    for (int i = 0; i < frames; i++) {
        float now = second[2 * i + channel], before = i > 0 ? second[2 * (i - 1) + channel] : now;
        rises += before < 0.0f && now >= 0.0f;
        power += (double)now * now;
    }
    printf("%s %d Hz at %.1f dBFS", name, rises, 10.0 * log10(2.0 * power / frames + 1e-12));
}

/* One block at the pace of the clock, as a mixer asks for it; a decoding stream gives what is asked for. */
static void hear_block(HSTREAM stream, int block) {
    static float second[BLOCKS_PER_SECOND * BLOCK_FRAMES * 2];
    float *where = &second[block % BLOCKS_PER_SECOND * BLOCK_FRAMES * 2];
    BASS_ChannelGetData(stream, where, (DWORD)(BLOCK_FRAMES * 2 * sizeof(float)) | BASS_DATA_FLOAT);
    if (block % BLOCKS_PER_SECOND < BLOCKS_PER_SECOND - 1)
        return;
    describe("heard: left", second, 0);
    describe(", right", second, 1);
    printf("\n");
    fflush(stdout);
}

#endif
