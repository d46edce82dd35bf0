"""Real-time priority for what is measured, so that other work on the machine is not."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

RECEIVER_PRIORITY = 5
SENDER_PRIORITY = 10
"""What a network does, it does in time, whatever the receivers do."""


@contextlib.contextmanager
def realtime(priority: int = RECEIVER_PRIORITY) -> Iterator[None]:
    """The calling thread, and all processes and threads that it starts meanwhile, come before ordinary ones.

    BASS's "no sound" device keeps no time of its own: where its thread sleeps too long, that time is missing in the
    mix, as it never is with a sound card. Without the right to it, nothing changes, and one line says so.
    """
    before = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(priority))
    except OSError:
        print("  without real-time priority: other work on this machine is measured, too", flush=True)
    try:
        yield
    finally:
        os.sched_setscheduler(0, *before)


def ordinary() -> None:
    """The calling thread gives its priority back."""
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
