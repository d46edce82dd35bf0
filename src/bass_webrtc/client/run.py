"""A client between ``start`` and ``stop``: one engine, and one connection after the other.

    offer ─► POST ─► answer ─► ICE ─► DTLS ─► connected ─► lost? ─► wait ─► offer …        DELETE after each session
                                                  └◄─ PATCH ◄─┘     ICE restart, if the server still answers
                                                  └◄─ POST to another URL, then DELETE, if a WHEP server requests it

The engine outlives the connections, so a source stays in time and a stream keeps its handle.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import Any, Protocol

from ..config import IceServer, IceServerAddress, StreamConfig, resolve_ice_servers
from ..errors import BassWebRtcError, SignalingError
from ..loop_thread import LoopThread
from ..peer.full import FullConnection
from ..peer.host import Connection, EngineHost
from ..peer.ice.addresses import link_local_addresses, local_addresses
from ..peer.ice.full_ice import IceSettings
from ..rtc.candidate import Candidate, CandidatePolicy, is_loopback
from ..rtc.negotiation import read_answer, read_offer
from ..rtc.reach import parse_address
from ..signaling.client.backoff import Backoff
from ..signaling.client.rules import Answer, CounterOffer
from ..signaling.client.session import SignalingSession
from ..signaling.client.settings import ClientSettings
from ..signaling.client.urls import Trust
from ..source_watch import SourceWatch
from ..sources import OpenSource
from ..stats import Kind, PeerStats
from .watch import Loss, find_path, watch

MAX_PEERS = 4
"""Slots of the engine: one in use, the others while they are being released."""
_MIN_CONNECT_TIMEOUT_S = 1.5
_CONNECT_TIMEOUT_FACTOR = 4.0
"""The timeout of later TCP connections, as a multiple of the time that the first one took, to allow for distance."""
_MOVE_TIMEOUT_S = 15.0
_MOVE_INTERVAL_S = 2.0
"""Between two moves of a session that the server requests; each costs a key pair and two handshakes."""
_DELETE_WAIT_S = 0.5
"""How long a new attempt waits for the DELETE of the old session, which a dead server never answers."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ClientPlan:
    """The settings of a client, which do not change."""

    own_kind: Kind
    """What the client is to the server: ``"publisher"`` (WHIP) or ``"player"`` (WHEP)."""
    settings: ClientSettings
    config: StreamConfig
    ice_servers: Sequence[IceServerAddress]
    reconnect: bool

    @property
    def remote_kind(self) -> Kind:
        """What the server is to the client."""
        return "player" if self.own_kind == "publisher" else "publisher"


class RunObserver(Protocol):
    """Receives the progress of a client on the loop thread."""

    def set_connected(self, connected: bool) -> None:
        """Handle the start or the end of a connection."""

    def attempt_failed(self, error: BassWebRtcError) -> None:
        """Handle a failed attempt, which another one follows."""

    def give_up(self, error: BassWebRtcError) -> None:
        """Handle the last failure; no further attempt follows."""


