"""Real-time priority for measured processes, so that other work on the machine does not affect them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

RECEIVER_PRIORITY = 5
SENDER_PRIORITY = 10
"""Above the receivers', so that the simulated network keeps its times."""


@contextlib.contextmanager
def realtime(priority: int = RECEIVER_PRIORITY) -> Iterator[None]:
    """Run the calling thread, and all processes and threads it starts meanwhile, at real-time priority.

    BASS's "no sound" device has no clock of its own: when its thread sleeps too long, that time is missing in the mix,
    which does not happen with a sound card. Without permission, the priority stays unchanged and one line says so.
    """
    before = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(priority))
    except OSError:
        print("  no permission for real-time priority: other work on this machine affects the results", flush=True)
    try:
        yield
    finally:
        os.sched_setscheduler(0, *before)


def reset_priority() -> None:
    """Reset the calling thread to normal priority."""
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
