"""``bass-webrtc push`` on Windows sends to a server on Linux, whose players hear it."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from pathlib import Path

import pytest

from support import aiortc_player, media
from support.echo_server import echo
from support.publisher_recorder import assert_tones
from support.reruns import real_time_audio
from support.wine_lab import Lab, Start

# On a fresh machine the first test builds the wheel and a Windows Python.
pytestmark = [real_time_audio, pytest.mark.timeout(1800)]


def test_players_of_a_server_hear_the_pushed_file(lab: Lab, start: Start, tmp_path: Path) -> None:
    song = media.write_tone(tmp_path / "song.wav", 500.0, 700.0, seconds=10.0, sample_rate_hz=48_000)
    with ExitStack() as stack:
        with lab.linux.entered():
            url = stack.enter_context(echo(http_host=lab.linux_address))
        client = start("push", song, f"{url}whip", "--loop")
        assert client.read_error_line() == "pushing"
        with lab.linux.entered():
            heard = asyncio.run(aiortc_player.listen(f"{url}whep", 5.0))
        client.interrupt()
        assert client.end() == (0, "", "")
    assert_tones(heard.samples[-48_000:], 500.0, 700.0, bent=0.005)
