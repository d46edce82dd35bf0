"""A client between ``start`` and ``stop``: one engine, and one connection after the other.

    offer ─► POST ─► answer ─► ICE ─► DTLS ─► connected ─► lost? ─► wait ─► offer …          DELETE at every end
                                                  └◄─ PATCH ◄─┘     an ICE restart, if the server is still there
                                                  └◄─ POST elsewhere, then DELETE here: where a WHEP server wants it

The engine outlives the connections, so a source stays in time and a stream keeps its handle.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import random
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from ..config import IceServer, IceServerAddress, ServerConfig, parse_ice_server
from ..core import Engine, NewSsrc, PeerRemoved
from ..errors import BassWebRtcError, ConfigError, SignalingError
from ..loop_thread import LoopThread
from ..peer.bridge import Bridge
from ..peer.full import FullConnection
from ..peer.full_settings import Callbacks, IceSettings
from ..peer.sockets import local_addresses
from ..rtc.candidate import Candidate, is_loopback
from ..rtc.dtls import Certificate
from ..signaling.client.backoff import Backoff
from ..signaling.client.rules import CounterOffer
from ..signaling.client.session import SignalingSession
from ..signaling.client.settings import ClientSettings
from ..sources import OpenSource
from ..stats import Kind, PeerStats
from .watch import find_path, watch

MAX_PEERS = 4
"""Numbers in the engine: one in use, the others on their way back from it."""
_MIN_CONNECT_S = 1.5
_CONNECT_PATIENCE = 4.0
"""A server that has answered has this many times what its connection took then, so that one far away is reached."""
_MOVE_TIMEOUT_S = 15.0
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

    def attempt_failed(self, error: BassWebRtcError) -> None:
        """Another one follows."""

    def give_up(self, error: BassWebRtcError) -> None:
        """There will be no more attempt."""


class _Attempt:
    """One session, its connection, and what is going on between the two. Loop thread.

    Attributes:
        session: At the server.
        connection: Its media.
        connected: Set when it was, once.
        ended: The connection's own word for its end.
    """

    def __init__(self, session: SignalingSession, connection: FullConnection) -> None:
        self.session = session
        self.connection = connection
        self.connected = asyncio.Event()
        self.ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._trickles: set[asyncio.Task[None]] = set()

    def trickle(self, candidate: Candidate) -> None:
        """A candidate was found late."""
        task = asyncio.create_task(self.session.trickle([candidate]))
        self._trickles.add(task)
        task.add_done_callback(self._trickles.discard)

    def end(self, reason: str) -> None:
        """The connection is over."""
        if not self.ended.done():
            self.ended.set_result(reason)

    async def leave(self) -> None:
        """Ends both."""
        for task in self._trickles:
            task.cancel()
        await self.connection.close()
        await self.session.delete()


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
            self._observer.attempt_failed(error)
            await asyncio.sleep(wait_s)

    async def _attempt(self, bridge: Bridge, backoff: Backoff) -> str:
        """One session from POST to DELETE, and those to which the server moves it. Returns why the last one ended."""
        attempt = await self._begin_attempt(SignalingSession(self._plan.own_kind, self._settings), bridge, backoff)
        self._connection = attempt.connection
        try:
            await self._signal(attempt)
            while True:
                keeping = asyncio.create_task(self._keep(attempt))
                try:
                    session = await _first(keeping, attempt.session.next_session())
                    successor = await self._connect_successor(session, bridge, backoff) if session is not None else None
                    if successor is None:
                        return await keeping
                finally:
                    await _cancel(keeping)
                former, attempt = attempt, successor
                self._connection = attempt.connection
                self._observer.set_connected(True)  # The former one may have ended meanwhile.
                await self._leave(former)
        finally:
            self._observer.set_connected(False)
            await self._leave(attempt)

    async def _begin_attempt(self, session: SignalingSession, bridge: Bridge, backoff: Backoff) -> _Attempt:
        loop = asyncio.get_running_loop()
        peer = await self._take_peer()

        def connected() -> None:
            backoff.succeeded(loop.time())
            connection.ask()  # The round trip is known from the beginning.
            self._observer.set_connected(True)
            attempt.connected.set()

        connection = self._connections[peer] = FullConnection(
            self.engine,
            bridge,
            peer,
            self._plan.remote_kind,
            Certificate.generate(),
            self._plan.config,
            Callbacks(connected, lambda reason: attempt.end(reason), lambda candidate: attempt.trickle(candidate)),
            IceSettings(tuple(self._plan.ice_servers), hosts=hosts_for(self._plan.settings.endpoint.host)),
        )
        attempt = _Attempt(session, connection)
        return attempt

    async def _signal(self, attempt: _Attempt) -> None:
        session, connection = attempt.session, attempt.connection
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

    async def _keep(self, attempt: _Attempt) -> str:
        """Until it is lost, and finding another path for the same session did not help."""
        while True:
            loss = await watch(attempt.connection, attempt.ended)
            self._observer.set_connected(False)
            if not loss.is_of_path or not await find_path(attempt.session, attempt.connection, attempt.ended):
                return loss.reason
            _log.info("%s; the session has found another path", loss.reason)
            self._observer.set_connected(True)

    async def _connect_successor(self, session: SignalingSession, bridge: Bridge, backoff: Backoff) -> _Attempt | None:
        """Connects where the server asks us to, while the former session goes on; None where that fails."""
        attempt = await self._begin_attempt(session, bridge, backoff)
        try:
            async with asyncio.timeout(_MOVE_TIMEOUT_S):
                await self._signal(attempt)
                await attempt.connected.wait()
        except BaseException as error:
            await self._leave(attempt)
            if not isinstance(error, (BassWebRtcError, OSError)):  # TimeoutError is one.
                raise
            _log.info("the session stays where it is: %s", error or f"not connected within {_MOVE_TIMEOUT_S:.0f} s")
            return None
        return attempt

    async def _leave(self, attempt: _Attempt) -> None:
        """Takes leave of both; in the background if that takes longer, and then ``_end`` waits for it."""
        task = asyncio.create_task(attempt.leave())
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


async def _first(keeping: asyncio.Task[str], asking: Coroutine[Any, Any, SignalingSession]) -> SignalingSession | None:
    """What is asked for, unless the session ends before, or it is not to be had."""
    asked = asyncio.create_task(asking)
    try:
        await asyncio.wait({keeping, asked}, return_when=asyncio.FIRST_COMPLETED)
        return asked.result() if asked.done() else None
    except SignalingError as error:
        _log.info("the session stays where it is: %s", error)
        return None
    finally:
        await _cancel(asked)


async def _cancel(task: asyncio.Task[Any]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def hosts_for(server: str) -> tuple[str, ...] | None:
    """Our addresses to use: loopback as well for a server on this machine, which may listen nowhere else."""
    return tuple(local_addresses()) if is_loopback(server) else None


def usable_servers(servers: Sequence[IceServer]) -> list[IceServerAddress]:
    """Those of the server's ICE servers that can be used; it may name what we do not know."""
    found = []
    for one in servers:
        try:
            found.append(parse_ice_server(one.url, one.username, one.credential))
        except ConfigError as error:
            _log.info("an ICE server of the answer is left out: %s", error)
    return found
