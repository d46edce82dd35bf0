"""``bass-webrtc pull`` on Windows records what a server on Linux plays."""

from __future__ import annotations

from pathlib import Path

import pytest

import bass_webrtc as bw
from support.patience import wait_until
from support.publisher_recorder import assert_tones, end_of_sound
from support.reruns import real_time_audio
from support.wine_lab import Lab, Start

# On a fresh machine the first test builds the wheel and a Windows Python.
pytestmark = [real_time_audio, pytest.mark.timeout(1800)]


def test_pulled_tone_is_recorded(lab: Lab, start: Start, tmp_path: Path) -> None:
    path = tmp_path / "pulled.wav"
    config = bw.ServerConfig(http_host=lab.linux_address, http_port=0, udp_port=0)
    with bw.Server(bw.Tone(440.0, 880.0), config) as server:
        with lab.linux.entered():
            server.start()
        client = start("pull", f"{server.url}whep", "--record", path)
        assert client.read_error_line() == "pulling"
        wait_until(lambda: any(peer.stats().connected_s > 4.0 for peer in server.peers), 20.0)
        client.interrupt()
        assert client.end() == (0, "", "")
    assert_tones(end_of_sound(path, 1.0), 440.0, 880.0, bent=0.005)
