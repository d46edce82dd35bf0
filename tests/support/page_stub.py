"""The page served by our HTTP server, with stub WHEP and WHIP endpoints whose answers a test sets."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from bass_webrtc.signaling.messages import Fields, Refused, Request, Response
from bass_webrtc.signaling.server.cors import Cors
from bass_webrtc.signaling.server.http_server import HttpServer, HttpSettings
from bass_webrtc.signaling.server.site import Site, SiteSettings
from bass_webrtc.stats import PeerStats, ServerStats

Answer = Callable[[Request], Response | Awaitable[Response]]


def refusal(status: int, detail: str, *fields: tuple[str, str]) -> Answer:
    """An error response like that of the real endpoint."""
    return lambda _request: Refused(status, detail, fields).response()


def success(status: int, body: str = "", *fields: tuple[str, str]) -> Answer:
    """Any other response."""
    return lambda _request: Response(status, fields, body.encode())


class StubEndpoint:
    """Answers POST requests with ``posts`` in order, repeating the last one; records all requests."""

    def __init__(self) -> None:
        self.cors = Cors(())
        self.posts: list[Answer] = [refusal(404, "the test has set no answer")]
        self.post_delay_s = 0.0
        self.requests: list[Request] = []
        self.paths = ["/whep"]
        self.links: Fields = ()

    def serves(self, path: str) -> bool:
        return any(path == known or path.startswith(known + "/") for known in self.paths)

    async def respond(self, request: Request) -> Response:
        self.requests.append(request)
        if request.method == "OPTIONS":
            return Response(204, (("Accept-Post", "application/sdp"), *self.links))
        if request.method != "POST":
            return Response(200)
        await asyncio.sleep(self.post_delay_s)
        answer = self.posts.pop(0) if len(self.posts) > 1 else self.posts[0]
        response = answer(request)
        return response if isinstance(response, Response) else await response

    def of(self, method: str) -> list[Request]:
        """Requests with this method, oldest first."""
        return [request for request in self.requests if request.method == method]


class StubChannels:
    """Answers ``/api/channels`` with the list that a test sets; records all requests."""

    def __init__(self) -> None:
        self.cors = Cors(())
        self.requests: list[Request] = []
        self.list: list[dict[str, Any]] = []
        self.set("main")

    def set(self, *names: str, ended: str = "") -> None:
        """Replace the list."""
        self.list = [
            {
                "name": name,
                "url": "/whep" if name == "main" else f"/whep/{name}",
                "listeners": 0,
                "bitrates_kbps": [128],
                "source_ended": name == ended,
            }
            for name in names
        ]

    def serves(self, path: str) -> bool:
        return path == "/api/channels"

    async def respond(self, request: Request) -> Response:
        self.requests.append(request)
        return Response(200, (("Content-Type", "application/json"),), json.dumps({"channels": self.list}).encode())


class PageStub:
    """Runs the server on its own loop and thread. A context manager; ``url`` is the URL of the page."""

    def __init__(self) -> None:
        self.endpoint = StubEndpoint()
        self.channels = StubChannels()
        self.listeners = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        site = Site(SiteSettings(), self._stats, lambda: True)
        self._server = HttpServer(
            HttpSettings(port=0, allowed_hosts=("radio.test",)), [self.channels, self.endpoint, site]
        )
        asyncio.run_coroutine_threadsafe(self._server.start(), self._loop).result(10)
        self.url = self._server.url

    def close(self) -> None:
        self.shut()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Await a coroutine on the server's loop."""
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    def shut(self) -> None:
        """Stop the server, as in a restart."""
        self.run(self._server.stop())

    async def _stats(self) -> ServerStats:
        peers = [
            PeerStats(id=number, kind="player", state="connected", connected_s=1.0) for number in range(self.listeners)
        ]
        return ServerStats(active_peers=self.listeners, peers=tuple(peers))

    def __enter__(self) -> PageStub:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
