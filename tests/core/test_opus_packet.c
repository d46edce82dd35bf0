/* Opus packet properties, checked against libopus's packets of known sound and against malformed packets. */
#include "check.h"
#include "opus_packet.h"
#include "tone.h"

#include <opus/opus.h>
#include <string.h>

#define MAX_PACKETS 100

static uint8_t packets[MAX_PACKETS][1500];
static uint32_t lengths[MAX_PACKETS];

static void encode_voice(uint32_t channels, uint32_t samples, int fec, int bitrate, int application) {
    int error;
    float pcm[2 * 2880];
    OpusEncoder *encoder = opus_encoder_create(48000, (int)channels, application, &error);
    opus_encoder_ctl(encoder, OPUS_SET_BITRATE(bitrate));
    opus_encoder_ctl(encoder, OPUS_SET_INBAND_FEC(fec));
    opus_encoder_ctl(encoder, OPUS_SET_PACKET_LOSS_PERC(fec ? 25 : 0));
    for (uint32_t i = 0; i < MAX_PACKETS; i++) {
        tone_write_voice(pcm, samples, channels, (uint64_t)i * samples);
        lengths[i] = (uint32_t)opus_encode_float(encoder, pcm, (int)samples, packets[i], sizeof packets[i]);
    }
    opus_encoder_destroy(encoder);
}

static double energy(const float *pcm, uint32_t count) {
    double sum = 0.0;
    for (uint32_t i = 0; i < count; i++)
        sum += (double)pcm[i] * pcm[i];
    return sum;
}

/* Returns how well the copies match the lost frames: 1 is perfect, 0 no better than silence. */
static double quality_of_copies(uint32_t channels, uint32_t samples, uint32_t *copies) {
    static float whole[MAX_PACKETS][2 * 2880];
    int error;
    OpusDecoder *all = opus_decoder_create(48000, (int)channels, &error);
    double lost = 0.0, wrong = 0.0;
    for (uint32_t i = 0; i < MAX_PACKETS; i++)
        CHECK_EQ(opus_decode_float(all, packets[i], (int)lengths[i], whole[i], (int)samples, 0), samples);
    opus_decoder_destroy(all);
    *copies = 0;
    for (uint32_t i = 20; i < MAX_PACKETS; i++) {
        float recovered[2 * 2880];
        if (bw_opus_recoverable_samples(packets[i], lengths[i]) == 0)
            continue;
        (*copies)++;
        OpusDecoder *some = opus_decoder_create(48000, (int)channels, &error);
        for (uint32_t k = i - 10; k < i - 1; k++)
            CHECK_EQ(opus_decode_float(some, packets[k], (int)lengths[k], recovered, (int)samples, 0), samples);
        CHECK_EQ(opus_decode_float(some, packets[i], (int)lengths[i], recovered, (int)samples, 1), samples);
        opus_decoder_destroy(some);
        lost += energy(whole[i - 1], channels * samples);
        for (uint32_t k = 0; k < channels * samples; k++)
            recovered[k] -= whole[i - 1][k];
        wrong += energy(recovered, channels * samples);
    }
    return lost > 0.0 ? 1.0 - wrong / lost : 0.0;
}

static void test_fec_copy_is_detected_where_encoder_wrote_one(void) {
    for (uint32_t channels = 1; channels <= 2; channels++) {
        for (uint32_t samples = 480; samples <= 2880; samples += samples == 480 ? 480 : 960) {
            uint32_t copies;
            encode_voice(channels, samples, 1, 20000 + 12000 * (int)channels, OPUS_APPLICATION_VOIP);
            double quality = quality_of_copies(channels, samples, &copies);
            printf("  %u channels, %u ms: %u copies of %u, quality %.2f\n", channels, samples / 48, copies, MAX_PACKETS,
                   quality);
            CHECK_LESS(MAX_PACKETS / 4, copies);
            CHECK_LESS(0.4, quality);
        }
    }
}

static void test_no_fec_copy_is_detected_where_there_is_none(void) {
    const int applications[] = {OPUS_APPLICATION_VOIP, OPUS_APPLICATION_AUDIO, OPUS_APPLICATION_RESTRICTED_LOWDELAY};
    for (int i = 0; i < 3; i++) {
        encode_voice(2, 960, 0, i == 0 ? 24000 : 128000, applications[i]);
        for (uint32_t k = 0; k < MAX_PACKETS; k++)
            CHECK_EQ(bw_opus_recoverable_samples(packets[k], lengths[k]), 0);
    }
    /* CELT has no FEC copies, whatever is requested. */
    encode_voice(2, 960, 1, 128000, OPUS_APPLICATION_RESTRICTED_LOWDELAY);
    for (uint32_t k = 0; k < MAX_PACKETS; k++)
        CHECK_EQ(bw_opus_recoverable_samples(packets[k], lengths[k]), 0);
}

