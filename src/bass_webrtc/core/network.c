/*
 * The network thread: reads the UDP sockets and demultiplexes datagrams (RFC 7983).
 *
 *   first byte 0..3 STUN ─► ice.c: only authentic messages ─► loop, or a response to a check on a settled address
 *   20..23 DTLS ─► loop, from known addresses only
 *   128..191 RTP ─► incoming.c ─► playout, or with a second byte of 192..223 RTCP ─► incoming.c ─►
 *   rtcp_reports.c ─► loop; from known addresses only
 *   anything else is dropped and counted
 *
 * An address becomes known when Python maps it, which it does only after an authentic STUN message. What the loop gets
 * is limited per peer (forward.c).
 */
#include "ice.h"
#include "incoming.h"
#include "stun.h"
#include "tap.h"

#include <string.h>

#define BATCH_DATAGRAMS 32
#define DATAGRAM_EVENTS 512     /* handshakes, and what forward.c allows peers that flood */
#define ROUTES_PER_PEER 16      /* MAX_PATHS in rtc/ice_lite.py */
#define COMMANDS 1024           /* the loop thread waits when there are more */
#define NOTICES_OF_ALL 1        /* a peer used up a quota */
#define REPORTS_INTERVAL_MS 250 /* reports are due about every 5 s; the times in between need not be exact */

typedef struct bw_inbox {
    struct mmsghdr messages[BATCH_DATAGRAMS];
    struct iovec vectors[BATCH_DATAGRAMS];
    struct sockaddr_storage sources[BATCH_DATAGRAMS];
    uint8_t datagrams[BATCH_DATAGRAMS][BW_MAX_DATAGRAM + 1]; /* one more byte, to detect datagrams that are too long */
} bw_inbox;

/* ---- routes: address to peer */

/* Returns the entry of this address, or the free entry where it would be inserted. */
static bw_route *find_route(bw_network *network, uint32_t socket, const bw_address *address) {
    uint32_t i = bw_address_hash(socket, address) & network->route_mask;
    while (network->routes[i].peer != BW_NO_PEER &&
           !(network->routes[i].socket == socket && bw_address_equal(&network->routes[i].address, address)))
        i = (i + 1) & network->route_mask;
    return &network->routes[i];
}

static void map_route(bw_network *network, const bw_command *command) {
    bw_route *route = find_route(network, command->value, &command->address);
    if (route->peer == BW_NO_PEER) {
        if (network->route_count > network->route_mask / 2)
            return; /* Not reached with this table size and Python's limit of addresses per peer. */
        network->route_count++;
    }
    *route = (bw_route){.peer = command->peer, .socket = command->value, .address = command->address};
}

/* Moves later entries into the gap, so that each stays reachable (linear probing without tombstones). */
static void erase_route(bw_network *network, bw_route *route) {
    uint32_t gap = (uint32_t)(route - network->routes);
    uint32_t mask = network->route_mask;
    for (uint32_t i = (gap + 1) & mask; network->routes[i].peer != BW_NO_PEER; i = (i + 1) & mask) {
        uint32_t home = bw_address_hash(network->routes[i].socket, &network->routes[i].address) & mask;
        if (((i - home) & mask) >= ((i - gap) & mask)) {
            network->routes[gap] = network->routes[i];
            gap = i;
        }
    }
    network->routes[gap].peer = BW_NO_PEER;
    network->route_count--;
}

static void unmap_route(bw_network *network, const bw_command *command) {
    bw_route *route = find_route(network, command->value, &command->address);
    if (route->peer == command->peer)
        erase_route(network, route);
}

static void set_settled(bw_engine *engine, const bw_command *command, bool is_settled) {
    bw_route *route = find_route(&engine->network, command->value, &command->address);
    if (route->peer != command->peer)
        return;
    route->is_settled = is_settled;
    if (!is_settled)
        return;
    bw_slot *slot = &engine->slots[command->peer];
    bw_ice_settle(engine->network.ice, command->peer);
    atomic_store_explicit(&slot->checked_ns, 0, memory_order_relaxed);
    atomic_store_explicit(&slot->settled_number, command->number, memory_order_release);
}

