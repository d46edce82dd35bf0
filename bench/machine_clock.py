"""How late this machine is with half a millisecond's work: the best that any sender could reach at that moment.

A thread of real-time priority in a process of its own sleeps to a deadline each 20 ms and then works about as long as
an encoder does. On a virtual machine whose host takes the processor away, or with other work on all cores, even that
ends late; then a figure of ours says nothing about us.

    python -m bench.machine_clock      answers {"do": "reset"} and {"do": "report"}, one a line
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
# Below the sender's, so that it never stands in its way.
_PRIORITY = 1


class MachineClock:
    """Measures from its making on."""

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
        """Measures from here on."""
        self._lateness_us = []
        return {}

    def report(self) -> dict[str, Any]:
        """Microseconds since the last reset."""
        values = self._lateness_us
        return {"p50": quantile(values, 0.5), "p99": quantile(values, 0.99), "max": max(values)}


def _work() -> float:
    """Computes about as long as one frame's encoding takes; returns the seconds."""
    start_s = time.monotonic()
    sum(range(25_000))
    return time.monotonic() - start_s


if __name__ == "__main__":
    clock = MachineClock()
    serve_commands(sys.stdin, {"reset": clock.reset, "report": clock.report})
