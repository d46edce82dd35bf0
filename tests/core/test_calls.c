/* Callers: who hears whom, at which level, without clicks; how their audio reaches other clocks. Threaded. */
#include "calls.h"
#include "engine_fixture.h"
#include "fan_out.h"
#include "virtual_network.h"

#define FRAME 960
#define FRAME_NS (20 * MS_NS)
#define CALLERS 4
#define SECONDS 3
#define LEVEL 0.1
#define PROGRAMME_HZ 450.0
#define STUDIO_HZ 2000.0

/* An engine whose threads do not run, with callers that send a tone each, in virtual time. */
typedef struct {
    bw_engine *engine;
    simulation sims[CALLERS];
    uint32_t sent[CALLERS];
    bw_feed *feeds[CALLERS];
    bw_call_settings settings[CALLERS];
    uint32_t frames;
    bool has_talkback;
    bool has_hold; /* of the same tone */
} studio;

static float heard[CALLERS][2 * 48000 * SECONDS * 2];
static float on_air[2 * 48000 * SECONDS * 2];

static double caller_hz(uint32_t caller) { return 600.0 + 150.0 * caller; }

static void set(studio *s, uint32_t caller) { CHECK_EQ(bw_call_set(s->engine, caller, &s->settings[caller]), BW_OK); }

static void set_state(studio *s, uint32_t caller, uint32_t state) {
    s->settings[caller].state = state;
    set(s, caller);
}

static void join(studio *s, uint32_t caller) {
    bw_receiver_config config = {
        .payload_type = PAYLOAD_TYPE, .start_ms = 20, .min_ms = 20, .max_ms = 200, .in_call = FRAME};
    s->settings[caller] = (bw_call_settings){.state = BW_CALL_ON_AIR, .gain = 1, .return_gain = 1};
    set(s, caller);
    double hz = caller_hz(caller);
    s->sims[caller].scenario = with_defaults((scenario){.left_hz = hz, .right_hz = hz, .amplitude = LEVEL});
    encode_loop(&s->sims[caller]);
    CHECK_EQ(bw_playout_add(s->engine->playout, caller, &config), BW_OK);
    s->feeds[caller] = bw_feed_new(caller, FRAME);
    bw_calls_add(s->engine->calls, s->feeds[caller]);
}

static studio *open_studio(uint32_t callers) {
    int status;
    bw_engine_config config = {.max_peers = 8, .frame_samples = FRAME, .fan_out_threads = 1};
    studio *s = calloc(1, sizeof *s);
    s->engine = bw_engine_new(&config, &status);
    CHECK(s->engine != NULL);
    CHECK(bw_playout_open_calls(s->engine->playout, FRAME));
    for (uint32_t i = 0; i < callers; i++)
        join(s, i);
    return s;
}

static void close_studio(studio *s) {
    for (uint32_t i = 0; i < CALLERS; i++) {
        if (s->feeds[i] != NULL)
            bw_calls_remove(s->engine->calls, s->feeds[i]);
        bw_feed_free(s->feeds[i]);
    }
    bw_engine_free(s->engine);
    free(s);
}

static void write_tone(float *block, uint32_t frame, double hz) {
    for (uint32_t i = 0; i < FRAME; i++)
        block[2 * i] = block[2 * i + 1] =
            (float)(LEVEL * sin(2 * TONE_PI * hz * ((double)frame * FRAME + i) / 48000.0));
}

/* Sends what is due, mixes one frame, and takes what each caller and the listeners hear. */
static void mix_frame(studio *s, uint32_t at) {
    float programme[2 * FRAME], talkback[2 * FRAME];
    int64_t now_ns = SECOND_NS + 3 * MS_NS + s->frames * FRAME_NS;
    for (uint32_t i = 0; i < CALLERS; i++) {
        for (; s->feeds[i] != NULL && SECOND_NS + s->sent[i] * FRAME_NS <= now_ns; s->sent[i]++) {
            uint8_t packet[1500];
            uint32_t length = write_packet(&s->sims[i], s->sent[i], packet);
            bw_playout_insert(s->engine->playout, i, packet, length, SECOND_NS + s->sent[i] * FRAME_NS);
        }
    }
    write_tone(programme, s->frames, PROGRAMME_HZ);
    write_tone(talkback, s->frames, STUDIO_HZ);
    if (s->has_talkback)
        bw_calls_write(s->engine->calls, BW_CHANNEL_TALKBACK, talkback);
    if (s->has_hold)
        bw_calls_write(s->engine->calls, BW_CHANNEL_HOLD, talkback);
    bw_calls_mix(s->engine->calls, programme, s->frames, now_ns);
    memcpy(on_air + 2 * FRAME * (size_t)at, programme, sizeof programme);
    for (uint32_t i = 0; i < CALLERS; i++) {
        if (s->feeds[i] == NULL)
            continue;
        bw_feed_frame *frame = bw_ring_peek(&s->feeds[i]->frames);
        CHECK(frame != NULL);
        CHECK_EQ(frame->number, s->frames);
        memcpy(heard[i] + 2 * FRAME * (size_t)at, frame->samples, sizeof programme);
        bw_ring_pop(&s->feeds[i]->frames);
    }
    s->frames++;
}

