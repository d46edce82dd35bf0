"""A recording channel as source: what another program plays on this machine is heard by a player, without a gap.

``BW_RECORDING_S=600`` makes it ten minutes.
"""

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
import pytest

from support import pulse, tones
from support.driving import connect, drive
from support.fixtures import skip_for
from support.opus import decode
from support.player import Certificate, Counters, Player

SECONDS = float(os.environ.get("BW_RECORDING_S", "20"))
# A long buffer, so that what is played has no gap of its own on a busy machine.
PLAY = ["pacat", "--playback", "--latency-msec=2000", "--format=float32le", "--rate=48000", "--channels=2"]
SERVE = [
    sys.executable,
    "-m",
    "bass_webrtc",
    "serve",
    "device",
    "--port",
    "0",
    "--udp-port",
    "0",
    "--stats-every",
    "60",
]


@pytest.fixture
def sound_card() -> Iterator[dict[str, str]]:
    """The environment of a program that has a sound card; a tone plays on it all the time."""
    skip_for(pulse.missing())
    with (
        real_time(),
        tempfile.TemporaryDirectory(prefix="bw-pulse-") as folder,
        pulse.PulseServer(Path(folder)) as server,
    ):
        environment = os.environ | server.environment
        program = subprocess.Popen(PLAY, env=environment, stdin=subprocess.PIPE)
        feeding = threading.Thread(target=_play, args=(program,))
        feeding.start()
        yield environment
        program.terminate()
        program.wait()
        feeding.join()


@contextlib.contextmanager
def real_time() -> Iterator[None]:
    """What is started meanwhile comes before ordinary programs, as a sound card does not wait for them, either."""
    before = os.sched_getscheduler(0), os.sched_getparam(0)
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(2))
    try:
        yield
    finally:
        os.sched_setscheduler(0, *before)


def _play(program: subprocess.Popen[bytes]) -> None:
    """Both tones have whole periods in a second, so it can be played round and round."""
    second = np.stack([tones.sine(440.0, 1.0), tones.sine(880.0, 1.0)], axis=1).tobytes()
    assert program.stdin is not None
    try:
        while True:
            program.stdin.write(second)
    except BrokenPipeError:
        return


@pytest.mark.timeout(SECONDS + 100)
def test_what_the_machine_plays_is_heard_without_underrun(sound_card: dict[str, str]) -> None:
    """Right tones in their channels, no underrun, no missing frame, no click at the end of all that time."""
    with subprocess.Popen(
        SERVE, env=sound_card, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as server:
        try:
            assert server.stderr is not None
            line = server.stderr.readline()
            ready = re.fullmatch(r"listening on (\S+)\n", line)
            assert ready is not None, line
            _listen(ready[1])
        finally:
            server.terminate()


def _listen(url: str) -> None:
    player = Player(Certificate())
    connect(player, f"{url}whep")
    # The source learns in its first seconds how much this machine needs.
    drive([player], lambda: False, 10.0)
    before = _stats(url)
    player.counters = Counters()
    drive([player], lambda: False, SECONDS - 5.0)
    packets: list[bytes] = []
    player.on_rtp = packets.append
    drive([player], lambda: False, 5.0)
    after = _stats(url)
    assert after["source_underruns"] == before["source_underruns"]
    assert not after["source_ended"]
    assert player.counters.missing == 0
    samples = decode(packet[12:] for packet in player.decrypt(packets))[9600:]
    for channel, tone_hz in ((0, 440.0), (1, 880.0)):
        assert tones.tone_dbfs(samples[:, channel], tone_hz) == pytest.approx(-12.0, abs=1.0)
        assert tones.phase_jumps(samples[:, channel], tone_hz) == []


def _stats(url: str) -> dict[str, Any]:
    with urllib.request.urlopen(f"{url}api/stats", timeout=10) as response:
        found: dict[str, Any] = json.load(response)
    return found
