/* wrong_use CASE: calls that a program should not make. They return an error and do not crash. */
#define _GNU_SOURCE
#include "check.h"

#include "bass_functions.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define THREADS 16

static WebRtcConfigFFI any_port = {48000, 2, 128, 100, 5, BASS_WEBRTC_SIGNALING_HTTP, 0, 0};
static WebRtcStatsFFI stats;
static WebRtcPeerStatsFFI peer_stats;
static WebRtcCallStatsFFI call_stats;
static float samples[960 * 2];
static char text[BASS_WEBRTC_ANSWER_CAPACITY];

static struct {
    void *server;
    void *whep; /* a player of the server */
    int frees_server;
    volatile int states[6];
    volatile int done;
} call;

static void *make_server(void) {
    void *server = BASS_WEBRTC_Create(BASS_WEBRTC_SOURCE_PCM, &any_port);
    CHECK_WORKS(server != NULL);
    return server;
}

static void *running_server(void) {
    void *server = make_server();
    CHECK_WORKS(BASS_WEBRTC_Start(server));
    return server;
}

/* ------------------------------------------------------------------ handles */

static void check_refused_by_server_functions(void *handle) {
    SignalingCallbacks callbacks = {NULL, NULL, NULL, NULL};
    CHECK_FAILS(BASS_WEBRTC_SetAddress(handle, NULL, 0, NULL), BASS_WEBRTC_ERROR_HANDLE);
    CHECK_FAILS(BASS_WEBRTC_SetAllowedHosts(handle, NULL), BASS_WEBRTC_ERROR_HANDLE);
    CHECK_FAILS(BASS_WEBRTC_SetAllowedOrigins(handle, NULL), BASS_WEBRTC_ERROR_HANDLE);
    CHECK_FAILS(BASS_WEBRTC_SetTrustedProxies(handle, NULL), BASS_WEBRTC_ERROR_HANDLE);
    CHECK_FAILS(BASS_WEBRTC_SetMaxPeersPerAddress(handle, 0), BASS_WEBRTC_ERROR_HANDLE);
    CHECK_FAILS(BASS_WEBRTC_SetCallbacks(handle, &callbacks), BASS_WEBRTC_ERROR_HANDLE);
    CHECK_FAILS(BASS_WEBRTC_SetBitrate(handle, 64), BASS_WEBRTC_ERROR_HANDLE);
    CHECK_FAILS(BASS_WEBRTC_Start(handle), BASS_WEBRTC_ERROR_HANDLE);
    CHECK_FAILS(BASS_WEBRTC_Stop(handle), BASS_WEBRTC_ERROR_HANDLE);
    CHECK_FAILS(BASS_WEBRTC_Free(handle), BASS_WEBRTC_ERROR_HANDLE);
    CHECK_FAILS(BASS_WEBRTC_GetPort(handle), BASS_WEBRTC_ERROR_HANDLE);
    CHECK_FAILS(BASS_WEBRTC_GetInputStream(handle), BASS_WEBRTC_ERROR_HANDLE);
    CHECK_FAILS(BASS_WEBRTC_GetStats(handle, &stats), BASS_WEBRTC_ERROR_HANDLE);
    CHECK_FAILS(BASS_WEBRTC_GetPeerCount(handle), BASS_WEBRTC_ERROR_HANDLE);
    CHECK_FAILS(BASS_WEBRTC_IsRunning(handle), BASS_WEBRTC_ERROR_HANDLE);
    CHECK_FAILS(BASS_WEBRTC_AddChannel(handle, "jazz", 1), BASS_WEBRTC_ERROR_HANDLE);
    CHECK_FAILS(BASS_WEBRTC_SetChannelSource(handle, "main", 1, 0), BASS_WEBRTC_ERROR_HANDLE);
    CHECK_FAILS(BASS_WEBRTC_RemoveChannel(handle, "jazz"), BASS_WEBRTC_ERROR_HANDLE);
    CHECK_FAILS(BASS_WEBRTC_GetListenerCount(handle, "main"), BASS_WEBRTC_ERROR_HANDLE);
    CHECK_FAILS(BASS_WEBRTC_GetPeerStream(handle, 0), BASS_WEBRTC_ERROR_HANDLE);
    CHECK_FAILS(BASS_WEBRTC_AddPeer(handle, "v=0", text, NULL) + 1, BASS_WEBRTC_ERROR_HANDLE);
    CHECK_FAILS(BASS_WEBRTC_AddPeerEx(handle, "v=0", text, sizeof text, NULL) + 1, BASS_WEBRTC_ERROR_HANDLE);
    CHECK_FAILS(BASS_WEBRTC_CreateOffer(handle, BASS_WEBRTC_PEER_SENDRECV, text, sizeof text, NULL) + 1,
                BASS_WEBRTC_ERROR_HANDLE);
    CHECK_FAILS(BASS_WEBRTC_SetAnswer(handle, 0, "v=0"), BASS_WEBRTC_ERROR_HANDLE);
    CHECK_FAILS(BASS_WEBRTC_AddIceCandidate(handle, 0, ""), BASS_WEBRTC_ERROR_HANDLE);
    CHECK_FAILS(BASS_WEBRTC_RemovePeer(handle, 0), BASS_WEBRTC_ERROR_HANDLE);
    CHECK_FAILS(BASS_WEBRTC_SetPublicUrl(handle, NULL), BASS_WEBRTC_ERROR_HANDLE);
    CHECK_FAILS(BASS_WEBRTC_SetCalls(handle, BASS_WEBRTC_CALL_STATE_WAITING, 0, 0), BASS_WEBRTC_ERROR_HANDLE);
    CHECK_FAILS(BASS_WEBRTC_SetDeskToken(handle, "secret"), BASS_WEBRTC_ERROR_HANDLE);
    CHECK_FAILS(BASS_WEBRTC_SetRecordings(handle, NULL, NULL, 0), BASS_WEBRTC_ERROR_HANDLE);
    CHECK_FAILS(BASS_WEBRTC_SetCallCallbacks(handle, NULL), BASS_WEBRTC_ERROR_HANDLE);
    CHECK_FAILS(BASS_WEBRTC_SetTalkbackSource(handle, 1), BASS_WEBRTC_ERROR_HANDLE);
    CHECK_FAILS(BASS_WEBRTC_SetHoldSource(handle, 1), BASS_WEBRTC_ERROR_HANDLE);
    CHECK_FAILS(BASS_WEBRTC_CreateInvite(handle, NULL, 0, 0, text, sizeof text, NULL, NULL), BASS_WEBRTC_ERROR_HANDLE);
    CHECK_FAILS(BASS_WEBRTC_RevokeInvite(handle, "none"), BASS_WEBRTC_ERROR_HANDLE);
    CHECK_FAILS(BASS_WEBRTC_GetNextCall(handle, 0), BASS_WEBRTC_ERROR_HANDLE);
    CHECK_FAILS(BASS_WEBRTC_GetCallStats(handle, 1, &call_stats), BASS_WEBRTC_ERROR_HANDLE);
    CHECK_FAILS(BASS_WEBRTC_SetCallState(handle, 1, BASS_WEBRTC_CALL_STATE_WAITING), BASS_WEBRTC_ERROR_HANDLE);
    CHECK_FAILS(BASS_WEBRTC_SetCallGain(handle, 1, 1.0), BASS_WEBRTC_ERROR_HANDLE);
    CHECK_FAILS(BASS_WEBRTC_SetCallReturnGain(handle, 1, 1.0), BASS_WEBRTC_ERROR_HANDLE);
    CHECK_FAILS(BASS_WEBRTC_SetCallMuted(handle, 1, 1), BASS_WEBRTC_ERROR_HANDLE);
    CHECK_FAILS(BASS_WEBRTC_SetCallTalkback(handle, 1, 1), BASS_WEBRTC_ERROR_HANDLE);
    CHECK_FAILS(BASS_WEBRTC_SetCallName(handle, 1, "Anna"), BASS_WEBRTC_ERROR_HANDLE);
    CHECK_FAILS(BASS_WEBRTC_HangUpCall(handle, 1, NULL), BASS_WEBRTC_ERROR_HANDLE);
    CHECK_FAILS(BASS_WEBRTC_GetCallStream(handle, 1), BASS_WEBRTC_ERROR_HANDLE);
}

