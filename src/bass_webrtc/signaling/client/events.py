"""Events that a WHEP server sends (WHEP's extension "server-sent events"), as far as a player needs them. Sans-I/O.

201 Link: <…>; rel="urn:ietf:params:whep:ext:core:server-sent-events"   ─► POST ["reconnect"]  ─► 201 Location
GET Location  ─► text/event-stream: "event: reconnect", "data: {"url": …}"
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

from .links import parse_parameters, split_outside_quotes

RECONNECT = "reconnect"
EVENT_STREAM = "text/event-stream"
MAX_EVENT_BYTES = 16 * 1024
"""Of an event; its URL may have 8192 characters."""

_RELATION = "urn:ietf:params:whep:ext:core:server-sent-events"
_LINE_END = re.compile(rb"\r\n|\n|\r")


def find_reconnect_events(links: Iterable[str]) -> str | None:
    """The URL at which a server offers to tell where else we should connect; None if it does not. Never raises.

    Args:
        links: Values of the ``Link`` fields of its 201.
    """
    for entry in (entry for value in links for entry in split_outside_quotes(value, ",")):
        target, parameters = parse_parameters(entry)
        offered = re.split(r"[\s,]+", parameters.get("events", RECONNECT))
        is_usable = target.startswith("<") and target.endswith(">") and RECONNECT in offered
        if is_usable and _RELATION in parameters.get("rel", "").lower().split():
            return target[1:-1].strip()
    return None


class EventReader:
    """Takes an event stream apart (HTML, 9.2.6)."""

    def __init__(self) -> None:
        self._rest = b""
        self._ended_in_cr = False
        self._name = ""
        self._data: list[str] = []
        self._size = 0

    def feed(self, data: bytes) -> list[tuple[str, str]]:
        """Takes bytes as they come.

        Returns:
            Names and data of the events that are complete.

        Raises:
            ValueError: An event is larger than MAX_EVENT_BYTES.
        """
        if self._ended_in_cr and data.startswith(b"\n"):
            data = data[1:]
        self._ended_in_cr = data.endswith(b"\r")
        *lines, self._rest = _LINE_END.split(self._rest + data)
        events = [event for line in lines if (event := self._take(line)) is not None]
        if self._size + len(self._rest) > MAX_EVENT_BYTES:
            raise ValueError(f"an event is larger than {MAX_EVENT_BYTES} bytes")
        return events

    def _take(self, line: bytes) -> tuple[str, str] | None:
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
    """The URL in a ``reconnect`` event; None for other events, and for what cannot be read."""
    if name != RECONNECT:
        return None
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return None
    url = document.get("url") if isinstance(document, dict) else None
    return url if isinstance(url, str) else None
