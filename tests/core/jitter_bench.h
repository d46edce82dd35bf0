/* A jitter buffer with its own virtual clock: inserting a packet happens now, pulling advances the clock. */
#ifndef BW_JITTER_BENCH_H
#define BW_JITTER_BENCH_H

#include "virtual_network.h"

#define FRAME 960
#define MAX_HEARD (48000 * 40)

typedef struct {
    bw_jitter_buffer *buffer;
    int64_t now_ns;
    uint32_t sequence;
    uint32_t timestamp;
    uint32_t heard_frames;
} bench;

static float heard[2 * MAX_HEARD];
static uint8_t packet[4000];

static inline bench open_bench_with(uint32_t start_ms, uint32_t min_ms, uint32_t max_ms) {
    bw_jitter_buffer *buffer = make_buffer(start_ms, min_ms, max_ms, true);
    return (bench){.buffer = buffer, .now_ns = SECOND_NS, .sequence = 65530, .timestamp = 1000 * FRAME + 7};
}

static inline bench open_bench(uint32_t start_ms, uint32_t max_ms) { return open_bench_with(start_ms, 0, max_ms); }

static inline bench open_bench_with_minimum(uint32_t min_ms, uint32_t max_ms) {
    return open_bench_with(min_ms, min_ms, max_ms);
}

static inline void close_bench(bench *b) { bw_jitter_buffer_free(b->buffer); }

static inline void put_as(bench *b, uint8_t payload_type, const uint8_t *payload, uint32_t length) {
    uint32_t header = write_header(packet, payload_type, b->sequence, b->timestamp);
    memcpy(packet + header, payload, length);
    bw_jitter_buffer_insert(b->buffer, packet, header + length, b->now_ns);
}

static inline void pull(bench *b, uint32_t frames) {
    CHECK_LESS(b->heard_frames + frames, MAX_HEARD);
    b->now_ns += (int64_t)frames * 62500 / 3;
    bw_jitter_buffer_get(b->buffer, heard + 2 * b->heard_frames, frames, b->now_ns);
    b->heard_frames += frames;
}

static inline void pull_ms(bench *b, uint32_t ms) {
    for (uint32_t i = 0; i < ms; i += 10)
        pull(b, 480);
}

/* Inserts one packet and pulls as many frames as it plays. */
static inline void play(bench *b, const uint8_t *payload, uint32_t length, uint32_t samples) {
    put_as(b, PAYLOAD_TYPE, payload, length);
    pull_ms(b, samples / 48);
    b->sequence++;
    b->timestamp += samples;
}

static inline void skip(bench *b, uint32_t samples) {
    pull_ms(b, samples / 48);
    b->sequence++;
    b->timestamp += samples;
}

static inline bw_receiver_stats stats_of(bench *b) {
    bw_receiver_stats stats;
    bw_jitter_buffer_get_stats(b->buffer, &stats);
    return stats;
}

static inline void check_bench_adds_up(bench *b, uint64_t comfort) {
    bw_receiver_stats stats = stats_of(b);
    check_samples_add_up(&stats, comfort, 480, FRAME);
}

static inline double level_of(const bench *b, uint32_t back_ms, uint32_t ms) {
    double square = 0.0;
    const float *from = heard + 2 * (b->heard_frames - back_ms * 48);
    for (uint32_t i = 0; i < 2 * ms * 48; i++)
        square += (double)from[i] * from[i];
    return decibels(sqrt(square / (2.0 * ms * 48)));
}

static inline simulation *tones(void) {
    static simulation sim;
    memset(&sim, 0, sizeof sim);
    sim.scenario = with_defaults((scenario){.seed = 1});
    encode_loop(&sim);
    return &sim;
}

static inline void play_tones(bench *b, uint32_t count) {
    static simulation *sim;
    sim = sim ? sim : tones();
    for (uint32_t i = 0; i < count; i++) {
        const encoded *frame = &sim->loop[b->timestamp / FRAME % sim->loop_count];
        play(b, frame->data, frame->length, FRAME);
    }
}

typedef struct {
    OpusEncoder *encoder;
    uint64_t position;
    bool speaks;
} speaker;

static inline speaker open_speaker(int channels, bool dtx, bool fec) {
    int error;
    speaker s = {.encoder = opus_encoder_create(48000, channels, OPUS_APPLICATION_VOIP, &error), .speaks = true};
    opus_encoder_ctl(s.encoder, OPUS_SET_BITRATE(24000));
    opus_encoder_ctl(s.encoder, OPUS_SET_DTX(dtx));
    opus_encoder_ctl(s.encoder, OPUS_SET_INBAND_FEC(fec));
    opus_encoder_ctl(s.encoder, OPUS_SET_PACKET_LOSS_PERC(fec ? 20 : 0));
    return s;
}

static inline uint32_t speak(speaker *s, uint8_t *out, int samples, uint32_t channels) {
    float pcm[2 * 2880] = {0};
    if (s->speaks)
        tone_write_voice(pcm, (uint32_t)samples, channels, s->position);
    s->position += (uint64_t)samples;
    int length = opus_encode_float(s->encoder, pcm, samples, out, 1500);
    CHECK_LESS(0, length);
    return (uint32_t)length;
}

#endif
