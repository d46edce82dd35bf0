/*
 * Option 3: a call with callback signaling. You are the signaling: run the program in two terminals, or on two
 * machines, and paste what one prints into the other.
 *
 *     cc callback.c -o callback $(bass-webrtc capi cflags) $(bass-webrtc capi ldflags) -lbass -lm
 *     ./callback                                    prints an offer and reads the answer
 *     ./callback --answer                           reads an offer and prints the answer
 *     ./callback --ice-server stun:HOST             for a call across NATs, on both sides
 *
 * A description ends with an empty line. Lines that begin with "candidate:" may follow, as soon as each is found.
 * Another empty line ends the call.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bass_functions.h"

#include "bass_webrtc.h"

#include "heard.h"
#include "tone.h"

#define CANDIDATE "candidate:"

static int fail(const char *what) {
    fprintf(stderr, "%s: %s (error %d)\n", what, BASS_WEBRTC_ErrorGetMessage(), BASS_WEBRTC_ErrorGetCode());
    return EXIT_FAILURE;
}

/* ------------------------------------------------------------------ for the peer, on standard output */

static void show_description(uint32_t peer_id, const char *sdp_type, const char *sdp, void *user) {
    (void)peer_id, (void)user;
    printf("The %s:\n%s\n", sdp_type, sdp); /* The SDP ends with a newline, so this prints an empty line. */
    fflush(stdout);
}

static void show_candidate(uint32_t peer_id, const char *candidate, const char *sdp_mid, uint32_t sdp_mline_index,
                           void *user) {
    (void)peer_id, (void)sdp_mid, (void)sdp_mline_index, (void)user; /* There is only one media section. */
    if (candidate[0] != '\0')
        printf("%s\n", candidate);
    fflush(stdout);
}

static void show_state(uint32_t peer_id, uint32_t state, void *user) {
    static const char *const names[] = {"new", "connecting", "connected", "disconnected", "failed", "closed"};
    volatile int *ended = (volatile int *)user;
    printf("peer %u: %s\n", (unsigned)peer_id, names[state]);
    fflush(stdout);
    *ended = state == PEER_STATE_CLOSED;
}

/* ------------------------------------------------------------------ from the peer, on standard input */

/* Reads lines up to an empty one. Returns 0 if there is no description. */
static int read_description(char *sdp, size_t capacity) {
    size_t length = 0;
    while (length + 1 < capacity && fgets(sdp + length, (int)(capacity - length), stdin) != NULL) {
        if (sdp[length] == '\n' || sdp[length] == '\r') {
            sdp[length] = '\0';
            return length > 0;
        }
        length += strlen(sdp + length);
    }
    fprintf(stderr, "no description was entered, or it is too long\n");
    return 0;
}

/* Adds a candidate. Returns 0 if the line ends the call. */
static int take_line(void *server, uint32_t peer) {
    char line[512];
    if (fgets(line, sizeof line, stdin) == NULL || line[0] == '\n')
        return 0;
    line[strcspn(line, "\r\n")] = '\0';
    if (strncmp(line, CANDIDATE, strlen(CANDIDATE)) == 0 && !BASS_WEBRTC_AddIceCandidate(server, peer, line))
        fail(line);
    return 1;
}

/* Makes the offer. Returns the peer's number, or -1. */
static int call_peer(void *server) {
    char answer[16384];
    printf("Paste the answer followed by an empty line.\n");
    int peer = BASS_WEBRTC_CreateOffer(server, BASS_WEBRTC_PEER_SENDRECV, NULL, 0, NULL);
    if (peer < 0 || !read_description(answer, sizeof answer))
        return -1;
    return BASS_WEBRTC_SetAnswer(server, (uint32_t)peer, answer) ? peer : -1;
}

/* Answers an offer. Returns the peer's number, or -1. */
static int answer_peer(void *server) {
    char offer[16384], answer[BASS_WEBRTC_ANSWER_CAPACITY];
    uint32_t answer_len;
    printf("Paste the offer followed by an empty line.\n");
    fflush(stdout);
    if (!read_description(offer, sizeof offer))
        return -1;
    return BASS_WEBRTC_AddPeer(server, offer, answer, &answer_len); /* show_description prints it. */
}

int main(int argc, char **argv) {
    WebRtcConfigFFI config = {48000, 2, 128, 100, 5, BASS_WEBRTC_SIGNALING_CALLBACK, 0, 1};
    volatile int ended = 0;
    SignalingCallbacks callbacks = {show_description, show_candidate, show_state, (void *)&ended};
    int answers = 0;

    if (!BASS_Init(0, 48000, 0, NULL, NULL)) {
        fprintf(stderr, "BASS_Init: error %d\n", BASS_ErrorGetCode());
        return EXIT_FAILURE;
    }
    setvbuf(stdin, NULL, _IONBF, 0); /* poll does not see what stdio has buffered. */
    void *server = BASS_WEBRTC_Create(open_tone(), &config);
    if (server == NULL)
        return fail("BASS_WEBRTC_Create");
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--answer") == 0)
            answers = 1;
        else if (strcmp(argv[i], "--ice-server") != 0 || ++i == argc)
            return fprintf(stderr, "usage: %s [--answer] [--ice-server URL]\n", argv[0]), 2;
        else if (!BASS_WEBRTC_AddIceServer(server, argv[i], NULL, NULL))
            return fail(argv[i]);
    }
    BASS_WEBRTC_SetCallbacks(server, &callbacks);
    if (!BASS_WEBRTC_Start(server))
        return fail("BASS_WEBRTC_Start");
    int peer = answers ? answer_peer(server) : call_peer(server);
    if (peer < 0)
        return BASS_WEBRTC_ErrorGetCode() != BASS_WEBRTC_OK ? fail("the call") : EXIT_FAILURE;

    HSTREAM mix = BASS_WEBRTC_GetInputStream(server); /* or BASS_WEBRTC_GetPeerStream(server, peer) */
    for (int block = 0; !ended; block++) {
        if (has_input(BLOCK_MS) && !take_line(server, (uint32_t)peer))
            break;
        hear_block(mix, block);
    }
    BASS_WEBRTC_RemovePeer(server, (uint32_t)peer);
    BASS_WEBRTC_Free(server);
    BASS_Free();
    return EXIT_SUCCESS;
}
