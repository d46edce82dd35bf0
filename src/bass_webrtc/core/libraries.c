/* The versions of the libraries that the core is linked with, and the optional parts of libopus. */
#include "core.h"

#include <openssl/crypto.h>
#include <opus/opus.h>
#include <stdbool.h>
#include <string.h>

#define SAMPLE_RATE_HZ 48000
#define FRAME_SAMPLES 960
#define PITCH_SAMPLES 320 /* 150 Hz */
#define FRAMES 6          /* of speech, before one that is lost; OSCE leaves the first ones alone. */
#define MAX_BYTES 200

/* libopus 1.5 and newer uses the models that were compiled in: deep PLC from decoder complexity 5 on, of OSCE one model
 * (LACE) from 6 on and another one (NoLACE) from 7 on. 7 finds both, and a build that has only one of them. */
#define DEEP_PLC_COMPLEXITY 5
#define OSCE_COMPLEXITY 7

typedef struct {
    unsigned char data[FRAMES][MAX_BYTES];
    opus_int32 bytes[FRAMES];
} speech;

/* Encodes a buzz as speech at 16 kHz, which is what the models work on. */
static bool encode(speech *packets) {
    opus_int16 samples[FRAME_SAMPLES];
    OpusEncoder *encoder = opus_encoder_create(SAMPLE_RATE_HZ, 1, OPUS_APPLICATION_VOIP, NULL);
    if (encoder == NULL)
        return false;
    opus_encoder_ctl(encoder, OPUS_SET_BITRATE(16000));
    opus_encoder_ctl(encoder, OPUS_SET_BANDWIDTH(OPUS_BANDWIDTH_WIDEBAND));
    opus_encoder_ctl(encoder, OPUS_SET_SIGNAL(OPUS_SIGNAL_VOICE));
    opus_encoder_ctl(encoder, OPUS_SET_COMPLEXITY(0));
    for (int i = 0; i < FRAME_SAMPLES; i++)
        samples[i] = (opus_int16)(i % PITCH_SAMPLES * 60 - 30 * PITCH_SAMPLES);
    bool done = true;
    for (int i = 0; i < FRAMES; i++) {
        packets->bytes[i] = opus_encode(encoder, samples, FRAME_SAMPLES, packets->data[i], MAX_BYTES);
        done = done && packets->bytes[i] > 0;
    }
    opus_encoder_destroy(encoder);
    return done;
}

/* Decodes the frames and conceals a lost one. heard: the last frame; concealed: the lost one. */
static bool decode(const speech *packets, int complexity, opus_int16 *heard, opus_int16 *concealed) {
    OpusDecoder *decoder = opus_decoder_create(SAMPLE_RATE_HZ, 1, NULL);
    if (decoder == NULL)
        return false;
    bool done = opus_decoder_ctl(decoder, OPUS_SET_COMPLEXITY(complexity)) == OPUS_OK;
    for (int i = 0; i < FRAMES && done; i++)
        done = opus_decode(decoder, packets->data[i], packets->bytes[i], heard, FRAME_SAMPLES, 0) == FRAME_SAMPLES;
    done = done && opus_decode(decoder, NULL, 0, concealed, FRAME_SAMPLES, 0) == FRAME_SAMPLES;
    opus_decoder_destroy(decoder);
    return done;
}

void bw_get_libraries(bw_libraries *libraries) {
    *libraries = (bw_libraries){
        .opus = opus_get_version_string(),
        .openssl = OpenSSL_version(OPENSSL_VERSION),
    };
    /* libopus has no request that tells whether it has the models; what it decodes does. */
    speech packets;
    opus_int16 heard[3][FRAME_SAMPLES], concealed[3][FRAME_SAMPLES];
    if (!encode(&packets) || !decode(&packets, 0, heard[0], concealed[0]) ||
        !decode(&packets, DEEP_PLC_COMPLEXITY, heard[1], concealed[1]) ||
        !decode(&packets, OSCE_COMPLEXITY, heard[2], concealed[2]))
        return;
    libraries->deep_plc = memcmp(concealed[0], concealed[1], sizeof concealed[0]) != 0;
    libraries->osce = memcmp(heard[1], heard[2], sizeof heard[1]) != 0;
}
