"""Sessions as the endpoint sees them: their interface, the table of session URLs, and entity tags.

``server/peers.py`` implements ``Sessions`` and the connections implement ``Session``; the endpoint knows nothing of
peers. Entity tags and conditions (RFC 9110, 8.8.3 and 13.1) identify the ICE session that a PATCH refers to.
"""

from __future__ import annotations

import asyncio
import math
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ...config import MAIN
from ...rtc.candidate import Candidate
from ...rtc.negotiation import Offer
from ...rtc.sdp import IceCredentials
from ...rtc.sdp_fragment import IceFragment
from ...stats import Kind
from ..messages import Refused, Request

_SECRET_BYTES = 18
"""Of a session URL: 144 bits. RFC 9725, 5 requires URLs that cannot be guessed; a random UUID has 122 bits."""
_REMEMBER_ENDED_S = 60.0
_MAX_ENDED = 1000
"""Sessions that ended by themselves and are remembered for their DELETE: the latest ones."""
_ENTITY_TAG = re.compile(r'(W/)?("[^"]*")')


class Session(Protocol):
    """One WHIP or WHEP session. Called on the loop thread only."""

    @property
    def answer_sdp(self) -> str:
        """The answer, with all candidates (RFC 9725, 4.3.2)."""

    @property
    def remote_ice(self) -> IceCredentials:
        """The peer's credentials of the current ICE session."""

    @property
    def exceeded_limits(self) -> tuple[str, ...]:
        """Limits in the offer that the stream to the peer exceeds, as sentences without a full stop."""

    @property
    def closed(self) -> bool:
        """Whether the session has ended: by ``close``, by the peer, or because consent expired."""

    def add_candidates(self, candidates: tuple[Candidate, ...]) -> None:
        """Add remote candidates; unusable and known ones are silently ignored (RFC 9725, 4.3.2)."""

    def end_of_candidates(self) -> None:
        """Note that the peer has no more candidates."""

    async def restart(self, fragment: IceFragment, local: str = "", remote: str = "") -> str:
        """Restart ICE (RFC 9725, 4.3.3) with the fragment's credentials, which become ``remote_ice``.

        Audio continues over the old path until the new one is validated.

        Args:
            fragment: The peer's new credentials and candidates.
            local: The local address at which the request arrived: it may be a new one. Empty: unknown.
            remote: The address that it came from.

        Returns:
            A fragment made by ``build_fragment`` of the new local credentials, all local candidates and the ICE options
            of the answer.

        Raises:
            BassWebRtcError: The restart failed; the session continues unchanged.
        """

    async def close(self) -> None:
        """End the session. Idempotent."""


class Sessions(Protocol):
    """Creates sessions."""

    def check_room(self, request: Request) -> None:
        """Check that a client may have another session, before its offer is parsed. ``create`` checks again.

        Raises:
            PeerLimitError: The maximum number of peers is reached: 503.
            SignalingError: The client has its share of them, or the program cannot follow, with the status.
        """

    async def create(self, kind: Kind, offer: Offer, request: Request, channel: str = MAIN) -> Session:
        """Answer an offer of a peer, which hears this channel if it plays.

        Raises:
            PeerLimitError: The maximum number of peers is reached: 503.
            UnusableSdpError: The offer is well-formed but cannot be used: 422.
            SignalingError: Any other refusal, with its status; 409 if there is no source to play.
        """


@dataclass(frozen=True, slots=True)
class PeerRequest:
    """A peer's request to connect, passed to ``server.admit``."""

    address: str
    """IP address of the client."""
    kind: Kind
    headers: Mapping[str, str] = field(repr=False)
    """Header fields of the request; names in lower case."""
    token: str | None = field(repr=False)
    """The token of the request."""
    channel: str = ""
    """Name of the channel that a player asks for; empty for a publisher."""


Admit = Callable[[PeerRequest], Awaitable[bool | str]]
"""Returns True to admit the peer, False to refuse it, or a string: the reason, which is sent to the client."""


@dataclass(frozen=True, slots=True)
class IfMatch:
    """The condition of an ``If-Match`` field."""

    any: bool
    tags: frozenset[str]
    """Strong entity tags, with their quotes. Weak ones never match here and are dropped."""

    @classmethod
    def parse(cls, values: Sequence[str]) -> IfMatch | None:
        """Parse the field lines; None if there are none. Malformed text gives a condition that never holds."""
        if not values:
            return None
        text = ",".join(values)
        tags = frozenset(tag for weak, tag in _ENTITY_TAG.findall(text) if not weak)
        # RFC 9725, 4.3.3 writes the asterisk without quotes, its Figure 4 with quotes: both are accepted.
        return cls(any=text.strip() == "*" or '"*"' in tags, tags=tags)

    def holds(self, entity_tag: str) -> bool:
        """Compare with the tag of the current ICE session, by strong comparison (RFC 9110, 8.8.3.2)."""
        return self.any or entity_tag in self.tags


