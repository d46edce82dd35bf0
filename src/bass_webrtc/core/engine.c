/* The engine's life, its sockets and the events of its threads (core.h). Channels: channels.c; peers: peers.c. */
#include "fan_out.h"

#include <sched.h>
#include <stddef.h>
#include <string.h>

#define MAX_PEERS 10000
#define LATENESS_WINDOW_MS 10000

/* ---- life */

static bool config_is_valid(const bw_engine_config *config) {
    uint32_t samples = config->frame_samples;
    return config->max_peers >= 1 && config->max_peers <= MAX_PEERS &&
           (samples == 480 || samples == 960 || samples == 1920 || samples == 2880) && config->fan_out_threads >= 1 &&
           config->fan_out_threads <= BW_MAX_FAN_OUTS;
}

static int init(bw_engine *engine) {
    engine->slots = calloc(engine->config.max_peers, sizeof *engine->slots);
    engine->network.wake.read_descriptor = -1;
    if (engine->slots == NULL || !bw_wake_init(&engine->events))
        return BW_ERROR_MEMORY;
    engine->playout = bw_playout_new(engine->config.max_peers);
    engine->calls = bw_calls_new(engine);
    if (engine->playout == NULL || engine->calls == NULL)
        return BW_ERROR_MEMORY;
    return bw_network_init(engine);
}

bw_engine *bw_engine_new(const bw_engine_config *config, int *status) {
    bw_engine *engine = NULL;
    *status = config_is_valid(config) ? BW_OK : BW_ERROR_ARGUMENT;
    if (*status == BW_OK && (engine = bw_allocate_aligned(sizeof *engine)) == NULL)
        *status = BW_ERROR_MEMORY;
    if (engine == NULL)
        return NULL;
    memset(engine, 0, sizeof *engine);
    engine->config = *config;
    engine->lateness_capacity = LATENESS_WINDOW_MS * (BW_SAMPLE_RATE_HZ / 1000) / config->frame_samples;
    engine->events.read_descriptor = -1;
    *status = init(engine);
    if (*status != BW_OK) {
        bw_engine_free(engine);
        return NULL;
    }
    return engine;
}

static bool start_channels(bw_engine *engine) {
    for (uint32_t i = 0; i < BW_MAX_CHANNELS; i++) {
        if (engine->channels[i] != NULL && !bw_channel_start(engine->channels[i]))
            return false;
    }
    return true;
}

int bw_engine_start(bw_engine *engine) {
    atomic_store(&engine->running, true);
    if (pthread_create(&engine->network.thread, NULL, bw_network_run, engine) != 0)
        return BW_ERROR_MEMORY;
    engine->threads_started = true;
    atomic_store(&engine->start_ns, bw_now_ns());
    if (start_channels(engine))
        return BW_OK;
    bw_engine_stop(engine);
    return BW_ERROR_MEMORY;
}

void bw_engine_stop(bw_engine *engine) {
    atomic_store(&engine->running, false);
    if (!engine->threads_started)
        return;
    engine->threads_started = false;
    bw_wake_signal(&engine->network.wake);
    pthread_join(engine->network.thread, NULL);
    for (uint32_t i = 0; i < BW_MAX_CHANNELS; i++) {
        if (engine->channels[i] != NULL) /* All at once: each ends with its frame. */
            bw_channel_end(engine->channels[i]);
    }
    for (uint32_t i = 0; i < BW_MAX_CHANNELS; i++)
        bw_channel_stop(engine->channels[i]);
}

void bw_engine_free(bw_engine *engine) {
    if (engine == NULL)
        return;
    bw_engine_stop(engine);
    for (uint32_t i = 0; i < BW_MAX_CHANNELS; i++) {
        bw_channel_free(engine->channels[i]);
        free((void *)engine->channel_states[i].lateness_us);
    }
    bw_network_destroy(engine);
    bw_calls_free(engine->calls);
    bw_playout_free(engine->playout);
    bw_wake_destroy(&engine->events);
    for (uint32_t i = 0; engine->slots != NULL && i < engine->config.max_peers; i++)
        bw_reporter_free(engine->slots[i].reporter);
    free(engine->slots);
    bw_free_aligned(engine);
}

