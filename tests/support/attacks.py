"""What the tests in tests/attack share: an honest peer beside the attack, floods, and the table of measured values.

    server (its own process) ◄── attack (the test's thread)
            ▲
            └── honest listener and HTTP client (their own process): hear everything, wait less than 100 ms

Everything stays on loopback and is bounded in count and time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from .child import Child

MAX_WAIT_MS = 100.0
"""No honest peer waits longer for the answer to a check or a request, whatever others do."""

BOUND = f"nothing missing, {MAX_WAIT_MS:.0f} ms"
"""The same, for the table."""

Measured = Callable[[str, str, object], None]
"""The fixture ``measured``: adds a row to the table, with attack, bound and measured value."""


@dataclass(frozen=True)
class Figures:
    """What the honest peer measured between ``begin`` and ``end``."""

    packets: int
    """RTP packets received."""
    missing: int
    """RTP packets that did not arrive."""
    longest_gap_ms: float
    """Longest time without a packet."""
    checks: int
    """ICE checks that were answered."""
    unanswered: int
    """ICE checks without an answer after 2 s."""
    longest_check_ms: float
    requests: int
    """HTTP requests that were answered."""
    failures: list[str]
    """HTTP requests that failed or did not get 200."""
    longest_request_ms: float

    def assert_unharmed(self, max_wait_ms: float = MAX_WAIT_MS) -> None:
        """Assert that the peer missed nothing and did not wait longer."""
        assert self.packets > 0, self
        assert self.missing == 0, self
        assert self.checks > 0, self
        assert self.unanswered == 0, self
        assert self.longest_check_ms < max_wait_ms, self
        assert self.requests > 0, self
        assert not self.failures, self
        assert self.longest_request_ms < max_wait_ms, self

    def __str__(self) -> str:
        return (
            f"{self.missing} of {self.packets + self.missing} packets missing, "
            f"check {self.longest_check_ms:.0f} ms, request {self.longest_request_ms:.0f} ms at worst"
        )


class HonestPeer:
    """A listener and HTTP client in a process of its own. A context manager.

    Args:
        url: URL of the server's page, ending in a slash. The server sends audio.
        source: Its own address, on loopback.
    """

    def __init__(self, url: str, source: str = "127.0.0.1") -> None:
        self._child = Child("support.honest_worker", url, source)
        self._child.read_line()

    def begin(self) -> None:
        """Start to measure."""
        self._child.ask("begin")

    def end(self) -> Figures:
        """Return what was measured since ``begin``."""
        return Figures(**self._child.ask("end"))

    def close(self) -> None:
        """End its session."""
        self._child.close()

    def __enter__(self) -> HonestPeer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def flood(attack: Callable[[int], object], rate_per_s: float, seconds: float) -> float:
    """Call a function at a steady rate from the calling thread; return the rate that was reached.

    Args:
        attack: Called with 0, 1, 2 … An ``OSError`` (such as a full socket buffer) is ignored.
        rate_per_s: Calls per second.
        seconds: How long.
    """
    count, began_s = 0, time.monotonic()
    while (elapsed_s := time.monotonic() - began_s) < seconds:
        if count > elapsed_s * rate_per_s:
            time.sleep(0.001)
            continue
        try:
            attack(count)
        except OSError:
            time.sleep(0.001)
        count += 1
    return count / seconds