static void run(studio *s, uint32_t frames) {
    for (uint32_t i = 0; i < frames; i++)
        mix_frame(s, i);
}

/* Lets the jitter buffers settle. */
static void warm_up(studio *s) { run(s, 50); }

/* Amplitude of a tone in the last 200 ms of some frames. */
static double level(const float *samples, uint32_t frames, double hz) {
    return tone_measure(samples + 2 * FRAME * (size_t)(frames - 10), FRAME * 10, 2, hz, 48000).amplitude;
}

static void check_heard(const float *samples, double hz, double wanted) {
    double found = level(samples, 30, hz);
    if (wanted > 0)
        CHECK_NEAR(found, wanted, 0.1 * wanted);
    else
        CHECK_LESS(found, LEVEL / 100); /* coding noise of the others */
}

/* The largest second difference: reveals a step in the waveform or in its slope. */
static double worst_corner(const float *samples, uint32_t frames) {
    double worst = 0.0;
    for (uint32_t i = 4; i < 2 * FRAME * frames; i++)
        worst = fmax(worst, fabs(samples[i] - 2.0 * samples[i - 2] + samples[i - 4]));
    return worst;
}

static double corner_of_sine(double hz) { return LEVEL * pow(2.0 * TONE_PI * hz / 48000.0, 2.0); }

/* ---- who hears whom */

static void test_callers_hear_programme_and_others_but_not_themselves(void) {
    studio *s = open_studio(3);
    warm_up(s);
    run(s, 30);
    for (uint32_t i = 0; i < 3; i++) {
        check_heard(heard[i], PROGRAMME_HZ, LEVEL);
        for (uint32_t k = 0; k < 3; k++)
            check_heard(heard[i], caller_hz(k), k == i ? 0 : LEVEL);
        check_heard(on_air, caller_hz(i), LEVEL);
    }
    check_heard(on_air, PROGRAMME_HZ, LEVEL);
    close_studio(s);
}

/* Coding noise hides what is 60 dB below, so the same call is made twice: once, nobody but the caller hears itself. */
static void test_callers_do_not_hear_themselves_at_all(void) {
    studio *s = open_studio(3), *muted = open_studio(3);
    muted->settings[1].muted = 1;
    set(muted, 1);
    for (uint32_t frame = 0; frame < 60; frame++) {
        float with[2 * FRAME], without[2 * FRAME];
        mix_frame(s, 0);
        memcpy(with, heard[1], sizeof with);
        mix_frame(muted, 0);
        memcpy(without, heard[1], sizeof without);
        for (uint32_t i = 0; i < 2 * FRAME; i++)
            CHECK_NEAR(with[i], without[i], LEVEL * 1e-5); /* 100 dB below */
    }
    close_studio(s);
    close_studio(muted);
}

static void test_states_decide_who_hears_a_caller(void) {
    studio *s = open_studio(4);
    s->has_talkback = true;
    set_state(s, 1, BW_CALL_WAITING);
    set_state(s, 2, BW_CALL_PRIVATE);
    set_state(s, 3, BW_CALL_PRODUCER);
    warm_up(s);
    run(s, 30);
    double tones_hz[] = {PROGRAMME_HZ, STUDIO_HZ, caller_hz(0), caller_hz(1), caller_hz(2), caller_hz(3)};
    bool hears[5][6] = {
        {1, 0, 0, 0, 0, 0}, /* on air: all others on air */
        {1, 0, 1, 0, 0, 0}, /* waiting */
        {0, 1, 0, 0, 0, 1}, /* private: the studio's microphone and the producer */
        {0, 0, 0, 0, 1, 0}, /* the producer: who is in private */
        {1, 0, 1, 0, 0, 0}, /* the listeners */
    };
    for (uint32_t i = 0; i < 5; i++) {
        for (uint32_t k = 0; k < 6; k++)
            check_heard(i < 4 ? heard[i] : on_air, tones_hz[k], hears[i][k] ? LEVEL : 0);
    }
    close_studio(s);
}

