"""The audio path never waits for the interpreter."""

from __future__ import annotations

import time

import pytest

from support.farm import PlayerFarm
from support.reruns import real_time_audio
from support.server_process import ServerProcess

pytestmark = [pytest.mark.alone, real_time_audio]


def test_audio_continues_while_a_c_call_holds_the_gil(farm: PlayerFarm) -> None:
    """A C extension holds the GIL for 3 s: no Python runs, and no frame is missing or late."""
    with ServerProcess() as server:
        farm.connect(server.whep_url, 3)
        farm.reset()
        start_s = time.monotonic()
        server.hold_the_interpreter(3)
        assert time.monotonic() - start_s >= 3.0
        report = farm.report()
        assert min(report.packets) >= 145
        assert report.missing == [0, 0, 0]
        assert max(report.longest_gap_ms) < 100.0
        assert server.stats()["frames_skipped"] == 0


@pytest.mark.parametrize("threads", [1, 4])
def test_audio_continues_beside_busy_python_threads(farm: PlayerFarm, threads: int) -> None:
    """A player that connects while the program is busy gets every frame."""
    with ServerProcess() as server:
        farm.connect(server.whep_url)
        server.set_busy_threads(threads)
        farm.connect(server.whep_url)
        farm.reset()
        time.sleep(3.0)
        report = farm.report()
        assert report.missing == [0, 0]
        assert min(report.packets) >= 145
