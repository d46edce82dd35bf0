/*
 * What an Opus packet says of itself before it is decoded (RFC 6716, 3 and 4.2). Any bytes, any thread.
 */
#ifndef BW_OPUS_PACKET_H
#define BW_OPUS_PACKET_H

#include <stdbool.h>
#include <stdint.h>

#define BW_OPUS_MAX_SAMPLES 5760 /* per channel at 48 kHz: 120 ms (RFC 6716, 3.2.5) */
#define BW_OPUS_GRAIN 120        /* 2.5 ms: every length is a multiple */

/* How long a packet plays, per channel at 48 kHz; 0 when it is malformed (RFC 6716, 3.4). */
uint32_t bw_opus_samples(const uint8_t *data, uint32_t bytes);

/* The length of the frame just before this packet that the packet holds a copy of; 0 when it holds none. */
uint32_t bw_opus_recoverable_samples(const uint8_t *data, uint32_t bytes);

/* True for the packets of discontinuous transmission, which say that silence begins or goes on. */
bool bw_opus_is_silence(uint32_t bytes);

#endif
