/* Peers as the loop thread sees them (core.h): it makes their state, passes it to a fan-out and the network thread, and
 * frees it when both have returned it. */
#include "fan_out.h"
#include "incoming.h"

#include <string.h>

/* ---- addresses and ICE */

int bw_peer_map_address(bw_engine *engine, uint32_t peer, uint32_t socket, const bw_address *address) {
    if (peer >= engine->config.max_peers || socket >= atomic_load(&engine->socket_count))
        return BW_ERROR_ARGUMENT;
    return bw_command_network(engine,
                              (bw_command){.kind = BW_COMMAND_MAP, .peer = peer, .value = socket, .address = *address});
}

int bw_peer_unmap_address(bw_engine *engine, uint32_t peer, uint32_t socket, const bw_address *address) {
    if (peer >= engine->config.max_peers || socket >= atomic_load(&engine->socket_count))
        return BW_ERROR_ARGUMENT;
    return bw_command_network(
        engine, (bw_command){.kind = BW_COMMAND_UNMAP, .peer = peer, .value = socket, .address = *address});
}

int bw_peer_settle_address(bw_engine *engine, uint32_t peer, uint32_t socket, const bw_address *address) {
    if (peer >= engine->config.max_peers || socket >= atomic_load(&engine->socket_count))
        return BW_ERROR_ARGUMENT;
    uint32_t number = ++engine->slots[peer].settlements;
    return bw_command_network(
        engine,
        (bw_command){.kind = BW_COMMAND_SETTLE, .peer = peer, .value = socket, .address = *address, .number = number});
}

int bw_peer_unsettle_address(bw_engine *engine, uint32_t peer, uint32_t socket, const bw_address *address) {
    if (peer >= engine->config.max_peers || socket >= atomic_load(&engine->socket_count))
        return BW_ERROR_ARGUMENT;
    return bw_command_network(
        engine, (bw_command){.kind = BW_COMMAND_UNSETTLE, .peer = peer, .value = socket, .address = *address});
}

int64_t bw_peer_checked_ns(bw_engine *engine, uint32_t peer) {
    if (peer >= engine->config.max_peers)
        return 0;
    bw_slot *slot = &engine->slots[peer];
    bool is_current = atomic_load_explicit(&slot->settled_number, memory_order_acquire) == slot->settlements;
    return is_current ? atomic_load_explicit(&slot->checked_ns, memory_order_relaxed) : 0;
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
    return bw_command_network(engine, command);
}

int bw_peer_remove_ice(bw_engine *engine, uint32_t peer, const char *ufrag) {
    bw_command command = {.kind = BW_COMMAND_REMOVE_ICE, .peer = peer};
    if (peer >= engine->config.max_peers || !set_ufrag(&command.ice, ufrag))
        return BW_ERROR_ARGUMENT;
    return bw_command_network(engine, command);
}

/* ---- life */

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
    outgoing->wanted_encoding = (uint8_t)config->encoding;
    outgoing->descriptor = -1;
    if (!bw_srtp_keys_init(&outgoing->srtp, BW_SRTP_RTP, config->srtp_profile, config->local_key)) {
        free(outgoing);
        return NULL;
    }
    return outgoing;
}

static int add_outgoing(bw_engine *engine, uint32_t peer, const bw_peer_config *config, bw_channel *channel) {
    bw_slot *slot = &engine->slots[peer];
    bw_outgoing *outgoing = make_outgoing(peer, config);
    if (outgoing == NULL)
        return BW_ERROR_SRTP;
    slot->fan_out = bw_channel_admit(channel);
    int status = bw_fan_out_command_to(slot->fan_out,
                                       (bw_fan_out_command){.kind = BW_FAN_OUT_ADD, .peer = peer, .pointer = outgoing});
    if (status != BW_OK) {
        bw_channel_dismiss(slot->fan_out);
        slot->fan_out = NULL;
        bw_outgoing_free(outgoing);
    }
    return status;
}

