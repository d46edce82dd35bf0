"""Drives the page: presses its buttons and waits for the result."""

from __future__ import annotations

from typing import Any, Literal


def listen(page: Any, *, until: str = "live", timeout_s: float = 10.0) -> None:
    """Press Listen and wait for a state of the player."""
    page.click("#listen")
    wait_for_state(page, until, timeout_s=timeout_s)


def talk(page: Any, *, until: str = "live", timeout_s: float = 10.0) -> None:
    """Press Talk and wait for a state of the publisher."""
    page.click("#talk")
    wait_for_state(page, until, who="publisher", timeout_s=timeout_s)


def wait_for_state(
    page: Any, state: str, *, who: Literal["player", "publisher"] = "player", timeout_s: float = 10.0
) -> None:
    """Wait until ``window.bassWebrtc`` reports the state."""
    # A function, not an expression: the page's content security policy forbids eval.
    reached = "([who, state]) => bassWebrtc[who]?.state === state"
    page.wait_for_function(reached, arg=[who, state], timeout=1000 * timeout_s)
