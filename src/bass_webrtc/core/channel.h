/*
 * A channel: one source, its encodings and its listeners. Its thread, once per frame time:
 *
 *   wait for the deadline ─► take commands ─► read a frame, or cross-fade two sources ─► encode it, once per encoding
 *   that has listeners ─► wake the fan-outs ─► send to the listeners of the first fan-out
 *
 * The deadline is start + n × frame time, so lateness does not accumulate and the RTP clock is the system's monotonic
 * clock. All channels of an engine count the same frame times, so a listener that moves from one to another keeps its
 * RTP clock; within a frame time, each channel has a phase of its own, so that they do not encode at the same moment.
 * The thread takes no lock of this project, allocates nothing, logs nothing and never enters the Python interpreter.
 *
 * Channel 0 mixes the callers, too (calls.h). What a caller hears is a channel whose thread is woken with each frame that
 * channel 0 has made for it, in place of the first two steps.
 */
#ifndef BW_CHANNEL_H
#define BW_CHANNEL_H

#include "calls.h"
#include "encoding.h"

#include <stddef.h>

typedef struct bw_fan_out bw_fan_out;

typedef enum {
    BW_CHANNEL_SET_BITRATE,       /* encoding, value */
    BW_CHANNEL_SET_EXPECTED_LOSS, /* encoding, value */
    BW_CHANNEL_SET_COMPLEXITY,    /* value */
    BW_CHANNEL_SET_SOURCE,        /* pointer: bw_source or NULL; value: samples of the cross-fade; error */
    BW_CHANNEL_ADD_CALL,          /* pointer: bw_feed; channel 0, like the next */
    BW_CHANNEL_REMOVE_CALL,       /* the same; value: its channel, returned with BW_NOTICE_CALL_REMOVED */
    BW_CHANNEL_SET_USE,           /* value */
    BW_CHANNEL_ADD_TAP,           /* pointer: bw_tap */
} bw_channel_command_kind;

typedef struct {
    bw_channel_command_kind kind;
    uint32_t encoding;
    uint32_t value;
    int32_t error;
    void *pointer;
} bw_channel_command;

typedef struct bw_channel bw_channel;

struct bw_channel {
    bw_engine *engine;
    uint32_t index;
    uint32_t encoding_count;
    bw_channel_state *state;
    pthread_t thread;
    bool is_started;     /* loop only, like the next four */
    bool has_stopped;    /* BW_EVENT_CHANNEL_REMOVED was taken */
    bool is_removed;     /* bw_channel_remove was called; BW_EVENT_CHANNEL_REMOVED is due */
    bool replacing;      /* BW_EVENT_SOURCE_REPLACED is due */
    uint32_t wanted_use; /* BW_CHANNEL_* */
    uint32_t peers;      /* listeners of all fan-outs */
    _Atomic bool running;
    bw_ring commands; /* loop → channel */
    bw_ring notices;  /* channel → loop */
    bw_feed *feed;    /* what the channel sends instead of a source; NULL: it has a source */
    uint32_t use;     /* what callers hear the channel as; BW_CHANNEL_* */
    bw_source *source;
    bw_source *former;     /* fades out; NULL: there is no cross-fade */
    uint32_t fade_samples; /* length of the cross-fade */
    uint32_t faded;        /* samples of it that have been played */
    uint32_t ends_seen;    /* bw_source_ends of the source */
    float *pcm;
    float *former_pcm;
    bw_frame_kind kind; /* of the last frame */
    bw_encoding *encodings[BW_MAX_ENCODINGS];
    bw_tap *taps;              /* first of the list */
    _Atomic int64_t published; /* number of the last frame that the fan-outs may send */
    int64_t frame_ns;
    bw_fan_out *fan_outs[BW_MAX_FAN_OUTS];
    _Atomic uint32_t fan_out_count;
};

/* ---- channel.c: loop thread */

/* Returns NULL when out of memory or if libopus refuses the configuration. The channel owns the feed then. */
bw_channel *bw_channel_new(bw_engine *engine, uint32_t index, const bw_channel_config *config, bw_source *source,
                           bw_feed *feed);
/* Starts the thread. Returns false if it could not be created. */
bool bw_channel_start(bw_channel *channel);
/* Lets the thread end. */
void bw_channel_end(bw_channel *channel);
/* Stops and joins the thread. */
void bw_channel_stop(bw_channel *channel);
/* Stops it first. */
void bw_channel_free(bw_channel *channel);

/* ---- channel.c: any thread of the channel */

/* Adds to a counter of the channel and of the engine. counter: its offset in
 * bw_sending_counters. */
void bw_channel_count(bw_channel *channel, size_t counter, uint64_t amount);
/* Returns false for a frame time that was skipped. */
bool bw_channel_has_frame(bw_channel *channel, int64_t number);
/* The fan-out has sent its last packet of a frame. */
void bw_channel_frame_done(bw_channel *channel, int64_t number);

/* ---- channels.c: loop thread */

/* Returns NULL unless there is such a channel, which is not being removed. */
bw_channel *bw_channel_find(bw_engine *engine, uint32_t channel);
/* Chooses a fan-out for one more peer, and counts the peer. */
bw_fan_out *bw_channel_admit(bw_channel *channel);
void bw_channel_dismiss(bw_fan_out *fan_out);
/* Returns false while a channel is being removed: its thread may be sending to peers that were removed before it. */
bool bw_channels_are_stable(bw_engine *engine);
/* Writes the fan-outs of all channels; returns how many there are. */
uint32_t bw_channels_fan_outs(bw_engine *engine, bw_fan_out **fan_outs);
/* Whether a peer is a caller, whose channel is not being removed. */
bool bw_call_exists(bw_engine *engine, uint32_t peer);
/* Removes the channel of a caller that is sent nothing any more. BW_NOTICE_CALL_REMOVED follows, unless the result is
 * false: the peer is no caller. */
bool bw_call_remove(bw_engine *engine, uint32_t peer);
/* Channel 0 does not use the caller's feed any more: its channel ends. */
void bw_call_removed(bw_engine *engine, uint32_t channel);
/* Handles a notice of a channel's thread. */
void bw_channel_noticed(bw_engine *engine, const bw_notice *notice);
/* Takes the notices of all channels. Returns how many of them are events for Python. */
uint32_t bw_channels_take_notices(bw_engine *engine, bw_event *events, uint32_t capacity);

#endif
