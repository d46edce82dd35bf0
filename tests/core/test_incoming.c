/* Incoming RTP and RTCP of one peer: authenticity, accepted SSRCs, report block values. Time is an argument. */
#include "engine_fixture.h"

#include "../../src/bass_webrtc/core/incoming.h"

#define SECOND_NS 1000000000LL
#define PAYLOAD_BYTES 8

static bw_reception reception;

typedef struct {
    bw_incoming *incoming;
    bw_srtp_keys srtp;
    uint64_t index;
    uint32_t timestamp;
    uint8_t payload_type;
    uint8_t padding; /* bytes, their count included; 0: none */
} sender;

static bw_peer_config receiving_config(void) {
    bw_peer_config config = peer_config(BW_SRTP_AEAD_AES_128_GCM);
    config.receive = 1;
    config.receive_payload_type = FIXTURE_PAYLOAD_TYPE;
    config.receive_red_payload_type = FIXTURE_RED;
    return config;
}

static sender open_sender(void) {
    bw_peer_config config = receiving_config();
    memset(&reception, 0, sizeof reception);
    sender opened = {.incoming = bw_incoming_new(&config, &reception),
                     .index = 65530, /* wraps soon */
                     .payload_type = FIXTURE_PAYLOAD_TYPE};
    CHECK(opened.incoming != NULL);
    CHECK(bw_srtp_keys_init(&opened.srtp, BW_SRTP_RTP, config.srtp_profile, config.remote_key));
    return opened;
}

static void close_sender(sender *opened) {
    bw_incoming_free(opened->incoming);
    bw_srtp_keys_destroy(&opened->srtp);
}

static uint32_t make_packet(sender *from, uint32_t ssrc, uint64_t index, uint8_t *bytes) {
    uint32_t length = BW_RTP_HEADER_BYTES + PAYLOAD_BYTES;
    memset(bytes, 0, 64);
    bytes[0] = from->padding > 0 ? 0xA0 : 0x80;
    bytes[length - 1] = from->padding;
    bytes[1] = from->payload_type;
    bytes[2] = (uint8_t)(index >> 8);
    bytes[3] = (uint8_t)index;
    for (int i = 0; i < 4; i++) {
        bytes[4 + i] = (uint8_t)(from->timestamp >> (24 - 8 * i));
        bytes[8 + i] = (uint8_t)(ssrc >> (24 - 8 * i));
    }
    CHECK(bw_srtp_protect_rtp(&from->srtp, bytes, BW_RTP_HEADER_BYTES, &length, index));
    return length;
}

static bw_rtp_result result_of(sender *from, uint32_t ssrc, uint64_t index, int64_t now_ns) {
    uint8_t bytes[64];
    uint32_t length = make_packet(from, ssrc, index, bytes);
    return bw_incoming_take_rtp(from->incoming, bytes, &length, now_ns);
}

static bool take(sender *from, uint32_t ssrc, uint64_t index, int64_t now_ns) {
    return result_of(from, ssrc, index, now_ns) == BW_RTP_MEDIA;
}

/* A packet of somebody who does not have the key. */
static bool take_forged(sender *from, uint32_t ssrc, uint64_t index, int64_t now_ns) {
    uint8_t bytes[64];
    uint32_t length = make_packet(from, ssrc, index, bytes);
    bytes[length - 1] ^= 1;
    return bw_incoming_take_rtp(from->incoming, bytes, &length, now_ns) != BW_RTP_REFUSED;
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
        CHECK(take(&s, FIXTURE_SSRC, s.index, i * SECOND_NS / 50));
    }
    CHECK_EQ(received(), 18);
    CHECK_EQ(lost(), 2);
    CHECK_EQ(bw_read_counter(&reception.highest_sequence) - bw_read_counter(&reception.first_sequence), 19);
    CHECK(!take(&s, FIXTURE_SSRC, s.index - 1, SECOND_NS)); /* replayed */
    CHECK(take(&s, FIXTURE_SSRC, s.index - 12, SECOND_NS)); /* late, not lost */
    CHECK_EQ(lost(), 1);
    close_sender(&s);
}

