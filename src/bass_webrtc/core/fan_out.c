#include "fan_out.h"

#include <string.h>

#define BATCH_PACKETS 64
#define RESENDS_PER_FRAME 8
#define RESENDS_PER_PACKET 2
#define KEPT_FRAMES (BW_FRAME_HISTORY - 4) /* a frame and its redundant copies are in the history, not being replaced */
#define COMMANDS_PER_PEER 3
#define RESERVED_PER_PEER 2 /* of these, for adding and removing */
#define COPIED_PACKETS 32   /* of probes: the latest */

typedef struct bw_batch {
    int descriptor; /* of all packets in it */
    uint32_t count;
    struct mmsghdr messages[BATCH_PACKETS];
    struct iovec vectors[BATCH_PACKETS];
    bw_outgoing *receivers[BATCH_PACKETS];
    uint8_t packets[BATCH_PACKETS][BW_MAX_RTP_BYTES];
} bw_batch;

/* ---- sending */

typedef struct {
    uint64_t packets;
    uint64_t bytes;
    uint64_t drops;
} totals;

static bw_slot *slot_of(bw_fan_out *fan_out, const bw_outgoing *outgoing) {
    return &fan_out->channel->engine->slots[outgoing->peer];
}

static void count_sent(bw_fan_out *fan_out, uint32_t i, totals *sums) {
    bw_slot *slot = slot_of(fan_out, fan_out->batch->receivers[i]);
    uint64_t bytes = fan_out->batch->vectors[i].iov_len;
    bw_count(&slot->packets_sent, 1);
    bw_count(&slot->bytes_sent, bytes);
    sums->packets++;
    sums->bytes += bytes;
}

static void count_totals(bw_fan_out *fan_out, const totals *sums) {
    bw_channel *channel = fan_out->channel;
    bw_channel_count(channel, offsetof(bw_sending_counters, packets_sent), sums->packets);
    bw_channel_count(channel, offsetof(bw_sending_counters, bytes_sent), sums->bytes);
    bw_channel_count(channel, offsetof(bw_sending_counters, send_drops), sums->drops);
}

/* Packets that the system does not accept are dropped and counted, so a slow or dead peer delays no other. */
static void flush(bw_fan_out *fan_out) {
    bw_batch *batch = fan_out->batch;
    totals sums = {0};
    uint32_t done = 0;
    while (done < batch->count) {
        int sent = bw_send_batch(batch->descriptor, batch->messages + done, batch->count - done);
        for (int i = 0; i < sent; i++)
            count_sent(fan_out, done + (uint32_t)i, &sums);
        done += sent > 0 ? (uint32_t)sent : 0;
        if (done < batch->count && sent <= 0) {
            bw_count(&slot_of(fan_out, batch->receivers[done++])->send_drops, 1);
            sums.drops++;
        }
    }
    if (batch->count > 0)
        count_totals(fan_out, &sums);
    batch->count = 0;
}

/* Returns whether the channel's thread leaves a frame and those before it, which a packet repeats, alone. */
static bool is_kept(const bw_fan_out *fan_out, uint32_t number) {
    atomic_thread_fence(memory_order_acquire); /* what was read of the frame before was read before this */
    int64_t published = atomic_load_explicit(&fan_out->channel->published, memory_order_relaxed);
    return (uint32_t)published - number < KEPT_FRAMES;
}

static const bw_frame_history *history_of(const bw_fan_out *fan_out, uint32_t encoding) {
    return &fan_out->channel->encodings[encoding]->history;
}

