"""``bass-webrtc serve`` as a subprocess: ready line, signals, exit codes."""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import pytest

from support.patience import PROCESS_S

Command: TypeAlias = "subprocess.Popen[str]"
Start: TypeAlias = Callable[..., Command]
READY = re.compile(r"listening on (http://127\.0\.0\.1:\d+/)\n")


@pytest.fixture
def start() -> Iterator[Start]:
    """Start the command; processes still running at the end of the test are killed."""
    running: list[Command] = []

    def start(*arguments: str, stdout: int = subprocess.PIPE) -> Command:
        command = [sys.executable, "-m", "bass_webrtc", *arguments]
        process = subprocess.Popen(command, stdout=stdout, stderr=subprocess.PIPE, encoding="utf-8")
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.communicate()


def _serve(start: Start, *arguments: str, stdout: int = subprocess.PIPE) -> Command:
    return start("serve", *arguments, "--port", "0", "--udp-port", "0", stdout=stdout)


def _url(process: Command) -> str:
    assert process.stderr is not None
    line = process.stderr.readline()
    match = READY.fullmatch(line)
    assert match is not None, line
    return match[1]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_ends_serve_silently_with_code_0(start: Start, number: signal.Signals) -> None:
    process = _serve(start, "tone")
    with urllib.request.urlopen(_url(process) + "healthz", timeout=10) as response:
        assert response.status == 200
    process.send_signal(number)
    assert process.communicate(timeout=10) == ("", "")
    assert process.returncode == 0


def test_demo_programme_plays_without_a_gap(start: Start) -> None:
    process = _serve(start, "--stats-every", "1")
    assert process.stdout is not None
    stats = [json.loads(process.stdout.readline()) for _ in range(3)]
    assert stats[-1]["frames_sent"] >= 100
    assert stats[-1]["source_underruns"] == 0
    process.terminate()
    assert process.wait(timeout=10) == 0


def test_port_in_use_is_one_line_and_exit_code_1(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        process = start("serve", "tone", "--port", port, "--udp-port", "0")
        output, errors = process.communicate(timeout=PROCESS_S)
    assert (process.returncode, output) == (1, "")
    assert re.fullmatch(rf"bass-webrtc: .*{port}.*\n", errors)


def test_missing_file_is_one_line_and_exit_code_1(start: Start, tmp_path: Path) -> None:
    process = _serve(start, str(tmp_path / "missing.mp3"))
    output, errors = process.communicate(timeout=PROCESS_S)
    assert (process.returncode, output) == (1, "")
    assert re.fullmatch(r"bass-webrtc: .*missing\.mp3.*\n", errors)


def test_non_audio_file_is_one_line_and_exit_code_1(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "letter.txt"
    path.write_text("Dear Sir or Madam\n" * 100, encoding="utf-8")
    process = _serve(start, str(path))
    _, errors = process.communicate(timeout=PROCESS_S)
    assert process.returncode == 1
    assert re.fullmatch(r"bass-webrtc: .*letter\.txt.*\n", errors)


def test_bad_arguments_exit_with_code_2(start: Start) -> None:
    process = start("serve", "--bitrate", "1000")
    _, errors = process.communicate(timeout=PROCESS_S)
    assert process.returncode == 2
    assert "510" in errors


def test_channels_have_links_and_endpoints(start: Start) -> None:
    process = _serve(start, "tone", "--channel", "jazz=tone:880", "--fallback-bitrate", "48")
    url = _url(process)
    assert process.stderr is not None
    lines = [process.stderr.readline() for _ in range(2)]
    assert lines == [f"channel main {url}\n", f"channel jazz {url}?channel=jazz\n"]
    with urllib.request.urlopen(url + "api/channels", timeout=10) as response:
        channels = json.loads(response.read())["channels"]
    assert [(channel["name"], channel["url"], channel["bitrates_kbps"]) for channel in channels] == [
        ("main", "/whep", [128, 48]),
        ("jazz", "/whep/jazz", [128, 48]),
    ]


@pytest.mark.parametrize(
    ("channels", "reason"),
    [
        (["a b=tone"], "'a b'"),
        ([".hidden=tone"], "'.hidden'"),
        (["main=tone"], "main"),
        (["jazz=tone", "jazz=tone:880"], "jazz"),
    ],
    ids=str,
)
def test_channel_that_cannot_be_added_is_a_usage_error(start: Start, channels: list[str], reason: str) -> None:
    process = _serve(start, "tone", *(f"--channel={channel}" for channel in channels))
    output, errors = process.communicate(timeout=PROCESS_S)
    assert (process.returncode, output) == (2, "")
    assert "--channel" in errors
    assert reason in errors.partition("Invalid value")[2]


def test_missing_file_of_a_channel_is_one_line_and_exit_code_1(start: Start, tmp_path: Path) -> None:
    process = _serve(start, "tone", "--channel", f"jazz={tmp_path / 'missing.mp3'}")
    output, errors = process.communicate(timeout=PROCESS_S)
    assert (process.returncode, output) == (1, "")
    assert re.fullmatch(r"bass-webrtc: channel 'jazz': .*missing\.mp3.*\n", errors)


def test_live_table_is_shown_on_a_terminal(start: Start) -> None:
    ours, theirs = os.openpty()
    process = _serve(start, "tone", stdout=theirs)
    os.close(theirs)
    shown = b""
    while b"0 of 5 peers" not in shown:
        assert select.select([ours], [], [], 20)[0], shown
        shown += os.read(ours, 4096)
    process.send_signal(signal.SIGINT)
    with contextlib.suppress(OSError):  # EIO: the process has closed its end.
        while os.read(ours, 4096):  # A terminal that nobody reads blocks the process.
            pass
    assert process.wait(timeout=10) == 0
    os.close(ours)


def test_closed_standard_output_ends_serve_without_a_traceback(start: Start) -> None:
    process = _serve(start, "tone", "--stats-every", "0.1")
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    process.stdout = None
    _, errors = process.communicate(timeout=10)
    assert process.returncode == 1, errors
    assert READY.fullmatch(errors)