static void check_refused_by_client_functions(void *handle) {
    CHECK_FAILS(BASS_WEBRTC_SetAllowPrivate(handle, 1), BASS_WEBRTC_ERROR_HANDLE);
    CHECK_FAILS(BASS_WEBRTC_SetTrustedOrigins(handle, NULL), BASS_WEBRTC_ERROR_HANDLE);
    CHECK_FAILS(BASS_WEBRTC_WhipStart(handle), BASS_WEBRTC_ERROR_HANDLE);
    CHECK_FAILS(BASS_WEBRTC_WhipStop(handle), BASS_WEBRTC_ERROR_HANDLE);
    CHECK_FAILS(BASS_WEBRTC_WhipIsConnected(handle), BASS_WEBRTC_ERROR_HANDLE);
    CHECK_FAILS(BASS_WEBRTC_WhipFree(handle), BASS_WEBRTC_ERROR_HANDLE);
    CHECK_FAILS(BASS_WEBRTC_WhepGetStream(handle), BASS_WEBRTC_ERROR_HANDLE);
    CHECK_FAILS(BASS_WEBRTC_WhepIsConnected(handle), BASS_WEBRTC_ERROR_HANDLE);
    CHECK_FAILS(BASS_WEBRTC_WhepFree(handle), BASS_WEBRTC_ERROR_HANDLE);
}

