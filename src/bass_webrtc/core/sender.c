/*
 * The sender thread. Once per frame time, for any number of peers:
 *
 *   wait for the deadline ─► take commands ─► read a frame ─► encode it once
 *                        ─► for each peer: header, copy, protect ─► one batch ─► UDP
 *
 * The deadline is start + n × frame time, so lateness does not accumulate and the RTP clock is the system's monotonic
 * clock. Once started, the thread takes no lock of this project, allocates nothing, logs nothing and never enters the
 * Python interpreter.
 */
#include "internal.h"

#include <string.h>

#define BATCH_PACKETS 64
#define RESENDS_PER_FRAME 8
#define RESENDS_PER_PACKET 2
#define RESEND_MARGIN_FRAMES 4
#define SKIP_AFTER_NS 500000000 /* after a longer stop of the process, missed frames are skipped */
#define LATENESS_WINDOW_MS 10000
#define SPEECH_BITRATE_BPS 48000 /* below this, Opus may choose its speech modes, which have in-band FEC */
#define COMMANDS_PER_PEER 4
#define NOTICES_OF_SOURCE 3 /* replaced, ended, and one more end while that one is being read */
#define DTX_FRAME_BYTES 2   /* opus_encode returns at most this for a frame that need not be sent */

typedef struct bw_batch {
    int descriptor; /* of all packets in it */
    uint32_t count;
    struct mmsghdr messages[BATCH_PACKETS];
    struct iovec vectors[BATCH_PACKETS];
    bw_outgoing *receivers[BATCH_PACKETS];
    uint8_t packets[BATCH_PACKETS][BW_MAX_RTP_BYTES + SRTP_MAX_TRAILER_LEN];
} bw_batch;

/* ---- sending */

static void count_sent(bw_engine *engine, bw_batch *batch, uint32_t i) {
    bw_slot *slot = &engine->slots[batch->receivers[i]->peer];
    uint64_t bytes = batch->vectors[i].iov_len;
    bw_count(&slot->packets_sent, 1);
    bw_count(&slot->bytes_sent, bytes);
    bw_count(&engine->packets_sent, 1);
    bw_count(&engine->bytes_sent, bytes);
}

static void count_dropped(bw_engine *engine, bw_batch *batch, uint32_t i) {
    bw_count(&engine->slots[batch->receivers[i]->peer].send_drops, 1);
    bw_count(&engine->send_drops, 1);
}

/* Packets that the system does not accept are dropped and counted, so a slow or dead peer delays no other. */
static void flush(bw_engine *engine) {
    bw_batch *batch = engine->sender.batch;
    uint32_t done = 0;
    while (done < batch->count) {
        int sent = bw_send_batch(batch->descriptor, batch->messages + done, batch->count - done);
        for (int i = 0; i < sent; i++)
            count_sent(engine, batch, done + (uint32_t)i);
        done += sent > 0 ? (uint32_t)sent : 0;
        if (done < batch->count && sent <= 0)
            count_dropped(engine, batch, done++);
    }
    batch->count = 0;
}

static void enqueue(bw_engine *engine, bw_outgoing *outgoing, const bw_frame *frame, uint64_t index,
                    uint8_t redundancy) {
    bw_batch *batch = engine->sender.batch;
    if (batch->count == BATCH_PACKETS || (batch->count && batch->descriptor != outgoing->descriptor))
        flush(engine);
    uint32_t i = batch->count;
    uint8_t *packet = batch->packets[i];
    int length = (int)bw_rtp_write(outgoing, &engine->sender.history, frame, (uint16_t)index, redundancy, packet);
    uint64_t octets = (uint64_t)length - BW_RTP_HEADER_BYTES;
    if (!bw_protect(outgoing->protector, packet, &length, index)) {
        bw_count(&engine->slots[outgoing->peer].send_drops, 1);
        bw_count(&engine->send_drops, 1);
        return;
    }
    batch->descriptor = outgoing->descriptor;
    batch->vectors[i] = (struct iovec){packet, (size_t)length};
    batch->receivers[i] = outgoing;
    batch->messages[i].msg_hdr = (struct msghdr){.msg_name = &outgoing->address,
                                                 .msg_namelen = outgoing->address_length,
                                                 .msg_iov = &batch->vectors[i],
                                                 .msg_iovlen = 1};
    batch->count++;
    bw_count(&engine->slots[outgoing->peer].octets_sent, octets);
}

