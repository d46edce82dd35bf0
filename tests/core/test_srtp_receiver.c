/* What a receiver of SRTP accepts: roll-over counters, replays, SSRCs (RFC 3711, 3.3). */
#include "srtp_packets.h"

typedef struct {
    bw_srtp_keys rtp, rtcp;
    bw_srtp_streams streams;
} receiver;

static receiver open_receiver(void) {
    return (receiver){.rtp = make_keys(BW_SRTP_RTP, BW_SRTP_AEAD_AES_128_GCM),
                      .rtcp = make_keys(BW_SRTP_RTCP, BW_SRTP_AEAD_AES_128_GCM)};
}

static void close_receiver(receiver *opened) {
    bw_srtp_keys_destroy(&opened->rtp);
    bw_srtp_keys_destroy(&opened->rtcp);
    bw_srtp_streams_destroy(&opened->streams);
}

static bool take_from(receiver *to, uint32_t ssrc, uint64_t index) {
    srtp_packet plain = make_rtp(index, ssrc, 0, -1, 8);
    srtp_packet wire = protect_rtp(&to->rtp, &plain, index);
    bool taken = bw_srtp_receive_rtp(&to->streams, &to->rtp, wire.bytes, wire.header_bytes, &wire.length);
    CHECK(!taken || is_same(&wire, &plain));
    return taken;
}

static bool take(receiver *to, uint64_t index) { return take_from(to, PACKET_SSRC, index); }

static bool take_report(receiver *to, uint32_t ssrc, uint32_t index) {
    srtp_packet plain = make_rtcp(ssrc, 32);
    srtp_packet wire = protect_rtcp(&to->rtcp, &plain, index);
    bool taken = bw_srtp_receive_rtcp(&to->streams, &to->rtcp, wire.bytes, &wire.length);
    CHECK(!taken || is_same(&wire, &plain));
    return taken;
}

static bool take_forged(receiver *to, uint64_t index) {
    srtp_packet plain = make_rtp(index, PACKET_SSRC, 0, -1, 8);
    srtp_packet wire = protect_rtp(&to->rtp, &plain, index);
    wire.bytes[wire.length - 1] ^= 1;
    return bw_srtp_receive_rtp(&to->streams, &to->rtp, wire.bytes, wire.header_bytes, &wire.length);
}

static uint64_t highest(receiver *of) { return bw_srtp_find_stream(&of->streams, PACKET_SSRC)->highest; }

/* Covers SE9. Each wrap is crossed by a gap of another size, up to the largest that cannot be a step back. */
static void test_roll_over_counter_follows_gaps_across_the_wrap(void) {
    const uint32_t gaps[] = {1, 2, 3, 100, 1023, 1024, 1025, 10000, 32766, 32767};
    const uint64_t count = sizeof gaps / sizeof gaps[0];
    receiver r = open_receiver();
    for (uint64_t wrap = 0; wrap < count; wrap++) {
        uint64_t last = wrap << 16 | 0xFFFF;
        CHECK(take(&r, last - 32768));
        CHECK(take(&r, last));
        CHECK(take(&r, last + gaps[wrap]));
        CHECK_EQ(highest(&r), last + gaps[wrap]);
    }
    CHECK_EQ(highest(&r) >> 16, count);
    CHECK(take(&r, (count << 16) + 32767));
    CHECK(take(&r, (count << 16) + 65535));
    CHECK(!take(&r, (count << 16) + 65535 + 32768)); /* taken for one of before */
    close_receiver(&r);
}

/* Covers SE9: in any order and with loss, on both sides of each of three wraps. */
static void test_reordered_packets_are_received_across_the_wrap(void) {
    receiver r = open_receiver();
    uint32_t random = 1;
    CHECK(take(&r, 65535 - 2000));
    for (uint64_t block = 65535 - 1999; block < 3 * 65536 + 2000; block += 500) {
        uint64_t order[500];
        for (uint32_t i = 0; i < 500; i++)
            order[i] = block + i;
        for (uint32_t i = 499; i > 0; i--) {
            random = random * 1664525 + 1013904223;
            uint32_t other = (random >> 8) % (i + 1);
            uint64_t swap = order[i];
            order[i] = order[other];
            order[other] = swap;
        }
        for (uint32_t i = 0; i < 450; i++) { /* 10 % are lost */
            CHECK(take(&r, order[i]));
            CHECK(!take(&r, order[i]));
            CHECK(!take(&r, order[i / 2]));
        }
    }
    CHECK_EQ(highest(&r) >> 16, 3);
    close_receiver(&r);
}

/* A packet from before the wrap comes after the first ones behind it; none is known from before roll-over counter 0. */
static void test_late_packets_are_received_with_the_counter_of_before_the_wrap(void) {
    receiver r = open_receiver();
    CHECK(take(&r, 65530));
    CHECK(take(&r, 65536 + 5));
    for (uint64_t index = 65531; index < 65536 + 5; index++)
        CHECK(take(&r, index));
    for (uint64_t index = 65530; index <= 65536 + 5; index++)
        CHECK(!take(&r, index));
    CHECK(take(&r, 65536 + 6));
    close_receiver(&r);
    r = open_receiver();
    CHECK(take(&r, 5));
    CHECK(take(&r, 60000)); /* a step forward, because nothing can be from before 0 */
    CHECK_EQ(highest(&r), 60000);
    close_receiver(&r);
}

