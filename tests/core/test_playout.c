/* Playback of peers, mixed and separate: routes, gain, clipping, adding and removing, pauses. Threaded. */
#include "internal.h"

#include "playout.h"
#include "virtual_network.h"

#define BLOCK 480
#define BLOCK_NS (10 * MS_NS)

/* A peer that sends one packet every 20 ms without loss. */
typedef struct {
    simulation sim;
    uint32_t peer;
    uint32_t frame;
} publisher;

static float heard[2 * 48000 * 4];

static bw_playout *open_playout(void) {
    bw_playout *playout = bw_playout_new(8);
    CHECK(playout != NULL);
    return playout;
}

static publisher *publish_delayed(bw_playout *playout, uint32_t peer, uint32_t delay_ms, double left_hz,
                                  double right_hz, double amplitude) {
    bw_receiver_config config = {.payload_type = PAYLOAD_TYPE, .start_ms = delay_ms, .min_ms = delay_ms, .max_ms = 200};
    publisher *made = calloc(1, sizeof *made);
    CHECK(made != NULL);
    made->sim.scenario = with_defaults((scenario){.left_hz = left_hz, .right_hz = right_hz, .amplitude = amplitude});
    made->peer = peer;
    encode_loop(&made->sim);
    CHECK_EQ(bw_playout_add(playout, peer, &config), BW_OK);
    return made;
}

static publisher *publish(bw_playout *playout, uint32_t peer, double left_hz, double right_hz, double amplitude) {
    return publish_delayed(playout, peer, 20, left_hz, right_hz, amplitude);
}

/* Sends all frames that are due. */
static void send_due(bw_playout *playout, publisher *from, int64_t now_ns) {
    for (; SECOND_NS + from->frame * 20 * MS_NS <= now_ns; from->frame++) {
        uint8_t packet[1500];
        uint32_t length = write_packet(&from->sim, from->frame, packet);
        bw_playout_insert(playout, from->peer, packet, length, SECOND_NS + from->frame * 20 * MS_NS);
    }
}

/* Plays some blocks of the mix, starting with `first`, while these publishers send. */
static void run(bw_playout *playout, publisher **from, uint32_t count, uint32_t first, uint32_t blocks) {
    for (uint32_t block = first; block < first + blocks; block++) {
        int64_t now_ns = SECOND_NS + 3 * MS_NS + block * BLOCK_NS;
        for (uint32_t i = 0; i < count; i++)
            send_due(playout, from[i], now_ns);
        bw_playout_read_mix(playout, heard + 2 * BLOCK * (block - first), BLOCK, now_ns);
    }
}

/* Level over 100 ms, short enough that drift correction does not turn the phase. */
static double level(uint32_t first_block, uint32_t channel, double hz) {
    return tone_measure(heard + 2 * BLOCK * first_block + channel, BLOCK * 10, 2, hz, 48000).amplitude;
}

/* The largest second difference: reveals a step in the waveform or in its slope. */
static double worst_corner(uint32_t first, uint32_t frames) {
    double worst = 0.0;
    for (uint32_t i = 2 * (first + 2); i < 2 * (first + frames); i++)
        worst = fmax(worst, fabs(heard[i] - 2.0 * heard[i - 2] + heard[i - 4]));
    return worst;
}

static double corner_of_sine(double hz, double amplitude) { return amplitude * pow(2.0 * TONE_PI * hz / 48000.0, 2.0); }

/* ------------------------------------------------------------------ one thread */

static void test_five_peers_are_mixed_at_their_levels(void) {
    bw_playout *playout = open_playout();
    publisher *from[5];
    for (uint32_t i = 0; i < 5; i++)
        from[i] = publish(playout, i, 300.0 + 150.0 * i, 2000.0 + 100.0 * i, 0.1);
    run(playout, from, 5, 0, 300);
    for (uint32_t i = 0; i < 5; i++) {
        CHECK_NEAR(level(200, 0, 300.0 + 150.0 * i), 0.1, 0.01);
        CHECK_NEAR(level(200, 1, 2000.0 + 100.0 * i), 0.1, 0.01);
        free(from[i]);
    }
    bw_playout_free(playout);
}

