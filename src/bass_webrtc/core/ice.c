/*
 * Which peer sent a STUN message.
 *
 *   request  ─► USERNAME "local:remote" ─► hash table ─► the peer and its keys ─► HMAC with our password
 *   response ─► source address ─► the peer that it is mapped to, or whose request came from it ─► HMAC with its password
 *   anything else is dropped
 *
 * The loop thread therefore sees only authentic messages. Anyone can send others: an unknown ufrag costs one look-up, a
 * wrong password one HMAC. A recorded message can be sent again, from any address; a filter recognizes such
 * repetitions, so that they do not use up the quota of the peer's new messages.
 */
#include "ice.h"

#include "stun.h"

#include <string.h>

#define RECENT_BUCKETS_PER_PEER 2
#define RECENT_PER_BUCKET 4
#define SEEN_BITS 8192
#define SEEN_MAX 1024 /* messages until the filter is cleared; 5 percent of new ones look repeated by then */
#define END UINT32_MAX

typedef struct {
    bool is_used;
    uint32_t order; /* of the additions */
    uint32_t next;  /* entry with the same hash; END: none */
    bw_ice_keys keys;
} generation;

typedef struct {
    uint32_t peer;
    uint32_t socket;
    bw_address address;
} recent_source;

/* A Bloom filter of the messages' HMACs. */
typedef struct {
    uint32_t count;
    uint64_t bits[SEEN_BITS / 64];
} seen_filter;

struct bw_ice {
    generation *generations; /* BW_ICE_GENERATIONS per peer */
    uint32_t *buckets;       /* hash of the ufrag ─► first entry */
    uint32_t bucket_mask;
    uint32_t additions;
    /* Sources of authentic requests that are not mapped to their peer, by hash of the address. Each bucket is sorted by
     * age and has one entry per peer, so that a peer displaces at most one other. An entry of a removed peer is harmless,
     * because its messages no longer authenticate. */
    recent_source (*recent)[RECENT_PER_BUCKET];
    uint32_t recent_mask;
    seen_filter *seen; /* by peer */
};

/* ---- ufrags */

static uint32_t *find_bucket(bw_ice *ice, const uint8_t *ufrag, uint32_t bytes) {
    uint32_t hash = 2166136261u; /* FNV-1a; all ufrags in the table are random and ours */
    for (uint32_t i = 0; i < bytes; i++)
        hash = (hash ^ ufrag[i]) * 16777619u;
    return &ice->buckets[(hash ^ hash >> 15) & ice->bucket_mask];
}

static uint32_t find_ufrag(bw_ice *ice, const uint8_t *ufrag, uint32_t bytes) {
    uint32_t i = bytes <= BW_MAX_UFRAG_BYTES ? *find_bucket(ice, ufrag, bytes) : END;
    while (i != END &&
           (ice->generations[i].keys.ufrag_bytes != bytes || memcmp(ice->generations[i].keys.ufrag, ufrag, bytes) != 0))
        i = ice->generations[i].next;
    return i;
}

static void erase(bw_ice *ice, uint32_t index) {
    generation *erased = &ice->generations[index];
    uint32_t *link = find_bucket(ice, erased->keys.ufrag, erased->keys.ufrag_bytes);
    while (*link != index)
        link = &ice->generations[*link].next;
    *link = erased->next;
    memset(erased, 0, sizeof *erased);
}

/* Returns a free entry of this peer; if there is none, erases the oldest. */
static uint32_t make_room(bw_ice *ice, uint32_t peer) {
    uint32_t first = BW_ICE_GENERATIONS * peer, oldest = first;
    for (uint32_t i = first; i < first + BW_ICE_GENERATIONS; i++) {
        if (!ice->generations[i].is_used)
            return i;
        if (ice->generations[i].order < ice->generations[oldest].order)
            oldest = i;
    }
    erase(ice, oldest);
    return oldest;
}

void bw_ice_add(bw_ice *ice, uint32_t peer, const bw_ice_keys *keys) {
    bw_ice_remove(ice, peer, keys);
    uint32_t index = make_room(ice, peer);
    uint32_t *bucket = find_bucket(ice, keys->ufrag, keys->ufrag_bytes);
    ice->generations[index] = (generation){.is_used = true, .order = ice->additions++, .next = *bucket, .keys = *keys};
    *bucket = index;
}

void bw_ice_remove(bw_ice *ice, uint32_t peer, const bw_ice_keys *keys) {
    uint32_t index = find_ufrag(ice, keys->ufrag, keys->ufrag_bytes);
    if (index != END && index / BW_ICE_GENERATIONS == peer)
        erase(ice, index);
}

void bw_ice_remove_peer(bw_ice *ice, uint32_t peer) {
    for (uint32_t i = BW_ICE_GENERATIONS * peer; i < BW_ICE_GENERATIONS * (peer + 1); i++) {
        if (ice->generations[i].is_used)
            erase(ice, i);
    }
    memset(&ice->seen[peer], 0, sizeof ice->seen[peer]);
}

/* ---- sources of requests */

static recent_source *find_recent(bw_ice *ice, const bw_datagram *datagram) {
    return ice->recent[bw_address_hash(datagram->socket, &datagram->source) & ice->recent_mask];
}

/* Replaces the peer's entry, a free one or the oldest. */
static void note_requester(bw_ice *ice, uint32_t peer, const bw_datagram *datagram) {
    recent_source *bucket = find_recent(ice, datagram);
    uint32_t i = 0;
    while (i < RECENT_PER_BUCKET - 1 && bucket[i].address.family != 0 && bucket[i].peer != peer)
        i++;
    memmove(bucket + 1, bucket, i * sizeof *bucket);
    bucket[0] = (recent_source){peer, datagram->socket, datagram->source};
}

