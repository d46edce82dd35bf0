/* The engine's public functions (core.h): they send commands to the two threads and collect their events. */
#include "incoming.h"

#include <stddef.h>
#include <string.h>

#define MAX_PEERS 10000

/* Bits of socket_removals: this thread has not released the socket yet. */
#define SENDER_USES_SOCKET 1u
#define NETWORK_USES_SOCKET 2u

/* ---- life */

static bool config_is_valid(const bw_engine_config *config) {
    uint32_t samples = config->frame_samples;
    return config->max_peers >= 1 && config->max_peers <= MAX_PEERS &&
           (samples == 480 || samples == 960 || samples == 1920 || samples == 2880) && config->bitrate_bps >= 6000 &&
           config->bitrate_bps <= 510000 && config->complexity <= 10 && config->application <= BW_APPLICATION_LOWDELAY;
}

static int init(bw_engine *engine, bw_source *source) {
    engine->slots = calloc(engine->config.max_peers, sizeof *engine->slots);
    engine->network.wake.read_descriptor = -1;
    if (engine->slots == NULL || !bw_wake_init(&engine->events))
        return BW_ERROR_MEMORY;
    engine->playout = bw_playout_new(engine->config.max_peers);
    if (engine->playout == NULL)
        return BW_ERROR_MEMORY;
    int status = bw_sender_init(engine, source);
    return status != BW_OK ? status : bw_network_init(engine);
}

bw_engine *bw_engine_new(const bw_engine_config *config, bw_source *source, int *status) {
    bw_engine *engine = NULL;
    *status = config_is_valid(config) ? BW_OK : BW_ERROR_ARGUMENT;
    if (*status == BW_OK && (engine = bw_allocate_aligned(sizeof *engine)) == NULL)
        *status = BW_ERROR_MEMORY;
    if (engine == NULL)
        return NULL;
    memset(engine, 0, sizeof *engine);
    engine->config = *config;
    engine->events.read_descriptor = -1;
    *status = init(engine, source);
    if (*status != BW_OK) {
        bw_engine_free(engine);
        return NULL;
    }
    return engine;
}

int bw_engine_start(bw_engine *engine) {
    atomic_store(&engine->running, true);
    if (pthread_create(&engine->network.thread, NULL, bw_network_run, engine) != 0)
        return BW_ERROR_MEMORY;
    if (pthread_create(&engine->sender.thread, NULL, bw_sender_run, engine) != 0) {
        atomic_store(&engine->running, false);
        bw_wake_signal(&engine->network.wake);
        pthread_join(engine->network.thread, NULL);
        return BW_ERROR_MEMORY;
    }
    engine->threads_started = true;
    return BW_OK;
}

void bw_engine_stop(bw_engine *engine) {
    atomic_store(&engine->running, false);
    if (!engine->threads_started)
        return;
    engine->threads_started = false;
    bw_wake_signal(&engine->network.wake);
    pthread_join(engine->network.thread, NULL);
    pthread_join(engine->sender.thread, NULL);
}

