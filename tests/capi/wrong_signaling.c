/* wrong_signaling CASE: mistakes in callback signaling. They return an error and do not crash. */
#define _GNU_SOURCE /* feenableexcept */
#include "check.h"

#include <fenv.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>

static WebRtcConfigFFI callback_mode = {48000, 2, 128, 100, 2, BASS_WEBRTC_SIGNALING_CALLBACK, 0, 0};
static char text[BASS_WEBRTC_ANSWER_CAPACITY];
static volatile int states[6];

static void count_state(uint32_t peer_id, uint32_t state, void *user) {
    (void)peer_id, (void)user;
    states[state]++;
}

static void ice_servers(void) {
    void *servers[] = {BASS_WEBRTC_Create(BASS_WEBRTC_SOURCE_PCM, &callback_mode),
                       BASS_WEBRTC_ConnectWhip(BASS_WEBRTC_SOURCE_PCM, "http://127.0.0.1:9/whip", 0, 0, 0),
                       BASS_WEBRTC_ConnectWhep("http://127.0.0.1:9/whep", 48000, 2, 0, 0)};
    for (int i = 0; i < 3; i++) {
        CHECK_FAILS(BASS_WEBRTC_AddIceServer(servers[i], NULL, NULL, NULL), BASS_WEBRTC_ERROR_ILLPARAM);
        CHECK_FAILS(BASS_WEBRTC_AddIceServer(servers[i], "http://127.0.0.1", NULL, NULL), BASS_WEBRTC_ERROR_ILLPARAM);
        CHECK_FAILS(BASS_WEBRTC_AddIceServer(servers[i], "turn:127.0.0.1", "user", ""), BASS_WEBRTC_ERROR_ILLPARAM);
        CHECK_FAILS(BASS_WEBRTC_AddIceServer(servers[i], "turns:u:p@127.0.0.1?transport=udp", NULL, NULL),
                    BASS_WEBRTC_ERROR_ILLPARAM);
        CHECK_WORKS(BASS_WEBRTC_AddIceServer(servers[i], "stun:127.0.0.1:9", "", ""));
        CHECK_WORKS(BASS_WEBRTC_AddIceServer(servers[i], "stun:127.0.0.1:9,turn://user:p%40ss@127.0.0.1:9", "", ""));
        CHECK_WORKS(BASS_WEBRTC_AddIceServer(servers[i], "turn:127.0.0.1:9", "user", "secret"));
    }
    CHECK_WORKS(BASS_WEBRTC_Start(servers[0]));
    CHECK_WORKS(BASS_WEBRTC_WhipStart(servers[1]));
    for (int i = 0; i < 2; i++)
        CHECK_FAILS(BASS_WEBRTC_AddIceServer(servers[i], "stun:127.0.0.1", NULL, NULL), BASS_WEBRTC_ERROR_ALREADY);
    CHECK_WORKS(BASS_WEBRTC_Free(servers[0]));
    CHECK_WORKS(BASS_WEBRTC_WhipFree(servers[1]));
    CHECK_WORKS(BASS_WEBRTC_WhepFree(servers[2]));
}

#define OFFER(server, offer) BASS_WEBRTC_CreateOffer(server, BASS_WEBRTC_PEER_SENDRECV, offer, sizeof offer, NULL)

/* The number of a removed peer can be used again once the audio path has released its slot. */
static bool offers_to_number_0(void *server, char *offer) {
    int peer = BASS_WEBRTC_CreateOffer(server, BASS_WEBRTC_PEER_SENDRECV, offer, BASS_WEBRTC_ANSWER_CAPACITY, NULL);
    if (peer > 0)
        BASS_WEBRTC_RemovePeer(server, (uint32_t)peer);
    return peer == 0;
}

