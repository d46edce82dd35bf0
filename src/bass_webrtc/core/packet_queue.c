#include "packet_queue.h"

#include <stdlib.h>
#include <string.h>

bool bw_packet_queue_init(bw_packet_queue *queue) {
    queue->bytes = malloc((size_t)BW_PACKET_QUEUE_SLOTS * BW_PACKET_MAX_BYTES);
    for (uint32_t i = 0; i < BW_PACKET_QUEUE_SLOTS; i++)
        queue->order[i] = (uint8_t)i;
    queue->count = 0;
    return queue->bytes != NULL;
}

void bw_packet_queue_destroy(bw_packet_queue *queue) {
    free(queue->bytes);
    queue->bytes = NULL;
}

void bw_packet_queue_clear(bw_packet_queue *queue) { queue->count = 0; }

static void fill_slot(bw_packet_queue *queue, uint8_t slot, const bw_packet *packet) {
    uint8_t *bytes = queue->bytes + (size_t)slot * BW_PACKET_MAX_BYTES;
    memcpy(bytes, packet->data, packet->bytes);
    queue->packets[slot] = *packet;
    queue->packets[slot].data = bytes;
}

bw_packet_result bw_packet_queue_put(bw_packet_queue *queue, const bw_packet *packet) {
    /* Most packets are the newest, so search from the end. */
    uint32_t place = queue->count;
    while (place > 0 && queue->packets[queue->order[place - 1]].timestamp > packet->timestamp)
        place--;
    if (packet->bytes > BW_PACKET_MAX_BYTES)
        return BW_PACKET_FULL;
    if (place > 0 && queue->packets[queue->order[place - 1]].timestamp == packet->timestamp) {
        uint8_t slot = queue->order[place - 1];
        if (!queue->packets[slot].redundant || packet->redundant)
            return BW_PACKET_KNOWN;
        fill_slot(queue, slot, packet);
        return BW_PACKET_QUEUED;
    }
    if (queue->count == BW_PACKET_QUEUE_SLOTS)
        return BW_PACKET_FULL;
    uint8_t slot = queue->order[queue->count];
    memmove(queue->order + place + 1, queue->order + place, queue->count - place);
    queue->order[place] = slot;
    queue->count++;
    fill_slot(queue, slot, packet);
    return BW_PACKET_QUEUED;
}

static const bw_packet *nth(const bw_packet_queue *queue, uint32_t place) {
    return place < queue->count ? &queue->packets[queue->order[place]] : NULL;
}

const bw_packet *bw_packet_queue_first(const bw_packet_queue *queue) { return nth(queue, 0); }

const bw_packet *bw_packet_queue_second(const bw_packet_queue *queue) { return nth(queue, 1); }

const bw_packet *bw_packet_queue_last(const bw_packet_queue *queue) { return nth(queue, queue->count - 1); }

void bw_packet_queue_pop(bw_packet_queue *queue) {
    uint8_t slot = queue->order[0];
    queue->count--;
    memmove(queue->order, queue->order + 1, queue->count);
    queue->order[queue->count] = slot;
}
