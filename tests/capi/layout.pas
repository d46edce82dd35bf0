// layout.c in Pascal: prints the size of each record and the offsets of its fields.
program layout;

uses
  bass_webrtc;

procedure Size(const Name: string; Bytes: PtrUInt);
begin
  WriteLn(Name, ' ', Bytes);
end;

procedure Field(const Name: string; var RecordStart, FieldStart);
begin
  WriteLn(Name, ' ', PtrUInt(@FieldStart) - PtrUInt(@RecordStart));
end;

var
  Config: WebRtcConfigFFI;
  Stats: WebRtcStatsFFI;
  Callbacks: SignalingCallbacks;
  PeerStats: WebRtcPeerStatsFFI;
  CallStats: WebRtcCallStatsFFI;
  ForCalls: CallCallbacks;
begin
  Size('WebRtcConfigFFI', SizeOf(WebRtcConfigFFI));
  Field('WebRtcConfigFFI.sample_rate', Config, Config.sample_rate);
  Field('WebRtcConfigFFI.channels', Config, Config.channels);
  Field('WebRtcConfigFFI.opus_bitrate', Config, Config.opus_bitrate);
  Field('WebRtcConfigFFI.buffer_ms', Config, Config.buffer_ms);
  Field('WebRtcConfigFFI.max_peers', Config, Config.max_peers);
  Field('WebRtcConfigFFI.signaling_mode', Config, Config.signaling_mode);
  Field('WebRtcConfigFFI.http_port', Config, Config.http_port);
  Field('WebRtcConfigFFI.decode_stream', Config, Config.decode_stream);
  Size('WebRtcStatsFFI', SizeOf(WebRtcStatsFFI));
  Field('WebRtcStatsFFI.active_peers', Stats, Stats.active_peers);
  Field('WebRtcStatsFFI.total_packets_sent', Stats, Stats.total_packets_sent);
  Field('WebRtcStatsFFI.total_packets_received', Stats, Stats.total_packets_received);
  Field('WebRtcStatsFFI.total_bytes_sent', Stats, Stats.total_bytes_sent);
  Field('WebRtcStatsFFI.total_bytes_received', Stats, Stats.total_bytes_received);
  Field('WebRtcStatsFFI.total_encode_errors', Stats, Stats.total_encode_errors);
  Field('WebRtcStatsFFI.total_decode_errors', Stats, Stats.total_decode_errors);
  Field('WebRtcStatsFFI.output_underruns', Stats, Stats.output_underruns);
  Field('WebRtcStatsFFI.input_buffer_level', Stats, Stats.input_buffer_level);
  Field('WebRtcStatsFFI.input_is_buffering', Stats, Stats.input_is_buffering);
  Size('SignalingCallbacks', SizeOf(SignalingCallbacks));
  Field('SignalingCallbacks.on_sdp', Callbacks, Callbacks.on_sdp);
  Field('SignalingCallbacks.on_ice_candidate', Callbacks, Callbacks.on_ice_candidate);
  Field('SignalingCallbacks.on_peer_state', Callbacks, Callbacks.on_peer_state);
  Field('SignalingCallbacks.user_data', Callbacks, Callbacks.user_data);
  Size('WebRtcPeerStatsFFI', SizeOf(WebRtcPeerStatsFFI));
  Field('WebRtcPeerStatsFFI.peer_id', PeerStats, PeerStats.peer_id);
  Field('WebRtcPeerStatsFFI.state', PeerStats, PeerStats.state);
  Field('WebRtcPeerStatsFFI.packets_sent', PeerStats, PeerStats.packets_sent);
  Field('WebRtcPeerStatsFFI.packets_received', PeerStats, PeerStats.packets_received);
  Field('WebRtcPeerStatsFFI.bytes_sent', PeerStats, PeerStats.bytes_sent);
  Field('WebRtcPeerStatsFFI.bytes_received', PeerStats, PeerStats.bytes_received);
  Field('WebRtcPeerStatsFFI.packets_lost', PeerStats, PeerStats.packets_lost);
  Field('WebRtcPeerStatsFFI.late_packets', PeerStats, PeerStats.late_packets);
  Field('WebRtcPeerStatsFFI.duplicate_packets', PeerStats, PeerStats.duplicate_packets);
  Field('WebRtcPeerStatsFFI.fec_packets_used', PeerStats, PeerStats.fec_packets_used);
  Field('WebRtcPeerStatsFFI.red_packets_used', PeerStats, PeerStats.red_packets_used);
  Field('WebRtcPeerStatsFFI.concealed_samples', PeerStats, PeerStats.concealed_samples);
  Field('WebRtcPeerStatsFFI.fraction_lost', PeerStats, PeerStats.fraction_lost);
  Field('WebRtcPeerStatsFFI.jitter_ms', PeerStats, PeerStats.jitter_ms);
  Field('WebRtcPeerStatsFFI.round_trip_time_ms', PeerStats, PeerStats.round_trip_time_ms);
  Field('WebRtcPeerStatsFFI.jitter_buffer_ms', PeerStats, PeerStats.jitter_buffer_ms);
  Field('WebRtcPeerStatsFFI.jitter_buffer_target_ms', PeerStats, PeerStats.jitter_buffer_target_ms);
  Field('WebRtcPeerStatsFFI.audio_level_dbfs', PeerStats, PeerStats.audio_level_dbfs);
  Field('WebRtcPeerStatsFFI.local_address', PeerStats, PeerStats.local_address);
  Field('WebRtcPeerStatsFFI.remote_address', PeerStats, PeerStats.remote_address);
  Size('WebRtcCallStatsFFI', SizeOf(WebRtcCallStatsFFI));
  Field('WebRtcCallStatsFFI.call_id', CallStats, CallStats.call_id);
  Field('WebRtcCallStatsFFI.peer_id', CallStats, CallStats.peer_id);
  Field('WebRtcCallStatsFFI.state', CallStats, CallStats.state);
  Field('WebRtcCallStatsFFI.bitrate_kbps', CallStats, CallStats.bitrate_kbps);
  Field('WebRtcCallStatsFFI.gain', CallStats, CallStats.gain);
  Field('WebRtcCallStatsFFI.return_gain', CallStats, CallStats.return_gain);
  Field('WebRtcCallStatsFFI.level_dbfs', CallStats, CallStats.level_dbfs);
  Field('WebRtcCallStatsFFI.duration_s', CallStats, CallStats.duration_s);
  Field('WebRtcCallStatsFFI.muted', CallStats, CallStats.muted);
  Field('WebRtcCallStatsFFI.talkback', CallStats, CallStats.talkback);
  Field('WebRtcCallStatsFFI.recording', CallStats, CallStats.recording);
  Field('WebRtcCallStatsFFI.name', CallStats, CallStats.name);
  Field('WebRtcCallStatsFFI.invite_id', CallStats, CallStats.invite_id);
  Size('CallCallbacks', SizeOf(CallCallbacks));
  Field('CallCallbacks.on_call', ForCalls, ForCalls.on_call);
  Field('CallCallbacks.user_data', ForCalls, ForCalls.user_data);
end.