/* Also checks which numbers peers get, and that a peer whose answer does not fit is removed. */
static void wrong_signaling(void) {
    static char offer[BASS_WEBRTC_ANSWER_CAPACITY], answer[BASS_WEBRTC_ANSWER_CAPACITY];
    uint32_t length = 0xFFFFFFFF;
    void *here = BASS_WEBRTC_Create(BASS_WEBRTC_SOURCE_PCM, &callback_mode);
    void *there = BASS_WEBRTC_Create(BASS_WEBRTC_SOURCE_NONE, &callback_mode);
    CHECK_FAILS(OFFER(here, offer) + 1, BASS_WEBRTC_ERROR_START);
    CHECK_FAILS(BASS_WEBRTC_AddPeer(here, "v=0", answer, &length) + 1, BASS_WEBRTC_ERROR_START);
    CHECK_FAILS(BASS_WEBRTC_RemovePeer(here, 0), BASS_WEBRTC_ERROR_START);
    CHECK_WORKS(BASS_WEBRTC_Start(here));
    CHECK_WORKS(BASS_WEBRTC_Start(there));
    CHECK_FAILS(BASS_WEBRTC_GetPort(here), BASS_WEBRTC_ERROR_NOTAVAIL);

    CHECK_FAILS(BASS_WEBRTC_CreateOffer(here, 3, offer, sizeof offer, &length) + 1, BASS_WEBRTC_ERROR_ILLPARAM);
    CHECK_FAILS(BASS_WEBRTC_CreateOffer(here, 0, NULL, 1, &length) + 1, BASS_WEBRTC_ERROR_ILLPARAM);
    CHECK_FAILS(BASS_WEBRTC_CreateOffer(there, BASS_WEBRTC_PEER_PLAYER, offer, sizeof offer, NULL) + 1,
                BASS_WEBRTC_ERROR_ILLPARAM);
    CHECK_FAILS(BASS_WEBRTC_CreateOffer(here, 0, offer, 10, &length) + 1, BASS_WEBRTC_ERROR_BUFFER);
    CHECK(length > 100 && length < sizeof offer);
    WAIT_UNTIL(offers_to_number_0(here, offer));
    WAIT_UNTIL(OFFER(here, text) == 1);
    CHECK_FAILS(OFFER(here, text) + 1, BASS_WEBRTC_ERROR_PEERS);
    CHECK_WORKS(BASS_WEBRTC_RemovePeer(here, 1));
    WAIT_UNTIL(BASS_WEBRTC_AddIceCandidate(here, 1, "") == 0);
    CHECK(BASS_WEBRTC_ErrorGetCode() == BASS_WEBRTC_ERROR_NOTAVAIL);

    CHECK_FAILS(BASS_WEBRTC_AddPeer(there, NULL, answer, &length) + 1, BASS_WEBRTC_ERROR_ILLPARAM);
    CHECK_FAILS(BASS_WEBRTC_AddPeer(there, offer, NULL, &length) + 1, BASS_WEBRTC_ERROR_ILLPARAM);
    CHECK_FAILS(BASS_WEBRTC_AddPeer(there, "no SDP", answer, &length) + 1, BASS_WEBRTC_ERROR_SDP);
    CHECK_FAILS(BASS_WEBRTC_AddPeer(there, "\xff", answer, &length) + 1, BASS_WEBRTC_ERROR_ILLPARAM);
    CHECK_FAILS(BASS_WEBRTC_AddPeerEx(there, offer, answer, 100, &length) + 1, BASS_WEBRTC_ERROR_BUFFER);
    WAIT_UNTIL(BASS_WEBRTC_AddPeerEx(there, offer, NULL, 0, NULL) == 0); /* on_sdp would receive it */
    CHECK_WORKS(BASS_WEBRTC_RemovePeer(there, 0));
    length = 0xFFFFFFFF;
    WAIT_UNTIL(BASS_WEBRTC_AddPeer(there, offer, answer, &length) == 0);
    CHECK(length == strlen(answer) && strncmp(answer, "v=0\r\n", 5) == 0);
    CHECK_FAILS(BASS_WEBRTC_SetAnswer(there, 0, answer), BASS_WEBRTC_ERROR_ILLPARAM); /* the peer made the offer */

    CHECK_FAILS(BASS_WEBRTC_SetAnswer(here, 0, NULL), BASS_WEBRTC_ERROR_ILLPARAM);
    CHECK_FAILS(BASS_WEBRTC_SetAnswer(here, 0, "v=0"), BASS_WEBRTC_ERROR_SDP);
    CHECK_FAILS(BASS_WEBRTC_SetAnswer(here, 7, answer), BASS_WEBRTC_ERROR_NOTAVAIL);
    CHECK_FAILS(BASS_WEBRTC_AddIceCandidate(here, 0, "candidate:?"), BASS_WEBRTC_ERROR_SDP);
    CHECK_FAILS(BASS_WEBRTC_AddIceCandidate(here, 0, NULL), BASS_WEBRTC_ERROR_ILLPARAM);
    CHECK_WORKS(BASS_WEBRTC_AddIceCandidate(here, 0, "candidate:1 1 udp 1 name.local 9 typ host"));
    CHECK_WORKS(BASS_WEBRTC_SetAnswer(here, 0, answer));
    CHECK_FAILS(BASS_WEBRTC_SetAnswer(here, 0, answer), BASS_WEBRTC_ERROR_ILLPARAM); /* a second time */
    WAIT_UNTIL(BASS_WEBRTC_GetPeerCount(here) == 1 && BASS_WEBRTC_GetPeerCount(there) == 1);
    CHECK_WORKS(BASS_WEBRTC_RemovePeer(here, 0));
    CHECK_FAILS(BASS_WEBRTC_RemovePeer(here, 0), BASS_WEBRTC_ERROR_NOTAVAIL);
    WAIT_UNTIL(BASS_WEBRTC_GetPeerCount(there) == 0);
    CHECK_WORKS(BASS_WEBRTC_Free(here));
    CHECK_WORKS(BASS_WEBRTC_Free(there));
}

