/*
 * Sender → seeded network → jitter buffer, in virtual time. The sender encodes two sines once and sends them in a loop;
 * the network loses, delays, reorders and duplicates; the player pulls at its own clock and checks for clicks.
 */
#ifndef BW_VIRTUAL_NETWORK_H
#define BW_VIRTUAL_NETWORK_H

#include "check.h"
#include "jitter_buffer.h"
#include "stretch.h"
#include "tone.h"

#include <opus/opus.h>
#include <stdbool.h>
#include <string.h>

#define LEFT_HZ 450.0 /* has whole periods in every frame size and in the loop of one second */
#define RIGHT_HZ 900.0
#define AMPLITUDE 0.3
#define PAYLOAD_TYPE 111
#define RED_PAYLOAD_TYPE 63
#define SECOND_NS 1000000000LL
#define MS_NS 1000000LL
#define MAX_IN_FLIGHT 2048
#define FASTEST_MS 20.0
#define MAX_LOOP 400

typedef struct {
    uint32_t seed;
    double seconds;
    uint32_t frame_samples; /* 0: 960 */
    double loss;            /* share of packets lost */
    double burst_every_s;   /* 0: none; otherwise burst_packets are lost together */
    uint32_t burst_packets;
    double jitter_ms; /* each packet is delayed by 0 to this, uniformly distributed */
    double reorder;   /* share of packets delayed by another 30 ms */
    double duplicate; /* share of packets sent twice */
    double sender_ppm;
    double step_ms; /* the path becomes longer by this ... */
    double step_from_s, step_to_s;
    double stall_every_s, stall_ms; /* 0: none; packets due within a stall arrive together at its end */
    uint32_t pull_frames;           /* 0: 480 */
    uint32_t red_level;             /* copies per packet */
    uint32_t start_ms, min_ms, max_ms;
    double left_hz, right_hz, amplitude; /* 0: LEFT_HZ, RIGHT_HZ, AMPLITUDE */
} scenario;

typedef struct {
    int64_t arrival_ns;
    uint32_t length;
    uint8_t data[1500];
} in_flight_packet;

typedef struct {
    uint32_t at_s; /* virtual time in seconds */
    double delay_ms, target_ms;
    uint64_t concealed_samples;
    double played_ms; /* delay by played_ns: from the arrival of a packet on the fastest path until it is played */
} moment;

typedef struct {
    bw_receiver_stats stats;
    uint32_t clicks;          /* 5 ms windows that differ from the sines */
    double worst_break;       /* largest residual of any window, relative to the sine's amplitude */
    uint32_t longest_silence; /* consecutive windows of exact silence */
    moment moments[2000];     /* one per second */
    uint32_t moment_count;
    uint64_t packets_sent, packets_delivered;
    double max_queued_ms; /* most audio queued in packets after any pull; without RED */
} outcome;

typedef struct {
    uint8_t data[1276];
    uint32_t length;
} encoded;

typedef struct {
    scenario scenario;
    uint32_t random;
    encoded loop[MAX_LOOP];
    uint32_t loop_count;
    in_flight_packet under_way[MAX_IN_FLIGHT];
    uint32_t under_way_count;
    uint32_t frame; /* number of the next frame to send */
    uint32_t burst_left;
    bw_jitter_buffer *buffer;
    float window[2 * 240];
    uint32_t window_frames;
    uint32_t silent_for; /* windows */
    outcome outcome;
} simulation;

static inline double next_random(simulation *sim) {
    sim->random = sim->random * 1664525u + 1013904223u;
    return (double)(sim->random >> 8) / 16777216.0;
}

static inline scenario with_defaults(scenario s) {
    s.frame_samples = s.frame_samples ? s.frame_samples : 960;
    s.pull_frames = s.pull_frames ? s.pull_frames : 480;
    s.max_ms = s.max_ms ? s.max_ms : 500;
    s.left_hz = s.left_hz > 0 ? s.left_hz : LEFT_HZ;
    s.right_hz = s.right_hz > 0 ? s.right_hz : RIGHT_HZ;
    s.amplitude = s.amplitude > 0 ? s.amplitude : AMPLITUDE;
    return s;
}

