"""One ICE session of a full agent: aioice's check list, with our own rules for what is sent and what is believed.

    candidates, theirs and ours ─► pairs ─► checks ─► valid pairs ─► nomination ─► the selected pair
                                                                                        │
                                         consent, checked every 5 s, good for 30 s ◄────┘

What differs from aioice 0.13, beside the faults of its sockets (``aioice_faults.py``):

- Nomination is regular (RFC 8445, 8.1.1), not aggressive, and a relayed pair waits a moment for a direct one.
- A check that arrives while ours is on its way sends ours again at once: the NAT that ate it is open now.
- It never fails early: the PAC timer runs its 39.5 s (RFC 8863). So aioice is not told of the end of candidates.
- Consent is ``consent_checks.py``'s business.
- Candidates with names, ``.local`` too, are ignored (RFC 8839, 5.1); aioice would ask the LAN by multicast.
- A request without PRIORITY is a request. Pairs and learnt candidates have a limit.

Loop thread only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import cast

import aioice
from aioice import stun as aioice_stun
from aioice.candidate import candidate_priority
from aioice.ice import CandidatePair, StunProtocol, candidate_pair_priority

from ...errors import IceError
from ...rtc import stun
from ...rtc.candidate import MAX_CANDIDATES, Candidate
from ...rtc.sdp import IceCredentials
from .aioice_faults import Address, IceCounters, IceSocket, SteadyTurn
from .consent_checks import ConsentChecks

PAC_TIMER_S = 39.5
"""As long as a check may take (RFC 8863, 4). A candidate that comes late gets the whole time."""

_MAX_PAIRS = 100  # RFC 8445, 6.1.2.5.
_MAX_LEARNT = 2 * MAX_CANDIDATES
_ROLE_CONFLICT = 487
_POLL_S = 0.02
_PATIENCE_S = 0.05
"""How long a valid pair waits for one of a higher priority before it is nominated."""
_RELAY_PATIENCE_S = 0.75
"""The same, for one that needs fewer relays. The first check through two NATs is often lost, and repeated after
500 ms."""
_SETTLING_S = 2.0
"""A peer that nominates aggressively nominates all that is valid, and the highest priority counts (RFC 5245,
8.1.1.2). What is nominated later is a change of mind, and is followed."""

_State = CandidatePair.State


class IceAgent(aioice.Connection):
    """An aioice connection of one component."""

    def __init__(
        self,
        credentials: IceCredentials,
        *,
        controlling: bool,
        counters: IceCounters,
        on_packet: Callable[[bytes], None],
        on_selected: Callable[[IceAgent], None],
        on_lost: Callable[[IceAgent, str], None],
        patience_s: float = PAC_TIMER_S,
    ) -> None:
        """
        Args:
            credentials: Ours.
            controlling: Whether we nominate. A role conflict may change that (RFC 8445, 7.3.1.1).
            counters: Counts what is dropped.
            on_packet: Takes what the peer sent that is not STUN.
            on_selected: Called when ``selected`` has become another pair.
            on_lost: Called once when nothing may be sent any more, with the reason; ``selected`` is None then.
            patience_s: How long ``connect`` waits for a pair, and for one of each candidate that comes later.
        """
        super().__init__(controlling, local_username=credentials.ufrag, local_password=credentials.password)
        self.credentials = credentials
        self.counters = counters
        self._on_packet, self._on_selected, self._on_lost = on_packet, on_selected, on_lost
        self._validated: set[tuple[int, Address]] = set()
        self._in_flight: dict[CandidatePair, aioice_stun.Message] = {}
        self._nomination: asyncio.Task[None] | None = None
        self._consent: ConsentChecks | None = None
        self._selected_s: float | None = None
        self._deadline: asyncio.Timeout | None = None
        self._patience_to_connect_s = patience_s

    # -- candidates

    def new_socket(self, relay: SteadyTurn | None) -> IceSocket:
        """A socket that belongs to this agent."""
        return IceSocket(self, self, relay)

    def add_local(self, candidate: aioice.Candidate, local: IceSocket) -> None:
        """A candidate was found; also after ``connect`` began."""
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
        """Pairs a candidate of the peer, one whose address may be sent to."""
        if self._closing or len(self._remote_candidates) >= MAX_CANDIDATES:
            return
        if (candidate.host, candidate.port) in {(own.host, own.port) for own in self._local_candidates}:
            return  # The peer must not make us talk to ourselves.
        c = candidate
        remote = aioice.Candidate(c.foundation, 1, "udp", c.priority, c.host, c.port, c.type)
        self._add_remote_candidate(remote, c.host)
        if self._deadline is not None:
            self._deadline.reschedule(asyncio.get_running_loop().time() + self._patience_to_connect_s)

    def _pair_remote_candidate(self, remote_candidate: aioice.Candidate) -> None:
        """Pairs it, and lets go of the pairs of the lowest priorities when there are too many."""
        super()._pair_remote_candidate(remote_candidate)
        if len(self._check_list) > _MAX_PAIRS:
            self.sort_check_list()
            excess = len(self._check_list) - _MAX_PAIRS
            for pair in [pair for pair in reversed(self._check_list) if pair.state == _State.FROZEN][:excess]:
                self._check_list.remove(pair)

    # -- connecting

    async def connect(self) -> None:
        """Waits until a pair is selected.

        Raises:
            IceError: None was within ``patience_s``, or the agent was closed.
        """
        self._local_candidates_end = True  # aioice wants it so; ours may come later, too.
        try:
            async with asyncio.timeout(self._patience_to_connect_s) as self._deadline:
                await super().connect()
        except TimeoutError:
            raise IceError(self._why_unconnected()) from None
        except ConnectionError as error:
            raise IceError(str(error)) from error
        finally:
            self._deadline = None

    def _why_unconnected(self) -> str:
        waited = f"{self._patience_to_connect_s} s"
        if not self._remote_candidates:
            return f"the peer told no address that can be used, and asked at none of ours within {waited}"
        if not self._protocols:
            return "we have no candidate: no network address, or no TURN server let us in"
        return f"none of {len(self._check_list)} candidate pairs works, after {waited}"

    async def check_start(self, pair: CandidatePair) -> None:
        """Checks a pair, without nominating it."""
        self.check_state(pair, _State.IN_PROGRESS)
        valid = await self._check(pair, nominate=False)
        pair.nominated |= valid and pair.remote_nominated and not self.ice_controlling
        self.check_state(pair, _State.SUCCEEDED if valid else _State.FAILED)
        self.check_complete(pair)

    async def _check(self, pair: CandidatePair, *, nominate: bool) -> bool:
        """Sends one check, a second one after a role conflict; whether the pair is valid (RFC 8445, 7.2.5)."""
        assert self.remote_password is not None
        for _ in range(2):
            was_controlling = self.ice_controlling
            request = self._in_flight[pair] = self.build_request(pair, nominate)
            try:
                _, source = await pair.protocol.request(request, pair.remote_addr, self.remote_password.encode())
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

    def check_incoming(self, message: aioice_stun.Message, addr: Address, protocol: StunProtocol) -> None:
        """An authentic check of the peer: its address is good, and so may be a check of ours that got no answer yet."""
        known = next((c for c in self._remote_candidates if (c._network_host, c.port) == addr), None)
        pair = self._find_pair(protocol, known) if known is not None else None
        request = self._in_flight.get(pair) if pair is not None else None
        if known is None and len(self._remote_candidates) >= _MAX_LEARNT:
            return
        message.attributes.setdefault("PRIORITY", candidate_priority(1, "prflx"))  # FFmpeg sends none.
        super().check_incoming(message, addr, protocol)
        if request is not None:
            # RFC 8445, 7.3.1.4 starts the check anew. The same request once more does the same, and spares one.
            protocol.send_stun(request, addr)

    def check_complete(self, pair: CandidatePair) -> None:
        """A check ended: perhaps the pair can be nominated, perhaps it was."""
        before = self.selected
        super().check_complete(pair)
        if pair.state == _State.SUCCEEDED:
            self._validated.add((pair.protocol.id, pair.remote_addr))
        if before is not None and self._is_settling() and self._priority(before) > self._priority(pair):
            self._nominated[1] = before
        if self.selected is not before:
            self._select()
        elif self.ice_controlling and self.selected is None and self._nomination is None:
            self._nomination = asyncio.create_task(self._nominate())

    # -- nomination

    async def _nominate(self) -> None:
        """Nominates the best valid pair, once there is one that nothing better can be expected to replace."""
        loop = asyncio.get_running_loop()
        first_s: float | None = None
        while self.selected is None and not self._closing:
            best = next(self._pairs_in(_State.SUCCEEDED), None)
            if best is not None:
                first_s = first_s or loop.time()
                if loop.time() >= first_s + self._patience_s(best) and await self._nominate_pair(best):
                    return
            await asyncio.sleep(_POLL_S)

    async def _nominate_pair(self, pair: CandidatePair) -> bool:
        valid = await self._check(pair, nominate=True)
        pair.nominated = valid and self.ice_controlling
        self.check_state(pair, _State.SUCCEEDED if valid else _State.FAILED)
        self.check_complete(pair)
        return pair.nominated

    def _patience_s(self, best: CandidatePair) -> float:
        """How long to wait for a pair of a higher priority than this valid one."""
        unfinished = self._pairs_in(_State.WAITING, _State.FROZEN, _State.IN_PROGRESS)
        better = [pair for pair in unfinished if self._priority(pair) > self._priority(best)]
        if any(_relays(pair) < _relays(best) for pair in better):
            return _RELAY_PATIENCE_S
        return _PATIENCE_S if better else 0.0

    def _pairs_in(self, *states: _State) -> Iterator[CandidatePair]:
        """Pairs in one of these states, of the highest priority first."""
        return (pair for pair in self._check_list if pair.state in states)

    def _priority(self, pair: CandidatePair) -> int:
        return candidate_pair_priority(pair.local_candidate, pair.remote_candidate, self.ice_controlling)

    # -- the selected pair

    @property
    def selected(self) -> CandidatePair | None:
        """Where to send; None before a pair is nominated and after consent was lost."""
        return self._nominated.get(1)

    def send_now(self, data: bytes) -> bool:
        """Sends on the selected pair; False when it was dropped."""
        pair = self.selected
        return pair is not None and cast(IceSocket, pair.protocol).send(data, pair.remote_addr)

    @property
    def consent(self) -> ConsentChecks | None:
        """The checks of the selected pair; None while there is none."""
        return self._consent

    def lose(self, reason: str) -> None:
        """Nothing may be sent any more: consent was lost, or the way to the TURN server."""
        if self.selected is not None:
            self._stop_consent()
            self._nominated.clear()
            self._on_lost(self, reason)

    def protocol_lost(self, protocol: StunProtocol) -> None:
        """A TURN server went away."""
        if not self._closing and self.selected is not None and self.selected.protocol is protocol:
            self.lose("the connection to the TURN server was lost")

    async def query_consent(self) -> None:
        """Nothing: aioice's own checks are replaced by ``ConsentChecks``, which began with the selection."""

    async def close(self) -> None:
        """Closes the sockets and gives allocations back."""
        self._stop_consent()
        if self._nomination is not None:
            self._nomination.cancel()
        for protocol in self._protocols:  # All allocations at the same time.
            protocol.transport.close()
        await super().close()

    def _select(self) -> None:
        pair = self.selected
        assert pair is not None
        self._stop_consent()
        self._consent = ConsentChecks(self, pair, self.lose)
        self._selected_s = self._selected_s or asyncio.get_running_loop().time()
        self._on_selected(self)

    def _stop_consent(self) -> None:
        if self._consent is not None:
            self._consent.stop()
            self._consent = None

    def _is_settling(self) -> bool:
        return self._selected_s is not None and asyncio.get_running_loop().time() < self._selected_s + _SETTLING_S

    # -- what arrives

    def admits(self, request: stun.Message, source: Address, local: IceSocket) -> bool:
        """Whether a request is for us and from the peer (RFC 8445, 7.3). Strangers get no answer."""
        password = self.local_password.encode()
        username = request.attributes.get(stun.USERNAME, b"")
        expected = f"{self.local_username}:{self.remote_username or ''}".encode()
        ours = username == expected if self.remote_username else username.startswith(expected)
        if not (ours and request.has_fingerprint and request.is_authentic(password)):
            self.counters.unauthenticated += 1
            return False
        unknown = request.unknown_required()
        if unknown:
            answer = stun.build_error(request, 420, "Unknown Attribute", password, unknown)
            local.transport.sendto(answer, source)
            return False
        if len(self._validated) < _MAX_LEARNT:
            self._validated.add((local.id, source))
        return True

    def packet_received(self, data: bytes, source: Address, local: IceSocket) -> None:
        """Passes on what comes from the peer: by any valid pair, for it may select another one than we do."""
        if (local.id, source) in self._validated:
            self._on_packet(data)
        else:
            self.counters.stray += 1

    def data_received(self, data: bytes, component: int) -> None:
        """aioice takes what it cannot read as STUN for data; ``IceSocket`` knows better."""
        self.counters.malformed += 1


def _relays(pair: CandidatePair) -> int:
    return [pair.local_candidate.type, pair.remote_candidate.type].count("relay")
