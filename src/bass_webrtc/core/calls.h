/*
 * Callers hear each other: what each of them hears is made here, by the thread of channel 0, once per frame.
 *
 *   caller's jitter buffer ─► fader ─► sum of all on air ──┬─► + programme ─► the listeners of channel 0
 *                                                          └─► a bridge ─► the mix of the thread that plays (playout.c)
 *   programme + sum − own share + producers ─► a caller's feed ─► the thread of its channel: encode, send
 *
 * A feed is the source of a channel with one listener, the caller. The thread of that channel has no deadlines of its
 * own: it is woken with each frame. Nothing here locks or allocates, except for what the loop thread calls.
 */
#ifndef BW_CALLS_H
#define BW_CALLS_H

#include "internal.h"

typedef struct bw_calls bw_calls;

/* What one caller hears: from the thread of channel 0 to that of its channel. */
typedef struct {
    uint32_t peer;
    bw_ring frames; /* of bw_feed_frame */
    bw_wake wake;   /* signaled with each frame, and at the end */
    float *share;   /* the caller's part of the sum, for one frame; thread of channel 0 */
} bw_feed;

typedef struct {
    int64_t number;
    float samples[]; /* stereo */
} bw_feed_frame;

/* ---- loop thread */

/* Returns NULL when out of memory. */
bw_calls *bw_calls_new(bw_engine *engine);
void bw_calls_free(bw_calls *calls);
/* Returns NULL when out of memory. */
bw_feed *bw_feed_new(uint32_t peer, uint32_t frame_samples);
void bw_feed_free(bw_feed *feed);

/* Lets callers who wait hear a channel of their own instead of channel 0, or not. */
void bw_calls_set_hold(bw_calls *calls, bool has_hold);

/* ---- thread of channel 0 */

void bw_calls_add(bw_calls *calls, bw_feed *feed);
/* From now on the feed is not used here. */
void bw_calls_remove(bw_calls *calls, bw_feed *feed);
/* Reads all callers, makes a frame for each feed, and adds the callers on air to the frame of the programme. */
void bw_calls_mix(bw_calls *calls, float *programme, int64_t number, int64_t now_ns);
/* Thread of a channel with this use (BW_CHANNEL_*): one frame. */
void bw_calls_write(bw_calls *calls, uint32_t use, const float *samples);

/* ---- playout.c: thread of channel 0, except for the first one */

/* Loop thread. Lets the mix include the callers on air. Returns false when out of memory. */
bool bw_playout_open_calls(bw_playout *playout, uint32_t block_frames);
/* Around all reads of one frame. Returns when it began, for the second one. */
int64_t bw_playout_begin_pull(bw_playout *playout, uint32_t frames, int64_t now_ns);
void bw_playout_end_pull(bw_playout *playout, int64_t began_ns);
/* Reads a caller without gain, and passes it to its own stream. Returns false and writes nothing when there is none. */
bool bw_playout_read_caller(bw_playout *playout, uint32_t peer, float *output, uint32_t frames, int64_t now_ns);
/* Passes the sum of the callers on air to the mix. */
void bw_playout_write_calls(bw_playout *playout, const float *samples, uint32_t frames);

/* Fades from the last frame of audio that has ended to zero, instead of stopping abruptly, and clears it. Any thread. */
void bw_add_tail(float tail[BW_CHANNELS], float *output, uint32_t frames);
/* Returns how many values were above the knee, -1 dBFS. Any thread. */
uint32_t bw_soft_clip(float *output, uint32_t values);

#endif
