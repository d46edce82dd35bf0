/*
 * A ring of fixed-size slots between one writer thread and one reader thread. Neither ever waits.
 *
 *   writer: slot = bw_ring_begin_write(r); if (slot) { fill; bw_ring_end_write(r); } else { full: drop and count }
 *   reader: slot = bw_ring_peek(r);        if (slot) { use;  bw_ring_pop(r); }       else { empty }
 *
 * The writer owns a slot between begin and end, the reader between peek and pop. When the ring is full, the writer
 * drops and counts. The declaration of each ring names its two threads.
 */
#ifndef BW_RING_H
#define BW_RING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

typedef struct {
    uint8_t *slots;
    uint32_t slot_bytes;
    uint32_t mask; /* capacity - 1; the capacity is a power of two */
    /* Each index has its own cache line to avoid false sharing between the two threads. */
    _Alignas(64) _Atomic uint32_t written;
    _Alignas(64) _Atomic uint32_t read;
} bw_ring;

/* Rounds the capacity up to a power of two. Returns false when out of memory. */
static inline bool bw_ring_init(bw_ring *ring, uint32_t capacity, uint32_t slot_bytes) {
    uint32_t rounded = 1;
    while (rounded < capacity)
        rounded *= 2;
    ring->slot_bytes = (slot_bytes + 15u) & ~15u;
    ring->mask = rounded - 1;
    atomic_init(&ring->written, 0);
    atomic_init(&ring->read, 0);
    ring->slots = calloc(rounded, ring->slot_bytes);
    return ring->slots != NULL;
}

static inline void bw_ring_destroy(bw_ring *ring) {
    free(ring->slots);
    ring->slots = NULL;
}

static inline void *bw_ring_slot(bw_ring *ring, uint32_t index) {
    return ring->slots + (size_t)(index & ring->mask) * ring->slot_bytes;
}

/* Writer. Returns NULL when full. */
static inline void *bw_ring_begin_write(bw_ring *ring) {
    uint32_t written = atomic_load_explicit(&ring->written, memory_order_relaxed);
    uint32_t read = atomic_load_explicit(&ring->read, memory_order_acquire);
    return written - read > ring->mask ? NULL : bw_ring_slot(ring, written);
}

/* Writer, after bw_ring_begin_write returned a slot. */
static inline void bw_ring_end_write(bw_ring *ring) {
    uint32_t written = atomic_load_explicit(&ring->written, memory_order_relaxed);
    atomic_store_explicit(&ring->written, written + 1, memory_order_release);
}

/* Reader. Returns NULL when empty. */
static inline void *bw_ring_peek(bw_ring *ring) {
    uint32_t read = atomic_load_explicit(&ring->read, memory_order_relaxed);
    uint32_t written = atomic_load_explicit(&ring->written, memory_order_acquire);
    return read == written ? NULL : bw_ring_slot(ring, read);
}

/* Reader, after bw_ring_peek returned a slot. */
static inline void bw_ring_pop(bw_ring *ring) {
    uint32_t read = atomic_load_explicit(&ring->read, memory_order_relaxed);
    atomic_store_explicit(&ring->read, read + 1, memory_order_release);
}

/* Either side: a lower bound for the reader, an upper bound for the writer. */
static inline uint32_t bw_ring_count(bw_ring *ring) {
    return atomic_load_explicit(&ring->written, memory_order_acquire) -
           atomic_load_explicit(&ring->read, memory_order_acquire);
}

#endif
