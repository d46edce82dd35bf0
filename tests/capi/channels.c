/* channels CASE: a server with several channels, their listeners, and calls that a program should not make. */
#define _GNU_SOURCE
#include "check.h"

#include "bass_functions.h"
#include "tone.h"

#include <pthread.h>
#include <stdint.h>

#define LONGEST_NAME "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define BLOCK_FRAMES 480 /* 10 ms */
#define BLOCKS 20

static WebRtcConfigFFI any_port = {48000, 2, 128, 100, 5, BASS_WEBRTC_SIGNALING_HTTP, 0, 0};
static tone tones[] = {{440, 0.25, 0}, {880, 0.25, 0}, {1320, 0.25, 0}};
static HSTREAM sources[3];

static void open_sources(void) {
    CHECK(BASS_Init(0, 48000, 0, NULL, NULL));
    for (int i = 0; i < 3; i++) {
        sources[i] = BASS_StreamCreate(48000, 2, BASS_SAMPLE_FLOAT | BASS_STREAM_DECODE, make_tone, &tones[i]);
        CHECK(sources[i] != 0);
    }
}

/* A server that plays 440 Hz; its channel "jazz" plays 880 Hz. */
static void *make_server(void) {
    open_sources();
    void *server = BASS_WEBRTC_Create(sources[0], &any_port);
    CHECK_WORKS(server != NULL);
    CHECK_WORKS(BASS_WEBRTC_AddChannel(server, "jazz", sources[1]));
    return server;
}

static void *listener_of(void *server, const char *path) {
    char url[64];
    snprintf(url, sizeof url, "http://127.0.0.1:%u/%s", (unsigned)BASS_WEBRTC_GetPort(server), path);
    void *whep = BASS_WEBRTC_ConnectWhep(url, 48000, 2, 100, 0);
    CHECK_WORKS(whep != NULL);
    return whep;
}

/* Listens for a fifth of a second. */
static int hears(void *whep, int hz) {
    static float samples[BLOCKS * BLOCK_FRAMES * 2];
    int rises = 0;
    for (int block = 0; block < BLOCKS; block++) {
        nap_10ms();
        CHECK(BASS_WEBRTC_ReadPcm(whep, 0, samples + block * BLOCK_FRAMES * 2, BLOCK_FRAMES) == BLOCK_FRAMES);
    }
    for (int i = 1; i < BLOCKS * BLOCK_FRAMES; i++)
        rises += samples[2 * (i - 1)] < 0.0f && samples[2 * i] >= 0.0f;
    return abs(rises - hz / 5) <= 3;
}

static void listeners_hear_their_channel(void) {
    void *server = make_server();
    CHECK(BASS_WEBRTC_GetListenerCount(server, "jazz") == 0 && BASS_WEBRTC_ErrorGetCode() == BASS_WEBRTC_OK);
    CHECK_WORKS(BASS_WEBRTC_Start(server));
    void *main_one = listener_of(server, "whep"), *jazz = listener_of(server, "whep/jazz");
    WAIT_UNTIL(hears(main_one, 440));
    WAIT_UNTIL(hears(jazz, 880));
    CHECK(BASS_WEBRTC_GetListenerCount(server, "main") == 1 && BASS_WEBRTC_GetListenerCount(server, "jazz") == 1);
    CHECK(BASS_WEBRTC_GetPeerCount(server) == 2);
    CHECK_WORKS(BASS_WEBRTC_SetChannelSource(server, "jazz", sources[2], 100));
    CHECK(BASS_StreamFree(sources[1])); /* Nobody reads it any more. */
    WAIT_UNTIL(hears(jazz, 1320));
    sources[1] = BASS_StreamCreate(48000, 2, BASS_SAMPLE_FLOAT | BASS_STREAM_DECODE, make_tone, &tones[1]);
    CHECK_WORKS(BASS_WEBRTC_AddChannel(server, "news", sources[1]));
    void *news = listener_of(server, "whep/news");
    WAIT_UNTIL(hears(news, 880));
    CHECK_WORKS(BASS_WEBRTC_RemoveChannel(server, "news"));
    WAIT_UNTIL(!BASS_WEBRTC_WhepIsConnected(news));
    CHECK(BASS_WEBRTC_WhepIsConnected(jazz) && BASS_WEBRTC_WhepIsConnected(main_one));
    CHECK_WORKS(BASS_WEBRTC_WhepFree(news));
    CHECK_WORKS(BASS_WEBRTC_WhepFree(jazz));
    CHECK_WORKS(BASS_WEBRTC_WhepFree(main_one));
    CHECK_WORKS(BASS_WEBRTC_Free(server));
}

