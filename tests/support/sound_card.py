"""A virtual sound card that plays tones, and ``bass-webrtc serve device`` on it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from . import pulse, tones

LEFT_HZ, RIGHT_HZ = 440.0, 880.0
LEVEL_DBFS = -12.0
# A long buffer, so that playback has no gaps on a busy machine.
_PLAY = ["pacat", "--playback", "--latency-msec=2000", "--format=float32le", "--rate=48000", "--channels=2"]
_SERVE = [sys.executable, "-m", "bass_webrtc", "serve", "device", "--port", "0", "--udp-port", "0"]
_SERVE += ["--stats-every", "60"]


@contextlib.contextmanager
def playing_tones() -> Iterator[dict[str, str]]:
    """Yield the environment of a sound card on which ``LEFT_HZ`` and ``RIGHT_HZ`` play continuously."""
    with (
        _real_time(),
        tempfile.TemporaryDirectory(prefix="bw-pulse-") as folder,
        pulse.PulseServer(Path(folder)) as server,
    ):
        _set_real_time(
            server.pid
        )  # PulseAudio's main thread, which delivers recorded audio, has dropped its real-time priority.
        environment = os.environ | server.environment
        with playing_on(environment):
            yield environment


@contextlib.contextmanager
def playing_on(environment: dict[str, str]) -> Iterator[None]:
    """Play both tones on the sound card of this environment."""
    program = subprocess.Popen(_PLAY, env=environment, stdin=subprocess.PIPE)
    feeding = threading.Thread(target=_play, args=(program,))
    feeding.start()
    try:
        yield
    finally:
        program.terminate()
        program.wait()
        feeding.join()


@contextlib.contextmanager
def serving(environment: dict[str, str], *options: str) -> Iterator[str]:
    """Serve what the card records; yield the URL."""
    with _real_time():
        server = subprocess.Popen(
            [*_SERVE, *options], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, encoding="utf-8"
        )
    with server:
        try:
            assert server.stderr is not None
            line = server.stderr.readline()
            ready = re.fullmatch(r"listening on (\S+)\n", line)
            assert ready is not None, line
            yield ready[1]
        finally:
            server.terminate()


def stats(url: str) -> dict[str, Any]:
    """Return the server's statistics."""
    with urllib.request.urlopen(f"{url}api/stats", timeout=10) as response:
        found: dict[str, Any] = json.load(response)
    return found


@contextlib.contextmanager
def _real_time() -> Iterator[None]:
    """Start programs with real-time priority meanwhile, because a sound card does not wait for others either.

    BASS's recording thread has no real-time priority, so the load of the machine would be measured.
    """
    before = os.sched_getscheduler(0), os.sched_getparam(0)
    _set_real_time(0)
    try:
        yield
    finally:
        os.sched_setscheduler(0, *before)


def _set_real_time(pid: int) -> None:
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(pid, os.SCHED_RR, os.sched_param(2))


def _play(program: subprocess.Popen[bytes]) -> None:
    """Both tones have whole periods in a second, so it loops without a seam."""
    channels = [tones.sine(hz, 1.0, LEVEL_DBFS) for hz in (LEFT_HZ, RIGHT_HZ)]
    second = np.stack(channels, axis=1).tobytes()
    assert program.stdin is not None
    try:
        while True:
            program.stdin.write(second)
    except BrokenPipeError:
        return