static void check_refused_by_all(void *handle) {
    check_refused_by_server_functions(handle);
    CHECK_FAILS(BASS_WEBRTC_SetReceiveEnhancement(handle, 0), BASS_WEBRTC_ERROR_HANDLE);
    check_refused_by_client_functions(handle);
    CHECK_FAILS(BASS_WEBRTC_SetToken(handle, "secret"), BASS_WEBRTC_ERROR_HANDLE);
    CHECK_FAILS(BASS_WEBRTC_AddIceServer(handle, "stun:127.0.0.1", NULL, NULL), BASS_WEBRTC_ERROR_HANDLE);
    CHECK_FAILS(BASS_WEBRTC_GetPeerStats(handle, 0, &peer_stats), BASS_WEBRTC_ERROR_HANDLE);
    CHECK_FAILS(BASS_WEBRTC_GetSourceEnd(handle, NULL, NULL), BASS_WEBRTC_ERROR_HANDLE);
    CHECK_FAILS(BASS_WEBRTC_PushPcm(handle, samples, 960) + 1, BASS_WEBRTC_ERROR_HANDLE);
    CHECK_FAILS(BASS_WEBRTC_ReadPcm(handle, BASS_WEBRTC_ALL_PEERS, samples, 960) + 1, BASS_WEBRTC_ERROR_HANDLE);
}

static void foreign_handles(void) {
    int foreign;
    /* Before the first handle is made, so Python is not running yet. */
    check_refused_by_all(NULL);
    check_refused_by_all(&foreign);
    void *server = make_server();
    void *whip = BASS_WEBRTC_ConnectWhip(BASS_WEBRTC_SOURCE_PCM, "http://127.0.0.1:9/whip", 0, 0, 0);
    void *whep = BASS_WEBRTC_ConnectWhep("http://127.0.0.1:9/whep", 48000, 2, 0, 0);
    CHECK(whip != NULL && whep != NULL);
    check_refused_by_all(NULL);
    check_refused_by_all(&foreign);
    check_refused_by_all((void *)(uintptr_t)-1);
    check_refused_by_all((char *)server + 16);
    check_refused_by_client_functions(server);
    check_refused_by_server_functions(whip);
    CHECK_FAILS(BASS_WEBRTC_SetReceiveEnhancement(whip, 0), BASS_WEBRTC_ERROR_HANDLE);
    check_refused_by_server_functions(whep);
    CHECK_FAILS(BASS_WEBRTC_WhepFree(whip), BASS_WEBRTC_ERROR_HANDLE);
    CHECK_FAILS(BASS_WEBRTC_WhipFree(whep), BASS_WEBRTC_ERROR_HANDLE);
    CHECK(strstr(BASS_WEBRTC_ErrorGetMessage(), "WHEP") != NULL);
    CHECK_FAILS(BASS_WEBRTC_PushPcm(whep, samples, 960) + 1, BASS_WEBRTC_ERROR_HANDLE);
    CHECK_FAILS(BASS_WEBRTC_ReadPcm(whip, 0, samples, 960) + 1, BASS_WEBRTC_ERROR_HANDLE);
    CHECK_WORKS(BASS_WEBRTC_Free(server));
    CHECK_WORKS(BASS_WEBRTC_WhipFree(whip));
    CHECK_WORKS(BASS_WEBRTC_WhepFree(whep));
    check_refused_by_all(server);
    check_refused_by_all(whip);
    check_refused_by_all(whep);
}

/* ------------------------------------------------------------------ arguments and order */

static void check_config_refused(WebRtcConfigFFI config) {
    CHECK_FAILS(BASS_WEBRTC_Create(BASS_WEBRTC_SOURCE_PCM, &config), BASS_WEBRTC_ERROR_ILLPARAM);
}

