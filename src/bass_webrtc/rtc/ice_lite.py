"""ICE-lite agent for one peer: answers checks, learns paths, tracks consent (RFC 8445, RFC 7675).

A lite agent sends no checks of its own. The peer checks every candidate pair it knows; a check signed with our
password proves that the peer is reachable there and consents to receive. The first path that is checked is therefore
used at once, a check with USE-CANDIDATE selects its path, and a path that was not checked for 30 s is dropped.
A peer that sends no check within 10 s has failed: peers check as soon as they have our answer.

                     check with the right password                no check for 30 s
    unknown address ──────────────────────────────► valid path ─────────────────────► unknown address
                                                    first, or USE-CANDIDATE ─► the selected path

Sans-I/O: call from one thread at a time; ``now_s`` is any monotonic clock, in seconds. After every ``receive`` and
``handle_timeout``, send the datagrams from ``to_send`` and process ``events``; call ``handle_timeout`` at the time
given by ``timeout_s``.
"""

from __future__ import annotations

from dataclasses import dataclass

from . import stun
from .sdp import IceCredentials

MAX_PATHS = 16
"""Maximum number of valid paths per peer; browsers have two or three."""

_SILENCE_S = 15.0
"""A selected path without a check for this long is replaced by one that is checked. Peers that follow RFC 7675 check
every 4 to 6 s, so either two checks were lost, or the peer moved and does not use USE-CANDIDATE."""


@dataclass(frozen=True, slots=True)
class Path:
    """A network path to the peer: one of our sockets and the peer's address as seen there."""

    socket: int
    """Index of the local socket."""
    host: str
    """Remote IPv4 or IPv6 address; a link-local one with its scope, ``fe80::1%2``."""
    port: int


@dataclass(frozen=True, slots=True)
class PathValidated:
    """The first valid check arrived on this path: datagrams received on it come from the peer."""

    path: Path


@dataclass(frozen=True, slots=True)
class PathSelected:
    """Datagrams to the peer must use this path from now on."""

    path: Path


@dataclass(frozen=True, slots=True)
class PathDropped:
    """The peer stopped checking this path: datagrams received on it may come from another host.

    If this was the selected path and no ``PathSelected`` follows, sending must stop until one does.
    """

    path: Path


@dataclass(frozen=True, slots=True)
class ConsentExpired:
    """No valid path is left, or none was ever validated. Sending must stop, and no more checks are answered (RFC 7675,
    5.1)."""


@dataclass(frozen=True, slots=True)
class Restarted:
    """A check with the new credentials arrived: the old credentials are no longer valid."""


IceEvent = PathValidated | PathSelected | PathDropped | ConsentExpired | Restarted


@dataclass(frozen=True, slots=True)
class _Generation:
    """One ICE session: the credentials exchanged in one offer and answer."""

    local: IceCredentials
    remote: IceCredentials
    username_prefix: bytes
    password: bytes

    @classmethod
    def of(cls, local: IceCredentials, remote: IceCredentials) -> _Generation:
        return cls(local, remote, f"{local.ufrag}:".encode(), local.password.encode())


