/*
 *   network thread ─► packet ring ─► jitter buffer ─┬─► gain ─┬─► mix ─► soft clip ─► BASS, or bw_playout_read_mix
 *                     (per peer)                    │         └─► the peer's own stream
 *                                                   └─► a caller's: calls.c ─┬─► bridge ─► mix
 *                                                                            └─► bridge ─► the caller's own stream
 *
 * Callers are played by the thread of channel 0 (calls.c), whether or not anything else plays. It has another clock than
 * BASS, so what it plays crosses to BASS's thread over bridges (source.c).
 *
 * Slots always exist; a slot's receiver comes and goes behind a pointer. A thread that uses the receiver's contents
 * first takes the slot's busy flag. If the flag is taken, it does not wait: the playing thread plays silence, the
 * network thread drops the packet. Only the loop thread, which adds and removes receivers, retries until it succeeds.
 */
#include "calls.h"

#include "enhancement.h"
#include "jitter_buffer.h"
#include "packet_queue.h"
#include "playout.h"

#include <math.h>
#include <sched.h>
#include <string.h>

#ifdef _WIN32
#define STREAMPROC __stdcall
#else
#define STREAMPROC
#endif

#define SAMPLE_RATE_HZ 48000
#define CHANNELS 2
#define ROUTE_CALLER 2     /* Beside BW_PLAYOUT_*: played by the thread of channel 0. */
#define PACKETS_WAITING 64 /* Between two pulls: 160 ms at 2.5 ms a packet. */
#define MIX_FRAMES 48000   /* The most frames of the mix produced in one step. */
#define RAMP_FRAMES 480    /* 10 ms from silence to full level. */
#define TAIL_FRAMES 240    /* 5 ms fade when a peer leaves the mix. */
#define MAX_GAIN 16.0f
#define KNEE 0.89f                /* -1 dBFS: quieter samples pass unchanged. */
#define BRIDGE_MS 1000            /* Of a caller's own stream, which may be read in blocks of half of that. */
#define MIX_BRIDGE_MS 2500        /* Of all callers in the mix. */
#define FORGET_AFTER_NS 250000000 /* Beyond two blocks: what was not read for longer is not played later. */

/* What crosses from the thread of channel 0 to one that plays. */
typedef struct {
    bw_source *source;
    atomic_flag reading;
    int64_t read_ns; /* playing thread: the last time */
} bridge;

typedef struct {
    int64_t arrival_ns;
    uint32_t length;
    uint8_t data[BW_RTP_HEADER_BYTES + 60 + BW_PACKET_MAX_BYTES];
} waiting_packet;

typedef struct {
    bw_ring packets; /* network → playing thread */
    bw_jitter_buffer *buffer;
    bw_counter dropped; /* written by the network thread: the ring was full, or the packet too long */
    bridge own;         /* of a caller; no source: it is none */
} receiver;

typedef struct {
    bw_playout *playout;
    atomic_flag busy;                 /* held while the receiver's contents are used */
    _Atomic(receiver *) receiver;     /* NULL: no peer; changed by the loop thread while holding busy */
    _Atomic uint32_t counter_readers; /* threads using the receiver's counters or bridge, without busy */
    _Atomic uint32_t route;
    _Atomic float gain;
    _Atomic bool muted;
    uint32_t played_route; /* playing thread: route of the last block */
    float played_gain;     /* playing thread: gain at the end of the last block */
    float tail[CHANNELS];  /* mix: the last frame, from which to fade if the peer stops */
    bool has_decoded;      /* mix: in this pull */
    bool will_decode;      /* mix: in the next pull, what is here already */
} slot;

struct bw_playout {
    uint32_t max_peers;
    _Atomic uint32_t used; /* slots from this index on never held a peer */
    slot *slots;
    bw_resampler *filter;       /* its table is shared by all peers */
    bw_enhancement enhancement; /* shared by all peers */
    atomic_flag mixing;
    float *scratch;         /* one peer's block in the mix */
    bridge calls;           /* callers on air */
    _Atomic bool has_calls; /* the bridge exists */
    bw_counter clipped_samples;
    /* Written by any playing thread. */
    _Atomic uint64_t callbacks, callback_max_ns, blocked;
};

/* ------------------------------------------------------------------ slots */

static bool try_lock(slot *slot) { return !atomic_flag_test_and_set_explicit(&slot->busy, memory_order_acquire); }

static void unlock(slot *slot) { atomic_flag_clear_explicit(&slot->busy, memory_order_release); }