static void enqueue(bw_fan_out *fan_out, bw_outgoing *outgoing, const bw_frame *frame, const bw_sent_packet *sent) {
    bw_batch *batch = fan_out->batch;
    const bw_frame_history *history = history_of(fan_out, sent->encoding);
    if (batch->count == BATCH_PACKETS || (batch->count && batch->descriptor != outgoing->descriptor))
        flush(fan_out);
    uint32_t i = batch->count;
    uint8_t *packet = batch->packets[i];
    uint32_t length = bw_rtp_write(outgoing, history, frame, (uint16_t)sent->index, sent->redundancy, packet);
    uint64_t octets = (uint64_t)length - BW_RTP_HEADER_BYTES;
    if (!is_kept(fan_out, sent->frame_number) ||
        !bw_srtp_protect_rtp(&outgoing->srtp, packet, BW_RTP_HEADER_BYTES, &length, sent->index)) {
        bw_count(&slot_of(fan_out, outgoing)->send_drops, 1);
        count_totals(fan_out, &(totals){.drops = 1});
        return;
    }
    batch->descriptor = outgoing->descriptor;
    batch->vectors[i] = (struct iovec){packet, length};
    batch->receivers[i] = outgoing;
    batch->messages[i].msg_hdr = (struct msghdr){.msg_name = &outgoing->address,
                                                 .msg_namelen = outgoing->address_length,
                                                 .msg_iov = &batch->vectors[i],
                                                 .msg_iovlen = 1};
    batch->count++;
    bw_count(&slot_of(fan_out, outgoing)->octets_sent, octets);
}

/* ---- encodings: the channel encodes what has listeners, or what a listener waits for */

static void add_listener(bw_fan_out *fan_out, uint32_t encoding) {
    atomic_fetch_add_explicit(&fan_out->channel->state->listeners[encoding], 1, memory_order_relaxed);
}

static void remove_listener(bw_fan_out *fan_out, uint32_t encoding) {
    atomic_fetch_sub_explicit(&fan_out->channel->state->listeners[encoding], 1, memory_order_relaxed);
}

/* encoding: the one that is not listened to any more, the former or the wanted one */
static void stop_waiting(bw_fan_out *fan_out, uint32_t encoding) {
    remove_listener(fan_out, encoding);
    atomic_fetch_sub_explicit(&fan_out->channel->state->waiting, 1, memory_order_relaxed);
}

static void note_encoding(bw_fan_out *fan_out, const bw_outgoing *outgoing) {
    atomic_store_explicit(&slot_of(fan_out, outgoing)->encoding, outgoing->encoding, memory_order_relaxed);
}

static void set_wanted_encoding(bw_fan_out *fan_out, bw_outgoing *outgoing, uint8_t encoding) {
    if (outgoing->wanted_encoding != outgoing->encoding)
        stop_waiting(fan_out, outgoing->wanted_encoding);
    outgoing->wanted_encoding = encoding;
    if (encoding != outgoing->encoding) {
        add_listener(fan_out, encoding);
        atomic_fetch_add_explicit(&fan_out->channel->state->waiting, 1, memory_order_relaxed);
    }
}

/* Returns the frame in the encoding that the peer has; NULL if nothing is sent in this frame time. */
static const bw_frame *frame_for(bw_fan_out *fan_out, bw_outgoing *outgoing, uint32_t number) {
    if (outgoing->wanted_encoding != outgoing->encoding) {
        const bw_frame *wanted = bw_frame_history_find(history_of(fan_out, outgoing->wanted_encoding), number);
        if (wanted != NULL && wanted->is_joint) {
            stop_waiting(fan_out, outgoing->encoding);
            outgoing->encoding = outgoing->wanted_encoding;
            note_encoding(fan_out, outgoing);
        }
    }
    return bw_frame_history_find(history_of(fan_out, outgoing->encoding), number);
}

/* ---- probes */

/* Sends the share of this frame: as many copies as leave no fewer for each later frame. */
static void send_copies(bw_fan_out *fan_out, bw_outgoing *outgoing) {
    uint32_t copies = outgoing->probe_copies / outgoing->probe_frames, sent_copies = 0;
    for (uint32_t i = 1; i <= copies; i++) {
        const bw_sent_packet *sent = &outgoing->sent[(outgoing->index - 1 - i % COPIED_PACKETS) % BW_FRAME_HISTORY];
        const bw_frame *frame = bw_frame_history_find(history_of(fan_out, sent->encoding), sent->frame_number);
        if (frame == NULL || !is_kept(fan_out, sent->frame_number))
            continue;
        enqueue(fan_out, outgoing, frame, sent);
        sent_copies++;
    }
    outgoing->probe_copies -= (uint16_t)sent_copies;
    if (--outgoing->probe_frames > 0)
        return;
    flush(fan_out);
    bw_events_post(fan_out->channel->engine, &fan_out->notices,
                   (bw_notice){.kind = BW_EVENT_PROBE_SENT, .peer = outgoing->peer, .value = outgoing->probe_copies});
}