/* Also what was exchanged before the start, and what was exchanged while the server ran. */
static void channels_survive_a_stop(void) {
    void *server = make_server();
    CHECK_WORKS(BASS_WEBRTC_AddChannel(server, "news", sources[2]));
    CHECK_WORKS(BASS_WEBRTC_RemoveChannel(server, "news"));
    CHECK_WORKS(BASS_WEBRTC_SetChannelSource(server, "jazz", sources[2], 0));
    CHECK_WORKS(BASS_WEBRTC_Start(server));
    CHECK_WORKS(BASS_WEBRTC_SetChannelSource(server, "main", sources[1], 0));
    CHECK_WORKS(BASS_WEBRTC_Stop(server));
    CHECK_WORKS(BASS_WEBRTC_Start(server));
    void *main_one = listener_of(server, "whep"), *jazz = listener_of(server, "whep/jazz");
    WAIT_UNTIL(hears(main_one, 880));
    WAIT_UNTIL(hears(jazz, 1320));
    CHECK_WORKS(BASS_WEBRTC_WhepFree(jazz));
    CHECK_WORKS(BASS_WEBRTC_WhepFree(main_one));
    CHECK_WORKS(BASS_WEBRTC_Free(server));
}

static void check_refused(void *server) {
    static const char *const bad_names[] = {"", ".", "..", ".jazz", "a b", "a/b", "j\xc3\xa4zz", LONGEST_NAME "a"};
    for (size_t i = 0; i < sizeof bad_names / sizeof *bad_names; i++)
        CHECK_FAILS(BASS_WEBRTC_AddChannel(server, bad_names[i], sources[2]), BASS_WEBRTC_ERROR_ILLPARAM);
    CHECK_FAILS(BASS_WEBRTC_AddChannel(server, "\xff", sources[2]), BASS_WEBRTC_ERROR_ILLPARAM);
    CHECK_FAILS(BASS_WEBRTC_AddChannel(server, NULL, sources[2]), BASS_WEBRTC_ERROR_ILLPARAM);
    CHECK_FAILS(BASS_WEBRTC_AddChannel(server, "news", BASS_WEBRTC_SOURCE_NONE), BASS_WEBRTC_ERROR_ILLPARAM);
    CHECK_FAILS(BASS_WEBRTC_AddChannel(server, "news", BASS_WEBRTC_SOURCE_PCM), BASS_WEBRTC_ERROR_ILLPARAM);
    CHECK_FAILS(BASS_WEBRTC_AddChannel(server, "news", 0x12345), BASS_WEBRTC_ERROR_HANDLE);
    CHECK_FAILS(BASS_WEBRTC_AddChannel(server, "jazz", sources[2]), BASS_WEBRTC_ERROR_ALREADY);
    CHECK(strstr(BASS_WEBRTC_ErrorGetMessage(), "'jazz'") != NULL);
    CHECK_FAILS(BASS_WEBRTC_AddChannel(server, "main", sources[2]), BASS_WEBRTC_ERROR_ALREADY);
    CHECK_FAILS(BASS_WEBRTC_SetChannelSource(server, NULL, sources[2], 0), BASS_WEBRTC_ERROR_ILLPARAM);
    CHECK_FAILS(BASS_WEBRTC_SetChannelSource(server, "news", sources[2], 0), BASS_WEBRTC_ERROR_NOTAVAIL);
    CHECK(strstr(BASS_WEBRTC_ErrorGetMessage(), "main, jazz") != NULL);
    CHECK_FAILS(BASS_WEBRTC_SetChannelSource(server, "jazz", 0, 0), BASS_WEBRTC_ERROR_ILLPARAM);
    CHECK_FAILS(BASS_WEBRTC_SetChannelSource(server, "jazz", 0x12345, 0), BASS_WEBRTC_ERROR_HANDLE);
    CHECK_FAILS(BASS_WEBRTC_SetChannelSource(server, "jazz", sources[2], 60001), BASS_WEBRTC_ERROR_ILLPARAM);
    CHECK_FAILS(BASS_WEBRTC_RemoveChannel(server, NULL), BASS_WEBRTC_ERROR_ILLPARAM);
    CHECK_FAILS(BASS_WEBRTC_RemoveChannel(server, "main"), BASS_WEBRTC_ERROR_ILLPARAM);
    CHECK_FAILS(BASS_WEBRTC_RemoveChannel(server, "news"), BASS_WEBRTC_ERROR_NOTAVAIL);
    CHECK_FAILS(BASS_WEBRTC_GetListenerCount(server, NULL), BASS_WEBRTC_ERROR_ILLPARAM);
    CHECK_FAILS(BASS_WEBRTC_GetListenerCount(server, "news"), BASS_WEBRTC_ERROR_NOTAVAIL);
}

static void wrong_channels(void) {
    void *server = make_server();
    check_refused(server);
    CHECK_WORKS(BASS_WEBRTC_Start(server));
    check_refused(server);
    CHECK_WORKS(BASS_WEBRTC_AddChannel(server, LONGEST_NAME, sources[2]));
    CHECK_WORKS(BASS_WEBRTC_RemoveChannel(server, LONGEST_NAME));
    CHECK_FAILS(BASS_WEBRTC_RemoveChannel(server, LONGEST_NAME), BASS_WEBRTC_ERROR_NOTAVAIL);
    CHECK_WORKS(BASS_WEBRTC_AddChannel(server, "freed", sources[2]));
    CHECK_WORKS(BASS_WEBRTC_Stop(server));
    CHECK(BASS_StreamFree(sources[2]));
    CHECK_FAILS(BASS_WEBRTC_Start(server), BASS_WEBRTC_ERROR_HANDLE);
    CHECK_WORKS(BASS_WEBRTC_RemoveChannel(server, "freed"));
    CHECK_WORKS(BASS_WEBRTC_Start(server));
    CHECK_WORKS(BASS_WEBRTC_Free(server));
}

