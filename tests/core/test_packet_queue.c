/* The packet queue's order, replacement and limits. */
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

static void test_packets_leave_in_timestamp_order(void) {
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

static void test_packet_replaces_its_copy_but_copy_never_replaces_packet(void) {
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

static void test_full_queue_is_reported_and_slots_are_reused(void) {
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

static void test_too_large_packet_is_rejected(void) {
    uint8_t data[BW_PACKET_MAX_BYTES + 1] = {0};
    bw_packet packet = {.data = data, .bytes = sizeof data};
    CHECK_EQ(bw_packet_queue_put(&queue, &packet), BW_PACKET_FULL);
    packet.bytes = BW_PACKET_MAX_BYTES;
    CHECK_EQ(bw_packet_queue_put(&queue, &packet), BW_PACKET_QUEUED);
    bw_packet_queue_clear(&queue);
}

int main(void) {
    CHECK(bw_packet_queue_init(&queue));
    RUN(test_packets_leave_in_timestamp_order);
    RUN(test_packet_replaces_its_copy_but_copy_never_replaces_packet);
    RUN(test_full_queue_is_reported_and_slots_are_reused);
    RUN(test_too_large_packet_is_rejected);
    bw_packet_queue_destroy(&queue);
    return 0;
}