static void test_talkback_reaches_only_whom_it_should(void) {
    studio *s = open_studio(4);
    s->has_talkback = true;
    set_state(s, 1, BW_CALL_WAITING);
    set_state(s, 2, BW_CALL_WAITING);
    set_state(s, 3, BW_CALL_PRODUCER);
    s->settings[0].talkback = s->settings[1].talkback = 1;
    set(s, 0);
    set(s, 1);
    warm_up(s);
    run(s, 30);
    for (uint32_t i = 0; i < 3; i++) {
        check_heard(heard[i], STUDIO_HZ, i < 2 ? LEVEL : 0);
        check_heard(heard[i], caller_hz(3), i < 2 ? LEVEL : 0);
        check_heard(heard[i], PROGRAMME_HZ, LEVEL);
    }
    check_heard(heard[3], caller_hz(0), 0); /* on air: the producer hears it there */
    check_heard(heard[3], caller_hz(1), LEVEL);
    check_heard(heard[3], caller_hz(2), 0);
    check_heard(on_air, STUDIO_HZ, 0);
    check_heard(on_air, caller_hz(3), 0);
    close_studio(s);
}

static void test_those_who_wait_hear_what_is_for_them(void) {
    studio *s = open_studio(3);
    s->has_hold = true;
    bw_calls_set_hold(s->engine->calls, true);
    set_state(s, 1, BW_CALL_WAITING);
    set_state(s, 2, BW_CALL_PRIVATE);
    warm_up(s);
    run(s, 30);
    for (uint32_t i = 0; i < 3; i++) {
        check_heard(heard[i], STUDIO_HZ, i == 1 ? LEVEL : 0);
        check_heard(heard[i], PROGRAMME_HZ, i == 0 ? LEVEL : 0);
    }
    check_heard(on_air, STUDIO_HZ, 0);
    bw_calls_set_hold(s->engine->calls, false);
    run(s, 30);
    check_heard(heard[1], PROGRAMME_HZ, LEVEL);
    check_heard(heard[1], STUDIO_HZ, 0);
    close_studio(s);
}

static void test_gains_and_mute(void) {
    studio *s = open_studio(3);
    s->settings[0].gain = 0.5f;
    s->settings[1].return_gain = 2.0f;
    s->settings[2].muted = 1;
    for (uint32_t i = 0; i < 3; i++)
        set(s, i);
    warm_up(s);
    run(s, 30);
    check_heard(on_air, caller_hz(0), 0.5 * LEVEL);
    check_heard(on_air, caller_hz(1), LEVEL);
    check_heard(on_air, caller_hz(2), 0);
    check_heard(heard[1], caller_hz(0), LEVEL);
    check_heard(heard[1], PROGRAMME_HZ, 2 * LEVEL);
    check_heard(heard[2], caller_hz(0), 0.5 * LEVEL);
    close_studio(s);
}

static void test_wrong_settings_are_refused(void) {
    studio *s = open_studio(1);
    bw_call_settings good = s->settings[0], wrong[] = {good, good, good, good};
    wrong[0].state = 5;
    wrong[1].gain = 4.1f;
    wrong[2].gain = NAN;
    wrong[3].return_gain = -1;
    for (uint32_t i = 0; i < 4; i++)
        CHECK_EQ(bw_call_set(s->engine, 0, &wrong[i]), BW_ERROR_ARGUMENT);
    CHECK_EQ(bw_call_set(s->engine, 8, &good), BW_ERROR_ARGUMENT);
    close_studio(s);
}

/* ---- clicks */

