/*
 * The exported functions: thin. A handle that cannot be one, because nothing was made yet, is refused without Python.
 * GetStats, GetPeerCount and IsRunning stand in stats.c, the error functions in error.c.
 */
#include "library.h"

#include <fenv.h>

/* Pascal's programs have floating point exceptions switched on, which C, Python and the threads that are made here do
 * not expect: 0 / 0 would end the process. */
#define CALMLY(call)                                                                                                   \
    __extension__({                                                                                                    \
        fenv_t host;                                                                                                   \
        feholdexcept(&host);                                                                                           \
        __typeof__(call) result = (call);                                                                              \
        fesetenv(&host);                                                                                               \
        result;                                                                                                        \
    })

/* What makes something starts Python; what takes a handle needs it to be there already. */
#define MAKE(call) CALMLY(can_make() ? (void *)(call) : NULL)
#define USE(failure, call) CALMLY(can_use(handle) ? (call) : (failure))
#define ID ((uintptr_t)handle)

static bool can_make(void) {
    bw_clear_error();
    return bw_start_python();
}

static bool can_use(const void *handle) {
    bw_clear_error();
    if (handle == NULL)
        bw_set_error(BASS_WEBRTC_ERROR_HANDLE, "the handle is NULL: the call that should have made it failed");
    else if (!bw_python_is_ready())
        bw_set_error(BASS_WEBRTC_ERROR_HANDLE, "this is no handle: nothing was made yet");
    else
        return true;
    return false;
}

DWORD BASS_WEBRTC_CALL BASS_WEBRTC_GetVersion(void) { return BASS_WEBRTC_VERSION; }

/* ------------------------------------------------------------------ server */

void *BASS_WEBRTC_CALL BASS_WEBRTC_Create(DWORD source_channel, const WebRtcConfigFFI *config) {
    return MAKE(bw_py_create(source_channel, config));
}

int BASS_WEBRTC_CALL BASS_WEBRTC_SetAddress(void *handle, const char *http_host, uint16_t udp_port,
                                            const char *public_ips) {
    return USE(0, bw_py_set_address(ID, http_host, udp_port, public_ips));
}

int BASS_WEBRTC_CALL BASS_WEBRTC_SetToken(void *handle, const char *token) {
    return USE(0, bw_py_set_token(ID, token));
}

int BASS_WEBRTC_CALL BASS_WEBRTC_AddIceServer(void *handle, const char *url, const char *username,
                                              const char *credential) {
    return USE(0, bw_py_add_ice_server(ID, url, username, credential));
}

int BASS_WEBRTC_CALL BASS_WEBRTC_SetCallbacks(void *handle, const SignalingCallbacks *callbacks) {
    return USE(0, bw_py_set_callbacks(ID, callbacks));
}

int BASS_WEBRTC_CALL BASS_WEBRTC_SetBitrate(void *handle, uint32_t opus_bitrate) {
    return USE(0, bw_py_set_bitrate(ID, opus_bitrate));
}

int BASS_WEBRTC_CALL BASS_WEBRTC_Start(void *handle) { return USE(0, bw_py_start(ID)); }

int BASS_WEBRTC_CALL BASS_WEBRTC_Stop(void *handle) { return USE(0, bw_py_stop(ID)); }

int BASS_WEBRTC_CALL BASS_WEBRTC_Free(void *handle) { return USE(0, bw_py_free(ID)); }

uint32_t BASS_WEBRTC_CALL BASS_WEBRTC_GetPort(void *handle) { return USE(0, bw_py_get_port(ID)); }

HSTREAM BASS_WEBRTC_CALL BASS_WEBRTC_GetInputStream(void *handle) { return USE(0, bw_py_get_input_stream(ID)); }

/* ------------------------------------------------------------------ peers */

HSTREAM BASS_WEBRTC_CALL BASS_WEBRTC_GetPeerStream(void *handle, uint32_t peer_id) {
    return USE(0, bw_py_get_peer_stream(ID, peer_id));
}

int BASS_WEBRTC_CALL BASS_WEBRTC_GetPeerStats(void *handle, uint32_t peer_id, WebRtcPeerStatsFFI *stats) {
    return USE(0, bw_py_get_peer_stats(ID, peer_id, stats));
}

