/* Which peer sent a STUN message: keys of all peers, on the network thread. */
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

typedef struct {
    uint32_t peer;    /* BW_NO_PEER: the message is not authentic, or not for us */
    bool is_repeated; /* probably an earlier message of this peer: retransmitted, or recorded and sent by others */
} bw_ice_sender;

/* Authenticates a STUN datagram: a binding request with the key of the ufrag in its USERNAME, a binding response with
 * the keys of the peer it must come from. mapped_peer: the peer that the source address is mapped to, or BW_NO_PEER. */
bw_ice_sender bw_ice_take(bw_ice *ice, uint32_t mapped_peer, const bw_datagram *datagram);

#endif
