/*
 * Packets in the order of their RTP time, whatever order they came in. One thread at a time; after init nothing is
 * allocated, and full is an answer.
 */
#ifndef BW_PACKET_QUEUE_H
#define BW_PACKET_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

#define BW_PACKET_QUEUE_SLOTS 128
#define BW_PACKET_MAX_BYTES 1500 /* of an RTP payload: nothing larger crosses Ethernet in one piece */

typedef struct {
    int64_t timestamp; /* RTP time, unwrapped */
    int64_t sequence;  /* unwrapped */
    int64_t arrival_ns;
    uint32_t samples; /* how long it plays, per channel at 48 kHz */
    uint32_t bytes;
    bool redundant; /* a copy that rode along with a later packet (RFC 2198) */
    const uint8_t *data;
} bw_packet;

typedef struct {
    bw_packet packets[BW_PACKET_QUEUE_SLOTS];
    uint8_t order[BW_PACKET_QUEUE_SLOTS]; /* the first `count` are in use, by time; the others are free */
    uint32_t count;
    uint8_t *bytes;
} bw_packet_queue;

typedef enum {
    BW_PACKET_QUEUED,
    BW_PACKET_KNOWN, /* one with this time is there already */
    BW_PACKET_FULL,  /* no slot is free, or it is larger than BW_PACKET_MAX_BYTES */
} bw_packet_fate;

/* Not real-time. False: no memory. */
bool bw_packet_queue_init(bw_packet_queue *queue);
void bw_packet_queue_destroy(bw_packet_queue *queue);

void bw_packet_queue_clear(bw_packet_queue *queue);

/* Copies the packet with its data. A packet takes the place of its redundant copy. */
bw_packet_fate bw_packet_queue_put(bw_packet_queue *queue, const bw_packet *packet);

/* NULL when there is none. Valid until the next put, pop or clear. */
const bw_packet *bw_packet_queue_first(const bw_packet_queue *queue);
const bw_packet *bw_packet_queue_second(const bw_packet_queue *queue);
const bw_packet *bw_packet_queue_last(const bw_packet_queue *queue);

/* The first one goes; there must be one. */
void bw_packet_queue_pop(bw_packet_queue *queue);

#endif