static void send_frame(bw_engine *engine, const bw_frame *frame) {
    bw_sender *sender = &engine->sender;
    for (uint32_t i = 0; i < sender->active_count; i++) {
        bw_outgoing *outgoing = sender->active[i];
        outgoing->resend_budget = RESENDS_PER_FRAME;
        if (outgoing->descriptor < 0 || frame->length == 0)
            continue;
        uint64_t index = outgoing->index++;
        outgoing->sent[index % BW_FRAME_HISTORY] =
            (bw_sent_packet){index, frame->number, outgoing->redundancy, RESENDS_PER_PACKET};
        enqueue(engine, outgoing, frame, index, outgoing->redundancy);
    }
    flush(engine);
}

/* Sends the identical packet again (RFC 4585, 6.2.1). */
static void resend(bw_engine *engine, bw_outgoing *outgoing, uint16_t sequence) {
    bw_sent_packet *sent = &outgoing->sent[sequence % BW_FRAME_HISTORY];
    const bw_frame *frame = bw_frame_history_find(&engine->sender.history, sent->frame_number);
    /* Its redundant copies must still be in the history, too, or the bytes would differ. */
    bool is_recent = engine->sender.last_number - sent->frame_number < BW_FRAME_HISTORY - RESEND_MARGIN_FRAMES;
    bool is_known = frame != NULL && is_recent && (uint16_t)sent->index == sequence;
    if (!is_known || outgoing->descriptor < 0 || sent->resends_left == 0 || outgoing->resend_budget == 0)
        return;
    sent->resends_left--;
    outgoing->resend_budget--;
    enqueue(engine, outgoing, frame, sent->index, sent->redundancy);
    bw_count(&engine->slots[outgoing->peer].packets_resent, 1);
}

/* ---- encoder */

/*
 * In-band FEC exists only in Opus's speech modes, and libopus switches to them when FEC is enabled and loss is
 * reported: music at 128 kbit/s would drop to telephone quality. So FEC is enabled only where speech modes are
 * acceptable.
 */
static void configure_loss(bw_engine *engine, uint32_t bitrate_bps) {
    bw_sender *sender = &engine->sender;
    bool speech = engine->config.application == BW_APPLICATION_VOIP || bitrate_bps < SPEECH_BITRATE_BPS;
    opus_encoder_ctl(sender->encoder, OPUS_SET_INBAND_FEC(engine->config.in_band_fec && speech));
    opus_encoder_ctl(sender->encoder, OPUS_SET_PACKET_LOSS_PERC((opus_int32)sender->expected_loss_percent));
}

static void set_bitrate(bw_engine *engine, uint32_t bitrate_bps) {
    opus_encoder_ctl(engine->sender.encoder, OPUS_SET_BITRATE((opus_int32)bitrate_bps));
    engine->config.bitrate_bps = bitrate_bps;
    configure_loss(engine, bitrate_bps);
}

static int create_encoder(bw_engine *engine) {
    static const int applications[] = {OPUS_APPLICATION_AUDIO, OPUS_APPLICATION_VOIP,
                                       OPUS_APPLICATION_RESTRICTED_LOWDELAY};
    int status = OPUS_OK;
    OpusEncoder *encoder =
        opus_encoder_create(BW_SAMPLE_RATE_HZ, BW_CHANNELS, applications[engine->config.application], &status);
    engine->sender.encoder = encoder;
    if (status != OPUS_OK)
        return BW_ERROR_OPUS;
    opus_encoder_ctl(encoder, OPUS_SET_COMPLEXITY((opus_int32)engine->config.complexity));
    opus_encoder_ctl(encoder, OPUS_SET_DTX(engine->config.dtx ? 1 : 0));
    set_bitrate(engine, engine->config.bitrate_bps);
    return BW_OK;
}

