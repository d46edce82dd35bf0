/* Packets in the order of their time. */
#include "check.h"
#include "packet_queue.h"

#include <string.h>

static bw_packet_queue queue;

static bw_packet_result put(int64_t timestamp, bool redundant, uint8_t byte) {
    bw_packet packet = {.timestamp = timestamp, .redundant = redundant, .data = &byte, .bytes = 1};
    return bw_packet_queue_put(&queue, &packet);
}

static int64_t take(void) {
    int64_t timestamp = bw_packet_queue_first(&queue)->timestamp;
    bw_packet_queue_pop(&queue);
    return timestamp;
}

static void test_any_order_in_is_time_order_out(void) {
    const int64_t times[] = {500, 100, 300, -200, 400, 200};
    for (int i = 0; i < 6; i++)
        CHECK_EQ(put(times[i], false, (uint8_t)i), BW_PACKET_QUEUED);
    CHECK_EQ(bw_packet_queue_second(&queue)->timestamp, 100);
    CHECK_EQ(bw_packet_queue_last(&queue)->timestamp, 500);
    CHECK_EQ(bw_packet_queue_first(&queue)->data[0], 3);
    CHECK_EQ(take(), -200);
    CHECK_EQ(put(50, false, 9), BW_PACKET_QUEUED);
    const int64_t rest[] = {50, 100, 200, 300, 400, 500};
    for (int i = 0; i < 6; i++)
        CHECK_EQ(take(), rest[i]);
    CHECK(bw_packet_queue_first(&queue) == NULL);
    CHECK(bw_packet_queue_second(&queue) == NULL);
    CHECK(bw_packet_queue_last(&queue) == NULL);
}

static void test_a_packet_replaces_its_copy_and_never_the_other_way_round(void) {
    CHECK_EQ(put(10, true, 1), BW_PACKET_QUEUED);
    CHECK_EQ(put(10, true, 2), BW_PACKET_KNOWN);
    CHECK_EQ(put(10, false, 3), BW_PACKET_QUEUED);
    CHECK_EQ(bw_packet_queue_first(&queue)->data[0], 3);
    CHECK(!bw_packet_queue_first(&queue)->redundant);
    CHECK_EQ(put(10, true, 4), BW_PACKET_KNOWN);
    CHECK_EQ(put(10, false, 5), BW_PACKET_KNOWN);
    CHECK_EQ(queue.count, 1);
    bw_packet_queue_clear(&queue);
}

static void test_full_is_an_answer_and_every_slot_is_used_again(void) {
    for (int round = 0; round < 3; round++) {
        for (int64_t i = 0; i < BW_PACKET_QUEUE_SLOTS; i++)
            CHECK_EQ(put(i * 37 % 128 * 10, false, (uint8_t)(i * 37 % 128)), BW_PACKET_QUEUED);
        CHECK_EQ(put(5, false, 0), BW_PACKET_FULL);
        for (int64_t i = 0; i < BW_PACKET_QUEUE_SLOTS; i++) {
            CHECK_EQ(bw_packet_queue_first(&queue)->data[0], i);
            CHECK_EQ(take(), i * 10);
        }
    }
}

static void test_what_is_too_large_is_refused(void) {
    uint8_t data[BW_PACKET_MAX_BYTES + 1] = {0};
    bw_packet packet = {.data = data, .bytes = sizeof data};
    CHECK_EQ(bw_packet_queue_put(&queue, &packet), BW_PACKET_FULL);
    packet.bytes = BW_PACKET_MAX_BYTES;
    CHECK_EQ(bw_packet_queue_put(&queue, &packet), BW_PACKET_QUEUED);
    bw_packet_queue_clear(&queue);
}

int main(void) {
    CHECK(bw_packet_queue_init(&queue));
    RUN(test_any_order_in_is_time_order_out);
    RUN(test_a_packet_replaces_its_copy_and_never_the_other_way_round);
    RUN(test_full_is_an_answer_and_every_slot_is_used_again);
    RUN(test_what_is_too_large_is_refused);
    bw_packet_queue_destroy(&queue);
    return 0;
}
