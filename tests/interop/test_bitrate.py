"""``Server.set_bitrate`` and ``set_complexity`` take effect for connected listeners."""

from __future__ import annotations

import time

import pytest

import bass_webrtc as bw
from support.farm import PlayerFarm
from support.reruns import real_time_audio

pytestmark = real_time_audio


def test_bitrate_changes_for_connected_listener(farm: PlayerFarm) -> None:
    config = bw.ServerConfig(http_port=0, udp_port=0, bitrate_kbps=256)
    with bw.Server(bw.Tone(440.0, 880.0), config) as server:
        server.start()
        farm.connect(server.url + "whep")
        assert _packet_bytes(server) > 400
        server.set_bitrate(32)
        assert server.config.bitrate_kbps == 32
        _packet_bytes(server)
        assert _packet_bytes(server) < 250
        with pytest.raises(bw.ConfigError, match="bitrate_kbps is 511"):
            server.set_bitrate(511)


def test_complexity_changes_for_connected_listener(farm: PlayerFarm) -> None:
    config = bw.ServerConfig(http_port=0, udp_port=0, complexity=10, frame_ms=10)
    with bw.Server(bw.Tone(440.0, 880.0), config) as server:
        server.start()
        farm.connect(server.url + "whep")
        best_s = _processor_s()
        server.set_complexity(0)
        assert server.config.complexity == 0
        assert _processor_s() < 0.85 * best_s
        with pytest.raises(bw.ConfigError, match="complexity is 11"):
            server.set_complexity(11)


def _processor_s() -> float:
    """Return the CPU time of this process over two seconds, which the sending thread dominates."""
    before_s = time.process_time()
    time.sleep(2.0)
    return time.process_time() - before_s


def _packet_bytes(server: bw.Server) -> float:
    """Return the average bitrate of the next packets, in real time."""
    before = server.stats()
    time.sleep(1.0)
    after = server.stats()
    return (after.bytes_sent - before.bytes_sent) / (after.packets_sent - before.packets_sent)
