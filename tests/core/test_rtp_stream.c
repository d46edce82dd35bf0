/* Stream identification: wraps, duplicates, other SSRCs, other timelines. */
#include "check.h"
#include "rtp_stream.h"

#include <string.h>

#define MS_NS 1000000LL

static int64_t sequence, timestamp;

static bw_stream_result take(bw_rtp_stream *stream, uint32_t ssrc, uint16_t number, uint32_t time, int64_t at_ms) {
    bw_rtp_packet packet = {.ssrc = ssrc, .sequence = number, .timestamp = time};
    return bw_rtp_stream_take(stream, &packet, at_ms * MS_NS, &sequence, &timestamp);
}

static bw_rtp_stream started(void) {
    bw_rtp_stream stream;
    bw_rtp_stream_reset(&stream);
    CHECK_EQ(take(&stream, 1, 65534, 0xFFFFFFFF - 959, 0), BW_STREAM_FIRST);
    return stream;
}

/* Covers OP11. */
static void test_sequence_and_timestamp_are_unwrapped(void) {
    bw_rtp_stream stream = started();
    int64_t first_sequence = sequence, first_timestamp = timestamp;
    for (uint32_t i = 1; i < 200000; i++) {
        uint32_t time = 0xFFFFFFFF - 959 + i * 960;
        CHECK_EQ(take(&stream, 1, (uint16_t)(65534 + i), time, 20 * (int64_t)i), BW_STREAM_NEXT);
        CHECK_EQ(sequence, first_sequence + i);
        CHECK_EQ(timestamp, first_timestamp + 960 * (int64_t)i);
    }
}

/* Covers OP13. */
static void test_repeated_packet_is_duplicate(void) {
    bw_rtp_stream stream = started();
    uint32_t base = 0xFFFFFFFF - 959;
    CHECK_EQ(take(&stream, 1, 65534, base, 1), BW_STREAM_DUPLICATE);
    CHECK_EQ(take(&stream, 1, 1, base + 3 * 960, 60), BW_STREAM_NEXT);
    CHECK_EQ(take(&stream, 1, 0, base + 2 * 960, 61), BW_STREAM_NEXT);
    CHECK_EQ(take(&stream, 1, 0, base + 2 * 960, 62), BW_STREAM_DUPLICATE);
    CHECK(bw_rtp_stream_has_seen(&stream, sequence));
    CHECK(!bw_rtp_stream_has_seen(&stream, sequence - 1));
    CHECK_EQ(take(&stream, 1, 65535, base + 960, 63), BW_STREAM_NEXT);
    CHECK_EQ(take(&stream, 1, 65534, base, 64), BW_STREAM_DUPLICATE);
}

static void test_gap_larger_than_window_resets_duplicate_detection(void) {
    bw_rtp_stream stream = started();
    uint32_t base = 0xFFFFFFFF - 959;
    CHECK_EQ(take(&stream, 1, 61, base + 63 * 960, 1260), BW_STREAM_NEXT);
    CHECK_EQ(take(&stream, 1, 65534, base, 1261), BW_STREAM_DUPLICATE);
    CHECK_EQ(take(&stream, 1, (uint16_t)(65534 + 127), base + 127 * 960, 2540), BW_STREAM_NEXT);
    CHECK(!bw_rtp_stream_has_seen(&stream, 65534));
    CHECK(!bw_rtp_stream_has_seen(&stream, 65534 + 63));
}

/* Covers OP16. */
static void test_new_ssrc_takes_over_with_second_consecutive_packet(void) {
    bw_rtp_stream stream = started();
    CHECK_EQ(take(&stream, 2, 7, 5000, 20), BW_STREAM_UNRELATED);
    CHECK_EQ(take(&stream, 2, 8, 5960, 40), BW_STREAM_FIRST);
    CHECK_EQ(timestamp, 5960);
    CHECK_EQ(take(&stream, 2, 9, 6920, 60), BW_STREAM_NEXT);
}

/* Covers OP16. */
static void test_alternating_ssrcs_do_not_displace_each_other(void) {
    bw_rtp_stream stream = started();
    for (uint32_t i = 1; i < 100; i++) {
        uint32_t time = 0xFFFFFFFF - 959 + i * 960;
        CHECK_EQ(take(&stream, 2, (uint16_t)i, i * 960, 20 * (int64_t)i - 10), BW_STREAM_UNRELATED);
        CHECK_EQ(take(&stream, 1, (uint16_t)(65534 + i), time, 20 * (int64_t)i), BW_STREAM_NEXT);
    }
}

static void test_single_implausible_timestamp_is_ignored(void) {
    bw_rtp_stream stream = started();
    uint32_t base = 0xFFFFFFFF - 959;
    CHECK_EQ(take(&stream, 1, 65535, base + 0x40000000, 20), BW_STREAM_UNRELATED);
    CHECK_EQ(take(&stream, 1, 0, base + 1920, 40), BW_STREAM_NEXT);
}

static void test_restarted_sender_is_followed(void) {
    bw_rtp_stream stream = started();
    CHECK_EQ(take(&stream, 1, 500, 0x12345678, 1000), BW_STREAM_UNRELATED);
    CHECK_EQ(take(&stream, 1, 501, 0x12345678 + 960, 1020), BW_STREAM_FIRST);
}

/* Covers OP12. */
static void test_stream_continues_after_long_silence(void) {
    bw_rtp_stream stream = started();
    uint32_t hour = 3600u * 48000u;
    CHECK_EQ(take(&stream, 1, 65535, 0xFFFFFFFF - 959 + hour, 3600 * 1000), BW_STREAM_NEXT);
}

int main(void) {
    RUN(test_sequence_and_timestamp_are_unwrapped);
    RUN(test_repeated_packet_is_duplicate);
    RUN(test_gap_larger_than_window_resets_duplicate_detection);
    RUN(test_new_ssrc_takes_over_with_second_consecutive_packet);
    RUN(test_alternating_ssrcs_do_not_displace_each_other);
    RUN(test_single_implausible_timestamp_is_ignored);
    RUN(test_restarted_sender_is_followed);
    RUN(test_stream_continues_after_long_silence);
    return 0;
}
