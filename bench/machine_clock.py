"""Lateness of this machine with half a millisecond's work: the lower limit for any sender at that moment.

A real-time thread in a process of its own sleeps until a deadline every 20 ms and then works about as long as an
encoder. On a virtual machine whose host takes the processor away, or with other work on all cores, even that ends late;
then the measured lateness is not bass-webrtc's.

    python -m bench.machine_clock      answers {"do": "reset"} and {"do": "report"}, one per line
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from typing import Any

from support.child import serve_commands

from .report import quantile

_PERIOD_S = 0.02
# Below the sender's priority, so that it never delays the sender.
_PRIORITY = 1


class MachineClock:
    """Measures from its creation on."""

    def __init__(self) -> None:
        self._lateness_us: list[float] = []
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(_PRIORITY))
        at_best_s = min(_work() for _ in range(20))
        deadline_s = time.monotonic()
        while True:
            deadline_s += _PERIOD_S
            time.sleep(max(0.0, deadline_s - time.monotonic()))
            _work()
            self._lateness_us.append(1e6 * (time.monotonic() - deadline_s - at_best_s))

    def reset(self) -> dict[str, Any]:
        """Start a new measurement."""
        self._lateness_us = []
        return {}

    def report(self) -> dict[str, Any]:
        """Return the lateness since the last reset, in microseconds."""
        values = self._lateness_us
        return {"p50": quantile(values, 0.5), "p99": quantile(values, 0.99), "max": max(values)}


def _work() -> float:
    """Compute about as long as encoding one frame takes; return the seconds."""
    start_s = time.monotonic()
    sum(range(25_000))
    return time.monotonic() - start_s


if __name__ == "__main__":
    clock = MachineClock()
    serve_commands(sys.stdin, {"reset": clock.reset, "report": clock.report})
