"""ICE-lite agent for one peer: answers checks, validates paths, tracks consent (RFC 8445, RFC 7675).

The peer checks every candidate pair it knows; a check signed with our password proves that the peer knows it, but not
that the peer is at the address that the packet names: an attacker can record the check and send it again from
elsewhere. So a path is validated before media uses it. This agent sends a check of its own to the address, and an
answer signed with the peer's password proves that the peer receives there; on the first path, the end of the DTLS
handshake proves the same. Until then, at most three times as many bytes are sent to the address as it has sent
(RFC 9000, 8.1). RFC 8445 knows no such checks by a lite agent; a full agent answers them like any others.

                 check with the right password             our check answered, DTLS handshake ends on it
    unknown ──────────────────────────────► added path ────────────────────────────► validated path
                                            before any is validated: selected        USE-CANDIDATE ─► selected

Each transaction id counts once: a check that was received on another path is dropped, one that was received on the
same path is answered and changes nothing. A validated path is dropped after 30 s without a new check of the peer, and
if the peer answers our checks, after 60 s without an answer: recorded checks that are sent from the peer's address do
not keep a session alive that the peer has left. A peer that sends no check within 10 s has failed: peers check as
soon as they have our answer.

Once a path is selected and validated, checks on it change nothing but the time of the last one, until the peer does
something else: the path is ``settled``. Then the caller may answer them without this agent, under the same rules, and
tell it the time by ``note_check``.

Sans-I/O: call from one thread at a time; ``now_s`` is any monotonic clock, in seconds. After every ``receive`` and
``handle_timeout``, send the datagrams from ``to_send``, process ``events``, then send those from ``checks``; call
``handle_timeout`` at the time given by ``timeout_s``.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

from . import stun
from .sdp import IceCredentials

MAX_PATHS = 16
"""Maximum number of paths per peer; browsers have two or three."""

MAX_AMPLIFICATION = 3
"""Bytes sent to an address that is not validated, per byte received from there (RFC 9000, 8.1)."""

IP_UDP_BYTES = 28
"""Size of the IPv4 and UDP headers, counted for each datagram."""

_SILENCE_S = 15.0
"""A selected path without a check for this long is replaced by one that is checked. Peers that follow RFC 7675 check
every 4 to 6 s, so either two checks were lost, or the peer moved and does not use USE-CANDIDATE."""

_CHECK_INTERVALS_S = (0.1, 0.2, 0.4)
"""Our checks of a path that is not validated: the first at once, then after these intervals. They begin anew with the
peer's next check."""
_RECHECK_S = 25.0
_RECHECK_INTERVAL_S = 5.0
"""A validated path is checked again 25 s after the last answer, then every 5 s until the next one (RFC 7675, 5.1)."""
_FIRST_RECHECK_S = 1.0
"""After the handshake: shows whether the peer still answers. FFmpeg does not (``whip_write_packet``)."""
_ANSWER_LIFETIME_S = 60.0
_ANSWER_DELAY_S = 0.5
"""How long ``checks_first`` may delay the answer to a check."""
_MAX_UNANSWERED = 8
_MAX_TRANSACTIONS = 64
"""Transaction ids remembered per peer: those of five minutes at one check every 5 s."""


@dataclass(frozen=True, slots=True)
class Path:
    """A network path to the peer: one of our sockets and the peer's address as seen there."""

    socket: int
    """Index of the local socket."""
    host: str
    """Remote IPv4 or IPv6 address; a link-local one with its scope, ``fe80::1%2``."""
    port: int


@dataclass(frozen=True, slots=True)
class PathAdded:
    """The first authentic check arrived on this path: datagrams received on it may come from the peer."""

    path: Path


@dataclass(frozen=True, slots=True)
class PathValidated:
    """The peer receives what is sent on this path: media may use it."""

    path: Path


@dataclass(frozen=True, slots=True)
class PathSelected:
    """Datagrams to the peer must use this path from now on, as far as ``may_send`` allows."""

    path: Path


@dataclass(frozen=True, slots=True)
class PathDropped:
    """The peer stopped checking this path: datagrams received on it may come from another host.

    If this was the selected path and no ``PathSelected`` follows, sending must stop until one does.
    """

    path: Path


@dataclass(frozen=True, slots=True)
class ConsentExpired:
    """No path is left, or none was ever checked. Sending must stop, and no more checks are answered (RFC 7675, 5.1)."""


