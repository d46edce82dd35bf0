"""The guest page and the desk with a stub of their API: calls, invites and events are what a test sets.

It implements what docs/reference/desk-api.md describes as far as the pages use it, with calls that have no audio.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import socket
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from typing import Any
from urllib.parse import unquote

from aiohttp import web

from bass_webrtc.signaling.messages import Headers, Refused, Request, Response
from bass_webrtc.signaling.server.http_connection import to_aiohttp
from bass_webrtc.signaling.server.site import Site, SiteSettings
from bass_webrtc.stats import ServerStats

from .page_stub import StubEndpoint

TOKEN = "desk-token"
LEVELS_EVERY_S = 0.1
JSON = (("Content-Type", "application/json"), ("Cache-Control", "no-store"))
NETWORK = {
    "round_trip_ms": 23.0,
    "fraction_lost": 0.0,
    "packets_lost": 0,
    "jitter_ms": 1.2,
    "buffer_ms": 40.0,
    "concealed_s": 0.0,
    "bitrate_kbps": 128,
}
PAGES = ("call", "desk")


class StubSessions(StubEndpoint):
    """Answers offers as ``StubEndpoint``; GET of a session's URL with ``guest``, or with ``gone``."""

    def __init__(self) -> None:
        super().__init__()
        self.paths = ["/call", "/desk/audio"]
        self.guest: dict[str, Any] = {"name": "Anna", "state": "waiting", "position": 1}
        self.gone: Response | None = None
        self.patch_answer = Response(204)

    async def respond(self, request: Request) -> Response:
        if request.method == "GET":
            self.requests.append(request)
            return self.gone or Response(200, JSON, json.dumps(self.guest).encode())
        if request.method == "PATCH":
            self.requests.append(request)
            return self.patch_answer
        return await super().respond(request)