static void test_packets_that_arrive_in_step_are_decoded_in_different_pulls(void) {
    bw_playout *playout = open_playout();
    publisher *from[8];
    bw_receiver_stats stats[8];
    uint64_t decoded = 0;
    uint32_t crowded = 0;
    for (uint32_t i = 0; i < 8; i++)
        from[i] = publish_delayed(playout, i, 60, 450.0, 900.0, 0.05);
    for (uint32_t block = 0; block < 200; block++) {
        uint64_t before = decoded;
        decoded = 0;
        run(playout, from, 8, block, 1);
        for (uint32_t i = 0; i < 8; i++) {
            CHECK_EQ(bw_playout_get_receiver_stats(playout, i, &stats[i]), BW_OK);
            decoded += stats[i].jitter_buffer_emitted_count / 960;
        }
        crowded += block >= 50 && decoded - before > 4;
    }
    CHECK_AT_MOST(crowded, 5); /* of 150: when one frame more is needed, all decode one pull earlier */
    for (uint32_t i = 0; i < 8; i++) {
        CHECK_EQ(stats[i].concealed_samples, 0);
        CHECK_NEAR(stats[i].jitter_buffer_ms, stats[0].jitter_buffer_ms, 0.01);
        CHECK_NEAR(stats[i].jitter_buffer_delay_s / (double)stats[i].jitter_buffer_emitted_count,
                   stats[0].jitter_buffer_delay_s / (double)stats[0].jitter_buffer_emitted_count, 2e-4);
        free(from[i]);
    }
    bw_playout_free(playout);
}

static void test_peer_moves_between_mix_and_own_stream(void) {
    bw_playout *playout = open_playout();
    publisher *from[] = {publish(playout, 0, 450.0, 450.0, 0.2), publish(playout, 1, 900.0, 900.0, 0.2)};
    static float own[2 * BLOCK * 300];
    run(playout, from, 2, 0, 200);
    CHECK_EQ(bw_playout_set_route(playout, 1, BW_PLAYOUT_OWN), BW_OK);
    for (uint32_t block = 0; block < 150; block++) {
        run(playout, from, 2, 200 + block, 1);
        memcpy(heard + 2 * BLOCK * (200 + block), heard, sizeof(float) * 2 * BLOCK);
        bw_playout_read_peer(playout, 1, own + 2 * BLOCK * block, BLOCK,
                             SECOND_NS + 3 * MS_NS + (200 + block) * BLOCK_NS);
    }
    CHECK_LESS(level(210, 0, 900.0), 0.002);
    CHECK_NEAR(level(210, 0, 450.0), 0.2, 0.01);
    CHECK_NEAR(tone_measure(own + 2 * BLOCK * 20, BLOCK * 10, 2, 900.0, 48000).amplitude, 0.2, 0.01);
    for (uint32_t i = 0; i < 48; i++)
        CHECK_AT_MOST(fabsf(own[2 * i]), 0.03);
    /* It fades out of the mix and into the other stream, without a step. */
    CHECK_LESS(worst_corner(200 * BLOCK, 10 * BLOCK), corner_of_sine(450, 0.2) + corner_of_sine(900, 0.2) + 0.01);
    CHECK_EQ(bw_playout_set_route(playout, 1, BW_PLAYOUT_MIX), BW_OK);
    run(playout, from, 2, 350, 100);
    CHECK_NEAR(level(50, 0, 900.0), 0.2, 0.01);
    bw_playout_read_peer(playout, 1, own, BLOCK, SECOND_NS + 5 * SECOND_NS);
    CHECK_EQ(own[100], 0.0f);
    free(from[0]);
    free(from[1]);
    bw_playout_free(playout);
}