/* RFC 3550, A.8: packets that arrive as far apart as they were sent have no jitter; a shift of 10 ms adds 1/16 of
 * it. */
static void test_jitter_is_change_of_transit_time(void) {
    sender s = open_sender();
    for (int i = 0; i < 100; i++, s.timestamp += 960)
        CHECK(take(&s, FIXTURE_SSRC, s.index++, i * SECOND_NS / 50));
    CHECK_EQ(bw_read_counter(&reception.jitter_ticks_16) / 16, 0);
    CHECK(take(&s, FIXTURE_SSRC, s.index++, 100 * SECOND_NS / 50 + SECOND_NS / 100));
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
        CHECK(!bw_incoming_take_rtp(s.incoming, copy, &copy_length, 0));
    }
    CHECK_EQ(received(), 0);
    CHECK_EQ(s.incoming->rtp_streams.count, 0);
    CHECK(bw_incoming_take_rtp(s.incoming, bytes, &length, 0));
    CHECK_EQ(length, BW_RTP_HEADER_BYTES + PAYLOAD_BYTES);
    close_sender(&s);
}

static bool has_stream(const bw_srtp_streams *streams, uint32_t ssrc) {
    return bw_srtp_find_stream(streams, ssrc) != NULL;
}

static void forge_many(sender *s, int64_t now_ns) {
    for (uint32_t ssrc = 0; ssrc < 1000; ssrc++) {
        CHECK(!take_forged(s, ssrc, ssrc * 7, now_ns));
        CHECK(!take_forged(s, FIXTURE_SSRC, s->index + ssrc * 65, now_ns));
    }
    CHECK_EQ(s->incoming->refused, 2000);
    s->incoming->refused = 0;
}

/* Forged packets, with SSRC 0 and any other, before the first authentic packet and in a pause. */
static void test_forged_packets_change_nothing(void) {
    sender s = open_sender();
    bw_incoming before = *s.incoming;
    forge_many(&s, 0);
    CHECK_EQ(memcmp(&before, s.incoming, sizeof before), 0);
    for (int i = 0; i < 20; i++) /* now with roll-over counter 1 */
        CHECK(take(&s, FIXTURE_SSRC, s.index++, 0));
    before = *s.incoming;
    bw_srtp_stream stream_before = *bw_srtp_find_stream(&s.incoming->rtp_streams, FIXTURE_SSRC);
    bw_reception reception_before = reception;
    forge_many(&s, 60 * SECOND_NS);
    CHECK_EQ(memcmp(&before, s.incoming, sizeof before), 0);
    CHECK_EQ(memcmp(&stream_before, s.incoming->rtp_streams.streams, sizeof stream_before), 0);
    CHECK_EQ(memcmp(&reception_before, &reception, sizeof reception), 0);
    for (uint32_t ssrc = 0; ssrc < 1000; ssrc++)
        CHECK(!has_stream(&s.incoming->rtp_streams, ssrc));
    CHECK(!take(&s, FIXTURE_SSRC, s.index - 1, 61 * SECOND_NS)); /* the replay window is as before, too */
    CHECK(take(&s, FIXTURE_SSRC, s.index++, 61 * SECOND_NS));
    close_sender(&s);
}

static void test_zero_is_a_valid_ssrc(void) {
    sender s = open_sender();
    for (int i = 0; i < 20; i++)
        CHECK(take(&s, 0, s.index++, 0));
    CHECK_EQ(received(), 20);
    CHECK_EQ(lost(), 0);
    CHECK(!take(&s, 0, s.index - 20, 0));
    close_sender(&s);
}