static void lock(slot *slot) {
    while (!try_lock(slot))
        sched_yield();
}

static slot *find(bw_playout *playout, uint32_t peer) {
    return peer < playout->max_peers ? &playout->slots[peer] : NULL;
}

static slot *find_receiving(bw_playout *playout, uint32_t peer) {
    slot *slot = find(playout, peer);
    return slot != NULL && atomic_load(&slot->receiver) != NULL ? slot : NULL;
}

/* Returns the slot's receiver, which exists until unpin; NULL: there is none, but unpin nevertheless. Any thread. */
static receiver *pin(slot *slot) {
    atomic_fetch_add(&slot->counter_readers, 1);
    return atomic_load(&slot->receiver); /* bw_playout_remove waits for this thread from now on. */
}

static void unpin(slot *slot) { atomic_fetch_sub(&slot->counter_readers, 1); }

/* ------------------------------------------------------------------ the network thread */

/* Drops the oldest packet to make room. When nothing plays, busy is free and this thread can act as the reader. */
static void drop_oldest(slot *slot, receiver *receiver) {
    if (!try_lock(slot))
        return;
    if (bw_ring_peek(&receiver->packets) != NULL) {
        bw_ring_pop(&receiver->packets);
        bw_count(&receiver->dropped, 1);
    }
    unlock(slot);
}

void bw_playout_insert(bw_playout *playout, uint32_t peer, const uint8_t *data, uint32_t length, int64_t arrival_ns) {
    slot *slot = find_receiving(playout, peer);
    if (slot == NULL)
        return;
    receiver *receiver = atomic_load_explicit(&slot->receiver, memory_order_acquire);
    waiting_packet *packet = bw_ring_begin_write(&receiver->packets);
    if (packet == NULL) {
        drop_oldest(slot, receiver);
        packet = bw_ring_begin_write(&receiver->packets);
    }
    if (packet == NULL || length > sizeof packet->data) {
        bw_count(&receiver->dropped, 1);
        return;
    }
    packet->arrival_ns = arrival_ns;
    packet->length = length;
    memcpy(packet->data, data, length);
    bw_ring_end_write(&receiver->packets);
}

/* ------------------------------------------------------------------ the playing thread: one peer */

static void take_packets(receiver *receiver) {
    for (waiting_packet *packet; (packet = bw_ring_peek(&receiver->packets)) != NULL; bw_ring_pop(&receiver->packets))
        bw_jitter_buffer_insert(receiver->buffer, packet->data, packet->length, packet->arrival_ns);
}

/* A peer that changes its route fades in. */
static void apply_gain(slot *slot, uint32_t route, float *output, uint32_t frames) {
    bool muted = atomic_load_explicit(&slot->muted, memory_order_relaxed);
    float goal = muted ? 0.0f : atomic_load_explicit(&slot->gain, memory_order_relaxed);
    float gain = slot->played_route == route ? slot->played_gain : 0.0f;
    float step = fmaxf(1.0f, goal) / RAMP_FRAMES;
    for (uint32_t i = 0; i < frames && (gain != goal || goal != 1.0f); i++) {
        gain = gain < goal ? fminf(goal, gain + step) : fmaxf(goal, gain - step);
        output[CHANNELS * i] *= gain;
        output[CHANNELS * i + 1] *= gain;
    }
    slot->played_route = route;
    slot->played_gain = gain;
}

static void note_decoding(slot *slot, const bw_jitter_buffer *buffer, uint32_t frames) {
    slot->has_decoded = bw_jitter_buffer_has_decoded(buffer);
    slot->will_decode = bw_jitter_buffer_will_decode(buffer, frames);
}

static bool lock_to_play(slot *slot) {
    bool locked = try_lock(slot);
    if (!locked)
        atomic_fetch_add_explicit(&slot->playout->blocked, 1, memory_order_relaxed);
    return locked;
}

/* Returns false and writes nothing when the peer has another route, is gone, or is busy. */
static bool play(slot *slot, uint32_t route, float *output, uint32_t frames, int64_t now_ns) {
    if (atomic_load_explicit(&slot->receiver, memory_order_relaxed) == NULL ||
        atomic_load_explicit(&slot->route, memory_order_relaxed) != route)
        return false;
    if (!lock_to_play(slot))
        return false;
    receiver *receiver = atomic_load_explicit(&slot->receiver, memory_order_relaxed);
    if (receiver != NULL) {
        take_packets(receiver);
        bw_jitter_buffer_get(receiver->buffer, output, frames, now_ns);
        apply_gain(slot, route, output, frames);
        if (route == BW_PLAYOUT_MIX)
            note_decoding(slot, receiver->buffer, frames);
    }
    unlock(slot);
    return receiver != NULL;
}