static void wrong_arguments(void) {
    CHECK_FAILS(BASS_WEBRTC_Create(0x12345, &any_port), BASS_WEBRTC_ERROR_HANDLE); /* an error code of BASS */
    check_config_refused((WebRtcConfigFFI){7999, 2, 128, 100, 5, 5, 0, 0});
    check_config_refused((WebRtcConfigFFI){48000, 9, 128, 100, 5, 5, 0, 0});
    check_config_refused((WebRtcConfigFFI){48000, 2, 511, 100, 5, 5, 0, 0});
    check_config_refused((WebRtcConfigFFI){48000, 2, 128, 1001, 5, 5, 0, 0});
    check_config_refused((WebRtcConfigFFI){48000, 2, 128, 100, 5, 3, 0, 0});
    CHECK_FAILS(BASS_WEBRTC_ConnectWhip(BASS_WEBRTC_SOURCE_PCM, NULL, 0, 0, 0), BASS_WEBRTC_ERROR_ILLPARAM);
    CHECK_FAILS(BASS_WEBRTC_ConnectWhip(BASS_WEBRTC_SOURCE_NONE, "http://h/", 0, 0, 0), BASS_WEBRTC_ERROR_ILLPARAM);
    CHECK_FAILS(BASS_WEBRTC_ConnectWhip(BASS_WEBRTC_SOURCE_PCM, "no URL", 0, 0, 0), BASS_WEBRTC_ERROR_ILLPARAM);
    CHECK_FAILS(BASS_WEBRTC_ConnectWhep("http://h/\xff", 0, 0, 0, 0), BASS_WEBRTC_ERROR_ILLPARAM);
    WebRtcConfigFFI zeros = {0, 0, 0, 0, 0, BASS_WEBRTC_SIGNALING_HTTP, 0, 0};
    void *server = BASS_WEBRTC_Create(BASS_WEBRTC_SOURCE_NONE, &zeros); /* zeros select the defaults */
    CHECK_WORKS(server != NULL);
    CHECK_FAILS(BASS_WEBRTC_GetInputStream(server), BASS_WEBRTC_ERROR_START);
    CHECK_FAILS(BASS_WEBRTC_GetPeerStats(server, 0, &peer_stats), BASS_WEBRTC_ERROR_START);
    CHECK_FAILS(BASS_WEBRTC_ReadPcm(server, BASS_WEBRTC_ALL_PEERS, samples, 960) + 1, BASS_WEBRTC_ERROR_START);
    CHECK_FAILS(BASS_WEBRTC_PushPcm(server, samples, 960) + 1, BASS_WEBRTC_ERROR_NOTAVAIL);
    CHECK_FAILS(BASS_WEBRTC_SetBitrate(server, 5), BASS_WEBRTC_ERROR_ILLPARAM);
    CHECK_FAILS(BASS_WEBRTC_SetToken(server, ""), BASS_WEBRTC_ERROR_ILLPARAM);
    CHECK_FAILS(BASS_WEBRTC_SetAddress(server, NULL, 0, "nowhere"), BASS_WEBRTC_ERROR_ILLPARAM);
    CHECK_FAILS(BASS_WEBRTC_SetAllowedHosts(server, "radio.example,tv.example:80"), BASS_WEBRTC_ERROR_ILLPARAM);
    CHECK(strstr(BASS_WEBRTC_ErrorGetMessage(), "'tv.example:80'") != NULL);
    CHECK_FAILS(BASS_WEBRTC_SetAllowedHosts(server, "\xff"), BASS_WEBRTC_ERROR_ILLPARAM);
    CHECK_FAILS(BASS_WEBRTC_SetAllowedOrigins(server, "radio.example"), BASS_WEBRTC_ERROR_ILLPARAM);
    CHECK(strstr(BASS_WEBRTC_ErrorGetMessage(), "'radio.example'") != NULL);
    CHECK_FAILS(BASS_WEBRTC_SetTrustedProxies(server, "10.0.0.0/33"), BASS_WEBRTC_ERROR_ILLPARAM);
    CHECK(strstr(BASS_WEBRTC_ErrorGetMessage(), "'10.0.0.0/33'") != NULL);
    CHECK_FAILS(BASS_WEBRTC_SetMaxPeersPerAddress(server, 6), BASS_WEBRTC_ERROR_ILLPARAM); /* max_peers is 5 */
    CHECK(strstr(BASS_WEBRTC_ErrorGetMessage(), "6") != NULL);
    CHECK_FAILS(BASS_WEBRTC_SetReceiveEnhancement(server, 3), BASS_WEBRTC_ERROR_ILLPARAM);
    CHECK_WORKS(BASS_WEBRTC_SetReceiveEnhancement(server, BASS_WEBRTC_ENHANCEMENT_OFF));
    CHECK_FAILS(BASS_WEBRTC_GetStats(server, NULL), BASS_WEBRTC_ERROR_ILLPARAM);
    CHECK_WORKS(BASS_WEBRTC_Start(server));
    CHECK_WORKS(BASS_WEBRTC_Start(server)); /* does nothing the second time */
    CHECK_FAILS(BASS_WEBRTC_SetToken(server, "secret"), BASS_WEBRTC_ERROR_ALREADY);
    CHECK_FAILS(BASS_WEBRTC_SetAddress(server, NULL, 0, NULL), BASS_WEBRTC_ERROR_ALREADY);
    CHECK_FAILS(BASS_WEBRTC_SetAllowedHosts(server, "*"), BASS_WEBRTC_ERROR_ALREADY);
    CHECK_FAILS(BASS_WEBRTC_SetAllowedOrigins(server, "*"), BASS_WEBRTC_ERROR_ALREADY);
    CHECK_FAILS(BASS_WEBRTC_SetTrustedProxies(server, NULL), BASS_WEBRTC_ERROR_ALREADY);
    CHECK_FAILS(BASS_WEBRTC_SetMaxPeersPerAddress(server, 5), BASS_WEBRTC_ERROR_ALREADY);
    CHECK_FAILS(BASS_WEBRTC_SetReceiveEnhancement(server, BASS_WEBRTC_ENHANCEMENT_ON), BASS_WEBRTC_ERROR_ALREADY);
    CHECK_FAILS(BASS_WEBRTC_GetPeerStats(server, 0, &peer_stats), BASS_WEBRTC_ERROR_NOTAVAIL);
    CHECK_FAILS(BASS_WEBRTC_GetPeerStats(server, 0, NULL), BASS_WEBRTC_ERROR_ILLPARAM);
    CHECK_FAILS(BASS_WEBRTC_ReadPcm(server, BASS_WEBRTC_ALL_PEERS, NULL, 960) + 1, BASS_WEBRTC_ERROR_ILLPARAM);
    CHECK_FAILS(BASS_WEBRTC_ReadPcm(server, BASS_WEBRTC_ALL_PEERS, samples, 48001) + 1, BASS_WEBRTC_ERROR_ILLPARAM);
    CHECK_FAILS(BASS_WEBRTC_ReadPcm(server, 3, samples, 960) + 1, BASS_WEBRTC_ERROR_NOTAVAIL);
    CHECK_FAILS(BASS_WEBRTC_GetPeerStream(server, 3), BASS_WEBRTC_ERROR_NOTAVAIL);
    CHECK_FAILS(BASS_WEBRTC_GetInputStream(server), BASS_WEBRTC_ERROR_NOTAVAIL); /* no BASS_Init */
    CHECK(BASS_WEBRTC_ReadPcm(server, BASS_WEBRTC_ALL_PEERS, samples, 960) == 960);
    CHECK_WORKS(BASS_WEBRTC_Stop(server));
    CHECK_WORKS(BASS_WEBRTC_Stop(server));
    CHECK_WORKS(BASS_WEBRTC_Start(server));
    CHECK_WORKS(BASS_WEBRTC_Free(server));
}