@dataclass(frozen=True, slots=True)
class Restarted:
    """A check with the new credentials arrived: the old credentials are no longer valid."""


@dataclass(frozen=True, slots=True)
class ReplayDropped:
    """An authentic check was dropped because it had been received on another path."""

    path: Path


IceEvent = PathAdded | PathValidated | PathSelected | PathDropped | ConsentExpired | Restarted | ReplayDropped


@dataclass(frozen=True, slots=True)
class _Generation:
    """One ICE session: the credentials exchanged in one offer and answer."""

    local: IceCredentials
    remote: IceCredentials
    username_prefix: bytes
    password: bytes
    remote_username: bytes
    """USERNAME of our own checks."""
    remote_password: bytes

    @classmethod
    def of(cls, local: IceCredentials, remote: IceCredentials) -> _Generation:
        return cls(
            local,
            remote,
            f"{local.ufrag}:".encode(),
            local.password.encode(),
            f"{remote.ufrag}:{local.ufrag}".encode(),
            remote.password.encode(),
        )


@dataclass(frozen=True, slots=True)
class _Check:
    """A check of ours."""

    generation: _Generation
    """Whose credentials it has."""
    sent_s: float
    after_handshake: bool


@dataclass(slots=True)
class _PathState:
    """What is known about one path."""

    generation: _Generation
    """Of the peer's last check."""
    added_s: float
    checked_s: float
    """When the peer last checked it with a new transaction id."""
    validated_s: float | None = None
    """When the peer last proved that it receives here; None: never."""
    received: int = 0
    sent: int = 0
    """Bytes with headers, while the path is not validated."""
    answer: bytes = b""
    """Our answer to its last check, while it waits for the answer to ours."""
    check_due_s: float | None = None
    """When our next check is due."""
    checks: int = 0
    """Number of our checks since the peer's last one, while the path is not validated."""
    unanswered: dict[bytes, _Check] = field(default_factory=dict)
    """Our checks by their transaction ids, oldest first."""