/* ---- datagrams */

/* Returns true for a record header of DTLS 1.0 or 1.2 (RFC 6347, 4.1) whose record fits into the datagram. */
static bool is_dtls(const uint8_t *data, uint32_t length) {
    return length >= 13 && data[0] >= 20 && data[0] <= 23 && data[1] == 0xFE && (data[2] == 0xFF || data[2] == 0xFD) &&
           13 + ((uint32_t)data[11] << 8 | data[12]) <= length;
}

static bool is_rtp_or_rtcp(const uint8_t *data, uint32_t length) {
    return length >= 8 && data[0] >= 128 && data[0] <= 191;
}

static bool is_rtcp(const uint8_t *data, uint32_t length) {
    return is_rtp_or_rtcp(data, length) && data[1] >= 192 && data[1] <= 223;
}

static void count_rejected(bw_engine *engine, uint32_t peer) {
    bw_count(&engine->slots[peer].srtp_errors, 1);
    bw_count(&engine->srtp_errors, 1);
}

static void take_rtp(bw_engine *engine, uint32_t peer, uint8_t *data, uint32_t length, int64_t now_ns) {
    uint32_t wire_length = length;
    switch (bw_incoming_take_rtp(engine->network.by_peer[peer], data, &length, now_ns)) {
    case BW_RTP_RESTARTED:
        bw_count(&engine->slots[peer].sequence_restarts, 1);
        count_rejected(engine, peer);
        return;
    case BW_RTP_REFUSED:
        count_rejected(engine, peer);
        return;
    case BW_RTP_NOT_NEGOTIATED:
        bw_count(&engine->slots[peer].packets_not_negotiated, 1);
        return;
    case BW_RTP_MEDIA:
        break;
    }
    bw_count(&engine->slots[peer].packets_received, 1);
    bw_count(&engine->slots[peer].bytes_received, wire_length);
    bw_count(&engine->packets_received, 1);
    bw_count(&engine->bytes_received, wire_length);
    bw_taps_take_rtp(&engine->slots[peer].taps, engine->network.by_peer[peer], data, length, now_ns);
    bw_playout_insert(engine->playout, peer, data, length, now_ns);
}

static void take_rtcp(bw_engine *engine, uint32_t peer, bw_datagram *datagram) {
    bw_reports *reports = &engine->slots[peer].reports;
    if (!bw_incoming_take_rtcp(engine->network.by_peer[peer], datagram->data, &datagram->length))
        count_rejected(engine, peer);
    else if (!bw_reports_keep(reports, datagram->data, datagram->length, datagram->time_ns) &&
             bw_forward(engine, peer, BW_EVENT_RTCP, BW_QUOTA_RTCP, datagram))
        bw_reports_forwarded(reports);
}

/* What the system does not accept is lost: the peer repeats its check, and the next report comes soon. */
static void send_datagram(bw_engine *engine, uint32_t socket, const bw_address *to, uint8_t *data, uint32_t length) {
    struct sockaddr_storage destination;
    struct iovec vector = {data, length};
    struct mmsghdr message = {.msg_hdr = {.msg_name = &destination, .msg_iov = &vector, .msg_iovlen = 1}};
    message.msg_hdr.msg_namelen = bw_address_to_sockaddr(to, &destination);
    bw_send_batch(atomic_load(&engine->sockets[socket]), &message, 1);
}

/* The check renews consent (RFC 7675) if it is a new one. */
static void answer_check(bw_engine *engine, const bw_ice_message *check, const bw_datagram *datagram) {
    uint8_t response[BW_STUN_MAX_SUCCESS_BYTES];
    uint32_t length = bw_stun_write_success(response, datagram->data, &datagram->source, check->key);
    if (!check->is_repeated)
        atomic_store_explicit(&engine->slots[check->peer].checked_ns, datagram->time_ns, memory_order_relaxed);
    send_datagram(engine, datagram->socket, &datagram->source, response, length);
}

