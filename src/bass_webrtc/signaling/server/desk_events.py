"""``GET /api/events``: the state of the desk and the levels, as server-sent events (HTML standard, 9.2).

    change ─► 50 ms ─┐
    second ──────────┼─► event: desk    ─┐  encoded once
    100 ms ──────────┴─► event: levels  ─┴─► the latest of each, for every stream ─► its client, when it has read

Nothing runs while there are no streams.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from typing import Any

from ..messages import Refused

MAX_STREAMS = 16
_LEVELS_INTERVAL_S = 0.1
_TICKS_PER_STATE = 10
"""The state is sent every second, for what changes by itself: durations, listeners, network."""
_COALESCE_S = 0.05
"""From a change to the event: all changes of a burst are one event."""
_KEEP_ALIVE_S = 5.0
_KEEP_ALIVE = b": keep-alive\n\n"
_RETRY_AFTER_S = 5


class DeskEvents:
    """All streams of events of one desk. Used on one event loop.

    Args:
        state: Returns the data of ``event: desk``.
        levels: Returns the data of ``event: levels``.
        watch: Takes a function that is called after each change of the state, and returns one that ends that.
        revision: Returns a number that differs after changes that ``watch`` does not report.
    """

    def __init__(
        self,
        state: Callable[[], Any],
        levels: Callable[[], Any],
        watch: Callable[[Callable[[], None]], Callable[[], None]],
        revision: Callable[[], int],
    ) -> None:
        self._state = state
        self._levels = levels
        self._watch = watch
        self._revision = revision
        self._streams: set[_Stream] = set()
        self._stop_watching: Callable[[], None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._due: asyncio.TimerHandle | None = None
        self._ticks = 0
        self._sent_revision = 0

    def check_room(self) -> None:
        """Check that another stream may be opened.

        Raises:
            Refused: 503, there are MAX_STREAMS.
        """
        if len(self._streams) >= MAX_STREAMS:
            detail = f"{MAX_STREAMS} desks follow the events already, as many as possible."
            raise Refused(503, detail, (("Retry-After", str(_RETRY_AFTER_S)),))

    async def stream(self) -> AsyncGenerator[bytes, None]:
        """Yield events, the state first, until the generator is closed. It counts from its first event on."""
        if len(self._streams) >= MAX_STREAMS:  # Several were admitted at once.
            return
        stream = _Stream()
        try:
            self._add(stream)
            yield _event("desk", self._state())
            while True:
                yield await stream.next()
        finally:
            self._remove(stream)

    def _add(self, stream: _Stream) -> None:
        self._streams.add(stream)
        if self._stop_watching is None:
            self._stop_watching = self._watch(self._changed)
            self._sent_revision = self._revision()
            self._timer = asyncio.get_running_loop().call_later(_LEVELS_INTERVAL_S, self._tick)

    def _remove(self, stream: _Stream) -> None:
        self._streams.discard(stream)
        if self._streams or self._stop_watching is None:
            return
        self._stop_watching()
        self._stop_watching = None
        for timer in (self._timer, self._due):
            if timer is not None:
                timer.cancel()
        self._timer = self._due = None

    def _tick(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(_LEVELS_INTERVAL_S, self._tick)
        self._ticks += 1
        if self._ticks >= _TICKS_PER_STATE or self._revision() != self._sent_revision:
            self._send_state()
        self._send("levels", self._levels())

    def _changed(self) -> None:
        if self._due is None:
            self._due = asyncio.get_running_loop().call_later(_COALESCE_S, self._send_state)

    def _send_state(self) -> None:
        if self._due is not None:
            self._due.cancel()
            self._due = None
        self._ticks = 0
        self._sent_revision = self._revision()
        self._send("desk", self._state())

    def _send(self, name: str, data: Any) -> None:
        event = _event(name, data)
        for stream in self._streams:
            stream.put(name, event)


class _Stream:
    """What one client has not been sent yet: at most one event of each kind."""

    def __init__(self) -> None:
        self._latest: dict[str, bytes] = {}
        self._has_more = asyncio.Event()

    def put(self, name: str, event: bytes) -> None:
        """Replace the waiting event of this kind."""
        self._latest[name] = event
        self._has_more.set()

    async def next(self) -> bytes:
        """Return what waits; a comment if there is nothing for some seconds, so that no proxy ends the stream."""
        try:
            async with asyncio.timeout(_KEEP_ALIVE_S):
                await self._has_more.wait()
        except TimeoutError:
            return _KEEP_ALIVE
        self._has_more.clear()
        latest, self._latest = self._latest, {}
        return b"".join(latest.values())


def _event(name: str, data: Any) -> bytes:
    return f"event: {name}\ndata: {json.dumps(data, separators=(',', ':'), allow_nan=False)}\n\n".encode()
