"""A sound card on which tones play, and ``bass-webrtc serve device`` on it, for as long as one likes."""

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
# A long buffer, so that what is played has no gap of its own on a busy machine.
_PLAY = ["pacat", "--playback", "--latency-msec=2000", "--format=float32le", "--rate=48000", "--channels=2"]
_SERVE = [sys.executable, "-m", "bass_webrtc", "serve", "device", "--port", "0", "--udp-port", "0"]
_SERVE += ["--stats-every", "60"]


@contextlib.contextmanager
def playing_tones() -> Iterator[dict[str, str]]:
    """The environment of a program that has a sound card; ``LEFT_HZ`` and ``RIGHT_HZ`` play on it all the time."""
    with (
        _real_time(),
        tempfile.TemporaryDirectory(prefix="bw-pulse-") as folder,
        pulse.PulseServer(Path(folder)) as server,
    ):
        _set_real_time(server.pid)  # Its main thread, which hands out what is recorded, has given it back.
        environment = os.environ | server.environment
        program = subprocess.Popen(_PLAY, env=environment, stdin=subprocess.PIPE)
        feeding = threading.Thread(target=_play, args=(program,))
        feeding.start()
        try:
            yield environment
        finally:
            program.terminate()
            program.wait()
            feeding.join()


@contextlib.contextmanager
def serving(environment: dict[str, str]) -> Iterator[str]:
    """A server of what the card records; gives its URL."""
    with _real_time():
        server = subprocess.Popen(_SERVE, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
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
    """What the server says of itself."""
    with urllib.request.urlopen(f"{url}api/stats", timeout=10) as response:
        found: dict[str, Any] = json.load(response)
    return found


@contextlib.contextmanager
def _real_time() -> Iterator[None]:
    """What is started meanwhile comes before ordinary programs, as a sound card does not wait for them, either.

    BASS's recording thread has no such priority of its own, so what else runs on this machine would be measured.
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
    """Both tones have whole periods in a second, so it can be played round and round."""
    channels = [tones.sine(hz, 1.0, LEVEL_DBFS) for hz in (LEFT_HZ, RIGHT_HZ)]
    second = np.stack(channels, axis=1).tobytes()
    assert program.stdin is not None
    try:
        while True:
            program.stdin.write(second)
    except BrokenPipeError:
        return