/* ---- frames */

/* Between two frames the states of hundreds of peers leave the cache; what the next packet needs comes while this one is
 * encrypted. */
static void prefetch(bw_fan_out *fan_out, uint32_t i) {
    if (i + 2 < fan_out->active_count)
        __builtin_prefetch(fan_out->active[i + 2]);
    if (i + 1 >= fan_out->active_count)
        return;
    const bw_outgoing *next = fan_out->active[i + 1];
    __builtin_prefetch(&next->sent[next->index % BW_FRAME_HISTORY], 1);
    __builtin_prefetch(&next->srtp);
    __builtin_prefetch(&next->address);
    __builtin_prefetch(slot_of(fan_out, next), 1);
}

static void send_frame(bw_fan_out *fan_out, uint32_t number) {
    for (uint32_t i = 0; i < fan_out->active_count; i++) {
        bw_outgoing *outgoing = fan_out->active[i];
        prefetch(fan_out, i);
        outgoing->resend_budget = RESENDS_PER_FRAME;
        const bw_frame *frame = frame_for(fan_out, outgoing, number);
        if (outgoing->descriptor < 0 || frame == NULL)
            continue;
        bw_sent_packet *sent = &outgoing->sent[outgoing->index % BW_FRAME_HISTORY];
        *sent =
            (bw_sent_packet){outgoing->index++, number, outgoing->redundancy, RESENDS_PER_PACKET, outgoing->encoding};
        enqueue(fan_out, outgoing, frame, sent);
        if (outgoing->probe_frames > 0)
            send_copies(fan_out, outgoing);
    }
    flush(fan_out);
}

/* Passes over the frames that are no longer kept, after this thread was stopped for long. */
static void skip_missed(bw_fan_out *fan_out, int64_t published) {
    bw_channel *channel = fan_out->channel;
    int64_t oldest_known = published + 1 - channel->engine->lateness_capacity;
    if (fan_out->next_number < oldest_known)
        fan_out->next_number = oldest_known;
    for (; fan_out->next_number <= published - KEPT_FRAMES; fan_out->next_number++) {
        if (bw_channel_has_frame(channel, fan_out->next_number))
            bw_channel_count(channel, offsetof(bw_sending_counters, frames_skipped), 1);
    }
}

void bw_fan_out_send(bw_fan_out *fan_out) {
    bw_channel *channel = fan_out->channel;
    int64_t published = atomic_load_explicit(&channel->published, memory_order_acquire);
    skip_missed(fan_out, published);
    for (; fan_out->next_number <= published; fan_out->next_number++) {
        if (bw_channel_has_frame(channel, fan_out->next_number)) {
            send_frame(fan_out, (uint32_t)fan_out->next_number);
            bw_channel_frame_done(channel, fan_out->next_number);
        }
    }
}

/* Sends the identical packet again (RFC 4585, 6.2.1). */
static void resend(bw_fan_out *fan_out, bw_outgoing *outgoing, uint16_t sequence) {
    bw_sent_packet *sent = &outgoing->sent[sequence % BW_FRAME_HISTORY];
    const bw_frame *frame = bw_frame_history_find(history_of(fan_out, sent->encoding), sent->frame_number);
    bool is_known = frame != NULL && (uint16_t)sent->index == sequence && is_kept(fan_out, sent->frame_number);
    if (!is_known || outgoing->descriptor < 0 || sent->resends_left == 0 || outgoing->resend_budget == 0)
        return;
    sent->resends_left--;
    outgoing->resend_budget--;
    enqueue(fan_out, outgoing, frame, sent);
    bw_count(&slot_of(fan_out, outgoing)->packets_resent, 1);
}

/* ---- commands */

static void add_peer(bw_fan_out *fan_out, bw_outgoing *outgoing) {
    outgoing->active_index = fan_out->active_count;
    fan_out->active[fan_out->active_count++] = outgoing;
    fan_out->by_peer[outgoing->peer] = outgoing;
    outgoing->encoding = outgoing->wanted_encoding;
    add_listener(fan_out, outgoing->encoding);
    note_encoding(fan_out, outgoing);
}

