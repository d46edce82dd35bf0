"""A blocking request to a running server, and its response."""

from __future__ import annotations

import http.client
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass

from .player import Certificate, Player


@dataclass(frozen=True)
class Reply:
    """A response."""

    status: int
    headers: http.client.HTTPMessage
    body: str


def ask(
    url: str,
    method: str,
    path: str,
    body: str | None = None,
    headers: Mapping[str, str] | None = None,
    *,
    source: str = "",
) -> Reply:
    """Send a request to the server at ``url`` from an own address; ``path`` may be a full URL or a Location."""
    parts, target = urllib.parse.urlsplit(url), urllib.parse.urlsplit(urllib.parse.urljoin(url, path))
    connection = http.client.HTTPConnection(
        parts.hostname or "", parts.port, timeout=20, source_address=(source, 0) if source else None
    )
    try:
        connection.request(method, target.path, body, dict(headers or {}))
        response = connection.getresponse()
        return Reply(response.status, response.headers, response.read().decode())
    finally:
        connection.close()


def offer(direction: str = "recvonly") -> str:
    """An offer whose session never connects."""
    return Player(Certificate()).offer("127.0.0.1", 9).replace("a=recvonly", f"a={direction}")


def post(url: str, path: str = "/whep", headers: Mapping[str, str] | None = None, *, source: str = "") -> Reply:
    """POST a suitable offer of a client that never connects."""
    body = offer("sendonly" if path == "/whip" else "recvonly")
    return ask(url, "POST", path, body, {"Content-Type": "application/sdp", **(headers or {})}, source=source)
