"""A client between ``start`` and ``stop``: one engine, and one connection after the other.

    offer ─► POST ─► answer ─► ICE ─► DTLS ─► connected ─► lost? ─► wait ─► offer …          DELETE at every end
                                                  └◄─ PATCH ◄─┘     an ICE restart, if the server is still there

The engine outlives the connections, so a source stays in time and a stream keeps its handle.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from .client_watch import find_path, watch
from .config import IceServer, ServerConfig
from .core import Engine, NewSsrc, PeerRemoved
from .errors import BassWebRtcError, ConfigError, SignalingError
from .loop_thread import LoopThread
from .peer.bridge import Bridge
from .peer.full_connection import FullConnection
from .peer.full_settings import Callbacks, IceSettings
from .peer.ice_servers import IceServerAddress, parse_ice_server
from .peer.sockets import local_addresses
from .rtc.candidate import Candidate
from .rtc.dtls import Certificate
from .signaling.client_backoff import Backoff
from .signaling.client_rules import CounterOffer
from .signaling.client_settings import ClientSettings
from .signaling.http_client import SignalingSession
from .signaling.messages import Kind
from .sources import OpenSource
from .stats import PeerStats

MAX_PEERS = 4
"""Numbers in the engine: one in use, the others on their way back from it."""
_LOOPBACK = ("localhost", "127.0.0.1", "::1", "[::1]")
_MIN_CONNECT_S = 1.5
_CONNECT_PATIENCE = 4.0
"""A server that has answered has this many times what its connection took then, so that one far away is reached."""
_HEAD_START_S = 0.5
"""How long a new attempt waits for the old session's DELETE, which a server that is gone does not answer."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ClientPlan:
    """What does not change over a client's life."""

    own_kind: Kind
    """What we are there: ``"publisher"`` (WHIP) or ``"player"`` (WHEP)."""
    settings: ClientSettings
    config: ServerConfig
    ice_servers: Sequence[IceServerAddress]
    reconnect: bool

    @property
    def remote_kind(self) -> Kind:
        """What the other side does."""
        return "player" if self.own_kind == "publisher" else "publisher"


class RunObserver(Protocol):
    """Is told on the loop thread how it goes."""

    def set_connected(self, connected: bool) -> None:
        """Audio flows, or could; or not any more."""

    def give_up(self, error: BassWebRtcError) -> None:
        """There will be no more attempt."""