int64_t bw_playout_begin_pull(bw_playout *playout, uint32_t frames, int64_t now_ns) {
    bw_enhancement_begin_pull(&playout->enhancement, now_ns, frames);
    return bw_enhancement_has_budget(&playout->enhancement) ? bw_thread_time_ns() : 0;
}

void bw_playout_end_pull(bw_playout *playout, int64_t began_ns) {
    if (began_ns != 0)
        bw_enhancement_played(&playout->enhancement, bw_thread_time_ns() - began_ns);
}

/* Returns false and writes nothing when another thread is reading. */
static bool cross(bridge *bridge, float *output, uint32_t frames, int64_t now_ns) {
    if (atomic_flag_test_and_set_explicit(&bridge->reading, memory_order_acquire))
        return false;
    int64_t blocks_ns = 2 * (int64_t)frames * 1000000000 / SAMPLE_RATE_HZ;
    if (now_ns - bridge->read_ns > FORGET_AFTER_NS + blocks_ns)
        bw_source_discard(bridge->source);
    bridge->read_ns = now_ns;
    bw_source_read(bridge->source, output, frames);
    atomic_flag_clear_explicit(&bridge->reading, memory_order_release);
    return true;
}

/* Without the slot's busy flag, which belongs to the thread that plays the caller. */
static bool play_caller(slot *slot, float *output, uint32_t frames, int64_t now_ns) {
    receiver *receiver = pin(slot);
    bool has_played = receiver != NULL && receiver->own.source != NULL && cross(&receiver->own, output, frames, now_ns);
    unpin(slot);
    return has_played;
}

static void play_own(slot *slot, float *output, uint32_t frames, int64_t now_ns) {
    int64_t began_ns = bw_playout_begin_pull(slot->playout, frames, now_ns);
    if (!play_caller(slot, output, frames, now_ns) && !play(slot, BW_PLAYOUT_OWN, output, frames, now_ns))
        memset(output, 0, sizeof(float) * CHANNELS * frames);
    bw_playout_end_pull(slot->playout, began_ns);
}

void bw_playout_read_peer(bw_playout *playout, uint32_t peer, float *output, uint32_t frames, int64_t now_ns) {
    slot *slot = find(playout, peer);
    if (slot != NULL)
        play_own(slot, output, frames, now_ns ? now_ns : bw_now_ns());
    else
        memset(output, 0, sizeof(float) * CHANNELS * frames);
}

/* ------------------------------------------------------------------ the playing thread: the mix */

static void add(float *restrict output, const float *restrict input, uint32_t values) {
    for (uint32_t i = 0; i < values; i++)
        output[i] += input[i];
}

void bw_add_tail(float tail[CHANNELS], float *output, uint32_t frames) {
    uint32_t count = frames < TAIL_FRAMES ? frames : TAIL_FRAMES;
    for (uint32_t i = 0; i < count; i++) {
        float share = 1.0f - (float)(i + 1) / (float)count;
        output[CHANNELS * i] += share * tail[0];
        output[CHANNELS * i + 1] += share * tail[1];
    }
    memset(tail, 0, sizeof(float) * CHANNELS);
}

static void decode_early(slot *slot, uint32_t frames, int64_t next_ns) {
    if (!try_lock(slot))
        return;
    receiver *receiver = atomic_load_explicit(&slot->receiver, memory_order_relaxed);
    if (receiver != NULL)
        bw_jitter_buffer_decode_early(receiver->buffer, frames, next_ns);
    unlock(slot);
}

/* Publishers whose packets arrive in step would all be decoded in the same pull and none in the next one. When this
 * pull decodes less than the next one would, it takes over half of the difference. */
static void balance_pulls(bw_playout *playout, uint32_t used, uint32_t frames, int64_t now_ns) {
    int64_t next_ns = now_ns + (int64_t)frames * 1000000000 / SAMPLE_RATE_HZ;
    int32_t more = 0;
    for (uint32_t i = 0; i < used; i++)
        more += playout->slots[i].will_decode - playout->slots[i].has_decoded;
    for (uint32_t i = 0; i < used && more > 1; i++) {
        if (!playout->slots[i].will_decode)
            continue;
        decode_early(&playout->slots[i], frames, next_ns);
        more -= 2;
    }
}