def lists_entity_tag(values: Sequence[str], entity_tag: str) -> bool:
    """Return whether ``If-None-Match`` lists a tag, by weak comparison: proxies that compress weaken entity tags."""
    text = ",".join(values)
    return text.strip() == "*" or any(tag == entity_tag for _weak, tag in _ENTITY_TAG.findall(text))


def new_entity_tag() -> str:
    """Return a strong tag, unique per ICE session (RFC 9725, 4.3.1); never ``"*"``."""
    return f'"{secrets.token_urlsafe(12)}"'


@dataclass(eq=False, slots=True)
class Entry:
    """A session and the HTTP state that belongs to it."""

    session: Session
    secret: str = field(repr=False)
    mid: str | None
    """Of the audio section."""
    candidates_left: int
    """How many more remote candidates the current ICE session accepts."""
    entity_tag: str = field(default_factory=new_entity_tag)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while a PATCH or DELETE is processed."""
    patches: int = 0
    """Requests that hold or wait for ``lock``."""
    deleted: bool = False

    @property
    def ended(self) -> bool:
        return self.deleted or self.session.closed


class SessionTable:
    """Sessions of one endpoint, by the secret of their URL."""

    def __init__(self, max_candidates: int, ending: Callable[[Session], str] | None = None) -> None:
        self._max_candidates = max_candidates
        self._ending = ending
        self._entries: dict[str, Entry] = {}
        self._secrets: dict[int, str] = {}
        self._ended: dict[str, tuple[float, str]] = {}
        """Secrets of sessions that ended by themselves, when and why, oldest first."""

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, secret: str) -> bool:
        return secret in self._entries

    def add(self, session: Session, mid: str | None) -> Entry:
        """Add a session under a new secret."""
        entry = Entry(session, secrets.token_urlsafe(_SECRET_BYTES), mid, self._max_candidates)
        self._entries[entry.secret] = entry
        self._secrets[id(session)] = entry.secret
        return entry

    def find(self, secret: str) -> Entry:
        """Find a session that runs.

        Raises:
            Refused: 404, there is no such session, or it has ended.
        """
        entry = self._entries.get(secret)
        if entry is not None and entry.ended:
            self.ended(entry.session)
            entry = None
        if entry is None:
            raise no_such_session()
        return entry

    def reason(self, secret: str) -> str:
        """Return why a session ended by itself within the last minute; empty if unknown, or not to be told."""
        ended_s, reason = self._ended.get(secret, (-math.inf, ""))
        return reason if ended_s >= time.perf_counter() - _REMEMBER_ENDED_S else ""

    def forget(self, session: object) -> None:
        """Remove a session that is being deleted. Unknown sessions are ignored, as in ``ended``."""
        self._remove(session)

    def ended(self, session: object) -> None:
        """Remove a session that ended by itself; ``take_ended`` and ``reason`` know its secret for a minute."""
        entry = self._remove(session)
        if entry is not None:
            now_s = time.perf_counter()
            self._ended[entry.secret] = now_s, self._ending(entry.session) if self._ending is not None else ""
            while len(self._ended) > _MAX_ENDED or self._ended[next(iter(self._ended))][0] < now_s - _REMEMBER_ENDED_S:
                del self._ended[next(iter(self._ended))]

    def take_ended(self, secret: str) -> bool:
        """Return whether a session ended by itself within the last minute, and forget that."""
        ended_s, _ = self._ended.pop(secret, (-math.inf, ""))
        return ended_s >= time.perf_counter() - _REMEMBER_ENDED_S

    def _remove(self, session: object) -> Entry | None:
        secret = self._secrets.pop(id(session), None)
        if secret is None:
            return None
        entry = self._entries.pop(secret)
        entry.deleted = True
        return entry

    def restarted(self, entry: Entry, candidates: int) -> None:
        """Give the entry a new entity tag and candidate budget after an ICE restart.

        Args:
            entry: The session that restarted ICE.
            candidates: Number of candidates that came with the restart.
        """
        entry.entity_tag = new_entity_tag()
        entry.candidates_left = self._max_candidates - candidates


def no_such_session() -> Refused:
    """Return the refusal for a session that does not exist or has ended."""
    return Refused(404, "There is no such session; it may have ended.")
