"""Structures have the layout of the original's declarations in other languages: natural alignment."""

from __future__ import annotations

import pytest

from support import c_library

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
    "WebRtcPeerStatsFFI.packets_sent": 8,
    "WebRtcPeerStatsFFI.fraction_lost": 88,
    "WebRtcPeerStatsFFI.local_address": 136,
    "WebRtcPeerStatsFFI.remote_address": 200,
}
"""On a 64-bit machine."""


@pytest.mark.parametrize("standard", c_library.STANDARDS)
def test_sizes_and_offsets(standard: str) -> None:
    printed = c_library.run(c_library.program(c_library.TESTS / "layout.c", standard))
    assert {name: int(number) for name, number in map(str.split, printed.splitlines())} == WANTED
