/*
 * Decoded sound on its way to be played. A piece of it can be taken out, or played twice, where the waveform looks
 * alike on both sides of the cut: the delay changes and the pitch does not (WSOLA; Verhelst and Roelands, 1993).
 *
 *             start - history        start                          end
 *   ... gone │ already played        │ waits to be played           │ room
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

/* Not real-time. False: no memory. */
bool bw_stretch_init(bw_stretch *stretch);
void bw_stretch_destroy(bw_stretch *stretch);

/* Silence was played, nothing waits. */
void bw_stretch_reset(bw_stretch *stretch);

/* Room for BW_STRETCH_MAX_WRITE frames, as long as less than twice BW_STRETCH_LOOK_AHEAD wait. */
float *bw_stretch_begin_write(bw_stretch *stretch);
void bw_stretch_end_write(bw_stretch *stretch, uint32_t frames);
/* The same for sound that does not follow from what was written before, because that was made up: it is moved by less
 * than a period, so that its waveform goes on where the other ends. Returns by how much: above 0 later, below 0 sooner,
 * of which max_sooner are allowed. */
int32_t bw_stretch_end_write_in_phase(bw_stretch *stretch, uint32_t frames, uint32_t max_sooner);

/* How the sound that was written last would go on, if it is periodic; false, and nothing written, when it is not. */
bool bw_stretch_extrapolate(const bw_stretch *stretch, float *output, uint32_t frames);

/* Frames that wait, and where they are. */
uint32_t bw_stretch_waiting(const bw_stretch *stretch);
const float *bw_stretch_peek(const bw_stretch *stretch);
void bw_stretch_pop(bw_stretch *stretch, uint32_t frames);

/*
 * Both return the frames by which the sound became shorter or longer, 0 when no cut was good enough: the waveforms must
 * correlate by min_correlation (1: alike, 0: anything), or be silent. They shift by at most max_frames. remove needs
 * max_frames + BW_STRETCH_CROSSFADE frames that wait, and looks less far when there are less; insert needs
 * BW_STRETCH_CROSSFADE, and less than twice BW_STRETCH_LOOK_AHEAD.
 */
uint32_t bw_stretch_remove(bw_stretch *stretch, uint32_t max_frames, float min_correlation);
uint32_t bw_stretch_insert(bw_stretch *stretch, uint32_t max_frames, float min_correlation);

#endif
