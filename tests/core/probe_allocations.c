/*
 * Checks that the sending thread and the playing thread allocate nothing while running, and the network thread nothing
 * after the first packet of an SSRC. Not one of test_core.py's programs: it replaces the C library's malloc, which sanitizers do as well.
 */
#include "engine_fixture.h"

#include <stdatomic.h>

extern void *__libc_malloc(size_t bytes);
extern void *__libc_calloc(size_t count, size_t bytes);
extern void *__libc_realloc(void *pointer, size_t bytes);

static _Atomic bool counting;
static _Atomic unsigned allocations;
static pthread_t control_thread; /* main acts as the loop thread, which may allocate */

static void note_allocation(void) {
    if (atomic_load(&counting) && !pthread_equal(pthread_self(), control_thread))
        atomic_fetch_add(&allocations, 1);
}

void *malloc(size_t bytes) {
    note_allocation();
    return __libc_malloc(bytes);
}

void *calloc(size_t count, size_t bytes) {
    note_allocation();
    return __libc_calloc(count, bytes);
}

void *realloc(void *pointer, size_t bytes) {
    note_allocation();
    return __libc_realloc(pointer, bytes);
}

static int get_error(void) { return BW_SOURCE_ENDED; }

/* BASS_ChannelGetData of an endless decoding channel that ends and returns again and again. */
static uint32_t get_data(uint32_t handle, void *buffer, uint32_t length) {
    static uint32_t position, calls;
    if (++calls % 16 == 0)
        return UINT32_MAX;
    uint32_t bytes = length & 0x0FFFFFFF; /* without BASS_DATA_FLOAT */
    float *samples = buffer;
    (void)handle;
    for (uint32_t i = 0; i < bytes / sizeof(float); i++)
        samples[i] = 0.3f * sinf(0.01f * (float)(position++ % 62832));
    return bytes;
}

/* Waits until both threads run, which allocate at their start: each releases a peer that is removed. */
static void wait_for_threads(fixture *f) {
    bw_peer_config peer = peer_config(BW_SRTP_AEAD_AES_128_GCM);
    CHECK_EQ(bw_peer_add(f->engine, 1, &peer), BW_OK);
    CHECK_EQ(bw_peer_remove(f->engine, 1), BW_OK);
    wait_event(f, BW_EVENT_PEER_REMOVED);
}

static void check_sender(uint32_t profile, bw_source *source) {
    settings config = default_settings();
    config.channel.complexity = 10;
    config.channel.encodings = 2;
    config.channel.bitrates_bps[1] = 48000;
    fixture f = open_engine(config, source);
    wait_for_threads(&f);
    bw_peer_config peer = peer_config(profile);
    listener l = add_listener(&f, 0, &peer);
    CHECK_EQ(bw_peer_set_redundancy(f.engine, 0, 2), BW_OK);
    bw_tap *tap = bw_tap_new(16); /* full soon */
    CHECK_EQ(bw_channel_add_tap(f.engine, 0, tap), BW_OK);
    packet received;
    for (int i = 0; i < 20; i++)
        CHECK(receive_wire(&l, &received));
    atomic_store(&counting, true);
    for (int i = 0; i < 200; i++) {
        CHECK(receive_wire(&l, &received));
        if (i % 10 == 0)
            CHECK_EQ(bw_peer_resend(f.engine, 0, read_u16(received.wire + 2)), BW_OK);
        if (i == 100)
            CHECK_EQ(bw_channel_set_bitrate(f.engine, 0, 0, 64000), BW_OK);
        if (i == 120)
            CHECK_EQ(bw_peer_set_encoding(f.engine, 0, 1), BW_OK);
        if (i == 130)
            bw_tap_close(tap);
        if (i == 140)
            CHECK_EQ(bw_channel_set_source(f.engine, 0, NULL, 100, 0), BW_OK);
    }
    atomic_store(&counting, false);
    CHECK_EQ(atomic_load(&allocations), 0);
    CHECK(bw_tap_is_released(tap));
    bw_tap_free(tap);
    close_listener(&l);
    close_engine(&f);
    bw_source_free(source);
}

static bw_source *tone(void) { return bw_source_new_tone(440, 880, -12); }

static void test_sender_does_not_allocate_with_aes_gcm(void) { check_sender(BW_SRTP_AEAD_AES_128_GCM, tone()); }

