"""A full ICE agent for one component: reaches peers behind NATs, through TURN if nothing else works.

    gather ─► signal our candidates ─► set_remote ─► connect ─► selected ─► send, on_data
       ▲                                                            │
       └──────────────── restart: a second agent beside the first ──┤ on_lost: 30 s without consent
                         takes over when it has a pair of its own ──┘

``aioice`` does the checks and the TURN protocol; ``ice_agent.py`` and ``aioice_faults.py`` say what is done otherwise.
Lives on one asyncio loop; callbacks come on that loop, must not block and must not raise.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import cast

import aioice
from aioice.ice import CandidatePair

from ...config import IceServerAddress
from ...errors import ClosedError, IceError
from ...rtc.candidate import Candidate, CandidatePolicy, is_loopback
from ...rtc.sdp import IceCredentials
from ..sockets import local_addresses
from .agent import PAC_TIMER_S, IceAgent
from .aioice_faults import Address, IceCounters, IceSocket
from .gathering import Gatherer

_PUBLIC = CandidatePolicy()
_MAX_EARLY = 16
"""Datagrams kept that arrive before our side knows that a pair was nominated: the peer's first ClientHello."""
_LINGER_S = 2.0
"""How long the sockets of before a restart stay open: the peer may use them a moment longer than we do."""


@dataclass(frozen=True, slots=True)
class SelectedPair:
    """The way to the peer."""

    local: Address
    """Our (host, port): of a socket, or of an allocation on a TURN server."""
    remote: Address
    is_relay: bool
    """Whether we send through a TURN server of ours."""
    descriptor: int | None
    """The UDP socket to ``sendto`` on, unconnected, non-blocking; None for a relayed pair. It is borrowed: this object
    closes it some time after the next ``on_selected``, ``on_lost`` or ``close``. A thread of its own that sends must
    be given an ``os.dup`` made in ``on_selected``, and close that one when it has stopped using it."""
    remote_type: str
    """``"host"``, ``"srflx"``, ``"prflx"`` or ``"relay"``."""


def _ignore(_: object) -> None:
    """What happens when nobody asked to be told."""


class _Session:
    """One ICE session: an agent, what gathers for it, and what it has found so far."""

    def __init__(self, agent: IceAgent, gatherer: Gatherer) -> None:
        self.agent = agent
        self.gatherer = gatherer
        self.is_gathered = False

    async def close(self) -> None:
        await self.gatherer.close()
        await self.agent.close()


