"""One ICE session of a full agent: aioice's check list with different rules for nomination, consent and admission.

    local and remote candidates ─► pairs ─► checks ─► valid pairs ─► nomination ─► the selected pair
                                                                                        │
                                         consent, checked every 5 s, valid for 30 s ◄───┘

What differs from aioice 0.13, besides its sockets (``aioice_faults.py``):

- Nomination is regular (RFC 8445, 8.1.1), not aggressive, and a relayed pair waits briefly for a direct one.
- An incoming check triggers an immediate repeat of ours on the same pair: the NAT that dropped it is open now.
- The agent never fails early: the PAC timer runs for 39.5 s (RFC 8863). So aioice is not told about
  end-of-candidates.
- Consent is checked by ``consent_checks.py``.
- Candidates with host names, including ``.local``, are ignored (RFC 8839, 5.1); aioice would query the LAN by
  multicast DNS.
- Requests without PRIORITY are accepted.
- What a peer can make this agent send is limited: candidates, pairs, checks per second, unanswered checks of a pair and
  of all pairs together. A description of 6 kB that names 100 invented addresses caused 600 checks otherwise.

Loop thread only.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Iterator
from typing import cast

import aioice
from aioice import stun as aioice_stun
from aioice.candidate import candidate_priority
from aioice.ice import CandidatePair, StunProtocol, candidate_pair_priority

from ...errors import IceError
from ...rtc import stun
from ...rtc.candidate import Candidate
from ...rtc.sdp import IceCredentials
from .aioice_faults import Address, IceCounters, IceSocket, SteadyTurn
from .consent_checks import ConsentChecks

PAC_TIMER_S = 39.5
"""The longest time that a check may take (RFC 8863, 4). The timer restarts for a candidate that arrives late."""

MAX_SIGNALED_CANDIDATES = 32
"""Candidates of a peer that are used in one ICE session, over its description and all that it trickles."""
_MAX_PAIRS = 100  # RFC 8445, 6.1.2.5.
_MAX_REMOTE_CANDIDATES = 200
"""Signaled and peer-reflexive candidates, and validated addresses."""
_CHECKS_WITHOUT_PAUSE = 10
_CHECK_INTERVAL_S = 0.05
"""Ta (RFC 8445, 14.2). The first ten pairs are checked every 20 ms."""
_PEER_REFLEXIVE_RETRANSMISSIONS = 1
"""Of a check of an address that is known from the peer's check only, which may have been recorded and sent from
elsewhere: with our answer, fewer than three times as many bytes go there as came from there (RFC 9000, 8.1)."""
_UNANSWERED_CHECKS = 36
_CHECKS_PER_CANDIDATE = 2
_CHECKS_PER_INCOMING = 2
"""Checks, with retransmissions, that one ICE session may send to addresses which have not answered: 36, two for each
signaled candidate and two for each check of the peer. So a description causes at most 100."""
_ROLE_CONFLICT = 487
_NOMINATION_POLL_S = 0.02
_NOMINATION_DELAY_S = 0.05
"""How long a valid pair waits for one of higher priority before it is nominated."""
_RELAY_NOMINATION_DELAY_S = 0.75
"""The same if the other pair needs fewer relays. The first check through two NATs is often lost, and repeated after
500 ms."""
_SETTLING_S = 2.0
"""A peer with aggressive nomination nominates every valid pair, and the highest priority counts (RFC 5245, 8.1.1.2).
After this time a nomination is taken as a deliberate change and is followed."""

_State = CandidatePair.State


class IceAgent(aioice.Connection):
    """An aioice connection with one component."""

    def __init__(
        self,
        credentials: IceCredentials,
        *,
        controlling: bool,
        counters: IceCounters,
        on_packet: Callable[[bytes], None],
        on_selected: Callable[[IceAgent], None],
        on_answered: Callable[[IceAgent, float], None],
        on_lost: Callable[[IceAgent, str], None],
        connect_timeout_s: float = PAC_TIMER_S,
    ) -> None:
        """
        Args:
            credentials: Local ICE credentials.
            controlling: Whether this side nominates. A role conflict may change that (RFC 8445, 7.3.1.1).
            counters: Counts dropped datagrams.
            on_packet: Called with every datagram from the peer that is not STUN.
            on_selected: Called after ``selected`` has changed to another pair.
            on_answered: Called with the round trip of each check of the selected pair, in seconds.
            on_lost: Called once with the reason when sending is no longer allowed; ``selected`` is None then.
            connect_timeout_s: How long ``connect`` waits for a pair; restarted by each remote candidate.
        """
        super().__init__(controlling, local_username=credentials.ufrag, local_password=credentials.password)
        self.credentials = credentials
        self.counters = counters
        self._on_packet, self._on_selected, self._on_answered = on_packet, on_selected, on_answered
        self._on_lost = on_lost
        self._validated: set[tuple[int, Address]] = set()
        """From where the peer has sent an authentic check: data is accepted from there."""
        self._answered: set[tuple[int, Address]] = set()
        """Where the peer has answered a check: it receives there."""
        self._in_flight: dict[CandidatePair, aioice_stun.Message] = {}
        self._nomination: asyncio.Task[None] | None = None
        self._consent: ConsentChecks | None = None
        self._selected_s: float | None = None
        self._deadline: asyncio.Timeout | None = None
        self._connect_timeout_s = connect_timeout_s
        self._signaled = 0
        self._checks_left = _UNANSWERED_CHECKS
        self._paced_checks = 0
        self._next_check_s = 0.0

    # -- candidates

    def new_socket(self, relay: SteadyTurn | None) -> IceSocket:
        """Create a socket that belongs to this agent."""
        return IceSocket(self, self, relay)

    def add_local(self, candidate: aioice.Candidate, local: IceSocket) -> None:
        """Add a local candidate and pair it, also while ``connect`` is running."""
        if self._closing:
            local.transport.close()
            return
        self._local_candidates.append(candidate)
        if local not in self._protocols:
            self._protocols.append(local)
            for remote in self._remote_candidates:
                self._pair_remote_candidate(remote)
            self.sort_check_list()

    def add_remote(self, candidate: Candidate) -> None:
        """Add a remote candidate and pair it; its address must be one that may be sent to."""
        if self._closing or self._signaled >= MAX_SIGNALED_CANDIDATES:
            return
        if (candidate.host, candidate.port) in {(own.host, own.port) for own in self._local_candidates}:
            return  # A peer must not make the agent send to itself.
        self._signaled += 1
        self._checks_left += _CHECKS_PER_CANDIDATE
        c = candidate
        remote = aioice.Candidate(c.foundation, 1, "udp", c.priority, c.host, c.port, c.type)
        self._add_remote_candidate(remote, c.host)
        if self._deadline is not None:
            self._deadline.reschedule(asyncio.get_running_loop().time() + self._connect_timeout_s)

    def _pair_remote_candidate(self, remote_candidate: aioice.Candidate) -> None:
        """Pair a candidate, and remove the pairs of lowest priority if there are too many."""
        super()._pair_remote_candidate(remote_candidate)
        if len(self._check_list) > _MAX_PAIRS:
            self.sort_check_list()
            excess = len(self._check_list) - _MAX_PAIRS
            for pair in [pair for pair in reversed(self._check_list) if pair.state == _State.FROZEN][:excess]:
                self._check_list.remove(pair)

    # -- connectivity checks

    async def connect(self) -> None:
        """Wait until a pair is selected.

        Raises:
            IceError: No pair was selected within ``connect_timeout_s``, or the agent was closed.
        """
        self._local_candidates_end = True  # Required by aioice; local candidates may still be added later.
        try:
            async with asyncio.timeout(self._connect_timeout_s) as self._deadline:
                await super().connect()
        except TimeoutError:
            raise IceError(self._failure_reason()) from None
        except ConnectionError as error:
            raise IceError(str(error)) from error
        finally:
            self._deadline = None

    def _failure_reason(self) -> str:
        waited = f"{self._connect_timeout_s} s"
        if not self._remote_candidates:
            return f"the peer sent no usable candidate and no connectivity check within {waited}"
        if not self._protocols:
            return "there is no local candidate: no network address, and no TURN server gave an allocation"
        return f"none of {len(self._check_list)} candidate pairs works, after {waited}"

    def _check_periodic(self) -> bool:
        """Start the next check of the list, unless that would be too soon after the previous one."""
        now_s = asyncio.get_running_loop().time()
        if now_s < self._next_check_s:
            return True
        if next(self._pairs_in(_State.WAITING, _State.FROZEN), None) is not None:
            self._paced_checks += 1
            if self._paced_checks >= _CHECKS_WITHOUT_PAUSE:
                self._next_check_s = now_s + _CHECK_INTERVAL_S
        return super()._check_periodic()

    def may_send_check(self, remote: Address, local: IceSocket) -> bool:
        """Return whether a check, or a retransmission, may be sent to this address now, and count it if so."""
        if (local.id, remote) in self._answered:
            return True
        if self._checks_left == 0:
            return False
        self._checks_left -= 1
        return True

    async def check_start(self, pair: CandidatePair) -> None:
        """Check a pair without nominating it."""
        self.check_state(pair, _State.IN_PROGRESS)
        valid = await self._check(pair, nominate=False)
        pair.nominated |= valid and pair.remote_nominated and not self.ice_controlling
        self.check_state(pair, _State.SUCCEEDED if valid else _State.FAILED)
        self.check_complete(pair)

    async def _check(self, pair: CandidatePair, *, nominate: bool) -> bool:
        """Send a check, and a second one after a role conflict; return whether the pair is valid (RFC 8445, 7.2.5)."""
        assert self.remote_password is not None
        for _ in range(2):
            was_controlling = self.ice_controlling
            request = self._in_flight[pair] = self.build_request(pair, nominate)
            try:
                _, source = await pair.protocol.request(
                    request, pair.remote_addr, self.remote_password.encode(), self._retransmissions(pair)
                )
            except aioice_stun.TransactionFailed as error:
                if error.response.error_code != _ROLE_CONFLICT:
                    return False
                self.switch_role(ice_controlling=not was_controlling)
            except aioice_stun.TransactionError:
                return False
            else:
                return bool(source == pair.remote_addr)  # RFC 8445, 7.2.5.2.1.
            finally:
                self._in_flight.pop(pair, None)
        return False

    def _retransmissions(self, pair: CandidatePair) -> int | None:
        """Return how often to repeat a check; None: as often as RFC 8489, 6.2.1 says."""
        has_answered = (pair.protocol.id, pair.remote_addr) in self._answered
        return None if has_answered or pair.remote_candidate.type != "prflx" else _PEER_REFLEXIVE_RETRANSMISSIONS

    def check_incoming(self, message: aioice_stun.Message, addr: Address, protocol: StunProtocol) -> None:
        """Handle an authentic check of the peer, and repeat our own unanswered check on the same pair."""
        known = next((c for c in self._remote_candidates if (c._network_host, c.port) == addr), None)
        pair = self._find_pair(protocol, known) if known is not None else None
        request = self._in_flight.get(pair) if pair is not None else None
        if known is None and len(self._remote_candidates) >= _MAX_REMOTE_CANDIDATES:
            return
        self._checks_left = min(self._checks_left + _CHECKS_PER_INCOMING, _MAX_PAIRS)
        message.attributes.setdefault("PRIORITY", candidate_priority(1, "prflx"))  # FFmpeg sends none.
        super().check_incoming(message, addr, protocol)
        if request is not None:
            # RFC 8445, 7.3.1.4 starts a new (triggered) check. Repeating the request has the same effect.
            protocol.send_stun(request, addr)

    def check_complete(self, pair: CandidatePair) -> None:
        """Handle the end of a check: select the pair if it was nominated, or start the nomination."""
        before = self.selected
        super().check_complete(pair)
        if pair.state == _State.SUCCEEDED:
            self._validated.add((pair.protocol.id, pair.remote_addr))
            self._answered.add((pair.protocol.id, pair.remote_addr))
        if before is not None and self._is_settling() and self._priority(before) > self._priority(pair):
            self._nominated[1] = before
        if self.selected is not before:
            self._select()
        elif self.ice_controlling and self.selected is None and self._nomination is None:
            self._nomination = asyncio.create_task(self._nominate())

    # -- nomination

    async def _nominate(self) -> None:
        """Nominate the best valid pair as soon as no better one is to be expected."""
        loop = asyncio.get_running_loop()
        first_valid_s: float | None = None
        while self.selected is None and not self._closing:
            best = next(self._pairs_in(_State.SUCCEEDED), None)
            if best is not None:
                first_valid_s = first_valid_s or loop.time()
                if loop.time() >= first_valid_s + self._nomination_delay_s(best) and await self._nominate_pair(best):
                    return
            await asyncio.sleep(_NOMINATION_POLL_S)

    async def _nominate_pair(self, pair: CandidatePair) -> bool:
        valid = await self._check(pair, nominate=True)
        pair.nominated = valid and self.ice_controlling
        self.check_state(pair, _State.SUCCEEDED if valid else _State.FAILED)
        self.check_complete(pair)
        return pair.nominated

    def _nomination_delay_s(self, best: CandidatePair) -> float:
        """Return how long to wait for a pair of higher priority than this valid one."""
        unfinished = self._pairs_in(_State.WAITING, _State.FROZEN, _State.IN_PROGRESS)
        better = [pair for pair in unfinished if self._priority(pair) > self._priority(best)]
        if any(_relay_count(pair) < _relay_count(best) for pair in better):
            return _RELAY_NOMINATION_DELAY_S
        return _NOMINATION_DELAY_S if better else 0.0

    def _pairs_in(self, *states: _State) -> Iterator[CandidatePair]:
        """Iterate over the pairs in one of these states, highest priority first."""
        return (pair for pair in self._check_list if pair.state in states)

    def _priority(self, pair: CandidatePair) -> int:
        return candidate_pair_priority(pair.local_candidate, pair.remote_candidate, self.ice_controlling)

    # -- the selected pair

    @property
    def selected(self) -> CandidatePair | None:
        """The selected pair; None before a nomination and after consent was lost."""
        return self._nominated.get(1)

    @property
    def consent(self) -> ConsentChecks | None:
        """The consent checks on the selected pair; None while there is no such pair."""
        return self._consent

    def send_now(self, data: bytes) -> bool:
        """Send on the selected pair; return False if the datagram was dropped."""
        pair = self.selected
        return pair is not None and cast(IceSocket, pair.protocol).send(data, pair.remote_addr)

    def protocol_lost(self, protocol: StunProtocol) -> None:
        """Handle the loss of the connection to a TURN server."""
        if not self._closing and self.selected is not None and self.selected.protocol is protocol:
            self._lose("the connection to the TURN server was lost")

    async def query_consent(self) -> None:
        """Do nothing: ``ConsentChecks`` replaces aioice's own consent checks and has started with the selection."""

    async def close(self) -> None:
        """Close the sockets and delete TURN allocations."""
        self._stop_consent()
        if self._nomination is not None:
            self._nomination.cancel()
        for protocol in self._protocols:  # Starts the deletion of all allocations at the same time.
            protocol.transport.close()
        await super().close()

    def _select(self) -> None:
        pair = self.selected
        assert pair is not None
        assert self.remote_password is not None, "no pair is validated without it"
        self._stop_consent()
        self._consent = ConsentChecks(
            pair,
            self.remote_password,
            self._build_consent_request,
            functools.partial(self._on_answered, self),
            self._lose,
        )
        self._selected_s = self._selected_s or asyncio.get_running_loop().time()
        self._on_selected(self)

    def _build_consent_request(self, pair: CandidatePair) -> aioice_stun.Message:
        return self.build_request(pair, nominate=False)

    def _lose(self, reason: str) -> None:
        """Stop sending: consent was lost, or the connection to the TURN server."""
        if self.selected is not None:
            self._stop_consent()
            self._nominated.clear()
            self._on_lost(self, reason)

    def _stop_consent(self) -> None:
        if self._consent is not None:
            self._consent.stop()
            self._consent = None

    def _is_settling(self) -> bool:
        return self._selected_s is not None and asyncio.get_running_loop().time() < self._selected_s + _SETTLING_S

    # -- incoming datagrams

    def accepts_request(self, request: stun.Message, source: Address, local: IceSocket) -> bool:
        """Return whether a binding request is authentic and addressed to this agent (RFC 8445, 7.3).

        Other requests are not answered, except for 420 to authentic ones with unknown attributes.
        """
        password = self.local_password.encode()
        username = request.attributes.get(stun.USERNAME, b"")
        expected = f"{self.local_username}:{self.remote_username or ''}".encode()
        is_ours = username == expected if self.remote_username else username.startswith(expected)
        if not (is_ours and request.has_fingerprint and request.is_authentic(password)):
            self.counters.unauthenticated += 1
            return False
        unknown = request.unknown_required()
        if unknown:
            answer = stun.build_error(request, 420, "Unknown Attribute", password, unknown)
            local.transport.sendto(answer, source)
            return False
        if len(self._validated) < _MAX_REMOTE_CANDIDATES:
            self._validated.add((local.id, source))
        return True

    def packet_received(self, data: bytes, source: Address, local: IceSocket) -> None:
        """Pass on data from any validated address: the peer may have selected another pair than this side."""
        if (local.id, source) in self._validated:
            self._on_packet(data)
        else:
            self.counters.unvalidated += 1

    def data_received(self, data: bytes, component: int) -> None:
        """Count malformed STUN, which aioice passes on as data; ``IceSocket`` has already separated real data."""
        self.counters.malformed += 1


def _relay_count(pair: CandidatePair) -> int:
    return [pair.local_candidate.type, pair.remote_candidate.type].count("relay")