/* Returns the state of a peer to the loop; NULL if it has none here. The batch refers to it, so that is sent first. */
static void return_peer(bw_fan_out *fan_out, uint32_t peer, uint32_t kind) {
    bw_outgoing *outgoing = fan_out->by_peer[peer];
    flush(fan_out);
    if (outgoing != NULL) {
        bw_outgoing *last = fan_out->active[--fan_out->active_count];
        fan_out->active[outgoing->active_index] = last;
        last->active_index = outgoing->active_index;
        fan_out->by_peer[peer] = NULL;
        set_wanted_encoding(fan_out, outgoing, outgoing->encoding);
        remove_listener(fan_out, outgoing->encoding);
    }
    bw_events_post(fan_out->channel->engine, &fan_out->notices,
                   (bw_notice){.kind = kind, .peer = peer, .pointer = outgoing});
}

/* Peers whose path is on the socket get no more packets until they have another path. */
static void remove_socket(bw_fan_out *fan_out, const bw_fan_out_command *command) {
    flush(fan_out);
    for (uint32_t i = 0; i < fan_out->active_count; i++) {
        if (fan_out->active[i]->descriptor == command->path.descriptor)
            fan_out->active[i]->descriptor = -1;
    }
    bw_events_post(fan_out->channel->engine, &fan_out->notices,
                   (bw_notice){.kind = BW_EVENT_SOCKET_REMOVED, .peer = BW_NO_PEER, .value = command->value});
}

static void apply_peer_command(bw_fan_out *fan_out, const bw_fan_out_command *command) {
    bw_outgoing *outgoing = fan_out->by_peer[command->peer];
    if (outgoing == NULL)
        return;
    switch (command->kind) {
    case BW_FAN_OUT_SET_PATH:
        flush(fan_out); /* Resent packets go where they went. */
        bw_outgoing_set_path(outgoing, &command->path);
        break;
    case BW_FAN_OUT_SET_ENCODING:
        set_wanted_encoding(fan_out, outgoing, (uint8_t)command->value);
        break;
    case BW_FAN_OUT_SET_REDUNDANCY:
        outgoing->redundancy = (uint8_t)command->value;
        break;
    case BW_FAN_OUT_PROBE:
        outgoing->probe_copies = (uint16_t)command->value;
        outgoing->probe_frames = (uint16_t)(command->value >> 16);
        break;
    case BW_FAN_OUT_RESEND:
        resend(fan_out, outgoing, (uint16_t)command->value);
        break;
    default:
        break;
    }
}

static void apply_command(bw_fan_out *fan_out, const bw_fan_out_command *command) {
    switch (command->kind) {
    case BW_FAN_OUT_ADD:
        add_peer(fan_out, command->pointer);
        break;
    case BW_FAN_OUT_TAKE:
        return_peer(fan_out, command->peer, BW_NOTICE_PEER_TAKEN);
        break;
    case BW_FAN_OUT_REMOVE:
        return_peer(fan_out, command->peer, BW_EVENT_PEER_REMOVED);
        break;
    case BW_FAN_OUT_REMOVE_SOCKET:
        remove_socket(fan_out, command);
        break;
    default:
        apply_peer_command(fan_out, command);
        break;
    }
}

void bw_fan_out_take_commands(bw_fan_out *fan_out) {
    for (bw_fan_out_command *command; (command = bw_ring_peek(&fan_out->commands)) != NULL;) {
        apply_command(fan_out, command);
        bw_ring_pop(&fan_out->commands);
    }
    flush(fan_out); /* Send retransmissions. */
}

/* ---- thread of a further fan-out */

static void *run(void *argument) {
    bw_fan_out *fan_out = argument;
    struct pollfd wake = {.fd = fan_out->wake.read_descriptor, .events = POLLIN};
    bw_block_signals();
    bw_name_thread("bw-fan-out");
    bw_srtp_prepare_thread();
    bw_pacer pacer = bw_pacer_begin();
    while (bw_poll(&wake, 1, -1) < 0 || atomic_load_explicit(&fan_out->channel->running, memory_order_acquire)) {
        bw_wake_clear(&fan_out->wake);
        bw_fan_out_take_commands(fan_out);
        bw_fan_out_send(fan_out);
    }
    bw_pacer_end(&pacer);
    return NULL;
}

