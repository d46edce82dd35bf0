/*
 * Incoming RTP and RTCP of one peer, on the network thread: SRTP unprotect, SSRCs, reception statistics.
 *
 *   datagram ─► room for its SSRC? ─► authentic? ─► replayed? ─► negotiated? ─► count ─► the peer's packet ring
 *                                                            └─► RTCP ─► the loop thread
 *
 * A packet changes nothing before it has authenticated (srtp_receiver.h), and authentic packets of ever more SSRCs are
 * refused from BW_MAX_SSRCS on (conformance label OP16).
 */
#include "incoming.h"

#include "rtp_parse.h"

#include <string.h>

#define TICKS_PER_MS (BW_SAMPLE_RATE_HZ / 1000)
#define RESTART_RUN 32 /* packets refused in a row, before each RESTART_EVERY-th is tried for a restart */
#define RESTART_EVERY 8
#define MAX_DROPOUT 3000 /* a larger step means that the sender restarted (RFC 3550, A.1) */

/* ---- statistics of one stream (RFC 3550, A.1, A.3 and A.8) */

static void begin_reception(bw_reception *reception, uint32_t ssrc, uint16_t sequence) {
    atomic_store_explicit(&reception->packets_received, 0, memory_order_relaxed);
    atomic_store_explicit(&reception->first_sequence, sequence, memory_order_relaxed);
    atomic_store_explicit(&reception->highest_sequence, sequence, memory_order_relaxed);
    atomic_store_explicit(&reception->jitter_ticks_16, 0, memory_order_relaxed);
    atomic_store_explicit(&reception->ssrc, ssrc, memory_order_release);
}

static void count_sequence(bw_reception *reception, uint32_t ssrc, uint16_t sequence) {
    uint64_t highest = bw_read_counter(&reception->highest_sequence);
    uint16_t step = (uint16_t)(sequence - (uint16_t)highest);
    bool is_first = bw_read_counter(&reception->packets_received) == 0;
    if (is_first || atomic_load_explicit(&reception->ssrc, memory_order_relaxed) != ssrc)
        begin_reception(reception, ssrc, sequence);
    else if (step < MAX_DROPOUT)
        bw_count(&reception->highest_sequence, step);
    else if (step < 0x10000 - MAX_DROPOUT)
        begin_reception(reception, ssrc, sequence);
    bw_count(&reception->packets_received, 1);
}

/* Payload types of one SSRC, such as comfort noise, share its sequence numbers. */
static bool is_received(bw_reception *reception, uint32_t ssrc) {
    return bw_read_counter(&reception->packets_received) > 0 &&
           atomic_load_explicit(&reception->ssrc, memory_order_relaxed) == ssrc;
}

/* Transit time differences, smoothed over 16; kept times 16 so that the division loses nothing (RFC 3550, A.8). */
static void count_jitter(bw_incoming *incoming, uint32_t timestamp, int64_t now_ns) {
    uint32_t arrival = (uint32_t)(now_ns / 1000 * TICKS_PER_MS / 1000);
    int32_t transit = (int32_t)(arrival - timestamp);
    int64_t difference = llabs((int64_t)(int32_t)((uint32_t)transit - (uint32_t)incoming->transit));
    bw_reception *reception = incoming->reception;
    uint64_t jitter = bw_read_counter(&reception->jitter_ticks_16);
    if (incoming->has_transit && difference < BW_SAMPLE_RATE_HZ)
        atomic_store_explicit(&reception->jitter_ticks_16, jitter + (uint64_t)difference - ((jitter + 8) >> 4),
                              memory_order_relaxed);
    incoming->transit = transit;
    incoming->has_transit = true;
}

/* ---- packets */

/* A sender that begins its sequence numbers anew under the same SSRC and keys is not heard until they have passed the
 * old ones: its packets are taken for replays, or another roll-over counter is estimated for them. They are authentic for
 * a receiver that has received nothing. So are recorded packets that somebody replays for want of newer ones. */
static bool shows_restart(bw_incoming *incoming, uint32_t ssrc, const uint8_t *data, uint32_t header_bytes,
                          uint32_t length) {
    uint8_t copy[BW_MAX_DATAGRAM];
    if (incoming->restart_shown || incoming->refused < RESTART_RUN || incoming->refused % RESTART_EVERY != 0 ||
        bw_srtp_find_stream(&incoming->rtp_streams, ssrc) == NULL)
        return false;
    memcpy(copy, data, length);
    return bw_srtp_receive_rtp(&incoming->restarted, &incoming->rtp, copy, header_bytes, &length);
}

bw_rtp_result bw_incoming_take_rtp(bw_incoming *incoming, uint8_t *data, uint32_t *length, int64_t now_ns) {
    bw_rtp_packet packet;
    if (!bw_rtp_parse_header(&packet, data, *length)) /* the padding's length is encrypted */
        return BW_RTP_REFUSED;
    uint32_t header_bytes = (uint32_t)(packet.payload - data);
    /* Before unprotecting changes the packet. */
    bool is_restart = shows_restart(incoming, packet.ssrc, data, header_bytes, *length);
    if (!bw_srtp_receive_rtp(&incoming->rtp_streams, &incoming->rtp, data, header_bytes, length)) {
        incoming->refused++;
        incoming->restart_shown |= is_restart;
        return is_restart ? BW_RTP_RESTARTED : BW_RTP_REFUSED;
    }
    incoming->refused = 0;
    incoming->restart_shown = false;
    bool is_red = incoming->red_payload_type != 0 && packet.payload_type == incoming->red_payload_type;
    bool is_media = packet.payload_type == incoming->payload_type || is_red;
    if (is_media || is_received(incoming->reception, packet.ssrc))
        count_sequence(incoming->reception, packet.ssrc, packet.sequence);
    if (!is_media)
        return BW_RTP_NOT_NEGOTIATED;
    count_jitter(incoming, packet.timestamp, now_ns);
    return BW_RTP_MEDIA;
}

bool bw_incoming_take_rtcp(bw_incoming *incoming, uint8_t *data, uint32_t *length) {
    return bw_srtp_receive_rtcp(&incoming->rtcp_streams, &incoming->rtcp, data, length);
}

/* ---- life: loop thread */

bw_incoming *bw_incoming_new(const bw_peer_config *config, bw_reception *reception) {
    bw_incoming *incoming = calloc(1, sizeof *incoming);
    if (incoming == NULL)
        return NULL;
    incoming->reception = reception;
    incoming->payload_type = config->receive_payload_type;
    incoming->red_payload_type = config->receive_red_payload_type;
    incoming->receives_media = config->receive != 0;
    bool has_keys = bw_srtp_keys_init(&incoming->rtcp, BW_SRTP_RTCP, config->srtp_profile, config->remote_key);
    if (has_keys && incoming->receives_media)
        has_keys = bw_srtp_keys_init(&incoming->rtp, BW_SRTP_RTP, config->srtp_profile, config->remote_key);
    if (has_keys)
        return incoming;
    bw_incoming_free(incoming);
    return NULL;
}

void bw_incoming_free(bw_incoming *incoming) {
    if (incoming == NULL)
        return;
    bw_srtp_keys_destroy(&incoming->rtp);
    bw_srtp_keys_destroy(&incoming->rtcp);
    bw_srtp_streams_destroy(&incoming->rtp_streams);
    bw_srtp_streams_destroy(&incoming->restarted);
    bw_srtp_streams_destroy(&incoming->rtcp_streams);
    free(incoming);
}
