#include "tap.h"

#include "opus_packet.h"
#include "rtp_parse.h"
#include "rtp_stream.h"

#include <stddef.h>
#include <string.h>

#define MAX_PACKETS 65536

struct bw_tap {
    bw_ring packets; /* network thread or channel's thread → recorder thread */
    bw_counter dropped;
    bw_counter streams;       /* that have begun */
    _Atomic bool is_closed;   /* set by the recorder */
    _Atomic bool is_released; /* set by the thread that writes, which does not touch the tap after that */
    bw_rtp_stream rtp;        /* of a peer; the thread that writes, like the next */
    bw_tap *next;             /* of the same peer or channel */
};

/* ---- lists: the thread that writes */

void bw_taps_add(bw_tap **taps, bw_tap *tap) {
    tap->next = *taps;
    *taps = tap;
}

/* Takes the first tap out of the list. */
static void release_first(bw_tap **taps) {
    bw_tap *tap = *taps;
    *taps = tap->next;
    atomic_store_explicit(&tap->is_released, true, memory_order_release);
}

void bw_taps_release(bw_tap **taps) {
    while (*taps != NULL)
        release_first(taps);
}

/* Returns the first tap of the rest of a list that is not closed, and takes those before it out of the list. */
static bw_tap *first_open(bw_tap **taps) {
    while (*taps != NULL && atomic_load_explicit(&(*taps)->is_closed, memory_order_acquire))
        release_first(taps);
    return *taps;
}

/* ---- packets: the thread that writes */

/* Drops the newest when full: the recorder is behind, and what waits is what it needs next. */
static void put(bw_tap *tap, const bw_tap_packet *header, const uint8_t *payload) {
    bw_tap_packet *packet = header->bytes <= BW_TAP_MAX_BYTES ? bw_ring_begin_write(&tap->packets) : NULL;
    if (packet == NULL) {
        bw_count(&tap->dropped, !header->is_copy);
        return;
    }
    memcpy(packet, header, offsetof(bw_tap_packet, payload));
    memcpy(packet->payload, payload, header->bytes);
    bw_ring_end_write(&tap->packets);
}

static void put_opus(bw_tap *tap, bw_tap_packet *header, const uint8_t *payload, uint32_t bytes) {
    header->bytes = bytes;
    header->samples = bw_opus_samples(payload, bytes);
    if (header->samples > 0)
        put(tap, header, payload);
}

/* RED blocks are the frames of the packets just before (RFC 2198, 4), so their sequence numbers follow. Copies of packets
 * that have arrived are left out. */
static void put_red(bw_tap *tap, const bw_incoming *incoming, const bw_tap_packet *header, const bw_rtp_packet *rtp) {
    bw_red_block blocks[BW_RED_MAX_BLOCKS];
    uint32_t count = bw_red_parse(blocks, rtp->payload, rtp->payload_bytes, rtp->timestamp);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t age = count - 1 - i;
        bw_tap_packet part = *header;
        part.sequence -= age;
        part.timestamp += (int32_t)(blocks[i].timestamp - rtp->timestamp);
        part.is_copy = age > 0;
        bool is_wanted = age == 0 || !bw_rtp_stream_has_seen(&tap->rtp, part.sequence);
        if (is_wanted && blocks[i].payload_type == incoming->payload_type)
            put_opus(tap, &part, blocks[i].data, blocks[i].bytes);
    }
}

static void take_rtp(bw_tap *tap, const bw_incoming *incoming, const bw_rtp_packet *rtp, int64_t now_ns) {
    bw_tap_packet header = {.time_ns = now_ns};
    switch (bw_rtp_stream_take(&tap->rtp, rtp, now_ns, &header.sequence, &header.timestamp)) {
    case BW_STREAM_UNRELATED:
    case BW_STREAM_DUPLICATE:
        return;
    case BW_STREAM_FIRST:
        bw_count(&tap->streams, 1);
        break;
    case BW_STREAM_NEXT:
        break;
    }
    header.stream = (uint32_t)bw_read_counter(&tap->streams);
    if (rtp->payload_type == incoming->payload_type)
        put_opus(tap, &header, rtp->payload, rtp->payload_bytes);
    else
        put_red(tap, incoming, &header, rtp);
}

void bw_taps_take_rtp(bw_tap **taps, const bw_incoming *incoming, const uint8_t *data, uint32_t length,
                      int64_t now_ns) {
    bw_rtp_packet rtp;
    if (*taps == NULL || !bw_rtp_parse(&rtp, data, length))
        return;
    for (bw_tap *tap; (tap = first_open(taps)) != NULL; taps = &tap->next)
        take_rtp(tap, incoming, &rtp, now_ns);
}

void bw_taps_take_frame(bw_channel *channel, int64_t number) {
    bw_tap **taps = &channel->taps;
    if (*taps == NULL)
        return;
    const bw_frame *frame = bw_frame_history_find(&channel->encodings[0]->history, (uint32_t)number);
    bw_tap_packet header = {
        .time_ns = bw_engine_start_ns(channel->engine) + number * channel->frame_ns,
        .timestamp = number * channel->engine->config.frame_samples,
        .sequence = number,
        .samples = channel->engine->config.frame_samples,
        .bytes = frame != NULL ? frame->length : 0,
        .stream = 1,
    };
    for (bw_tap *tap; (tap = first_open(taps)) != NULL; taps = &tap->next) {
        if (frame != NULL)
            put(tap, &header, frame->payload);
    }
}

/* ---- the recorder */

bw_tap *bw_tap_new(uint32_t packets) {
    bw_tap *tap = packets >= 1 && packets <= MAX_PACKETS ? bw_allocate_aligned(sizeof *tap) : NULL;
    if (tap == NULL)
        return NULL;
    memset(tap, 0, sizeof *tap);
    if (bw_ring_init(&tap->packets, packets, sizeof(bw_tap_packet)))
        return tap;
    bw_tap_free(tap);
    return NULL;
}

uint32_t bw_tap_read(bw_tap *tap, bw_tap_packet *packets, uint32_t capacity) {
    uint32_t count = 0;
    for (const bw_tap_packet *next; count < capacity && (next = bw_ring_peek(&tap->packets)) != NULL; count++) {
        memcpy(&packets[count], next, offsetof(bw_tap_packet, payload) + next->bytes);
        bw_ring_pop(&tap->packets);
    }
    return count;
}

uint64_t bw_tap_dropped(bw_tap *tap) { return bw_read_counter(&tap->dropped); }

void bw_tap_close(bw_tap *tap) { atomic_store_explicit(&tap->is_closed, true, memory_order_release); }

int bw_tap_is_released(bw_tap *tap) { return atomic_load_explicit(&tap->is_released, memory_order_acquire); }

void bw_tap_free(bw_tap *tap) {
    if (tap == NULL)
        return;
    bw_ring_destroy(&tap->packets);
    bw_free_aligned(tap);
}