static void report_end(bw_engine *engine, int32_t error) {
    bw_sender *sender = &engine->sender;
    atomic_store_explicit(&sender->source_error, error, memory_order_relaxed);
    bw_count(&sender->source_ends, 1);
    if (!atomic_exchange(&sender->end_notice_pending, true))
        bw_events_post(engine, &sender->notices,
                       (bw_notice){.kind = BW_EVENT_SOURCE_ENDED, .peer = BW_NO_PEER, .value = (uint32_t)error});
}

static void read_source(bw_engine *engine) {
    bw_sender *sender = &engine->sender;
    uint32_t frames = engine->config.frame_samples;
    if (sender->source == NULL) {
        memset(sender->pcm, 0, sizeof(float) * frames * BW_CHANNELS);
        return;
    }
    uint32_t got = bw_source_read(sender->source, sender->pcm, frames);
    if (got < frames && !bw_source_is_idle(sender->source))
        bw_count(&engine->source_underruns, 1);
    if (bw_source_ends(sender->source) != sender->ends_seen) {
        sender->ends_seen = bw_source_ends(sender->source);
        report_end(engine, bw_source_error(sender->source));
    }
    atomic_store_explicit(&sender->source_ended, bw_source_has_ended(sender->source), memory_order_relaxed);
}

static const bw_frame *encode_frame(bw_engine *engine, uint32_t number) {
    bw_sender *sender = &engine->sender;
    bw_frame *frame = &sender->history.frames[number % BW_FRAME_HISTORY];
    read_source(engine);
    int bytes = 0;
    /* Without peers, keep reading the source but skip the encoder, the most expensive step. */
    if (sender->active_count > 0)
        bytes = opus_encode_float(sender->encoder, sender->pcm, (int)engine->config.frame_samples, frame->payload,
                                  sizeof frame->payload);
    if (bytes < 0)
        bw_count(&engine->encode_errors, 1);
    bool sends = bytes > (engine->config.dtx ? DTX_FRAME_BYTES : 0);
    frame->number = number;
    frame->length = sends ? (uint16_t)bytes : 0;
    frame->marker = sends && !sender->talking;
    sender->talking = sends;
    sender->last_number = number;
    bw_count(&engine->frames_sent, 1);
    return frame;
}

/* ---- commands */

static void add_peer(bw_sender *sender, bw_outgoing *outgoing) {
    outgoing->active_index = sender->active_count;
    sender->active[sender->active_count++] = outgoing;
    sender->by_peer[outgoing->peer] = outgoing;
}

static void remove_peer(bw_engine *engine, uint32_t peer) {
    bw_sender *sender = &engine->sender;
    bw_outgoing *outgoing = sender->by_peer[peer];
    if (outgoing != NULL) {
        bw_outgoing *last = sender->active[--sender->active_count];
        sender->active[outgoing->active_index] = last;
        last->active_index = outgoing->active_index;
        sender->by_peer[peer] = NULL;
    }
    bw_events_post(engine, &engine->sender.notices,
                   (bw_notice){.kind = BW_EVENT_PEER_REMOVED, .peer = peer, .pointer = outgoing});
}

/* Peers whose path is on the socket get no more packets until they have another path. */
static void remove_socket(bw_engine *engine, const bw_command *command) {
    bw_sender *sender = &engine->sender;
    flush(engine);
    for (uint32_t i = 0; i < sender->active_count; i++) {
        if (sender->active[i]->descriptor == command->descriptor)
            sender->active[i]->descriptor = -1;
    }
    bw_events_post(engine, &sender->notices,
                   (bw_notice){.kind = BW_EVENT_SOCKET_REMOVED, .peer = BW_NO_PEER, .value = command->value});
}