int bw_engine_add_socket(bw_engine *engine, int descriptor) {
    uint32_t count = atomic_load(&engine->socket_count);
    uint32_t index = 0;
    while (index < count && (atomic_load(&engine->sockets[index]) >= 0 || engine->socket_removals[index] > 0))
        index++;
    if (index == BW_MAX_SOCKETS)
        return BW_ERROR_BUSY;
    if (!bw_prepare_socket(descriptor))
        return BW_ERROR_ARGUMENT;
    atomic_store(&engine->sockets[index], descriptor);
    if (index == count)
        atomic_store_explicit(&engine->socket_count, count + 1, memory_order_release);
    bw_wake_signal(&engine->network.wake);
    return (int)index;
}

/* Waits for room: the network thread never blocks, and the commands of many peers may come at once. */
int bw_command_network(bw_engine *engine, bw_command command) {
    bw_ring *ring = &engine->network.commands;
    bw_command *slot;
    while ((slot = bw_ring_begin_write(ring)) == NULL && atomic_load(&engine->running)) {
        bw_wake_signal(&engine->network.wake);
        sched_yield();
    }
    if (slot != NULL) {
        *slot = command;
        bw_ring_end_write(ring);
    }
    bw_wake_signal(&engine->network.wake);
    return slot != NULL ? BW_OK : BW_ERROR_BUSY;
}

/* Peers that move between fan-outs must not use it either, nor any that moves later. */
static void forget_path(bw_engine *engine, int descriptor) {
    for (uint32_t i = 0; i < engine->config.max_peers; i++) {
        if (engine->slots[i].path.descriptor == descriptor)
            engine->slots[i].path.descriptor = -1;
    }
}

int bw_engine_remove_socket(bw_engine *engine, uint32_t socket) {
    if (socket >= atomic_load(&engine->socket_count) || engine->socket_removals[socket] > 0)
        return BW_ERROR_ARGUMENT;
    int descriptor = atomic_load(&engine->sockets[socket]);
    if (descriptor < 0)
        return BW_ERROR_ARGUMENT;
    bw_fan_out *fan_outs[BW_MAX_CHANNELS * BW_MAX_FAN_OUTS];
    uint32_t count = bw_channels_fan_outs(engine, fan_outs);
    bool has_room = bw_channels_are_stable(engine) && bw_ring_begin_write(&engine->network.commands) != NULL;
    for (uint32_t i = 0; i < count; i++)
        has_room = has_room && bw_ring_begin_write(&fan_outs[i]->commands) != NULL;
    if (!has_room)
        return BW_ERROR_BUSY;
    for (uint32_t i = 0; i < count; i++)
        bw_fan_out_command_to(
            fan_outs[i],
            (bw_fan_out_command){.kind = BW_FAN_OUT_REMOVE_SOCKET, .value = socket, .path.descriptor = descriptor});
    bw_command_network(engine, (bw_command){.kind = BW_COMMAND_REMOVE_SOCKET, .value = socket});
    forget_path(engine, descriptor);
    engine->socket_removals[socket] = 1 + count;
    return BW_OK;
}

/* ---- events */

int bw_engine_event_fd(bw_engine *engine) { return engine->events.read_descriptor; }

/* Returns true when all threads have released the socket. */
static bool finish_socket_removal(bw_engine *engine, uint32_t socket) {
    return engine->socket_removals[socket] > 0 && --engine->socket_removals[socket] == 0;
}

/* Returns whether Python must be told. */
static bool take_notice(bw_engine *engine, bw_notice *notice, bool from_network) {
    switch (notice->kind) {
    case BW_NOTICE_PEER_TAKEN:
        notice->kind = BW_EVENT_PEER_REMOVED; /* meanwhile, perhaps */
        return bw_peer_taken(engine, notice->peer, notice->pointer);
    case BW_EVENT_PEER_REMOVED:
        return bw_peer_returned(engine, notice->peer, notice->pointer, from_network);
    case BW_EVENT_SOCKET_REMOVED:
        return finish_socket_removal(engine, notice->value);
    case BW_EVENT_PROBE_SENT:
        engine->slots[notice->peer].probing = false;
        return !engine->slots[notice->peer].removing;
    case BW_EVENT_LIMITED:
        atomic_store(&engine->network.limit_notice_pending, false);
        return true;
    case BW_NOTICE_CALL_REMOVED:
        notice->kind = BW_EVENT_PEER_REMOVED;
        bw_call_removed(engine, notice->channel);
        return bw_peer_released(engine, notice->peer);
    default:
        bw_channel_noticed(engine, notice);
        return notice->kind != BW_EVENT_CHANNEL_REMOVED; /* not before its notices have been taken */
    }
}

