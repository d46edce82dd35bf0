"""A full ICE agent with one component, over restarts: reaches peers behind NATs, through TURN if nothing else works.

    gather ─► signal local candidates ─► set_remote ─► connect ─► selected pair ─► send, data_received
       ▲                                                                │
       └─── restart: a second session beside the first one ─────────────┤ pair_lost: 30 s without consent
            takes over as soon as it has a selected pair ───────────────┘

``aioice`` provides the checks and the TURN protocol; ``agent.py`` and ``aioice_faults.py`` list what is done
differently. Loop thread only.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, Protocol, cast

import aioice
from aioice.ice import CandidatePair

from ...config import IceServerAddress, TurnServer
from ...errors import ClosedError, IceError, PeerLimitError
from ...rtc.candidate import Candidate, CandidatePolicy, is_loopback
from ...rtc.sdp import IceCredentials
from .addresses import link_local_addresses, local_addresses
from .agent import PAC_TIMER_S, IceAgent
from .aioice_faults import Address, IceCounters, IceSocket
from .gathering import Gatherer

_PUBLIC = CandidatePolicy()
_MAX_EARLY = 16
"""Datagrams kept that arrive before this side has selected a pair, such as the peer's first ClientHello."""
_BRIDGE_SOCKETS = 1
"""Of a peer, between the core and the agent."""
_LINGER_S = 2.0
"""How long the sockets of the session before a restart stay open: the peer may use them a little longer."""


@dataclass(frozen=True, slots=True)
class IceSettings:
    """Settings of full ICE."""

    servers: tuple[IceServerAddress, ...] = ()
    """STUN and TURN servers."""
    allows_server: Callable[[str, str], bool] = lambda host, address: True
    """Whether a server with this host may be queried at this address."""
    relay_only: bool = False
    """Send only through TURN servers, and announce only relayed candidates."""
    hosts: tuple[str, ...] | None = None
    """Local addresses to use; None: all of this machine, loopback only if there is no other."""
    extra_hosts: Callable[[], Iterable[str]] = tuple
    """Returns addresses to use in addition, those that are link-local or else left out; called at each gathering."""
    public_ips: tuple[str, ...] = ()
    """Additional addresses of this machine: those of a 1:1 NAT in front of it."""
    announce_local: bool = True
    """Announce the addresses of the local interfaces. They are used in any case (RFC 8827, 6.4)."""
    policy: CandidatePolicy = _PUBLIC
    """Which remote candidates may be sent to; loopback is not allowed by default."""
    gather_timeout_s: float = 0.5
    """How long gathering waits for STUN and TURN servers."""
    connect_timeout_s: float = PAC_TIMER_S
    """How long ``connect`` tries; longer than the PAC timer if people carry the session descriptions."""
    end_of_candidates: Literal["never", "always", "if complete"] = "never"
    """Whether a session description says a=end-of-candidates (RFC 8840). "always" where later candidates cannot be
    trickled: those are used, but not announced."""
    tls_context: ssl.SSLContext | None = None
    """For ``turns:`` servers; None: trust the certificate authorities of the system."""


@dataclass(frozen=True, slots=True)
class SelectedPair:
    """The selected candidate pair."""

    local: Address
    """Local (host, port): of a socket, or of an allocation on a TURN server."""
    remote: Address
    is_relay: bool
    """Whether the local candidate is relayed."""
    descriptor: int | None
    """The UDP socket for ``sendto``, unconnected and non-blocking; None for a relayed pair. It is borrowed and is
    closed some time after the next ``pair_selected``, ``pair_lost`` or ``close``. Another thread that sends must use
    a ``socket.dup`` made in ``pair_selected`` and close it when it has stopped sending."""
    remote_type: str
    """``"host"``, ``"srflx"``, ``"prflx"`` or ``"relay"``."""


class IceObserver(Protocol):
    """Receives the events of a ``FullIce`` on its loop. The methods must not block and must not raise."""

    def data_received(self, data: bytes) -> None:
        """Handle a datagram that is not STUN and comes from an address validated by the peer."""

    def pair_selected(self, pair: SelectedPair) -> None:
        """Handle the selection of a pair, or of another one."""

    def check_answered(self, round_trip_s: float) -> None:
        """Handle the answer to a check of the selected pair."""

    def pair_lost(self, reason: str) -> None:
        """Handle the end of consent (RFC 7675) or the loss of the relay.

        Nothing is sent until a ``restart`` leads to ``pair_selected`` again.
        """

    def candidate_gathered(self, candidate: Candidate) -> None:
        """Handle a local candidate found after ``gather`` returned, to be trickled (RFC 8838)."""

    def gathering_completed(self) -> None:
        """Handle the end of gathering, unless it was complete when ``gather`` returned."""