void bw_engine_free(bw_engine *engine) {
    if (engine == NULL)
        return;
    bw_engine_stop(engine);
    bw_sender_destroy(engine);
    bw_network_destroy(engine);
    bw_playout_free(engine->playout);
    bw_wake_destroy(&engine->events);
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

/* ---- commands */

static int command_to(bw_ring *ring, bw_command command) {
    bw_command *slot = bw_ring_begin_write(ring);
    if (slot == NULL)
        return BW_ERROR_BUSY;
    *slot = command;
    bw_ring_end_write(ring);
    return BW_OK;
}

static int command_sender(bw_engine *engine, bw_command command) {
    return command_to(&engine->sender.commands, command);
}

static int command_network(bw_engine *engine, bw_command command) {
    int status = command_to(&engine->network.commands, command);
    bw_wake_signal(&engine->network.wake);
    return status;
}

int bw_engine_remove_socket(bw_engine *engine, uint32_t socket) {
    if (socket >= atomic_load(&engine->socket_count) || engine->socket_removals[socket] > 0)
        return BW_ERROR_ARGUMENT;
    int descriptor = atomic_load(&engine->sockets[socket]);
    if (descriptor < 0)
        return BW_ERROR_ARGUMENT;
    bw_command command = {.kind = BW_COMMAND_REMOVE_SOCKET, .value = socket, .descriptor = descriptor};
    int status = command_sender(engine, command);
    if (status == BW_OK && (status = command_network(engine, command)) == BW_OK)
        engine->socket_removals[socket] = SENDER_USES_SOCKET | NETWORK_USES_SOCKET;
    return status;
}

int bw_engine_set_bitrate(bw_engine *engine, uint32_t bitrate_bps) {
    if (bitrate_bps < 6000 || bitrate_bps > 510000)
        return BW_ERROR_ARGUMENT;
    return command_sender(engine, (bw_command){.kind = BW_COMMAND_SET_BITRATE, .value = bitrate_bps});
}

int bw_engine_set_expected_loss(bw_engine *engine, uint32_t percent) {
    if (percent > 100)
        return BW_ERROR_ARGUMENT;
    return command_sender(engine, (bw_command){.kind = BW_COMMAND_SET_EXPECTED_LOSS, .value = percent});
}

int bw_engine_set_complexity(bw_engine *engine, uint32_t complexity) {
    if (complexity > 10)
        return BW_ERROR_ARGUMENT;
    return command_sender(engine, (bw_command){.kind = BW_COMMAND_SET_COMPLEXITY, .value = complexity});
}

int bw_engine_set_source(bw_engine *engine, bw_source *source, int32_t error) {
    if (engine->sender.replacing)
        return BW_ERROR_BUSY;
    bw_command command = {.kind = BW_COMMAND_SET_SOURCE, .pointer = source, .value = (uint32_t)error};
    int status = command_sender(engine, command);
    engine->sender.replacing = status == BW_OK;
    return status;
}

int bw_peer_map_address(bw_engine *engine, uint32_t peer, uint32_t socket, const bw_address *address) {
    if (peer >= engine->config.max_peers || socket >= atomic_load(&engine->socket_count))
        return BW_ERROR_ARGUMENT;
    return command_network(engine,
                           (bw_command){.kind = BW_COMMAND_MAP, .peer = peer, .value = socket, .address = *address});
}

int bw_peer_unmap_address(bw_engine *engine, uint32_t peer, uint32_t socket, const bw_address *address) {
    if (peer >= engine->config.max_peers || socket >= atomic_load(&engine->socket_count))
        return BW_ERROR_ARGUMENT;
    return command_network(engine,
                           (bw_command){.kind = BW_COMMAND_UNMAP, .peer = peer, .value = socket, .address = *address});
}

/* Copies a ufrag. Returns false when it is empty or too long. */
static bool set_ufrag(bw_ice_keys *keys, const char *ufrag) {
    size_t bytes = strlen(ufrag);
    if (bytes == 0 || bytes > BW_MAX_UFRAG_BYTES)
        return false;
    keys->ufrag_bytes = (uint32_t)bytes;
    memcpy(keys->ufrag, ufrag, bytes);
    return true;
}

int bw_peer_add_ice(bw_engine *engine, uint32_t peer, const char *ufrag, const char *local_password,
                    const char *remote_password) {
    bw_command command = {.kind = BW_COMMAND_ADD_ICE, .peer = peer};
    if (peer >= engine->config.max_peers || engine->slots[peer].removing || !set_ufrag(&command.ice, ufrag))
        return BW_ERROR_ARGUMENT;
    bw_hmac_set_key(&command.ice.local, local_password, strlen(local_password));
    bw_hmac_set_key(&command.ice.remote, remote_password, strlen(remote_password));
    return command_network(engine, command);
}

int bw_peer_remove_ice(bw_engine *engine, uint32_t peer, const char *ufrag) {
    bw_command command = {.kind = BW_COMMAND_REMOVE_ICE, .peer = peer};
    if (peer >= engine->config.max_peers || !set_ufrag(&command.ice, ufrag))
        return BW_ERROR_ARGUMENT;
    return command_network(engine, command);
}

static bw_outgoing *make_outgoing(uint32_t peer, const bw_peer_config *config) {
    bw_outgoing *outgoing = calloc(1, sizeof *outgoing);
    if (outgoing == NULL)
        return NULL;
    outgoing->peer = peer;
    outgoing->ssrc = config->ssrc;
    outgoing->index = config->sequence;
    outgoing->timestamp_offset = config->timestamp_offset;
    outgoing->payload_type = config->payload_type;
    outgoing->red_payload_type = config->red_payload_type;
    outgoing->descriptor = -1;
    outgoing->protector = bw_protector_new(config->srtp_profile, config->local_key);
    if (outgoing->protector == NULL) {
        free(outgoing);
        return NULL;
    }
    return outgoing;
}

static int add_outgoing(bw_engine *engine, uint32_t peer, const bw_peer_config *config) {
    bw_outgoing *outgoing = make_outgoing(peer, config);
    if (outgoing == NULL)
        return BW_ERROR_SRTP;
    int status = command_sender(engine, (bw_command){.kind = BW_COMMAND_ADD, .peer = peer, .pointer = outgoing});
    if (status != BW_OK)
        bw_outgoing_free(outgoing);
    return status;
}

static int add_incoming(bw_engine *engine, uint32_t peer, const bw_peer_config *config) {
    bw_receiver_config jitter = {
        .payload_type = config->receive_payload_type,
        .red_payload_type = config->receive_red_payload_type,
        .start_ms = config->jitter_start_ms,
        .min_ms = config->jitter_min_ms,
        .max_ms = config->jitter_max_ms,
    };
    bw_incoming *incoming = bw_incoming_new(config, &engine->slots[peer].reception);
    if (incoming == NULL)
        return BW_ERROR_SRTP;
    int status = config->receive ? bw_playout_add(engine->playout, peer, &jitter) : BW_OK;
    if (status == BW_OK)
        status = command_network(engine, (bw_command){.kind = BW_COMMAND_ADD, .peer = peer, .pointer = incoming});
    if (status != BW_OK)
        bw_incoming_free(incoming);
    return status;
}

int bw_peer_add(bw_engine *engine, uint32_t peer, const bw_peer_config *config) {
    if (peer >= engine->config.max_peers || config->sequence > 0x7FFF || (config->ssrc == 0 && !config->receive))
        return BW_ERROR_ARGUMENT;
    bw_slot *slot = &engine->slots[peer];
    if (slot->added || slot->removing)
        return BW_ERROR_BUSY;
    int status = add_incoming(engine, peer, config);
    if (status == BW_OK && config->ssrc != 0)
        status = add_outgoing(engine, peer, config);
    /* One of the two states may have been sent even on failure; bw_peer_remove reclaims it. */
    slot->added = status == BW_OK;
    if (slot->added)
        atomic_fetch_add(&engine->active_peers, 1);
    return status;
}

static int command_peer(bw_engine *engine, bw_command command) {
    if (command.peer >= engine->config.max_peers || !engine->slots[command.peer].added)
        return BW_ERROR_ARGUMENT;
    return command_sender(engine, command);
}

int bw_peer_set_path(bw_engine *engine, uint32_t peer, uint32_t socket, const bw_address *address) {
    if (socket >= atomic_load(&engine->socket_count))
        return BW_ERROR_ARGUMENT;
    int descriptor = atomic_load(&engine->sockets[socket]);
    return command_peer(
        engine, (bw_command){.kind = BW_COMMAND_SET_PATH, .peer = peer, .descriptor = descriptor, .address = *address});
}

int bw_peer_set_descriptor(bw_engine *engine, uint32_t peer, int descriptor, const bw_address *address) {
    if (!bw_prepare_socket(descriptor))
        return BW_ERROR_ARGUMENT;
    return command_peer(
        engine, (bw_command){.kind = BW_COMMAND_SET_PATH, .peer = peer, .descriptor = descriptor, .address = *address});
}

int bw_peer_clear_path(bw_engine *engine, uint32_t peer) {
    return command_peer(engine, (bw_command){.kind = BW_COMMAND_CLEAR_PATH, .peer = peer});
}

int bw_peer_set_redundancy(bw_engine *engine, uint32_t peer, uint32_t level) {
    if (level > 2)
        return BW_ERROR_ARGUMENT;
    return command_peer(engine, (bw_command){.kind = BW_COMMAND_SET_REDUNDANCY, .peer = peer, .value = level});
}

int bw_peer_resend(bw_engine *engine, uint32_t peer, uint32_t sequence) {
    bw_ring *ring = &engine->sender.commands;
    if (sequence > 0xFFFF)
        return BW_ERROR_ARGUMENT;
    if (bw_ring_count(ring) > ring->mask / 2)
        return BW_ERROR_BUSY;
    return command_peer(engine, (bw_command){.kind = BW_COMMAND_RESEND, .peer = peer, .value = sequence});
}

int bw_peer_remove(bw_engine *engine, uint32_t peer) {
    if (peer >= engine->config.max_peers || engine->slots[peer].removing)
        return BW_ERROR_ARGUMENT;
    bw_command command = {.kind = BW_COMMAND_REMOVE, .peer = peer};
    int status = command_sender(engine, command);
    if (status == BW_OK && (status = command_network(engine, command)) == BW_OK) {
        if (engine->slots[peer].added)
            atomic_fetch_sub(&engine->active_peers, 1);
        engine->slots[peer].removing = true;
        engine->slots[peer].occupant++;
        engine->slots[peer].pending_removals = 2;
    }
    return status;
}

/* ---- events */

int bw_engine_event_fd(bw_engine *engine) { return engine->events.read_descriptor; }

static void reset_slot(bw_slot *slot) {
    bw_counter *counters[] = {&slot->packets_sent,      &slot->bytes_sent,
                              &slot->octets_sent,       &slot->send_drops,
                              &slot->packets_resent,    &slot->packets_received,
                              &slot->bytes_received,    &slot->srtp_errors,
                              &slot->datagrams_limited, &slot->packets_not_negotiated,
                              &slot->sequence_restarts};
    for (size_t i = 0; i < sizeof counters / sizeof counters[0]; i++)
        atomic_store(counters[i], 0);
    atomic_store(&slot->reception.packets_received, 0);
    slot->added = slot->removing = false;
}

/* Frees the state that one thread returned for a removed peer. Returns true when it was the last, so Python must be
 * notified. */
static bool finish_removal(bw_engine *engine, const bw_notice *notice, bool from_sender) {
    bw_slot *slot = &engine->slots[notice->peer];
    if (from_sender)
        bw_outgoing_free(notice->pointer);
    else
        bw_incoming_free(notice->pointer);
    if (--slot->pending_removals > 0)
        return false;
    bw_playout_remove(engine->playout, notice->peer);
    reset_slot(slot);
    return true;
}

/* Returns true when both threads have released the socket. */
static bool finish_socket_removal(bw_engine *engine, uint32_t socket, bool from_sender) {
    uint8_t before = engine->socket_removals[socket];
    engine->socket_removals[socket] = before & (uint8_t)(from_sender ? ~SENDER_USES_SOCKET : ~NETWORK_USES_SOCKET);
    return before != 0 && engine->socket_removals[socket] == 0;
}

static uint32_t take_notices(bw_engine *engine, bw_ring *ring, bw_event *events, uint32_t capacity) {
    uint32_t taken = 0;
    for (bw_notice *notice; taken < capacity && (notice = bw_ring_peek(ring)) != NULL; bw_ring_pop(ring)) {
        bool from_sender = ring == &engine->sender.notices;
        if (notice->kind == BW_EVENT_LIMITED)
            atomic_store(&engine->network.limit_notice_pending, false);
        if (notice->kind == BW_EVENT_SOURCE_ENDED)
            atomic_store(&engine->sender.end_notice_pending, false);
        if (notice->kind == BW_EVENT_SOURCE_REPLACED)
            engine->sender.replacing = false;
        if (notice->kind == BW_EVENT_PEER_REMOVED && !finish_removal(engine, notice, from_sender))
            continue;
        if (notice->kind == BW_EVENT_SOCKET_REMOVED && !finish_socket_removal(engine, notice->value, from_sender))
            continue;
        events[taken].kind = notice->kind;
        events[taken].peer = notice->peer;
        events[taken].length = 0;
        events[taken].value = notice->value;
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
    uint32_t taken = take_notices(engine, &engine->sender.notices, events, capacity);
    taken += take_notices(engine, &engine->network.notices, events + taken, capacity - taken);
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
        .frames_sent = bw_read_counter(&engine->frames_sent),
        .frames_skipped = bw_read_counter(&engine->frames_skipped),
        .late_frames = bw_read_counter(&engine->late_frames),
        .packets_sent = bw_read_counter(&engine->packets_sent),
        .bytes_sent = bw_read_counter(&engine->bytes_sent),
        .send_drops = bw_read_counter(&engine->send_drops),
        .encode_errors = bw_read_counter(&engine->encode_errors),
        .source_underruns = bw_read_counter(&engine->source_underruns),
        .packets_received = bw_read_counter(&engine->packets_received),
        .bytes_received = bw_read_counter(&engine->bytes_received),
        .datagrams_dropped = bw_read_counter(&engine->datagrams_dropped),
        .datagrams_limited = bw_read_counter(&engine->datagrams_limited),
        .srtp_errors = bw_read_counter(&engine->srtp_errors),
        .events_dropped = bw_read_counter(&engine->events_dropped),
        .realtime_priority = atomic_load(&engine->realtime_priority),
        .source_ended = atomic_load(&engine->sender.source_ended),
        .source_error = atomic_load(&engine->sender.source_error),
        .source_ends = bw_read_counter(&engine->sender.source_ends),
        .active_peers = atomic_load(&engine->active_peers),
    };
}

int bw_peer_get_stats(bw_engine *engine, uint32_t peer, bw_peer_stats *stats) {
    if (peer >= engine->config.max_peers)
        return BW_ERROR_ARGUMENT;
    bw_slot *slot = &engine->slots[peer];
    *stats = (bw_peer_stats){
        .packets_sent = bw_read_counter(&slot->packets_sent),
        .bytes_sent = bw_read_counter(&slot->bytes_sent),
        .octets_sent = bw_read_counter(&slot->octets_sent),
        .send_drops = bw_read_counter(&slot->send_drops),
        .packets_resent = bw_read_counter(&slot->packets_resent),
        .packets_received = bw_read_counter(&slot->packets_received),
        .bytes_received = bw_read_counter(&slot->bytes_received),
        .srtp_errors = bw_read_counter(&slot->srtp_errors),
        .datagrams_limited = bw_read_counter(&slot->datagrams_limited),
        .packets_not_negotiated = bw_read_counter(&slot->packets_not_negotiated),
        .sequence_restarts = bw_read_counter(&slot->sequence_restarts),
    };
    return BW_OK;
}

int bw_peer_get_reception(bw_engine *engine, uint32_t peer, bw_peer_reception *reception) {
    if (peer >= engine->config.max_peers)
        return BW_ERROR_ARGUMENT;
    bw_reception *from = &engine->slots[peer].reception;
    *reception = (bw_peer_reception){
        .ssrc = atomic_load_explicit(&from->ssrc, memory_order_acquire),
        .first_sequence = bw_read_counter(&from->first_sequence),
        .highest_sequence = bw_read_counter(&from->highest_sequence),
        .packets_received = bw_read_counter(&from->packets_received),
        .jitter_ticks = (uint32_t)(bw_read_counter(&from->jitter_ticks_16) / 16),
    };
    return BW_OK;
}

uint32_t bw_engine_get_lateness(bw_engine *engine, uint32_t *lateness_us, uint32_t capacity) {
    bw_sender *sender = &engine->sender;
    uint32_t count = atomic_load_explicit(&sender->lateness_count, memory_order_acquire);
    count = count < sender->lateness_capacity ? count : sender->lateness_capacity;
    count = count < capacity ? count : capacity;
    for (uint32_t i = 0; i < count; i++)
        lateness_us[i] = atomic_load_explicit(&sender->lateness_us[i], memory_order_relaxed);
    return count;
}

int64_t bw_engine_start_ns(bw_engine *engine) { return atomic_load(&engine->sender.start_ns); }
