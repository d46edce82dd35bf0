#include "internal.h"

#include "opus_receiver.h"

#include <opus/opus.h>
#include <stdlib.h>
#include <string.h>

#define SAMPLE_RATE_HZ 48000
#define CHANNELS 2
#define CONCEAL_SAMPLES 4800 /* 100 ms: after that, silence is better than extrapolation. */
#define FADE_SAMPLES 960
#define RISE_SAMPLES 240 /* 5 ms. */
#define PLAIN_COMPLEXITY 0
#define ENHANCED_COMPLEXITY 7 /* OSCE's larger model (NoLACE). */

bool bw_opus_receiver_init(bw_opus_receiver *receiver) {
    *receiver = (bw_opus_receiver){
        .decoder = opus_decoder_create(SAMPLE_RATE_HZ, CHANNELS, NULL),
        .before_missing = malloc((size_t)opus_decoder_get_size(CHANNELS)),
    };
    return bw_stretch_init(&receiver->sound) && receiver->decoder != NULL && receiver->before_missing != NULL;
}

void bw_opus_receiver_destroy(bw_opus_receiver *receiver) {
    if (receiver->decoder != NULL)
        opus_decoder_destroy(receiver->decoder);
    free(receiver->before_missing);
    receiver->decoder = receiver->before_missing = NULL;
    bw_stretch_destroy(&receiver->sound);
}

void bw_opus_receiver_restart(bw_opus_receiver *receiver) {
    opus_decoder_ctl(receiver->decoder, OPUS_RESET_STATE);
    receiver->missing_samples = 0;
    receiver->has_concealed = false;
    receiver->is_enhanced = false;
}

static void set_complexity(bw_opus_receiver *receiver, int complexity) {
    if (receiver->complexity != complexity)
        opus_decoder_ctl(receiver->decoder, OPUS_SET_COMPLEXITY(complexity));
    receiver->complexity = complexity;
}

/* A decoder is one piece of memory without pointers into itself. */
static void copy_decoder(void *to, const void *from) { memcpy(to, from, (size_t)opus_decoder_get_size(CHANNELS)); }

static uint32_t run(bw_opus_receiver *receiver, const uint8_t *data, uint32_t bytes, float *output, uint32_t samples,
                    int recover) {
    int decoded = opus_decode_float(receiver->decoder, data, (opus_int32)bytes, output, (int)samples, recover);
    return decoded > 0 ? (uint32_t)decoded : 0;
}

static void ramp(bw_opus_receiver *receiver, float *output, uint32_t samples, float goal, uint32_t ramp_samples) {
    if (receiver->gain == goal && goal == 1.0f)
        return;
    float step = (goal > receiver->gain ? 1.0f : -1.0f) / (float)ramp_samples;
    for (uint32_t i = 0; i < samples; i++) {
        float next = receiver->gain + step;
        receiver->gain = (step > 0.0f) == (next < goal) ? next : goal;
        output[CHANNELS * i] *= receiver->gain;
        output[CHANNELS * i + 1] *= receiver->gain;
    }
}

static bool may_enhance(bw_opus_receiver *receiver, bw_enhancement_kind kind, bool has_voice, uint32_t samples) {
    return receiver->enhancement != NULL &&
           bw_enhancement_allows(receiver->enhancement, &receiver->grant, kind, has_voice, samples);
}

static uint32_t run_enhanced(bw_opus_receiver *receiver, bw_enhancement_kind kind, const uint8_t *data, uint32_t bytes,
                             float *output, uint32_t samples, int recover) {
    bool has_budget = bw_enhancement_has_budget(receiver->enhancement);
    int64_t began_ns = has_budget ? bw_thread_time_ns() : 0;
    set_complexity(receiver, ENHANCED_COMPLEXITY);
    uint32_t decoded = run(receiver, data, bytes, output, samples, recover);
    if (has_budget && decoded > 0)
        bw_enhancement_did(receiver->enhancement, kind, decoded, bw_thread_time_ns() - began_ns);
    return decoded;
}

/* Runs the decoder over a packet or the copy in it, which has `samples`. libopus fades in what it enhances, and stops
 * without a click. */
static uint32_t run_packet(bw_opus_receiver *receiver, const uint8_t *data, uint32_t bytes, float *output,
                           uint32_t samples, int recover) {
    bool has_voice = !recover && bw_opus_has_voice(data, bytes);
    receiver->is_enhanced =
        bw_opus_can_enhance(data, bytes) && may_enhance(receiver, BW_ENHANCED_DECODING, has_voice, samples);
    if (!receiver->is_enhanced) {
        set_complexity(receiver, PLAIN_COMPLEXITY);
        return run(receiver, data, bytes, output, samples, recover);
    }
    uint32_t decoded = run_enhanced(receiver, BW_ENHANCED_DECODING, data, bytes, output, samples, recover);
    receiver->is_enhanced = decoded > 0;
    receiver->enhanced_samples += decoded;
    return decoded;
}