/* Covers SE9. */
static void test_replay_window_has_1024_packets(void) {
    const uint64_t newest[] = {5000, 65536 + 3, 65536 + 1023, 200000};
    for (int i = 0; i < 4; i++) {
        receiver r = open_receiver();
        CHECK(take(&r, newest[i] > 60000 ? 60000 : 1));
        for (uint64_t index = 60000; index < newest[i]; index += 20000)
            take(&r, index);
        CHECK(take(&r, newest[i]));
        CHECK(!take(&r, newest[i] - 1024)); /* not received before, but too old */
        CHECK(take(&r, newest[i] - 1023));
        CHECK(!take(&r, newest[i] - 1023));
        CHECK(take(&r, newest[i] - 1));
        CHECK(!take(&r, newest[i] - 1));
        CHECK(take(&r, newest[i] + 1)); /* the window moves */
        CHECK(!take(&r, newest[i] - 1023));
        CHECK(take(&r, newest[i] - 1022));
        close_receiver(&r);
    }
}

/* Indexes share their bits with those 1024 later. */
static void test_bits_of_the_window_are_cleared_when_it_moves(void) {
    const uint64_t steps[] = {1, 2, 63, 64, 65, 1000, 1022, 1023, 1024, 1025, 2048, 5000, 20000};
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        receiver r = open_receiver();
        for (uint64_t index = 0; index < 2048; index++)
            CHECK(take(&r, index));
        uint64_t newest = 2047 + steps[i];
        CHECK(take(&r, newest));
        for (uint64_t back = 1; back < 1024; back++)
            CHECK_EQ(take(&r, newest - back), newest - back > 2047);
        close_receiver(&r);
    }
}

static void test_forged_packets_move_nothing(void) {
    receiver r = open_receiver();
    CHECK(!take_forged(&r, 5));
    CHECK(r.streams.streams == NULL);
    CHECK(take(&r, 65000));
    bw_srtp_stream before = r.streams.streams[0];
    for (uint64_t index = 0; index < 200000; index += 99)
        CHECK(!take_forged(&r, index));
    CHECK_EQ(memcmp(&before, r.streams.streams, sizeof before), 0);
    CHECK(take(&r, 65001));
    close_receiver(&r);
}

/* Covers OP16 and SE9: each with roll-over counter and window of its own; none is displaced. */
static void test_each_ssrc_has_a_stream_of_its_own(void) {
    receiver r = open_receiver();
    for (uint32_t round = 0; round < 4; round++)
        for (uint32_t ssrc = 0; ssrc < BW_MAX_SSRCS; ssrc++)
            CHECK(take_from(&r, ssrc, 500 * ssrc + 30000 * round));
    CHECK(!take_from(&r, BW_MAX_SSRCS, 1));
    CHECK(!take_from(&r, 0xFFFFFFFF, 1));
    CHECK_EQ(r.streams.count, BW_MAX_SSRCS);
    for (uint32_t ssrc = 0; ssrc < BW_MAX_SSRCS; ssrc++) {
        CHECK_EQ(bw_srtp_find_stream(&r.streams, ssrc)->highest, 500 * ssrc + 90000);
        CHECK(!take_from(&r, ssrc, 500 * ssrc + 90000));
        CHECK(take_from(&r, ssrc, 500 * ssrc + 90001));
    }
    close_receiver(&r);
}

/* Covers SE9: the index is in the packet, so any step is possible. */
static void test_rtcp_is_received_once_whatever_the_step_of_its_index(void) {
    const uint32_t indexes[] = {0, 1, 3, 2, 1000, 70000, 69000, 0x7FFFFFFE, 0x7FFFFFFF, 0x7FFFFFFF - 1023};
    receiver r = open_receiver();
    for (size_t i = 0; i < sizeof indexes / sizeof indexes[0]; i++) {
        CHECK(take_report(&r, 7, indexes[i]));
        for (size_t k = 0; k <= i; k++)
            CHECK(!take_report(&r, 7, indexes[k]));
    }
    CHECK(!take_report(&r, 7, 0x7FFFFFFF - 1024));
    CHECK(take_report(&r, 8, 0));
    close_receiver(&r);
}

static void test_number_of_rtcp_ssrcs_is_limited(void) {
    receiver r = open_receiver();
    for (uint32_t ssrc = 0; ssrc < 2 * BW_MAX_SSRCS; ssrc++)
        CHECK_EQ(take_report(&r, ssrc, 1), ssrc < BW_MAX_SSRCS);
    CHECK_EQ(r.streams.count, BW_MAX_SSRCS);
    close_receiver(&r);
}

int main(void) {
    RUN(test_roll_over_counter_follows_gaps_across_the_wrap);
    RUN(test_reordered_packets_are_received_across_the_wrap);
    RUN(test_late_packets_are_received_with_the_counter_of_before_the_wrap);
    RUN(test_replay_window_has_1024_packets);
    RUN(test_bits_of_the_window_are_cleared_when_it_moves);
    RUN(test_forged_packets_move_nothing);
    RUN(test_each_ssrc_has_a_stream_of_its_own);
    RUN(test_rtcp_is_received_once_whatever_the_step_of_its_index);
    RUN(test_number_of_rtcp_ssrcs_is_limited);
    return 0;
}
