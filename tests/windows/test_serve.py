"""``bass-webrtc serve`` on Windows plays to Linux, records from it, and ends with Ctrl-C."""

from __future__ import annotations

import asyncio
import re
from contextlib import ExitStack
from pathlib import Path

import pytest

import bass_webrtc as bw
from support import aiortc_player, media
from support.client_peers import connect
from support.publisher_recorder import assert_tones, end_of_sound
from support.reruns import real_time_audio
from support.wine_lab import Lab, Start

# On a fresh machine the first test builds the wheel and a Windows Python.
pytestmark = [real_time_audio, pytest.mark.timeout(1800)]


def test_server_plays_a_file_with_bass_and_records_a_publisher(lab: Lab, start: Start, tmp_path: Path) -> None:
    song = media.write_tone(tmp_path / "song.wav", 440.0, 880.0, seconds=10.0, sample_rate_hz=44_100)
    said = tmp_path / "said.wav"
    options = ("--host", lab.windows_address, "--port", "0", "--record-input", said, "--log-level", "warning")
    server = start("serve", song, "--loop", *options)
    listening = re.fullmatch(r"listening on (http\S+)", server.read_error_line())
    assert listening is not None
    url = listening[1]
    with ExitStack() as stack:
        with lab.linux.entered():
            connect(stack.enter_context(bw.WhipClient(bw.Tone(500.0, 700.0), f"{url}whip")))
            heard = asyncio.run(aiortc_player.listen(f"{url}whep", 5.0))
        server.interrupt()
        assert server.end() == (0, "", "")
    assert heard.delete_status == 200
    assert_tones(heard.samples[-48_000:], 440.0, 880.0, bent=0.005)
    assert_tones(end_of_sound(said, 1.0), 500.0, 700.0, bent=0.005)