static void mix_peer(slot *slot, float *output, float *scratch, uint32_t frames, int64_t now_ns) {
    slot->has_decoded = slot->will_decode = false;
    if (play(slot, BW_PLAYOUT_MIX, scratch, frames, now_ns)) {
        add(output, scratch, CHANNELS * frames);
        memcpy(slot->tail, scratch + CHANNELS * (size_t)(frames - 1), sizeof slot->tail);
    } else if (slot->tail[0] != 0.0f || slot->tail[1] != 0.0f) {
        bw_add_tail(slot->tail, output, frames);
    }
}

/* Adds the callers on air. */
static void mix_calls(bw_playout *playout, float *output, uint32_t frames, int64_t now_ns) {
    if (atomic_load_explicit(&playout->has_calls, memory_order_acquire) &&
        cross(&playout->calls, playout->scratch, frames, now_ns))
        add(output, playout->scratch, CHANNELS * frames);
}

/* Soft clipping above the knee: never exceeds full scale, with a continuous slope. */
static float bend(float sample) {
    float over = fabsf(sample) - KNEE;
    return copysignf(KNEE + (1.0f - KNEE) * tanhf(over / (1.0f - KNEE)), sample);
}

uint32_t bw_soft_clip(float *output, uint32_t values) {
    uint32_t bent = 0;
    for (uint32_t i = 0; i < values; i++) {
        if (fabsf(output[i]) <= KNEE)
            continue;
        output[i] = bend(output[i]);
        bent++;
    }
    return bent;
}

static void mix(bw_playout *playout, float *output, uint32_t frames, int64_t now_ns) {
    uint32_t used = atomic_load_explicit(&playout->used, memory_order_relaxed);
    memset(output, 0, sizeof(float) * CHANNELS * frames);
    if (atomic_flag_test_and_set_explicit(&playout->mixing, memory_order_acquire)) {
        atomic_fetch_add_explicit(&playout->blocked, 1, memory_order_relaxed);
        return;
    }
    int64_t began_ns = bw_playout_begin_pull(playout, frames, now_ns);
    for (uint32_t i = 0; i < used; i++)
        mix_peer(&playout->slots[i], output, playout->scratch, frames, now_ns);
    balance_pulls(playout, used, frames, now_ns);
    mix_calls(playout, output, frames, now_ns);
    bw_playout_end_pull(playout, began_ns);
    bw_count(&playout->clipped_samples, bw_soft_clip(output, CHANNELS * frames));
    atomic_flag_clear_explicit(&playout->mixing, memory_order_release);
}

void bw_playout_read_mix(bw_playout *playout, float *output, uint32_t frames, int64_t now_ns) {
    now_ns = now_ns ? now_ns : bw_now_ns();
    while (frames > 0) {
        uint32_t count = frames < MIX_FRAMES ? frames : MIX_FRAMES;
        mix(playout, output, count, now_ns);
        output += CHANNELS * (size_t)count;
        frames -= count;
    }
}

/* ------------------------------------------------------------------ callers: the thread of channel 0 */

bool bw_playout_read_caller(bw_playout *playout, uint32_t peer, float *output, uint32_t frames, int64_t now_ns) {
    slot *slot = find(playout, peer);
    if (slot == NULL || atomic_load_explicit(&slot->receiver, memory_order_relaxed) == NULL || !lock_to_play(slot))
        return false;
    receiver *receiver = atomic_load_explicit(&slot->receiver, memory_order_relaxed);
    if (receiver != NULL) {
        take_packets(receiver);
        bw_jitter_buffer_get(receiver->buffer, output, frames, now_ns);
        bw_source_write(receiver->own.source, output, frames);
    }
    unlock(slot);
    return receiver != NULL;
}

void bw_playout_write_calls(bw_playout *playout, const float *samples, uint32_t frames) {
    bw_source_write(playout->calls.source, samples, frames);
}

/* ------------------------------------------------------------------ STREAMPROCs */

static void count_callback(bw_playout *playout, int64_t began_ns) {
    uint64_t took_ns = (uint64_t)(bw_now_ns() - began_ns);
    uint64_t longest_ns = atomic_load_explicit(&playout->callback_max_ns, memory_order_relaxed);
    while (took_ns > longest_ns &&
           !atomic_compare_exchange_weak_explicit(&playout->callback_max_ns, &longest_ns, took_ns, memory_order_relaxed,
                                                  memory_order_relaxed))
        ;
    atomic_fetch_add_explicit(&playout->callbacks, 1, memory_order_relaxed);
}

