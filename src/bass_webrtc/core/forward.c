/*
 * Datagrams for the loop thread: what it gets of each peer is limited, so that no peer can delay the others.
 *
 *   datagram ─► the peer's quota of this protocol ─► at most QUEUED_PER_PEER wait ─► event ring ─► loop
 *
 * The quotas are token buckets, far above what clients send: they check a candidate pair every 20 ms at most, send RTCP
 * for each received packet at most, and a DTLS handshake takes some ten datagrams and is retransmitted rarely. STUN and
 * RTCP are charged after they were authenticated, so nobody else can use up a peer's quota of them. DTLS cannot be
 * authenticated here. Its burst leaves room for a handshake among forged records of the peer's address; after the
 * handshake, DTLS carries nothing but the closing alert.
 */
#include "internal.h"

#include <string.h>

#define SECOND_NS 1000000000
#define QUEUED_PER_PEER 128
#define NOTICE_INTERVAL_NS SECOND_NS

static const struct {
    int64_t per_second;
    int64_t burst;
} QUOTAS[BW_QUOTAS] = {
    [BW_QUOTA_STUN] = {100, 100},
    [BW_QUOTA_REPEATED_STUN] = {20, 20},
    [BW_QUOTA_DTLS] = {200, 400},
    [BW_QUOTA_RTCP] = {200, 200},
};

/* A token bucket as one number: the time at which it will be full again. */
static bool take_token(int64_t *full_ns, uint32_t quota, int64_t now_ns) {
    int64_t token_ns = SECOND_NS / QUOTAS[quota].per_second;
    int64_t from_ns = *full_ns > now_ns ? *full_ns : now_ns;
    if (from_ns + token_ns > now_ns + QUOTAS[quota].burst * token_ns)
        return false;
    *full_ns = from_ns + token_ns;
    return true;
}

/* Counts a datagram over the quota. The loop thread logs one notice per second, whichever peers caused it. */
static void limit(bw_engine *engine, uint32_t peer, uint32_t quota, int64_t now_ns) {
    bw_network *network = &engine->network;
    bw_count(&engine->slots[peer].datagrams_limited, 1);
    bw_count(&engine->datagrams_limited, 1);
    if (now_ns < network->next_limit_notice_ns || atomic_exchange(&network->limit_notice_pending, true))
        return;
    network->next_limit_notice_ns = now_ns + NOTICE_INTERVAL_NS;
    bw_events_post(engine, &network->notices, (bw_notice){.kind = BW_EVENT_LIMITED, .peer = peer, .value = quota});
}

bool bw_use_quota(bw_engine *engine, uint32_t peer, uint32_t quota, int64_t now_ns) {
    bool has_token = take_token(&engine->network.quotas[peer].full_ns[quota], quota, now_ns);
    if (!has_token)
        limit(engine, peer, quota, now_ns);
    return has_token;
}

bool bw_forward(bw_engine *engine, uint32_t peer, uint32_t kind, uint32_t quota, const bw_datagram *datagram) {
    bw_network *network = &engine->network;
    bw_slot *slot = &engine->slots[peer];
    if (!bw_use_quota(engine, peer, quota, datagram->time_ns))
        return false;
    bw_event *event = atomic_load_explicit(&slot->queued, memory_order_relaxed) < QUEUED_PER_PEER
                          ? bw_ring_begin_write(&network->datagrams)
                          : NULL;
    if (event == NULL) {
        bw_count(&engine->events_dropped, 1);
        return false;
    }
    event->kind = kind;
    event->peer = peer;
    event->socket = datagram->socket;
    event->length = datagram->length;
    event->value = network->quotas[peer].occupant;
    event->time_ns = datagram->time_ns;
    event->source = datagram->source;
    memcpy(event->data, datagram->data, datagram->length);
    atomic_fetch_add_explicit(&slot->queued, 1, memory_order_relaxed);
    bw_ring_end_write(&network->datagrams);
    bw_events_signal(engine);
    return true;
}