static bool is_from(const recent_source *recent, const bw_datagram *datagram) {
    return recent->socket == datagram->socket && bw_address_equal(&recent->address, &datagram->source);
}

/* ---- repetitions */

/* Returns whether the message was probably seen before, and remembers it. */
static bool was_seen(seen_filter *seen, const uint8_t sum[BW_HMAC_BYTES]) {
    bool was_seen = true;
    if (seen->count == SEEN_MAX)
        memset(seen, 0, sizeof *seen);
    for (int i = 0; i < 4; i += 2) {
        uint32_t bit = ((uint32_t)sum[i] << 8 | sum[i + 1]) % SEEN_BITS;
        was_seen = was_seen && (seen->bits[bit / 64] >> bit % 64 & 1);
        seen->bits[bit / 64] |= (uint64_t)1 << bit % 64;
    }
    seen->count += !was_seen;
    return was_seen;
}

static bw_ice_sender sender_of(bw_ice *ice, uint32_t peer, const bw_stun_message *message, const uint8_t *data) {
    return (bw_ice_sender){peer, was_seen(&ice->seen[peer], data + message->integrity_at + 4)};
}

/* ---- messages */

static const bw_ice_sender NOBODY = {BW_NO_PEER, false};

static bw_ice_sender take_request(bw_ice *ice, uint32_t mapped_peer, const bw_stun_message *request,
                                  const bw_datagram *datagram) {
    const uint8_t *colon = request->username ? memchr(request->username, ':', request->username_bytes) : NULL;
    if (colon == NULL || request->fingerprint_at == 0) /* RFC 8445, 7.1: checks have a FINGERPRINT */
        return NOBODY;
    uint32_t index = find_ufrag(ice, request->username, (uint32_t)(colon - request->username));
    if (index == END || !bw_stun_is_authentic(request, datagram->data, &ice->generations[index].keys.local))
        return NOBODY;
    uint32_t peer = index / BW_ICE_GENERATIONS;
    if (mapped_peer != peer)
        note_requester(ice, peer, datagram);
    return sender_of(ice, peer, request, datagram->data);
}

static bool has_signed(bw_ice *ice, uint32_t peer, const bw_stun_message *response, const bw_datagram *datagram) {
    for (uint32_t i = BW_ICE_GENERATIONS * peer; i < BW_ICE_GENERATIONS * (peer + 1); i++) {
        /* A response is signed like its request: with the peer's own password. */
        if (ice->generations[i].is_used &&
            bw_stun_is_authentic(response, datagram->data, &ice->generations[i].keys.remote))
            return true;
    }
    return false;
}

static bw_ice_sender take_response(bw_ice *ice, uint32_t mapped_peer, const bw_stun_message *response,
                                   const bw_datagram *datagram) {
    const recent_source *recent = find_recent(ice, datagram);
    if (mapped_peer != BW_NO_PEER && has_signed(ice, mapped_peer, response, datagram))
        return sender_of(ice, mapped_peer, response, datagram->data);
    for (uint32_t i = 0; i < RECENT_PER_BUCKET; i++) {
        if (is_from(&recent[i], datagram) && has_signed(ice, recent[i].peer, response, datagram))
            return sender_of(ice, recent[i].peer, response, datagram->data);
    }
    return NOBODY;
}

bw_ice_sender bw_ice_take(bw_ice *ice, uint32_t mapped_peer, const bw_datagram *datagram) {
    bw_stun_message message;
    if (!bw_stun_parse(&message, datagram->data, datagram->length))
        return NOBODY;
    if (message.kind == BW_STUN_BINDING_REQUEST)
        return take_request(ice, mapped_peer, &message, datagram);
    if (message.kind == BW_STUN_BINDING_SUCCESS || message.kind == BW_STUN_BINDING_ERROR)
        return take_response(ice, mapped_peer, &message, datagram);
    return NOBODY;
}

/* ---- life */

static uint32_t power_of_two(uint32_t least) {
    uint32_t power = 1;
    while (power < least)
        power *= 2;
    return power;
}

bw_ice *bw_ice_new(uint32_t peers) {
    bw_ice *ice = calloc(1, sizeof *ice);
    if (ice == NULL)
        return NULL;
    uint32_t buckets = power_of_two(2 * BW_ICE_GENERATIONS * peers);
    uint32_t recent = power_of_two(RECENT_BUCKETS_PER_PEER * peers);
    ice->bucket_mask = buckets - 1;
    ice->recent_mask = recent - 1;
    ice->generations = calloc((size_t)BW_ICE_GENERATIONS * peers, sizeof *ice->generations);
    ice->buckets = malloc(buckets * sizeof *ice->buckets);
    ice->recent = calloc(recent, sizeof *ice->recent);
    ice->seen = calloc(peers, sizeof *ice->seen);
    if (!ice->generations || !ice->buckets || !ice->recent || !ice->seen) {
        bw_ice_free(ice);
        return NULL;
    }
    memset(ice->buckets, 0xFF, buckets * sizeof *ice->buckets); /* END */
    return ice;
}

void bw_ice_free(bw_ice *ice) {
    if (ice == NULL)
        return;
    free(ice->generations);
    free(ice->buckets);
    free(ice->recent);
    free(ice->seen);
    free(ice);
}