class Attempt:
    """One WHIP or WHEP session and its connection, which it observes. Loop thread.

    Attributes:
        session: The HTTP side.
        connection: The media side.
        connected: Set when the connection has been established.
        ended: Gets the reason when the connection has ended.
    """

    def __init__(
        self,
        session: SignalingSession,
        host: EngineHost,
        remote_kind: Kind,
        config: StreamConfig,
        ice: IceSettings,
        on_connected: Callable[[FullConnection], None] = lambda _: None,
    ) -> None:
        """
        Args:
            session: A new session.
            host: The engine; it must have a free slot.
            remote_kind: What the server is to the client.
            config: Settings of the stream.
            ice: Settings of ICE.
            on_connected: Called when the connection has been established.
        """
        self.session = session
        self.connected = asyncio.Event()
        self.ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._on_connected = on_connected
        self._trickles: set[asyncio.Task[None]] = set()
        self.connection = FullConnection(host, remote_kind, config, self, ice, offers=True)

    async def post(self) -> Answer | CounterOffer:
        """Make an offer and send it."""
        return await self.session.post(await self.connection.make_offer())

    async def accept(self, answer: Answer | CounterOffer) -> None:
        """Connect to the server that answered, or that made a counter-offer."""
        if isinstance(answer, CounterOffer):
            # The first thing to do: a counter-offer is valid for 30 s (WHEP, "Counter-offer").
            await self.session.answer(await self.connection.answer(read_offer(answer.sdp)))
        else:
            self.connection.take_answer(read_answer(answer.sdp, self.connection.offer_sdp))

    async def close(self) -> None:
        """End the connection, then delete the session."""
        for task in self._trickles:
            task.cancel()
        self.connection.end("closed by this side")
        await self.connection.wait_closed()
        await self.session.delete()

    # -- events of the connection

    def state_changed(self, connection: Connection) -> None:
        """Report that the connection is established, or has ended."""
        if connection.state == "connected":
            self._on_connected(self.connection)
            self.connected.set()
        elif connection.closed and not self.ended.done():
            self.ended.set_result(connection.close_reason)

    def trickle(self, _connection: Connection, candidate: Candidate | None) -> None:
        """Send a candidate to the server. End-of-candidates is not sent: the PAC timer replaces it (RFC 8863)."""
        if candidate is not None:
            task = asyncio.create_task(self.session.trickle([candidate]))
            self._trickles.add(task)
            task.add_done_callback(self._trickles.discard)

    def loss_reported(self) -> None:
        """Do nothing: a client does not adapt its encoder to the reported loss."""