/* Covers OP16: each authentic SSRC is received from its first packet on, whether it was announced or not. */
static void test_new_ssrc_is_received_at_once(void) {
    sender s = open_sender();
    CHECK(take(&s, FIXTURE_SSRC, s.index, 0));
    CHECK(take(&s, 77, s.index, 0));
    CHECK_EQ(atomic_load(&reception.ssrc), 77);
    CHECK_EQ(received(), 1); /* another stream has its own count */
    CHECK_EQ(lost(), 0);
    CHECK(take(&s, FIXTURE_SSRC, s.index + 1, 0));
    close_sender(&s);
}

/* Covers OP16: an authenticated peer cannot make the memory grow, and its first stream keeps its replay window. */
static void test_number_of_ssrcs_is_limited(void) {
    sender s = open_sender();
    uint32_t accepted = 0;
    for (uint32_t i = 0; i < 1000; i++) {
        CHECK(take(&s, FIXTURE_SSRC, s.index++, i * SECOND_NS));
        accepted += take(&s, 1000 + i, 1, i * SECOND_NS);
    }
    CHECK_EQ(accepted, BW_MAX_SSRCS - 1);
    CHECK(!has_stream(&s.incoming->rtp_streams, 1000 + BW_MAX_SSRCS - 1));
    CHECK(!take(&s, FIXTURE_SSRC, s.index - 1, 1000 * SECOND_NS));
    CHECK(!take(&s, 1000, 1, 1000 * SECOND_NS));
    CHECK(take(&s, 1000, 2, 1000 * SECOND_NS));
    close_sender(&s);
}

/* Covers SE9: recorded packets are refused after any pause, roll-over or change of SSRC. */
static void test_old_packets_are_rejected_after_rollover(void) {
    sender s = open_sender();
    for (uint32_t i = 0; i < 70000; i++)
        CHECK(take(&s, FIXTURE_SSRC, s.index + i, 0));
    for (uint32_t ssrc = 1; ssrc < BW_MAX_SSRCS; ssrc++)
        CHECK(take(&s, ssrc, 1, 3600 * SECOND_NS));
    for (uint32_t i = 0; i < 70000; i += 13)
        CHECK(!take(&s, FIXTURE_SSRC, s.index + i, 7200 * SECOND_NS));
    CHECK(take(&s, FIXTURE_SSRC, s.index + 70000, 7200 * SECOND_NS));
    close_sender(&s);
}

/* Covers OP16: the roll-over counter of a new SSRC starts at 0, whatever that of the old one is. */
static void test_new_ssrc_is_received_after_wrap_of_the_old_one(void) {
    sender s = open_sender();
    for (int i = 0; i < 20; i++)
        CHECK(take(&s, FIXTURE_SSRC, s.index++, 0));
    for (uint64_t index = s.index & 0xFFFF; index < 70000; index++) /* goes on where the old one was, and wraps, too */
        CHECK(take(&s, 77, index, 0));
    CHECK(take(&s, FIXTURE_SSRC, s.index, 0));
    close_sender(&s);
}

/* New keys belong to every connection, so nothing of the old numbers matters. */
static void test_sequence_numbers_begin_anew_with_new_keys(void) {
    for (int i = 0; i < 3; i++) {
        sender s = open_sender();
        s.index = 30000 - (uint64_t)i * 10000;
        for (int k = 0; k < 100; k++)
            CHECK_EQ(result_of(&s, FIXTURE_SSRC, s.index++, 0), BW_RTP_MEDIA);
        close_sender(&s);
    }
}

/* Covers SE9: whether the new numbers look older or, more than half the numbers behind, like those after a wrap. */
static void test_restart_of_sequence_numbers_under_the_same_keys_is_noticed(void) {
    const uint64_t lasts[] = {5000, 40000, 65535 + 3000};
    for (int i = 0; i < 3; i++) {
        sender s = open_sender();
        int restarts = 0;
        CHECK(take(&s, FIXTURE_SSRC, lasts[i] > 65535 ? 65000 : lasts[i] - 1000, 0));
        CHECK(take(&s, FIXTURE_SSRC, lasts[i], 0));
        for (uint64_t index = 10; index < 500; index++) {
            bw_rtp_result result = result_of(&s, FIXTURE_SSRC, index, 0);
            CHECK(result == BW_RTP_REFUSED || result == BW_RTP_RESTARTED);
            restarts += result == BW_RTP_RESTARTED;
        }
        CHECK_EQ(restarts, 1);
        CHECK(take(&s, FIXTURE_SSRC, lasts[i] + 1, 0));
        close_sender(&s);
    }
}

