"""One request to a running server, blocking, and what comes back."""

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


def ask(url: str, method: str, path: str, body: str | None = None, headers: Mapping[str, str] | None = None) -> Reply:
    """Asks the server whose page is at ``url``; ``path`` may be a URL of that server."""
    parts, target = urllib.parse.urlsplit(url), urllib.parse.urlsplit(path)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=20)
    try:
        connection.request(method, target.path, body, dict(headers or {}))
        response = connection.getresponse()
        return Reply(response.status, response.headers, response.read().decode())
    finally:
        connection.close()


def offer(direction: str = "recvonly") -> str:
    """An offer that nobody stands behind: its session never connects."""
    return Player(Certificate()).offer("127.0.0.1", 9).replace("a=recvonly", f"a={direction}")


def post(url: str, path: str = "/whep", headers: Mapping[str, str] | None = None) -> Reply:
    """POSTs an offer that fits the endpoint, of a client that will never connect."""
    body = offer("sendonly" if path == "/whip" else "recvonly")
    return ask(url, "POST", path, body, {"Content-Type": "application/sdp", **(headers or {})})
