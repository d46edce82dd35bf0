"""``Server.set_bitrate`` is heard by those who listen already."""

from __future__ import annotations

import time

import pytest

import bass_webrtc as bw
from support.farm import PlayerFarm


def test_the_bitrate_changes_while_somebody_listens(farm: PlayerFarm) -> None:
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


def _packet_bytes(server: bw.Server) -> float:
    """Of the next packets, on average; real time passes."""
    before = server.stats()
    time.sleep(1.0)
    after = server.stats()
    return (after.bytes_sent - before.bytes_sent) / (after.packets_sent - before.packets_sent)