/* Runs the decoder over lost audio. Enhanced speech is concealed by deep PLC. Concealment that has become plain remains
 * so. Either way, libopus starts the enhancement again after it. */
static uint32_t run_lost(bw_opus_receiver *receiver, float *output, uint32_t samples) {
    receiver->is_enhanced = receiver->is_enhanced && may_enhance(receiver, BW_ENHANCED_CONCEALMENT, false, samples);
    if (receiver->is_enhanced)
        return run_enhanced(receiver, BW_ENHANCED_CONCEALMENT, NULL, 0, output, samples, 0);
    set_complexity(receiver, PLAIN_COMPLEXITY);
    return run(receiver, NULL, 0, output, samples, 0);
}

/* Adds decoded samples, written behind the queued sound, to the queue. */
static uint32_t append(bw_opus_receiver *receiver, float *output, uint32_t samples) {
    bool joins = receiver->has_concealed && receiver->gain == 1.0f;
    if (samples == 0)
        return 0;
    ramp(receiver, output, samples, 1.0f, RISE_SAMPLES);
    if (joins)
        receiver->moved_samples -= bw_stretch_end_write_in_phase(&receiver->sound, samples, receiver->spare_samples);
    else
        bw_stretch_end_write(&receiver->sound, samples);
    receiver->missing_samples = 0;
    receiver->has_concealed = false;
    return samples;
}

uint32_t bw_opus_receiver_decode(bw_opus_receiver *receiver, const uint8_t *data, uint32_t bytes) {
    float *output = bw_stretch_begin_write(&receiver->sound);
    return append(receiver, output, run_packet(receiver, data, bytes, output, bw_opus_samples(data, bytes), 0));
}

uint32_t bw_opus_receiver_recover(bw_opus_receiver *receiver, const uint8_t *data, uint32_t bytes) {
    uint32_t lost = bw_opus_recoverable_samples(data, bytes);
    float *output = bw_stretch_begin_write(&receiver->sound);
    return append(receiver, output, lost > 0 ? run_packet(receiver, data, bytes, output, lost, 1) : 0);
}

/* Appends deep PLC or an extrapolation of the previous sound, ramping to the goal gain. */
static uint32_t append_generated(bw_opus_receiver *receiver, uint32_t samples, float goal, uint32_t ramp_samples) {
    bool may_extrapolate = receiver->gain > 0.0f;
    float *output = bw_stretch_begin_write(&receiver->sound);
    if (receiver->gain == 0.0f && goal == 0.0f)
        memset(output, 0, sizeof(float) * CHANNELS * samples);
    else if (run_lost(receiver, output, samples) != samples)
        memset(output, 0, sizeof(float) * CHANNELS * samples);
    else if (may_extrapolate && !receiver->is_enhanced)
        bw_stretch_extrapolate(&receiver->sound, output, samples);
    ramp(receiver, output, samples, goal, ramp_samples);
    bw_stretch_end_write(&receiver->sound, samples);
    return samples;
}

uint32_t bw_opus_receiver_conceal(bw_opus_receiver *receiver, uint32_t samples, bool is_endless) {
    bool fades = !is_endless && receiver->missing_samples >= CONCEAL_SAMPLES;
    if (receiver->missing_samples == 0)
        copy_decoder(receiver->before_missing, receiver->decoder);
    receiver->missing_samples += samples;
    receiver->has_concealed |= !is_endless;
    receiver->is_enhanced &= !is_endless; /* Comfort noise is not speech. */
    return fades ? append_generated(receiver, samples, 0.0f, FADE_SAMPLES)
                 : append_generated(receiver, samples, 1.0f, RISE_SAMPLES);
}

/* Runs the decoder over lost audio that is not played. */
static void skip(bw_opus_receiver *receiver, uint32_t samples) {
    float *unheard = bw_stretch_begin_write(&receiver->sound);
    for (uint32_t piece; samples > 0; samples -= piece) {
        piece = samples < BW_OPUS_MAX_SAMPLES ? samples : BW_OPUS_MAX_SAMPLES;
        run_lost(receiver, unheard, piece);
    }
}

/* When too much was concealed, the decoder starts again from before it: what it predicts from has to be what the sender
 * encoded, or the late packet itself would sound wrong. */
void bw_opus_receiver_settle(bw_opus_receiver *receiver, uint32_t samples) {
    uint32_t done = receiver->missing_samples;
    if (samples < done) {
        copy_decoder(receiver->decoder, receiver->before_missing);
        opus_decoder_ctl(receiver->decoder, OPUS_SET_COMPLEXITY(receiver->complexity));
        done = 0;
        samples = samples < BW_OPUS_MAX_SAMPLES ? samples : BW_OPUS_MAX_SAMPLES; /* then it has faded anyway */
        receiver->spare_samples = 0;                                             /* Late audio has no delay to spare. */
    }
    skip(receiver, samples - done);
}

uint32_t bw_opus_receiver_append_silence(bw_opus_receiver *receiver, uint32_t samples) {
    receiver->is_enhanced = false;
    return append_generated(receiver, samples, 0.0f, samples);
}
