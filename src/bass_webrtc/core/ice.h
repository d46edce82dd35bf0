/* Which peer sent a STUN message, and what to do with it: keys of all peers, on the network thread. */
#ifndef BW_ICE_H
#define BW_ICE_H

#include "internal.h"

/* Returns NULL when out of memory. */
bw_ice *bw_ice_new(uint32_t peers);
void bw_ice_free(bw_ice *ice);

/* Of more than BW_ICE_GENERATIONS ufrags of a peer, the latest are kept. Adding one again replaces its keys. */
void bw_ice_add(bw_ice *ice, uint32_t peer, const bw_ice_keys *keys);
void bw_ice_remove(bw_ice *ice, uint32_t peer, const bw_ice_keys *keys);
void bw_ice_remove_peer(bw_ice *ice, uint32_t peer);

/* From now on, the messages that the peer has sent so far count as repeated on its settled address, too. */
void bw_ice_settle(bw_ice *ice, uint32_t peer);

typedef enum {
    BW_ICE_FORWARD, /* the loop thread decides */
    BW_ICE_ANSWER,  /* a check on the settled address: a success response */
    BW_ICE_REPLAY,  /* a copy of a check that was answered on the settled address, from elsewhere or too late */
} bw_ice_verdict;

typedef struct {
    uint32_t peer; /* BW_NO_PEER: the message is not authentic, or not for us */
    bw_ice_verdict verdict;
    bool is_repeated; /* probably an earlier message of this peer: retransmitted, or recorded and sent by others */
    const bw_hmac_key *key; /* signs the answer */
} bw_ice_message;

/* Authenticates a STUN datagram: a binding request with the key of the ufrag in its USERNAME, a binding response with
 * the keys of the peer it must come from. mapped_peer: the peer that the source address is mapped to, or BW_NO_PEER;
 * is_settled: checks of that peer from there are answered here. */
bw_ice_message bw_ice_take(bw_ice *ice, uint32_t mapped_peer, bool is_settled, const bw_datagram *datagram);

#endif