class ClientRun:
    """A running client. The methods run on the loop thread, except for ``stats``.

    Attributes:
        loop: The loop thread.
        engine: The audio path.
        source_watch: Watches the source.
    """

    def __init__(
        self,
        loop: LoopThread,
        plan: ClientPlan,
        host: EngineHost,
        source_watch: SourceWatch,
        observer: RunObserver,
        closing: AsyncExitStack,
    ) -> None:
        """Begin the attempts. Call ``open`` instead; ``closing`` closes the engine and the source."""
        self.loop = loop
        self.engine = host.engine
        self.source_watch = source_watch
        self._plan = plan
        self._settings = plan.settings
        self._host = host
        self._observer = observer
        self._closing = closing
        self._connection: FullConnection | None = None
        self._ending: set[asyncio.Task[None]] = set()
        self._task = asyncio.create_task(self._run())

    @classmethod
    async def open(cls, loop: LoopThread, plan: ClientPlan, source: OpenSource, observer: RunObserver) -> ClientRun:
        """Start the audio threads and begin the attempts, or leave nothing open.

        Args:
            loop: The loop thread, on which nothing else runs.
            plan: The settings.
            source: What to send, opened by the caller. Closed with the client.
            observer: Receives the progress.

        Raises:
            BassWebRtcError: The engine cannot start. The source is closed then.
        """
        async with AsyncExitStack() as stack:
            source_watch = SourceWatch.with_engine(plan.config, MAX_PEERS, source)
            stack.callback(source_watch.close)
            host = EngineHost(source_watch.engine, MAX_PEERS)
            host.observe_channel(source_watch.channel, source_watch)
            stack.callback(host.close)
            stack.push_async_callback(loop.cancel_tasks)
            host.start()
            stack.callback(host.stop)
            source_watch.start()
            return cls(loop, plan, host, source_watch, observer, stack.pop_all())

    async def close(self) -> None:
        """End the connection, delete the session at the server and close everything."""
        await self._stop()
        await self._closing.aclose()

    async def _stop(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await asyncio.gather(*self._ending, return_exceptions=True)

    def stats(self) -> PeerStats:
        """Return a snapshot of the newest connection. Any thread."""
        connection = self._connection
        return connection.stats() if connection is not None else PeerStats(0, self._plan.remote_kind, "new", 0.0)

    # -- attempts

    async def _run(self) -> None:
        """Connect again and again until there is no point in trying again."""
        backoff = Backoff(self._plan.own_kind, source=random.Random())
        endpoint = self._plan.settings.endpoint.shown
        while True:
            is_lost = False
            try:
                loss = await self._attempt(backoff)
                is_lost = loss.is_of_path
                error = SignalingError(0, endpoint, f"{loss.reason}{'' if is_lost else self._hint(backoff)}")
            except SignalingError as refused:
                error = refused
            except OSError as unreachable:
                error = SignalingError(0, endpoint, str(unreachable))
            except BassWebRtcError as permanent:
                self._observer.give_up(permanent)
                return
            except Exception as bug:
                _log.exception("the client has stopped because of an internal error")
                self._observer.give_up(BassWebRtcError(f"the client has stopped because of an internal error: {bug!r}"))
                return
            wait_s = backoff.failed(error, asyncio.get_running_loop().time(), is_lost=is_lost)
            if wait_s is None or not self._plan.reconnect:
                self._observer.give_up(error)
                return
            _log.info("%s; next attempt in %.1f s", error, wait_s)
            self._observer.attempt_failed(error)
            await asyncio.sleep(wait_s)

    def _hint(self, backoff: Backoff) -> str:
        """Return what a session that ended early suggests; empty after others."""
        lived_s = backoff.short_session_s(asyncio.get_running_loop().time())
        if lived_s is None:
            return ""
        question = "; is another publisher on this path?" if self._plan.own_kind == "publisher" else ""
        return f"; the session ended {lived_s:.1f} s after it began{question}"

    async def _attempt(self, backoff: Backoff) -> Loss:
        """Run one session from POST to DELETE, and those that the server moves it to; return how the last one ended."""
        attempt = await self._new_attempt(SignalingSession(self._plan.own_kind, self._settings), backoff)
        self._connection = attempt.connection
        move_s = 0.0
        try:
            await self._signal(attempt)
            while True:
                keeping = asyncio.create_task(self._keep(attempt))
                try:
                    session = await _next_session(keeping, attempt.session, move_s)
                    successor = await self._connect_successor(session, backoff) if session is not None else None
                    if successor is None:
                        return await keeping
                finally:
                    await _cancel(keeping)
                former, attempt = attempt, successor
                self._connection = attempt.connection
                move_s = asyncio.get_running_loop().time() + _MOVE_INTERVAL_S
                self._observer.set_connected(True)  # The former connection may have ended in the meantime.
                await self._end(former)
        finally:
            self._observer.set_connected(False)
            await self._end(attempt)

    async def _new_attempt(self, session: SignalingSession, backoff: Backoff) -> Attempt:
        loop = asyncio.get_running_loop()

        def connected(connection: FullConnection) -> None:
            backoff.succeeded(loop.time())
            connection.send_check()  # Its response measures the round trip from the beginning.
            self._observer.set_connected(True)

        settings = self._plan.settings
        ice = ice_settings(settings.endpoint.host, self._plan.ice_servers, settings.trust())
        await self._host.wait_for_free_slot()
        return Attempt(session, self._host, self._plan.remote_kind, self._plan.config, ice, connected)

    async def _signal(self, attempt: Attempt) -> None:
        answer = await attempt.post()
        if attempt.session.connect_s is not None:
            timeout_s = max(_MIN_CONNECT_TIMEOUT_S, _CONNECT_TIMEOUT_FACTOR * attempt.session.connect_s)
            self._settings = replace(self._settings, connect_timeout_s=timeout_s)
        await attempt.accept(answer)
        if not self._plan.ice_servers and answer.ice_servers:
            await attempt.connection.add_servers(usable_servers(answer.ice_servers))

    async def _keep(self, attempt: Attempt) -> Loss:
        """Keep a session over ICE restarts; return how it was lost when no other path was found."""
        while True:
            loss = await watch(attempt.connection, attempt.ended)
            self._observer.set_connected(False)
            if not loss.is_of_path or not await find_path(attempt.session, attempt.connection, attempt.ended):
                return loss
            _log.info("%s; the session continues on another path", loss.reason)
            self._observer.set_connected(True)

    async def _connect_successor(self, session: SignalingSession, backoff: Backoff) -> Attempt | None:
        """Connect where the server moves the session to, while the former one continues; None if that fails."""
        attempt = await self._new_attempt(session, backoff)
        try:
            async with asyncio.timeout(_MOVE_TIMEOUT_S):
                await self._signal(attempt)
                await attempt.connected.wait()
        except BaseException as error:
            await self._end(attempt)
            if not isinstance(error, (BassWebRtcError, OSError)):  # TimeoutError is an OSError.
                raise
            _log.info("the session was not moved: %s", str(error) or f"not connected within {_MOVE_TIMEOUT_S:.0f} s")
            return None
        return attempt

    async def _end(self, attempt: Attempt) -> None:
        """Close an attempt; if that takes longer, it continues in the background and ``_stop`` waits for it."""
        task = asyncio.create_task(attempt.close())
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)
        await asyncio.wait({task}, timeout=_DELETE_WAIT_S)


