"""Cost of the C library for a host program: start, statistics, and timing beside other work."""

from __future__ import annotations

import contextlib
import json
import subprocess
import urllib.request
from pathlib import Path
from typing import Any

from support import c_library
from support.farm import PlayerFarm
from support.netns import Host

from .report import Report, quantile
from .stage import Stage
from .timing import BUSY_THREADS, measure_server, report_goals

PROVES = """
A C program pays once, for starting Python, and nothing afterwards. The first call, BASS_WEBRTC_Create, is timed in new
processes. Lateness is measured as in "timing", beside busy threads of the host; the source is a BASS channel. Then
BASS_WEBRTC_GetStats is timed 20,000 times while 50 players listen, first without other work, then while four threads
of the host compute.
"""

STARTS = 10
CALLS = 20_000
WANTED_START_MS = 1_500.0
WANTED_CALL_US = 20.0


class CHost:
    """``capi_host.c``: a C program that serves a tone and can run busy threads."""

    def __init__(self, address: str, host: Host | None) -> None:
        source = Path(__file__).with_name("capi_host.c")
        binary = c_library.program(source, "c99", f"-I{c_library.EXAMPLES}", "-O2")
        start = subprocess.Popen if host is None else host.popen
        self._host = host
        self._process: subprocess.Popen[str] = start(
            [str(binary), address],
            env=c_library.EMPTY_ENVIRONMENT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
        )
        create_ms, start_ms, port = self._read()
        self.create_ms, self.start_ms = create_ms, start_ms
        self._url = f"http://{address}:{port:.0f}/"
        self.whep_url = f"{self._url}whep"

    def set_busy_threads(self, threads: int) -> None:
        """Keep this many threads of the program busy."""
        self._say(f"busy {threads}")

    def ask(self, times: int) -> list[float]:
        """Time this many calls of BASS_WEBRTC_GetStats; return p50, p99 and maximum in microseconds."""
        self._say(f"ask {times}", answered=False)
        return [ns / 1000 for ns in self._read()]

    def stats(self) -> dict[str, Any]:
        """Return the program's statistics, read over HTTP."""
        with (
            self._host.entered() if self._host is not None else contextlib.nullcontext(),
            urllib.request.urlopen(f"{self._url}api/stats", timeout=10) as answer,
        ):
            found: dict[str, Any] = json.load(answer)
            return found

    def __enter__(self) -> CHost:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._process.communicate(timeout=30)
        finally:
            self._process.kill()

    def _say(self, command: str, *, answered: bool = True) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{command}\n")
        self._process.stdin.flush()
        if answered:
            assert self._line() == command

    def _read(self) -> list[float]:
        return [float(word) for word in self._line().split()]

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the C program ended with code {self._process.wait(10)}")
        return line.rstrip("\n")


def run(stage: Stage) -> list[str]:
    """Measure and print; return the goals that were missed."""
    report = Report("capi: the C library in a host program", PROVES)
    _measure_start(stage, report)
    with CHost(stage.address, stage.server) as program, PlayerFarm(stage.players) as farm:
        report.row("", "p50", "p99", "max", "missing", "machine p99", "machine max")
        cases = measure_server(program, farm, report)
        _measure_calls(program, report)
    report_goals(report, cases)
    return report.missed


def _measure_start(stage: Stage, report: Report) -> None:
    report.row("", "p50", "max")
    creates_ms, starts_ms = [], []
    for _ in range(STARTS):
        with CHost(stage.address, stage.server) as program:
            creates_ms.append(program.create_ms)
            starts_ms.append(program.start_ms)
    report.row("Create, the first call", f"{quantile(creates_ms, 0.5):.0f} ms", f"{max(creates_ms):.0f} ms")
    report.row("Create and Start", f"{quantile(starts_ms, 0.5):.0f} ms", f"{max(starts_ms):.0f} ms")
    report.goal(
        f"BASS_WEBRTC_Create returns within {WANTED_START_MS / 1000:.1f} s: at most {max(creates_ms) / 1000:.2f} s",
        max(creates_ms) < WANTED_START_MS,
    )


def _measure_calls(program: CHost, report: Report) -> None:
    report.row("", "p50", "p99", "max")
    worst_us = 0.0
    for threads in (0, max(BUSY_THREADS)):
        program.set_busy_threads(threads)
        figures = program.ask(CALLS)
        report.row(f"GetStats, {threads} busy threads", *(f"{us:.2f} us" for us in figures))
        worst_us = max(worst_us, figures[1])
    program.set_busy_threads(0)
    report.goal(f"GetStats under {WANTED_CALL_US:.0f} us: p99 at most {worst_us:.2f} us", worst_us < WANTED_CALL_US)
