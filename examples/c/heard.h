/* Reads a decoding stream and prints once per second what it contains, in place of your own mixer. */
#ifndef HEARD_H
#define HEARD_H

#include <math.h>
#include <stdio.h>

#ifdef _WIN32
#include <conio.h>
#include <windows.h>
#else
#include <poll.h>
#endif

#include "bass_functions.h"

#define BLOCK_MS 50
#define BLOCK_FRAMES (48 * BLOCK_MS)
#define BLOCKS_PER_SECOND (1000 / BLOCK_MS)

/* Waits for standard input, for wait_ms at most. Returns 1 if there is something to read. */
static int has_input(int wait_ms) {
#ifdef _WIN32
    HANDLE input = GetStdHandle(STD_INPUT_HANDLE);
    DWORD bytes = 0;
    Sleep((DWORD)wait_ms);
    if (GetFileType(input) == FILE_TYPE_CHAR) /* a console */
        return _kbhit();
    return !PeekNamedPipe(input, NULL, 0, NULL, &bytes, NULL) || bytes > 0;
#else
    struct pollfd input = {0, POLLIN, 0};
    return poll(&input, 1, wait_ms) > 0;
#endif
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

/* Reads one block, and prints a line when a second is full. A decoding stream returns whatever amount is requested, so
 * the caller keeps the pace of the clock. */
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