class ClientRun:
    """The methods belong to the client's thread, and ``stats`` to any.

    Attributes:
        engine: The audio path.
    """

    def __init__(self, plan: ClientPlan, source: OpenSource, observer: RunObserver) -> None:
        """Takes the source, unless it raises. Nothing happens before ``begin``."""
        self._plan = plan
        self._settings = plan.settings
        self._source = source
        self._observer = observer
        self._certificate = Certificate.generate()
        self._free = list(range(MAX_PEERS))
        self._freed = asyncio.Event()
        self._connection: FullConnection | None = None
        self._connections: dict[int, FullConnection] = {}
        self._leaving: set[asyncio.Task[None]] = set()
        self._bridge: Bridge | None = None
        self._task: asyncio.Task[None] | None = None
        self.engine = Engine(plan.config, source.handle)
        self._loop = LoopThread("bass-webrtc client")

    def begin(self) -> None:
        """Starts the audio threads and the attempts. ``close`` also after a failure."""
        self.engine.start()
        self._loop.run(self._begin())

    async def _begin(self) -> None:
        loop = asyncio.get_running_loop()
        self._bridge = Bridge(self.engine)
        loop.add_reader(self.engine.event_descriptor, self._take_events)
        self._task = loop.create_task(self._live(self._bridge))

    def close(self) -> None:
        """Ends everything; also the session at the server."""
        self._loop.run(self._end())
        self._loop.stop()
        self.engine.close()
        if self._bridge is not None:
            self._bridge.close()
        self._source.close()

    async def _end(self) -> None:
        if self._task is None or self._bridge is None:
            return
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await asyncio.gather(*self._leaving, return_exceptions=True)
        asyncio.get_running_loop().remove_reader(self.engine.event_descriptor)

    def stats(self) -> PeerStats:
        """Of the newest connection."""
        connection = self._connection
        return connection.stats() if connection is not None else PeerStats(0, self._plan.remote_kind, "new", 0.0)

    # -- attempts

    async def _live(self, bridge: Bridge) -> None:
        """Connects, again and again, until there is no point in it."""
        backoff = Backoff(self._plan.own_kind, source=random.Random())
        endpoint = self._plan.settings.endpoint.shown
        while True:
            try:
                error = SignalingError(0, endpoint, await self._attempt(bridge, backoff))
            except SignalingError as refused:
                error = refused
            except OSError as unable:
                error = SignalingError(0, endpoint, str(unable))
            except BassWebRtcError as hopeless:
                self._observer.give_up(hopeless)
                return
            except Exception as bug:
                _log.exception("the client has stopped")
                self._observer.give_up(BassWebRtcError(f"the client has stopped: {bug!r}"))
                return
            wait_s = backoff.failed(error, asyncio.get_running_loop().time())
            if wait_s is None or not self._plan.reconnect:
                self._observer.give_up(error)
                return
            _log.info("%s; again in %.1f s", error, wait_s)
            await asyncio.sleep(wait_s)

    async def _attempt(self, bridge: Bridge, backoff: Backoff) -> str:
        """One session from POST to DELETE. Returns why it ended."""
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[str] = loop.create_future()
        trickles: set[asyncio.Task[None]] = set()
        peer = await self._take_peer()
        session = SignalingSession(self._plan.own_kind, self._settings)

        def trickle(candidate: Candidate) -> None:
            task = asyncio.create_task(session.trickle([candidate]))
            trickles.add(task)
            task.add_done_callback(trickles.discard)

        def over(reason: str) -> None:
            if not ended.done():
                ended.set_result(reason)

        def connected() -> None:
            backoff.succeeded(loop.time())
            connection.ask()  # The round trip is known from the beginning.
            self._observer.set_connected(True)

        connection = self._connection = self._connections[peer] = FullConnection(
            self.engine,
            bridge,
            peer,
            self._plan.remote_kind,
            self._certificate,
            self._plan.config,
            Callbacks(connected, over, trickle),
            IceSettings(tuple(self._plan.ice_servers), hosts=hosts_for(self._plan.settings.endpoint.host)),
        )
        try:
            await self._signal(session, connection)
            return await self._keep(session, connection, ended)
        finally:
            self._observer.set_connected(False)
            for task in trickles:
                task.cancel()
            await self._leave(session, connection)

    async def _signal(self, session: SignalingSession, connection: FullConnection) -> None:
        answer = await session.post(await connection.make_offer())
        if session.connect_s is not None:
            patience_s = max(_MIN_CONNECT_S, _CONNECT_PATIENCE * session.connect_s)
            self._settings = replace(self._settings, connect_timeout_s=patience_s)
        if isinstance(answer, CounterOffer):
            # Answered before anything else is looked at: it is good for 30 s (WHEP, "Counter-offer").
            await session.answer(connection.answer_offer(answer.sdp))
        else:
            connection.take_answer(answer.sdp)
        if not self._plan.ice_servers and answer.ice_servers:
            await connection.add_servers(usable_servers(answer.ice_servers))

    async def _keep(self, session: SignalingSession, connection: FullConnection, ended: asyncio.Future[str]) -> str:
        """Until it is lost, and finding another path for the same session did not help."""
        while True:
            loss = await watch(connection, ended)
            self._observer.set_connected(False)
            if not loss.is_of_path or not await find_path(session, connection, ended):
                return loss.reason
            _log.info("%s; the session has found another path", loss.reason)
            self._observer.set_connected(True)

    async def _leave(self, session: SignalingSession, connection: FullConnection) -> None:
        """Takes leave of both; in the background if that takes longer, and then ``_end`` waits for it."""

        async def leave() -> None:
            await connection.close()
            await session.delete()

        task = asyncio.create_task(leave())
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)
        await asyncio.wait({task}, timeout=_HEAD_START_S)

    # -- engine

    async def _take_peer(self) -> int:
        while not self._free:
            self._freed.clear()
            await self._freed.wait()
        return heapq.heappop(self._free)

    def _take_events(self) -> None:
        for event in self.engine.events():
            if isinstance(event, PeerRemoved):
                self._connections.pop(event.peer).released()
                heapq.heappush(self._free, event.peer)
                self._freed.set()
            elif isinstance(event, NewSsrc) and event.peer in self._connections:
                self._connections[event.peer].accept_ssrc(event.ssrc)


def hosts_for(server: str) -> tuple[str, ...] | None:
    """Our addresses to use: loopback as well for a server on this machine, which may listen nowhere else."""
    return tuple(local_addresses()) if server in _LOOPBACK else None


def usable_servers(servers: Sequence[IceServer]) -> list[IceServerAddress]:
    """Those of the server's ICE servers that can be used; it may name what we do not know."""
    found = []
    for one in servers:
        try:
            found.append(parse_ice_server(one.url, one.username, one.credential))
        except ConfigError as error:
            _log.info("an ICE server of the answer is left out: %s", error)
    return found