class FullIce:
    """ICE towards one peer, over restarts.

    Attributes:
        selected: Where ``send`` sends; None while nothing may be sent.
        counters: What was dropped, over all restarts.
    """

    def __init__(
        self,
        ice_servers: Iterable[IceServerAddress] = (),
        *,
        controlling: bool,
        on_data: Callable[[bytes], None],
        on_selected: Callable[[SelectedPair], None] = _ignore,
        on_lost: Callable[[str], None] = _ignore,
        on_candidate: Callable[[Candidate], None] = _ignore,
        on_gathered: Callable[[], None] = lambda: None,
        credentials: IceCredentials | None = None,
        relay_only: bool = False,
        hosts: Sequence[str] | None = None,
        public_ips: Sequence[str] = (),
        announces_own: bool = True,
        patience_s: float = PAC_TIMER_S,
        policy: CandidatePolicy = _PUBLIC,
        tls_context: ssl.SSLContext | None = None,
    ) -> None:
        """Nothing happens before ``gather``.

        Args:
            ice_servers: Any number, from ``parse_ice_server``.
            controlling: True for who sends the offer. With an ICE-lite peer we are always (RFC 8445, 6.1.1).
            on_data: Takes each datagram that is not STUN and comes from an address that the peer has proved to have.
            on_selected: Called when ``selected`` has become another pair.
            on_lost: Called with the reason when consent ended (RFC 7675) or the relay was lost. ``selected`` is None
                then, and nothing is sent until a ``restart`` leads to ``on_selected`` again.
            on_candidate: Takes each candidate that is found after ``gather`` returned, to be trickled where that is
                possible. It is used even if the peer is not told.
            on_gathered: Called when no more ``on_candidate`` will come, unless that was so when ``gather`` returned.
            credentials: Ours; new ones by default.
            relay_only: Nothing is sent but to TURN servers, and only relayed candidates are told.
            hosts: Our addresses to use; by default all of this machine's, loopback only if there is nothing else.
            public_ips: More addresses of this machine: of a 1:1 NAT in front of it.
            announces_own: Whether the peer is told the addresses of our interfaces. They are used in any case.
            patience_s: How long ``connect`` tries; more than the PAC timer where people carry the signals.
            policy: Which of the peer's candidates may be sent to.
            tls_context: For ``turns:``; by default the system's certificate authorities count.
        """
        self._servers = tuple(ice_servers)
        self._hosts = hosts
        self._public_ips = tuple(public_ips)
        self._announces_own = announces_own
        self._patience_s = patience_s
        self._relay_only = relay_only
        self._policy = policy
        self._tls_context = tls_context
        self._on_data, self._on_candidate, self._on_gathered = on_data, on_candidate, on_gathered
        self._on_selected, self._on_lost = on_selected, on_lost
        self._early: deque[bytes] = deque(maxlen=_MAX_EARLY)
        self._closed = False
        self.counters = IceCounters()
        self.selected: SelectedPair | None = None
        self._current = self._new_session(credentials, controlling=controlling)
        self._pending: _Session | None = None
        self._retired: dict[_Session, asyncio.Task[None]] = {}

    # -- signaling

    @property
    def credentials(self) -> IceCredentials:
        """Ours; after ``restart`` the new ones."""
        return self._newest.agent.credentials

    @property
    def controlling(self) -> bool:
        """Our role now; a role conflict may have changed it."""
        return self._newest.agent.ice_controlling

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """What was found so far, the highest priority first."""
        found = sorted(self._newest.agent.local_candidates, key=lambda one: -one.priority)
        return tuple(_from_aioice(one) for one in found if self._may_tell(one))

    @property
    def is_complete(self) -> bool:
        """Whether ``candidates`` are all: no server is waited for."""
        return self._newest.gatherer.is_done

    @property
    def failures(self) -> dict[str, str]:
        """ICE server → why it gave no candidate, in words."""
        return dict(self._newest.gatherer.failures)

    async def gather(self, timeout_s: float = 0.5) -> tuple[Candidate, ...]:
        """Finds our candidates. Call it once, and after ``restart`` not at all.

        Args:
            timeout_s: How long to wait for ICE servers. Who answers later, within 10 s, gives an ``on_candidate``.

        Returns:
            The candidates, the highest priority first.
        """
        session = self._newest
        if not self._relay_only:
            # Asked anew each time: a restart follows often because the addresses are others.
            await session.gatherer.open_hosts(_default_hosts() if self._hosts is None else self._hosts)
        await session.gatherer.ask(self._servers, timeout_s)
        session.is_gathered = True
        return self.candidates

    async def add_servers(self, ice_servers: Iterable[IceServerAddress], timeout_s: float = 0.5) -> None:
        """Asks more servers, such as those that a WHIP answer names (RFC 9725, 4.6).

        What they tell comes by ``on_candidate``; a later ``restart`` asks them too.
        """
        more = tuple(server for server in ice_servers if server not in self._servers)
        self._servers += more
        await self._newest.gatherer.ask(more, timeout_s)

    def set_remote(self, credentials: IceCredentials, candidates: Iterable[Candidate] = (), *, ice_lite: bool) -> None:
        """What the peer's description says. That its candidates are complete is of no interest: see ``connect``.

        Args:
            credentials: The peer's; after ``restart`` its new ones.
            candidates: All of them; those that may not be used are discarded in silence (RFC 9725, 4.3.2).
            ice_lite: Whether the peer is a lite agent.
        """
        agent = self._newest.agent
        agent.remote_username, agent.remote_password = credentials.ufrag, credentials.password
        if ice_lite and not agent.ice_controlling:
            agent.switch_role(ice_controlling=True)
        for candidate in candidates:
            self.add_remote_candidate(candidate)

    def add_remote_candidate(self, candidate: Candidate) -> None:
        """A trickled candidate of the peer; one that may not be used is discarded in silence."""
        if self._policy.allows(candidate):
            self._newest.agent.add_remote(candidate)

    # -- connecting

    async def connect(self) -> SelectedPair:
        """Waits until a pair works and is nominated, by us or by the peer.

        It does not fail before ``patience_s``, even if the peer has no candidates: its checks may arrive still (RFC
        8863).
        After a ``restart`` the former pair is used meanwhile, and also after a failure.

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
                self.give_up_restart()
            raise
        assert self.selected is not None, "an agent connects by selecting a pair"
        return self.selected

    async def restart(self, credentials: IceCredentials | None = None, timeout_s: float = 0.5) -> tuple[Candidate, ...]:
        """Begins an ICE restart (RFC 8445, 9): next come ``set_remote`` and ``connect``, as at the start.

        Args:
            credentials: Our new ones; random by default.
            timeout_s: As for ``gather``.

        Returns:
            The new candidates. Sockets are new too, so these are others than before.
        """
        if self._closed:
            raise ClosedError("ICE was closed")
        self.give_up_restart()
        self._pending = self._new_session(credentials, controlling=self._current.agent.ice_controlling)
        return await self.gather(timeout_s)

    def give_up_restart(self) -> None:
        """Forgets a ``restart`` that ``connect`` does not follow. Idempotent."""
        pending, self._pending = self._pending, None
        if pending is not None:
            self._retire(pending)

    # -- data

    def send(self, data: bytes) -> bool:
        """Sends a datagram to the peer at once; False when it was dropped, which is counted. Never blocks."""
        sent = self.selected is not None and self._current.agent.send_now(data)
        self.counters.unsent += not sent
        return sent

    def ask(self) -> None:
        """Sends a check to the peer at once, beside those that keep consent alive; see ``answers``."""
        if self._current.agent.consent is not None:
            self._current.agent.consent.ask()

    @property
    def answers(self) -> int:
        """How many of all these checks the peer has answered on the selected pair: a sign of life."""
        consent = self._current.agent.consent
        return consent.answers if consent is not None else 0

    @property
    def round_trip_s(self) -> float | None:
        """How long their answers take, of late; None while there was none on the selected pair."""
        consent = self._current.agent.consent
        return consent.round_trip_s if consent is not None else None

    async def close(self) -> None:
        """Closes the sockets and gives allocations back, within a second or so. No callback comes after. Idempotent."""
        self._closed = True
        self.selected = None
        for task in self._retired.values():
            task.cancel()
        sessions = [self._current, *self._retired, *filter(None, [self._pending])]
        await asyncio.gather(*(session.close() for session in sessions))

    # -- inside

    @property
    def _newest(self) -> _Session:
        return self._pending or self._current

    def _new_session(self, credentials: IceCredentials | None, *, controlling: bool) -> _Session:
        agent = IceAgent(
            credentials or IceCredentials.generate(),
            controlling=controlling,
            counters=self.counters,
            on_packet=self._receive,
            on_selected=self._agent_selected,
            on_lost=self._agent_lost,
            patience_s=self._patience_s,
        )
        gatherer = Gatherer(
            agent.new_socket,
            lambda candidate, local: self._agent_found(session, candidate, local),
            on_done=lambda: self._agent_gathered(session),
            public_ips=self._public_ips,
            tls_context=self._tls_context,
            hide_related=self._relay_only or not self._announces_own,
        )
        session = _Session(agent, gatherer)
        return session

    def _agent_found(self, session: _Session, candidate: aioice.Candidate, local: IceSocket) -> None:
        session.agent.add_local(candidate, local)
        is_late = session.is_gathered and session is self._newest and not self._closed
        if is_late and self._may_tell(candidate):
            self._on_candidate(_from_aioice(candidate))

    def _may_tell(self, candidate: aioice.Candidate) -> bool:
        return self._announces_own or candidate.type != "host" or candidate.host in self._public_ips

    def _agent_gathered(self, session: _Session) -> None:
        if session.is_gathered and session is self._newest and not self._closed:
            self._on_gathered()

    def _agent_selected(self, agent: IceAgent) -> None:
        """A pair was nominated. If it is the first one after a restart the new session takes over."""
        if self._pending is not None and agent is self._pending.agent:
            self._retire(self._current)
            self._current, self._pending = self._pending, None
        if self._closed or agent is not self._current.agent or agent.selected is None:
            return
        self.selected = _selected_pair(agent.selected)
        self._on_selected(self.selected)
        while self._early:
            self._on_data(self._early.popleft())

    def _agent_lost(self, agent: IceAgent, reason: str) -> None:
        if self._closed or agent is not self._current.agent:
            return
        self.selected = None
        self._on_lost(reason)

    def _receive(self, data: bytes) -> None:
        if self._closed:
            return
        if self.selected is None:
            self._early.append(data)
        else:
            self._on_data(data)

    def _retire(self, session: _Session) -> None:
        """Closes what a restart has replaced, a little later."""
        self._retired[session] = asyncio.create_task(self._close_later(session))

    async def _close_later(self, session: _Session) -> None:
        await asyncio.sleep(_LINGER_S)
        await session.close()
        del self._retired[session]


def _default_hosts() -> tuple[str, ...]:
    """Candidates of loopback are of no use to other machines, and this machine reaches us by the others, too."""
    hosts = local_addresses()
    return tuple(host for host in hosts if not is_loopback(host)) or tuple(hosts)


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