/* ------------------------------------------------------------------ callback signaling */

int BASS_WEBRTC_CALL BASS_WEBRTC_AddPeer(void *handle, const char *offer_sdp, char *answer_sdp, uint32_t *answer_len) {
    return BASS_WEBRTC_AddPeerEx(handle, offer_sdp, answer_sdp, BASS_WEBRTC_ANSWER_CAPACITY, answer_len);
}

int BASS_WEBRTC_CALL BASS_WEBRTC_AddPeerEx(void *handle, const char *offer_sdp, char *answer_sdp, uint32_t capacity,
                                           uint32_t *answer_len) {
    return USE(-1, bw_py_add_peer(ID, offer_sdp, answer_sdp, capacity, answer_len));
}

int BASS_WEBRTC_CALL BASS_WEBRTC_CreateOffer(void *handle, uint32_t kind, char *offer_sdp, uint32_t capacity,
                                             uint32_t *offer_len) {
    return USE(-1, bw_py_create_offer(ID, kind, offer_sdp, capacity, offer_len));
}

int BASS_WEBRTC_CALL BASS_WEBRTC_SetAnswer(void *handle, uint32_t peer_id, const char *answer_sdp) {
    return USE(0, bw_py_set_answer(ID, peer_id, answer_sdp));
}

int BASS_WEBRTC_CALL BASS_WEBRTC_AddIceCandidate(void *handle, uint32_t peer_id, const char *candidate) {
    return USE(0, bw_py_add_ice_candidate(ID, peer_id, candidate));
}

int BASS_WEBRTC_CALL BASS_WEBRTC_RemovePeer(void *handle, uint32_t peer_id) {
    return USE(0, bw_py_remove_peer(ID, peer_id));
}

/* ------------------------------------------------------------------ without BASS */

int BASS_WEBRTC_CALL BASS_WEBRTC_PushPcm(void *handle, const float *samples, uint32_t frames) {
    return USE(-1, bw_py_push_pcm(ID, samples, frames));
}

int BASS_WEBRTC_CALL BASS_WEBRTC_ReadPcm(void *handle, uint32_t peer_id, float *samples, uint32_t frames) {
    return USE(-1, bw_py_read_pcm(ID, peer_id, samples, frames));
}

/* ------------------------------------------------------------------ clients */

void *BASS_WEBRTC_CALL BASS_WEBRTC_ConnectWhip(DWORD source_channel, const char *whip_url, uint32_t sample_rate,
                                               uint16_t channels, uint32_t opus_bitrate) {
    return MAKE(bw_py_connect_whip(source_channel, whip_url, sample_rate, channels, opus_bitrate));
}

int BASS_WEBRTC_CALL BASS_WEBRTC_WhipStart(void *handle) { return USE(0, bw_py_whip_start(ID)); }

int BASS_WEBRTC_CALL BASS_WEBRTC_WhipStop(void *handle) { return USE(0, bw_py_whip_stop(ID)); }

int BASS_WEBRTC_CALL BASS_WEBRTC_WhipIsConnected(void *handle) { return USE(0, bw_py_whip_is_connected(ID)); }

int BASS_WEBRTC_CALL BASS_WEBRTC_WhipFree(void *handle) { return USE(0, bw_py_whip_free(ID)); }

void *BASS_WEBRTC_CALL BASS_WEBRTC_ConnectWhep(const char *whep_url, uint32_t sample_rate, uint16_t channels,
                                               uint32_t buffer_ms, uint8_t decode_stream) {
    return MAKE(bw_py_connect_whep(whep_url, sample_rate, channels, buffer_ms, decode_stream));
}

HSTREAM BASS_WEBRTC_CALL BASS_WEBRTC_WhepGetStream(void *handle) { return USE(0, bw_py_whep_get_stream(ID)); }

int BASS_WEBRTC_CALL BASS_WEBRTC_WhepIsConnected(void *handle) { return USE(0, bw_py_whep_is_connected(ID)); }

int BASS_WEBRTC_CALL BASS_WEBRTC_WhepFree(void *handle) { return USE(0, bw_py_whep_free(ID)); }