class IceLite:
    """ICE-lite agent for one peer.

    Attributes:
        selected: The path to send on; None before the first valid check and after consent expired.
        malformed: Number of datagrams that were not STUN messages.
        unauthenticated: Number of requests without FINGERPRINT, with an unknown user name, or not signed with our
            password. They are not answered, because their source address may be forged.
        rejected: Number of authentic requests that were answered with an error.
    """

    __slots__ = (
        "_checked",
        "_consent_timeout_s",
        "_current",
        "_events",
        "_expired",
        "_first_check_timeout_s",
        "_out",
        "_paths",
        "_pending",
        "_started_s",
        "malformed",
        "rejected",
        "selected",
        "unauthenticated",
    )

    def __init__(
        self,
        local: IceCredentials,
        remote: IceCredentials,
        *,
        now_s: float,
        consent_timeout_s: float = 30.0,
        first_check_timeout_s: float = 10.0,
    ) -> None:
        """
        Args:
            local: Our credentials, from our answer.
            remote: The peer's credentials, from its offer.
            now_s: Current time.
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
        self._paths: dict[Path, float] = {}  # When each was last checked.
        self._out: list[tuple[bytes, Path]] = []
        self._events: list[IceEvent] = []
        self._expired = False
        self.selected: Path | None = None
        self.malformed = 0
        self.unauthenticated = 0
        self.rejected = 0

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
        """The valid paths."""
        return tuple(self._paths)

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
            self.malformed += 1
            return
        # Indications are keepalives (RFC 8445, 11) and prove nothing; responses are unexpected: we send no requests.
        if message.kind == stun.BINDING_REQUEST:
            self._receive_request(message, path, now_s)

    def to_send(self) -> list[tuple[bytes, Path]]:
        """Return and clear the datagrams to send, each with its path."""
        out, self._out = self._out, []
        return out

    def events(self) -> list[IceEvent]:
        """Return and clear the events since the last call, in order."""
        events, self._events = self._events, []
        return events

    def handle_timeout(self, now_s: float) -> None:
        """Drop paths whose consent has expired. Call at ``timeout_s``; calls at other times are harmless."""
        if self._expired:
            return
        oldest_s = now_s - self._consent_timeout_s
        for path in [path for path, checked_s in self._paths.items() if checked_s <= oldest_s]:
            self._drop(path)
        if not self._paths and self._started_s + self._no_path_timeout_s <= now_s:
            self._expired = True
            self._events.append(ConsentExpired())

    def timeout_s(self) -> float | None:
        """Return when ``handle_timeout`` is due, on the clock of ``now_s``; None if it is not needed."""
        if self._expired:
            return None
        if not self._paths:
            return self._started_s + self._no_path_timeout_s
        return min(self._paths.values()) + self._consent_timeout_s

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
        if generation is None:
            self.unauthenticated += 1
            return
        unknown = request.unknown_required()
        if unknown:
            self._reject(request, path, generation, 420, "Unknown Attribute", unknown)
        elif stun.ICE_CONTROLLED in request.attributes:
            # A lite agent is always controlled and cannot switch roles: the peer must (RFC 8445, 6.1.1 and 7.3.1.1).
            self._reject(request, path, generation, 487, "Role Conflict")
        else:
            self._out.append((stun.build_success(request, path.host, path.port, generation.password), path))
            if generation is self._pending:
                self._complete_restart(generation)
            self._record_check(path, stun.USE_CANDIDATE in request.attributes, now_s)

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
        self.rejected += 1
        self._out.append((stun.build_error(request, code, reason, generation.password, unknown), path))

    def _complete_restart(self, generation: _Generation) -> None:
        self._current = generation
        self._pending = None
        self.selected = None
        self._events.append(Restarted())

    def _record_check(self, path: Path, nominated: bool, now_s: float) -> None:
        if path not in self._paths:
            self._evict_oldest_path()
            self._events.append(PathValidated(path))
        self._checked = True
        self._paths[path] = now_s
        if path != self.selected and (nominated or self._is_selected_silent(now_s)):
            self._select(path)

    def _is_selected_silent(self, now_s: float) -> bool:
        return self.selected is None or self._paths[self.selected] + _SILENCE_S <= now_s

    def _evict_oldest_path(self) -> None:
        """Drop the path with the oldest check if a peer that keeps changing ports reached ``MAX_PATHS``."""
        if len(self._paths) >= MAX_PATHS:
            others = (path for path in self._paths if path != self.selected)
            self._drop(min(others, key=self._paths.__getitem__))

    def _drop(self, path: Path) -> None:
        del self._paths[path]
        self._events.append(PathDropped(path))
        if path == self.selected:
            self.selected = None
            if self._paths:
                self._select(max(self._paths, key=self._paths.__getitem__))

    def _select(self, path: Path) -> None:
        self.selected = path
        self._events.append(PathSelected(path))