static void test_sender_does_not_allocate_with_aes_cm(void) { check_sender(BW_SRTP_AES128_CM_SHA1_80, tone()); }

static void test_sender_does_not_allocate_when_resampling_bass(void) {
    for (uint32_t live = 0; live < 2; live++)
        check_sender(BW_SRTP_AEAD_AES_128_GCM,
                     bw_source_new_bass((void *)get_data, (void *)get_error, 1, 44100, 2, live));
}

/* ---- network thread */

static void send_media(fixture *f, int socket, bw_srtp_keys *keys, uint16_t sequence) {
    uint8_t bytes[64] = {0x80, FIXTURE_PAYLOAD_TYPE, (uint8_t)(sequence >> 8), (uint8_t)sequence, [11] = 1};
    uint32_t length = 40;
    CHECK(bw_srtp_protect_rtp(keys, bytes, BW_RTP_HEADER_BYTES, &length, sequence));
    CHECK(send_to(socket, bytes, length, &f->address));
}

/* Waits until the network thread has taken it. */
static void send_report(fixture *f, int socket, bw_srtcp *srtcp) {
    uint8_t bytes[64] = {0x80, 201, 0, 1, 1, 2, 3, 4};
    int length = bw_srtcp_protect(srtcp, bytes, 8, sizeof bytes);
    CHECK(send_to(socket, bytes, (size_t)length, &f->address));
    wait_event(f, BW_EVENT_RTCP);
}

static void check_network(uint32_t profile) {
    fixture f = open_engine(default_settings(), NULL);
    wait_for_threads(&f);
    bw_peer_config config = peer_config(profile);
    config.receive = 1;
    config.receive_payload_type = FIXTURE_PAYLOAD_TYPE;
    config.jitter_max_ms = 500;
    bw_address address;
    int remote = open_loopback_socket(&address);
    bw_srtp_keys keys;
    bw_srtcp *srtcp = bw_srtcp_new(profile, config.remote_key);
    CHECK(bw_srtp_keys_init(&keys, BW_SRTP_RTP, profile, config.remote_key));
    CHECK_EQ(bw_peer_map_address(f.engine, 0, f.socket_index, &address), BW_OK);
    CHECK_EQ(bw_peer_add(f.engine, 0, &config), BW_OK);
    bw_tap *tap = bw_tap_new(1024);
    bw_tap_packet got;
    CHECK_EQ(bw_peer_add_tap(f.engine, 0, tap), BW_OK);
    send_media(&f, remote, &keys, 0);
    send_report(&f, remote, srtcp);
    atomic_store(&counting, true);
    for (uint16_t sequence = 1; sequence <= 200; sequence++) {
        send_media(&f, remote, &keys, sequence);
        if (sequence % 40 == 0)
            send_report(&f, remote, srtcp);
    }
    send_media(&f, remote, &keys, 7); /* repeated */
    send_report(&f, remote, srtcp);
    atomic_store(&counting, false);
    CHECK_EQ(atomic_load(&allocations), 0);
    bw_peer_stats stats;
    bw_peer_get_stats(f.engine, 0, &stats);
    CHECK_EQ(stats.packets_received, 201);
    CHECK_EQ(stats.srtp_errors, 1);
    CHECK_EQ(bw_tap_read(tap, &got, 1), 1);
    bw_srtp_keys_destroy(&keys);
    bw_srtcp_free(srtcp);
    close_engine(&f);
    bw_tap_free(tap);
    close_socket(remote);
}

static void test_network_thread_does_not_allocate_with_aes_gcm(void) { check_network(BW_SRTP_AEAD_AES_128_GCM); }

static void test_network_thread_does_not_allocate_with_aes_cm(void) { check_network(BW_SRTP_AES128_CM_SHA1_80); }

/* ---- playing thread */

enum { PACKETS = 400, LOSS_EVERY = 17 };

static uint8_t frames[PACKETS][BW_MAX_FRAME_BYTES];
static int frame_bytes[PACKETS];

static void encode_frames(int application, int bitrate_bps) {
    int status;
    OpusEncoder *encoder = opus_encoder_create(48000, 2, application, &status);
    opus_encoder_ctl(encoder, OPUS_SET_BITRATE(bitrate_bps));
    static float pcm[960 * 2];
    for (int i = 0; i < PACKETS; i++) {
        for (int n = 0; n < 960; n++)
            pcm[2 * n] = pcm[2 * n + 1] = (float)(0.3 * sin(0.05 * (i * 960 + n)));
        frame_bytes[i] = opus_encode_float(encoder, pcm, 960, frames[i], sizeof frames[i]);
        CHECK_COMPARE(frame_bytes[i], >, 0);
    }
    opus_encoder_destroy(encoder);
}

