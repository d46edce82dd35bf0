#include "calls.h"

#include <math.h>
#include <string.h>

#define FEED_FRAMES 8    /* how far a feed's thread may be behind */
#define AUX_FRAMES 4     /* channels for callers alone have a phase of their own */
#define RAMP_SAMPLES 480 /* 10 ms from silence to full level */
#define MAX_GAIN 4.0f
#define SILENCE_DBFS -127.0f
#define LEVEL_SMOOTHING 0.3f /* per frame */

typedef enum {
    TO_AIR,         /* the caller to everybody */
    TO_PRODUCERS,   /* the caller to the producers alone */
    FROM_AIR,       /* programme and callers to the caller */
    FROM_PRODUCERS, /* the producers to the caller */
    FROM_HOLD,      /* what plays for those who wait to the caller */
    WAYS,
} way;

/* Where callers are summed up. */
typedef enum {
    ON_AIR,      /* callers on air */
    TO_STUDIO,   /* callers whom the producers alone hear */
    FROM_STUDIO, /* the producers */
    HOLD,        /* what plays for those who wait */
    BUSES,
} bus;

#define MUTED 0x100u    /* with the state */
#define TALKBACK 0x200u /* likewise */

typedef struct {
    /* Any thread writes, all callers always exist. */
    _Atomic uint32_t state; /* BW_CALL_*, MUTED, TALKBACK: together, so that no frame has a mixture of two settings */
    _Atomic float gain, return_gain;
    float gains[WAYS];              /* at the end of the last frame; thread of channel 0, like the next */
    float last[BUSES][BW_CHANNELS]; /* the last values that it added to each bus */
} caller;

struct bw_calls {
    bw_engine *engine;
    caller *callers; /* by slot */
    bw_feed **feeds; /* densely packed; thread of channel 0, like the buffers of one frame each */
    uint32_t count;
    bool has_had_calls;
    bool is_on_air; /* somebody */
    float *buses[BUSES], *heard;
    float tails[BUSES][BW_CHANNELS]; /* the last values of audio that has ended: the next frame fades from there */
    bw_ring aux[BW_CHANNEL_USES];    /* by use: its channel → channel 0 */
    _Atomic bool has_hold;           /* loop: there is a channel for those who wait */
    float power;                     /* of the programme with callers, smoothed */
    _Atomic float programme_dbfs;
    bw_counter longest_ns, dropped_frames;
};

/* ---- life: loop thread */

bw_calls *bw_calls_new(bw_engine *engine) {
    bw_calls *calls = bw_allocate_aligned(sizeof *calls);
    if (calls == NULL)
        return NULL;
    memset(calls, 0, sizeof *calls);
    size_t values = (size_t)engine->config.frame_samples * BW_CHANNELS;
    calls->engine = engine;
    calls->callers = calloc(engine->config.max_peers, sizeof *calls->callers);
    calls->feeds = calloc(BW_MAX_CHANNELS, sizeof(bw_feed *));
    calls->buses[0] = calloc((BUSES + 1) * values, sizeof(float));
    bool has_rings = true;
    for (uint32_t i = 0; i < BW_CHANNEL_USES; i++)
        has_rings &= bw_ring_init(&calls->aux[i], AUX_FRAMES, (uint32_t)(values * sizeof(float)));
    if (!has_rings || !calls->callers || !calls->feeds || !calls->buses[0]) {
        bw_calls_free(calls);
        return NULL;
    }
    for (uint32_t i = 1; i < BUSES; i++)
        calls->buses[i] = calls->buses[i - 1] + values;
    calls->heard = calls->buses[BUSES - 1] + values;
    atomic_init(&calls->programme_dbfs, SILENCE_DBFS);
    return calls;
}

void bw_calls_free(bw_calls *calls) {
    if (calls == NULL)
        return;
    for (uint32_t i = 0; i < BW_CHANNEL_USES; i++)
        bw_ring_destroy(&calls->aux[i]);
    free(calls->callers);
    free(calls->feeds);
    free(calls->buses[0]);
    bw_free_aligned(calls);
}

