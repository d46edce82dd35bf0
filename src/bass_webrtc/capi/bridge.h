/*
 * Between the library's C half and its Python half. cffi reads this file, so it holds declarations only; the structures
 * are those of bass_webrtc.h.
 *
 *   host ─► BASS_WEBRTC_*  (library.c: error codes, handles of no use, statistics) ─► bw_py_*  (capi.py)
 */
#ifndef BW_BRIDGE_H
#define BW_BRIDGE_H

/* ------------------------------------------------------------------ C, called by Python */

/* The error of the call that this thread is in, for BASS_WEBRTC_ErrorGetCode and ErrorGetMessage. */
void bw_set_error(int code, const char *message);

/* The core's functions that GetStats calls; addresses. Once, while the library starts. */
void bw_use_core(uintptr_t engine_get_stats, uintptr_t playout_get_receiver_stats, uintptr_t engine_playout);

/* A server's handle exists; its engine runs, until it is detached; it is freed. The address is a bw_engine's.
 * Detaching keeps the last statistics, and waits for whoever just reads. False: no memory. */
int bw_server_open(uintptr_t handle);
void bw_server_attach(uintptr_t handle, uintptr_t engine, uint32_t max_peers);
void bw_server_detach(uintptr_t handle);
void bw_server_close(uintptr_t handle);

/* callbacks.c: the host's callbacks; one that is NULL is not called. */
void bw_tell_sdp(const SignalingCallbacks *callbacks, uint32_t peer_id, const char *sdp_type, const char *sdp);
void bw_tell_ice_candidate(const SignalingCallbacks *callbacks, uint32_t peer_id, const char *candidate,
                           const char *sdp_mid, uint32_t sdp_mline_index);
void bw_tell_peer_state(const SignalingCallbacks *callbacks, uint32_t peer_id, uint32_t state);

#endif
