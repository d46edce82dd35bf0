"""An asyncio loop in virtual time: a test waits 40 seconds instantly and reproducibly.

    @in_virtual_time
    async def test_that_waits() -> None:
        await asyncio.sleep(39.5)

Sockets are real. Between sockets of the same loop nothing is in flight when the clock jumps, because loopback
delivers at once; threads and other processes would not keep up.
"""

from __future__ import annotations

import asyncio
import functools
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec

P = ParamSpec("P")


class VirtualLoop(asyncio.SelectorEventLoop):
    """The loop.

    Attributes:
        failures: Unhandled exceptions of callbacks and tasks.
    """

    def __init__(self) -> None:
        self._now_s = 1000.0
        self.failures: list[dict[str, Any]] = []
        super().__init__(_JumpingSelector(self))
        # Timers that are due within this time run at once; asyncio takes that of time.monotonic, 15.6 ms on Windows.
        self._clock_resolution = 1e-9
        self.set_exception_handler(lambda _, context: self.failures.append(context))

    def time(self) -> float:
        return self._now_s

    def jump(self, seconds: float) -> None:
        """Advance the clock."""
        self._now_s += seconds


class _JumpingSelector(selectors.DefaultSelector):
    """A selector that advances the clock instead of waiting."""

    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        events: list[tuple[selectors.SelectorKey, int]] = super().select(timeout if timeout is None else 0)
        if not events and timeout:
            self._loop.jump(timeout)
        return events


def in_virtual_time(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run an async test on a ``VirtualLoop``; it also fails for unhandled exceptions."""

    @functools.wraps(test)
    def run(*arguments: P.args, **options: P.kwargs) -> None:
        loop = VirtualLoop()
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(test(*arguments, **options))
        assert loop.failures == []

    return run