/* Encodes one second of the sines, after a warm-up, into packets. */
static inline void encode_loop(simulation *sim) {
    const scenario *s = &sim->scenario;
    uint32_t samples = sim->scenario.frame_samples;
    int error;
    OpusEncoder *encoder = opus_encoder_create(48000, 2, OPUS_APPLICATION_AUDIO, &error);
    static float pcm[2 * 5760];
    CHECK_EQ(error, OPUS_OK);
    opus_encoder_ctl(encoder, OPUS_SET_BITRATE(128000));
    opus_encoder_ctl(encoder, OPUS_SET_COMPLEXITY(1));
    sim->loop_count = 48000 / samples;
    for (uint32_t i = 0; i < 2 * sim->loop_count; i++) {
        encoded *slot = &sim->loop[i % sim->loop_count];
        tone_write(pcm, samples, 2, s->left_hz, 48000, s->amplitude, (uint64_t)i * samples);
        tone_write(pcm + 1, samples, 2, s->right_hz, 48000, s->amplitude, (uint64_t)i * samples);
        int length = opus_encode_float(encoder, pcm, (int)samples, slot->data, sizeof slot->data);
        CHECK_LESS(0, length);
        slot->length = (uint32_t)length;
    }
    opus_encoder_destroy(encoder);
}

static inline uint32_t write_header(uint8_t *out, uint8_t payload_type, uint32_t sequence, uint32_t timestamp) {
    const uint8_t header[12] = {0x80,
                                payload_type,
                                (uint8_t)(sequence >> 8),
                                (uint8_t)sequence,
                                (uint8_t)(timestamp >> 24),
                                (uint8_t)(timestamp >> 16),
                                (uint8_t)(timestamp >> 8),
                                (uint8_t)timestamp,
                                0xCA,
                                0xFE,
                                0,
                                1};
    memcpy(out, header, sizeof header);
    return sizeof header;
}

/* Sequence number and timestamp start just below their wraps. */
static inline uint32_t write_packet(simulation *sim, uint32_t frame, uint8_t *out) {
    uint32_t level = sim->scenario.red_level < frame ? sim->scenario.red_level : frame;
    uint32_t samples = sim->scenario.frame_samples;
    uint32_t at =
        write_header(out, level ? RED_PAYLOAD_TYPE : PAYLOAD_TYPE, 65000 + frame, 0xFFFF0000u + frame * samples);
    for (uint32_t age = level; age > 0; age--) {
        uint32_t length = sim->loop[(frame - age) % sim->loop_count].length;
        uint32_t word = 0x80000000u | PAYLOAD_TYPE << 24 | (age * samples) << 10 | length;
        for (int shift = 24; shift >= 0; shift -= 8)
            out[at++] = (uint8_t)(word >> shift);
    }
    if (level > 0)
        out[at++] = PAYLOAD_TYPE;
    for (int32_t age = (int32_t)level; age >= 0; age--) {
        const encoded *block = &sim->loop[(frame - (uint32_t)age) % sim->loop_count];
        memcpy(out + at, block->data, block->length);
        at += block->length;
    }
    return at;
}

/* Stalls end at multiples of stall_every_s. */
static inline int64_t after_stalls(const scenario *s, int64_t arrival_ns) {
    double left_ms =
        s->stall_every_s > 0 ? 1e3 * (s->stall_every_s - fmod((double)arrival_ns * 1e-9, s->stall_every_s)) : INFINITY;
    return left_ms < s->stall_ms ? arrival_ns + (int64_t)(left_ms * 1e6) : arrival_ns;
}

static inline void travel(simulation *sim, uint32_t frame, int64_t arrival_ns) {
    CHECK_LESS(sim->under_way_count, MAX_IN_FLIGHT);
    in_flight_packet *slot = &sim->under_way[sim->under_way_count++];
    slot->arrival_ns = after_stalls(&sim->scenario, arrival_ns);
    slot->length = write_packet(sim, frame, slot->data);
}

