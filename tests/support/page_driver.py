"""Hands on the page: presses its keys and waits for what they lead to."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Literal


def listen(page: Any, *, until: str = "live", patience_s: float = 10.0) -> None:
    """Presses Listen and waits for a state of the player."""
    page.click("#listen")
    wait_for_state(page, until, timeout_s=patience_s)


def talk(page: Any, *, until: str = "live", patience_s: float = 10.0) -> None:
    """Presses Talk and waits for a state of the publisher."""
    page.click("#talk")
    wait_for_state(page, until, who="publisher", timeout_s=patience_s)


def wait_for_state(
    page: Any, state: str, *, who: Literal["player", "publisher"] = "player", timeout_s: float = 10.0
) -> None:
    """Waits until ``window.bassWebrtc`` says so. A function, not an expression: the page's policy forbids eval."""
    reached = "([who, state]) => bassWebrtc[who]?.state === state"
    page.wait_for_function(reached, arg=[who, state], timeout=1000 * timeout_s)


def wait_until(holds: Callable[[], bool], timeout_s: float = 10.0) -> None:
    """Waits for something on our side."""
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)