static int add_incoming(bw_engine *engine, uint32_t peer, const bw_peer_config *config) {
    bw_receiver_config jitter = {
        .payload_type = config->receive_payload_type,
        .red_payload_type = config->receive_red_payload_type,
        .start_ms = config->jitter_start_ms,
        .min_ms = config->jitter_min_ms,
        .max_ms = config->jitter_max_ms,
        .in_call = bw_call_exists(engine, peer) ? engine->config.frame_samples : 0,
    };
    bw_incoming *incoming = bw_incoming_new(config, &engine->slots[peer].reception);
    if (incoming == NULL)
        return BW_ERROR_SRTP;
    int status = config->receive ? bw_playout_add(engine->playout, peer, &jitter) : BW_OK;
    if (status == BW_OK)
        status = bw_command_network(engine, (bw_command){.kind = BW_COMMAND_ADD, .peer = peer, .pointer = incoming});
    if (status != BW_OK)
        bw_incoming_free(incoming);
    return status;
}

/* Returns NULL unless there are such a channel and encoding. */
static bw_channel *find_encoding(bw_engine *engine, uint32_t channel, uint32_t encoding) {
    bw_channel *found = bw_channel_find(engine, channel);
    return found != NULL && encoding < found->encoding_count ? found : NULL;
}

int bw_peer_add(bw_engine *engine, uint32_t peer, const bw_peer_config *config) {
    bool sends = config->ssrc != 0;
    bw_channel *channel = sends ? find_encoding(engine, config->channel, config->encoding) : NULL;
    if (peer >= engine->config.max_peers || config->sequence > 0x7FFF || (!sends && !config->receive) ||
        (sends && channel == NULL))
        return BW_ERROR_ARGUMENT;
    bw_slot *slot = &engine->slots[peer];
    if (slot->added || slot->removing)
        return BW_ERROR_BUSY;
    slot->path.descriptor = -1;
    slot->redundancy = 0;
    slot->wanted_encoding = (uint8_t)config->encoding;
    int status = add_incoming(engine, peer, config);
    if (status == BW_OK && sends)
        status = add_outgoing(engine, peer, config, channel);
    /* One of the two states may have been sent even on failure; bw_peer_remove reclaims it. */
    slot->added = status == BW_OK;
    if (slot->added)
        atomic_fetch_add(&engine->active_peers, 1);
    return status;
}

int bw_peer_remove(bw_engine *engine, uint32_t peer) {
    if (peer >= engine->config.max_peers || engine->slots[peer].removing)
        return BW_ERROR_ARGUMENT;
    bw_slot *slot = &engine->slots[peer];
    int status = BW_OK;
    if (slot->fan_out != NULL && !slot->moving)
        status = bw_fan_out_command_to(slot->fan_out, (bw_fan_out_command){.kind = BW_FAN_OUT_REMOVE, .peer = peer});
    if (status == BW_OK)
        status = bw_command_network(engine, (bw_command){.kind = BW_COMMAND_REMOVE, .peer = peer});
    if (status != BW_OK)
        return status;
    if (slot->added)
        atomic_fetch_sub(&engine->active_peers, 1);
    slot->pending_removals = 1 + (slot->fan_out != NULL);
    if (slot->fan_out != NULL)
        bw_channel_dismiss(slot->fan_out);
    slot->fan_out = NULL;
    slot->pending_removals += bw_call_remove(engine, peer);
    slot->removing = true;
    slot->occupant++;
    return BW_OK;
}

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
    atomic_store(&slot->checked_ns, 0);
    bw_reports_reset(&slot->reports);
    bw_reporter_free(slot->reporter);
    slot->reporter = NULL;
    slot->added = slot->removing = slot->moving = slot->probing = false;
}

bool bw_peer_returned(bw_engine *engine, uint32_t peer, void *state, bool from_network) {
    if (from_network)
        bw_incoming_free(state);
    else
        bw_outgoing_free(state);
    return bw_peer_released(engine, peer);
}

bool bw_peer_released(bw_engine *engine, uint32_t peer) {
    bw_slot *slot = &engine->slots[peer];
    if (--slot->pending_removals > 0)
        return false;
    bw_playout_remove(engine->playout, peer);
    reset_slot(slot);
    return true;
}

/* ---- what is sent, and where: kept in the slot, too, for a peer that moves */

static bool is_sent_to(bw_engine *engine, uint32_t peer) {
    return peer < engine->config.max_peers && engine->slots[peer].added && !engine->slots[peer].removing;
}