class SocketBudget:
    """How many sockets the agents of one loop may have together. Loop thread.

    Args:
        limit: How many; None: no limit.
    """

    def __init__(self, limit: int | None = None) -> None:
        self._limit = limit
        self._taken = 0

    def take(self, count: int) -> None:
        """Count sockets that will be opened.

        Raises:
            PeerLimitError: There would be too many.
        """
        if self._limit is not None and self._taken + count > self._limit:
            raise PeerLimitError(
                f"a peer with full ICE needs {count} sockets here, one for each local address and TURN server and one "
                f"more; {self._taken} of the {self._limit} sockets for such peers are in use"
            )
        self._taken += count

    def give_back(self, count: int) -> None:
        """Count sockets that were closed."""
        self._taken -= count


class _Session:
    """One ICE session: an agent and its gatherer."""

    def __init__(self, agent: IceAgent, gatherer: Gatherer, budget: SocketBudget) -> None:
        self.agent = agent
        self.gatherer = gatherer
        self.has_gathered = False
        self._budget = budget
        self._sockets = 0

    def take_sockets(self, count: int) -> None:
        self._budget.take(count)
        self._sockets += count

    async def close(self) -> None:
        try:
            await self.gatherer.close()
        finally:
            try:
                await self.agent.close()
            finally:
                sockets, self._sockets = self._sockets, 0
                self._budget.give_back(sockets)


