/* Float arithmetic on four lanes at once, for sums that the compiler may not reorder. Any pointer may be unaligned. */
#ifndef BW_LANES_H
#define BW_LANES_H

#include <string.h>

/* Always inlined, so that functions for other instruction sets can use it. */
#define ALWAYS_INLINE static inline __attribute__((always_inline))

typedef float lanes __attribute__((vector_size(16)));

ALWAYS_INLINE lanes lanes_load(const float *samples) {
    lanes loaded;
    memcpy(&loaded, samples, sizeof loaded);
    return loaded;
}

ALWAYS_INLINE float lanes_total(lanes sum) { return (sum[0] + sum[2]) + (sum[1] + sum[3]); }

/* Returns the sum of squares. count: a multiple of 8. */
ALWAYS_INLINE float lanes_energy(const float *samples, size_t count) {
    lanes even = {0}, odd = {0};
    for (size_t i = 0; i < count; i += 8) {
        even += lanes_load(samples + i) * lanes_load(samples + i);
        odd += lanes_load(samples + i + 4) * lanes_load(samples + i + 4);
    }
    return lanes_total(even + odd);
}

#endif