static void take_stun(bw_engine *engine, const bw_route *route, const bw_datagram *datagram) {
    bw_ice_message message = bw_ice_take(engine->network.ice, route->peer, route->is_settled, datagram);
    uint32_t quota = message.is_repeated ? BW_QUOTA_REPEATED_STUN : BW_QUOTA_STUN;
    if (message.peer == BW_NO_PEER)
        bw_count(&engine->datagrams_dropped, 1);
    else if (message.verdict == BW_ICE_FORWARD)
        bw_forward(engine, message.peer, BW_EVENT_DATAGRAM, quota, datagram);
    else if (message.verdict == BW_ICE_REPLAY)
        bw_forward(engine, message.peer, BW_EVENT_REPLAY, quota, datagram);
    else if (bw_use_quota(engine, message.peer, quota, datagram->time_ns))
        answer_check(engine, &message, datagram);
}

static const bw_route NO_ROUTE = {.peer = BW_NO_PEER};

static void take_datagram(bw_engine *engine, uint32_t socket, const struct sockaddr_storage *from, uint8_t *data,
                          uint32_t length, int64_t now_ns) {
    bw_network *network = &engine->network;
    bw_datagram datagram = {.socket = socket, .data = data, .length = length, .time_ns = now_ns};
    bool is_known_family = bw_address_from_sockaddr(from, &datagram.source);
    const bw_route *route = is_known_family ? find_route(network, socket, &datagram.source) : &NO_ROUTE;
    uint32_t peer = route->peer;
    bw_incoming *incoming = peer != BW_NO_PEER ? network->by_peer[peer] : NULL;
    if (is_known_family && bw_stun_is_likely(data, length))
        take_stun(engine, route, &datagram);
    else if (peer != BW_NO_PEER && is_dtls(data, length))
        bw_forward(engine, peer, BW_EVENT_DATAGRAM, BW_QUOTA_DTLS, &datagram);
    else if (incoming != NULL && is_rtcp(data, length))
        take_rtcp(engine, peer, &datagram);
    else if (incoming != NULL && incoming->receives_media && is_rtp_or_rtcp(data, length))
        take_rtp(engine, peer, data, length, now_ns);
    else
        bw_count(&engine->datagrams_dropped, 1);
}

/* ---- reports */

static void start_reports(bw_engine *engine, const bw_command *command) {
    engine->slots[command->peer].reporting = command->pointer;
    engine->network.reporters++;
}

static void stop_reports(bw_engine *engine, uint32_t peer) {
    bw_slot *slot = &engine->slots[peer];
    engine->network.reporters -= slot->reporting != NULL;
    slot->reporting = NULL;
    slot->has_report_path = false;
}

static void set_report_path(bw_engine *engine, const bw_command *command) {
    bw_slot *slot = &engine->slots[command->peer];
    slot->has_report_path = command->kind == BW_COMMAND_SET_PATH;
    slot->report_socket = command->value;
    slot->report_address = command->address;
}

static void send_report(bw_engine *engine, bw_slot *slot, int64_t now_ns) {
    uint8_t packet[BW_REPORT_BYTES];
    bw_sent sent = {
        .now_ns = now_ns,
        .start_ns = bw_engine_start_ns(engine),
        .packets = bw_read_counter(&slot->packets_sent),
        .octets = bw_read_counter(&slot->octets_sent),
    };
    uint32_t length = bw_reporter_write(slot->reporting, &sent, packet);
    if (length > 0)
        send_datagram(engine, slot->report_socket, &slot->report_address, packet, length);
}

static void send_due_reports(bw_engine *engine) {
    bw_network *network = &engine->network;
    int64_t now_ns = bw_now_ns();
    if (network->reporters == 0 || now_ns < network->next_reports_ns)
        return;
    network->next_reports_ns = now_ns + (int64_t)REPORTS_INTERVAL_MS * 1000000;
    for (uint32_t i = 0; i < engine->config.max_peers; i++) {
        bw_slot *slot = &engine->slots[i];
        if (slot->reporting != NULL && slot->has_report_path && bw_reporter_is_due(slot->reporting, now_ns))
            send_report(engine, slot, now_ns);
    }
}

/* ---- commands */