/* A peer that moves gets the command as part of its state, and one that is sent nothing needs none. */
static int command_peer(bw_engine *engine, bw_fan_out_command command) {
    bw_slot *slot = &engine->slots[command.peer];
    return slot->fan_out == NULL || slot->moving ? BW_OK : bw_fan_out_command_to(slot->fan_out, command);
}

static int set_path(bw_engine *engine, uint32_t peer, const bw_path *path) {
    if (!is_sent_to(engine, peer))
        return BW_ERROR_ARGUMENT;
    int status = command_peer(engine, (bw_fan_out_command){.kind = BW_FAN_OUT_SET_PATH, .peer = peer, .path = *path});
    if (status == BW_OK)
        engine->slots[peer].path = *path;
    return status;
}

/* The network thread has no use for the path of a peer that gets its reports from Python. */
static int command_reporter(bw_engine *engine, bw_command command) {
    return engine->slots[command.peer].reporter != NULL ? bw_command_network(engine, command) : BW_OK;
}

int bw_peer_set_path(bw_engine *engine, uint32_t peer, uint32_t socket, const bw_address *address) {
    if (socket >= atomic_load(&engine->socket_count))
        return BW_ERROR_ARGUMENT;
    int status = set_path(engine, peer, &(bw_path){atomic_load(&engine->sockets[socket]), *address});
    if (status != BW_OK)
        return status;
    return command_reporter(
        engine, (bw_command){.kind = BW_COMMAND_SET_PATH, .peer = peer, .value = socket, .address = *address});
}

int bw_peer_set_descriptor(bw_engine *engine, uint32_t peer, int descriptor, const bw_address *address) {
    if (!bw_prepare_socket(descriptor))
        return BW_ERROR_ARGUMENT;
    return set_path(engine, peer, &(bw_path){descriptor, *address});
}

int bw_peer_clear_path(bw_engine *engine, uint32_t peer) {
    int status = set_path(engine, peer, &(bw_path){.descriptor = -1});
    return status == BW_OK ? command_reporter(engine, (bw_command){.kind = BW_COMMAND_CLEAR_PATH, .peer = peer})
                           : status;
}

int bw_peer_set_encoding(bw_engine *engine, uint32_t peer, uint32_t encoding) {
    bw_slot *slot = is_sent_to(engine, peer) ? &engine->slots[peer] : NULL;
    if (slot == NULL || slot->fan_out == NULL || encoding >= slot->fan_out->channel->encoding_count)
        return BW_ERROR_ARGUMENT;
    int status =
        command_peer(engine, (bw_fan_out_command){.kind = BW_FAN_OUT_SET_ENCODING, .peer = peer, .value = encoding});
    if (status == BW_OK)
        slot->wanted_encoding = (uint8_t)encoding;
    return status;
}

int bw_peer_set_redundancy(bw_engine *engine, uint32_t peer, uint32_t level) {
    if (level > 2 || !is_sent_to(engine, peer))
        return BW_ERROR_ARGUMENT;
    int status =
        command_peer(engine, (bw_fan_out_command){.kind = BW_FAN_OUT_SET_REDUNDANCY, .peer = peer, .value = level});
    if (status == BW_OK)
        engine->slots[peer].redundancy = (uint8_t)level;
    return status;
}

int bw_peer_resend(bw_engine *engine, uint32_t peer, uint32_t sequence) {
    if (sequence > 0xFFFF || !is_sent_to(engine, peer))
        return BW_ERROR_ARGUMENT;
    bw_fan_out *fan_out = engine->slots[peer].fan_out;
    if (fan_out != NULL && bw_ring_count(&fan_out->commands) > fan_out->commands.mask / 2)
        return BW_ERROR_BUSY;
    return command_peer(engine, (bw_fan_out_command){.kind = BW_FAN_OUT_RESEND, .peer = peer, .value = sequence});
}

int bw_peer_probe(bw_engine *engine, uint32_t peer, uint32_t copies, uint32_t frames) {
    if (!is_sent_to(engine, peer) || engine->slots[peer].fan_out == NULL || frames == 0 || frames > 0xFFFF ||
        copies > 0xFFFF)
        return BW_ERROR_ARGUMENT;
    bw_slot *slot = &engine->slots[peer];
    if (slot->probing || slot->moving)
        return BW_ERROR_BUSY;
    int status = command_peer(
        engine, (bw_fan_out_command){.kind = BW_FAN_OUT_PROBE, .peer = peer, .value = frames << 16 | copies});
    slot->probing = status == BW_OK;
    return status;
}

