"""What goes wrong in a running server by itself: the log and the program hear of each kind once, not each time.

an exception on the loop that nobody waits for ──┐
the audio path stands still, or cannot encode ───┴─► Faults ─► log, "error" event
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

from ..core import Engine
from ..errors import BassWebRtcError
from ..events import EventDispatcher

_AGAIN_AFTER_S = 3600.0
_MAX_KINDS = 100
"""Remembered; there are not so many places that can fail, and one that a stranger can bring to failing is no flood."""
_LOOK_EVERY_S = 1.0
_LOOKS_UNTIL_STOPPED = 2
"""The first may come just after the whole process stood still, before the sender thread has noticed."""

_log = logging.getLogger(__name__)


class Faults:
    """Tells the program. Loop thread."""

    def __init__(self, events: EventDispatcher, clock: Callable[[], float] = time.monotonic) -> None:
        """
        Args:
            events: Has an event ``"error"``.
            clock: Monotonic time in seconds.
        """
        self._events = events
        self._clock = clock
        self._told_s: dict[object, float] = {}

    def handle(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """What asyncio calls for an exception that nobody waits for (``loop.set_exception_handler``)."""
        self.tell(context["message"], context.get("exception"))

    def tell(self, what: str, cause: BaseException | None = None) -> None:
        """Something failed by itself.

        Args:
            what: In words.
            cause: The exception, if there is one. Those of one type from one line are of one kind.
        """
        kind = what if cause is None else (type(cause), _origin(cause))
        now_s = self._clock()
        told_s = self._told_s.get(kind)
        is_known = told_s is not None and now_s - told_s < _AGAIN_AFTER_S
        if is_known or (told_s is None and len(self._told_s) >= _MAX_KINDS):
            return
        self._told_s[kind] = now_s
        error = BassWebRtcError(what if cause is None else f"{what}: {cause!r}")
        error.__cause__ = cause
        _log.error("the server goes on, but: %s", what, exc_info=cause)
        self._events.emit("error", error)


async def watch(engine: Engine, is_healthy: Callable[[], bool], faults: Faults) -> None:
    """Looks after the audio path, whose threads cannot tell anything themselves, until it is cancelled."""
    looks, encode_errors = 0, 0
    while True:
        await asyncio.sleep(_LOOK_EVERY_S)
        looks = 0 if is_healthy() else looks + 1
        if looks == _LOOKS_UNTIL_STOPPED:
            faults.tell("the sender thread does not keep up with the clock; players hear nothing, or gaps")
        before, encode_errors = encode_errors, engine.stats().encode_errors
        if encode_errors > before:
            faults.tell("Opus could not encode what the source gave; players hear gaps")


def _origin(error: BaseException) -> object:
    """Where it was raised."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return None if trace is None else (trace.tb_frame.f_code, trace.tb_lineno)
