/*
 * Enhancement of speech by libopus, from packets to sound: what it changes, what it leaves alone, and how it switches.
 * With a libopus that has no models, nothing may change; test_core.py runs this program with both.
 */
#include "check.h"
#include "core.h"
#include "opus_receiver.h"
#include "tone.h"

#include <opus/opus.h>
#include <string.h>

#define PACKETS 300
#define FRAME 960
#define BLOCK 480
#define BLOCKS (2 * PACKETS)
#define PAYLOAD_TYPE 111
#define MS_NS 1000000LL
#define LOSS_EVERY 11

typedef struct {
    uint8_t data[PACKETS][1276];
    int bytes[PACKETS];
} stream;

static stream speech, music;
static float plain[2 * BLOCK * BLOCKS], enhanced[2 * BLOCK * BLOCKS];
static bool has_models;

/* A buzz with changing pitch and loudness, or two sines. */
static void encode(stream *packets, bool is_speech) {
    static float pcm[2 * FRAME];
    int error;
    OpusEncoder *encoder =
        opus_encoder_create(48000, 2, is_speech ? OPUS_APPLICATION_VOIP : OPUS_APPLICATION_AUDIO, &error);
    CHECK_EQ(error, OPUS_OK);
    opus_encoder_ctl(encoder, OPUS_SET_BITRATE(is_speech ? 24000 : 128000));
    opus_encoder_ctl(encoder, OPUS_SET_FORCE_CHANNELS(is_speech ? 1 : 2));
    if (is_speech) {
        opus_encoder_ctl(encoder, OPUS_SET_SIGNAL(OPUS_SIGNAL_VOICE));
        opus_encoder_ctl(encoder, OPUS_SET_BANDWIDTH(OPUS_BANDWIDTH_WIDEBAND));
        opus_encoder_ctl(encoder, OPUS_SET_INBAND_FEC(1));
        opus_encoder_ctl(encoder, OPUS_SET_PACKET_LOSS_PERC(10));
    }
    double turns = 0.0;
    for (int i = 0; i < PACKETS; i++) {
        for (int n = 0; n < FRAME; n++) {
            double time_s = (i * FRAME + n) / 48000.0;
            turns += (120.0 + 30.0 * sin(2.0 * TONE_PI * time_s)) / 48000.0;
            double buzz = (0.3 + 0.2 * sin(7.0 * time_s)) * (turns - floor(turns) - 0.5);
            double sines = 0.2 * sin(2.0 * TONE_PI * 450.0 * time_s) + 0.1 * sin(2.0 * TONE_PI * 3000.0 * time_s);
            pcm[2 * n] = pcm[2 * n + 1] = (float)(is_speech ? buzz : sines);
        }
        packets->bytes[i] = opus_encode_float(encoder, pcm, FRAME, packets->data[i], sizeof packets->data[i]);
        CHECK_LESS(0, packets->bytes[i]);
        CHECK_EQ(bw_opus_is_speech(packets->data[i], (uint32_t)packets->bytes[i]), is_speech);
    }
    opus_encoder_destroy(encoder);
}

static void send(bw_playout *playout, const stream *packets, uint32_t i, int64_t now_ns) {
    uint8_t packet[12 + 1276] = {0x80, PAYLOAD_TYPE, (uint8_t)(i >> 8), (uint8_t)i};
    uint32_t timestamp = i * FRAME;
    for (int b = 0; b < 4; b++)
        packet[4 + b] = (uint8_t)(timestamp >> (24 - 8 * b));
    packet[11] = 1;
    memcpy(packet + 12, packets->data[i], (size_t)packets->bytes[i]);
    bw_playout_insert(playout, 0, packet, 12 + (uint32_t)packets->bytes[i], now_ns);
}

/* Sends a stream over a virtual network and plays it. */
static bw_receiver_stats play(const stream *packets, uint32_t mode, bool loses, float *output) {
    bw_receiver_config config = {.payload_type = PAYLOAD_TYPE, .start_ms = 40, .min_ms = 10, .max_ms = 500};
    bw_playout *playout = bw_playout_new(1);
    bw_receiver_stats stats;
    CHECK_EQ(bw_playout_set_enhancement(playout, mode),
             has_models || mode == BW_ENHANCEMENT_OFF ? BW_OK : BW_ERROR_OPUS);
    CHECK_EQ(bw_playout_add(playout, 0, &config), BW_OK);
    for (uint32_t i = 0; i < PACKETS; i++) {
        int64_t now_ns = 1000 * MS_NS + i * 20 * MS_NS;
        if (!loses || (i % LOSS_EVERY != 5 && i % 50 != 40 && i % 50 != 41))
            send(playout, packets, i, now_ns);
        bw_playout_read_mix(playout, output + 4 * BLOCK * i, BLOCK, now_ns);
        bw_playout_read_mix(playout, output + 4 * BLOCK * i + 2 * BLOCK, BLOCK, now_ns + 10 * MS_NS);
    }
    CHECK_EQ(bw_playout_get_receiver_stats(playout, 0, &stats), BW_OK);
    bw_playout_free(playout);
    return stats;
}

