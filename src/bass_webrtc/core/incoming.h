/* Network-side state of a peer that sends media. */
#ifndef BW_INCOMING_H
#define BW_INCOMING_H

#include "internal.h"

typedef struct {
    uint32_t ssrc;
    srtp_t srtp;            /* NULL: the entry is free */
    int64_t last_packet_ns; /* arrival of the last authentic packet, or the time the session was added */
} bw_incoming_stream;

struct bw_incoming {
    bw_incoming_stream streams[BW_MAX_SSRCS];
    bool session_requested; /* the loop thread is creating a session for requested_ssrc */
    uint32_t requested_ssrc;
    bool has_transit;
    int32_t transit; /* RTP ticks (RFC 3550, A.8) */
    bw_reception *reception;
};

typedef enum {
    BW_INCOMING_AUTHENTIC, /* unprotected in place; *length is the new length */
    BW_INCOMING_REJECTED,  /* not RTP, not authentic, replayed, or from an SSRC without a session */
    BW_INCOMING_NEW_SSRC,  /* request a session for requested_ssrc from the loop thread; the packet is dropped */
} bw_incoming_result;

/* Loop thread. The reception is borrowed and must outlive the object. Returns NULL when out of memory or for an
 * invalid key. */
bw_incoming *bw_incoming_new(const bw_peer_config *config, bw_reception *reception);
void bw_incoming_free(bw_incoming *incoming);

/* Network thread. Unprotects a packet and updates the reception. */
bw_incoming_result bw_incoming_take(bw_incoming *incoming, uint8_t *data, uint32_t *length, int64_t now_ns);

/* Network thread. Adds the session of an SSRC and takes ownership of it. Returns a session that is no longer needed
 * and must be freed, or NULL. */
srtp_t bw_incoming_add_stream(bw_incoming *incoming, uint32_t ssrc, srtp_t srtp);

#endif