static void test_repeated_and_forged_packets_are_no_restart(void) {
    sender s = open_sender();
    for (int i = 0; i < 200; i++, s.index++) {
        CHECK(take(&s, FIXTURE_SSRC, s.index, 0));
        for (uint64_t back = 0; back < 20; back++) /* a network that repeats everything */
            CHECK_EQ(result_of(&s, FIXTURE_SSRC, s.index - back % 3 * (i > 3), 0), BW_RTP_REFUSED);
    }
    for (uint64_t i = 0; i < 1000; i++) {
        CHECK(!take_forged(&s, FIXTURE_SSRC, i, 0));
        CHECK_EQ(result_of(&s, 1000, 7, 0), i == 0 ? BW_RTP_MEDIA : BW_RTP_REFUSED);
        s.incoming->refused = 0;
    }
    close_sender(&s);
}

/* OBS sends its video although the answer refuses it. */
static void test_other_payload_types_are_told_apart(void) {
    sender s = open_sender();
    for (int i = 0; i < 100; i++, s.index++) {
        s.payload_type = i % 2 ? FIXTURE_RED : FIXTURE_PAYLOAD_TYPE;
        CHECK_EQ(result_of(&s, FIXTURE_SSRC, s.index, 0), BW_RTP_MEDIA);
        s.payload_type = 96;
        CHECK_EQ(result_of(&s, 77, s.index, 0), BW_RTP_NOT_NEGOTIATED);
        s.payload_type = 0x80 | 97; /* with the marker bit */
        CHECK_EQ(result_of(&s, 78, s.index, 0), BW_RTP_NOT_NEGOTIATED);
    }
    s.payload_type = 13; /* comfort noise shares the numbers of its SSRC */
    CHECK_EQ(result_of(&s, FIXTURE_SSRC, s.index++, 0), BW_RTP_NOT_NEGOTIATED);
    s.payload_type = FIXTURE_PAYLOAD_TYPE;
    CHECK(take(&s, FIXTURE_SSRC, s.index++, 0));
    CHECK_EQ(atomic_load(&reception.ssrc), FIXTURE_SSRC);
    CHECK_EQ(received(), 102);
    CHECK_EQ(lost(), 0);
    close_sender(&s);
}

/* Covers OP13: the last byte on the wire is one of the tag and tells nothing about the padding. */
static void test_padded_packets_are_received(void) {
    sender s = open_sender();
    s.padding = PAYLOAD_BYTES - 1;
    for (int i = 0; i < 1000; i++)
        CHECK(take(&s, FIXTURE_SSRC, s.index++, 0));
    CHECK_EQ(lost(), 0);
    close_sender(&s);
}

static void test_malformed_rtp_is_rejected(void) {
    sender s = open_sender();
    uint8_t bytes[64] = {0x8F, FIXTURE_PAYLOAD_TYPE}; /* announces 15 CSRCs but ends before them */
    uint32_t length = 12;
    CHECK(!bw_incoming_take_rtp(s.incoming, bytes, &length, 0));
    length = 1;
    CHECK(!bw_incoming_take_rtp(s.incoming, bytes, &length, 0));
    close_sender(&s);
}

/* ---- RTCP */

typedef struct {
    bw_incoming *incoming;
    bw_srtcp *srtcp;
} reporter;

static reporter open_reporter(uint32_t profile) {
    bw_peer_config config = peer_config(profile);
    reporter opened = {bw_incoming_new(&config, &reception), bw_srtcp_new(profile, config.remote_key)};
    CHECK(opened.incoming != NULL && opened.srtcp != NULL);
    return opened;
}