static void set_source(bw_engine *engine, bw_source *source, int32_t error) {
    bw_sender *sender = &engine->sender;
    bool had_ended = atomic_load_explicit(&sender->source_ended, memory_order_relaxed);
    sender->source = source;
    sender->ends_seen = source != NULL ? bw_source_ends(source) : 0;
    atomic_store_explicit(&sender->source_ended, source == NULL, memory_order_relaxed);
    if (source == NULL && !had_ended)
        report_end(engine, error);
    bw_events_post(engine, &sender->notices, (bw_notice){.kind = BW_EVENT_SOURCE_REPLACED, .peer = BW_NO_PEER});
}

static void set_path(bw_outgoing *outgoing, const bw_command *command) {
    outgoing->address_length = bw_address_to_sockaddr(&command->address, &outgoing->address);
    outgoing->descriptor = command->descriptor;
}

static void apply_peer_command(bw_engine *engine, const bw_command *command) {
    bw_outgoing *outgoing = engine->sender.by_peer[command->peer];
    if (outgoing == NULL)
        return;
    switch (command->kind) {
    case BW_COMMAND_SET_PATH:
        set_path(outgoing, command);
        break;
    case BW_COMMAND_CLEAR_PATH:
        outgoing->descriptor = -1;
        break;
    case BW_COMMAND_SET_REDUNDANCY:
        outgoing->redundancy = (uint8_t)command->value;
        break;
    case BW_COMMAND_RESEND:
        resend(engine, outgoing, (uint16_t)command->value);
        break;
    default:
        break;
    }
}

static void apply_command(bw_engine *engine, const bw_command *command) {
    bw_sender *sender = &engine->sender;
    switch (command->kind) {
    case BW_COMMAND_ADD:
        add_peer(sender, command->pointer);
        break;
    case BW_COMMAND_REMOVE:
        remove_peer(engine, command->peer);
        break;
    case BW_COMMAND_SET_BITRATE:
        set_bitrate(engine, command->value);
        break;
    case BW_COMMAND_SET_EXPECTED_LOSS:
        sender->expected_loss_percent = command->value;
        configure_loss(engine, engine->config.bitrate_bps);
        break;
    case BW_COMMAND_SET_COMPLEXITY:
        opus_encoder_ctl(sender->encoder, OPUS_SET_COMPLEXITY((opus_int32)command->value));
        break;
    case BW_COMMAND_REMOVE_SOCKET:
        remove_socket(engine, command);
        break;
    case BW_COMMAND_SET_SOURCE:
        set_source(engine, command->pointer, (int32_t)command->value);
        break;
    default:
        apply_peer_command(engine, command);
        break;
    }
}

static void take_commands(bw_engine *engine) {
    for (bw_command *command; (command = bw_ring_peek(&engine->sender.commands)) != NULL;) {
        apply_command(engine, command);
        bw_ring_pop(&engine->sender.commands);
    }
    flush(engine); /* Send retransmissions, and packets to a path that is about to change. */
}

/* ---- thread */

static void record_lateness(bw_engine *engine, int64_t deadline_ns, int64_t frame_ns) {
    bw_sender *sender = &engine->sender;
    int64_t late_ns = bw_now_ns() - deadline_ns;
    uint32_t count = atomic_load_explicit(&sender->lateness_count, memory_order_relaxed);
    uint32_t late_us = (uint32_t)(late_ns > 0 ? late_ns / 1000 : 0);
    atomic_store_explicit(&sender->lateness_us[count % sender->lateness_capacity], late_us, memory_order_relaxed);
    atomic_store_explicit(&sender->lateness_count, count + 1, memory_order_release);
    if (late_ns > frame_ns)
        bw_count(&engine->late_frames, 1);
}

