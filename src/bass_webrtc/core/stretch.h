/*
 * Queue of decoded sound. A piece can be removed, or repeated, where the waveform is similar on both sides of the cut:
 * the delay changes and the pitch does not (WSOLA; Verhelst and Roelands, 1993).
 *
 *             start - history        start                          end
 *   discarded │ already played       │ waiting to be played         │ room
 *                    <-- insert repeats from here
 *                                    remove cuts from here -->
 *
 * Stereo, 48 kHz, interleaved float. One thread at a time; nothing is allocated after init.
 */
#ifndef BW_STRETCH_H
#define BW_STRETCH_H

#include <stdbool.h>
#include <stdint.h>

#define BW_STRETCH_MAX_WRITE 5760 /* frames: the longest Opus packet, 120 ms */
#define BW_STRETCH_MAX_SHIFT 1200 /* frames: 25 ms, one period of 40 Hz */
#define BW_STRETCH_CROSSFADE 480  /* frames: 10 ms; also the length that is compared */
#define BW_STRETCH_LOOK_AHEAD (BW_STRETCH_MAX_SHIFT + BW_STRETCH_CROSSFADE)

typedef struct {
    float *frames;
    uint32_t start;
    uint32_t end;
} bw_stretch;

/* Not real-time. Returns false when out of memory. */
bool bw_stretch_init(bw_stretch *stretch);
void bw_stretch_destroy(bw_stretch *stretch);

/* Empties the queue and sets the history to silence. */
void bw_stretch_reset(bw_stretch *stretch);

/* Returns room for BW_STRETCH_MAX_WRITE frames. Fewer than twice BW_STRETCH_LOOK_AHEAD frames may be waiting. */
float *bw_stretch_begin_write(bw_stretch *stretch);
void bw_stretch_end_write(bw_stretch *stretch, uint32_t frames);
/*
 * The same for sound that follows concealment: it is moved by less than a period, so that its waveform continues the
 * concealed one. Returns the frames moved: above 0 later, below 0 earlier, by at most max_sooner.
 */
int32_t bw_stretch_end_write_in_phase(bw_stretch *stretch, uint32_t frames, uint32_t max_sooner);

/* Writes a continuation of the last sound if it is periodic; otherwise returns false and writes nothing. */
bool bw_stretch_extrapolate(const bw_stretch *stretch, float *output, uint32_t frames);

/* Frames waiting, and their address. */
uint32_t bw_stretch_waiting(const bw_stretch *stretch);
const float *bw_stretch_peek(const bw_stretch *stretch);
void bw_stretch_pop(bw_stretch *stretch, uint32_t frames);

/*
 * Both return the frames by which the sound became shorter or longer, 0 when no cut was good enough: the waveforms must
 * correlate by min_correlation (1: identical, 0: anything) or be silent. They shift by at most max_frames. remove needs
 * max_frames + BW_STRETCH_CROSSFADE waiting frames and searches less far with fewer; insert needs BW_STRETCH_CROSSFADE,
 * and fewer than twice BW_STRETCH_LOOK_AHEAD.
 */
uint32_t bw_stretch_remove(bw_stretch *stretch, uint32_t max_frames, float min_correlation);
uint32_t bw_stretch_insert(bw_stretch *stretch, uint32_t max_frames, float min_correlation);

#endif