/* A call that cannot connect, because the answer has the fingerprint of another certificate. */
static void failed_call(void) {
    SignalingCallbacks callbacks = {NULL, NULL, count_state, NULL};
    void *here = BASS_WEBRTC_Create(BASS_WEBRTC_SOURCE_PCM, &callback_mode),
         *there = BASS_WEBRTC_Create(0, &callback_mode);
    char answer[BASS_WEBRTC_ANSWER_CAPACITY];
    CHECK_WORKS(BASS_WEBRTC_SetCallbacks(here, &callbacks));
    CHECK(BASS_WEBRTC_Start(here) && BASS_WEBRTC_Start(there));
    CHECK(OFFER(here, text) == 0 && BASS_WEBRTC_AddPeer(there, text, answer, NULL) == 0);
    char *fingerprint = strstr(answer, "a=fingerprint:sha-256 ") + strlen("a=fingerprint:sha-256 ");
    fingerprint[0] = fingerprint[0] == 'A' ? 'B' : 'A';
    CHECK_WORKS(BASS_WEBRTC_SetAnswer(here, 0, answer));
    WAIT_UNTIL(states[PEER_STATE_CLOSED] == 1);
    CHECK(states[PEER_STATE_FAILED] == 1 && states[PEER_STATE_CONNECTED] == 0);
    CHECK(OFFER(here, text) >= 0);
    CHECK_WORKS(BASS_WEBRTC_Free(here)); /* A removed peer has not failed. */
    CHECK(states[PEER_STATE_CLOSED] == 2 && states[PEER_STATE_FAILED] == 1);
    CHECK_WORKS(BASS_WEBRTC_Free(there));
}

/* ------------------------------------------------------------------ floating-point exceptions */

#define ENABLED (FE_INVALID | FE_DIVBYZERO | FE_OVERFLOW)

/* Pascal programs enable them. The library must work, and leave them enabled. */
static void float_exceptions(void) {
    static float no_numbers[960 * 2];
    WebRtcStatsFFI stats;
    char answer[BASS_WEBRTC_ANSWER_CAPACITY];
    feenableexcept(ENABLED);
    void *here = BASS_WEBRTC_Create(BASS_WEBRTC_SOURCE_PCM, &callback_mode);
    void *there = BASS_WEBRTC_Create(BASS_WEBRTC_SOURCE_NONE, &callback_mode);
    CHECK(BASS_WEBRTC_Start(here) && BASS_WEBRTC_Start(there));
    CHECK(OFFER(here, text) == 0 && BASS_WEBRTC_AddPeer(there, text, answer, NULL) == 0);
    CHECK_WORKS(BASS_WEBRTC_SetAnswer(here, 0, answer));
    for (int i = 0; i < 960 * 2; i++)
        no_numbers[i] = NAN;
    WAIT_UNTIL(BASS_WEBRTC_PushPcm(here, no_numbers, 960) >= 0 && BASS_WEBRTC_GetStats(here, &stats) &&
               stats.total_packets_sent > 50);
    CHECK(fegetexcept() == ENABLED);
    CHECK_WORKS(BASS_WEBRTC_Free(here));
    CHECK_WORKS(BASS_WEBRTC_Free(there));
}

int main(int argc, char **argv) {
    static const test_case cases[] = {
        {"ice_servers", ice_servers},
        {"wrong_signaling", wrong_signaling},
        {"failed_call", failed_call},
        {"float_exceptions", float_exceptions},
    };
    CHECK(argc > 1);
    return run_case(argv[1], cases, sizeof cases / sizeof *cases);
}
