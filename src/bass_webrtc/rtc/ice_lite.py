"""One peer's ICE, seen from a lite agent: answers checks, learns paths, watches consent (RFC 8445, RFC 7675).

A lite agent sends no checks of its own. The peer checks every path it can think of; a check that is signed with
our password proves that the peer is there and wants to hear from us. So the first path that is checked is used at
once, a check with USE-CANDIDATE moves us to its path, and a path that was not checked for 30 s is not used any more.
Who has not sent one check after 10 s never meant to: a player checks as soon as it has our answer.

                     check with the right password                no check for 30 s
    unknown address ──────────────────────────────► valid path ─────────────────────► unknown address
                                                    first, or USE-CANDIDATE ─► the selected path

Sans-I/O: one thread at a time; ``now_s`` is any clock that does not go backwards. After every ``receive`` and
``handle_timeout`` send what ``to_send`` gives and look at ``events``; call ``handle_timeout`` when the time that
``timeout_s`` names has come.
"""

from __future__ import annotations

from dataclasses import dataclass

from . import stun
from .sdp import IceCredentials

MAX_PATHS = 16
"""Valid paths that one peer may have; browsers have two or three."""

_SILENT_S = 15.0
"""A selected path that has been silent for this long gives way to one that is checked. Peers that follow RFC 7675
check every 4 to 6 s, so two checks were lost, or the peer is elsewhere and does not know of USE-CANDIDATE."""


@dataclass(frozen=True, slots=True)
class Path:
    """A way to the peer: one of our sockets and the peer's address as it is seen there."""

    socket: int
    """Index of the local socket."""
    host: str
    """Remote IPv4 or IPv6 address; a link-local one with its scope, ``fe80::1%2``."""
    port: int


@dataclass(frozen=True, slots=True)
class PathValidated:
    """The peer was seen at this path for the first time: datagrams from there are its own."""

    path: Path


@dataclass(frozen=True, slots=True)
class PathSelected:
    """What is sent to the peer goes here from now on."""

    path: Path


@dataclass(frozen=True, slots=True)
class PathDropped:
    """The peer did not check this path for too long: datagrams from there may be anybody's.

    If it was the selected one and no ``PathSelected`` follows, nothing may be sent until one does.
    """

    path: Path


@dataclass(frozen=True, slots=True)
class ConsentExpired:
    """No valid path is left, or there never was one. Nothing may be sent any more, and nothing more will be answered
    (RFC 7675, 5.1)."""


@dataclass(frozen=True, slots=True)
class Restarted:
    """A check with the new credentials arrived: the old ones are void."""


IceEvent = PathValidated | PathSelected | PathDropped | ConsentExpired | Restarted


@dataclass(frozen=True, slots=True)
class _Generation:
    """One ICE session: what was exchanged in one offer and answer."""

    local: IceCredentials
    remote: IceCredentials
    username_prefix: bytes
    password: bytes

    @classmethod
    def of(cls, local: IceCredentials, remote: IceCredentials) -> _Generation:
        return cls(local, remote, f"{local.ufrag}:".encode(), local.password.encode())


