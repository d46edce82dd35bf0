/*
 * Incoming RTP of one peer, on the network thread: SRTP unprotect, SSRCs, reception statistics.
 *
 *   datagram ─► SSRC known? ─► unprotect, replay window ─► count ─► the peer's packet ring
 *                   └ no ─► request a session from the loop thread, one at a time
 *
 * The loop thread creates sessions, one per SSRC, so this thread creates none, and an attacker who forges source
 * addresses cannot make its memory grow (conformance label OP16: no more than BW_MAX_SSRCS). Memory that libsrtp2
 * allocates while unprotecting is freed before it returns.
 */
#include "incoming.h"

#include "rtp_parse.h"

#include <string.h>

#define RECENT_NS 1000000000 /* a stream received within this time is not replaced */
#define TICKS_PER_MS (BW_SAMPLE_RATE_HZ / 1000)
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
    if (atomic_load_explicit(&reception->ssrc, memory_order_relaxed) != ssrc)
        begin_reception(reception, ssrc, sequence);
    else if (step < MAX_DROPOUT)
        bw_count(&reception->highest_sequence, step);
    else if (step < 0x10000 - MAX_DROPOUT)
        begin_reception(reception, ssrc, sequence);
    bw_count(&reception->packets_received, 1);
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

/* ---- SSRCs */

static bw_incoming_stream *find_stream(bw_incoming *incoming, uint32_t ssrc) {
    for (uint32_t i = 0; i < BW_MAX_SSRCS; i++) {
        if (incoming->streams[i].srtp != NULL && incoming->streams[i].ssrc == ssrc)
            return &incoming->streams[i];
    }
    return NULL;
}

/* Returns a free entry, or the least recently received one; NULL while all are in use. */
static bw_incoming_stream *find_free_stream(bw_incoming *incoming, int64_t now_ns) {
    bw_incoming_stream *oldest = &incoming->streams[0];
    for (uint32_t i = 0; i < BW_MAX_SSRCS; i++) {
        if (incoming->streams[i].srtp == NULL)
            return &incoming->streams[i];
        if (incoming->streams[i].last_packet_ns < oldest->last_packet_ns)
            oldest = &incoming->streams[i];
    }
    return now_ns - oldest->last_packet_ns > RECENT_NS ? oldest : NULL;
}

srtp_t bw_incoming_add_stream(bw_incoming *incoming, uint32_t ssrc, srtp_t srtp) {
    int64_t now_ns = bw_now_ns();
    bw_incoming_stream *stream = find_free_stream(incoming, now_ns);
    incoming->session_requested = false;
    if (stream == NULL || find_stream(incoming, ssrc) != NULL)
        return srtp;
    srtp_t before = stream->srtp;
    /* last_packet_ns: a new session is not replaced for one second. */
    *stream = (bw_incoming_stream){.ssrc = ssrc, .srtp = srtp, .last_packet_ns = now_ns};
    return before;
}

/* ---- packets */

bw_incoming_result bw_incoming_take(bw_incoming *incoming, uint8_t *data, uint32_t *length, int64_t now_ns) {
    bw_rtp_packet packet;
    if (!bw_rtp_parse(&packet, data, *length))
        return BW_INCOMING_REJECTED;
    bw_incoming_stream *stream = find_stream(incoming, packet.ssrc);
    if (stream == NULL) {
        bool ask = !incoming->session_requested && find_free_stream(incoming, now_ns) != NULL;
        incoming->session_requested = incoming->session_requested || ask;
        incoming->requested_ssrc = packet.ssrc;
        return ask ? BW_INCOMING_NEW_SSRC : BW_INCOMING_REJECTED;
    }
    int plain_length = (int)*length;
    if (srtp_unprotect(stream->srtp, data, &plain_length) != srtp_err_status_ok)
        return BW_INCOMING_REJECTED;
    *length = (uint32_t)plain_length;
    stream->last_packet_ns = now_ns;
    count_sequence(incoming->reception, packet.ssrc, packet.sequence);
    count_jitter(incoming, packet.timestamp, now_ns);
    return BW_INCOMING_AUTHENTIC;
}

/* ---- life: loop thread */

bw_incoming *bw_incoming_new(const bw_peer_config *config, bw_reception *reception) {
    bw_incoming *incoming = calloc(1, sizeof *incoming);
    if (incoming == NULL)
        return NULL;
    incoming->reception = reception;
    for (uint32_t i = 0; i < BW_MAX_SSRCS; i++) {
        uint32_t ssrc = config->receive_ssrcs[i];
        if (ssrc == 0 || find_stream(incoming, ssrc) != NULL)
            continue;
        incoming->streams[i].ssrc = ssrc;
        incoming->streams[i].srtp = bw_srtp_session(config->srtp_profile, config->remote_key, ssrc, false);
        if (incoming->streams[i].srtp == NULL) {
            bw_incoming_free(incoming);
            return NULL;
        }
    }
    return incoming;
}

void bw_incoming_free(bw_incoming *incoming) {
    if (incoming == NULL)
        return;
    for (uint32_t i = 0; i < BW_MAX_SSRCS; i++) {
        if (incoming->streams[i].srtp != NULL)
            srtp_dealloc(incoming->streams[i].srtp);
    }
    free(incoming);
}
