"""HTTP servers on loopback that follow a script, and client sessions that talk to them."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from bass_webrtc.errors import SignalingError
from bass_webrtc.rtc.candidate import host_candidates
from bass_webrtc.rtc.sdp import IceCredentials
from bass_webrtc.signaling.client.rules import Answer
from bass_webrtc.signaling.client.session import SignalingSession
from bass_webrtc.signaling.client.settings import ClientSettings
from bass_webrtc.stats import Kind

ANSWER = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\n"
SDP = ("Content-Type", "application/sdp")
FRAGMENT = ("Content-Type", "application/trickle-ice-sdpfrag")
LOCATION = ("Location", "/session/s3cr3t-0f-the-s3ssion")
SECRET_PATH = LOCATION[1]
TOKEN = "t0ken-that-nobody-may-see"
A, B, C = host_candidates([("192.0.2.1", 1001), ("192.0.2.2", 1002), ("192.0.2.3", 1003)])
NEW_ICE = IceCredentials("NeWu", "NeWpAsSwOrDoF22cHaRaCtErS")
UFRAG, PASSWORD = "oUrU", "oUrPaSsWoRdOf22ChArAcTeRs"
OFFER = (
    "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n"
    "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\na=sendonly\r\n"
    f"a=rtpmap:111 opus/48000/2\r\na=ice-ufrag:{UFRAG}\r\na=ice-pwd:{PASSWORD}\r\n"
)


def named_elsewhere(monkeypatch: pytest.MonkeyPatch) -> str:
    """Return a host name whose address is 127.0.0.1, but which does not look like this machine."""
    lookup = socket.getaddrinfo

    def fake(host: str, *arguments: Any, **more: Any) -> Any:
        return lookup("127.0.0.1" if host == "elsewhere.example" else host, *arguments, **more)

    monkeypatch.setattr(socket, "getaddrinfo", fake)
    return "elsewhere.example"


@dataclass(frozen=True)
class Seen:
    """A request as it arrived."""

    method: str
    target: str
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes


class Last(bytes):
    """A response after which the server closes the connection."""


Script = Callable[[Seen], bytes | Awaitable[bytes | None] | None]
"""Returns the bytes of a response; None closes the connection."""


def response(status: int, *fields: tuple[str, str], body: str | bytes = b"") -> bytes:
    """Return the bytes of a well-formed response."""
    data = body.encode() if isinstance(body, str) else body
    lines = [f"HTTP/1.1 {status} Whatever", *(f"{name}: {value}" for name, value in fields)]
    if status != 204:
        lines.append(f"Content-Length: {len(data)}")
    return "".join(f"{line}\r\n" for line in lines).encode() + b"\r\n" + data


def created(*fields: tuple[str, str], body: str | bytes = ANSWER) -> bytes:
    """Return a 201 response with an answer."""
    return response(201, SDP, *(fields or (LOCATION,)), body=body)


@dataclass
class Server:
    """Address of a running server, and the requests it received."""

    port: int
    scheme: str
    requests: list[Seen] = field(default_factory=list)

    @property
    def origin(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"{self.origin}/whip"

    def methods(self) -> list[str]:
        return [request.method for request in self.requests]

    def of(self, method: str) -> list[Seen]:
        return [request for request in self.requests if request.method == method]


@contextlib.asynccontextmanager
async def serving(script: Script, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    """Serve until the block ends."""
    tasks: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                while await _serve_one(reader, writer, script, server):
                    pass
        finally:
            writer.close()
            tasks.discard(task)

    listener = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls)
    server = Server(listener.sockets[0].getsockname()[1], "http" if tls is None else "https")
    try:
        yield server
    finally:
        listener.close()
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def answering(**by_method: bytes | list[bytes]) -> Script:
    """Make a script with one response per method, or several in sequence (the last repeats); 200 for other methods."""

    def script(seen: Seen) -> bytes:
        given = by_method.get(seen.method)
        if isinstance(given, list):
            return given.pop(0) if len(given) > 1 else given[0]
        return given if given is not None else response(200)

    return script


class Gated:
    """Script that answers POST when ``gate`` is set, DELETE with 200 and PATCH with 204."""

    def __init__(self, answer: bytes | None = None) -> None:
        self.arrived = asyncio.Event()
        self.gate = asyncio.Event()
        self._answer = answer or created()

    async def __call__(self, seen: Seen) -> bytes:
        if seen.method == "POST":
            self.arrived.set()
            await self.gate.wait()
            return self._answer
        return response(204 if seen.method == "PATCH" else 200)


async def settle(yields: int = 100) -> None:
    """Let all other tasks run, without waiting for time to pass."""
    for _ in range(yields):
        await asyncio.sleep(0)


def session_at(server: Server, kind: Kind = "publisher", **settings: Any) -> SignalingSession:
    given: dict[str, Any] = {"request_timeout_s": 5.0, "delete_timeout_s": 1.0, "cancel_grace_s": 1.0, **settings}
    return SignalingSession(kind, ClientSettings(given.pop("url", server.url), **given))


@contextlib.asynccontextmanager
async def posted(
    script: Script, kind: Kind = "publisher", **settings: Any
) -> AsyncIterator[tuple[Server, SignalingSession]]:
    """Yield a session whose POST was answered."""
    async with serving(script) as server, session_at(server, kind, **settings) as session:
        assert isinstance(await session.post(OFFER), Answer)
        yield server, session


async def failure(script: Script, kind: Kind = "publisher", **settings: Any) -> tuple[SignalingError, Server]:
    """Return the error of a POST that fails, after checking that it contains no secret."""
    async with serving(script) as server:
        with pytest.raises(SignalingError) as caught:
            await session_at(server, kind, **settings).post(OFFER)
    for text in (str(caught.value), repr(caught.value), caught.value.url, caught.value.detail):
        assert TOKEN not in text
        assert "s3cr3t" not in text
    return caught.value, server


async def _serve_one(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, script: Script, server: Server
) -> bool:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.strip().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    method, target, _ = first.split(" ")
    seen = Seen(method, target, headers, body)
    server.requests.append(seen)
    result = script(seen)
    data = result if isinstance(result, bytes) or result is None else await result
    if data is None:
        return False
    writer.write(data)
    await writer.drain()
    return not isinstance(data, Last)
