/*
 * The C functions of the library that capi.py calls. cffi reads this file, so it contains declarations only. The
 * structures are those of bass_webrtc.h; "uintptr_t handle" is the number that the host has as its handle.
 */
#ifndef BW_BRIDGE_H
#define BW_BRIDGE_H

/* ------------------------------------------------------------------ error.c */

/* Sets the calling thread's error, for BASS_WEBRTC_ErrorGetCode and BASS_WEBRTC_ErrorGetMessage. */
void bw_set_error(int code, const char *message);

/* ------------------------------------------------------------------ library.c */

/* Call the host's callbacks. A callback that is NULL is skipped. */
void bw_call_on_sdp(const SignalingCallbacks *callbacks, uint32_t peer_id, const char *sdp_type, const char *sdp);
void bw_call_on_ice_candidate(const SignalingCallbacks *callbacks, uint32_t peer_id, const char *candidate,
                              const char *sdp_mid, uint32_t sdp_mline_index);
void bw_call_on_peer_state(const SignalingCallbacks *callbacks, uint32_t peer_id, uint32_t state);
void bw_call_on_call(const CallCallbacks *callbacks, uint32_t event_type, const WebRtcCallStatsFFI *call,
                     const char *reason);

/* ------------------------------------------------------------------ stats.c */

/* Sets the addresses of the core functions that BASS_WEBRTC_GetStats calls. Called once, while the library starts. */
void bw_use_core(uintptr_t engine_get_stats, uintptr_t playout_get_receiver_stats, uintptr_t engine_playout);

/* Adds the handle of a new server to the table of statistics. Returns 0 if there is no memory. */
int bw_server_open(uintptr_t handle);

/* The server has started. engine: address of its bw_engine, valid until bw_server_detach. */
void bw_server_attach(uintptr_t handle, uintptr_t engine, uint32_t max_peers);

/* The server is about to stop: keeps its last statistics. Waits for threads that are reading them. */
void bw_server_detach(uintptr_t handle);

/* Removes the handle of a freed server. */
void bw_server_close(uintptr_t handle);

#endif
