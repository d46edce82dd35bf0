/* Incoming RTP of one peer: accepted SSRCs, authenticity, report block values. Time is an argument. */
#include "engine_fixture.h"

#include "../../src/bass_webrtc/core/incoming.h"

#define SECOND_NS 1000000000LL
#define PAYLOAD_BYTES 8

static bw_reception reception;

typedef struct {
    bw_incoming *incoming;
    bw_protector *protector;
    uint64_t index;
    uint32_t timestamp;
} sender;

static bw_peer_config receiving_config(void) {
    bw_peer_config config = peer_config(BW_SRTP_AEAD_AES_128_GCM);
    config.receive = 1;
    config.receive_ssrcs[0] = FIXTURE_SSRC;
    return config;
}

static sender open_sender(void) {
    bw_peer_config config = receiving_config();
    memset(&reception, 0, sizeof reception);
    sender opened = {.incoming = bw_incoming_new(&config, &reception),
                     .protector = bw_protector_new(config.srtp_profile, config.remote_key),
                     .index = 65530}; /* wraps soon */
    CHECK(opened.incoming != NULL);
    return opened;
}

static void close_sender(sender *opened) {
    bw_incoming_free(opened->incoming);
    bw_protector_free(opened->protector);
}

static uint32_t make_packet(sender *from, uint32_t ssrc, uint64_t index, uint8_t *bytes) {
    int length = BW_RTP_HEADER_BYTES + PAYLOAD_BYTES;
    memset(bytes, 0, 64);
    bytes[0] = 0x80;
    bytes[1] = FIXTURE_PAYLOAD_TYPE;
    bytes[2] = (uint8_t)(index >> 8);
    bytes[3] = (uint8_t)index;
    for (int i = 0; i < 4; i++) {
        bytes[4 + i] = (uint8_t)(from->timestamp >> (24 - 8 * i));
        bytes[8 + i] = (uint8_t)(ssrc >> (24 - 8 * i));
    }
    CHECK(bw_protect(from->protector, bytes, &length, index));
    return (uint32_t)length;
}

static bw_incoming_result take(sender *from, uint32_t ssrc, uint64_t index, int64_t now_ns) {
    uint8_t bytes[64];
    uint32_t length = make_packet(from, ssrc, index, bytes);
    return bw_incoming_take(from->incoming, bytes, &length, now_ns);
}

static uint64_t received(void) { return bw_read_counter(&reception.packets_received); }

static int64_t lost(void) {
    return (int64_t)(bw_read_counter(&reception.highest_sequence) - bw_read_counter(&reception.first_sequence) + 1 -
                     received());
}

/* Covers RT4 and SE9: lost is expected minus received, across the wrap (RFC 3550, A.3); replays are not counted. */
static void test_loss_is_counted_across_sequence_wrap(void) {
    sender s = open_sender();
    for (int i = 0; i < 20; i++, s.index++) {
        if (i == 7 || i == 8)
            continue;
        CHECK_EQ(take(&s, FIXTURE_SSRC, s.index, i * SECOND_NS / 50), BW_INCOMING_AUTHENTIC);
    }
    CHECK_EQ(received(), 18);
    CHECK_EQ(lost(), 2);
    CHECK_EQ(bw_read_counter(&reception.highest_sequence) - bw_read_counter(&reception.first_sequence), 19);
    CHECK_EQ(take(&s, FIXTURE_SSRC, s.index - 1, SECOND_NS), BW_INCOMING_REJECTED);   /* replayed */
    CHECK_EQ(take(&s, FIXTURE_SSRC, s.index - 12, SECOND_NS), BW_INCOMING_AUTHENTIC); /* late, not lost */
    CHECK_EQ(lost(), 1);
    close_sender(&s);
}

/* RFC 3550, A.8: packets that arrive as far apart as they were sent have no jitter; a shift of 10 ms adds 1/16 of
 * it. */
static void test_jitter_is_change_of_transit_time(void) {
    sender s = open_sender();
    for (int i = 0; i < 100; i++, s.timestamp += 960)
        CHECK_EQ(take(&s, FIXTURE_SSRC, s.index++, i * SECOND_NS / 50), BW_INCOMING_AUTHENTIC);
    CHECK_EQ(bw_read_counter(&reception.jitter_ticks_16) / 16, 0);
    CHECK_EQ(take(&s, FIXTURE_SSRC, s.index++, 100 * SECOND_NS / 50 + SECOND_NS / 100), BW_INCOMING_AUTHENTIC);
    CHECK_NEAR(bw_read_counter(&reception.jitter_ticks_16) / 16.0, 480 / 16.0, 1);
    close_sender(&s);
}