static void close_reporter(reporter *opened) {
    bw_incoming_free(opened->incoming);
    bw_srtcp_free(opened->srtcp);
}

static uint32_t make_report(reporter *from, uint32_t ssrc, uint8_t bytes[64]) {
    memset(bytes, 0, 64);
    memcpy(bytes, (uint8_t[]){0x80, 201, 0, 1}, 4);
    for (int i = 0; i < 4; i++)
        bytes[4 + i] = (uint8_t)(ssrc >> (24 - 8 * i));
    int length = bw_srtcp_protect(from->srtcp, bytes, 8, 64);
    CHECK_COMPARE(length, >, 8);
    return (uint32_t)length;
}

static bool take_report(reporter *from, const uint8_t *bytes, uint32_t length) {
    uint8_t copy[64];
    memcpy(copy, bytes, sizeof copy);
    return bw_incoming_take_rtcp(from->incoming, copy, &length) && length == 8;
}

/* Covers SE9 and SE10. */
static void test_rtcp_is_authenticated_once(void) {
    const uint32_t profiles[] = {BW_SRTP_AEAD_AES_128_GCM, BW_SRTP_AES128_CM_SHA1_80};
    for (int profile = 0; profile < 2; profile++) {
        reporter r = open_reporter(profiles[profile]);
        uint8_t bytes[64], copy[64];
        uint32_t length = make_report(&r, 0, bytes);
        for (uint32_t i = 0; i < length; i++) {
            memcpy(copy, bytes, sizeof copy);
            copy[i] ^= 1;
            CHECK(!take_report(&r, copy, length));
            CHECK(!take_report(&r, bytes, i));
        }
        CHECK_EQ(r.incoming->rtcp_streams.count, 0);
        CHECK(take_report(&r, bytes, length));
        for (int i = 0; i < BW_REPLAY_WINDOW + 300; i++)
            CHECK(take_report(&r, copy, make_report(&r, 0, copy)));
        CHECK(!take_report(&r, bytes, length));
        CHECK(!take_report(&r, copy, length));
        close_reporter(&r);
    }
}

static void test_number_of_rtcp_ssrcs_is_limited(void) {
    reporter r = open_reporter(BW_SRTP_AES128_CM_SHA1_80);
    uint8_t bytes[64];
    uint32_t accepted = 0;
    for (uint32_t ssrc = 0; ssrc < 1000; ssrc++)
        accepted += take_report(&r, bytes, make_report(&r, ssrc, bytes));
    CHECK_EQ(accepted, BW_MAX_SSRCS);
    CHECK(!has_stream(&r.incoming->rtcp_streams, BW_MAX_SSRCS));
    CHECK(take_report(&r, bytes, make_report(&r, 0, bytes)));
    close_reporter(&r);
}

int main(void) {
    RUN(test_loss_is_counted_across_sequence_wrap);
    RUN(test_jitter_is_change_of_transit_time);
    RUN(test_tampered_packet_is_rejected_without_effect);
    RUN(test_forged_packets_change_nothing);
    RUN(test_zero_is_a_valid_ssrc);
    RUN(test_new_ssrc_is_received_at_once);
    RUN(test_number_of_ssrcs_is_limited);
    RUN(test_old_packets_are_rejected_after_rollover);
    RUN(test_new_ssrc_is_received_after_wrap_of_the_old_one);
    RUN(test_sequence_numbers_begin_anew_with_new_keys);
    RUN(test_restart_of_sequence_numbers_under_the_same_keys_is_noticed);
    RUN(test_repeated_and_forged_packets_are_no_restart);
    RUN(test_other_payload_types_are_told_apart);
    RUN(test_padded_packets_are_received);
    RUN(test_malformed_rtp_is_rejected);
    RUN(test_rtcp_is_authenticated_once);
    RUN(test_number_of_rtcp_ssrcs_is_limited);
    return 0;
}
