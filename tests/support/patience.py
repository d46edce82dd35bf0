"""How long tests wait, which is no requirement of the product: longer on Windows, which here is Wine."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

SLOWNESS = 6.0 if sys.platform == "win32" else 1.0
"""Factor for a time limit. Under Wine, Python starts in 3 s, and in 15 s on a busy machine."""

PROCESS_S = 20.0 * SLOWNESS
"""For a process to start, work and end."""


def wait_until(holds: Callable[[], object], timeout_s: float = 10.0) -> float:
    """Wait for it, on Windows for longer; return the seconds it took."""
    start_s = time.monotonic()
    while not holds():
        assert time.monotonic() < start_s + timeout_s * SLOWNESS, "it did not happen in time"
        time.sleep(0.02)
    return time.monotonic() - start_s
