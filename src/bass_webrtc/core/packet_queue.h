/* Packets ordered by RTP time, regardless of their arrival order. One thread at a time; nothing is allocated after
 * init. */
#ifndef BW_PACKET_QUEUE_H
#define BW_PACKET_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

#define BW_PACKET_QUEUE_SLOTS 128
#define BW_PACKET_MAX_BYTES 1500 /* of an RTP payload; larger ones do not fit into one Ethernet frame */

typedef struct {
    int64_t timestamp; /* unwrapped RTP time */
    int64_t sequence;  /* unwrapped */
    int64_t arrival_ns;
    uint32_t samples; /* duration, per channel at 48 kHz */
    uint32_t bytes;
    bool redundant; /* a RED copy that arrived in a later packet (RFC 2198) */
    const uint8_t *data;
} bw_packet;

typedef struct {
    bw_packet packets[BW_PACKET_QUEUE_SLOTS];
    uint8_t order[BW_PACKET_QUEUE_SLOTS]; /* slots: the first `count` are in use, by time; the others are free */
    uint32_t count;
    uint8_t *bytes;
} bw_packet_queue;

typedef enum {
    BW_PACKET_QUEUED,
    BW_PACKET_KNOWN, /* a packet with this timestamp is already queued */
    BW_PACKET_FULL,  /* no free slot, or larger than BW_PACKET_MAX_BYTES */
} bw_packet_result;

/* Not real-time. Returns false when out of memory. */
bool bw_packet_queue_init(bw_packet_queue *queue);
void bw_packet_queue_destroy(bw_packet_queue *queue);

void bw_packet_queue_clear(bw_packet_queue *queue);

/* Copies the packet and its data. A packet replaces its redundant copy. */
bw_packet_result bw_packet_queue_put(bw_packet_queue *queue, const bw_packet *packet);

/* Return NULL when there is no such packet. Valid until the next put, pop or clear. */
const bw_packet *bw_packet_queue_first(const bw_packet_queue *queue);
const bw_packet *bw_packet_queue_second(const bw_packet_queue *queue);
const bw_packet *bw_packet_queue_last(const bw_packet_queue *queue);

/* Removes the first packet. The queue must not be empty. */
void bw_packet_queue_pop(bw_packet_queue *queue);

#endif