uint32_t bw_events_take(bw_engine *engine, bw_ring *ring, bw_event *events, uint32_t capacity) {
    uint32_t taken = 0;
    for (bw_notice *next; taken < capacity && (next = bw_ring_peek(ring)) != NULL;) {
        bw_notice notice = *next;
        bw_ring_pop(ring);
        if (!take_notice(engine, &notice, ring == &engine->network.notices))
            continue;
        events[taken].kind = notice.kind;
        events[taken].peer = notice.peer;
        events[taken].channel = notice.channel;
        events[taken].length = 0;
        events[taken].value = notice.value;
        taken++;
    }
    return taken;
}

/* Takes datagrams, except those of a removed peer. */
static uint32_t take_datagrams(bw_engine *engine, bw_event *events, uint32_t capacity) {
    bw_ring *ring = &engine->network.datagrams;
    uint32_t taken = 0;
    for (bw_event *event; taken < capacity && (event = bw_ring_peek(ring)) != NULL; bw_ring_pop(ring)) {
        bw_slot *slot = &engine->slots[event->peer];
        atomic_fetch_sub_explicit(&slot->queued, 1, memory_order_relaxed);
        if (event->value == slot->occupant)
            memcpy(&events[taken++], event, offsetof(bw_event, data) + event->length);
    }
    return taken;
}

uint32_t bw_engine_next_events(bw_engine *engine, bw_event *events, uint32_t capacity) {
    /* Clear first, then read the rings: an event that arrives meanwhile signals again. The exchange makes writes
     * visible of threads that found the flag already set and therefore did not signal. */
    bw_wake_clear(&engine->events);
    atomic_exchange(&engine->events_signaled, false);
    /* Notices first: they are few, whereas datagrams may never end. */
    uint32_t taken = bw_channels_take_notices(engine, events, capacity);
    taken += bw_events_take(engine, &engine->network.notices, events + taken, capacity - taken);
    taken += take_datagrams(engine, events + taken, capacity - taken);
    if (taken == capacity)
        bw_events_signal(engine);
    return taken;
}

/* ---- playout */

bw_playout *bw_engine_playout(bw_engine *engine) { return engine->playout; }

/* ---- statistics */

void bw_engine_get_stats(bw_engine *engine, bw_engine_stats *stats) {
    *stats = (bw_engine_stats){
        .frames_sent = bw_read_counter(&engine->counters.frames_sent),
        .frames_skipped = bw_read_counter(&engine->counters.frames_skipped),
        .late_frames = bw_read_counter(&engine->counters.late_frames),
        .packets_sent = bw_read_counter(&engine->counters.packets_sent),
        .bytes_sent = bw_read_counter(&engine->counters.bytes_sent),
        .send_drops = bw_read_counter(&engine->counters.send_drops),
        .encode_errors = bw_read_counter(&engine->counters.encode_errors),
        .source_underruns = bw_read_counter(&engine->counters.source_underruns),
        .packets_received = bw_read_counter(&engine->packets_received),
        .bytes_received = bw_read_counter(&engine->bytes_received),
        .datagrams_dropped = bw_read_counter(&engine->datagrams_dropped),
        .datagrams_limited = bw_read_counter(&engine->datagrams_limited),
        .srtp_errors = bw_read_counter(&engine->srtp_errors),
        .events_dropped = bw_read_counter(&engine->events_dropped),
        .realtime_priority = atomic_load(&engine->realtime_priority),
        .source_ended = atomic_load(&engine->channel_states[0].source_ended),
        .source_error = atomic_load(&engine->channel_states[0].source_error),
        .source_ends = bw_read_counter(&engine->channel_states[0].source_ends),
        .active_peers = atomic_load(&engine->active_peers),
    };
}

int64_t bw_engine_start_ns(bw_engine *engine) { return atomic_load(&engine->start_ns); }
