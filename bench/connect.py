"""Waiting time of a listener: from POST to the first audio packet."""

from __future__ import annotations

import contextlib

from support.child import Child
from support.farm import PlayerFarm
from support.server_process import ServerProcess

from .report import Report, quantile
from .stage import Stage

PROVES = """
A listener hears audio immediately. One player after the other posts its offer and completes ICE and DTLS; the clock
stops at its first audio packet. That includes waiting for the next frame, 10 ms on average. aiortc does the same in the
same run.
"""

CONNECTIONS = 50
WANTED_P50_MS = 100.0


def run(stage: Stage) -> list[str]:
    """Measure and print; return the goals that were missed."""
    report = Report("connect: POST to first audio packet", PROVES)
    report.row("", "p50", "p99", "max")
    with ServerProcess(stage.server, http_host=stage.address) as server:
        ours = _measure("bass-webrtc", server.whep_url, stage, report)
    if stage.server is not None:
        with Child("bench.aiortc_server", stage.address, host=stage.server) as baseline:
            url = f"http://{stage.address}:{baseline.read_line()}/whep"
            theirs = _measure("aiortc", url, stage, report)
        report.row("ratio of the medians", f"1/{theirs / ours:.1f}")
    report.goal(f"p50 under {WANTED_P50_MS:.0f} ms: {ours:.1f} ms", ours < WANTED_P50_MS)
    return report.missed


def _measure(name: str, url: str, stage: Stage, report: Report) -> float:
    waits: list[float] = []
    with contextlib.closing(PlayerFarm(stage.players)) as farm:
        for _ in range(CONNECTIONS):
            waits += farm.connect(url, in_flight=1)
            farm.disconnect()
    figures = (quantile(waits, 0.5), quantile(waits, 0.99), max(waits))
    report.row(name, *(f"{figure:.1f} ms" for figure in figures))
    return figures[0]