static void test_hundred_changes_make_no_click(void) {
    studio *s = open_studio(2);
    uint32_t states[] = {BW_CALL_WAITING, BW_CALL_ON_AIR, BW_CALL_PRIVATE, BW_CALL_ON_AIR};
    warm_up(s);
    for (uint32_t i = 0; i < 100; i++) {
        s->settings[0].gain = i % 3 == 0 ? 0.5f : 1.0f;
        s->settings[0].muted = i % 7 == 0;
        set_state(s, 0, states[i % 4]);
        mix_frame(s, i);
    }
    /* A ramp of 10 ms turns the slope by a 480th of the amplitude, twice. Coding noise: as on air without changes. */
    double smooth = corner_of_sine(PROGRAMME_HZ) + corner_of_sine(caller_hz(0)) + 2 * LEVEL / 480;
    CHECK_LESS(worst_corner(on_air, 100), 1.5 * smooth);
    CHECK_LESS(worst_corner(heard[1], 100), 1.5 * smooth);
    close_studio(s);
}

/* With frames of the length of two ramps, all of the change is in the first frame. */
static void test_only_caller_on_air_makes_no_click(void) {
    studio *s = open_studio(1);
    warm_up(s);
    mix_frame(s, 0);
    set_state(s, 0, BW_CALL_WAITING);
    mix_frame(s, 1);
    mix_frame(s, 2);
    s->settings[0].gain = 4;
    set_state(s, 0, BW_CALL_ON_AIR);
    mix_frame(s, 3);
    mix_frame(s, 4);
    s->settings[0].muted = 1;
    set(s, 0);
    mix_frame(s, 5);
    mix_frame(s, 6);
    double smooth = corner_of_sine(PROGRAMME_HZ) + 4 * (corner_of_sine(caller_hz(0)) + 2 * LEVEL / 480);
    CHECK_LESS(worst_corner(on_air, 7), 1.5 * smooth);
    close_studio(s);
}

/* As the engine does it: the feed goes first, and the jitter buffer when all threads have released the peer. */
static void leave_at_once(studio *s, uint32_t caller) {
    bw_calls_remove(s->engine->calls, s->feeds[caller]);
    bw_feed_free(s->feeds[caller]);
    s->feeds[caller] = NULL;
}

static void test_caller_that_leaves_makes_no_click(void) {
    studio *s = open_studio(3);
    set_state(s, 1, BW_CALL_PRODUCER);
    set_state(s, 2, BW_CALL_PRIVATE);
    warm_up(s);
    mix_frame(s, 0);
    leave_at_once(s, 0);
    leave_at_once(s, 1);
    mix_frame(s, 1);
    mix_frame(s, 2);
    /* The fade from the last value is level: the slope of the tone ends. */
    double slope = LEVEL * 2 * TONE_PI * caller_hz(1) / 48000.0, smooth = corner_of_sine(caller_hz(1));
    CHECK_LESS(worst_corner(on_air, 3), 1.5 * (smooth + slope + corner_of_sine(PROGRAMME_HZ)));
    CHECK_LESS(worst_corner(heard[2], 3), 1.5 * (smooth + slope));
    run(s, 30);
    check_heard(on_air, caller_hz(0), 0);
    check_heard(heard[2], caller_hz(1), 0);
    close_studio(s);
}

static void test_caller_whose_audio_ends_makes_no_click(void) {
    studio *s = open_studio(1);
    warm_up(s);
    mix_frame(s, 0);
    bw_playout_remove(s->engine->playout, 0);
    mix_frame(s, 1);
    mix_frame(s, 2);
    double slope = LEVEL * 2 * TONE_PI * caller_hz(0) / 48000.0;
    CHECK_LESS(worst_corner(on_air, 3), 1.5 * (corner_of_sine(PROGRAMME_HZ) + corner_of_sine(caller_hz(0)) + slope));
    close_studio(s);
}

static void test_programme_alone_is_not_changed(void) {
    studio *s = open_studio(1);
    float programme[2 * FRAME], before[2 * FRAME];
    set_state(s, 0, BW_CALL_WAITING);
    warm_up(s);
    for (uint32_t i = 0; i < 2 * FRAME; i++)
        programme[i] = before[i] = i % 2 ? 1.0f : -1.0f; /* above the knee of the limiter */
    bw_calls_mix(s->engine->calls, programme, s->frames, SECOND_NS + 3 * MS_NS + s->frames * FRAME_NS);
    CHECK_EQ(memcmp(programme, before, sizeof before), 0);
    close_studio(s);
}

static void test_loud_sums_are_limited(void) {
    studio *s = open_studio(4);
    for (uint32_t i = 0; i < 4; i++) {
        s->settings[i].gain = 4.0f;
        set(s, i);
    }
    warm_up(s);
    run(s, 30);
    for (uint32_t i = 0; i < 2 * FRAME * 30; i++) {
        CHECK_AT_MOST(fabsf(on_air[i]), 1.0f);
        CHECK_AT_MOST(fabsf(heard[0][i]), 1.0f);
    }
    close_studio(s);
}