static void remove_peer(bw_engine *engine, uint32_t peer) {
    bw_incoming *incoming = engine->network.by_peer[peer];
    bw_ice_remove_peer(engine->network.ice, peer);
    stop_reports(engine, peer);
    bw_taps_release(&engine->slots[peer].taps);
    engine->network.quotas[peer] = (bw_peer_quotas){.occupant = engine->network.quotas[peer].occupant + 1};
    engine->network.by_peer[peer] = NULL;
    bw_events_post(engine, &engine->network.notices,
                   (bw_notice){.kind = BW_EVENT_PEER_REMOVED, .peer = peer, .pointer = incoming});
}

static void remove_socket(bw_engine *engine, uint32_t socket) {
    atomic_store(&engine->sockets[socket], -1);
    bw_events_post(engine, &engine->network.notices,
                   (bw_notice){.kind = BW_EVENT_SOCKET_REMOVED, .peer = BW_NO_PEER, .value = socket});
}

static void take_commands(bw_engine *engine) {
    bw_network *network = &engine->network;
    for (bw_command *command; (command = bw_ring_peek(&network->commands)) != NULL; bw_ring_pop(&network->commands)) {
        if (command->kind == BW_COMMAND_MAP)
            map_route(network, command);
        else if (command->kind == BW_COMMAND_UNMAP)
            unmap_route(network, command);
        else if (command->kind == BW_COMMAND_SETTLE || command->kind == BW_COMMAND_UNSETTLE)
            set_settled(engine, command, command->kind == BW_COMMAND_SETTLE);
        else if (command->kind == BW_COMMAND_ADD)
            network->by_peer[command->peer] = command->pointer;
        else if (command->kind == BW_COMMAND_ADD_ICE)
            bw_ice_add(network->ice, command->peer, &command->ice);
        else if (command->kind == BW_COMMAND_REMOVE_ICE)
            bw_ice_remove(network->ice, command->peer, &command->ice);
        else if (command->kind == BW_COMMAND_START_REPORTS)
            start_reports(engine, command);
        else if (command->kind == BW_COMMAND_SET_PATH || command->kind == BW_COMMAND_CLEAR_PATH)
            set_report_path(engine, command);
        else if (command->kind == BW_COMMAND_KEEP_REPORTS)
            bw_reports_begin(&engine->slots[command->peer].reports, &command->kept);
        else if (command->kind == BW_COMMAND_ADD_TAP)
            bw_taps_add(&engine->slots[command->peer].taps, command->pointer);
        else if (command->kind == BW_COMMAND_REMOVE)
            remove_peer(engine, command->peer);
        else if (command->kind == BW_COMMAND_REMOVE_SOCKET)
            remove_socket(engine, command->value);
    }
}

/* ---- the thread */

static void prepare_batch(bw_inbox *batch) {
    for (uint32_t i = 0; i < BATCH_DATAGRAMS; i++) {
        batch->vectors[i] = (struct iovec){batch->datagrams[i], sizeof batch->datagrams[i]};
        batch->messages[i].msg_hdr = (struct msghdr){.msg_name = &batch->sources[i],
                                                     .msg_namelen = sizeof batch->sources[i],
                                                     .msg_iov = &batch->vectors[i],
                                                     .msg_iovlen = 1};
    }
}

static void read_socket(bw_engine *engine, uint32_t socket) {
    bw_inbox *batch = engine->network.batch;
    int descriptor = atomic_load(&engine->sockets[socket]);
    if (descriptor < 0)
        return; /* Removed since the poll began. */
    prepare_batch(batch);
    int count = bw_receive_batch(descriptor, batch->messages, BATCH_DATAGRAMS);
    int64_t now_ns = bw_now_ns();
    /* Apply commands sent before this datagram's request, so that a response finds its route. */
    take_commands(engine);
    for (int i = 0; i < count; i++) {
        uint32_t length = batch->messages[i].msg_len;
        if (length == 0 || length > BW_MAX_DATAGRAM)
            bw_count(&engine->datagrams_dropped, 1);
        else
            take_datagram(engine, socket, &batch->sources[i], batch->datagrams[i], length, now_ns);
    }
}