static void test_voice_is_detected_in_speech_only(void) {
    const uint8_t celt[] = {0xFC, 0xFF, 2, 3};
    const uint8_t voice[] = {0x48, 0x80, 2, 3};            /* SILK, wideband, 20 ms */
    const uint8_t fec_only[] = {0x48, 0x40, 2, 3};         /* no voice, but a copy */
    const uint8_t third_of_60_ms[] = {0x58, 0x20, 2, 3};   /* three SILK frames */
    const uint8_t second_of_two[] = {0x49, 0, 2, 0x80, 3}; /* two Opus frames */
    CHECK(!bw_opus_is_speech(celt, sizeof celt) && !bw_opus_has_voice(celt, sizeof celt));
    CHECK(bw_opus_is_speech(voice, sizeof voice) && bw_opus_has_voice(voice, sizeof voice));
    for (uint32_t configuration = 0; configuration < 32; configuration++) {
        uint8_t toc[] = {(uint8_t)(configuration << 3)};
        bool is_wideband_20_ms =
            (configuration >= 9 && configuration <= 11) || configuration == 13 || configuration == 15;
        CHECK_EQ(bw_opus_can_enhance(toc, 1), is_wideband_20_ms);
    }
    CHECK(bw_opus_is_speech(fec_only, sizeof fec_only) && !bw_opus_has_voice(fec_only, sizeof fec_only));
    CHECK(bw_opus_has_voice(third_of_60_ms, sizeof third_of_60_ms));
    CHECK(bw_opus_has_voice(second_of_two, sizeof second_of_two));
    CHECK(!bw_opus_has_voice(voice, 1)); /* an empty frame */
    CHECK(!bw_opus_is_speech(voice, 0) && !bw_opus_has_voice(voice, 0));
}

/* Covers OP14. */
static void test_durations_of_one_to_48_frames(void) {
    const uint8_t one[] = {0xFC, 1, 2, 3};                  /* CELT, 20 ms, stereo */
    const uint8_t two[] = {0xFD, 1, 2, 3, 4};               /* two of the same size */
    const uint8_t two_sizes[] = {0xFE, 1, 9, 9, 9};         /* two of different sizes */
    const uint8_t six[] = {0xFF, 6, 1, 2, 3, 4, 5, 6};      /* six, 120 ms */
    const uint8_t seven[] = {0xFF, 7, 1, 2, 3, 4, 5, 6, 7}; /* 140 ms: too long */
    uint8_t forty_eight[50] = {0xE3, 48};                   /* of 2.5 ms */
    CHECK_EQ(bw_opus_samples(one, sizeof one), 960);
    CHECK_EQ(bw_opus_samples(two, sizeof two), 1920);
    CHECK_EQ(bw_opus_samples(two_sizes, sizeof two_sizes), 1920);
    CHECK_EQ(bw_opus_samples(six, sizeof six), 5760);
    CHECK_EQ(bw_opus_samples(seven, sizeof seven), 0);
    CHECK_EQ(bw_opus_samples(forty_eight, sizeof forty_eight), 5760);
}

/* Covers OP14. */
static void test_malformed_packets_have_no_duration(void) {
    const uint8_t odd_pair[] = {0xFD, 1, 2, 3};
    const uint8_t second_past_the_end[] = {0xFE, 9, 1, 2};
    const uint8_t no_count[] = {0xFF};
    const uint8_t no_frames[] = {0xFF, 0};
    const uint8_t padding_past_the_end[] = {0xFF, 0x41, 200, 1};
    const uint8_t uneven[] = {0xFF, 2, 1, 2, 3};
    CHECK_EQ(bw_opus_samples(odd_pair, 0), 0);
    CHECK_EQ(bw_opus_samples(odd_pair, sizeof odd_pair), 0);
    CHECK_EQ(bw_opus_samples(second_past_the_end, sizeof second_past_the_end), 0);
    CHECK_EQ(bw_opus_samples(no_count, sizeof no_count), 0);
    CHECK_EQ(bw_opus_samples(no_frames, sizeof no_frames), 0);
    CHECK_EQ(bw_opus_samples(padding_past_the_end, sizeof padding_past_the_end), 0);
    CHECK_EQ(bw_opus_samples(uneven, sizeof uneven), 0);
    CHECK_EQ(bw_opus_recoverable_samples(odd_pair, 0), 0);
}

/* Covers OP12. */
static void test_dtx_silence_is_detected_by_size(void) {
    CHECK(bw_opus_is_silence(1));
    CHECK(bw_opus_is_silence(2));
    CHECK(!bw_opus_is_silence(3));
}

int main(void) {
    RUN(test_fec_copy_is_detected_where_encoder_wrote_one);
    RUN(test_no_fec_copy_is_detected_where_there_is_none);
    RUN(test_voice_is_detected_in_speech_only);
    RUN(test_durations_of_one_to_48_frames);
    RUN(test_malformed_packets_have_no_duration);
    RUN(test_dtx_silence_is_detected_by_size);
    return 0;
}