static void test_gain_and_mute_take_10_ms_without_click(void) {
    bw_playout *playout = open_playout();
    publisher *from[] = {publish(playout, 0, 437.0, 437.0, 0.2)}; /* not a multiple of the block rate */
    const float gains[] = {2.0f, 0.5f, 1.5f, 0.0f, 1.0f, 2.0f};
    run(playout, from, 1, 0, 200);
    for (uint32_t i = 0; i < 6; i++) {
        CHECK_EQ(bw_playout_set_gain(playout, 0, gains[i]), BW_OK);
        run(playout, from, 1, 200 + 31 * i, 31);
        CHECK_NEAR(level(10, 0, 437.0), 0.2 * gains[i], 0.01);
        CHECK_LESS(worst_corner(0, 31 * BLOCK), corner_of_sine(437, 0.4) + 0.002);
    }
    CHECK_EQ(bw_playout_set_muted(playout, 0, 1), BW_OK);
    run(playout, from, 1, 386, 60);
    CHECK_LESS(level(2, 0, 437.0), 1e-6);
    CHECK_LESS(worst_corner(0, 60 * BLOCK), corner_of_sine(437, 0.4) + 0.002);
    bw_receiver_stats stats;
    CHECK_EQ(bw_playout_get_receiver_stats(playout, 0, &stats), BW_OK);
    CHECK_NEAR(stats.audio_level_dbfs, decibels(0.2 / sqrt(2.0)), 0.5); /* before gain */
    CHECK_EQ(bw_playout_set_muted(playout, 0, 0), BW_OK);
    run(playout, from, 1, 446, 60);
    CHECK_NEAR(level(10, 0, 437.0), 0.4, 0.01);
    free(from[0]);
    bw_playout_free(playout);
}

static void test_soft_clip_starts_at_minus_1_dbfs_and_never_exceeds_full_scale(void) {
    bw_playout *playout = open_playout();
    publisher *from[] = {publish(playout, 0, 450.0, 450.0, 0.6), publish(playout, 1, 450.0, 900.0, 0.6),
                         publish(playout, 2, 450.0, 900.0, 0.6)};
    bw_playout_stats stats;
    run(playout, from, 1, 0, 100);
    bw_playout_get_stats(playout, &stats);
    CHECK_EQ(stats.clipped_samples, 0);
    run(playout, from, 3, 100, 200);
    for (uint32_t i = 0; i < 2 * BLOCK * 200; i++)
        CHECK_AT_MOST(fabsf(heard[i]), 1.0f);
    CHECK_LESS(worst_corner(100 * BLOCK, 100 * BLOCK), 5.0 * corner_of_sine(900, 1.8));
    bw_playout_get_stats(playout, &stats);
    CHECK_LESS(1000, stats.clipped_samples);
    for (int i = 0; i < 3; i++)
        free(from[i]);
    bw_playout_free(playout);
}

static void test_removed_peer_fades_and_its_slot_is_reused(void) {
    bw_playout *playout = open_playout();
    publisher *from[] = {publish(playout, 3, 450.0, 450.0, 0.3)};
    run(playout, from, 1, 0, 100);
    CHECK_EQ(bw_playout_remove(playout, 3), BW_OK);
    CHECK_EQ(bw_playout_remove(playout, 3), BW_ERROR_ARGUMENT);
    float last = heard[2 * BLOCK * 100 - 2];
    run(playout, from, 0, 100, 2);
    CHECK_NEAR(heard[0], last, 0.02);
    CHECK_EQ(heard[2 * 240], 0.0f);
    CHECK_EQ(heard[2 * BLOCK], 0.0f);
    free(from[0]);
    from[0] = publish(playout, 3, 900.0, 900.0, 0.2);
    from[0]->frame = 60;
    run(playout, from, 1, 120, 100);
    CHECK_NEAR(level(50, 0, 900.0), 0.2, 0.01);
    bw_receiver_stats stats;
    CHECK_EQ(bw_playout_get_receiver_stats(playout, 3, &stats), BW_OK);
    CHECK_EQ(stats.underruns, 0);
    free(from[0]);
    bw_playout_free(playout);
}

