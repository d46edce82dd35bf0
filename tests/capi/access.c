/* access server HOSTS ORIGINS PROXIES PEERS: a server for up to 4 peers with these settings. Prints its port and runs
 * until Return is pressed. "-" stands for NULL.
 * access whip|whep URL ALLOW_PRIVATE: a client. Prints "connected", or why it has given up. */
#include "check.h"

static const char *text(const char *argument) { return strcmp(argument, "-") == 0 ? NULL : argument; }

static void serve(char **settings) {
    WebRtcConfigFFI config = {48000, 2, 128, 100, 4, BASS_WEBRTC_SIGNALING_HTTP, 0, 0};
    void *server = BASS_WEBRTC_Create(BASS_WEBRTC_SOURCE_PCM, &config);
    CHECK_WORKS(BASS_WEBRTC_SetAllowedHosts(server, text(settings[0])));
    CHECK_WORKS(BASS_WEBRTC_SetAllowedOrigins(server, text(settings[1])));
    CHECK_WORKS(BASS_WEBRTC_SetTrustedProxies(server, text(settings[2])));
    CHECK_WORKS(BASS_WEBRTC_SetMaxPeersPerAddress(server, (uint32_t)atoi(settings[3])));
    CHECK_WORKS(BASS_WEBRTC_Start(server));
    printf("%u\n", (unsigned)BASS_WEBRTC_GetPort(server));
    fflush(stdout);
    getchar();
    CHECK_WORKS(BASS_WEBRTC_Free(server));
}

static void print_outcome(int (*is_connected)(void *), void *client) {
    int connected = 0;
    WAIT_UNTIL((connected = is_connected(client)) || BASS_WEBRTC_ErrorGetCode() != BASS_WEBRTC_OK);
    printf("%s\n", connected ? "connected" : BASS_WEBRTC_ErrorGetMessage());
}

static void push(const char *url, uint8_t allow) {
    void *client = BASS_WEBRTC_ConnectWhip(BASS_WEBRTC_SOURCE_PCM, url, 0, 0, 0);
    CHECK_FAILS(BASS_WEBRTC_SetTrustedOrigins(client, "media.example"), BASS_WEBRTC_ERROR_ILLPARAM);
    CHECK_WORKS(BASS_WEBRTC_SetTrustedOrigins(client, "https://media.example,http://b.example:81"));
    CHECK_WORKS(BASS_WEBRTC_SetTrustedOrigins(client, NULL));
    CHECK_WORKS(BASS_WEBRTC_SetAllowPrivate(client, allow));
    CHECK_WORKS(BASS_WEBRTC_WhipStart(client));
    CHECK_FAILS(BASS_WEBRTC_SetAllowPrivate(client, allow), BASS_WEBRTC_ERROR_ALREADY);
    CHECK_FAILS(BASS_WEBRTC_SetTrustedOrigins(client, NULL), BASS_WEBRTC_ERROR_ALREADY);
    print_outcome(BASS_WEBRTC_WhipIsConnected, client);
    CHECK_WORKS(BASS_WEBRTC_WhipFree(client));
}

static void pull(const char *url, uint8_t allow) {
    void *client = BASS_WEBRTC_ConnectWhep(url, 0, 0, 0, 0);
    CHECK_FAILS(BASS_WEBRTC_SetReceiveEnhancement(client, 3), BASS_WEBRTC_ERROR_ILLPARAM);
    CHECK_WORKS(BASS_WEBRTC_SetReceiveEnhancement(client, BASS_WEBRTC_ENHANCEMENT_ON));
    CHECK_WORKS(BASS_WEBRTC_SetAllowPrivate(client, allow));
    print_outcome(BASS_WEBRTC_WhepIsConnected, client);
    CHECK_WORKS(BASS_WEBRTC_WhepFree(client));
}

int main(int argc, char **argv) {
    CHECK(argc > 3);
    if (strcmp(argv[1], "server") == 0)
        serve(argv + 2);
    else if (strcmp(argv[1], "whip") == 0)
        push(argv[2], (uint8_t)atoi(argv[3]));
    else
        pull(argv[2], (uint8_t)atoi(argv[3]));
    return 0;
}
