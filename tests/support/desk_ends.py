"""A desk whose calls have no audio, behind the real HTTP server, and a client that reads its events."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import aiohttp
from yarl import URL

from bass_webrtc.errors import BassWebRtcError, ConfigError
from bass_webrtc.signaling.server.desk import CallChanges, Desk, DeskSettings
from bass_webrtc.signaling.server.http_server import HttpServer, HttpSettings
from bass_webrtc.signaling.server.invites import Invites
from bass_webrtc.stats import CallStats, DeskStats, PeerStats
from support.patience import SLOWNESS

TOKEN = "desk-secret"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
SETTINGS = DeskSettings(TOKEN)
HTTP = HttpSettings(port=0)
PATIENCE_S = 10.0 * SLOWNESS


def call_stats(number: int, name: str = "Anna", **more: Any) -> CallStats:
    values: dict[str, Any] = {
        "state": "waiting",
        "gain": 1.0,
        "muted": False,
        "talkback": False,
        "return_gain": 1.0,
        "level_dbfs": -23.14,
        "duration_s": 12.34,
        "recording": False,
        "invite": "",
        "bitrate_kbps": 128,
        "peer": PeerStats(number, "sendrecv", "connected", 12.34, jitter_ms=1.23, jitter_buffer_ms=40.0),
    }
    return CallStats(number, name, **values | more)


DESK = DeskStats(-18.2, False, 3, 7, ((1_790_000_000, 3), (1_790_000_060, 7)), "waiting", False, False, True)


class FakeCallBook:
    """Calls without audio. ``failure`` makes the next change fail; ``changes`` has those that were made."""

    def __init__(self, *calls: CallStats) -> None:
        self.invites = Invites()
        self.now = {call.id: call for call in calls or (call_stats(3), call_stats(4, "Ben", level_dbfs=-127.0))}
        self.state = DESK
        self.failure: Exception | None = None
        self.changes: list[tuple[int, CallChanges]] = []
        self.hung_up: list[tuple[int, str]] = []
        self.watchers: list[Callable[[], None]] = []

    def calls(self) -> Sequence[CallStats]:
        return tuple(self.now.values())

    def call(self, call_id: int) -> CallStats:
        return self.now[call_id]

    def change(self, call_id: int, changes: CallChanges) -> None:
        call = self.now[call_id]
        self._fail()
        self.changes.append((call_id, changes))
        changed = {name: getattr(changes, name) for name in changes.__slots__ if getattr(changes, name) is not None}
        self.now[call_id] = replace(call, **changed)
        self.changed()

    def hang_up(self, call_id: int, reason: str) -> None:
        del self.now[call_id]
        self.hung_up.append((call_id, reason))
        self.changed()

    def desk(self) -> DeskStats:
        return self.state

    def record_programme(self, recording: bool) -> None:
        self._fail()
        self.state = replace(self.state, recording=recording)
        self.changed()

    def levels(self) -> tuple[float, Mapping[int, float]]:
        return self.state.programme_dbfs, {number: call.level_dbfs for number, call in self.now.items()}

    def watch(self, changed: Callable[[], None]) -> Callable[[], None]:
        self.watchers.append(changed)
        return lambda: self.watchers.remove(changed)

    def changed(self) -> None:
        for watcher in self.watchers:
            watcher()

    def _fail(self) -> None:
        failure, self.failure = self.failure, None
        if failure is not None:
            raise failure


NOT_RECORDABLE = BassWebRtcError("record_calls is not set; expected a folder")
BAD_STATE = ConfigError("state is 'gone'; expected 'waiting', 'on_air' or 'private'")


@dataclass(frozen=True)
class Answer:
    """A response."""

    status: int
    headers: Mapping[str, str]
    body: Any
    """Parsed if it is JSON."""


@dataclass
class DeskEnd:
    """A running desk, and a client."""

    server: HttpServer
    book: FakeCallBook
    client: aiohttp.ClientSession

    async def ask(self, method: str, path: str, body: Any = None, **fields: str) -> tuple[int, Any, Mapping[str, str]]:
        """Return status, body and header fields. Underscores in the names of ``fields`` are hyphens."""
        named = {name.replace("_", "-"): value for name, value in fields.items()}
        answer = await self.respond(method, path, body, BEARER | named)
        return answer.status, answer.body, answer.headers

    async def respond(
        self, method: str, path: str, body: Any = None, fields: Mapping[str, str] | None = None
    ) -> Answer:
        """Send exactly these header fields, and the type of a body if there is one."""
        headers = dict(fields or {})
        if body is not None:
            headers.setdefault("Content-Type", "application/json")
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        url = URL(f"{self.server.url}{path.removeprefix('/')}", encoded=True)
        skipped = ("Content-Type",) if "Content-Type" not in headers else ()
        async with self.client.request(method, url, data=data, headers=headers, skip_auto_headers=skipped) as response:
            text = await response.text()
            is_json = "json" in response.headers.get("Content-Type", "")
            return Answer(response.status, response.headers, json.loads(text) if is_json and text else text)

    @contextlib.asynccontextmanager
    async def events(self) -> AsyncIterator[Events]:
        async with self.client.get("/api/events", headers=BEARER) as response:
            assert response.status == 200
            yield Events(response)


class Events:
    """Reads server-sent events."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.headers = response.headers
        self.text = ""
        """All that was read."""
        self._content = response.content

    async def next(self, *names: str) -> tuple[str, Any]:
        """Return name and data of the next event that has one of these names, or any if none is given."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                block = (await self._content.readuntil(b"\n\n")).decode()
                self.text += block
                if block.startswith(":"):
                    continue
                fields = dict(line.split(": ", 1) for line in block.strip().split("\n"))
                if not names or fields["event"] in names:
                    return fields["event"], json.loads(fields["data"])

    async def until(self, holds: Callable[[Any], bool]) -> int:
        """Read ``desk`` events until one holds; return how many were read."""
        for count in range(1, 1000):
            _name, data = await self.next("desk")
            if holds(data):
                return count
        raise AssertionError("it did not happen")

    async def rest(self) -> bytes:
        """Read to the end of the stream, which must be complete."""
        return await self._content.read()


@contextlib.asynccontextmanager
async def desk_end(
    book: FakeCallBook | None = None,
    settings: DeskSettings = SETTINGS,
    http: HttpSettings = HTTP,
    clock: Callable[[], float] | None = None,
) -> AsyncIterator[DeskEnd]:
    book = book or FakeCallBook()
    server = HttpServer(http, [Desk(settings, book, clock) if clock else Desk(settings, book)])
    await server.start()
    try:
        async with aiohttp.ClientSession(server.url) as client:
            yield DeskEnd(server, book, client)
    finally:
        await server.stop()
