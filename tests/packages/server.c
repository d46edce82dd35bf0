/* Starts and ends a server without BASS. .github/workflows/packages.yml links it with Visual Studio; any C compiler and
 * any SDK will do. */
#include <stdio.h>

#include "bass_webrtc.h"

int main(void) {
    WebRtcConfigFFI config = {48000, 2, 128, 100, 5, BASS_WEBRTC_SIGNALING_HTTP, 0, 0};
    void *server = BASS_WEBRTC_Create(BASS_WEBRTC_SOURCE_PCM, &config);
    if (server == NULL || !BASS_WEBRTC_Start(server)) {
        printf("%s\n", BASS_WEBRTC_ErrorGetMessage());
        return 1;
    }
    printf("version %08x, port %u\n", (unsigned)BASS_WEBRTC_GetVersion(), (unsigned)BASS_WEBRTC_GetPort(server));
    return BASS_WEBRTC_Free(server) ? 0 : 1;
}
