"""Runs all benchmarks, or those named. Exits with 1 when a goal was missed or left out."""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Sequence
from pathlib import Path

# The players and networks come from the tests.
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from . import calls, capi, channels, clients, connect, fan_out, latency, limit, quality, receive, recording, timing
from .stage import open_stage

BENCHMARKS = {
    "fan-out": fan_out.run,
    "limit": limit.run,
    "channels": channels.run,
    "calls": calls.run,
    "timing": timing.run,
    "connect": connect.run,
    "clients": clients.run,
    "latency": latency.run,
    "receive": receive.run,
    "quality": quality.run,
    "capi": capi.run,
    "recording": recording.run,
}

WITH_MINUTES = ("receive", "limit")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(BENCHMARKS)} (default: all)")
    parser.add_argument(
        "--minutes",
        type=float,
        default=0.0,
        help="receive: how long to measure automatic enhancement (default: 10 s); limit: how long 2,000 listeners stay",
    )
    arguments = parser.parse_args()
    names = arguments.names or list(BENCHMARKS)
    unknown = set(names) - BENCHMARKS.keys()
    if unknown:
        parser.error(f"unknown benchmark {', '.join(sorted(unknown))}; expected one of {', '.join(BENCHMARKS)}")
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print(f"load average before the start over 1, 5 and 15 minutes: {load}")
    missed: list[str] = []
    with open_stage() as stage:
        for name in names:
            more = {"minutes": arguments.minutes} if name in WITH_MINUTES else {}
            missed += BENCHMARKS[name](stage, **more)
    print(f"\n{_summary(missed)}")
    return 1 if missed else 0


def _summary(missed: Sequence[str]) -> str:
    """Return the last line of the output."""
    if not missed:
        return "every goal met"
    goals = "1 goal" if len(missed) == 1 else f"{len(missed)} goals"
    return f"{goals} missed or left out: {'; '.join(missed)}"


if __name__ == "__main__":
    sys.exit(main())