static void two_servers(void) {
    void *one = running_server(), *two = running_server();
    CHECK(BASS_WEBRTC_GetPort(one) != BASS_WEBRTC_GetPort(two));
    WebRtcConfigFFI taken = any_port;
    taken.http_port = (uint16_t)BASS_WEBRTC_GetPort(one);
    void *three = BASS_WEBRTC_Create(BASS_WEBRTC_SOURCE_NONE, &taken);
    CHECK_FAILS(BASS_WEBRTC_Start(three), BASS_WEBRTC_ERROR_BUSY);
    CHECK(!BASS_WEBRTC_IsRunning(three));
    CHECK_WORKS(BASS_WEBRTC_Free(one));
    CHECK_WORKS(BASS_WEBRTC_Start(three)); /* The port is free now. */
    CHECK(BASS_WEBRTC_IsRunning(two) && BASS_WEBRTC_IsRunning(three));
    CHECK_WORKS(BASS_WEBRTC_Free(two));
    CHECK_WORKS(BASS_WEBRTC_Free(three));
}

static void *client_of(void *server, const char *path) {
    char url[64];
    snprintf(url, sizeof url, "http://127.0.0.1:%u/%s", (unsigned)BASS_WEBRTC_GetPort(server), path);
    if (strcmp(path, "whep") == 0)
        return BASS_WEBRTC_ConnectWhep(url, 48000, 2, 100, 0);
    void *whip = BASS_WEBRTC_ConnectWhip(BASS_WEBRTC_SOURCE_PCM, url, 0, 0, 0);
    CHECK_WORKS(BASS_WEBRTC_WhipStart(whip));
    return whip;
}

static void one_endpoint_only(void) {
    WebRtcConfigFFI config = any_port;
    void *servers[2], *whips[2];
    for (int i = 0; i < 2; i++) {
        config.signaling_mode = i == 0 ? BASS_WEBRTC_SIGNALING_WHIP : BASS_WEBRTC_SIGNALING_WHEP;
        servers[i] = BASS_WEBRTC_Create(BASS_WEBRTC_SOURCE_PCM, &config);
        CHECK_WORKS(BASS_WEBRTC_Start(servers[i]));
        whips[i] = client_of(servers[i], "whip");
    }
    void *whep = client_of(servers[1], "whep");
    WAIT_UNTIL(BASS_WEBRTC_WhipIsConnected(whips[0]));
    WAIT_UNTIL(BASS_WEBRTC_WhepIsConnected(whep));
    WAIT_UNTIL(!BASS_WEBRTC_WhipIsConnected(whips[1]) && BASS_WEBRTC_ErrorGetCode() != BASS_WEBRTC_OK);
    CHECK(BASS_WEBRTC_ErrorGetCode() == BASS_WEBRTC_ERROR_SIGNALING);
    CHECK(strstr(BASS_WEBRTC_ErrorGetMessage(), "404") != NULL);
    CHECK_WORKS(BASS_WEBRTC_WhepFree(whep));
    for (int i = 0; i < 2; i++)
        CHECK(BASS_WEBRTC_WhipFree(whips[i]) && BASS_WEBRTC_Free(servers[i]));
}

/* ------------------------------------------------------------------ threads */

