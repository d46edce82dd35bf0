/*
 * The functions of capi.py, by the names and with the meanings that bass_webrtc.h gives to BASS_WEBRTC_*. cffi makes C
 * functions of these declarations. They take the interpreter's lock, and return the failure's value after bw_set_error.
 */
#ifndef BW_PYTHON_HALF_H
#define BW_PYTHON_HALF_H

uintptr_t bw_py_create(uint32_t source_channel, const WebRtcConfigFFI *config);
int bw_py_set_address(uintptr_t handle, const char *http_host, uint16_t udp_port, const char *public_ips);
int bw_py_set_token(uintptr_t handle, const char *token);
int bw_py_add_ice_server(uintptr_t handle, const char *url, const char *username, const char *credential);
int bw_py_set_callbacks(uintptr_t handle, const SignalingCallbacks *callbacks);
int bw_py_set_bitrate(uintptr_t handle, uint32_t opus_bitrate);
int bw_py_start(uintptr_t handle);
int bw_py_stop(uintptr_t handle);
int bw_py_free(uintptr_t handle);
uint32_t bw_py_get_port(uintptr_t handle);
uint32_t bw_py_get_input_stream(uintptr_t handle);
uint32_t bw_py_get_peer_stream(uintptr_t handle, uint32_t peer_id);
int bw_py_get_peer_stats(uintptr_t handle, uint32_t peer_id, WebRtcPeerStatsFFI *stats);

int bw_py_add_peer(uintptr_t handle, const char *offer_sdp, char *answer_sdp, uint32_t capacity, uint32_t *answer_len);
int bw_py_create_offer(uintptr_t handle, uint32_t kind, char *offer_sdp, uint32_t capacity, uint32_t *offer_len);
int bw_py_set_answer(uintptr_t handle, uint32_t peer_id, const char *answer_sdp);
int bw_py_add_ice_candidate(uintptr_t handle, uint32_t peer_id, const char *candidate);
int bw_py_remove_peer(uintptr_t handle, uint32_t peer_id);

int bw_py_push_pcm(uintptr_t handle, const float *samples, uint32_t frames);
int bw_py_read_pcm(uintptr_t handle, uint32_t peer_id, float *samples, uint32_t frames);

uintptr_t bw_py_connect_whip(uint32_t source_channel, const char *whip_url, uint32_t sample_rate, uint16_t channels,
                             uint32_t opus_bitrate);
int bw_py_whip_start(uintptr_t handle);
int bw_py_whip_stop(uintptr_t handle);
int bw_py_whip_is_connected(uintptr_t handle);
int bw_py_whip_free(uintptr_t handle);
uintptr_t bw_py_connect_whep(const char *whep_url, uint32_t sample_rate, uint16_t channels, uint32_t buffer_ms,
                             uint8_t decode_stream);
uint32_t bw_py_whep_get_stream(uintptr_t handle);
int bw_py_whep_is_connected(uintptr_t handle);
int bw_py_whep_free(uintptr_t handle);

/* The process ends: closes what the host left open. */
void bw_py_close_all(void);

#endif
