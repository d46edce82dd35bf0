/* Which packets belong to the stream: wraps, duplicates, other SSRCs, other timelines. */
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

static void test_op11_sequence_and_timestamp_wrap(void) {
    bw_rtp_stream stream = started();
    int64_t first_sequence = sequence, first_timestamp = timestamp;
    for (uint32_t i = 1; i < 200000; i++) {
        uint32_t time = 0xFFFFFFFF - 959 + i * 960;
        CHECK_EQ(take(&stream, 1, (uint16_t)(65534 + i), time, 20 * (int64_t)i), BW_STREAM_NEXT);
        CHECK_EQ(sequence, first_sequence + i);
        CHECK_EQ(timestamp, first_timestamp + 960 * (int64_t)i);
    }
}

static void test_op13_a_packet_that_was_here_is_a_duplicate(void) {
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

static void test_a_gap_larger_than_the_window_forgets_no_more_than_it_must(void) {
    bw_rtp_stream stream = started();
    uint32_t base = 0xFFFFFFFF - 959;
    CHECK_EQ(take(&stream, 1, 61, base + 63 * 960, 1260), BW_STREAM_NEXT);
    CHECK_EQ(take(&stream, 1, 65534, base, 1261), BW_STREAM_DUPLICATE);
    CHECK_EQ(take(&stream, 1, (uint16_t)(65534 + 127), base + 127 * 960, 2540), BW_STREAM_NEXT);
    CHECK(!bw_rtp_stream_has_seen(&stream, 65534));
    CHECK(!bw_rtp_stream_has_seen(&stream, 65534 + 63));
}

static void test_op16_a_new_ssrc_takes_over_with_its_second_packet_in_a_row(void) {
    bw_rtp_stream stream = started();
    CHECK_EQ(take(&stream, 2, 7, 5000, 20), BW_STREAM_UNRELATED);
    CHECK_EQ(take(&stream, 2, 8, 5960, 40), BW_STREAM_FIRST);
    CHECK_EQ(timestamp, 5960);
    CHECK_EQ(take(&stream, 2, 9, 6920, 60), BW_STREAM_NEXT);
}

static void test_op16_two_ssrcs_in_turn_do_not_throw_each_other_out(void) {
    bw_rtp_stream stream = started();
    for (uint32_t i = 1; i < 100; i++) {
        uint32_t time = 0xFFFFFFFF - 959 + i * 960;
        CHECK_EQ(take(&stream, 2, (uint16_t)i, i * 960, 20 * (int64_t)i - 10), BW_STREAM_UNRELATED);
        CHECK_EQ(take(&stream, 1, (uint16_t)(65534 + i), time, 20 * (int64_t)i), BW_STREAM_NEXT);
    }
}

static void test_a_single_timestamp_without_sense_is_left_out(void) {
    bw_rtp_stream stream = started();
    uint32_t base = 0xFFFFFFFF - 959;
    CHECK_EQ(take(&stream, 1, 65535, base + 0x40000000, 20), BW_STREAM_UNRELATED);
    CHECK_EQ(take(&stream, 1, 0, base + 1920, 40), BW_STREAM_NEXT);
}

static void test_a_sender_that_starts_anew_is_followed(void) {
    bw_rtp_stream stream = started();
    CHECK_EQ(take(&stream, 1, 500, 0x12345678, 1000), BW_STREAM_UNRELATED);
    CHECK_EQ(take(&stream, 1, 501, 0x12345678 + 960, 1020), BW_STREAM_FIRST);
}

static void test_op12_a_long_silence_is_the_same_stream(void) {
    bw_rtp_stream stream = started();
    uint32_t hour = 3600u * 48000u;
    CHECK_EQ(take(&stream, 1, 65535, 0xFFFFFFFF - 959 + hour, 3600 * 1000), BW_STREAM_NEXT);
}

int main(void) {
    RUN(test_op11_sequence_and_timestamp_wrap);
    RUN(test_op13_a_packet_that_was_here_is_a_duplicate);
    RUN(test_a_gap_larger_than_the_window_forgets_no_more_than_it_must);
    RUN(test_op16_a_new_ssrc_takes_over_with_its_second_packet_in_a_row);
    RUN(test_op16_two_ssrcs_in_turn_do_not_throw_each_other_out);
    RUN(test_a_single_timestamp_without_sense_is_left_out);
    RUN(test_a_sender_that_starts_anew_is_followed);
    RUN(test_op12_a_long_silence_is_the_same_stream);
    return 0;
}