static pthread_barrier_t barrier;
static void *shared_server;

static void on_threads(void *(*function)(void *)) {
    pthread_t threads[THREADS];
    pthread_barrier_init(&barrier, NULL, THREADS);
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, function, (void *)(intptr_t)i) == 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
}

/* Each thread's first call may be the one that starts Python. */
static void *make_use_and_free(void *number) {
    pthread_barrier_wait(&barrier);
    void *server = make_server();
    CHECK_FAILS(BASS_WEBRTC_SetBitrate(server, (uint32_t)(intptr_t)number % 6), BASS_WEBRTC_ERROR_ILLPARAM);
    if ((intptr_t)number % 4 == 0)
        CHECK_WORKS(BASS_WEBRTC_Start(server));
    CHECK_WORKS(BASS_WEBRTC_GetStats(server, &(WebRtcStatsFFI){0}));
    CHECK_WORKS(BASS_WEBRTC_Free(server));
    CHECK_FAILS(BASS_WEBRTC_Free(server), BASS_WEBRTC_ERROR_HANDLE);
    return NULL;
}

static void sixteen_threads(void) { on_threads(make_use_and_free); }

static void *use_until_it_is_freed(void *number) {
    WebRtcStatsFFI own;
    float block[2 * 480] = {0};
    pthread_barrier_wait(&barrier);
    if (number == NULL) {
        nap_10ms();
        CHECK_WORKS(BASS_WEBRTC_Free(shared_server));
        return NULL;
    }
    while (BASS_WEBRTC_GetStats(shared_server, &own)) {
        BASS_WEBRTC_ReadPcm(shared_server, BASS_WEBRTC_ALL_PEERS, block, 480);
        BASS_WEBRTC_GetPort(shared_server);
    }
    CHECK(BASS_WEBRTC_ErrorGetCode() == BASS_WEBRTC_ERROR_HANDLE);
    CHECK_FAILS(BASS_WEBRTC_Free(shared_server), BASS_WEBRTC_ERROR_HANDLE);
    return NULL;
}

static void free_in_use(void) {
    shared_server = running_server();
    on_threads(use_until_it_is_freed);
}

static void *start_and_stop(void *number) {
    pthread_barrier_wait(&barrier);
    for (int i = 0; i < 3; i++)
        CHECK_WORKS((intptr_t)number % 2 ? BASS_WEBRTC_Start(shared_server) : BASS_WEBRTC_Stop(shared_server));
    return NULL;
}

static void start_against_stop(void) {
    shared_server = make_server();
    on_threads(start_and_stop);
    CHECK_WORKS(BASS_WEBRTC_Free(shared_server));
}

static void *fail_on_this_thread(void *ignored) {
    (void)ignored;
    CHECK(BASS_WEBRTC_ErrorGetCode() == BASS_WEBRTC_OK);
    CHECK_FAILS(BASS_WEBRTC_ConnectWhep(NULL, 0, 0, 0, 0), BASS_WEBRTC_ERROR_ILLPARAM);
    return NULL;
}

static void errors_of_threads(void) {
    pthread_t other;
    CHECK_FAILS(BASS_WEBRTC_Free(NULL), BASS_WEBRTC_ERROR_HANDLE);
    pthread_create(&other, NULL, fail_on_this_thread, NULL);
    pthread_join(other, NULL);
    CHECK(BASS_WEBRTC_ErrorGetCode() == BASS_WEBRTC_ERROR_HANDLE);
    CHECK_WORKS(make_server() != NULL); /* It is left open: the process can still exit. */
}

/* ------------------------------------------------------------------ callbacks */

static void connect_player(void) {
    call.whep = client_of(call.server, "whep");
    CHECK_WORKS(call.whep != NULL);
}

static void call_functions(uint32_t peer_id, uint32_t state, void *user) {
    CHECK(user == &call && state <= PEER_STATE_CLOSED);
    call.states[state]++;
    if (state != PEER_STATE_CONNECTED)
        return;
    CHECK_WORKS(BASS_WEBRTC_GetStats(call.server, &stats));
    CHECK(stats.active_peers == 1 && BASS_WEBRTC_GetPeerCount(call.server) == 1);
    CHECK_WORKS(BASS_WEBRTC_GetPeerStats(call.server, peer_id, &peer_stats));
    CHECK(peer_stats.peer_id == 0 && peer_stats.state == PEER_STATE_CONNECTED);
    CHECK(strchr(peer_stats.remote_address, ':') != NULL);
    CHECK_FAILS(BASS_WEBRTC_SetToken(call.server, "late"), BASS_WEBRTC_ERROR_ALREADY);
    CHECK_FAILS(BASS_WEBRTC_GetPeerStream(call.server, peer_id), BASS_WEBRTC_ERROR_NOTAVAIL);
    CHECK_WORKS(BASS_WEBRTC_SetBitrate(call.server, 64));
    CHECK_WORKS(BASS_WEBRTC_SetCallbacks(call.server, &(SignalingCallbacks){NULL, NULL, call_functions, &call}));
    if (call.frees_server) {
        CHECK_WORKS(BASS_WEBRTC_Free(call.server));
        check_refused_by_server_functions(call.server);
    } else {
        CHECK_WORKS(BASS_WEBRTC_Stop(call.server));
        CHECK(!BASS_WEBRTC_IsRunning(call.server));
        CHECK_WORKS(BASS_WEBRTC_GetStats(call.server, &stats));
        CHECK(stats.active_peers == 0);
        CHECK_WORKS(BASS_WEBRTC_Start(call.server));
    }
    call.done = 1;
}