static bool is_same(void) { return memcmp(plain, enhanced, sizeof plain) == 0; }

static void test_music_is_the_same_bit_for_bit(void) {
    for (int loses = 0; loses < 2; loses++) {
        play(&music, BW_ENHANCEMENT_OFF, loses, plain);
        bw_receiver_stats stats = play(&music, BW_ENHANCEMENT_ON, loses, enhanced);
        CHECK(is_same());
        CHECK_EQ(stats.enhanced_samples, 0);
        CHECK_EQ(stats.is_enhanced, 0);
        CHECK_EQ(stats.concealed_samples > 0, loses);
    }
}

static void test_speech_is_enhanced_with_and_without_loss(void) {
    for (int loses = 0; loses < 2; loses++) {
        bw_receiver_stats before = play(&speech, BW_ENHANCEMENT_OFF, loses, plain);
        bw_receiver_stats stats = play(&speech, BW_ENHANCEMENT_ON, loses, enhanced);
        CHECK_EQ(is_same(), !has_models);
        CHECK_EQ(before.enhanced_samples, 0);
        CHECK_EQ(stats.is_enhanced, has_models);
        if (has_models)
            CHECK_AT_LEAST(stats.enhanced_samples, (PACKETS - 10) * FRAME * (loses ? 0.8 : 1.0));
        CHECK_EQ(stats.fec_packets_used > 0, loses);
        CHECK_EQ(stats.total_samples_received, before.total_samples_received);
    }
}

static void test_mode_auto_enhances_one_publisher(void) {
    bw_receiver_stats stats = play(&speech, BW_ENHANCEMENT_AUTO, false, enhanced);
    CHECK_EQ(stats.enhanced_samples > 0, has_models);
}

static void test_unknown_mode_is_refused(void) {
    bw_playout *playout = bw_playout_new(1);
    CHECK_EQ(bw_playout_set_enhancement(playout, BW_ENHANCEMENT_ON + 1), BW_ERROR_ARGUMENT);
    bw_playout_free(playout);
}

/* The largest second difference: reveals a step in the waveform or in its slope. */
static double worst_corner(const float *sound, int32_t from, int32_t to) {
    double worst = 0.0;
    for (int32_t i = from; i < to; i++)
        worst = fmax(worst, fabs((double)sound[2 * i] - 2.0 * sound[2 * i - 2] + sound[2 * i - 4]));
    return worst;
}

static void decode_all(float *output, uint32_t switch_every) {
    bw_enhancement enhancement;
    bw_opus_receiver receiver;
    bw_enhancement_init(&enhancement);
    CHECK(bw_opus_receiver_init(&receiver));
    receiver.enhancement = &enhancement;
    for (uint32_t i = 0; i < PACKETS; i++) {
        bool is_on = has_models && switch_every > 0 && i / switch_every % 2;
        bw_enhancement_set_mode(&enhancement, is_on ? BW_ENHANCEMENT_ON : BW_ENHANCEMENT_OFF);
        CHECK_EQ(bw_opus_receiver_decode(&receiver, speech.data[i], (uint32_t)speech.bytes[i]), FRAME);
        CHECK_EQ(receiver.is_enhanced, is_on);
        memcpy(output + 2 * FRAME * i, bw_stretch_peek(&receiver.sound), sizeof(float) * 2 * FRAME);
        bw_stretch_pop(&receiver.sound, FRAME);
    }
    bw_opus_receiver_destroy(&receiver);
}

static void test_switching_on_and_off_does_not_click(void) {
    decode_all(plain, 0);
    for (uint32_t every = 3; every < 30; every += 5) {
        decode_all(enhanced, every);
        CHECK_EQ(is_same(), !has_models);
        for (int32_t i = 2 * (int32_t)every; i < PACKETS - 2; i += (int32_t)every) {
            int32_t at = FRAME * i;
            double around = fmax(worst_corner(enhanced, at - 2 * FRAME, at - 100), worst_corner(plain, at, at + FRAME));
            CHECK_AT_MOST(worst_corner(enhanced, at - 30, at + 250), 1.5 * around);
        }
    }
}

int main(void) {
    bw_libraries libraries;
    bw_get_libraries(&libraries);
    has_models = libraries.osce;
    encode(&speech, true);
    encode(&music, false);
    RUN(test_music_is_the_same_bit_for_bit);
    RUN(test_speech_is_enhanced_with_and_without_loss);
    RUN(test_mode_auto_enhances_one_publisher);
    RUN(test_unknown_mode_is_refused);
    RUN(test_switching_on_and_off_does_not_click);
    return 0;
}