/* Returns how many sockets there are to read, and their descriptors and indexes. */
static uint32_t open_sockets(bw_engine *engine, struct pollfd *descriptors, uint32_t *sockets) {
    uint32_t all = atomic_load_explicit(&engine->socket_count, memory_order_acquire);
    uint32_t count = 0;
    for (uint32_t i = 0; i < all; i++) {
        int descriptor = atomic_load(&engine->sockets[i]);
        if (descriptor < 0)
            continue;
        sockets[count] = i;
        descriptors[count++] = (struct pollfd){.fd = descriptor, .events = POLLIN};
    }
    return count;
}

void *bw_network_run(void *argument) {
    bw_engine *engine = argument;
    struct pollfd descriptors[BW_MAX_SOCKETS + 1];
    uint32_t sockets[BW_MAX_SOCKETS];
    bw_block_signals();
    bw_name_thread("bw-net");
    bw_srtp_prepare_thread();
    while (atomic_load_explicit(&engine->running, memory_order_acquire)) {
        uint32_t count = open_sockets(engine, descriptors, sockets);
        descriptors[count] = (struct pollfd){.fd = engine->network.wake.read_descriptor, .events = POLLIN};
        if (bw_poll(descriptors, count + 1, engine->network.reporters > 0 ? REPORTS_INTERVAL_MS : -1) < 0)
            continue;
        send_due_reports(engine);
        if (descriptors[count].revents) {
            bw_wake_clear(&engine->network.wake);
            take_commands(engine);
        }
        for (uint32_t i = 0; i < count; i++) {
            if (descriptors[i].revents)
                read_socket(engine, sockets[i]);
        }
    }
    return NULL;
}

/* ---- life */

int bw_network_init(bw_engine *engine) {
    bw_network *network = &engine->network;
    uint32_t peers = engine->config.max_peers;
    uint32_t capacity = 64;
    while (capacity < 2 * ROUTES_PER_PEER * peers)
        capacity *= 2;
    network->route_mask = capacity - 1;
    network->routes = calloc(capacity, sizeof *network->routes);
    network->batch = calloc(1, sizeof *network->batch);
    network->by_peer = calloc(peers, sizeof(bw_incoming *));
    network->quotas = calloc(peers, sizeof *network->quotas);
    network->ice = bw_ice_new(peers);
    bool rings = bw_ring_init(&network->commands, COMMANDS, sizeof(bw_command)) &&
                 bw_ring_init(&network->notices, peers + NOTICES_OF_ALL + BW_MAX_SOCKETS, sizeof(bw_notice)) &&
                 bw_ring_init(&network->datagrams, DATAGRAM_EVENTS, sizeof(bw_event));
    if (!rings || !network->routes || !network->batch || !network->by_peer || !network->quotas || !network->ice ||
        !bw_wake_init(&network->wake))
        return BW_ERROR_MEMORY;
    for (uint32_t i = 0; i < capacity; i++)
        network->routes[i].peer = BW_NO_PEER;
    return BW_OK;
}

/* Frees what was still in the rings when the thread stopped. */
static void free_undelivered(bw_network *network) {
    for (bw_command *command; network->commands.slots && (command = bw_ring_peek(&network->commands)) != NULL;) {
        if (command->kind == BW_COMMAND_ADD)
            bw_incoming_free(command->pointer);
        bw_ring_pop(&network->commands);
    }
    for (bw_notice *notice; network->notices.slots && (notice = bw_ring_peek(&network->notices)) != NULL;) {
        bw_incoming_free(notice->pointer);
        bw_ring_pop(&network->notices);
    }
}

void bw_network_destroy(bw_engine *engine) {
    bw_network *network = &engine->network;
    for (uint32_t i = 0; network->by_peer != NULL && i < engine->config.max_peers; i++)
        bw_incoming_free(network->by_peer[i]);
    free_undelivered(network);
    bw_wake_destroy(&network->wake);
    bw_ring_destroy(&network->commands);
    bw_ring_destroy(&network->notices);
    bw_ring_destroy(&network->datagrams);
    bw_ice_free(network->ice);
    free(network->quotas);
    free(network->routes);
    free(network->batch);
    free(network->by_peer);
}
