/* Sound after concealment that lasted longer than what was lost. */
#include "check.h"
#include "opus_receiver.h"
#include "tone.h"

#include <opus/opus.h>
#include <string.h>

#define FRAME 960
#define FRAMES 12
#define LATE 6 /* number of the packet that comes late, or follows a loss */

typedef struct {
    uint8_t data[1500];
    uint32_t bytes;
} frame;

static void encode(frame *frames, int application, int bitrate_bps) {
    int error;
    OpusEncoder *encoder = opus_encoder_create(48000, 1, application, &error);
    float pcm[FRAME];
    CHECK_EQ(error, OPUS_OK);
    opus_encoder_ctl(encoder, OPUS_SET_BITRATE(bitrate_bps));
    for (int i = 0; i < FRAMES; i++) {
        tone_write_voice(pcm, FRAME, 1, (uint64_t)i * FRAME);
        int bytes = opus_encode_float(encoder, pcm, FRAME, frames[i].data, sizeof frames[i].data);
        CHECK_LESS(0, bytes);
        frames[i].bytes = (uint32_t)bytes;
    }
    opus_encoder_destroy(encoder);
}

static void play_all(bw_opus_receiver *receiver) {
    bw_stretch_pop(&receiver->sound, bw_stretch_waiting(&receiver->sound));
}

/* Plays all frames but those from LATE - lost on, for which `pieces` frames of concealment are
 * played. Writes the last frame. */
static void play(const frame *frames, int lost, int pieces, float *last) {
    bw_opus_receiver receiver;
    CHECK(bw_opus_receiver_init(&receiver));
    receiver.gain = 1.0f;
    for (int i = 0; i < FRAMES; i++) {
        if (i >= LATE - lost && i < LATE)
            continue;
        for (int piece = 0; i == LATE && piece < pieces; piece++) {
            bw_opus_receiver_conceal(&receiver, FRAME, false);
            play_all(&receiver);
        }
        if (i == LATE)
            bw_opus_receiver_settle(&receiver, (uint32_t)lost * FRAME);
        CHECK_EQ(bw_opus_receiver_decode(&receiver, frames[i].data, frames[i].bytes), FRAME);
        if (i == FRAMES - 1)
            memcpy(last, bw_stretch_peek(&receiver.sound), sizeof(float) * 2 * FRAME);
        play_all(&receiver);
    }
    bw_opus_receiver_destroy(&receiver);
}

/* The decoder predicts each frame from the one before, so only the right state gives the same samples. */
static void check_same_sound(int lost, int pieces, int other) {
    static frame frames[FRAMES];
    static float expected[2 * FRAME], actual[2 * FRAME];
    for (int is_music = 0; is_music <= 1; is_music++) {
        encode(frames, is_music ? OPUS_APPLICATION_AUDIO : OPUS_APPLICATION_VOIP, is_music ? 96000 : 24000);
        play(frames, lost, pieces, expected);
        play(frames, lost, other, actual);
        CHECK(memcmp(expected, actual, sizeof expected) == 0);
    }
}

static void test_late_packet_is_decoded_as_if_nothing_had_been_concealed(void) {
    check_same_sound(0, 0, 1);
    check_same_sound(0, 0, 7);
}

static void test_packet_after_loss_is_decoded_the_same_if_more_was_concealed(void) {
    check_same_sound(1, 1, 2);
    check_same_sound(1, 1, 6);
}

int main(void) {
    RUN(test_late_packet_is_decoded_as_if_nothing_had_been_concealed);
    RUN(test_packet_after_loss_is_decoded_the_same_if_more_was_concealed);
    return 0;
}
