/*
 * Which peer sent a STUN message, and who handles it.
 *
 *   request  ─► USERNAME "local:remote" ─► hash table ─► the peer and its keys ─► HMAC with our password
 *   response ─► source address ─► the peer that it is mapped to, or whose request came from it ─► HMAC with its password
 *   anything else is dropped
 *
 * The loop thread therefore sees only authentic messages. Anyone can send others: an unknown ufrag costs one look-up, a
 * wrong password one HMAC. It does not see checks from an address that it has settled: they change nothing and are
 * answered here.
 *
 * A recorded message can be sent again, from any address. Each peer has a memory of the latest ones, so that a copy
 * neither uses up the quota of new messages nor counts as consent, and a copy of a check that the loop thread never saw
 * does not reach it either. A copy may arrive before the message itself, which then still counts on the settled address.
 */
#include "ice.h"

#include "stun.h"

#include <string.h>

#define PEERS_PER_RECENT_BUCKET 4 /* an entry is needed for the milliseconds until the address is mapped */
#define RECENT_PER_BUCKET 4
#define SEEN_SETS 64
#define SEEN_WAYS 4 /* messages remembered per set; 0.02 percent of new ones look repeated */
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

/* What was done with a message. */
typedef enum {
    UNKNOWN = 0, /* it is new, or long ago */
    FORWARDED,
    FORWARDED_BEFORE, /* before the address was settled, perhaps from there: known there, too */
    ANSWERED,
} outcome;

/* The latest messages of a peer, by a part of their HMACs, which nobody can choose. Each set is sorted by age. */
typedef struct {
    uint16_t entries[SEEN_SETS * SEEN_WAYS]; /* 14 bits of the HMAC, then the outcome */
} seen_table;

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
    seen_table *seen; /* by peer */
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

static outcome outcome_of(uint16_t entry) { return (outcome)(entry & 3); }

static uint16_t *find_set(seen_table *seen, const uint8_t sum[BW_HMAC_BYTES]) {
    return &seen->entries[sum[0] % SEEN_SETS * SEEN_WAYS];
}

static uint16_t entry_of(const uint8_t sum[BW_HMAC_BYTES], outcome outcome) {
    return (uint16_t)(sum[1] << 8 | (sum[2] & 0xFC) | outcome);
}

static outcome recall(seen_table *seen, const uint8_t sum[BW_HMAC_BYTES]) {
    const uint16_t *set = find_set(seen, sum);
    for (int i = 0; i < SEEN_WAYS; i++) {
        if (set[i] != 0 && set[i] == entry_of(sum, outcome_of(set[i])))
            return outcome_of(set[i]);
    }
    return UNKNOWN;
}

/* Replaces what was remembered of this message, or the oldest of its set. */
static void remember(seen_table *seen, const uint8_t sum[BW_HMAC_BYTES], outcome outcome) {
    uint16_t *set = find_set(seen, sum);
    int i = 0;
    while (i < SEEN_WAYS - 1 && (set[i] | 3) != (entry_of(sum, UNKNOWN) | 3))
        i++;
    memmove(set + 1, set, (size_t)i * sizeof *set);
    set[0] = entry_of(sum, outcome);
}

void bw_ice_settle(bw_ice *ice, uint32_t peer) {
    uint16_t *entries = ice->seen[peer].entries;
    for (uint32_t i = 0; i < SEEN_SETS * SEEN_WAYS; i++) {
        if (outcome_of(entries[i]) == FORWARDED)
            entries[i] += FORWARDED_BEFORE - FORWARDED;
    }
}

/* if_answered: what a message is that looks like a check which was answered. */
static bw_ice_message forward(bw_ice *ice, uint32_t peer, const uint8_t *sum, bw_ice_verdict if_answered) {
    seen_table *seen = &ice->seen[peer];
    outcome known = recall(seen, sum);
    if (known == UNKNOWN)
        remember(seen, sum, FORWARDED);
    return (bw_ice_message){
        .peer = peer, .verdict = known == ANSWERED ? if_answered : BW_ICE_FORWARD, .is_repeated = known != UNKNOWN};
}

static bw_ice_message answer(bw_ice *ice, uint32_t peer, const uint8_t *sum, const bw_hmac_key *key) {
    seen_table *seen = &ice->seen[peer];
    outcome known = recall(seen, sum);
    bool is_new = known == UNKNOWN || known == FORWARDED;
    if (is_new)
        remember(seen, sum, ANSWERED);
    return (bw_ice_message){.peer = peer, .verdict = BW_ICE_ANSWER, .is_repeated = !is_new, .key = key};
}

/* ---- messages */

static const bw_ice_message OF_NOBODY = {.peer = BW_NO_PEER};

static const uint8_t *integrity_of(const bw_stun_message *message, const bw_datagram *datagram) {
    return datagram->data + message->integrity_at + 4;
}

static bw_ice_message take_request(bw_ice *ice, uint32_t mapped_peer, bool is_settled, const bw_stun_message *request,
                                   const bw_datagram *datagram) {
    const uint8_t *colon = request->username ? memchr(request->username, ':', request->username_bytes) : NULL;
    if (colon == NULL || request->fingerprint_at == 0) /* RFC 8445, 7.1: checks have a FINGERPRINT */
        return OF_NOBODY;
    uint32_t index = find_ufrag(ice, request->username, (uint32_t)(colon - request->username));
    if (index == END || !bw_stun_is_authentic(request, datagram->data, &ice->generations[index].keys.local))
        return OF_NOBODY;
    uint32_t peer = index / BW_ICE_GENERATIONS;
    if (mapped_peer != peer)
        note_requester(ice, peer, datagram);
    else if (is_settled && !request->needs_error)
        return answer(ice, peer, integrity_of(request, datagram), &ice->generations[index].keys.local);
    return forward(ice, peer, integrity_of(request, datagram), BW_ICE_REPLAY);
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

static bw_ice_message take_response(bw_ice *ice, uint32_t mapped_peer, const bw_stun_message *response,
                                    const bw_datagram *datagram) {
    const recent_source *recent = find_recent(ice, datagram);
    if (mapped_peer != BW_NO_PEER && has_signed(ice, mapped_peer, response, datagram))
        return forward(ice, mapped_peer, integrity_of(response, datagram), BW_ICE_FORWARD);
    for (uint32_t i = 0; i < RECENT_PER_BUCKET; i++) {
        if (is_from(&recent[i], datagram) && has_signed(ice, recent[i].peer, response, datagram))
            return forward(ice, recent[i].peer, integrity_of(response, datagram), BW_ICE_FORWARD);
    }
    return OF_NOBODY;
}

bw_ice_message bw_ice_take(bw_ice *ice, uint32_t mapped_peer, bool is_settled, const bw_datagram *datagram) {
    bw_stun_message message;
    if (!bw_stun_parse(&message, datagram->data, datagram->length))
        return OF_NOBODY;
    if (message.kind == BW_STUN_BINDING_REQUEST)
        return take_request(ice, mapped_peer, is_settled, &message, datagram);
    if (message.kind == BW_STUN_BINDING_SUCCESS || message.kind == BW_STUN_BINDING_ERROR)
        return take_response(ice, mapped_peer, &message, datagram);
    return OF_NOBODY;
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
    uint32_t recent = power_of_two(peers / PEERS_PER_RECENT_BUCKET);
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