bw_feed *bw_feed_new(uint32_t peer, uint32_t frame_samples) {
    bw_feed *feed = bw_allocate_aligned(sizeof *feed);
    if (feed == NULL)
        return NULL;
    memset(feed, 0, sizeof *feed);
    feed->peer = peer;
    feed->wake.read_descriptor = -1;
    feed->share = calloc((size_t)frame_samples * BW_CHANNELS, sizeof(float));
    uint32_t bytes = (uint32_t)(sizeof(bw_feed_frame) + sizeof(float) * BW_CHANNELS * frame_samples);
    if (feed->share != NULL && bw_ring_init(&feed->frames, FEED_FRAMES, bytes) && bw_wake_init(&feed->wake))
        return feed;
    bw_feed_free(feed);
    return NULL;
}

void bw_feed_free(bw_feed *feed) {
    if (feed == NULL)
        return;
    bw_wake_destroy(&feed->wake);
    bw_ring_destroy(&feed->frames);
    free(feed->share);
    bw_free_aligned(feed);
}

/* ---- thread of channel 0 */

void bw_calls_add(bw_calls *calls, bw_feed *feed) {
    caller *caller = &calls->callers[feed->peer];
    memset(caller->gains, 0, sizeof caller->gains);
    memset(caller->last, 0, sizeof caller->last);
    calls->feeds[calls->count++] = feed;
    calls->has_had_calls = true;
}

/* What the caller added to the buses ends: it fades. */
static void end_audio(bw_calls *calls, caller *caller) {
    for (uint32_t i = 0; i < BUSES; i++) {
        for (uint32_t c = 0; c < BW_CHANNELS; c++)
            calls->tails[i][c] += caller->last[i][c];
    }
    memset(caller->last, 0, sizeof caller->last);
    caller->gains[TO_AIR] = caller->gains[TO_PRODUCERS] = 0;
}

void bw_calls_remove(bw_calls *calls, bw_feed *feed) {
    for (uint32_t i = 0; i < calls->count; i++) {
        if (calls->feeds[i] == feed)
            calls->feeds[i--] = calls->feeds[--calls->count];
    }
    end_audio(calls, &calls->callers[feed->peer]);
}

static float load(_Atomic float *value) { return atomic_load_explicit(value, memory_order_relaxed); }

static uint32_t load_state(caller *caller) { return atomic_load_explicit(&caller->state, memory_order_acquire); }

static bool is_producer(caller *caller) { return (load_state(caller) & 0xFF) == BW_CALL_PRODUCER; }

/* A caller who is spoken to is heard by the producers, too, unless everybody hears it. */
static void find_goals(bw_calls *calls, caller *caller, float goals[WAYS]) {
    uint32_t flags = load_state(caller), state = flags & 0xFF;
    float talks = flags & MUTED ? 0 : 1, hears = load(&caller->return_gain);
    bool talkback = state == BW_CALL_PRIVATE || (state != BW_CALL_ENDED && (flags & TALKBACK));
    goals[TO_AIR] = state == BW_CALL_ON_AIR ? talks * load(&caller->gain) : 0;
    goals[TO_PRODUCERS] = talkback && state != BW_CALL_ON_AIR ? 1 : 0;
    bool holds = state == BW_CALL_WAITING && atomic_load_explicit(&calls->has_hold, memory_order_relaxed);
    goals[FROM_HOLD] = holds ? hears : 0;
    goals[FROM_AIR] = !holds && (state == BW_CALL_WAITING || state == BW_CALL_ON_AIR) ? hears : 0;
    goals[FROM_PRODUCERS] = talkback ? hears : 0;
    if (state == BW_CALL_PRODUCER) {
        goals[TO_AIR] = goals[FROM_AIR] = 0;
        goals[TO_PRODUCERS] = talks;
        goals[FROM_PRODUCERS] = hears;
    }
}

/* Adds the input with a gain that moves from the last one to the goal within 10 ms. */
static void add_ramped(float *restrict output, const float *restrict input, float *gain, float goal, uint32_t frames) {
    float now = *gain, step = fmaxf(1.0f, fmaxf(goal, now)) / RAMP_SAMPLES;
    uint32_t i = 0;
    for (; i < frames && now != goal; i++) {
        now = now < goal ? fminf(goal, now + step) : fmaxf(goal, now - step);
        output[BW_CHANNELS * i] += now * input[BW_CHANNELS * i];
        output[BW_CHANNELS * i + 1] += now * input[BW_CHANNELS * i + 1];
    }
    *gain = now;
    for (i *= BW_CHANNELS; now != 0 && i < BW_CHANNELS * frames; i++)
        output[i] += now * input[i];
}