class IceLite:
    """The ICE-lite agent's side of one peer.

    Attributes:
        selected: Where to send; None before the first valid check and after consent expired.
        malformed: Datagrams that were no STUN message.
        unauthenticated: Requests without FINGERPRINT, with a foreign user name, or not signed with our password.
            They get no answer: it would go to whoever was named as their source.
        rejected: Authentic requests that were answered with an error.
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
            local: What our answer says.
            remote: What the offer says.
            now_s: The time.
            consent_timeout_s: How long a path lives after its last check, and how long the first one may take after a
                restart of a peer that was there before.
            first_check_timeout_s: How long the very first check may take.
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
        """Our credentials; the newest ones, also before a restart is complete."""
        return (self._pending or self._current).local

    @property
    def remote(self) -> IceCredentials:
        """The peer's credentials; the newest ones."""
        return (self._pending or self._current).remote

    @property
    def ufrags(self) -> tuple[str, ...]:
        """Our user name fragments that are answered now: two during a restart."""
        return tuple(generation.local.ufrag for generation in self._generations())

    @property
    def paths(self) -> tuple[Path, ...]:
        """The valid paths."""
        return tuple(self._paths)

    def receive(self, data: bytes, path: Path, now_s: float) -> None:
        """Takes one datagram that looks like STUN. Never raises, whatever the bytes are.

        Args:
            data: The whole datagram.
            path: Where it was received and where it came from.
            now_s: The time.
        """
        if self._expired:
            return
        try:
            message = stun.Message.parse(data)
        except stun.StunError:
            self.malformed += 1
            return
        # Indications are keepalives (RFC 8445, 11) and prove nothing; responses answer nothing, for we do not ask.
        if message.kind == stun.BINDING_REQUEST:
            self._receive_request(message, path, now_s)

    def to_send(self) -> list[tuple[bytes, Path]]:
        """Takes the datagrams that are to be sent, each with the path it goes by."""
        out, self._out = self._out, []
        return out

    def events(self) -> list[IceEvent]:
        """Takes what has happened since the last call, in order."""
        events, self._events = self._events, []
        return events

    def handle_timeout(self, now_s: float) -> None:
        """Drops the paths that were not checked for too long. Call it at ``timeout_s``, or at any time."""
        if self._expired:
            return
        oldest_s = now_s - self._consent_timeout_s
        for path in [path for path, checked_s in self._paths.items() if checked_s <= oldest_s]:
            self._drop(path)
        if not self._paths and self._started_s + self._patience_s <= now_s:
            self._expired = True
            self._events.append(ConsentExpired())

    def timeout_s(self) -> float | None:
        """When ``handle_timeout`` is due, on the clock of ``now_s``; None when it never is."""
        if self._expired:
            return None
        if not self._paths:
            return self._started_s + self._patience_s
        return min(self._paths.values()) + self._consent_timeout_s

    @property
    def _patience_s(self) -> float:
        """How long there may be no path."""
        return self._consent_timeout_s if self._checked else self._first_check_timeout_s

    def restart(self, local: IceCredentials, remote: IceCredentials, now_s: float) -> None:
        """Begins an ICE restart (RFC 8445, 9).

        The paths and the old credentials stay good until a check with the new ones arrives, so media goes on.

        Args:
            local: Our new credentials; both parts must differ from the old ones (RFC 8839, 4.4.1.1.1).
            remote: The peer's new credentials.
            now_s: The time.
        """
        self._pending = _Generation.of(local, remote)
        # The peer may have come back after it lost all paths: it gets the whole time again.
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
            # We are controlled and, being lite, cannot change: the peer must (RFC 8445, 6.1.1 and 7.3.1.1).
            self._reject(request, path, generation, 487, "Role Conflict")
        else:
            self._out.append((stun.build_success(request, path.host, path.port, generation.password), path))
            if generation is self._pending:
                self._complete_restart(generation)
            self._note_check(path, stun.USE_CANDIDATE in request.attributes, now_s)

    def _authenticate(self, request: stun.Message) -> _Generation | None:
        """The ICE session that this request belongs to and is signed for (RFC 8445, 7.3)."""
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

    def _note_check(self, path: Path, nominated: bool, now_s: float) -> None:
        if path not in self._paths:
            self._make_room()
            self._events.append(PathValidated(path))
        self._checked = True
        self._paths[path] = now_s
        if path != self.selected and (nominated or self._is_selected_silent(now_s)):
            self._select(path)

    def _is_selected_silent(self, now_s: float) -> bool:
        return self.selected is None or self._paths[self.selected] + _SILENT_S <= now_s

    def _make_room(self) -> None:
        """A peer that checks from ever new ports keeps only the newest."""
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