void *bw_sender_run(void *argument) {
    bw_engine *engine = argument;
    int64_t frame_ns = (int64_t)engine->config.frame_samples * 1000000000 / BW_SAMPLE_RATE_HZ;
    bw_block_signals();
    bw_name_thread("bw-send");
    bw_pacer pacer = bw_pacer_begin();
    atomic_store(&engine->realtime_priority, pacer.has_realtime_priority);
    int64_t start_ns = bw_now_ns();
    atomic_store(&engine->sender.start_ns, start_ns);
    for (int64_t number = 0; atomic_load_explicit(&engine->running, memory_order_acquire); number++) {
        int64_t behind_ns = bw_now_ns() - (start_ns + number * frame_ns);
        if (behind_ns > SKIP_AFTER_NS) {
            bw_count(&engine->frames_skipped, (uint64_t)(behind_ns / frame_ns));
            number += behind_ns / frame_ns;
        }
        int64_t deadline_ns = start_ns + number * frame_ns;
        bw_pacer_sleep_until_ns(&pacer, deadline_ns);
        take_commands(engine);
        send_frame(engine, encode_frame(engine, (uint32_t)number));
        record_lateness(engine, deadline_ns, frame_ns);
    }
    bw_pacer_end(&pacer);
    return NULL;
}

/* ---- life */

int bw_sender_init(bw_engine *engine, bw_source *source) {
    bw_sender *sender = &engine->sender;
    uint32_t peers = engine->config.max_peers;
    sender->source = source;
    sender->history.frame_samples = engine->config.frame_samples;
    sender->lateness_capacity = LATENESS_WINDOW_MS * (BW_SAMPLE_RATE_HZ / 1000) / engine->config.frame_samples;
    sender->pcm = calloc((size_t)engine->config.frame_samples * BW_CHANNELS, sizeof *sender->pcm);
    sender->by_peer = calloc(peers, sizeof(bw_outgoing *));
    sender->active = calloc(peers, sizeof(bw_outgoing *));
    sender->batch = calloc(1, sizeof *sender->batch);
    sender->lateness_us = calloc(sender->lateness_capacity, sizeof *sender->lateness_us);
    bool rings = bw_ring_init(&sender->commands, COMMANDS_PER_PEER * peers + 1024, sizeof(bw_command)) &&
                 bw_ring_init(&sender->notices, peers + NOTICES_OF_SOURCE + BW_MAX_SOCKETS, sizeof(bw_notice));
    if (!rings || !sender->pcm || !sender->by_peer || !sender->active || !sender->batch || !sender->lateness_us)
        return BW_ERROR_MEMORY;
    return create_encoder(engine);
}

void bw_outgoing_free(bw_outgoing *outgoing) {
    if (outgoing == NULL)
        return;
    bw_protector_free(outgoing->protector);
    free(outgoing);
}

void bw_sender_destroy(bw_engine *engine) {
    bw_sender *sender = &engine->sender;
    for (uint32_t i = 0; i < sender->active_count; i++)
        bw_outgoing_free(sender->active[i]);
    for (bw_command *command; sender->commands.slots && (command = bw_ring_peek(&sender->commands)) != NULL;) {
        if (command->kind == BW_COMMAND_ADD)
            bw_outgoing_free(command->pointer);
        bw_ring_pop(&sender->commands);
    }
    for (bw_notice *notice; sender->notices.slots && (notice = bw_ring_peek(&sender->notices)) != NULL;) {
        bw_outgoing_free(notice->pointer);
        bw_ring_pop(&sender->notices);
    }
    if (sender->encoder != NULL)
        opus_encoder_destroy(sender->encoder);
    bw_ring_destroy(&sender->commands);
    bw_ring_destroy(&sender->notices);
    free(sender->pcm);
    free(sender->by_peer);
    free(sender->active);
    free(sender->batch);
    free((void *)sender->lateness_us);
}