/* ---- life: loop thread */

static bool init(bw_fan_out *fan_out, bool has_thread) {
    uint32_t peers = fan_out->channel->engine->config.max_peers;
    fan_out->by_peer = calloc(peers, sizeof(bw_outgoing *));
    fan_out->active = calloc(peers, sizeof(bw_outgoing *));
    fan_out->batch = calloc(1, sizeof *fan_out->batch);
    if (!bw_ring_init(&fan_out->commands, COMMANDS_PER_PEER * peers + 1024, sizeof(bw_fan_out_command)) ||
        !bw_ring_init(&fan_out->notices, 2 * peers + BW_MAX_SOCKETS, sizeof(bw_notice)) || !fan_out->by_peer ||
        !fan_out->active || !fan_out->batch || !bw_wake_init(&fan_out->wake))
        return false;
    return !has_thread || pthread_create(&fan_out->thread, NULL, run, fan_out) == 0;
}

bw_fan_out *bw_fan_out_new(bw_channel *channel, bool has_thread) {
    bw_fan_out *fan_out = bw_allocate_aligned(sizeof *fan_out);
    if (fan_out == NULL)
        return NULL;
    memset(fan_out, 0, sizeof *fan_out);
    fan_out->wake.read_descriptor = -1;
    fan_out->channel = channel;
    fan_out->next_number = atomic_load_explicit(&channel->published, memory_order_acquire) + 1;
    if (init(fan_out, has_thread))
        return fan_out;
    bw_fan_out_free(fan_out);
    return NULL;
}

void bw_outgoing_set_path(bw_outgoing *outgoing, const bw_path *path) {
    outgoing->descriptor = path->descriptor;
    if (path->descriptor >= 0)
        outgoing->address_length = bw_address_to_sockaddr(&path->address, &outgoing->address);
}

void bw_outgoing_free(bw_outgoing *outgoing) {
    if (outgoing == NULL)
        return;
    bw_srtp_keys_destroy(&outgoing->srtp);
    free(outgoing);
}

int bw_fan_out_command_to(bw_fan_out *fan_out, bw_fan_out_command command) {
    bool moves = command.kind == BW_FAN_OUT_ADD || command.kind == BW_FAN_OUT_TAKE ||
                 command.kind == BW_FAN_OUT_REMOVE || command.kind == BW_FAN_OUT_REMOVE_SOCKET;
    uint32_t room = fan_out->commands.mask + 1 - bw_ring_count(&fan_out->commands);
    uint32_t reserved = RESERVED_PER_PEER * fan_out->channel->engine->config.max_peers + BW_MAX_SOCKETS;
    bw_fan_out_command *slot = moves || room > reserved ? bw_ring_begin_write(&fan_out->commands) : NULL;
    if (slot == NULL)
        return BW_ERROR_BUSY;
    *slot = command;
    bw_ring_end_write(&fan_out->commands);
    return BW_OK;
}

void bw_fan_out_free(bw_fan_out *fan_out) {
    if (fan_out == NULL)
        return;
    for (uint32_t i = 0; i < fan_out->active_count; i++)
        bw_outgoing_free(fan_out->active[i]);
    for (bw_fan_out_command *command; fan_out->commands.slots && (command = bw_ring_peek(&fan_out->commands)) != NULL;
         bw_ring_pop(&fan_out->commands)) {
        if (command->kind == BW_FAN_OUT_ADD)
            bw_outgoing_free(command->pointer);
    }
    for (bw_notice *notice; fan_out->notices.slots && (notice = bw_ring_peek(&fan_out->notices)) != NULL;
         bw_ring_pop(&fan_out->notices))
        bw_outgoing_free(notice->pointer);
    bw_wake_destroy(&fan_out->wake);
    bw_ring_destroy(&fan_out->commands);
    bw_ring_destroy(&fan_out->notices);
    free(fan_out->by_peer);
    free(fan_out->active);
    free(fan_out->batch);
    bw_free_aligned(fan_out);
}
