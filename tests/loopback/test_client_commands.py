"""``bass-webrtc push`` and ``pull`` as subprocesses against our server."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import pytest
import soundfile

import bass_webrtc as bw
from support import media
from support.patience import PROCESS_S, wait_until
from support.publisher_recorder import Recorder, assert_tones

EXAMPLE = str(Path(__file__).parents[2] / "examples" / "mediamtx.py")

_log = logging.getLogger(__name__)

Command: TypeAlias = "subprocess.Popen[str]"
Start: TypeAlias = Callable[..., Command]


@pytest.fixture
def server() -> Iterator[bw.Server]:
    with bw.Server(bw.Tone(440.0, 880.0), bw.ServerConfig(http_port=0, udp_port=0)) as server:
        server.start()
        yield server


@pytest.fixture
def start() -> Iterator[Start]:
    running: list[Command] = []

    def start(*arguments: str) -> Command:
        command = [sys.executable, "-m", "bass_webrtc", *arguments]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8")
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        _log.warning("%s wrote %s", process.args, process.communicate())  # Shown if the test has failed.


def test_file_is_pushed_to_its_end(server: bw.Server, start: Start, tmp_path: Path) -> None:
    path = media.write_tone(tmp_path / "tone.wav", 500.0, 700.0, seconds=5.0, sample_rate_hz=44_100)
    with Recorder(server.read_input) as heard:
        process = start("push", str(path), f"{server.url}whip")
        heard.wait_for_sound(PROCESS_S)
        heard.take(0.7)
        assert_tones(heard.take(1.5), 500.0, 700.0)
        _, errors = process.communicate(timeout=PROCESS_S)
    assert (process.returncode, errors) == (0, "pushing\nsource ended\n")
    wait_until(lambda: server.peers == (), 2.0)


def test_pulled_stream_is_recorded(server: bw.Server, start: Start, tmp_path: Path) -> None:
    """Recording without a device does not need BASS."""
    path = tmp_path / "pulled.wav"
    process = start("pull", f"{server.url}whep", "--record", str(path))
    wait_until(lambda: any(peer.stats().connected_s > 3.0 for peer in server.peers), PROCESS_S)
    process.terminate()
    _, errors = process.communicate(timeout=PROCESS_S)
    assert (process.returncode, errors) == (0, "pulling\n")
    samples, rate_hz = soundfile.read(path, dtype="float32")
    assert rate_hz == 48_000
    assert_tones(samples[-2 * rate_hz : -rate_hz // 4], 440.0, 880.0)


def test_pulled_stream_is_played(server: bw.Server, start: Start) -> None:
    """On device 0, the "no sound" device."""
    process = start("pull", f"{server.url}whep", "--output-device", "0")
    wait_until(lambda: any(peer.stats().connected_s > 1.0 for peer in server.peers), PROCESS_S)
    process.terminate()
    assert process.communicate(timeout=PROCESS_S) == ("", "pulling\n")
    assert process.returncode == 0


def test_refusal_is_one_line_and_exit_code_1(server: bw.Server, start: Start) -> None:
    process = start("push", "tone", f"{server.url}nowhere")
    _, errors = process.communicate(timeout=PROCESS_S)
    assert process.returncode == 1
    assert errors.startswith("bass-webrtc: ")
    assert errors.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("push", "tone", "ftp://127.0.0.1/whip"),
        ("push", "tone:high", "http://127.0.0.1/whip"),
        ("push", "tone", "http://127.0.0.1/whip", "--bitrate", "1000"),
        ("pull", "nonsense"),
        ("pull", "http://127.0.0.1/whep", "--output-device", "loud"),
    ],
)
def test_bad_arguments_exit_with_code_2(start: Start, arguments: tuple[str, ...]) -> None:
    process = start(*arguments)
    process.communicate(timeout=PROCESS_S)
    assert process.returncode == 2


@pytest.mark.parametrize("arguments", [("push", "tone"), ("pull", "--output-device", "0")], ids=lambda words: words[0])
def test_unreachable_server_is_reported_once(start: Start, arguments: tuple[str, ...]) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # Bound but not listening.
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/"
        process = start(*arguments, url)
        assert process.stderr is not None
        line = process.stderr.readline()
        assert line.startswith(url)
        assert line.endswith("; retrying\n")
        time.sleep(2.0)  # Several attempts fail meanwhile.
        process.terminate()
        assert process.communicate(timeout=PROCESS_S) == ("", "")
    assert process.returncode == 0


def test_client_reconnects_after_a_server_restart(start: Start) -> None:
    config = bw.ServerConfig(http_port=0, udp_port=0)
    with bw.Server(None, config) as server:
        server.start()
        port = int(server.url.rsplit(":", 1)[1].strip("/"))
        process = start("push", "tone", f"{server.url}whip")
        assert process.stderr is not None
        assert process.stderr.readline() == "pushing\n"
    lines = iter(process.stderr.readline, "")
    assert "connection lost; retrying\n" in lines  # Preceded by a line about the lost session.
    assert any(f":{port}/whip" in line and line.endswith("; retrying\n") for line in lines)
    with bw.Server(None, bw.ServerConfig(http_port=port, udp_port=0)) as again:
        again.start()
        start_s = time.monotonic()
        assert "pushing\n" in lines
        assert time.monotonic() - start_s < 5.0
        process.terminate()
        assert process.wait(PROCESS_S) == 0


def test_mediamtx_example_pushes_and_pulls(server: bw.Server, tmp_path: Path) -> None:
    path = media.write_tone(tmp_path / "tone.wav", 500.0, 700.0, seconds=1.0, sample_rate_hz=48_000)
    whip, whep = f"{server.url}whip", f"{server.url}whep"
    for arguments, heard_hz in (
        (["--whip", whip], (440.0, 440.0)),
        (["--whip", whip, "--source", str(path)], (500.0, 700.0)),
        (["--whep", whep, "--device", "0"], None),
    ):
        with subprocess.Popen(
            [sys.executable, "-u", EXAMPLE, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8"
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline().endswith("Press Return to quit.\n")
            if heard_hz is not None:
                with Recorder(server.read_input) as heard:
                    heard.wait_for_sound()
                    heard.take(0.5)
                    assert_tones(heard.take(1.0), *heard_hz)
            else:
                wait_until(lambda: any(peer.stats().packets_sent > 20 for peer in server.peers))
            output, _ = process.communicate("\n", timeout=PROCESS_S)
            assert process.returncode == 0
            if heard_hz is None:
                assert int(output.split()[0]) > 10
        wait_until(lambda: server.peers == (), 2.0)


def test_mediamtx_example_pushes_without_a_bass_wrapper(server: bw.Server, tmp_path: Path) -> None:
    (tmp_path / "sound_lib.py").write_text("raise ImportError", encoding="utf-8")
    process = subprocess.run(
        [sys.executable, EXAMPLE, "--whip", f"{server.url}whip"],
        input="\n",
        encoding="utf-8",
        capture_output=True,
        timeout=PROCESS_S,
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(tmp_path), os.environ.get("PYTHONPATH", "")))},
        check=False,
    )
    assert (process.returncode, process.stderr) == (0, "")
