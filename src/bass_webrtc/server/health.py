"""Errors inside a running server: each kind is logged and reported to the program once, not every time.

an unhandled exception on the loop ───────────────────────────┐
a sending thread falls behind the clock, or Opus fails ────────┴─► Faults ─► log, "error" event
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

_REPEAT_AFTER_S = 3600.0
_MAX_KINDS = 100
"""Far more than there are places that can fail. The limit keeps a remote peer that can cause a failure from flooding
the log."""
_CHECK_INTERVAL_S = 1.0
_CHECKS_UNTIL_REPORT = 2
"""The first failed check may follow a stall of the whole process that the sending thread has not compensated yet."""

_log = logging.getLogger(__name__)


class Faults:
    """Reports errors to the program. Loop thread."""

    def __init__(self, events: EventDispatcher, clock: Callable[[], float] = time.perf_counter) -> None:
        """
        Args:
            events: Must have an ``"error"`` event.
            clock: Returns monotonic time in seconds.
        """
        self._events = events
        self._clock = clock
        self._reported_s: dict[object, float] = {}

    def handle(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Report an unhandled exception on the loop; an asyncio exception handler."""
        self.report(str(context["message"]), context.get("exception"))

    def report(self, message: str, cause: BaseException | None = None) -> None:
        """Log an error and emit the event, unless the same kind was reported in the last hour.

        Args:
            message: What has failed.
            cause: The exception, if there is one. Exceptions of one type from the same line are of one kind.
        """
        kind = message if cause is None else (type(cause), _origin(cause))
        now_s = self._clock()
        reported_s = self._reported_s.get(kind)
        is_repeated = reported_s is not None and now_s - reported_s < _REPEAT_AFTER_S
        if is_repeated or (reported_s is None and len(self._reported_s) >= _MAX_KINDS):
            return
        self._reported_s[kind] = now_s
        error = BassWebRtcError(message if cause is None else f"{message}: {cause!r}")
        error.__cause__ = cause
        _log.error("error in the running server: %s", message, exc_info=cause)
        self._events.emit("error", error)


async def watch(engine: Engine, is_healthy: Callable[[], bool], faults: Faults) -> None:
    """Report failures of the audio path, whose threads cannot do so themselves, until cancelled."""
    failed_checks, encode_errors = 0, 0
    while True:
        await asyncio.sleep(_CHECK_INTERVAL_S)
        failed_checks = 0 if is_healthy() else failed_checks + 1
        if failed_checks == _CHECKS_UNTIL_REPORT:
            faults.report("the sending thread falls behind the clock; players hear nothing, or gaps")
        before, encode_errors = encode_errors, engine.stats().encode_errors
        if encode_errors > before:
            faults.report("Opus failed to encode audio from the source; players hear gaps")


def _origin(error: BaseException) -> object:
    """Return the line that raised the exception."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return None if trace is None else (trace.tb_frame.f_code, trace.tb_lineno)