static inline bool is_lost(simulation *sim, int64_t sent_ns) {
    const scenario *s = &sim->scenario;
    if (s->burst_every_s > 0 && sim->burst_left == 0 &&
        fmod((double)sent_ns * 1e-9, s->burst_every_s) < s->frame_samples / 48000.0)
        sim->burst_left = s->burst_packets;
    if (sim->burst_left > 0) {
        sim->burst_left--;
        return true;
    }
    return next_random(sim) < s->loss;
}

/* Sends everything due by now. */
static inline void send_until(simulation *sim, int64_t now_ns) {
    const scenario *s = &sim->scenario;
    for (;; sim->frame++) {
        double frame_s = (double)sim->frame * s->frame_samples / 48000.0 / (1.0 + s->sender_ppm * 1e-6);
        int64_t sent_ns = SECOND_NS + (int64_t)(frame_s * 1e9);
        if (sent_ns > now_ns)
            return;
        bool stepped = frame_s >= s->step_from_s && frame_s < s->step_to_s;
        double way_ms = FASTEST_MS + (stepped ? s->step_ms : 0.0) + s->jitter_ms * next_random(sim);
        if (next_random(sim) < s->reorder)
            way_ms += 30.0;
        sim->outcome.packets_sent++;
        if (is_lost(sim, sent_ns))
            continue;
        travel(sim, sim->frame, sent_ns + (int64_t)(way_ms * 1e6));
        if (next_random(sim) < s->duplicate)
            travel(sim, sim->frame, sent_ns + (int64_t)((way_ms + 5.0) * 1e6));
    }
}

static inline void deliver_until(simulation *sim, int64_t now_ns) {
    for (;;) {
        uint32_t first = UINT32_MAX;
        for (uint32_t i = 0; i < sim->under_way_count; i++)
            if (sim->under_way[i].arrival_ns <= now_ns &&
                (first == UINT32_MAX || sim->under_way[i].arrival_ns < sim->under_way[first].arrival_ns))
                first = i;
        if (first == UINT32_MAX)
            return;
        in_flight_packet *packet = &sim->under_way[first];
        bw_jitter_buffer_insert(sim->buffer, packet->data, packet->length, packet->arrival_ns);
        sim->outcome.packets_delivered++;
        *packet = sim->under_way[--sim->under_way_count];
    }
}

static inline void note_silence(simulation *sim) {
    float loudest = 0.0f;
    for (uint32_t i = 0; i < 2 * 240; i++)
        loudest = fmaxf(loudest, fabsf(sim->window[i]));
    sim->silent_for = loudest == 0.0f ? sim->silent_for + 1 : 0;
    if (sim->silent_for > sim->outcome.longest_silence)
        sim->outcome.longest_silence = sim->silent_for;
}

static inline void judge(simulation *sim, const float *block, uint32_t frames) {
    for (uint32_t i = 0; i < frames; i++) {
        sim->window[2 * sim->window_frames] = block[2 * i];
        sim->window[2 * sim->window_frames + 1] = block[2 * i + 1];
        if (++sim->window_frames < 240)
            continue;
        sim->window_frames = 0;
        double left = tone_measure(sim->window, 240, 2, LEFT_HZ, 48000).residual;
        double right = tone_measure(sim->window + 1, 240, 2, RIGHT_HZ, 48000).residual;
        double worst = fmax(left, right) / AMPLITUDE;
        sim->outcome.clicks += worst > 0.08;
        note_silence(sim);
        sim->outcome.worst_break = fmax(sim->outcome.worst_break, worst);
    }
}

/* Each sample that was decoded, concealed or inserted, or is comfort noise, was played or removed, or is still queued.
 * The pull in which a stream begins to play starts with silence. */