static uint32_t STREAMPROC mix_proc(uint32_t handle, void *buffer, uint32_t length, void *user) {
    (void)handle;
    bw_playout *playout = user;
    int64_t now_ns = bw_now_ns();
    uint32_t frames = length / (CHANNELS * sizeof(float));
    bw_playout_read_mix(playout, buffer, frames, now_ns);
    count_callback(playout, now_ns);
    return frames * CHANNELS * sizeof(float);
}

static uint32_t STREAMPROC peer_proc(uint32_t handle, void *buffer, uint32_t length, void *user) {
    (void)handle;
    slot *slot = user;
    int64_t now_ns = bw_now_ns();
    uint32_t frames = length / (CHANNELS * sizeof(float));
    play_own(slot, buffer, frames, now_ns);
    count_callback(slot->playout, now_ns);
    return frames * CHANNELS * sizeof(float);
}

void *bw_playout_mix_proc(void) { return (void *)(uintptr_t)mix_proc; }

void *bw_playout_peer_proc(void) { return (void *)(uintptr_t)peer_proc; }

void *bw_playout_peer_user(bw_playout *playout, uint32_t peer) { return find(playout, peer); }

/* ------------------------------------------------------------------ settings and statistics */

int bw_playout_set_route(bw_playout *playout, uint32_t peer, uint32_t route) {
    slot *slot = find_receiving(playout, peer);
    if (slot == NULL || route > BW_PLAYOUT_OWN)
        return BW_ERROR_ARGUMENT;
    uint32_t former = atomic_load_explicit(&slot->route, memory_order_relaxed);
    while (former != ROUTE_CALLER && !atomic_compare_exchange_weak_explicit(&slot->route, &former, route,
                                                                            memory_order_relaxed, memory_order_relaxed))
        ;
    return BW_OK;
}

int bw_playout_set_gain(bw_playout *playout, uint32_t peer, float gain) {
    slot *slot = find_receiving(playout, peer);
    if (slot == NULL || !(gain >= 0.0f && gain <= MAX_GAIN))
        return BW_ERROR_ARGUMENT;
    atomic_store_explicit(&slot->gain, gain, memory_order_relaxed);
    return BW_OK;
}

int bw_playout_set_muted(bw_playout *playout, uint32_t peer, uint32_t muted) {
    slot *slot = find_receiving(playout, peer);
    if (slot == NULL)
        return BW_ERROR_ARGUMENT;
    atomic_store_explicit(&slot->muted, muted != 0, memory_order_relaxed);
    return BW_OK;
}

int bw_playout_set_enhancement(bw_playout *playout, uint32_t mode) {
    if (mode > BW_ENHANCEMENT_ON)
        return BW_ERROR_ARGUMENT;
    bw_libraries libraries = {0};
    if (mode != BW_ENHANCEMENT_OFF)
        bw_get_libraries(&libraries);
    bw_enhancement_set_mode(&playout->enhancement, libraries.osce ? mode : BW_ENHANCEMENT_OFF);
    return mode == BW_ENHANCEMENT_OFF || libraries.osce ? BW_OK : BW_ERROR_OPUS;
}

int bw_playout_get_receiver_stats(bw_playout *playout, uint32_t peer, bw_receiver_stats *stats) {
    slot *slot = find_receiving(playout, peer);
    memset(stats, 0, sizeof *stats);
    if (slot == NULL)
        return BW_ERROR_ARGUMENT;
    receiver *receiver = pin(slot);
    if (receiver != NULL) {
        bw_jitter_buffer_get_stats(receiver->buffer, stats);
        stats->packets_discarded += bw_read_counter(&receiver->dropped);
    }
    unpin(slot);
    return receiver != NULL ? BW_OK : BW_ERROR_ARGUMENT;
}

void bw_playout_get_stats(bw_playout *playout, bw_playout_stats *stats) {
    *stats = (bw_playout_stats){
        .callbacks = atomic_load_explicit(&playout->callbacks, memory_order_relaxed),
        .callback_max_ns = atomic_load_explicit(&playout->callback_max_ns, memory_order_relaxed),
        .blocked = atomic_load_explicit(&playout->blocked, memory_order_relaxed),
        .clipped_samples = bw_read_counter(&playout->clipped_samples),
    };
}

/* ------------------------------------------------------------------ life: the loop thread */

