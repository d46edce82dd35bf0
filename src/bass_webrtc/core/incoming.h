/* Network-side state of a peer: authenticates and counts what it sends. */
#ifndef BW_INCOMING_H
#define BW_INCOMING_H

#include "internal.h"
#include "srtp_receiver.h"

struct bw_incoming {
    bool receives_media;
    bw_srtp_keys rtp; /* all zeros: the peer sends no media */
    bw_srtp_keys rtcp;
    bw_srtp_streams rtp_streams;
    bw_srtp_streams restarted; /* has received nothing but RTP that shows a restart */
    bw_srtp_streams rtcp_streams;
    uint32_t refused;   /* RTP packets since the last one that was accepted */
    bool restart_shown; /* by one of these */
    uint8_t payload_type;
    uint8_t red_payload_type; /* 0: not negotiated */
    bool has_transit;
    int32_t transit; /* RTP ticks (RFC 3550, A.8) */
    bw_reception *reception;
};

/* Loop thread. The reception is borrowed and must outlive the object. Returns NULL when out of memory or for an
 * invalid key. */
bw_incoming *bw_incoming_new(const bw_peer_config *config, bw_reception *reception);
void bw_incoming_free(bw_incoming *incoming);

typedef enum {
    BW_RTP_REFUSED,        /* malformed, not authentic, replayed, or of one SSRC too many */
    BW_RTP_RESTARTED,      /* refused, too: the sender began its sequence numbers anew under the same keys */
    BW_RTP_NOT_NEGOTIATED, /* authentic, of another payload type, which may share the SSRC */
    BW_RTP_MEDIA,
} bw_rtp_result;

/* Network thread, both. Unprotect a packet in place; *length becomes that of the plaintext. Change nothing but the
 * packet and the number of refused ones when they refuse it (RTCP: false). */
/* Also updates the reception with media. Only for peers that send media. */
bw_rtp_result bw_incoming_take_rtp(bw_incoming *incoming, uint8_t *data, uint32_t *length, int64_t now_ns);
bool bw_incoming_take_rtcp(bw_incoming *incoming, uint8_t *data, uint32_t *length);

#endif