static void limit_of_channels(void) {
    void *server = make_server();
    char name[16];
    for (int i = 2; i < 64; i++) {
        snprintf(name, sizeof name, "channel-%d", i);
        CHECK_WORKS(BASS_WEBRTC_AddChannel(server, name, sources[2]));
    }
    CHECK_FAILS(BASS_WEBRTC_AddChannel(server, "one-more", sources[2]), BASS_WEBRTC_ERROR_ILLPARAM);
    CHECK(strstr(BASS_WEBRTC_ErrorGetMessage(), "64") != NULL);
    CHECK_WORKS(BASS_WEBRTC_RemoveChannel(server, name));
    CHECK_WORKS(BASS_WEBRTC_AddChannel(server, "one-more", sources[2]));
    CHECK_WORKS(BASS_WEBRTC_Free(server));
}

static void pushed_source_is_replaced(void) {
    open_sources();
    static float samples[2 * BLOCK_FRAMES];
    void *server = BASS_WEBRTC_Create(BASS_WEBRTC_SOURCE_PCM, &any_port);
    CHECK_WORKS(BASS_WEBRTC_Start(server));
    CHECK(BASS_WEBRTC_PushPcm(server, samples, BLOCK_FRAMES) == BLOCK_FRAMES);
    CHECK_WORKS(BASS_WEBRTC_SetChannelSource(server, "main", sources[0], 20));
    CHECK_FAILS(BASS_WEBRTC_PushPcm(server, samples, BLOCK_FRAMES) + 1, BASS_WEBRTC_ERROR_NOTAVAIL);
    void *whep = listener_of(server, "whep");
    WAIT_UNTIL(hears(whep, 440));
    CHECK_WORKS(BASS_WEBRTC_WhepFree(whep));
    CHECK_WORKS(BASS_WEBRTC_Free(server));
}

static struct {
    void *server;
    volatile int done;
} call;

static void call_functions(uint32_t peer_id, uint32_t state, void *user) {
    (void)peer_id, (void)user;
    if (state != PEER_STATE_CONNECTED)
        return;
    CHECK(BASS_WEBRTC_GetListenerCount(call.server, "jazz") == 1);
    CHECK_WORKS(BASS_WEBRTC_SetChannelSource(call.server, "main", sources[2], 50));
    CHECK_WORKS(BASS_WEBRTC_AddChannel(call.server, "news", sources[0]));
    CHECK_WORKS(BASS_WEBRTC_RemoveChannel(call.server, "jazz")); /* That of this peer. */
    call.done = 1;
}

static void calls_from_a_callback(void) {
    SignalingCallbacks callbacks = {NULL, NULL, call_functions, NULL};
    call.server = make_server();
    CHECK_WORKS(BASS_WEBRTC_SetCallbacks(call.server, &callbacks));
    CHECK_WORKS(BASS_WEBRTC_Start(call.server));
    void *whep = listener_of(call.server, "whep/jazz");
    WAIT_UNTIL(call.done);
    WAIT_UNTIL(!BASS_WEBRTC_WhepIsConnected(whep));
    CHECK_WORKS(BASS_WEBRTC_WhepFree(whep));
    CHECK_WORKS(BASS_WEBRTC_Free(call.server));
}

static void *fade_for_a_minute(void *server) {
    call.done = 1;
    CHECK_FAILS(BASS_WEBRTC_SetChannelSource(server, "jazz", sources[2], 60000), BASS_WEBRTC_ERROR_NOTAVAIL);
    return NULL;
}

static void stop_ends_a_fade(void) {
    pthread_t other;
    void *server = make_server();
    CHECK_WORKS(BASS_WEBRTC_Start(server));
    CHECK(pthread_create(&other, NULL, fade_for_a_minute, server) == 0);
    WAIT_UNTIL(call.done);
    for (int i = 0; i < 20; i++)
        nap_10ms();
    CHECK_WORKS(BASS_WEBRTC_Stop(server));
    pthread_join(other, NULL);
    CHECK_WORKS(BASS_WEBRTC_Start(server));
    CHECK_WORKS(BASS_WEBRTC_Free(server));
}

int main(int argc, char **argv) {
    static const test_case cases[] = {
        {"listeners_hear_their_channel", listeners_hear_their_channel},
        {"channels_survive_a_stop", channels_survive_a_stop},
        {"wrong_channels", wrong_channels},
        {"limit_of_channels", limit_of_channels},
        {"pushed_source_is_replaced", pushed_source_is_replaced},
        {"calls_from_a_callback", calls_from_a_callback},
        {"stop_ends_a_fade", stop_ends_a_fade},
    };
    CHECK(argc > 1);
    return run_case(argv[1], cases, sizeof cases / sizeof *cases);
}