static void calls_from_callback(int frees_server) {
    SignalingCallbacks callbacks = {NULL, NULL, call_functions, &call};
    call.frees_server = frees_server;
    call.server = make_server();
    CHECK_WORKS(BASS_WEBRTC_SetCallbacks(call.server, &callbacks));
    memset(&callbacks, 0xFF, sizeof callbacks); /* The library has a copy. */
    CHECK_WORKS(BASS_WEBRTC_Start(call.server));
    connect_player();
    WAIT_UNTIL(call.done);
    WAIT_UNTIL(call.states[PEER_STATE_CLOSED] == 1); /* Queued events are delivered after Stop in a callback. */
    CHECK(call.states[PEER_STATE_NEW] == 1 && call.states[PEER_STATE_CONNECTED] == 1);
    CHECK_WORKS(BASS_WEBRTC_WhepFree(call.whep));
    if (!frees_server)
        CHECK_WORKS(BASS_WEBRTC_Free(call.server));
}

static void stop_in_callback(void) { calls_from_callback(0); }

static void free_in_callback(void) { calls_from_callback(1); }

/* Calls Stop while another thread is in Stop and waits for this callback. */
static void stop_in_stop(uint32_t peer_id, uint32_t state, void *user) {
    (void)peer_id, (void)user;
    if (state != PEER_STATE_CONNECTED)
        return;
    call.states[state]++;
    WAIT_UNTIL(!BASS_WEBRTC_IsRunning(call.server));
    CHECK_FAILS(BASS_WEBRTC_Stop(call.server), BASS_WEBRTC_ERROR_BUSY);
    CHECK_FAILS(BASS_WEBRTC_Start(call.server), BASS_WEBRTC_ERROR_BUSY);
    call.done = 1;
}

static void stop_against_callback(void) {
    SignalingCallbacks callbacks = {NULL, NULL, stop_in_stop, NULL};
    call.server = running_server();
    CHECK_WORKS(BASS_WEBRTC_SetCallbacks(call.server, &callbacks));
    connect_player();
    WAIT_UNTIL(call.states[PEER_STATE_CONNECTED]);
    CHECK_WORKS(BASS_WEBRTC_Stop(call.server));
    CHECK(call.done); /* Stop waited for the callback. */
    CHECK_WORKS(BASS_WEBRTC_WhepFree(call.whep));
    CHECK_WORKS(BASS_WEBRTC_Free(call.server));
}

/* ------------------------------------------------------------------ BASS */

DWORD BASS_StreamPutData(HSTREAM handle, const void *buffer, DWORD length);
int BASS_ChannelSetPosition(DWORD handle, uint64_t position, DWORD mode);

#define STREAMPROC_PUSH ((STREAMPROC *)-1)
#define STREAMPROC_END 0x80000000

/* An end is a state: what the host refills is heard again, until the host frees it. */
static void source_that_returns(void) {
    CHECK(BASS_Init(0, 48000, 0, NULL, NULL));
    HSTREAM queue = BASS_StreamCreate(48000, 2, BASS_STREAM_DECODE | BASS_SAMPLE_FLOAT, STREAMPROC_PUSH, NULL);
    CHECK(BASS_StreamPutData(queue, samples, sizeof samples) == sizeof samples);
    void *server = BASS_WEBRTC_Create(queue, &any_port);
    uint32_t error = 1, ends = 1;
    CHECK(!BASS_WEBRTC_GetSourceEnd(server, &error, &ends) && BASS_WEBRTC_ErrorGetCode() == BASS_WEBRTC_OK);
    CHECK(error == 0 && ends == 0);
    CHECK_WORKS(BASS_WEBRTC_Start(server));
    for (uint32_t round = 1; round <= 2; round++) {
        BASS_StreamPutData(queue, NULL, STREAMPROC_END);
        WAIT_UNTIL(BASS_WEBRTC_GetSourceEnd(server, &error, &ends));
        CHECK(error == 45 && ends == round);
        CHECK(BASS_ChannelSetPosition(queue, 0, 0));
        CHECK(BASS_StreamPutData(queue, samples, sizeof samples) == sizeof samples);
        WAIT_UNTIL(!BASS_WEBRTC_GetSourceEnd(server, NULL, NULL));
    }
    CHECK(BASS_StreamFree(queue));
    WAIT_UNTIL(BASS_WEBRTC_GetSourceEnd(server, &error, &ends));
    CHECK(error == BASS_ERROR_HANDLE && ends == 3);
    CHECK_WORKS(BASS_WEBRTC_Free(server));
    CHECK(BASS_Free());
}

