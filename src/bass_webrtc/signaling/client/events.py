"""Server-sent events of a WHEP server (WHEP, "Server Sent Events"), as far as a player needs them: ``reconnect``.

    201 Link: <…>; rel="urn:ietf:params:whep:ext:core:server-sent-events"   ─► POST ["reconnect"]  ─► 201 Location
    GET Location  ─► text/event-stream: "event: reconnect", "data: {"url": …}"

Events are an optional extension: if anything fails, the session continues without them.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Iterable
from contextlib import aclosing

from ...errors import SignalingError
from ..messages import parse_links
from .errors import ErrorMaker
from .fetch import Fetcher
from .rules import read_location
from .urls import Trust, UnsafeUrlError, Url

RECONNECT = "reconnect"
EVENT_STREAM = "text/event-stream"
MAX_EVENT_BYTES = 16 * 1024
"""Of one event; its URL may have 8192 characters."""

MAX_STREAM_BYTES = 256 * 1024
"""Of one event stream, after which the client subscribes again, so that events cannot take all of the loop's time."""

_RELATION = "urn:ietf:params:whep:ext:core:server-sent-events"
_LINE_END = re.compile(rb"\r\n|\n|\r")
_RESUBSCRIBE_S = 5.0
_MAX_EMPTY_STREAMS = 5
"""Consecutive event streams that ended without data, after which the client gives up."""

logger = logging.getLogger(__name__)


async def wait_for_reconnect(
    fetcher: Fetcher, errors: ErrorMaker, trust: Trust, source: Url | None, timeout_s: float
) -> str:
    """Subscribe to events and wait for ``reconnect``. Waits forever if the server sends no events.

    Args:
        fetcher: Sends the requests.
        errors: Hides the URL of the event stream in errors.
        trust: Decides whether the URL of the event stream is followed.
        source: The URL found by ``find_reconnect_events``; None if the server offers no events.
        timeout_s: For each response.

    Returns:
        The URL in the event, unchecked.
    """
    url = None if source is None else await _subscribe(fetcher, errors, trust, source, timeout_s)
    while url is None:
        await asyncio.get_running_loop().create_future()
    return url


def find_reconnect_events(links: Iterable[str]) -> str | None:
    """Find the URL at which a server offers ``reconnect`` events. Never raises.

    Args:
        links: Values of the ``Link`` fields of the 201 response.

    Returns:
        The URL reference; None if the server offers no such events.
    """
    for target, parameters in parse_links(links):
        offered = re.split(r"[\s,]+", parameters.get("events", RECONNECT))
        is_usable = target.startswith("<") and target.endswith(">") and RECONNECT in offered
        if is_usable and _RELATION in parameters.get("rel", "").lower().split():
            return target[1:-1].strip()
    return None


class EventReader:
    """Parses an event stream incrementally (HTML, 9.2.6)."""

    def __init__(self) -> None:
        self._rest = b""
        self._ended_in_cr = False
        self._name = ""
        self._data: list[str] = []
        self._size = 0

    def feed(self, data: bytes) -> list[tuple[str, str]]:
        """Parse the next bytes of the stream.

        Returns:
            Names and data of the events that are now complete.

        Raises:
            ValueError: An event is larger than MAX_EVENT_BYTES.
        """
        if self._ended_in_cr and data.startswith(b"\n"):
            data = data[1:]
        self._ended_in_cr = data.endswith(b"\r")
        *lines, self._rest = _LINE_END.split(self._rest + data)
        events = [event for line in lines if (event := self._parse_line(line)) is not None]
        if self._size + len(self._rest) > MAX_EVENT_BYTES:
            raise ValueError(f"an event is larger than {MAX_EVENT_BYTES} bytes")
        return events

    def _parse_line(self, line: bytes) -> tuple[str, str] | None:
        if not line:
            event = (self._name, "\n".join(self._data)) if self._data else None
            self._name, self._data, self._size = "", [], 0
            return event
        self._size += len(line)
        field, _, value = line.decode(errors="replace").partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            self._name = value
        elif field == "data":
            self._data.append(value)
        return None


def read_reconnect(name: str, data: str) -> str | None:
    """Return the URL in a ``reconnect`` event; None for other events and malformed data."""
    if name != RECONNECT:
        return None
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return None
    url = document.get("url") if isinstance(document, dict) else None
    return url if isinstance(url, str) else None


async def _subscribe(fetcher: Fetcher, errors: ErrorMaker, trust: Trust, source: Url, timeout_s: float) -> str | None:
    body = json.dumps([RECONNECT]).encode()
    try:
        reply = await fetcher.fetch("POST", source, (("Content-Type", "application/json"),), body, timeout_s=timeout_s)
        stream = read_location(reply.headers, reply.url, trust) if 200 <= reply.status < 300 else None
        if stream is not None:
            errors.hide(stream, shortest=10)
            return await _read_events(fetcher, stream, timeout_s)
        logger.info("%s offers no event stream: HTTP %d", source.shown, reply.status)
    except (SignalingError, UnsafeUrlError) as error:
        logger.info("no server events: %s", error)
    return None


async def _read_events(fetcher: Fetcher, stream: Url, timeout_s: float) -> str:
    """Wait for the URL of a ``reconnect`` event. Raises SignalingError if the stream cannot be used any more."""
    failures = 0
    while True:
        try:
            reader, size = EventReader(), 0
            async with aclosing(fetcher.stream(stream, EVENT_STREAM, timeout_s)) as chunks:
                async for chunk in chunks:
                    failures = 0
                    for name, data in reader.feed(chunk):
                        url = read_reconnect(name, data)
                        if url is not None:
                            return url
                    size += len(chunk)
                    if size > MAX_STREAM_BYTES:
                        break
        except SignalingError as error:
            # Status 0: the connection is gone, for instance because an ICE restart closed all connections.
            if error.status:
                raise
            logger.debug("the event stream ended: %s", error)
        except ValueError as error:
            raise SignalingError(0, stream.shown, str(error)) from None
        failures += 1
        if failures == _MAX_EMPTY_STREAMS:
            raise SignalingError(0, stream.shown, f"the event stream ended {failures} times in a row without data")
        await asyncio.sleep(_RESUBSCRIBE_S)
