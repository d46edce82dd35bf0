/* original OFFER ANSWER CANDIDATE ICE_SERVER: makes a call with the functions of the original interface, in its order.
 *
 * OFFER is a file with the peer's offer, ANSWER the file to write the answer to, CANDIDATE a candidate of the peer.
 * Prints "answered", then a local candidate from on_ice_candidate, then "passed". */
#define WINAPI /* windows.h defines it for such programs. */
#define __stdcall
#include "bass_functions.h"

#include "check.h"

/* Such a program has its own declarations. The compiler compares them with the header. */
#ifdef __cplusplus
extern "C" {
#endif
void *WINAPI BASS_WEBRTC_Create(DWORD source_channel, const WebRtcConfigFFI *config);
int WINAPI BASS_WEBRTC_AddIceServer(void *handle, const char *url, const char *username, const char *credential);
int WINAPI BASS_WEBRTC_SetCallbacks(void *handle, const SignalingCallbacks *callbacks);
int WINAPI BASS_WEBRTC_Start(void *handle);
int WINAPI BASS_WEBRTC_AddPeer(void *handle, const char *offer_sdp, char *answer_sdp, uint32_t *answer_len);
int WINAPI BASS_WEBRTC_AddIceCandidate(void *handle, uint32_t peer_id, const char *candidate);
HSTREAM WINAPI BASS_WEBRTC_GetInputStream(void *handle);
int WINAPI BASS_WEBRTC_GetStats(void *handle, WebRtcStatsFFI *stats);
uint32_t WINAPI BASS_WEBRTC_GetPeerCount(void *handle);
int WINAPI BASS_WEBRTC_IsRunning(void *handle);
int WINAPI BASS_WEBRTC_RemovePeer(void *handle, uint32_t peer_id);
int WINAPI BASS_WEBRTC_Stop(void *handle);
int WINAPI BASS_WEBRTC_Free(void *handle);
void *WINAPI BASS_WEBRTC_ConnectWhip(DWORD source_channel, const char *whip_url, uint32_t sample_rate,
                                     uint16_t channels, uint32_t opus_bitrate);
int WINAPI BASS_WEBRTC_WhipStart(void *handle);
int WINAPI BASS_WEBRTC_WhipStop(void *handle);
int WINAPI BASS_WEBRTC_WhipIsConnected(void *handle);
int WINAPI BASS_WEBRTC_WhipFree(void *handle);
void *WINAPI BASS_WEBRTC_ConnectWhep(const char *whep_url, uint32_t sample_rate, uint16_t channels, uint32_t buffer_ms,
                                     uint8_t decode_stream);
HSTREAM WINAPI BASS_WEBRTC_WhepGetStream(void *handle);
int WINAPI BASS_WEBRTC_WhepIsConnected(void *handle);
int WINAPI BASS_WEBRTC_WhepFree(void *handle);
#ifdef __cplusplus
}
#endif

/* What the callbacks received. The event thread writes, the main thread reads. */
static char received_answer[BASS_WEBRTC_ANSWER_CAPACITY];
static char received_candidate[256];
static volatile int has_candidate;
static volatile uint32_t received_state;

static void on_sdp(uint32_t peer_id, const char *sdp_type, const char *sdp, void *user) {
    CHECK(peer_id == 0 && strcmp(sdp_type, "answer") == 0 && user == received_answer);
    snprintf(received_answer, sizeof received_answer, "%s", sdp);
}

static void on_ice_candidate(uint32_t peer_id, const char *candidate, const char *sdp_mid, uint32_t sdp_mline_index,
                             void *user) {
    CHECK(peer_id == 0 && sdp_mid != NULL && sdp_mline_index == 0 && user == received_answer);
    if (candidate[0] == '\0') /* no more candidates */
        return;
    snprintf(received_candidate, sizeof received_candidate, "%s", candidate);
    has_candidate = 1;
}

static void on_peer_state(uint32_t peer_id, uint32_t state, void *user) {
    CHECK(peer_id == 0 && user == received_answer);
    received_state = state;
}

static void read_text(const char *path, char *text, size_t capacity) {
    FILE *file = fopen(path, "rb");
    CHECK(file != NULL);
    text[fread(text, 1, capacity - 1, file)] = '\0';
    fclose(file);
}

static void write_text(const char *path, const char *text) {
    FILE *file = fopen(path, "wb");
    CHECK(file != NULL && fputs(text, file) >= 0 && fclose(file) == 0);
    puts("answered");
    fflush(stdout);
}

int main(int argc, char **argv) {
    WebRtcConfigFFI config = {48000, 2, 128, 100, 5, BASS_WEBRTC_SIGNALING_CALLBACK, 8080, 0};
    SignalingCallbacks callbacks = {on_sdp, on_ice_candidate, on_peer_state, received_answer};
    WebRtcStatsFFI stats;
    char offer[8192], answer[BASS_WEBRTC_ANSWER_CAPACITY];
    uint32_t answer_len = 0xDEADBEEF;
    CHECK(argc == 5);
    read_text(argv[1], offer, sizeof offer);
    CHECK(BASS_Init(0, 48000, 0, NULL, NULL));
    HSTREAM song = BASS_StreamCreate(48000, 2, BASS_STREAM_DECODE | BASS_SAMPLE_FLOAT, STREAMPROC_DUMMY, NULL);
    CHECK(song != 0);

    void *server = BASS_WEBRTC_Create(song, &config);
    CHECK_WORKS(server != NULL);
    CHECK_WORKS(BASS_WEBRTC_AddIceServer(server, argv[4], NULL, NULL));
    CHECK_WORKS(BASS_WEBRTC_SetCallbacks(server, &callbacks));
    CHECK_WORKS(BASS_WEBRTC_Start(server));
    CHECK_WORKS(BASS_WEBRTC_AddPeer(server, offer, answer, &answer_len) == 0);
    CHECK(answer_len == strlen(answer));
    write_text(argv[2], answer);
    CHECK_WORKS(BASS_WEBRTC_AddIceCandidate(server, 0, argv[3]));
    WAIT_UNTIL(has_candidate);
    puts(received_candidate);
    fflush(stdout);
    WAIT_UNTIL(received_state == PEER_STATE_CONNECTED);
    CHECK(strcmp(received_answer, answer) == 0);
    CHECK_WORKS(BASS_WEBRTC_GetInputStream(server) != 0);
    WAIT_UNTIL(BASS_WEBRTC_GetStats(server, &stats) && stats.total_packets_sent > 0);
    CHECK(stats.active_peers == 1);
    CHECK_WORKS(BASS_WEBRTC_RemovePeer(server, 0));
    WAIT_UNTIL(received_state == PEER_STATE_CLOSED);
    CHECK_WORKS(BASS_WEBRTC_Stop(server));
    CHECK(!BASS_WEBRTC_IsRunning(server));
    CHECK_WORKS(BASS_WEBRTC_Free(server));
    CHECK_FAILS(BASS_WEBRTC_Free(server), BASS_WEBRTC_ERROR_HANDLE);
    CHECK(BASS_Free());
    puts("passed");
    return 0;
}
