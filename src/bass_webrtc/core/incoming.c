/*
 * Incoming RTP and RTCP of one peer, on the network thread: SRTP unprotect, SSRCs, reception statistics.
 *
 *   datagram ─► room for its SSRC? ─► authentic? ─► replayed? ─► negotiated? ─► count ─► the peer's packet ring
 *                                                            └─► RTCP ─► the loop thread
 *
 * A packet changes nothing before it has authenticated. libsrtp2 keeps a template of a stream and copies it once a
 * packet of a new SSRC is authentic, so forged packets need no memory and displace no stream. Authentic packets of ever
 * more SSRCs are refused from BW_MAX_SSRCS on (conformance label OP16). No stream makes room for another: without its
 * replay window, its recorded packets would be accepted again. Other memory that libsrtp2 allocates while unprotecting
 * is freed before it returns.
 */
#include "incoming.h"

#include "rtp_parse.h"

#include <string.h>

#define RTCP_HEADER_BYTES 8
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

static bool is_known(const bw_incoming_session *session, uint32_t ssrc) {
    for (uint32_t i = 0; i < session->ssrc_count; i++) {
        if (session->ssrcs[i] == ssrc)
            return true;
    }
    return false;
}

static bool unprotect(bw_incoming_session *session, uint32_t ssrc, uint8_t *data, uint32_t *length,
                      srtp_err_status_t (*srtp_function)(srtp_t, void *, int *)) {
    int plain_length = (int)*length;
    bool is_new = !is_known(session, ssrc);
    if (is_new && session->ssrc_count == BW_MAX_SSRCS)
        return false;
    if (srtp_function(session->srtp, data, &plain_length) != srtp_err_status_ok)
        return false;
    if (is_new)
        session->ssrcs[session->ssrc_count++] = ssrc;
    *length = (uint32_t)plain_length;
    return true;
}

/* A sender that begins its sequence numbers anew under the same SSRC and keys is not heard until they have passed the
 * old ones: libsrtp2 takes its packets for replays, or derives another roll-over counter from them. They are authentic
 * for a session that has received nothing. So are recorded packets that somebody replays for want of newer ones. */
static bool shows_restart(bw_incoming *incoming, uint32_t ssrc, const uint8_t *data, uint32_t length) {
    uint8_t copy[BW_MAX_DATAGRAM];
    int copy_length = (int)length;
    if (incoming->restart_shown || incoming->refused < RESTART_RUN || incoming->refused % RESTART_EVERY != 0 ||
        !is_known(&incoming->rtp, ssrc))
        return false;
    memcpy(copy, data, length);
    return srtp_unprotect(incoming->restarted, copy, &copy_length) == srtp_err_status_ok;
}

bw_rtp_result bw_incoming_take_rtp(bw_incoming *incoming, uint8_t *data, uint32_t *length, int64_t now_ns) {
    bw_rtp_packet packet;
    if (!bw_rtp_parse_header(&packet, data, *length)) /* the padding's length is encrypted */
        return BW_RTP_REFUSED;
    bool is_restart = shows_restart(incoming, packet.ssrc, data, *length); /* unprotecting changes the packet */
    if (!unprotect(&incoming->rtp, packet.ssrc, data, length, srtp_unprotect)) {
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
    if (*length < RTCP_HEADER_BYTES)
        return false;
    uint32_t ssrc = (uint32_t)data[4] << 24 | (uint32_t)data[5] << 16 | (uint32_t)data[6] << 8 | data[7];
    return unprotect(&incoming->rtcp, ssrc, data, length, srtp_unprotect_rtcp);
}

/* ---- life: loop thread */

bw_incoming *bw_incoming_new(const bw_peer_config *config, bw_reception *reception) {
    bw_incoming *incoming = calloc(1, sizeof *incoming);
    if (incoming == NULL)
        return NULL;
    incoming->reception = reception;
    incoming->rtcp.srtp = bw_srtp_session(config->srtp_profile, config->remote_key, false);
    incoming->payload_type = config->receive_payload_type;
    incoming->red_payload_type = config->receive_red_payload_type;
    if (config->receive) {
        incoming->rtp.srtp = bw_srtp_session(config->srtp_profile, config->remote_key, false);
        incoming->restarted = bw_srtp_session(config->srtp_profile, config->remote_key, false);
    }
    bool receives = incoming->rtp.srtp != NULL && incoming->restarted != NULL;
    if (incoming->rtcp.srtp != NULL && (receives || !config->receive))
        return incoming;
    bw_incoming_free(incoming);
    return NULL;
}

void bw_incoming_free(bw_incoming *incoming) {
    if (incoming == NULL)
        return;
    if (incoming->rtp.srtp != NULL)
        srtp_dealloc(incoming->rtp.srtp);
    if (incoming->restarted != NULL)
        srtp_dealloc(incoming->restarted);
    if (incoming->rtcp.srtp != NULL)
        srtp_dealloc(incoming->rtcp.srtp);
    free(incoming);
}
