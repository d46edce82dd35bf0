/* Numbers in packets: network byte order (big endian), at any alignment. */
#ifndef BW_BYTE_ORDER_H
#define BW_BYTE_ORDER_H

#include <stdint.h>

static inline uint32_t bw_read_u16(const uint8_t *at) { return (uint32_t)at[0] << 8 | at[1]; }

static inline uint32_t bw_read_u32(const uint8_t *at) { return bw_read_u16(at) << 16 | bw_read_u16(at + 2); }

static inline void bw_write_u16(uint8_t *at, uint32_t value) {
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

static inline void bw_write_u32(uint8_t *at, uint32_t value) {
    bw_write_u16(at, value >> 16);
    bw_write_u16(at + 2, value);
}

#endif