/* Covers SE10: no byte of a packet may be changed. */
static void test_tampered_packet_is_rejected_without_effect(void) {
    sender s = open_sender();
    uint8_t bytes[64], copy[64];
    uint32_t length = make_packet(&s, FIXTURE_SSRC, s.index, bytes);
    for (uint32_t i = 0; i < length; i++) {
        uint32_t copy_length = length;
        memcpy(copy, bytes, sizeof copy);
        copy[i] ^= 1;
        CHECK(bw_incoming_take(s.incoming, copy, &copy_length, 0) != BW_INCOMING_AUTHENTIC);
    }
    CHECK_EQ(received(), 0);
    CHECK_EQ(bw_incoming_take(s.incoming, bytes, &length, 0), BW_INCOMING_AUTHENTIC);
    CHECK_EQ(length, BW_RTP_HEADER_BYTES + PAYLOAD_BYTES);
    close_sender(&s);
}

static srtp_t session_for(uint32_t ssrc) {
    bw_peer_config config = receiving_config();
    return bw_srtp_session(config.srtp_profile, config.remote_key, ssrc, false);
}

/* Covers OP16: a session is requested once for an unannounced SSRC, which is received after the session was added. */
static void test_session_is_requested_for_unannounced_ssrc(void) {
    sender s = open_sender();
    CHECK_EQ(take(&s, 77, s.index, 0), BW_INCOMING_NEW_SSRC);
    CHECK_EQ(s.incoming->requested_ssrc, 77);
    CHECK_EQ(take(&s, 78, s.index, 0), BW_INCOMING_REJECTED); /* one request at a time */
    CHECK(bw_incoming_add_stream(s.incoming, 77, session_for(77)) == NULL);
    CHECK_EQ(take(&s, 77, s.index + 1, 0), BW_INCOMING_AUTHENTIC);
    CHECK_EQ(atomic_load(&reception.ssrc), 77);
    CHECK_EQ(lost(), 0); /* another stream has its own count */
    srtp_t again = session_for(77);
    CHECK(bw_incoming_add_stream(s.incoming, 77, again) == again); /* the SSRC already has a session */
    srtp_dealloc(again);
    close_sender(&s);
}

/* A thousand SSRCs create only four sessions, and a stream being received keeps its session. */
static void test_thousand_ssrcs_do_not_displace_active_stream(void) {
    sender s = open_sender();
    for (uint32_t i = 0; i < 1000; i++) {
        int64_t now_ns = bw_now_ns();
        CHECK_EQ(take(&s, FIXTURE_SSRC, s.index++, now_ns), BW_INCOMING_AUTHENTIC);
        if (take(&s, 1000 + i, s.index, now_ns) == BW_INCOMING_NEW_SSRC) {
            srtp_t unused = bw_incoming_add_stream(s.incoming, 1000 + i, session_for(1000 + i));
            if (unused != NULL)
                srtp_dealloc(unused);
        }
    }
    CHECK_EQ(received(), 1000);
    close_sender(&s);
}

static void test_malformed_rtp_is_rejected(void) {
    sender s = open_sender();
    uint8_t bytes[64] = {0x8F, FIXTURE_PAYLOAD_TYPE}; /* announces 15 CSRCs but ends before them */
    uint32_t length = 12;
    CHECK_EQ(bw_incoming_take(s.incoming, bytes, &length, 0), BW_INCOMING_REJECTED);
    length = 1;
    CHECK_EQ(bw_incoming_take(s.incoming, bytes, &length, 0), BW_INCOMING_REJECTED);
    close_sender(&s);
}

int main(void) {
    RUN(test_loss_is_counted_across_sequence_wrap);
    RUN(test_jitter_is_change_of_transit_time);
    RUN(test_tampered_packet_is_rejected_without_effect);
    RUN(test_session_is_requested_for_unannounced_ssrc);
    RUN(test_thousand_ssrcs_do_not_displace_active_stream);
    RUN(test_malformed_rtp_is_rejected);
    return 0;
}