static void test_newest_audio_plays_after_an_hour_without_pulls(void) {
    bw_playout *playout = open_playout();
    publisher *from[] = {publish(playout, 0, 450.0, 450.0, 0.2)};
    run(playout, from, 1, 0, 100);
    uint32_t hour = 360000;
    send_due(playout, from[0], SECOND_NS + hour * BLOCK_NS);
    run(playout, from, 1, hour, 100);
    bw_receiver_stats stats;
    CHECK_EQ(bw_playout_get_receiver_stats(playout, 0, &stats), BW_OK);
    CHECK_NEAR(stats.packets_discarded, 180000 - 50, 20);
    CHECK_NEAR(stats.jitter_buffer_ms, 20.0, 10.0);
    CHECK_EQ(stats.concealed_samples, 0);
    CHECK_NEAR(level(10, 0, 450.0), 0.2, 0.01);
    free(from[0]);
    bw_playout_free(playout);
}

static void test_stream_procedures_follow_bass_calling_convention(void) {
    typedef uint32_t (*proc)(uint32_t, void *, uint32_t, void *);
    bw_playout *playout = open_playout();
    bw_playout_stats stats;
    proc mix = (proc)(uintptr_t)bw_playout_mix_proc(), own = (proc)(uintptr_t)bw_playout_peer_proc();
    memset(heard, 1, 8 * BLOCK + 8);
    CHECK_EQ(mix(1, heard, 8 * BLOCK + 7, playout), 8 * BLOCK);
    CHECK_EQ(heard[2 * BLOCK - 1], 0.0f);
    memset(heard, 1, 8 * BLOCK);
    CHECK_EQ(own(1, heard, 8 * BLOCK, bw_playout_peer_user(playout, 7)), 8 * BLOCK);
    CHECK_EQ(heard[2 * BLOCK - 1], 0.0f);
    CHECK_EQ(mix(1, heard, 0, playout), 0);
    bw_playout_get_stats(playout, &stats);
    CHECK_EQ(stats.callbacks, 3);
    CHECK_LESS(0, stats.callback_max_ns);
    CHECK(bw_playout_peer_user(playout, 8) == NULL);
    bw_playout_free(playout);
}

static void test_invalid_arguments_are_rejected(void) {
    bw_playout *playout = open_playout();
    bw_receiver_config config = {.payload_type = 111, .start_ms = 20, .min_ms = 10, .max_ms = 200};
    bw_receiver_config upside_down = {.payload_type = 111, .start_ms = 20, .min_ms = 30, .max_ms = 20};
    bw_receiver_stats stats;
    uint8_t long_packet[2048] = {0x80};
    CHECK_EQ(bw_playout_add(playout, 8, &config), BW_ERROR_ARGUMENT);
    CHECK_EQ(bw_playout_add(playout, 0, &upside_down), BW_ERROR_ARGUMENT);
    CHECK_EQ(bw_playout_add(playout, 0, &config), BW_OK);
    CHECK_EQ(bw_playout_add(playout, 0, &config), BW_ERROR_BUSY);
    CHECK_EQ(bw_playout_set_gain(playout, 0, NAN), BW_ERROR_ARGUMENT);
    CHECK_EQ(bw_playout_set_gain(playout, 0, 17.0f), BW_ERROR_ARGUMENT);
    CHECK_EQ(bw_playout_set_gain(playout, 1, 1.0f), BW_ERROR_ARGUMENT);
    CHECK_EQ(bw_playout_set_route(playout, 0, 2), BW_ERROR_ARGUMENT);
    CHECK_EQ(bw_playout_set_muted(playout, 9, 1), BW_ERROR_ARGUMENT);
    CHECK_EQ(bw_playout_get_receiver_stats(playout, 1, &stats), BW_ERROR_ARGUMENT);
    bw_playout_insert(playout, 1, long_packet, 100, 1);
    bw_playout_insert(playout, 99, long_packet, 100, 1);
    bw_playout_insert(playout, 0, long_packet, sizeof long_packet, 1);
    CHECK_EQ(bw_playout_get_receiver_stats(playout, 0, &stats), BW_OK);
    CHECK_EQ(stats.packets_discarded, 1);
    bw_playout_free(playout);
}

/* ------------------------------------------------------------------ several threads */

#define ROUNDS 60

