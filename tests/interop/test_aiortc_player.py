"""aiortc plays our WHEP endpoint: right tone, right level, right channel, nothing broken."""

from __future__ import annotations

import asyncio

import pytest

import bass_webrtc as bw
from support import aiortc_player, netns, tones
from support.conformance import covers
from support.reruns import real_time_audio

pytestmark = real_time_audio

TONE = bw.Tone(hz=440.0, right_hz=880.0, level_dbfs=-12.0)


def play(
    hosts: tuple[netns.Host, netns.Host], config: bw.ServerConfig, seconds: float
) -> tuple[aiortc_player.Heard, bw.ServerStats]:
    """aiortc uses no loopback address, so server and player are two hosts."""
    server_host, player_host = hosts
    with server_host.entered():
        server = bw.Server(TONE, config)
        server.start()
    with server, player_host.entered():

        async def run() -> tuple[aiortc_player.Heard, bw.ServerStats]:
            listening = asyncio.create_task(aiortc_player.listen(f"{server.url}whep", seconds))
            await asyncio.sleep(seconds)
            stats = server.stats()
            return await listening, stats

        return asyncio.run(run())


@covers("OP1", "OP10", "ES1", "ES6", "RT4")
def test_aiortc_hears_each_tone_in_its_channel(hosts: tuple[netns.Host, netns.Host]) -> None:
    """440 Hz left, 880 Hz right, -12 dBFS, no click in 5 s; nothing reported lost (RT4)."""
    config = bw.ServerConfig(http_host="10.77.0.1", http_port=0, udp_port=0)
    heard, stats = play(hosts, config, 6.0)
    settled = heard.samples[48_000:]
    for channel, own_hz, other_hz in ((0, 440.0, 880.0), (1, 880.0, 440.0)):
        samples = settled[:, channel]
        assert tones.frequency_hz(samples) == pytest.approx(own_hz, abs=0.5)
        assert tones.tone_dbfs(samples, own_hz) == pytest.approx(-12.0, abs=1.0)
        assert tones.tone_dbfs(samples, other_hz) < -60.0
        assert tones.phase_jumps(samples, own_hz) == []
    assert heard.delete_status == 200
    (peer,) = stats.peers
    assert (peer.kind, peer.state, peer.packets_lost) == ("player", "connected", 0)
    assert peer.packets_sent > 200
    assert peer.round_trip_time_ms is not None
    assert peer.round_trip_time_ms < 100.0


@covers("OP10")
@pytest.mark.parametrize("frame_ms", [10, 40, 60])
def test_aiortc_hears_frames_of_every_length(hosts: tuple[netns.Host, netns.Host], frame_ms: int) -> None:
    """The timestamp steps by the frame's length."""
    config = bw.ServerConfig(http_host="10.77.0.1", http_port=0, udp_port=0, frame_ms=frame_ms)
    heard, _ = play(hosts, config, 2.5)
    left = heard.samples[24_000:, 0]
    assert tones.frequency_hz(left) == pytest.approx(440.0, abs=0.5)
    assert tones.phase_jumps(left, 440.0) == []