/* Reads one caller, and adds it to the buses. */
static void take_caller(bw_calls *calls, bw_feed *feed, uint32_t frames, int64_t now_ns) {
    caller *caller = &calls->callers[feed->peer];
    bus studio = is_producer(caller) ? FROM_STUDIO : TO_STUDIO;
    float goals[WAYS];
    memset(feed->share, 0, sizeof(float) * BW_CHANNELS * frames);
    calls->is_on_air |= caller->gains[TO_AIR] > 0;
    if (!bw_playout_read_caller(calls->engine->playout, feed->peer, calls->heard, frames, now_ns)) {
        end_audio(calls, caller);
        return;
    }
    find_goals(calls, caller, goals);
    add_ramped(calls->buses[studio], calls->heard, &caller->gains[TO_PRODUCERS], goals[TO_PRODUCERS], frames);
    add_ramped(feed->share, calls->heard, &caller->gains[TO_AIR], goals[TO_AIR], frames);
    calls->is_on_air |= caller->gains[TO_AIR] > 0;
    for (uint32_t i = 0; i < BW_CHANNELS * frames; i++)
        calls->buses[ON_AIR][i] += feed->share[i];
    for (uint32_t c = 0; c < BW_CHANNELS; c++) {
        uint32_t end = BW_CHANNELS * (frames - 1) + c;
        caller->last[ON_AIR][c] = feed->share[end];
        caller->last[studio][c] = caller->gains[TO_PRODUCERS] * calls->heard[end];
    }
}

/* Adds a frame of a channel for callers alone. */
static void take_aux(bw_ring *ring, float *output, uint32_t frames) {
    while (bw_ring_count(ring) > AUX_FRAMES / 2) /* There were no callers for a while. */
        bw_ring_pop(ring);
    const float *samples = bw_ring_peek(ring);
    for (uint32_t i = 0; samples != NULL && i < BW_CHANNELS * frames; i++)
        output[i] += samples[i];
    if (samples != NULL)
        bw_ring_pop(ring);
}

static void take_channels(bw_calls *calls, uint32_t frames) {
    take_aux(&calls->aux[BW_CHANNEL_TALKBACK], calls->buses[FROM_STUDIO], frames);
    take_aux(&calls->aux[BW_CHANNEL_HOLD], calls->buses[HOLD], frames);
}

/* Makes what one caller hears. */
static void feed_caller(bw_calls *calls, bw_feed *feed, const float *programme, uint32_t frames, int64_t number) {
    caller *caller = &calls->callers[feed->peer];
    bw_feed_frame *frame = bw_ring_begin_write(&feed->frames);
    float goals[WAYS];
    if (frame == NULL) { /* Its thread has not run for eight frames. */
        bw_count(&calls->dropped_frames, 1);
        return;
    }
    find_goals(calls, caller, goals);
    frame->number = number;
    memset(frame->samples, 0, sizeof(float) * BW_CHANNELS * frames);
    for (uint32_t i = 0; i < BW_CHANNELS * frames; i++)
        calls->heard[i] = programme[i] + (calls->buses[ON_AIR][i] - feed->share[i]);
    const float *producers = calls->buses[is_producer(caller) ? TO_STUDIO : FROM_STUDIO];
    add_ramped(frame->samples, calls->heard, &caller->gains[FROM_AIR], goals[FROM_AIR], frames);
    add_ramped(frame->samples, producers, &caller->gains[FROM_PRODUCERS], goals[FROM_PRODUCERS], frames);
    add_ramped(frame->samples, calls->buses[HOLD], &caller->gains[FROM_HOLD], goals[FROM_HOLD], frames);
    bw_soft_clip(frame->samples, BW_CHANNELS * frames);
    bw_ring_end_write(&feed->frames);
    bw_wake_signal(&feed->wake);
}