class DeskStub:
    """Runs the server on its own loop and thread. A context manager; ``url`` is the URL of the site.

    ``calls``, ``invites`` and ``desk`` are the state, which ``update`` sends to all desks. Any thread may call the
    methods.
    """

    def __init__(self, address: str = "127.0.0.1") -> None:
        self.sessions = StubSessions()
        self.calls: list[dict[str, Any]] = []
        self.invites: list[dict[str, Any]] = []
        self.desk: dict[str, Any] = {
            "programme_dbfs": -18.2,
            "producer_connected": False,
            "listeners": 0,
            "peak_listeners": 0,
            "history": [],
            "initial_state": "waiting",
            "invite_required": False,
            "recording": False,
            "can_record": True,
        }
        self.requests: list[tuple[str, str, Any]] = []
        """Method, path and JSON body of each request to the API, oldest first."""
        self.refusal: Refused | None = None
        """Answer to each request to the API but the events."""
        self.delay_s = 0.0
        """Before each answer of the API but the events."""
        self.is_stale = False
        """Whether changes are confirmed without being applied, as by an event that was sent before the change."""
        self.is_silent = False
        """Whether the streams of events stall."""
        self._ids = itertools.count(1)
        self._streams: dict[web.StreamResponse, asyncio.Event] = {}
        """What ends each of them."""
        self._site = Site(SiteSettings(pages=PAGES), self._stats, lambda: True)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._listener = socket.create_server((address, 0))
        self._runner: web.ServerRunner | None = None
        self._port = self._listener.getsockname()[1]
        self._address = address
        self.url = f"http://{address}:{self._port}/"
        self._run(self._start(self._listener))
        self._ticking = asyncio.run_coroutine_threadsafe(self._tick(), self._loop)

    def add_call(self, name: str, state: str = "waiting", **fields: Any) -> int:
        """Add a caller; return its number."""
        number = next(self._ids)
        call: dict[str, Any] = {
            "id": number,
            "name": name,
            "state": state,
            "gain": 1.0,
            "muted": False,
            "talkback": False,
            "return_gain": 1.0,
            "level_dbfs": -23.1,
            "seconds": 12.3,
            "recording": False,
            "invite": "",
            "network": dict(NETWORK),
        }
        self.calls.append(call | fields)
        self.update()
        return number

    def call(self, call_id: int) -> dict[str, Any]:
        """Return the call with a number."""
        return next(call for call in self.calls if call["id"] == call_id)

    def remove_call(self, call_id: int) -> None:
        """End a call."""
        self.calls = [call for call in self.calls if call["id"] != call_id]
        self.update()

    def update(self) -> None:
        """Send the state to all desks."""
        self._run(self._broadcast("desk", self._state()))

    def changes(self, method: str = "PATCH") -> list[Any]:
        """Return the bodies of the requests with this method, oldest first."""
        return [body for sent, _path, body in self.requests if sent == method]

    def run(self, work: Awaitable[None]) -> None:
        """Await something on the server's loop."""
        self._run(work)

    def cut_streams(self) -> None:
        """End all streams of events."""

        async def cut() -> None:
            for ending in tuple(self._streams.values()):
                ending.set()

        self._run(cut())

    def shut(self) -> None:
        """Stop the server, as in a restart."""
        self.cut_streams()
        if self._runner is not None:
            self._run(self._runner.cleanup())
            self._runner = None

    def restart(self) -> None:
        """Start the server again on its port."""
        self._run(self._start(socket.create_server((self._address, self._port))))

    def close(self) -> None:
        self._ticking.cancel()
        self.shut()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, work: Any) -> Any:
        async def awaited() -> Any:
            return await work

        if threading.current_thread() is self._thread:
            raise RuntimeError("called on the server's own thread")
        future: Future[Any] = asyncio.run_coroutine_threadsafe(awaited(), self._loop)
        return future.result(10)

    async def _start(self, listener: socket.socket) -> None:
        self._runner = web.ServerRunner(web.Server(self._handle), shutdown_timeout=0.2)
        await self._runner.setup()
        await web.SockSite(self._runner, listener).start()

    async def _tick(self) -> None:
        for count in itertools.count(1):
            await asyncio.sleep(LEVELS_EVERY_S)
            if count % 10 == 0:
                for call in self.calls:
                    call["seconds"] += 1
                await self._broadcast("desk", self._state())
            calls = {str(call["id"]): call["level_dbfs"] for call in self.calls}
            await self._broadcast("levels", {"programme": self.desk["programme_dbfs"], "calls": calls})

    async def _stats(self) -> ServerStats:
        return ServerStats()

    def _state(self) -> dict[str, Any]:
        return {"calls": self.calls, "invites": self.invites, "desk": self.desk}

    async def _broadcast(self, event: str, data: Any) -> None:
        if self.is_silent:
            return
        text = f"event: {event}\ndata: {json.dumps(data)}\n\n".encode()
        for stream, ending in tuple(self._streams.items()):
            try:
                await stream.write(text)
            except ConnectionError:
                ending.set()

    async def _handle(self, incoming: web.BaseRequest) -> web.StreamResponse:
        path, _, query = incoming.raw_path.partition("?")
        headers = Headers(incoming.headers.items())
        request = Request(incoming.method, path, headers, await incoming.read(), query=query)
        if path == "/api/events" and self._is_authorized(request):
            return await self._events(incoming)
        return to_aiohttp(await self._respond(request))

    async def _respond(self, request: Request) -> Response:
        is_page = request.method == "GET" and request.path[1:] in PAGES
        if request.path.startswith("/api/"):
            try:
                return await self._api(request)
            except Refused as refused:
                return refused.response()
        if self.sessions.serves(request.path) and not is_page:
            return await self.sessions.respond(request)
        if not self._site.serves(request.path):
            return Response(404)
        return await self._site.respond(Request(request.method, request.path, request.headers))

    def _is_authorized(self, request: Request) -> bool:
        return request.headers.get("Authorization") == f"Bearer {TOKEN}"

    async def _events(self, incoming: web.BaseRequest) -> web.StreamResponse:
        stream = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
        await stream.prepare(incoming)
        stream.force_close()
        await stream.write(f": hello\nevent: desk\ndata: {json.dumps(self._state())}\n\n".encode())
        self._streams[stream] = asyncio.Event()
        await self._streams[stream].wait()
        del self._streams[stream]
        if incoming.transport is not None:
            incoming.transport.close()
        return stream

    async def _api(self, request: Request) -> Response:
        if not self._is_authorized(request):
            raise Refused(401, "A valid desk token is required.")
        body = json.loads(request.body) if request.body else None
        assert body is None or request.headers.media_type == "application/json"
        self.requests.append((request.method, request.path, body))
        await asyncio.sleep(self.delay_s)
        if self.refusal is not None:
            raise self.refusal
        kind, _, name = request.path.removeprefix("/api/").partition("/")
        routes: dict[tuple[str, str], Callable[[str, Any], Any]] = {
            ("PATCH", "calls"): self._change_call,
            ("DELETE", "calls"): self._hang_up,
            ("PATCH", "desk"): self._change_desk,
            ("POST", "invites"): self._invite,
            ("DELETE", "invites"): self._revoke,
        }
        answer = routes[request.method, kind](name, body)
        if not self.is_stale:
            await self._broadcast("desk", self._state())
        if answer is None:
            return Response(204)
        return Response(201 if request.method == "POST" else 200, JSON, json.dumps(answer).encode())

    def _change_call(self, name: str, changes: Any) -> Any:
        try:
            call = self.call(int(name))
        except StopIteration:
            raise Refused(404, "There is no such call.") from None
        if not self.is_stale:
            call.update(changes)
        return call | changes

    def _hang_up(self, name: str, _body: Any) -> None:
        self.calls = [call for call in self.calls if call["id"] != int(name)]

    def _change_desk(self, _name: str, changes: Any) -> Any:
        self.desk.update(changes)
        return self.desk

    def _invite(self, _name: str, wishes: Any) -> Any:
        number = next(self._ids)
        invite = {
            "id": f"invite{number}",
            "name": wishes.get("name", ""),
            "uses_left": wishes.get("uses", 1),
            "expires_at": int(time.time()) + wishes.get("expires_s", 86_400),
        }
        self.invites.append(invite)
        self.desk["invite_required"] = True
        return invite | {"url": f"/call?invite=secret-{number}"}

    def _revoke(self, name: str, _body: Any) -> None:
        self.invites = [invite for invite in self.invites if invite["id"] != unquote(name)]

    def __enter__(self) -> DeskStub:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
