"""What the endpoint needs of sessions, and the table in which it finds them again by their secret URL.

``server.py`` implements the two protocols; the endpoint knows nothing of peers.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from ...rtc.candidate import Candidate
from ...rtc.negotiation import Offer
from ...rtc.sdp import IceCredentials
from ...rtc.sdp_fragment import IceFragment
from ...stats import Kind
from ..messages import Refused, Request
from .preconditions import new_entity_tag

_SECRET_BYTES = 18
"""Of a session URL: 144 bits; WHIP 5 wants what cannot be guessed, at least the 122 bits of a random UUID."""


class Session(Protocol):
    """One WHIP or WHEP session. Called from the loop's thread only."""

    @property
    def answer_sdp(self) -> str:
        """The answer, with all candidates (WHIP 4.3.2)."""

    @property
    def remote_ice(self) -> IceCredentials:
        """The peer's credentials of the newest ICE session."""

    @property
    def closed(self) -> bool:
        """Whether it ended: by ``close``, by the peer, or because consent expired."""

    def add_candidates(self, candidates: tuple[Candidate, ...]) -> None:
        """Take remote candidates; useless and known ones are dropped in silence (WHIP 4.3.2)."""

    def end_of_candidates(self) -> None:
        """The peer has no more candidates."""

    async def restart(self, fragment: IceFragment) -> str:
        """Restart ICE (WHIP 4.3.3) with the fragment's credentials, which ``remote_ice`` gives from then on.

        Audio goes on over the old path until the new one validates.

        Returns:
            What ``build_fragment`` made of our new credentials, all our candidates and the answer's ICE options.

        Raises:
            BassWebRtcError: it cannot be done; the session goes on as it was.
        """

    async def close(self) -> None:
        """End it; idempotent."""


class Sessions(Protocol):
    """Makes sessions."""

    async def create(self, kind: Kind, offer: Offer, request: Request) -> Session:
        """Answer an offer.

        Raises:
            PeerLimitError: there are as many peers as may be: 503.
            UnusableSdpError: the offer can be read but not used: 422.
            SignalingError: any other refusal, with its status; 409 when there is no source to play.
        """


@dataclass(frozen=True, slots=True)
class PeerRequest:
    """Somebody wants to connect; given to ``server.admit``."""

    address: str
    """IP address."""
    kind: Kind
    headers: Mapping[str, str] = field(repr=False)
    """Header fields of the request, names in lower case."""
    token: str | None = field(repr=False)
    """The token that came with the request."""


Admit = Callable[[PeerRequest], Awaitable[bool | str]]
"""Says yes (True), no (False), or no with the reason that is sent (a string)."""


@dataclass(eq=False, slots=True)
class Entry:
    """A session and what HTTP needs to know of it."""

    session: Session
    secret: str = field(repr=False)
    mid: str | None
    """Of its audio section."""
    candidates_left: int
    """How many more remote candidates its ICE session takes."""
    entity_tag: str = field(default_factory=new_entity_tag)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held by the PATCH or DELETE that is being worked on."""
    deleted: bool = False

    @property
    def ended(self) -> bool:
        return self.deleted or self.session.closed


class SessionTable:
    """Sessions of one endpoint by the secret of their URL."""

    def __init__(self, max_candidates: int) -> None:
        self._max_candidates = max_candidates
        self._entries: dict[str, Entry] = {}
        self._secrets: dict[int, str] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, session: Session, mid: str | None) -> Entry:
        """Give a session its secret."""
        entry = Entry(session, secrets.token_urlsafe(_SECRET_BYTES), mid, self._max_candidates)
        self._entries[entry.secret] = entry
        self._secrets[id(session)] = entry.secret
        return entry

    def find(self, secret: str) -> Entry:
        """Look a session up.

        Raises:
            Refused: 404, there is none, or it ended.
        """
        entry = self._entries.get(secret)
        if entry is not None and entry.ended:
            self.forget(entry.session)
            entry = None
        if entry is None:
            raise no_such_session()
        return entry

    def forget(self, session: object) -> None:
        """Remove a session; nothing happens when it is not here."""
        secret = self._secrets.pop(id(session), None)
        if secret is not None:
            self._entries.pop(secret).deleted = True

    def restarted(self, entry: Entry, candidates: int) -> None:
        """A new ICE session has a tag of its own, and counts the candidates that came with it."""
        entry.entity_tag = new_entity_tag()
        entry.candidates_left = self._max_candidates - candidates


def no_such_session() -> Refused:
    """The answer for a session that is not, or not any more, here."""
    return Refused(404, "There is no such session; it may have ended.")