static void bass_freed_first(void) {
    CHECK(BASS_Init(0, 48000, 0, NULL, NULL));
    HSTREAM tone = BASS_StreamCreate(44100, 1, BASS_STREAM_DECODE | BASS_SAMPLE_FLOAT, STREAMPROC_DUMMY, NULL);
    CHECK(tone != 0);
    HSTREAM plays = BASS_StreamCreate(44100, 1, BASS_SAMPLE_FLOAT, STREAMPROC_DUMMY, NULL);
    CHECK_FAILS(BASS_WEBRTC_Create(plays, &any_port), BASS_WEBRTC_ERROR_ILLPARAM);
    CHECK(strstr(BASS_WEBRTC_ErrorGetMessage(), "BASS_STREAM_DECODE") != NULL);
    void *server = BASS_WEBRTC_Create(tone, &any_port);
    CHECK_WORKS(BASS_WEBRTC_Start(server));
    CHECK(!BASS_ChannelPlay(0x12345, 0) && BASS_ErrorGetCode() == BASS_ERROR_HANDLE);
    HSTREAM input = BASS_WEBRTC_GetInputStream(server);
    CHECK_WORKS(input != 0 && BASS_WEBRTC_GetInputStream(server) == input);
    CHECK(BASS_ErrorGetCode() == BASS_ERROR_HANDLE); /* unchanged */
    CHECK(BASS_ChannelPlay(input, 0));
    CHECK_FAILS(BASS_WEBRTC_Create(0x12345, &any_port), BASS_WEBRTC_ERROR_HANDLE);
    CHECK(BASS_ErrorGetCode() == 0);
    CHECK(BASS_Free());
    CHECK_FAILS(BASS_WEBRTC_GetInputStream(server), BASS_WEBRTC_ERROR_NOTAVAIL);
    CHECK_WORKS(BASS_WEBRTC_GetStats(server, &stats));
    CHECK_WORKS(BASS_WEBRTC_Stop(server));
    CHECK_FAILS(BASS_WEBRTC_Start(server), BASS_WEBRTC_ERROR_HANDLE); /* BASS_Free freed its channel. */
    CHECK_WORKS(BASS_WEBRTC_Free(server));
}

/* ------------------------------------------------------------------ loading and unloading */

static void unload_and_load(const char *library, const char *copy) {
    void *first = dlopen(library, RTLD_NOW | RTLD_LOCAL);
    CHECK(first != NULL);
    void *server = running_server();
    for (int i = 0; i < 4; i++)
        dlclose(first);
    CHECK(dlopen(library, RTLD_NOW | RTLD_LOCAL) == first);
    CHECK_WORKS(BASS_WEBRTC_GetStats(server, &stats)); /* The library was not unloaded. */
    void *second = dlopen(copy, RTLD_NOW | RTLD_LOCAL);
    CHECK(second != NULL && second != first);
    void *(*create)(DWORD, const WebRtcConfigFFI *);
    int (*code)(void);
    const char *(*message)(void);
    *(void **)&create = dlsym(second, "BASS_WEBRTC_Create");
    *(void **)&code = dlsym(second, "BASS_WEBRTC_ErrorGetCode");
    *(void **)&message = dlsym(second, "BASS_WEBRTC_ErrorGetMessage");
    for (int i = 0; i < 2; i++) {
        CHECK(create(BASS_WEBRTC_SOURCE_NONE, NULL) == NULL);
        CHECK(code() == BASS_WEBRTC_ERROR_ALREADY && strstr(message(), "another copy") != NULL);
    }
    CHECK_WORKS(BASS_WEBRTC_Free(server));
}

int main(int argc, char **argv) {
    static const test_case cases[] = {
        {"foreign_handles", foreign_handles},
        {"wrong_arguments", wrong_arguments},
        {"two_servers", two_servers},
        {"one_endpoint_only", one_endpoint_only},
        {"sixteen_threads", sixteen_threads},
        {"free_in_use", free_in_use},
        {"start_against_stop", start_against_stop},
        {"errors_of_threads", errors_of_threads},
        {"stop_in_callback", stop_in_callback},
        {"free_in_callback", free_in_callback},
        {"stop_against_callback", stop_against_callback},
        {"bass_freed_first", bass_freed_first},
        {"source_that_returns", source_that_returns},
    };
    CHECK(BASS_WEBRTC_GetVersion() == BASS_WEBRTC_VERSION && argc > 1);
    if (strcmp(argv[1], "unload_and_load") == 0)
        unload_and_load(argv[2], argv[3]);
    return run_case(argv[1], cases, sizeof cases / sizeof *cases);
}
