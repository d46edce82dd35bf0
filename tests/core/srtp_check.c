/* For test_srtp_agreement.py: the core's SRTP with both sides' keys in one object. Lengths of -1: refused. */
#include "../../src/bass_webrtc/core/rtp_parse.h"
#include "../../src/bass_webrtc/core/srtp_receiver.h"

#include <stdlib.h>

typedef struct {
    bw_srtp_keys rtp, rtcp;
    bw_srtp_streams rtp_streams, rtcp_streams;
} endpoint;

endpoint *open_endpoint(uint32_t profile, const uint8_t *master) {
    endpoint *opened = calloc(1, sizeof *opened);
    if (!bw_srtp_keys_init(&opened->rtp, BW_SRTP_RTP, profile, master) ||
        !bw_srtp_keys_init(&opened->rtcp, BW_SRTP_RTCP, profile, master))
        abort();
    return opened;
}

void close_endpoint(endpoint *opened) {
    bw_srtp_keys_destroy(&opened->rtp);
    bw_srtp_keys_destroy(&opened->rtcp);
    bw_srtp_streams_destroy(&opened->rtp_streams);
    bw_srtp_streams_destroy(&opened->rtcp_streams);
    free(opened);
}

int32_t protect_rtp(endpoint *from, uint8_t *data, uint32_t length, uint64_t index) {
    bw_rtp_packet packet;
    bool done = bw_rtp_parse_header(&packet, data, length) &&
                bw_srtp_protect_rtp(&from->rtp, data, (uint32_t)(packet.payload - data), &length, index);
    return done ? (int32_t)length : -1;
}

int32_t protect_rtcp(endpoint *from, uint8_t *data, uint32_t length, uint32_t index) {
    return bw_srtp_protect_rtcp(&from->rtcp, data, &length, index) ? (int32_t)length : -1;
}

int32_t receive_rtp(endpoint *to, uint8_t *data, uint32_t length) {
    bw_rtp_packet packet;
    bool done = bw_rtp_parse_header(&packet, data, length) &&
                bw_srtp_receive_rtp(&to->rtp_streams, &to->rtp, data, (uint32_t)(packet.payload - data), &length);
    return done ? (int32_t)length : -1;
}

int32_t receive_rtcp(endpoint *to, uint8_t *data, uint32_t length) {
    return bw_srtp_receive_rtcp(&to->rtcp_streams, &to->rtcp, data, &length) ? (int32_t)length : -1;
}