static void insert_packet(bw_playout *playout, int i, int64_t now_ns) {
    uint8_t bytes[BW_RTP_HEADER_BYTES + BW_MAX_FRAME_BYTES] = {0x80, FIXTURE_PAYLOAD_TYPE, (uint8_t)(i >> 8),
                                                               (uint8_t)i};
    uint32_t timestamp = (uint32_t)i * 960;
    for (int b = 0; b < 4; b++)
        bytes[4 + b] = (uint8_t)(timestamp >> (24 - 8 * b));
    bytes[11] = 1;
    memcpy(bytes + BW_RTP_HEADER_BYTES, frames[i], (size_t)frame_bytes[i]);
    bw_playout_insert(playout, 0, bytes, BW_RTP_HEADER_BYTES + (uint32_t)frame_bytes[i], now_ns);
}

/* In virtual time: inserts packets, with losses, and pulls the mix 10 ms at a time. */
static void *play(void *argument) {
    float block[480 * 2];
    for (int i = 0; i < PACKETS; i++) {
        int64_t now_ns = (int64_t)i * 20000000 + 1;
        if (i % LOSS_EVERY != 0)
            insert_packet(argument, i, now_ns);
        bw_playout_read_mix(argument, block, 480, now_ns);
        bw_playout_read_mix(argument, block, 480, now_ns + 10000000);
    }
    return NULL;
}

static bw_receiver_stats check_playing(uint32_t enhancement) {
    bw_receiver_config config = {.payload_type = FIXTURE_PAYLOAD_TYPE, .start_ms = 40, .min_ms = 10, .max_ms = 500};
    bw_playout *playout = bw_playout_new(4);
    pthread_t thread;
    bw_playout_set_enhancement(playout, enhancement);
    CHECK_EQ(bw_playout_add(playout, 0, &config), BW_OK);
    atomic_store(&counting, true);
    CHECK_EQ(pthread_create(&thread, NULL, play, playout), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    atomic_store(&counting, false);
    CHECK_EQ(atomic_load(&allocations), 0);
    bw_receiver_stats stats;
    CHECK_EQ(bw_playout_get_receiver_stats(playout, 0, &stats), BW_OK);
    CHECK_AT_LEAST(stats.concealed_samples, 960); /* the losses were concealed */
    bw_playout_free(playout);
    return stats;
}

static void test_playing_thread_does_not_allocate(void) {
    encode_frames(OPUS_APPLICATION_AUDIO, 96000);
    check_playing(BW_ENHANCEMENT_OFF);
}

static void test_playing_thread_does_not_allocate_when_enhancing_speech(void) {
    bw_libraries libraries;
    bw_get_libraries(&libraries);
    encode_frames(OPUS_APPLICATION_VOIP, 24000);
    CHECK_EQ(check_playing(BW_ENHANCEMENT_ON).enhanced_samples > 0, libraries.osce);
    check_playing(BW_ENHANCEMENT_AUTO);
}

/* Checks the counter itself: it must see an allocation on another thread. */
static void *allocate(void *argument) {
    void *volatile pointer = malloc(1); /* volatile, so that the compiler keeps both calls */
    free(pointer);
    (void)argument;
    return NULL;
}

static void test_allocations_on_other_threads_are_counted(void) {
    pthread_t thread;
    atomic_store(&counting, true);
    CHECK_EQ(pthread_create(&thread, NULL, allocate, NULL), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    atomic_store(&counting, false);
    CHECK_AT_LEAST(atomic_exchange(&allocations, 0), 1);
}

int main(void) {
    control_thread = pthread_self();
    RUN(test_allocations_on_other_threads_are_counted);
    RUN(test_sender_does_not_allocate_with_aes_gcm);
    RUN(test_sender_does_not_allocate_with_aes_cm);
    RUN(test_sender_does_not_allocate_when_resampling_bass);
    RUN(test_network_thread_does_not_allocate_with_aes_gcm);
    RUN(test_network_thread_does_not_allocate_with_aes_cm);
    RUN(test_playing_thread_does_not_allocate);
    RUN(test_playing_thread_does_not_allocate_when_enhancing_speech);
    return 0;
}
