/* Prints the size of each structure and the offsets of its fields. */
#include "bass_webrtc.h"

#include <stddef.h>
#include <stdio.h>

#define SIZE(type) printf("%s %u\n", #type, (unsigned)sizeof(type))
#define FIELD(type, field) printf("%s.%s %u\n", #type, #field, (unsigned)offsetof(type, field))

int main(void) {
    SIZE(WebRtcConfigFFI);
    FIELD(WebRtcConfigFFI, sample_rate);
    FIELD(WebRtcConfigFFI, channels);
    FIELD(WebRtcConfigFFI, opus_bitrate);
    FIELD(WebRtcConfigFFI, buffer_ms);
    FIELD(WebRtcConfigFFI, max_peers);
    FIELD(WebRtcConfigFFI, signaling_mode);
    FIELD(WebRtcConfigFFI, http_port);
    FIELD(WebRtcConfigFFI, decode_stream);
    SIZE(WebRtcStatsFFI);
    FIELD(WebRtcStatsFFI, active_peers);
    FIELD(WebRtcStatsFFI, total_packets_sent);
    FIELD(WebRtcStatsFFI, total_packets_received);
    FIELD(WebRtcStatsFFI, total_bytes_sent);
    FIELD(WebRtcStatsFFI, total_bytes_received);
    FIELD(WebRtcStatsFFI, total_encode_errors);
    FIELD(WebRtcStatsFFI, total_decode_errors);
    FIELD(WebRtcStatsFFI, output_underruns);
    FIELD(WebRtcStatsFFI, input_buffer_level);
    FIELD(WebRtcStatsFFI, input_is_buffering);
    SIZE(SignalingCallbacks);
    FIELD(SignalingCallbacks, on_sdp);
    FIELD(SignalingCallbacks, on_ice_candidate);
    FIELD(SignalingCallbacks, on_peer_state);
    FIELD(SignalingCallbacks, user_data);
    SIZE(WebRtcPeerStatsFFI);
    FIELD(WebRtcPeerStatsFFI, peer_id);
    FIELD(WebRtcPeerStatsFFI, state);
    FIELD(WebRtcPeerStatsFFI, packets_sent);
    FIELD(WebRtcPeerStatsFFI, packets_received);
    FIELD(WebRtcPeerStatsFFI, bytes_sent);
    FIELD(WebRtcPeerStatsFFI, bytes_received);
    FIELD(WebRtcPeerStatsFFI, packets_lost);
    FIELD(WebRtcPeerStatsFFI, late_packets);
    FIELD(WebRtcPeerStatsFFI, duplicate_packets);
    FIELD(WebRtcPeerStatsFFI, fec_packets_used);
    FIELD(WebRtcPeerStatsFFI, red_packets_used);
    FIELD(WebRtcPeerStatsFFI, concealed_samples);
    FIELD(WebRtcPeerStatsFFI, fraction_lost);
    FIELD(WebRtcPeerStatsFFI, jitter_ms);
    FIELD(WebRtcPeerStatsFFI, round_trip_time_ms);
    FIELD(WebRtcPeerStatsFFI, jitter_buffer_ms);
    FIELD(WebRtcPeerStatsFFI, jitter_buffer_target_ms);
    FIELD(WebRtcPeerStatsFFI, audio_level_dbfs);
    FIELD(WebRtcPeerStatsFFI, local_address);
    FIELD(WebRtcPeerStatsFFI, remote_address);
    SIZE(WebRtcCallStatsFFI);
    FIELD(WebRtcCallStatsFFI, call_id);
    FIELD(WebRtcCallStatsFFI, peer_id);
    FIELD(WebRtcCallStatsFFI, state);
    FIELD(WebRtcCallStatsFFI, bitrate_kbps);
    FIELD(WebRtcCallStatsFFI, gain);
    FIELD(WebRtcCallStatsFFI, return_gain);
    FIELD(WebRtcCallStatsFFI, level_dbfs);
    FIELD(WebRtcCallStatsFFI, duration_s);
    FIELD(WebRtcCallStatsFFI, muted);
    FIELD(WebRtcCallStatsFFI, talkback);
    FIELD(WebRtcCallStatsFFI, recording);
    FIELD(WebRtcCallStatsFFI, name);
    FIELD(WebRtcCallStatsFFI, invite_id);
    SIZE(CallCallbacks);
    FIELD(CallCallbacks, on_call);
    FIELD(CallCallbacks, user_data);
    return 0;
}
