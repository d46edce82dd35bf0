/* Properties of an Opus packet, without decoding it (RFC 6716, 3 and 4.2). Accepts any bytes. Any thread. */
#ifndef BW_OPUS_PACKET_H
#define BW_OPUS_PACKET_H

#include <stdbool.h>
#include <stdint.h>

#define BW_OPUS_MAX_SAMPLES 5760 /* per channel at 48 kHz: 120 ms (RFC 6716, 3.2.5) */
#define BW_OPUS_GRAIN 120        /* 2.5 ms: every Opus duration is a multiple */

/* Returns the duration in samples per channel at 48 kHz; 0 when the packet is malformed (RFC 6716, 3.4). */
uint32_t bw_opus_samples(const uint8_t *data, uint32_t bytes);

/* Returns the duration of the preceding frame of which this packet holds an in-band FEC copy; 0 when there is none. */
uint32_t bw_opus_recoverable_samples(const uint8_t *data, uint32_t bytes);

/* Returns true when the packet holds speech (SILK or hybrid), which libopus can enhance; false for music (CELT). */
bool bw_opus_is_speech(const uint8_t *data, uint32_t bytes);

/* Returns whether libopus's models work on the packet: SILK at 16 kHz, alone or in a hybrid, in frames of 20 ms or more. */
bool bw_opus_can_enhance(const uint8_t *data, uint32_t bytes);

/* Returns true when the encoder detected voice in a packet of speech. */
bool bw_opus_has_voice(const uint8_t *data, uint32_t bytes);

/* Returns true for packets of discontinuous transmission, which mean that silence starts or continues. */
bool bw_opus_is_silence(uint32_t bytes);

#endif
