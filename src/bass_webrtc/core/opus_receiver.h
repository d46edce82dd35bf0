/*
 * Turns Opus packets, or their absence, into continuous sound: decodes, recovers lost frames, conceals what is missing,
 * and fades to and from silence. The result is queued in `sound`: stereo, 48 kHz.
 *
 * One thread at a time; nothing is allocated after init. Accepts any bytes; functions report what libopus rejects.
 * Before each call, fewer than BW_STRETCH_LOOK_AHEAD frames may be queued.
 */
#ifndef BW_OPUS_RECEIVER_H
#define BW_OPUS_RECEIVER_H

#include "enhancement.h"
#include "opus_packet.h"
#include "stretch.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct {
    struct OpusDecoder *decoder;
    void *before_missing; /* copy of the decoder, from before the concealment */
    bw_stretch sound;
    uint32_t missing_samples;    /* concealed since the last packet */
    bool has_concealed;          /* some of it because of loss, not because the sender is silent */
    uint32_t spare_samples;      /* set by the owner: samples by which sound after a loss may be played earlier */
    int32_t moved_samples;       /* by which sound after a loss came earlier (above 0) or later; reset by the owner */
    bw_enhancement *enhancement; /* set by the owner; NULL: never enhance */
    bw_enhancement_grant grant;
    int complexity;            /* of the decoder */
    bool is_enhanced;          /* the last packet was */
    uint64_t enhanced_samples; /* per channel */
    float gain;                /* 0 .. 1: falls when concealment lasts too long, rises afterwards */
} bw_opus_receiver;

/* Not real-time. Returns false when out of memory. */
bool bw_opus_receiver_init(bw_opus_receiver *receiver);
void bw_opus_receiver_destroy(bw_opus_receiver *receiver);

/* Prepares for another stream, or the same stream after an interruption. Queued sound is still played. */
void bw_opus_receiver_restart(bw_opus_receiver *receiver);

/*
 * decode and recover let libopus enhance speech where `enhancement` allows it, and conceal and settle then use deep PLC.
 * Music never changes.
 */

/* Returns the samples per channel that were appended, as the others do that append; 0 when libopus rejects the packet. */
uint32_t bw_opus_receiver_decode(bw_opus_receiver *receiver, const uint8_t *data, uint32_t bytes);
/* Decodes the lost frame just before this packet from the in-band copy in this packet; 0 when there is none. */
uint32_t bw_opus_receiver_recover(bw_opus_receiver *receiver, const uint8_t *data, uint32_t bytes);
/* Appends concealment: an extrapolation for 100 ms, then a 20 ms fade to silence; unlimited when the sender is
 * silent (comfort noise). samples: a multiple of BW_OPUS_GRAIN, up to 120 ms. */
uint32_t bw_opus_receiver_conceal(bw_opus_receiver *receiver, uint32_t samples, bool is_endless);
/* Before decode or recover, after concealment: brings the decoder to where it would be if exactly these samples had been
 * concealed. Less may have been played for them, or more, when a packet was late and not lost. samples: a multiple of
 * BW_OPUS_GRAIN. */
void bw_opus_receiver_settle(bw_opus_receiver *receiver, uint32_t samples);
/* Appends silence, with a fade if there was sound. */
uint32_t bw_opus_receiver_append_silence(bw_opus_receiver *receiver, uint32_t samples);

#endif
