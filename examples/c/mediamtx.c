/*
 * Option 2: sends a tone to a media server, and plays a stream from it. Press Return to stop.
 *
 *     cc mediamtx.c -o mediamtx $(bass-webrtc capi cflags) $(bass-webrtc capi ldflags) -lbass -lm
 *     ./mediamtx --whip http://127.0.0.1:8889/radio/whip --whep http://127.0.0.1:8889/radio/whep
 *
 * It prints once per second what it receives. Any server with WHIP and WHEP works: MediaMTX, Janus, or serve.c.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bass_functions.h"

#include "bass_webrtc.h"

#include "heard.h"
#include "tone.h"

/* Until Return is pressed. */
static void listen(void *whep) {
    HSTREAM stream = BASS_WEBRTC_WhepGetStream(whep);
    for (int block = 0; !has_input(BLOCK_MS); block++)
        hear_block(stream, block);
}

static int fail(const char *what) {
    fprintf(stderr, "%s: %s (error %d)\n", what, BASS_WEBRTC_ErrorGetMessage(), BASS_WEBRTC_ErrorGetCode());
    return EXIT_FAILURE;
}

int main(int argc, char **argv) {
    const char *whip_url = NULL, *whep_url = NULL, *token = NULL;
    for (int i = 1; i + 1 < argc; i += 2) {
        whip_url = strcmp(argv[i], "--whip") == 0 ? argv[i + 1] : whip_url;
        whep_url = strcmp(argv[i], "--whep") == 0 ? argv[i + 1] : whep_url;
        token = strcmp(argv[i], "--token") == 0 ? argv[i + 1] : token;
    }
    if (whip_url == NULL && whep_url == NULL) {
        fprintf(stderr, "usage: %s [--whip URL] [--whep URL] [--token TOKEN]\n", argv[0]);
        return 2;
    }
    if (!BASS_Init(0, 48000, 0, NULL, NULL)) {
        fprintf(stderr, "BASS_Init: error %d\n", BASS_ErrorGetCode());
        return EXIT_FAILURE;
    }

    void *whip = NULL, *whep = NULL;
    if (whip_url != NULL) {
        whip = BASS_WEBRTC_ConnectWhip(open_tone(), whip_url, 48000, 2, 128);
        if (whip == NULL || (token != NULL && !BASS_WEBRTC_SetToken(whip, token)) || !BASS_WEBRTC_WhipStart(whip))
            return fail(whip_url);
        while (!BASS_WEBRTC_WhipIsConnected(whip)) {
            if (BASS_WEBRTC_ErrorGetCode() != BASS_WEBRTC_OK)
                return fail(whip_url); /* The client has given up. */
            if (has_input(BLOCK_MS))
                return EXIT_SUCCESS; /* The library closes what is open. */
        }
        printf("pushing to %s\n", whip_url);
        fflush(stdout);
    }
    if (whep_url != NULL) {
        whep = BASS_WEBRTC_ConnectWhep(whep_url, 48000, 2, 100, 1);
        if (whep == NULL || (token != NULL && !BASS_WEBRTC_SetToken(whep, token)))
            return fail(whep_url);
        listen(whep);
        BASS_WEBRTC_WhepFree(whep);
    } else {
        getchar();
    }
    if (whip != NULL)
        BASS_WEBRTC_WhipFree(whip);
    BASS_Free();
    return EXIT_SUCCESS;
}