static void measure(bw_calls *calls, const float *programme, uint32_t frames) {
    float sum = 0;
    for (uint32_t i = 0; i < BW_CHANNELS * frames; i++)
        sum += programme[i] * programme[i];
    calls->power += LEVEL_SMOOTHING * (sum / (float)(BW_CHANNELS * frames) - calls->power);
    float dbfs = calls->power > 0 ? 10 * log10f(calls->power) : SILENCE_DBFS;
    atomic_store_explicit(&calls->programme_dbfs, fmaxf(dbfs, SILENCE_DBFS), memory_order_relaxed);
}

static void take_callers(bw_calls *calls, uint32_t frames, int64_t now_ns) {
    int64_t began_ns = bw_playout_begin_pull(calls->engine->playout, frames, now_ns);
    memset(calls->buses[0], 0, BUSES * sizeof(float) * BW_CHANNELS * frames);
    calls->is_on_air = calls->tails[ON_AIR][0] != 0 || calls->tails[ON_AIR][1] != 0;
    for (uint32_t i = 0; i < calls->count; i++)
        take_caller(calls, calls->feeds[i], frames, now_ns);
    for (uint32_t i = 0; i < BUSES; i++)
        bw_add_tail(calls->tails[i], calls->buses[i], frames);
    take_channels(calls, frames);
    bw_playout_end_pull(calls->engine->playout, began_ns);
}

void bw_calls_mix(bw_calls *calls, float *programme, int64_t number, int64_t now_ns) {
    uint32_t frames = calls->engine->config.frame_samples;
    int64_t began_ns = bw_now_ns();
    if (!calls->has_had_calls) {
        take_channels(calls, frames); /* so that the first caller does not hear what was said before */
        measure(calls, programme, frames);
        return;
    }
    take_callers(calls, frames, now_ns);
    for (uint32_t i = 0; i < calls->count; i++)
        feed_caller(calls, calls->feeds[i], programme, frames, number);
    bw_playout_write_calls(calls->engine->playout, calls->buses[ON_AIR], frames);
    if (calls->is_on_air) { /* A programme alone is not changed at all. */
        for (uint32_t i = 0; i < BW_CHANNELS * frames; i++)
            programme[i] += calls->buses[ON_AIR][i];
        bw_soft_clip(programme, BW_CHANNELS * frames);
    }
    measure(calls, programme, frames);
    uint64_t took_ns = (uint64_t)(bw_now_ns() - began_ns);
    if (took_ns > bw_read_counter(&calls->longest_ns))
        atomic_store_explicit(&calls->longest_ns, took_ns, memory_order_relaxed);
}

/* ---- thread of a channel for callers alone */

void bw_calls_write(bw_calls *calls, uint32_t use, const float *samples) {
    float *slot = bw_ring_begin_write(&calls->aux[use]);
    if (slot == NULL)
        return;
    memcpy(slot, samples, sizeof(float) * BW_CHANNELS * calls->engine->config.frame_samples);
    bw_ring_end_write(&calls->aux[use]);
}

/* ---- loop thread */

void bw_calls_set_hold(bw_calls *calls, bool has_hold) {
    atomic_store_explicit(&calls->has_hold, has_hold, memory_order_relaxed);
}

/* ---- any thread */

static bool is_gain(float gain) { return gain >= 0 && gain <= MAX_GAIN; }

int bw_call_set(bw_engine *engine, uint32_t peer, const bw_call_settings *settings) {
    if (peer >= engine->config.max_peers || settings->state > BW_CALL_PRODUCER || !is_gain(settings->gain) ||
        !is_gain(settings->return_gain))
        return BW_ERROR_ARGUMENT;
    caller *caller = &engine->calls->callers[peer];
    atomic_store_explicit(&caller->gain, settings->gain, memory_order_relaxed);
    atomic_store_explicit(&caller->return_gain, settings->return_gain, memory_order_relaxed);
    uint32_t flags = settings->state | (settings->muted ? MUTED : 0) | (settings->talkback ? TALKBACK : 0);
    atomic_store_explicit(&caller->state, flags, memory_order_release);
    return BW_OK;
}

void bw_calls_get_stats(bw_engine *engine, bw_calls_stats *stats) {
    bw_calls *calls = engine->calls;
    *stats = (bw_calls_stats){
        .mix_max_ns = bw_read_counter(&calls->longest_ns),
        .frames_dropped = bw_read_counter(&calls->dropped_frames),
        .programme_dbfs = atomic_load_explicit(&calls->programme_dbfs, memory_order_relaxed),
    };
}