class FullIce:
    """ICE with one peer, over restarts.

    Attributes:
        selected: The pair that ``send`` uses; None while sending is not allowed.
        counters: Dropped datagrams, over all restarts.
    """

    def __init__(
        self, settings: IceSettings, observer: IceObserver, budget: SocketBudget | None = None, *, controlling: bool
    ) -> None:
        """Nothing is opened or sent before ``gather``.

        Args:
            settings: Servers, local addresses, limits.
            observer: Receives the events; none after ``close``.
            budget: Counts the sockets; None: there is no limit.
            controlling: True for the side that makes the offer. With an ICE-lite peer this side always becomes
                controlling (RFC 8445, 6.1.1).
        """
        self._settings = settings
        self._observer = observer
        self._budget = budget or SocketBudget()
        self._servers = settings.servers
        self._early: deque[bytes] = deque(maxlen=_MAX_EARLY)
        self._closed = False
        self.counters = IceCounters()
        self.selected: SelectedPair | None = None
        self._current = self._new_session(controlling=controlling)
        self._pending: _Session | None = None
        self._retired: dict[_Session, asyncio.Task[None]] = {}

    # -- signaling

    @property
    def credentials(self) -> IceCredentials:
        """Local credentials; the new ones after ``restart``."""
        return self._newest.agent.credentials

    @property
    def controlling(self) -> bool:
        """The current role, which a role conflict may have changed."""
        return self._newest.agent.ice_controlling

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """Local candidates gathered so far that may be announced, highest priority first."""
        found = sorted(self._newest.agent.local_candidates, key=lambda candidate: -candidate.priority)
        return tuple(_from_aioice(candidate) for candidate in found if self._may_announce(candidate))

    @property
    def is_complete(self) -> bool:
        """Whether ``candidates`` is complete: no server query is outstanding."""
        return self._newest.gatherer.is_done

    @property
    def failures(self) -> dict[str, str]:
        """ICE server to the reason why it gave no candidate."""
        return dict(self._newest.gatherer.failures)

    async def gather(self, extra_hosts: Iterable[str] = ()) -> tuple[Candidate, ...]:
        """Gather local candidates. Call it once; ``restart`` gathers by itself.

        Args:
            extra_hosts: Local addresses to use besides those of the settings.

        Servers that answer after ``gather_timeout_s``, within 10 s, lead to ``candidate_gathered``.

        Returns:
            The candidates, highest priority first.

        Raises:
            PeerLimitError: The loop cannot watch as many sockets.
            ClosedError: ``close`` was called.
        """
        self._check_open()
        session = self._newest
        settings = self._settings
        hosts: tuple[str, ...] = ()
        if not settings.relay_only:
            # Listed anew each time: a changed address is a frequent reason for a restart.
            hosts = _default_hosts() if settings.hosts is None else settings.hosts
            extra = (host for host in (*settings.extra_hosts(), *extra_hosts) if host and not is_loopback(host))
            hosts = tuple(dict.fromkeys((*extra, *hosts)))
        session.take_sockets(len(hosts) + _turn_servers(self._servers) + _BRIDGE_SOCKETS)
        await session.gatherer.open_hosts(hosts)
        self._check_open()
        await session.gatherer.query(self._servers, settings.gather_timeout_s)
        session.has_gathered = True
        return self.candidates

    async def add_servers(self, ice_servers: Iterable[IceServerAddress]) -> None:
        """Query more servers, such as those in a WHIP answer (RFC 9725, 4.6).

        Their candidates lead to ``candidate_gathered``; a later ``restart`` queries these servers as well.

        Raises:
            PeerLimitError: The loop cannot watch as many sockets.
            ClosedError: ``close`` was called.
        """
        self._check_open()
        added = tuple(server for server in ice_servers if server not in self._servers)
        self._newest.take_sockets(_turn_servers(added))
        self._servers += added
        await self._newest.gatherer.query(added, self._settings.gather_timeout_s)

    def set_remote(self, credentials: IceCredentials, candidates: Iterable[Candidate] = (), *, ice_lite: bool) -> None:
        """Apply the remote description. Its end-of-candidates is not needed: see ``connect``.

        Args:
            credentials: The peer's credentials; its new ones after ``restart``.
            candidates: The peer's candidates; those that may not be used are ignored (RFC 9725, 4.3.2).
            ice_lite: Whether the peer is a lite agent.
        """
        agent = self._newest.agent
        agent.remote_username, agent.remote_password = credentials.ufrag, credentials.password
        if ice_lite and not agent.ice_controlling:
            agent.switch_role(ice_controlling=True)
        for candidate in candidates:
            self.add_remote_candidate(candidate)

    def add_remote_candidate(self, candidate: Candidate) -> None:
        """Add a trickled candidate of the peer; one that may not be used is ignored."""
        if self._settings.policy.allows(candidate):
            self._newest.agent.add_remote(candidate)

    # -- connecting

    async def connect(self) -> SelectedPair:
        """Wait until either side has nominated a working pair.

        It does not fail before ``connect_timeout_s``, even if the peer has no candidates: its checks may still arrive
        (RFC 8863). During and after a failed ``restart``, the former pair stays in use.

        Raises:
            IceError: No pair works.
            ClosedError: ``close`` was called.
        """
        session = self._newest
        try:
            await session.agent.connect()
        except IceError:
            if self._closed:
                raise ClosedError("ICE was closed while it was connecting") from None
            if session is self._pending:
                self.cancel_restart()
            raise
        assert self.selected is not None, "an agent connects by selecting a pair"
        return self.selected

    async def restart(self, extra_hosts: Iterable[str] = ()) -> tuple[Candidate, ...]:
        """Begin an ICE restart (RFC 8445, 9); ``set_remote`` and ``connect`` follow as for the first session.

        Args:
            extra_hosts: As of ``gather``.

        Returns:
            The new local candidates, on new sockets.

        Raises:
            PeerLimitError: The loop cannot watch as many sockets. As after any other error and after a cancellation,
                the former session continues.
            ClosedError: ``close`` was called.
        """
        self._check_open()
        self.cancel_restart()
        pending = self._pending = self._new_session(controlling=self._current.agent.ice_controlling)
        try:
            return await self.gather(extra_hosts)
        except BaseException:
            if self._pending is pending:  # Not that of a later restart.
                self.cancel_restart()
            raise

    def cancel_restart(self) -> None:
        """Discard the session of a ``restart`` that has no selected pair yet. Idempotent."""
        pending, self._pending = self._pending, None
        if pending is not None:
            self._retire(pending, 0.0)  # The peer has not used its sockets.

    # -- data

    def send(self, data: bytes) -> bool:
        """Send a datagram to the peer immediately; return False if it was dropped, which is counted. Never blocks."""
        sent = self.selected is not None and self._current.agent.send_now(data)
        self.counters.unsent += not sent
        return sent

    def send_check(self) -> None:
        """Send an additional consent check immediately; see ``consent_responses``."""
        if self._current.agent.consent is not None:
            self._current.agent.consent.send_check()

    @property
    def consent_responses(self) -> int:
        """Number of consent checks that the peer has answered on the selected pair."""
        consent = self._current.agent.consent
        return consent.responses if consent is not None else 0

    @property
    def round_trip_s(self) -> float | None:
        """Recent round trip of consent checks; None before the first response on the selected pair."""
        consent = self._current.agent.consent
        return consent.round_trip_s if consent is not None else None

    async def close(self) -> None:
        """Close the sockets and delete TURN allocations, within about a second, also if the caller stops waiting.

        Idempotent.
        """
        self._closed = True
        self.selected = None
        for task in self._retired.values():
            task.cancel()
        sessions = [self._current, *self._retired, *filter(None, [self._pending])]
        # Shielded: a task that is cancelled before its first step would not close its session at all.
        await asyncio.shield(asyncio.gather(*(session.close() for session in sessions)))

    # -- sessions

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedError("ICE was closed")

    @property
    def _newest(self) -> _Session:
        return self._pending or self._current

    def _new_session(self, *, controlling: bool) -> _Session:
        settings = self._settings
        agent = IceAgent(
            IceCredentials.generate(),
            controlling=controlling,
            counters=self.counters,
            on_packet=self._receive,
            on_selected=self._agent_selected,
            on_answered=self._agent_answered,
            on_lost=self._agent_lost,
            connect_timeout_s=settings.connect_timeout_s,
        )
        gatherer = Gatherer(
            agent.new_socket,
            lambda candidate, local: self._candidate_found(session, candidate, local),
            on_done=lambda: self._gathering_done(session),
            allows_server=settings.allows_server,
            public_ips=settings.public_ips,
            tls_context=settings.tls_context,
            hide_related=settings.relay_only or not settings.announce_local,
        )
        session = _Session(agent, gatherer, self._budget)
        return session

    def _candidate_found(self, session: _Session, candidate: aioice.Candidate, local: IceSocket) -> None:
        session.agent.add_local(candidate, local)
        is_late = session.has_gathered and session is self._newest and not self._closed
        if is_late and self._may_announce(candidate):
            self._observer.candidate_gathered(_from_aioice(candidate))

    def _may_announce(self, candidate: aioice.Candidate) -> bool:
        settings = self._settings
        return settings.announce_local or candidate.type != "host" or candidate.host in settings.public_ips

    def _gathering_done(self, session: _Session) -> None:
        if session.has_gathered and session is self._newest and not self._closed:
            self._observer.gathering_completed()

    def _agent_selected(self, agent: IceAgent) -> None:
        """Use the nominated pair. If it is the first one of a restart, the new session takes over."""
        if self._pending is not None and agent is self._pending.agent:
            self._retire(self._current, _LINGER_S)
            self._current, self._pending = self._pending, None
        if self._closed or agent is not self._current.agent or agent.selected is None:
            return
        self.selected = _selected_pair(agent.selected)
        self._observer.pair_selected(self.selected)
        while self._early:
            self._observer.data_received(self._early.popleft())

    def _agent_answered(self, agent: IceAgent, round_trip_s: float) -> None:
        if not self._closed and agent is self._current.agent:
            self._observer.check_answered(round_trip_s)

    def _agent_lost(self, agent: IceAgent, reason: str) -> None:
        if self._closed or agent is not self._current.agent:
            return
        self.selected = None
        self._observer.pair_lost(reason)

    def _receive(self, data: bytes) -> None:
        if self._closed:
            return
        if self.selected is None:
            self._early.append(data)
        else:
            self._observer.data_received(data)

    def _retire(self, session: _Session, delay_s: float) -> None:
        """Close a replaced session."""
        self._retired[session] = asyncio.create_task(self._close_later(session, delay_s))

    async def _close_later(self, session: _Session, delay_s: float) -> None:
        await asyncio.sleep(delay_s)
        await session.close()
        del self._retired[session]


def _default_hosts() -> tuple[str, ...]:
    """Return all local addresses without loopback: other machines cannot use it, and this one can use the others.

    Link-local addresses are used if there are no others.
    """
    hosts = local_addresses()
    return tuple(host for host in hosts if not is_loopback(host)) or tuple(link_local_addresses() or hosts)


def _turn_servers(servers: Iterable[IceServerAddress]) -> int:
    return sum(isinstance(server, TurnServer) for server in servers)


def _from_aioice(candidate: aioice.Candidate) -> Candidate:
    return Candidate(
        foundation=candidate.foundation,
        component=1,
        transport="udp",
        priority=candidate.priority,
        host=candidate.host,
        port=candidate.port,
        type=candidate.type,
        related_host=candidate.related_address,
        related_port=candidate.related_port,
    )


def _selected_pair(pair: CandidatePair) -> SelectedPair:
    local = cast(IceSocket, pair.protocol)
    return SelectedPair(
        local=pair.local_addr,
        remote=pair.remote_addr,
        is_relay=local.relay is not None,
        descriptor=local.descriptor,
        remote_type=pair.remote_candidate.type,
    )