class IceLite:
    """ICE-lite agent for one peer.

    Attributes:
        selected: The path to send on; None before the first check and after consent expired.
    """

    __slots__ = (
        "_checked",
        "_checks_first",
        "_consent_timeout_s",
        "_current",
        "_events",
        "_expired",
        "_first_check_timeout_s",
        "_handshake_completed",
        "_has_validated",
        "_is_restarted",
        "_out",
        "_paths",
        "_peer_answers",
        "_pending",
        "_round_trip_s",
        "_started_s",
        "_transactions",
        "_wanted",
        "selected",
    )

    def __init__(
        self,
        local: IceCredentials,
        remote: IceCredentials,
        *,
        now_s: float,
        checks_first: bool = False,
        consent_timeout_s: float = 30.0,
        first_check_timeout_s: float = 10.0,
    ) -> None:
        """
        Args:
            local: Our credentials, from our answer.
            remote: The peer's credentials, from its offer.
            now_s: Current time.
            checks_first: Whether the first answer waits until the peer has answered our check. Needed for peers that
                wait for our ClientHello as soon as they have our answer, and do nothing else meanwhile: one check does
                not allow a retransmission, and FFmpeg needs two ClientHellos (``ice_dtls_handshake``). Until it has an
                answer, a peer repeats its check.
            consent_timeout_s: How long a path stays valid after its last check, and how long the first check may take
                after a restart of a peer that was connected before.
            first_check_timeout_s: How long the first check of a new peer may take.
        """
        self._current = _Generation.of(local, remote)
        self._pending: _Generation | None = None
        self._started_s = now_s
        self._consent_timeout_s = consent_timeout_s
        self._first_check_timeout_s = first_check_timeout_s
        self._checked = False
        self._checks_first = checks_first
        self._paths: dict[Path, _PathState] = {}
        self._transactions: dict[bytes, Path] = {}
        self._wanted: Path | None = None  # To be selected once it is validated.
        self._has_validated = False
        self._handshake_completed = False
        self._peer_answers = False
        self._is_restarted = False  # The selected path is the one before the restart.
        self._out: list[tuple[bytes, Path]] = []
        self._events: list[IceEvent] = []
        self._expired = False
        self._round_trip_s: float | None = None
        self.selected: Path | None = None

    @property
    def local(self) -> IceCredentials:
        """Our newest credentials, even before a restart is complete."""
        return (self._pending or self._current).local

    @property
    def remote(self) -> IceCredentials:
        """The peer's newest credentials."""
        return (self._pending or self._current).remote

    @property
    def ufrags(self) -> tuple[str, ...]:
        """Our user name fragments that we currently accept: two during a restart."""
        return tuple(generation.local.ufrag for generation in self._generations())

    @property
    def paths(self) -> tuple[Path, ...]:
        """The paths that the peer has checked, validated or not."""
        return tuple(self._paths)

    def is_validated(self, path: Path) -> bool:
        """Return whether media may be sent on this path."""
        state = self._paths.get(path)
        return state is not None and state.validated_s is not None

    @property
    def settled(self) -> Path | None:
        """The path on which another check of the peer, even a nominating one, would only refresh consent."""
        is_settled = (
            self.selected is not None
            and self.is_validated(self.selected)
            and self._wanted is None
            and self._pending is None
            and not self._is_restarted
            and not self._expired
        )
        return self.selected if is_settled else None

    def note_check(self, path: Path, time_s: float) -> None:
        """Record that a new check on a settled path was answered without this agent.

        Args:
            path: Where it arrived.
            time_s: When it arrived, on the clock of ``now_s``. An earlier time than that of the last check is ignored.
        """
        state = self._paths.get(path)
        if state is not None:
            state.checked_s = max(state.checked_s, time_s)

    def receive(self, data: bytes, path: Path, now_s: float) -> None:
        """Process one datagram that looks like STUN. Never raises, whatever the bytes are.

        Args:
            data: The whole datagram.
            path: The socket it was received on and its source address.
            now_s: Current time.
        """
        if self._expired:
            return
        try:
            message = stun.Message.parse(data)
        except stun.StunError:
            return
        # Indications are keepalives (RFC 8445, 11) and prove nothing.
        if message.kind == stun.BINDING_REQUEST:
            self._receive_request(message, path, now_s)
        elif message.kind == stun.BINDING_SUCCESS:
            self._receive_success(message, path, now_s)

    def count_received(self, path: Path, size: int) -> None:
        """Count a datagram that is not STUN, received on a path of the peer: that much more may be sent there."""
        state = self._paths.get(path)
        if state is not None:
            state.received += size + IP_UDP_BYTES

    def may_send(self, path: Path, size: int) -> bool:
        """Return whether a datagram of this size may be sent on the path now, and count it if so."""
        state = self._paths.get(path)
        return state is not None and not state.answer and self._spend(state, size)

    def _spend(self, state: _PathState, size: int) -> bool:
        if state.validated_s is None:
            if state.sent + size + IP_UDP_BYTES > MAX_AMPLIFICATION * state.received:
                return False
            state.sent += size + IP_UDP_BYTES
        return True

    def handshake_completed(self, path: Path | None, now_s: float) -> None:
        """Handle the end of the DTLS handshake.

        The peer has received our flights, which were sent on the selected path. That validates it, provided that the
        peer's last flight was received on it as well.

        Args:
            path: Where the peer's last flight was received; None if unknown.
            now_s: Current time.
        """
        self._handshake_completed = True
        if self.selected is None:
            return
        state = self._paths[self.selected]
        if path == self.selected:
            self._validate(path, state, now_s)
        if state.validated_s is not None:
            state.check_due_s = now_s + _FIRST_RECHECK_S

    def to_send(self) -> list[tuple[bytes, Path]]:
        """Return and clear the datagrams to send, each with its path."""
        out, self._out = self._out, []
        return out

    def checks(self, now_s: float) -> list[tuple[bytes, Path]]:
        """Return our own checks that are due, each with its path. Send what DTLS has to send before them."""
        checks = []
        for path, state in self._paths.items():
            if state.check_due_s is not None and state.check_due_s <= now_s:
                check = self._new_check(state, now_s)
                self._schedule_check(state, now_s)
                if self._spend(state, len(check)):
                    checks.append((check, path))
        return checks

    def request_check(self, now_s: float) -> None:
        """Let ``checks`` return a check of the selected path now, to learn its round-trip time."""
        state = self._paths.get(self.selected) if self.selected is not None else None
        if state is not None and state.validated_s is not None:
            state.check_due_s = now_s

    def take_round_trip_s(self) -> float | None:
        """Return and clear the round-trip time of the check of ours that was answered last on the selected path."""
        round_trip_s, self._round_trip_s = self._round_trip_s, None
        return round_trip_s

    def events(self) -> list[IceEvent]:
        """Return and clear the events since the last call, in order."""
        events, self._events = self._events, []
        return events

    def handle_timeout(self, now_s: float) -> None:
        """Drop paths whose consent has expired. Call at ``timeout_s``; calls at other times are harmless."""
        if self._expired:
            return
        for path in [path for path, state in self._paths.items() if self._expires_s(state) <= now_s]:
            self._drop(path)
        if not self._has_usable_path() and self._started_s + self._no_path_timeout_s <= now_s:
            self._expired = True
            self._events.append(ConsentExpired())

    def timeout_s(self) -> float | None:
        """Return when ``handle_timeout`` or ``checks`` is due, on the clock of ``now_s``; None if neither is."""
        if self._expired:
            return None
        due = [self._expires_s(state) for state in self._paths.values()]
        due += [state.check_due_s for state in self._paths.values() if state.check_due_s is not None]
        if not self._has_usable_path():
            due.append(self._started_s + self._no_path_timeout_s)
        return min(due)

    def _expires_s(self, state: _PathState) -> float:
        expires_s = state.checked_s + self._consent_timeout_s
        if self._peer_answers and state.validated_s is not None:
            expires_s = min(expires_s, state.validated_s + _ANSWER_LIFETIME_S)
        return expires_s

    def _has_usable_path(self) -> bool:
        """Whether the session may continue: only validated paths count, once there has been one."""
        if self._has_validated:
            return any(state.validated_s is not None for state in self._paths.values())
        return bool(self._paths)

    @property
    def _no_path_timeout_s(self) -> float:
        """How long the peer may have no valid path."""
        return self._consent_timeout_s if self._checked else self._first_check_timeout_s

    def restart(self, local: IceCredentials, remote: IceCredentials, now_s: float) -> None:
        """Start an ICE restart (RFC 8445, 9).

        The paths and the old credentials stay valid until a check with the new ones arrives, so media continues.

        Args:
            local: Our new credentials; both parts must differ from the old ones (RFC 8839, 4.4.1.1.1).
            remote: The peer's new credentials.
            now_s: Current time.
        """
        self._pending = _Generation.of(local, remote)
        # The peer may be returning after it lost all paths, so the timeout starts again.
        self._started_s = now_s

    def _generations(self) -> tuple[_Generation, ...]:
        return (self._current,) if self._pending is None else (self._current, self._pending)

    def _receive_request(self, request: stun.Message, path: Path, now_s: float) -> None:
        generation = self._authenticate(request)
        if generation is None:  # Not answered: the source address may be forged.
            return
        known = self._transactions.get(request.transaction_id)
        if known is not None and self._is_replay(known, path):
            self._events.append(ReplayDropped(path))
            return
        unknown = request.unknown_required()
        if unknown:
            self._reject(request, path, generation, 420, "Unknown Attribute", unknown)
        elif stun.ICE_CONTROLLED in request.attributes:
            # A lite agent is always controlled and cannot switch roles: the peer must (RFC 8445, 6.1.1 and 7.3.1.1).
            self._reject(request, path, generation, 487, "Role Conflict")
        else:
            if generation is self._pending:
                self._complete_restart(generation)
            state = self._paths.get(path) or self._add_path(path, generation, now_s)
            self.count_received(path, len(request.data))
            answer = stun.build_success(request, path.host, path.port, generation.password)
            if self._checks_first and not self._has_validated and now_s < state.added_s + _ANSWER_DELAY_S:
                state.answer = answer
            else:
                self._answer(path, state, answer)
            if known != path:
                self._record_check(request, path, state, generation, now_s)

    def _answer(self, path: Path, state: _PathState, answer: bytes) -> None:
        state.answer = b""
        if self.may_send(path, len(answer)):  # Always: an answer is smaller than a request.
            self._out.append((answer, path))

    def _is_replay(self, known: Path, path: Path) -> bool:
        """Return whether a check that was received on ``known`` before may not count on ``path``.

        A copy of a check may arrive before the check itself; a validated path then still accepts the check.
        """
        if path not in self._paths:
            return True
        return known != path and (self.is_validated(known) or not self.is_validated(path))

    def _receive_success(self, response: stun.Message, path: Path, now_s: float) -> None:
        """Validate the path if this is the answer to a check of ours on it (RFC 8445, 7.2.5.2.1)."""
        state = self._paths.get(path)
        check = state.unanswered.get(response.transaction_id) if state is not None else None
        if state is None or check is None:
            return
        if not response.is_authentic(check.generation.remote_password):
            return
        del state.unanswered[response.transaction_id]
        self._peer_answers |= check.after_handshake
        self._validate(path, state, now_s)
        if path == self.selected:
            self._round_trip_s = now_s - check.sent_s

    def _authenticate(self, request: stun.Message) -> _Generation | None:
        """Return the ICE session whose credentials the request uses; None if it is not authentic (RFC 8445, 7.3)."""
        username = request.attributes.get(stun.USERNAME, b"")
        if request.has_fingerprint:
            for generation in self._generations():
                if username.startswith(generation.username_prefix):
                    return generation if request.is_authentic(generation.password) else None
        return None

    def _reject(
        self,
        request: stun.Message,
        path: Path,
        generation: _Generation,
        code: int,
        reason: str,
        unknown: tuple[int, ...] = (),
    ) -> None:
        self._out.append((stun.build_error(request, code, reason, generation.password, unknown), path))

    def _complete_restart(self, generation: _Generation) -> None:
        self._current = generation
        self._pending = None
        self._is_restarted = True
        self._events.append(Restarted())

    def _add_path(self, path: Path, generation: _Generation, now_s: float) -> _PathState:
        if len(self._paths) >= MAX_PATHS:
            # Of a peer that keeps changing ports, or of recorded checks from many addresses.
            others = [path for path in self._paths if path != self.selected]
            self._drop(min(others, key=lambda path: (self.is_validated(path), self._paths[path].checked_s)))
        self._checked = True
        self._events.append(PathAdded(path))
        state = self._paths[path] = _PathState(generation, now_s, now_s)
        return state

    def _record_check(
        self, request: stun.Message, path: Path, state: _PathState, generation: _Generation, now_s: float
    ) -> None:
        """Handle a check with a new transaction id: it refreshes consent, and may nominate the path."""
        self._transactions[request.transaction_id] = path
        if len(self._transactions) > _MAX_TRANSACTIONS:
            del self._transactions[next(iter(self._transactions))]
        state.generation = generation
        state.checked_s = now_s
        if state.validated_s is None and state.check_due_s is None:
            state.checks = 0
            state.check_due_s = now_s
        nominated = stun.USE_CANDIDATE in request.attributes
        if path == self.selected and not self._is_restarted:
            if nominated:
                self._wanted = None
        elif nominated or self._is_selected_silent(now_s):
            if state.validated_s is not None or not self._has_validated:
                self._select(path)
            else:
                self._wanted = path

    def _is_selected_silent(self, now_s: float) -> bool:
        if self.selected is None or self._is_restarted:
            return True
        return self._paths[self.selected].checked_s + _SILENCE_S <= now_s

    def _new_check(self, state: _PathState, now_s: float) -> bytes:
        generation = state.generation
        transaction_id = secrets.token_bytes(12)
        if len(state.unanswered) == _MAX_UNANSWERED:
            del state.unanswered[next(iter(state.unanswered))]
        state.unanswered[transaction_id] = _Check(generation, now_s, self._handshake_completed)
        return stun.build_check(transaction_id, generation.remote_username, generation.remote_password)

    def _schedule_check(self, state: _PathState, now_s: float) -> None:
        if state.validated_s is not None:
            state.check_due_s = now_s + _RECHECK_INTERVAL_S
        elif state.checks < len(_CHECK_INTERVALS_S):
            state.check_due_s = now_s + _CHECK_INTERVALS_S[state.checks]
            state.checks += 1
        else:
            state.check_due_s = None

    def _validate(self, path: Path, state: _PathState, now_s: float) -> None:
        if state.validated_s is None:
            self._events.append(PathValidated(path))
        state.validated_s = now_s
        state.check_due_s = now_s + _RECHECK_S
        self._has_validated = True
        if state.answer:
            self._answer(path, state, state.answer)
        is_needed = self.selected is None or not self.is_validated(self.selected)
        if is_needed or path == self._wanted:
            self._select(path)

    def _drop(self, path: Path) -> None:
        del self._paths[path]
        self._events.append(PathDropped(path))
        if path == self._wanted:
            self._wanted = None
        if path == self.selected:
            self.selected = None
            usable = [path for path in self._paths if self.is_validated(path) or not self._has_validated]
            if usable:
                self._select(max(usable, key=lambda path: self._paths[path].checked_s))

    def _select(self, path: Path) -> None:
        self.selected = path
        self._wanted = None
        self._is_restarted = False
        self._events.append(PathSelected(path))