/* ---- reports */

int bw_peer_start_reports(bw_engine *engine, uint32_t peer, const bw_report_config *config) {
    if (!is_sent_to(engine, peer) || engine->slots[peer].reporter != NULL ||
        config->description_bytes > BW_MAX_DESCRIPTION_BYTES)
        return BW_ERROR_ARGUMENT;
    bw_reporter *reporter = bw_reporter_new(config, bw_now_ns());
    if (reporter == NULL)
        return BW_ERROR_SRTP;
    int status =
        bw_command_network(engine, (bw_command){.kind = BW_COMMAND_START_REPORTS, .peer = peer, .pointer = reporter});
    if (status == BW_OK)
        engine->slots[peer].reporter = reporter; /* until all threads have released the peer */
    else
        bw_reporter_free(reporter);
    return status;
}

int bw_peer_protect_rtcp(bw_engine *engine, uint32_t peer, uint8_t *packet, uint32_t length, uint32_t capacity) {
    if (peer >= engine->config.max_peers || engine->slots[peer].reporter == NULL)
        return BW_ERROR_ARGUMENT;
    return bw_reporter_protect(engine->slots[peer].reporter, packet, length, capacity);
}

int bw_peer_keep_reports(bw_engine *engine, uint32_t peer, const bw_kept_config *config) {
    if (!is_sent_to(engine, peer))
        return BW_ERROR_ARGUMENT;
    return bw_command_network(engine, (bw_command){.kind = BW_COMMAND_KEEP_REPORTS, .peer = peer, .kept = *config});
}

/* ---- recording */

int bw_peer_add_tap(bw_engine *engine, uint32_t peer, bw_tap *tap) {
    if (peer >= engine->config.max_peers || !engine->slots[peer].added || engine->slots[peer].removing)
        return BW_ERROR_ARGUMENT;
    return bw_command_network(engine, (bw_command){.kind = BW_COMMAND_ADD_TAP, .peer = peer, .pointer = tap});
}

/* ---- from one channel to another */

int bw_peer_set_channel(bw_engine *engine, uint32_t peer, uint32_t channel, uint32_t encoding) {
    bw_channel *to = find_encoding(engine, channel, encoding);
    if (to == NULL || !is_sent_to(engine, peer) || engine->slots[peer].fan_out == NULL)
        return BW_ERROR_ARGUMENT;
    bw_slot *slot = &engine->slots[peer];
    if (to == slot->fan_out->channel)
        return bw_peer_set_encoding(engine, peer, encoding);
    int status = command_peer(engine, (bw_fan_out_command){.kind = BW_FAN_OUT_TAKE, .peer = peer});
    if (status != BW_OK)
        return status;
    bw_channel_dismiss(slot->fan_out);
    slot->fan_out = bw_channel_admit(to);
    slot->wanted_encoding = (uint8_t)encoding;
    slot->moving = true;
    return BW_OK;
}

bool bw_peer_taken(bw_engine *engine, uint32_t peer, bw_outgoing *outgoing) {
    bw_slot *slot = &engine->slots[peer];
    slot->moving = false;
    if (slot->removing)
        return bw_peer_returned(engine, peer, outgoing, false);
    outgoing->wanted_encoding = slot->wanted_encoding;
    outgoing->redundancy = slot->redundancy;
    bw_outgoing_set_path(outgoing, &slot->path);
    memset(outgoing->sent, 0, sizeof outgoing->sent);
    bw_fan_out_command_to(slot->fan_out,
                          (bw_fan_out_command){.kind = BW_FAN_OUT_ADD, .peer = peer, .pointer = outgoing});
    return false;
}

/* ---- statistics: any thread */

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
        .encoding = atomic_load_explicit(&slot->encoding, memory_order_relaxed),
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

int bw_peer_get_kept_reports(bw_engine *engine, uint32_t peer, bw_kept_reports *kept) {
    if (peer >= engine->config.max_peers)
        return BW_ERROR_ARGUMENT;
    return bw_reports_read(&engine->slots[peer].reports, kept) ? BW_OK : BW_ERROR_BUSY;
}
