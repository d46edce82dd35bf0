/*
 * Option 1: plays a file, or a tone, in browsers, and plays the audio of the browsers here. Press Return to stop.
 *
 *     cc serve.c -o serve $(bass-webrtc capi cflags) $(bass-webrtc capi ldflags) -lbass -lm
 *     ./serve song.mp3 8080
 */
#include <stdio.h>
#include <stdlib.h>

#include "bass_functions.h"

#include "bass_webrtc.h"

#include "tone.h"

static int fail(const char *what) {
    fprintf(stderr, "%s: %s (error %d)\n", what, BASS_WEBRTC_ErrorGetMessage(), BASS_WEBRTC_ErrorGetCode());
    return EXIT_FAILURE;
}

static void show_state(uint32_t peer_id, uint32_t state, void *user) {
    static const char *const names[] = {"new", "connecting", "connected", "disconnected", "failed", "closed"};
    (void)user;
    printf("peer %u: %s\n", (unsigned)peer_id, names[state]);
    fflush(stdout);
}

int main(int argc, char **argv) {
    WebRtcConfigFFI config = {48000, 2, 128, 100, 5, BASS_WEBRTC_SIGNALING_HTTP, 8080, 0};
    SignalingCallbacks callbacks = {NULL, NULL, show_state, NULL};
    WebRtcStatsFFI stats;
    const char *file = argc > 1 ? argv[1] : "";
    if (argc > 2)
        config.http_port = (uint16_t)atoi(argv[2]);

    if (!BASS_Init(-1, 48000, 0, NULL, NULL) && !BASS_Init(0, 48000, 0, NULL, NULL)) { /* 0: no sound card */
        fprintf(stderr, "BASS_Init: error %d\n", BASS_ErrorGetCode());
        return EXIT_FAILURE;
    }
    HSTREAM source = file[0] != '\0' ? BASS_StreamCreateFile(0, file, 0, 0,
                                                             BASS_STREAM_DECODE | BASS_SAMPLE_LOOP | BASS_SAMPLE_FLOAT)
                                     : open_tone();
    if (source == 0) { /* for BASS_WEBRTC_Create that would mean: only receive */
        fprintf(stderr, "cannot open %s: BASS error %d\n", file, BASS_ErrorGetCode());
        return EXIT_FAILURE;
    }
    void *server = BASS_WEBRTC_Create(source, &config);
    if (server == NULL)
        return fail("BASS_WEBRTC_Create");
    BASS_WEBRTC_SetCallbacks(server, &callbacks);
    if (!BASS_WEBRTC_Start(server))
        return fail("BASS_WEBRTC_Start");
    BASS_ChannelPlay(BASS_WEBRTC_GetInputStream(server), 0);
    printf("Open http://127.0.0.1:%u/ and press Listen. Press Return to stop.\n",
           (unsigned)BASS_WEBRTC_GetPort(server));
    fflush(stdout);
    getchar();

    BASS_WEBRTC_GetStats(server, &stats);
    printf("%u connected, %llu packets sent\n", (unsigned)stats.active_peers,
           (unsigned long long)stats.total_packets_sent);
    if (!BASS_WEBRTC_Free(server))
        return fail("BASS_WEBRTC_Free");
    BASS_Free();
    return EXIT_SUCCESS;
}
