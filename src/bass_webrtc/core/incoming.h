/* The network thread's half of a peer that sends to us. */
#ifndef BW_INCOMING_H
#define BW_INCOMING_H

#include "internal.h"

typedef struct {
    uint32_t ssrc;
    srtp_t srtp;      /* NULL: the place is free */
    int64_t heard_ns; /* of its last authentic packet, or of its making */
} bw_incoming_stream;

struct bw_incoming {
    bw_incoming_stream streams[BW_MAX_SSRCS];
    bool asked; /* the loop is making a session for asked_ssrc */
    uint32_t asked_ssrc;
    bool has_transit;
    int32_t transit; /* RTP ticks (RFC 3550, A.8) */
    bw_reception *reception;
};

typedef enum {
    BW_INCOMING_AUTHENTIC, /* unprotected in place, *length is the new one */
    BW_INCOMING_REFUSED,   /* no RTP, not authentic, replayed, or of an SSRC that has no place */
    BW_INCOMING_NEW_SSRC,  /* the loop is to be asked for a session for asked_ssrc; the packet is lost */
} bw_incoming_verdict;

/* Loop thread. The reception outlives it. NULL: no memory, or a bad key. */
bw_incoming *bw_incoming_new(const bw_peer_config *config, bw_reception *reception);
void bw_incoming_free(bw_incoming *incoming);

/* Network thread. */
bw_incoming_verdict bw_incoming_take(bw_incoming *incoming, uint8_t *data, uint32_t *length, int64_t now_ns);

/* Network thread: gives an SSRC its session. Returns the one that is not needed any more, to be freed, or NULL. */
srtp_t bw_incoming_add_stream(bw_incoming *incoming, uint32_t ssrc, srtp_t srtp);

#endif