static void receiver_free(receiver *receiver) {
    if (receiver == NULL)
        return;
    bw_ring_destroy(&receiver->packets);
    bw_jitter_buffer_free(receiver->buffer);
    bw_source_free(receiver->own.source);
    free(receiver);
}

static receiver *receiver_new(const bw_receiver_config *config, bw_playout *playout) {
    receiver *made = calloc(1, sizeof *made);
    if (made == NULL)
        return NULL;
    made->buffer = bw_jitter_buffer_new(config, playout->filter);
    atomic_flag_clear(&made->own.reading);
    if (config->in_call > 0)
        made->own.source = bw_source_new_bridge(playout->filter, config->in_call, BRIDGE_MS);
    if (made->buffer == NULL || !bw_ring_init(&made->packets, PACKETS_WAITING, sizeof(waiting_packet)) ||
        (config->in_call > 0 && made->own.source == NULL)) {
        receiver_free(made);
        return NULL;
    }
    bw_jitter_buffer_set_enhancement(made->buffer, &playout->enhancement);
    return made;
}

int bw_playout_add(bw_playout *playout, uint32_t peer, const bw_receiver_config *config) {
    slot *slot = find(playout, peer);
    if (slot == NULL || config->min_ms > config->max_ms)
        return BW_ERROR_ARGUMENT;
    if (atomic_load(&slot->receiver) != NULL)
        return BW_ERROR_BUSY;
    receiver *receiver = receiver_new(config, playout);
    if (receiver == NULL)
        return BW_ERROR_MEMORY;
    lock(slot);
    atomic_store(&slot->route, config->in_call > 0 ? ROUTE_CALLER : BW_PLAYOUT_MIX);
    atomic_store(&slot->gain, 1.0f);
    atomic_store(&slot->muted, false);
    atomic_store(&slot->receiver, receiver);
    unlock(slot);
    if (peer >= atomic_load(&playout->used))
        atomic_store(&playout->used, peer + 1);
    return BW_OK;
}

int bw_playout_remove(bw_playout *playout, uint32_t peer) {
    slot *slot = find_receiving(playout, peer);
    if (slot == NULL)
        return BW_ERROR_ARGUMENT;
    lock(slot);
    receiver *receiver = atomic_exchange(&slot->receiver, NULL);
    unlock(slot);
    while (atomic_load(&slot->counter_readers) != 0)
        sched_yield();
    receiver_free(receiver);
    return BW_OK;
}

bool bw_playout_open_calls(bw_playout *playout, uint32_t block_frames) {
    if (playout->calls.source == NULL)
        playout->calls.source = bw_source_new_bridge(playout->filter, block_frames, MIX_BRIDGE_MS);
    atomic_store_explicit(&playout->has_calls, playout->calls.source != NULL, memory_order_release);
    return playout->calls.source != NULL;
}

static void init_slots(bw_playout *playout) {
    for (uint32_t i = 0; i < playout->max_peers; i++) {
        playout->slots[i].playout = playout;
        atomic_flag_clear(&playout->slots[i].busy);
    }
    atomic_flag_clear(&playout->mixing);
    atomic_flag_clear(&playout->calls.reading);
}

bw_playout *bw_playout_new(uint32_t max_peers) {
    bw_playout *playout = calloc(1, sizeof *playout);
    if (playout == NULL)
        return NULL;
    playout->max_peers = max_peers;
    bw_enhancement_init(&playout->enhancement);
    playout->slots = calloc(max_peers, sizeof *playout->slots);
    playout->scratch = malloc(sizeof(float) * CHANNELS * MIX_FRAMES);
    /* Opus output contains nothing above 20 kHz, so aliasing from there cannot occur and a short kernel is enough. */
    playout->filter = bw_resampler_new_band(SAMPLE_RATE_HZ, SAMPLE_RATE_HZ, CHANNELS, 20e3, 28e3);
    if (playout->slots == NULL || playout->scratch == NULL || playout->filter == NULL) {
        bw_playout_free(playout);
        return NULL;
    }
    init_slots(playout);
    return playout;
}

void bw_playout_free(bw_playout *playout) {
    if (playout == NULL)
        return;
    for (uint32_t i = 0; playout->slots != NULL && i < playout->max_peers; i++)
        receiver_free(atomic_load(&playout->slots[i].receiver));
    bw_source_free(playout->calls.source);
    bw_resampler_free(playout->filter);
    free(playout->scratch);
    free(playout->slots);
    free(playout);
}
