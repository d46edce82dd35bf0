/*
 * From Opus packets, or the lack of them, to sound without steps: decodes, recovers, makes up what is missing, fades
 * where sound ends in silence and begins out of it. What comes out waits in `sound`: stereo, 48 kHz.
 *
 * One thread at a time; nothing is allocated after init. Bytes may be any; what libopus refuses is an answer. Before
 * each call less than BW_STRETCH_LOOK_AHEAD frames may wait.
 */
#ifndef BW_OPUS_RECEIVER_H
#define BW_OPUS_RECEIVER_H

#include "opus_packet.h"
#include "stretch.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct {
    struct OpusDecoder *decoder;
    bw_stretch sound;
    uint32_t missing_samples; /* made up since the last packet */
    bool has_guessed;         /* and not only because the sender is silent */
    uint32_t spare_samples;   /* set by the owner: sound after a loss may come so much sooner */
    int32_t moved_samples;    /* by which sound after a loss came sooner (above 0) or later; taken by the owner */
    float gain;               /* 0 .. 1: falls when what is made up has lasted too long, rises afterwards */
} bw_opus_receiver;

/* Not real-time. False: no memory. */
bool bw_opus_receiver_init(bw_opus_receiver *receiver);
void bw_opus_receiver_destroy(bw_opus_receiver *receiver);

/* Another stream begins, or the same after a break. What waits is still played. */
void bw_opus_receiver_restart(bw_opus_receiver *receiver);

/* All return the samples per channel that were appended. The first two: 0 when libopus refuses. */
uint32_t bw_opus_receiver_decode(bw_opus_receiver *receiver, const uint8_t *data, uint32_t bytes);
/* The frame that was lost just before this packet, from the copy that this packet holds. */
uint32_t bw_opus_receiver_recover(bw_opus_receiver *receiver, const uint8_t *data, uint32_t bytes);
/* Nothing came: what the sound so far suggests, for 100 ms, then a fade of 20 ms to silence; without an end when it is
 * the sender that is silent (comfort noise). samples: a multiple of BW_OPUS_GRAIN, up to 120 ms. */
uint32_t bw_opus_receiver_conceal(bw_opus_receiver *receiver, uint32_t samples, bool is_endless);
/* Time that was lost and is not made up in full: the next packet builds on it as if it had been. A multiple of
 * BW_OPUS_GRAIN. */
void bw_opus_receiver_pass_over(bw_opus_receiver *receiver, uint32_t samples);
/* Silence, after a fade where there was sound. */
uint32_t bw_opus_receiver_be_silent(bw_opus_receiver *receiver, uint32_t samples);

#endif
