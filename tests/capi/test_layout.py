"""The structures have the layout of the original interface in every language: natural alignment."""

from __future__ import annotations

from pathlib import Path

import pytest

from support import c_library, other_languages
from support.fixtures import skip_for

WANTED = {
    "WebRtcConfigFFI": 24,
    "WebRtcConfigFFI.sample_rate": 0,
    "WebRtcConfigFFI.channels": 4,
    "WebRtcConfigFFI.opus_bitrate": 8,
    "WebRtcConfigFFI.buffer_ms": 12,
    "WebRtcConfigFFI.max_peers": 16,
    "WebRtcConfigFFI.signaling_mode": 17,
    "WebRtcConfigFFI.http_port": 18,
    "WebRtcConfigFFI.decode_stream": 20,
    "WebRtcStatsFFI": 72,
    "WebRtcStatsFFI.active_peers": 0,
    "WebRtcStatsFFI.total_packets_sent": 8,
    "WebRtcStatsFFI.total_packets_received": 16,
    "WebRtcStatsFFI.total_bytes_sent": 24,
    "WebRtcStatsFFI.total_bytes_received": 32,
    "WebRtcStatsFFI.total_encode_errors": 40,
    "WebRtcStatsFFI.total_decode_errors": 48,
    "WebRtcStatsFFI.output_underruns": 56,
    "WebRtcStatsFFI.input_buffer_level": 64,
    "WebRtcStatsFFI.input_is_buffering": 68,
    "SignalingCallbacks": 32,
    "SignalingCallbacks.on_sdp": 0,
    "SignalingCallbacks.on_ice_candidate": 8,
    "SignalingCallbacks.on_peer_state": 16,
    "SignalingCallbacks.user_data": 24,
    "WebRtcPeerStatsFFI": 264,
    "WebRtcPeerStatsFFI.peer_id": 0,
    "WebRtcPeerStatsFFI.state": 4,
    "WebRtcPeerStatsFFI.packets_sent": 8,
    "WebRtcPeerStatsFFI.packets_received": 16,
    "WebRtcPeerStatsFFI.bytes_sent": 24,
    "WebRtcPeerStatsFFI.bytes_received": 32,
    "WebRtcPeerStatsFFI.packets_lost": 40,
    "WebRtcPeerStatsFFI.late_packets": 48,
    "WebRtcPeerStatsFFI.duplicate_packets": 56,
    "WebRtcPeerStatsFFI.fec_packets_used": 64,
    "WebRtcPeerStatsFFI.red_packets_used": 72,
    "WebRtcPeerStatsFFI.concealed_samples": 80,
    "WebRtcPeerStatsFFI.fraction_lost": 88,
    "WebRtcPeerStatsFFI.jitter_ms": 96,
    "WebRtcPeerStatsFFI.round_trip_time_ms": 104,
    "WebRtcPeerStatsFFI.jitter_buffer_ms": 112,
    "WebRtcPeerStatsFFI.jitter_buffer_target_ms": 120,
    "WebRtcPeerStatsFFI.audio_level_dbfs": 128,
    "WebRtcPeerStatsFFI.local_address": 136,
    "WebRtcPeerStatsFFI.remote_address": 200,
    "WebRtcCallStatsFFI": 376,
    "WebRtcCallStatsFFI.call_id": 0,
    "WebRtcCallStatsFFI.peer_id": 4,
    "WebRtcCallStatsFFI.state": 8,
    "WebRtcCallStatsFFI.bitrate_kbps": 12,
    "WebRtcCallStatsFFI.gain": 16,
    "WebRtcCallStatsFFI.return_gain": 24,
    "WebRtcCallStatsFFI.level_dbfs": 32,
    "WebRtcCallStatsFFI.duration_s": 40,
    "WebRtcCallStatsFFI.muted": 48,
    "WebRtcCallStatsFFI.talkback": 49,
    "WebRtcCallStatsFFI.recording": 50,
    "WebRtcCallStatsFFI.name": 51,
    "WebRtcCallStatsFFI.invite_id": 307,
    "CallCallbacks": 16,
    "CallCallbacks.on_call": 0,
    "CallCallbacks.user_data": 8,
}
"""On a 64-bit machine."""


@pytest.mark.parametrize("language", other_languages.LANGUAGES)
def test_sizes_and_offsets(language: str) -> None:
    skip_for(other_languages.missing(language))
    command = other_languages.program("layout", language)
    printed = c_library.run(Path(command[0]), *command[1:])
    assert {name: int(number) for name, number in map(str.split, printed.splitlines())} == WANTED