/* ---- other clocks */

/* Reads the mix and a caller's own stream in blocks, by a clock that is faster or slower than that of the calls. */
static void read_across(uint32_t block, double ppm) {
    static float mix[2 * 48000 * 60], own[2 * 48000 * 60];
    studio *s = open_studio(2);
    set_state(s, 1, BW_CALL_WAITING);
    uint32_t blocks = 48000 * 55 / block;
    for (uint32_t i = 0; i < blocks; i++) {
        int64_t now_ns = SECOND_NS + 3 * MS_NS + (int64_t)((i + 1) * block * (1 + ppm / 1e6) * 1e9 / 48000);
        while (SECOND_NS + 3 * MS_NS + s->frames * FRAME_NS <= now_ns)
            mix_frame(s, 0);
        bw_playout_read_mix(s->engine->playout, mix + 2 * (size_t)block * i, block, now_ns);
        bw_playout_read_peer(s->engine->playout, 1, own + 2 * (size_t)block * i, block, now_ns);
    }
    size_t from = 2 * 48000 * (size_t)5, frames = (size_t)blocks * block - 5 * 48000;
    for (size_t at = 0; at + FRAME <= frames; at += FRAME) { /* short: while the clocks are learnt, the pitch is off */
        CHECK_NEAR(tone_measure(mix + from + 2 * at, FRAME, 2, caller_hz(0), 48000).amplitude, LEVEL, LEVEL / 10);
        CHECK_NEAR(tone_measure(own + from + 2 * at, FRAME, 2, caller_hz(1), 48000).amplitude, LEVEL, LEVEL / 10);
    }
    close_studio(s);
}

static void test_mix_and_own_streams_follow_clock_of_reader(void) {
    read_across(480, 0);
    read_across(480, 100);
    read_across(441, -100);
    read_across(4800, 50);
    read_across(24000, 0);
}

static void test_what_was_not_read_is_not_played_later(void) {
    studio *s = open_studio(1);
    float block[2 * FRAME];
    warm_up(s);
    set_state(s, 0, BW_CALL_WAITING);
    run(s, 100);
    for (uint32_t i = 0; i < 20; i++) {
        mix_frame(s, 0);
        bw_playout_read_mix(s->engine->playout, block, FRAME, SECOND_NS + 3 * MS_NS + s->frames * FRAME_NS);
        for (uint32_t k = 0; k < 2 * FRAME; k++)
            CHECK_EQ(block[k], 0.0f);
    }
    close_studio(s);
}

/* ---- with threads */

static void test_callers_come_and_go(void) {
    settings config = default_settings();
    bw_source *source = bw_source_new_tone(440, 880, -12);
    bw_call_settings call = {.state = BW_CALL_ON_AIR, .gain = 1, .return_gain = 1};
    fixture f = open_engine(config, source);
    bw_peer_config peer = peer_config(BW_SRTP_AEAD_AES_128_GCM), plain = peer;
    peer.receive = 1;
    peer.receive_payload_type = FIXTURE_PAYLOAD_TYPE;
    peer.jitter_max_ms = 200;
    listener steady = add_listener(&f, 7, &plain);
    for (uint32_t round = 0; round < 30; round++) {
        int channel = bw_call_add(f.engine, round % 3, &config.channel, &call);
        CHECK_AT_LEAST(channel, 1);
        CHECK_EQ(bw_call_add(f.engine, round % 3, &config.channel, &call), BW_ERROR_ARGUMENT);
        CHECK_EQ(bw_channel_remove(f.engine, (uint32_t)channel), BW_ERROR_ARGUMENT);
        CHECK_EQ(bw_channel_set_source(f.engine, (uint32_t)channel, NULL, 0, 0), BW_ERROR_ARGUMENT);
        peer.channel = (uint32_t)channel;
        peer.ssrc = 100 + round;
        listener caller = add_listener(&f, round % 3, &peer);
        packet before = receive_packet(&caller);
        for (uint32_t i = 0; i < 3 + round % 3; i++) {
            packet next = receive_packet(&caller);
            CHECK_EQ(packet_sequence(&next), (uint16_t)(packet_sequence(&before) + 1));
            CHECK_EQ(packet_timestamp(&next), (uint32_t)(packet_timestamp(&before) + config.engine.frame_samples));
            before = next;
        }
        CHECK_EQ(bw_peer_remove(f.engine, round % 3), BW_OK);
        CHECK_EQ(wait_event(&f, BW_EVENT_PEER_REMOVED).peer, round % 3);
        close_listener(&caller);
    }
    packet last = receive_packet(&steady);
    for (uint32_t i = 0; i < 10; i++) {
        packet next = receive_packet(&steady);
        CHECK_EQ(packet_sequence(&next), (uint16_t)(packet_sequence(&last) + 1));
        last = next;
    }
    bw_calls_stats stats;
    bw_calls_get_stats(f.engine, &stats);
    CHECK_EQ(stats.frames_dropped, 0);
    CHECK_AT_LEAST(stats.mix_max_ns, 1);
    CHECK_NEAR(stats.programme_dbfs, -15.0, 0.5);
    close_listener(&steady);
    close_engine(&f);
    bw_source_free(source);
}

