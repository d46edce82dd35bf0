#include "opus_packet.h"

#include <opus/opus.h>
#include <stddef.h>

#define SAMPLE_RATE_HZ 48000
#define MAX_FRAMES 48       /* of one packet (RFC 6716, 3.2.5) */
#define SILENCE_MAX_BYTES 2 /* TOC byte and at most one more: how libopus marks frames that need not be sent */
#define SILK_FRAME_SAMPLES 960

uint32_t bw_opus_samples(const uint8_t *data, uint32_t bytes) {
    const unsigned char *frames[MAX_FRAMES];
    opus_int16 sizes[MAX_FRAMES];
    if (bytes == 0 || opus_packet_parse(data, (opus_int32)bytes, NULL, frames, sizes, NULL) <= 0)
        return 0;
    int samples = opus_packet_get_nb_samples(data, (opus_int32)bytes, SAMPLE_RATE_HZ);
    return samples > 0 && samples <= BW_OPUS_MAX_SAMPLES ? (uint32_t)samples : 0;
}

bool bw_opus_is_speech(const uint8_t *data, uint32_t bytes) {
    return bytes > 0 && !(data[0] & 0x80); /* Configurations 0 to 15 (RFC 6716, table 2). */
}

bool bw_opus_can_enhance(const uint8_t *data, uint32_t bytes) {
    uint8_t configuration = bytes > 0 ? data[0] >> 3 : 0;
    bool has_10_ms_frames = configuration == 8 || configuration == 12 || configuration == 14;
    return configuration >= 8 && configuration <= 15 && !has_10_ms_frames;
}

/*
 * Each channel's SILK part starts with a voice activity bit per 20 ms and a bit that tells whether FEC copies follow
 * (RFC 6716, 4.2.3 and 4.2.4). All are coded with equal probabilities, so they are plain bits at the top of the first
 * byte.
 */
static uint32_t silk_frames_of(uint32_t frame_samples) {
    return frame_samples > SILK_FRAME_SAMPLES ? frame_samples / SILK_FRAME_SAMPLES : 1;
}

static bool holds_copy(uint8_t first_byte, uint32_t frame_samples, bool is_stereo) {
    uint32_t silk_frames = silk_frames_of(frame_samples);
    bool middle = first_byte >> (7 - silk_frames) & 1;
    bool side = is_stereo && first_byte >> (6 - 2 * silk_frames) & 1;
    return middle || side;
}

uint32_t bw_opus_recoverable_samples(const uint8_t *data, uint32_t bytes) {
    const unsigned char *frames[MAX_FRAMES];
    opus_int16 sizes[MAX_FRAMES];
    if (!bw_opus_is_speech(data, bytes) || opus_packet_parse(data, (opus_int32)bytes, NULL, frames, sizes, NULL) <= 0)
        return 0;
    uint32_t samples = (uint32_t)opus_packet_get_samples_per_frame(data, SAMPLE_RATE_HZ);
    bool is_stereo = opus_packet_get_nb_channels(data) == 2;
    return sizes[0] > 0 && holds_copy(frames[0][0], samples, is_stereo) ? samples : 0;
}

bool bw_opus_has_voice(const uint8_t *data, uint32_t bytes) {
    const unsigned char *frames[MAX_FRAMES];
    opus_int16 sizes[MAX_FRAMES];
    if (!bw_opus_is_speech(data, bytes))
        return false;
    int count = opus_packet_parse(data, (opus_int32)bytes, NULL, frames, sizes, NULL);
    uint32_t silk_frames = silk_frames_of((uint32_t)opus_packet_get_samples_per_frame(data, SAMPLE_RATE_HZ));
    for (int i = 0; i < count; i++)
        if (sizes[i] > 0 && frames[i][0] >> (8 - silk_frames))
            return true;
    return false;
}

bool bw_opus_is_silence(uint32_t bytes) { return bytes <= SILENCE_MAX_BYTES; }