static inline void check_samples_add_up(const bw_receiver_stats *s, uint64_t comfort, uint32_t pull, uint32_t frame) {
    int64_t made = (int64_t)(s->jitter_buffer_emitted_count + s->concealed_samples + comfort);
    int64_t stretched = (int64_t)(s->inserted_samples_for_deceleration - s->removed_samples_for_acceleration);
    int64_t queued = made + stretched - (int64_t)s->total_samples_received;
    CHECK_AT_LEAST(queued, -(double)pull);
    CHECK_AT_MOST(queued, BW_STRETCH_LOOK_AHEAD + frame);
    CHECK_AT_MOST(s->silent_concealed_samples, s->concealed_samples);
    CHECK_AT_MOST(s->concealment_events, s->concealed_samples);
}

static inline void note_moment(simulation *sim, double at_s) {
    if (sim->outcome.moment_count > at_s || sim->outcome.moment_count == 2000)
        return;
    bw_receiver_stats stats;
    bw_jitter_buffer_get_stats(sim->buffer, &stats);
    check_samples_add_up(&stats, 0, sim->scenario.pull_frames, sim->scenario.frame_samples);
    double sent_ns = SECOND_NS - 0xFFFF0000u * (1e9 / 48000); /* RTP time 0 */
    sim->outcome.moments[sim->outcome.moment_count++] =
        (moment){(uint32_t)at_s, stats.jitter_buffer_ms, stats.jitter_buffer_target_ms, stats.concealed_samples,
                 ((double)stats.played_ns - sent_ns) * 1e-6 - FASTEST_MS};
}

/* Records the audio that was received and neither decoded nor dropped. */
static inline void record_queued(simulation *sim) {
    bw_receiver_stats stats;
    bw_jitter_buffer_get_stats(sim->buffer, &stats);
    uint64_t dropped = stats.packets_discarded + stats.late_packets + stats.duplicate_packets;
    uint64_t taken = (sim->outcome.packets_delivered - dropped) * sim->scenario.frame_samples;
    double kept_ms = ((double)taken - (double)stats.jitter_buffer_emitted_count) / 48.0;
    sim->outcome.max_queued_ms = fmax(sim->outcome.max_queued_ms, kept_ms);
}

static inline bw_jitter_buffer *make_buffer(uint32_t start_ms, uint32_t min_ms, uint32_t max_ms, bool red) {
    bw_receiver_config config = {PAYLOAD_TYPE, red ? RED_PAYLOAD_TYPE : 0, start_ms, min_ms, max_ms, 0};
    bw_resampler *filter = bw_resampler_new_band(48000, 48000, 2, 20000, 28000);
    bw_jitter_buffer *buffer = bw_jitter_buffer_new(&config, filter);
    bw_resampler_free(filter);
    CHECK(buffer != NULL);
    return buffer;
}

/* Checks for clicks from the fifth second on. */
static inline const outcome *simulate(scenario s) {
    static simulation sim;
    static float block[2 * 48000];
    memset(&sim, 0, sizeof sim);
    s = with_defaults(s);
    sim.scenario = s;
    sim.random = s.seed;
    sim.buffer = make_buffer(s.start_ms, s.min_ms, s.max_ms, s.red_level > 0);
    encode_loop(&sim);
    for (uint64_t frames = 0; (double)frames < s.seconds * 48000.0; frames += s.pull_frames) {
        double at_s = (double)frames / 48000.0;
        int64_t now_ns = SECOND_NS + 3 * MS_NS + (int64_t)(at_s * 1e9);
        send_until(&sim, now_ns);
        deliver_until(&sim, now_ns);
        bw_jitter_buffer_get(sim.buffer, block, s.pull_frames, now_ns);
        if (at_s >= 5.0)
            judge(&sim, block, s.pull_frames);
        note_moment(&sim, at_s);
        record_queued(&sim);
    }
    bw_jitter_buffer_get_stats(sim.buffer, &sim.outcome.stats);
    bw_jitter_buffer_free(sim.buffer);
    return &sim.outcome;
}

#endif