static void test_each_use_has_one_channel(void) {
    settings config = default_settings();
    fixture f = open_engine(config, NULL);
    int one = bw_channel_add(f.engine, &config.channel, NULL), other = bw_channel_add(f.engine, &config.channel, NULL);
    CHECK_EQ(bw_channel_set_use(f.engine, (uint32_t)one, BW_CHANNEL_HOLD), BW_OK);
    CHECK_EQ(bw_channel_set_use(f.engine, (uint32_t)one, BW_CHANNEL_HOLD), BW_OK);
    CHECK_EQ(bw_channel_set_use(f.engine, (uint32_t)other, BW_CHANNEL_HOLD), BW_ERROR_BUSY);
    CHECK_EQ(bw_channel_set_use(f.engine, (uint32_t)other, BW_CHANNEL_TALKBACK), BW_OK);
    CHECK_EQ(bw_channel_set_use(f.engine, (uint32_t)one, BW_CHANNEL_PLAIN), BW_OK);
    CHECK_EQ(bw_channel_set_use(f.engine, (uint32_t)other, BW_CHANNEL_HOLD), BW_OK);
    CHECK_EQ(bw_channel_set_use(f.engine, 0, BW_CHANNEL_HOLD), BW_ERROR_ARGUMENT);
    CHECK_EQ(bw_channel_set_use(f.engine, (uint32_t)one, BW_CHANNEL_USES), BW_ERROR_ARGUMENT);
    close_engine(&f);
}

/* A caller that never connects, and an engine that is freed while there are callers. */
static void test_calls_end_with_the_engine(void) {
    settings config = default_settings();
    bw_call_settings call = {.state = BW_CALL_WAITING, .gain = 1, .return_gain = 1};
    fixture f = open_engine(config, NULL);
    CHECK_AT_LEAST(bw_call_add(f.engine, 0, &config.channel, &call), 1);
    CHECK_AT_LEAST(bw_call_add(f.engine, 1, &config.channel, &call), 1);
    CHECK_EQ(bw_peer_remove(f.engine, 0), BW_OK);
    wait_event(&f, BW_EVENT_PEER_REMOVED);
    CHECK_AT_LEAST(bw_call_add(f.engine, 0, &config.channel, &call), 1);
    CHECK_EQ(bw_peer_remove(f.engine, 0), BW_OK);
    close_engine(&f);
}

int main(void) {
    RUN(test_callers_hear_programme_and_others_but_not_themselves);
    RUN(test_callers_do_not_hear_themselves_at_all);
    RUN(test_states_decide_who_hears_a_caller);
    RUN(test_talkback_reaches_only_whom_it_should);
    RUN(test_those_who_wait_hear_what_is_for_them);
    RUN(test_gains_and_mute);
    RUN(test_wrong_settings_are_refused);
    RUN(test_hundred_changes_make_no_click);
    RUN(test_only_caller_on_air_makes_no_click);
    RUN(test_caller_that_leaves_makes_no_click);
    RUN(test_caller_whose_audio_ends_makes_no_click);
    RUN(test_programme_alone_is_not_changed);
    RUN(test_loud_sums_are_limited);
    RUN(test_mix_and_own_streams_follow_clock_of_reader);
    RUN(test_what_was_not_read_is_not_played_later);
    RUN(test_callers_come_and_go);
    RUN(test_each_use_has_one_channel);
    RUN(test_calls_end_with_the_engine);
    return 0;
}