typedef struct {
    bw_playout *playout;
    publisher *from;
    _Atomic bool stop;
    _Atomic bool present; /* the network thread may insert */
    _Atomic uint32_t inserting;
} stage;

static void *insert_all_the_time(void *argument) {
    stage *stage = argument;
    uint8_t packet[1500];
    for (uint32_t frame = 0; !atomic_load(&stage->stop); frame++) {
        uint32_t length = write_packet(&stage->from->sim, frame, packet);
        atomic_store(&stage->inserting, 1);
        if (atomic_load(&stage->present))
            bw_playout_insert(stage->playout, 0, packet, length, SECOND_NS + frame * 20 * MS_NS);
        atomic_store(&stage->inserting, 0);
        sched_yield();
    }
    return NULL;
}

static void *mix_all_the_time(void *argument) {
    stage *stage = argument;
    static float block[2 * BLOCK];
    for (int64_t now_ns = SECOND_NS; !atomic_load(&stage->stop); now_ns += BLOCK_NS) {
        bw_playout_read_mix(stage->playout, block, BLOCK, now_ns);
        sched_yield();
    }
    return NULL;
}

static void *play_own_all_the_time(void *argument) {
    stage *stage = argument;
    static float block[2 * BLOCK];
    for (int64_t now_ns = SECOND_NS; !atomic_load(&stage->stop); now_ns += BLOCK_NS) {
        bw_playout_read_peer(stage->playout, 0, block, BLOCK, now_ns);
        sched_yield();
    }
    return NULL;
}

static void *look_all_the_time(void *argument) {
    stage *stage = argument;
    bw_receiver_stats stats;
    while (!atomic_load(&stage->stop)) {
        bw_playout_get_receiver_stats(stage->playout, 0, &stats);
        sched_yield();
    }
    return NULL;
}

static void test_peers_are_added_and_removed_during_insert_play_and_stats(void) {
    stage stage = {.playout = open_playout()};
    pthread_t threads[4];
    bw_receiver_config config = {.payload_type = PAYLOAD_TYPE, .start_ms = 20, .max_ms = 200};
    bw_receiver_stats stats;
    stage.from = publish(stage.playout, 1, 450.0, 900.0, 0.2);
    pthread_create(&threads[0], NULL, insert_all_the_time, &stage);
    pthread_create(&threads[1], NULL, mix_all_the_time, &stage);
    pthread_create(&threads[2], NULL, play_own_all_the_time, &stage);
    pthread_create(&threads[3], NULL, look_all_the_time, &stage);
    for (uint32_t round = 0; round < ROUNDS; round++) {
        CHECK_EQ(bw_playout_add(stage.playout, 0, &config), BW_OK);
        atomic_store(&stage.present, true);
        bw_playout_set_route(stage.playout, 0, round % 2);
        bw_playout_set_gain(stage.playout, 0, 0.5f);
        sched_yield();
        CHECK_EQ(bw_playout_get_receiver_stats(stage.playout, 0, &stats), BW_OK);
        atomic_store(&stage.present, false);
        while (atomic_load(&stage.inserting))
            sched_yield();
        CHECK_EQ(bw_playout_remove(stage.playout, 0), BW_OK);
    }
    atomic_store(&stage.stop, true);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    free(stage.from);
    bw_playout_free(stage.playout);
}

int main(void) {
    RUN(test_five_peers_are_mixed_at_their_levels);
    RUN(test_packets_that_arrive_in_step_are_decoded_in_different_pulls);
    RUN(test_peer_moves_between_mix_and_own_stream);
    RUN(test_gain_and_mute_take_10_ms_without_click);
    RUN(test_soft_clip_starts_at_minus_1_dbfs_and_never_exceeds_full_scale);
    RUN(test_removed_peer_fades_and_its_slot_is_reused);
    RUN(test_newest_audio_plays_after_an_hour_without_pulls);
    RUN(test_stream_procedures_follow_bass_calling_convention);
    RUN(test_invalid_arguments_are_rejected);
    RUN(test_peers_are_added_and_removed_during_insert_play_and_stats);
    return 0;
}