async def _next_session(
    keeping: asyncio.Task[Loss], session: SignalingSession, not_before_s: float
) -> SignalingSession | None:
    """Wait until the server moves the session; None if the session ends before, or cannot be moved.

    Args:
        keeping: Ends with the session.
        session: The session.
        not_before_s: Time of the loop before which it is not moved.
    """
    moving = asyncio.create_task(_wait_for_move(session, not_before_s))
    try:
        await asyncio.wait({keeping, moving}, return_when=asyncio.FIRST_COMPLETED)
        return moving.result() if moving.done() else None
    except SignalingError as error:
        _log.info("the session was not moved: %s", error)
        return None
    finally:
        await _cancel(moving)


async def _wait_for_move(session: SignalingSession, not_before_s: float) -> SignalingSession:
    successor = await session.next_session()
    await asyncio.sleep(not_before_s - asyncio.get_running_loop().time())
    return successor


async def _cancel(task: asyncio.Task[Any]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@dataclass(frozen=True, slots=True)
class _ServerCandidates(CandidatePolicy):
    """Which candidates of a server may be sent to: those on this machine only if the server is on it, too.

    A link-local one only if the server was reached there.
    """

    allow_loopback: bool = True
    trust: Trust | None = None

    def allows(self, candidate: Candidate) -> bool:
        """See ``CandidatePolicy``."""
        if self.trust is None:
            return CandidatePolicy.allows(self, candidate)
        is_home = self.trust.home.address == parse_address(candidate.host)
        policy = CandidatePolicy(allow_loopback=self.allow_loopback, allow_link_local=is_home)
        return self.trust.allows_candidate(candidate.host) and policy.allows(candidate)


def ice_settings(
    server_host: str, ice_servers: Iterable[IceServerAddress] = (), trust: Trust | None = None
) -> IceSettings:
    """Return the ICE settings for a server.

    One on this machine may listen on loopback only, so that is used, too; and one at a link-local address is reached
    from link-local addresses.

    Args:
        server_host: Host of the configured URL.
        ice_servers: Those that the user has configured; None means that those in the answer are used.
        trust: Where the server may send this client; None: anywhere.
    """
    servers = tuple(ice_servers)
    hosts = tuple(local_addresses()) if is_loopback(server_host) else None
    settings = IceSettings(
        servers,
        hosts=hosts,
        extra_hosts=lambda: _link_local_hosts(server_host, trust),
        policy=_ServerCandidates(trust=trust),
    )
    if servers or trust is None:
        return settings

    def allows_server(host: str, address: str) -> bool:
        reason = trust.refusal(host, address)
        if reason is not None:
            _log.info("an ICE server in the answer is skipped: %s", reason)
        return reason is None

    return replace(settings, allows_server=allows_server)


def _link_local_hosts(server_host: str, trust: Trust | None) -> list[str]:
    """Return the local addresses for a server at a link-local address; none for any other server."""
    home = trust.home.address if trust is not None else None
    address = home or parse_address(server_host)
    if address is None or not address.is_link_local:
        return []
    found = link_local_addresses(server_host.partition("%")[2])
    return [host for host in found if (":" in host) == (address.version == 6)]


def usable_servers(servers: Iterable[IceServer]) -> list[IceServerAddress]:
    """Return the ICE servers of an answer that can be used; unknown kinds are skipped."""
    found, errors = resolve_ice_servers(servers)
    for error in errors:
        _log.info("an ICE server in the answer is skipped: %s", error)
    return found
