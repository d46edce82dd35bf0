"""Every example starts, serves and ends; those with publishers are tested end to end."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

import pytest
import soundfile

from support import aiortc_player, media, tones
from support.callers import CALLER_DBFS, Callers
from support.patience import PROCESS_S
from support.publisher_farm import PublisherFarm
from support.publisher_recorder import assert_tones

FOLDER = Path(__file__).parents[2] / "examples"
TESTED_ELSEWHERE = ("mediamtx.py", "websocket_signaling.py", "copy_paste.py")
"""In test_client_commands.py and browser/test_signaling_examples.py; these examples do not serve the page."""
EXAMPLES = sorted(path for path in FOLDER.glob("*.py") if path.name not in TESTED_ELSEWHERE)
# Runs an example on free ports, because the default ports may be in use, and with Ctrl-C enabled: background jobs of a
# shell ignore SIGINT, child processes inherit that, and Python respects it, so the example would never end.
RUN_EXAMPLE = """
import functools, runpy, signal, sys
import bass_webrtc, bass_webrtc.server.server
signal.signal(signal.SIGINT, signal.default_int_handler)
config = functools.partial(bass_webrtc.ServerConfig, http_port=0, udp_port=0)
bass_webrtc.ServerConfig = bass_webrtc.server.server.ServerConfig = config
sys.argv[:] = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""

Command: TypeAlias = "subprocess.Popen[str]"


@contextmanager
def _running(example: Path, folder: Path) -> Iterator[tuple[Command, str]]:
    """Run the example in ``folder``; yield its process and URL. Kills it if it has not ended."""
    arguments = []
    if "sys.argv" in example.read_text(encoding="utf-8"):
        arguments.append(
            str(media.write_tone(folder / "Ton ♪.wav", 1000.0, 2000.0, seconds=1.0, sample_rate_hz=48_000))
        )
    process = subprocess.Popen(
        [sys.executable, "-u", "-c", RUN_EXAMPLE, str(example), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        cwd=folder,
    )
    try:
        assert process.stdout is not None
        printed = process.stdout.readline()
        url = re.search(r"Open (http\S+)", printed)
        assert url is not None, (printed, process.communicate(timeout=PROCESS_S))
        yield process, url[1]
    finally:
        process.kill()
        process.communicate()


def _press_return(process: Command) -> None:
    _, errors = process.communicate("\n", timeout=PROCESS_S)
    assert (process.returncode, errors) == (0, "")


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_example_serves_until_it_is_stopped(example: Path, tmp_path: Path) -> None:
    with _running(example, tmp_path) as (process, url):
        with urllib.request.urlopen(url + "healthz", timeout=10) as response:
            assert response.status == 200
        if "input(" not in example.read_text(encoding="utf-8"):
            process.send_signal(signal.SIGINT)
        _press_return(process)


async def test_echo_returns_the_input(tmp_path: Path) -> None:
    with _running(FOLDER / "echo.py", tmp_path) as (process, url), PublisherFarm() as publishers:
        assert publishers.publish(url + "whip", 440.0, 880.0) == 201
        heard = (await aiortc_player.listen(url + "whep", 2.0)).samples
        assert_tones(heard[tones.SAMPLE_RATE_HZ :], 440.0, 880.0)
        _press_return(process)


async def test_phone_in_puts_guests_on_air(tmp_path: Path) -> None:
    """Two callers with an invite; listeners hear the one on air with the programme, at its fader's level."""
    with _running(FOLDER / "phone_in.py", tmp_path) as (process, url), Callers() as callers:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("invite Anna\nnonsense 1\n")
        process.stdin.flush()
        link = next(line.strip() for line in process.stdout if "call?invite=" in line)
        callers.call(link, 440.0)
        callers.call(link, 660.0)
        process.stdin.write("1 air\n1 0.5\n2 private\n")
        process.stdin.flush()
        assert next(line for line in process.stdout if line.startswith("call 2")) == "call 2: Anna is waiting\n"
        heard = (await aiortc_player.listen(url + "whep", 2.0)).samples[tones.SAMPLE_RATE_HZ :]
        assert tones.tone_dbfs(heard[:, 0], 1000.0) == pytest.approx(-12.0, abs=1.0)
        assert tones.tone_dbfs(heard[:, 0], 440.0) == pytest.approx(CALLER_DBFS - 6.0, abs=1.5)
        assert tones.tone_dbfs(heard[:, 0], 660.0) < CALLER_DBFS - 35.0
        process.stdin.write("1 bye\n")
        process.stdin.flush()
        assert next(line for line in process.stdout if "left" in line) == "call 1: Anna has left: the show is over\n"
        _press_return(process)


async def test_jukebox_plays_on_after_the_end_of_a_file(tmp_path: Path) -> None:
    """The file lasts a second."""
    with _running(FOLDER / "jukebox.py", tmp_path) as (process, url):
        assert process.stdin is not None
        process.stdin.write("garden\nno such room\n")
        process.stdin.flush()
        for path in ("whep", "whep/garden"):
            heard = (await aiortc_player.listen(url + path, 3.0)).samples[-tones.SAMPLE_RATE_HZ :]
            levels = [tones.tone_dbfs(heard[:, channel], hz) for channel, hz in enumerate((1000.0, 2000.0))]
            assert levels == pytest.approx([-12.0, -12.0], abs=2.0)
        _press_return(process)


def test_recorder_writes_one_file_per_call(tmp_path: Path) -> None:
    with _running(FOLDER / "recorder.py", tmp_path) as (process, url), PublisherFarm() as publishers:
        for hz in (440.0, 880.0):
            assert publishers.publish(url + "whip", hz) == 201
        _wait_until_played(url, peers=2, seconds=1.5)
        publishers.disconnect()
        assert process.stdout is not None
        output = "".join(process.stdout.readline() for _ in range(2))
        assert sorted(re.findall(r"call-\S+-(\d)\.wav: \d+ s\n", output)) == ["0", "1"]
        for number, hz in (("0", 440.0), ("1", 880.0)):
            (path,) = tmp_path.glob(f"call-*-{number}.wav")
            samples, _ = soundfile.read(path, dtype="float32")
            assert_tones(samples[len(samples) // 3 : len(samples) * 3 // 4], hz, hz)
        _press_return(process)


def _wait_until_played(url: str, peers: int, seconds: float) -> None:
    """Wait until the example has read ``seconds`` of audio from each peer."""
    deadline_s = time.monotonic() + 30.0
    while time.monotonic() < deadline_s:
        with urllib.request.urlopen(url + "api/stats", timeout=10) as response:
            found = [peer["total_samples_received"] for peer in json.load(response)["peers"]]
        if len(found) == peers and min(found) >= seconds * tones.SAMPLE_RATE_HZ:
            return
        time.sleep(0.1)  # The example runs in real time in another process.
    raise AssertionError("the example did not read enough audio in time")
