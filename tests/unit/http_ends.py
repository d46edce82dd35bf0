"""An HTTP server on loopback with an endpoint and an echo handler, and raw sockets to send requests."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from bass_webrtc.signaling.messages import Request, Response
from bass_webrtc.signaling.server.cors import Cors
from bass_webrtc.signaling.server.endpoint import Endpoint, EndpointSettings
from bass_webrtc.signaling.server.http_connection import Timeouts
from bass_webrtc.signaling.server.http_server import HttpServer, HttpSettings
from support.signaling import FakeSessions

SDP = {"Content-Type": "application/sdp"}
FRAGMENT = {"Content-Type": "application/trickle-ice-sdpfrag"}
ORIGIN = "https://radio.example"
QUICK = HttpSettings(port=0, timeouts=Timeouts(header_s=0.3, body_s=0.2, idle_s=0.3, write_s=0.3, linger_s=0.2))


class Echo:
    """Handler that answers with the body of the request."""

    cors = Cors()

    def __init__(self) -> None:
        self.requests: list[Request] = []

    def serves(self, path: str) -> bool:
        return path.startswith("/echo")

    async def respond(self, request: Request) -> Response:
        self.requests.append(request)
        if request.path == "/echo/bug":
            raise RuntimeError("inner details")
        body = b"v" * 2_000_000 if request.path == "/echo/long" else request.body
        return Response(200, (("Content-Type", "text/plain"),), body)


@contextlib.asynccontextmanager
async def serving(
    settings: HttpSettings = QUICK, endpoint_settings: EndpointSettings | None = None
) -> AsyncIterator[tuple[HttpServer, FakeSessions, Echo]]:
    sessions, echo = FakeSessions(), Echo()
    endpoint_settings = endpoint_settings or EndpointSettings("/whep", allow_origins=(ORIGIN,))
    server = HttpServer(settings, [Endpoint("player", endpoint_settings, sessions), echo])
    await server.start()
    try:
        yield server, sessions, echo
    finally:
        await server.stop()


async def raw(server: HttpServer, data: bytes, *, wait_s: float = 5.0) -> bytes:
    """Send bytes, and return everything received until the server closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        writer.write(data)
        async with asyncio.timeout(wait_s):
            return await reader.read()
    finally:
        writer.close()


def status(response: bytes) -> int:
    return int(response.split(b" ", 2)[1])
