"""One WHIP or WHEP session at a server that others run, from POST to DELETE.

    post ──► 201 Answer ──────────────► trickle, restart ──► delete
         └─► 406 CounterOffer ─► answer ┘

What requests and responses mean is in ``client_rules.py``, how they travel in ``http_fetch.py``. Nothing here knows of
peers, ICE or audio: descriptions go in and out as text.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable
from types import TracebackType
from typing import TypeVar

from ...config import IceServer
from ...errors import ClosedError, SignalingError
from ...rtc.candidate import Candidate, is_loopback
from ...rtc.sdp import IceCredentials
from ...rtc.sdp_fragment import IceFragment
from ...stats import Kind
from ..messages import SDP, Fields, Headers
from .errors import ErrorMaker, Reply
from .event_stream import wait_for_reconnect
from .events import find_reconnect_events
from .fetch import Fetcher
from .links import parse_ice_servers
from .patches import IcePatches
from .rules import (
    GONE,
    Answer,
    CounterOffer,
    entity_tag,
    owes_delete,
    read_answer_response,
    read_counter_offer,
    read_location,
)
from .settings import ClientSettings
from .urls import UnsafeUrlError, Url

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

_SHORTEST_SESSION_SECRET = 10
"""Characters of a path segment of a session's URL; some servers have the publisher's key there."""


class SignalingSession:
    """One session, used once and on one event loop; also an asynchronous context manager that deletes it at the end.

    Whatever ends it, an error or a cancellation in the middle of ``post`` included, DELETE is sent if the server has a
    session. Only the end of the event loop itself cannot be outlived: call ``delete`` before.

    Args:
        kind: What we are there: ``"publisher"`` (WHIP) or ``"player"`` (WHEP).
        settings: Where and how.
    """

    def __init__(self, kind: Kind, settings: ClientSettings) -> None:
        self.kind = kind
        self._settings = settings
        self._url = settings.endpoint
        self._trust = settings.trust()
        self._errors = ErrorMaker(settings.secrets)
        self._errors.hide(self._url)
        self._fetcher = Fetcher(
            self._trust, settings.authorization, self._errors, settings.tls, settings.connect_timeout_s
        )
        self._patches = IcePatches(self._fetcher, self._errors, self._url, settings.request_timeout_s)
        self._posting: asyncio.Task[Answer | CounterOffer] | None = None
        self._is_offer_out = False
        self._location: Url | None = None
        self._answer_by_s = float("inf")
        self._entity_tag: str | None = None
        self._events: Url | None = None
        self._deleting: asyncio.Task[bool] | None = None
        if settings.token is not None and self._url.scheme == "http" and not is_loopback(self._url.host):
            logger.warning("the token goes to %s unencrypted; use https (RFC 6750, 5.3)", self._url.origin)

    async def __aenter__(self) -> SignalingSession:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.delete()

    def __repr__(self) -> str:
        return f"<SignalingSession: {self.kind} at {self._url.shown}>"

    async def ask_ice_servers(self) -> tuple[IceServer, ...]:
        """Ask by OPTIONS, before there is an offer; WHIP 4.6 prefers the ``Link`` fields of the answer.

        Raises:
            SignalingError: There is no response, or a refusal.
        """
        reply = await self._fetch("OPTIONS", self._url)
        if not 200 <= reply.status < 300:
            raise self._errors.refusal(reply)
        return parse_ice_servers(reply.headers.all("Link"))

    async def post(self, offer: str) -> Answer | CounterOffer:
        """Send the offer. Once per session: an attempt that failed is followed by one of a new session.

        Cancelled in the middle, it deletes the session before it ends, if need be, and for that waits for the
        server at most ``cancel_grace_s`` and ``delete_timeout_s``.

        Args:
            offer: The session description.

        Returns:
            The answer. For a player, perhaps a counter-offer, to be answered by ``answer``.

        Raises:
            SignalingError: The server refused, or what came is of no use. No session is left there.
            ClosedError: ``delete`` was called.
            SdpError: The offer cannot be read.
        """
        assert self._posting is None, "a session is posted once"
        if self._deleting is not None:
            raise _deleted()
        self._patches.describe(offer)
        # A task of its own: when we are cancelled, it still finds out whether there is a session now.
        self._posting = posting = asyncio.create_task(self._post(offer.encode()))
        try:
            await asyncio.wait({posting})
            if self._deleting is not None:
                raise _deleted()
            return posting.result()
        except BaseException:
            await self.delete()
            raise

    async def answer(self, sdp: str) -> None:
        """Answer a counter-offer (WHEP): recvonly, by PATCH.

        Raises:
            SignalingError: The server refused, or the counter-offer has expired. The session is deleted.
            SdpError: The answer cannot be read.
        """
        assert self._location is not None, "there was no counter-offer"
        self._patches.describe(sdp)
        try:
            if asyncio.get_running_loop().time() > self._answer_by_s:
                raise self._errors.make(0, self._location, "the counter-offer expired before it was answered")
            reply = await self._fetch("PATCH", self._location, (("Content-Type", SDP),), sdp.encode())
            if not 200 <= reply.status < 300:
                raise self._errors.refusal(reply)
        except BaseException:
            await self.delete()
            raise
        self._patches.open(self._location, entity_tag(reply.headers) or self._entity_tag)

    async def trickle(self, candidates: Iterable[Candidate] = (), *, end_of_candidates: bool = False) -> None:
        """Send candidates: as soon as the answer is there and no other PATCH is under way, together with what has
        gathered meanwhile (WHIP 4.3.2). May be called as soon as ``post`` was; returns when they are sent.

        A server that refuses is written to the log, and that is all: audio mostly flows without (label CL8).
        """
        await self._patches.trickle(candidates, end_of_candidates=end_of_candidates)

    @property
    def connect_s(self) -> float | None:
        """How long the slowest new connection took; None before the first."""
        return self._fetcher.connect_s

    @property
    def can_restart(self) -> bool:
        """Whether there is somewhere to send an ICE restart to; the server may refuse it still."""
        return self._location is not None

    async def reconnect(self) -> None:
        """Give up the HTTP connections: what led over a path that is gone would wait for its timeout."""
        await self._fetcher.reconnect()

    async def restart(
        self, ice: IceCredentials, candidates: Iterable[Candidate] = (), *, end_of_candidates: bool = False
    ) -> IceFragment:
        """Restart ICE (WHIP 4.3.3). What ``trickle`` gets from now on belongs to the new ICE session.

        Args:
            ice: Our new credentials.
            candidates: Those that are known.
            end_of_candidates: Whether these are all.

        Returns:
            The server's new credentials and candidates.

        Raises:
            SignalingError: It cannot be done, or a later restart overtook this one. The old ICE session goes on.
        """
        return await self._patches.restart(ice, candidates, end_of_candidates=end_of_candidates)

    async def next_session(self) -> SignalingSession:
        """Waits until the server asks us to connect elsewhere (WHEP, events); for ever where it does not.

        Returns:
            The session there; ``post`` it, then ``delete`` this one.

        Raises:
            SignalingError: The URL is not to be followed.
        """
        timeout_s = self._settings.request_timeout_s
        return self.successor(
            await wait_for_reconnect(self._fetcher, self._errors, self._trust, self._events, timeout_s)
        )

    def successor(self, url: str) -> SignalingSession:
        """The session that a WHEP ``reconnect`` event asks for.

        Args:
            url: Of the event. The token goes along only to the origin that it is for.

        Raises:
            SignalingError: The URL is not to be followed.
        """
        try:
            target = self._trust.resolve(url, self._location or self._url)
        except UnsafeUrlError as error:
            raise self._errors.make(0, self._url, f"reconnect: {error}") from None
        session = SignalingSession(self.kind, self._settings)
        session._url = target
        session._errors.hide(target, shortest=_SHORTEST_SESSION_SECRET)
        return session

    async def delete(self) -> bool:
        """End the session at the server, if it has one, and close the connections. Idempotent; raises nothing.

        Returns:
            Whether the server has no session of ours any more, as far as we know.
        """
        if self._deleting is None:
            self._deleting = asyncio.create_task(self._delete())
        return await _see_through(self._deleting)

    # -- POST

    async def _post(self, offer: bytes) -> Answer | CounterOffer:
        def sent() -> None:
            self._is_offer_out = True

        reply = await self._fetcher.fetch(
            "POST",
            self._url,
            (("Content-Type", SDP),),
            offer,
            timeout_s=self._settings.request_timeout_s,
            on_head=self._take_head,
            on_sent=sent,
        )
        if self.kind == "player" and reply.status == 406:
            counter_offer = read_counter_offer(reply, self._location, self._errors, time.time())
            self._answer_by_s = asyncio.get_running_loop().time() + counter_offer.valid_for_s
            return counter_offer
        answer = read_answer_response(reply, self._location, self._errors)
        self._patches.open(self._location, answer.entity_tag)
        self._events = self._find_events(reply)
        return answer

    def _find_events(self, reply: Reply) -> Url | None:
        link = find_reconnect_events(reply.headers.all("Link")) if self.kind == "player" else None
        try:
            url = None if link is None else self._trust.resolve(link, reply.url)
        except UnsafeUrlError:
            return None
        if url is not None:
            self._errors.hide(url, shortest=_SHORTEST_SESSION_SECRET)
        return url

    def _take_head(self, status: int, headers: Headers, url: Url) -> None:
        """From here on there is a session to delete, whatever its body turns out to be."""
        if not owes_delete(status, headers):
            return
        try:
            self._location = read_location(headers, url, self._trust)
        except UnsafeUrlError as error:
            raise self._errors.make(status, url, f"unsafe Location: {error}") from None
        if self._location is not None:
            self._errors.hide(self._location, shortest=_SHORTEST_SESSION_SECRET)
        self._entity_tag = entity_tag(headers)

    async def _end_post(self) -> None:
        """A POST that is out is given time to tell the session's URL."""
        posting = self._posting
        if posting is None:
            return
        if self._is_offer_out:
            await asyncio.wait({posting}, timeout=self._settings.cancel_grace_s)
        posting.cancel()
        await asyncio.wait({posting})

    # -- DELETE

    async def _delete(self) -> bool:
        await self._end_post()
        location, self._location = self._location, None
        self._patches.close()
        try:
            return location is None or await self._send_delete(location)
        finally:
            await self._fetcher.close()

    async def _send_delete(self, location: Url) -> bool:
        """Without If-Match: the session is meant, not its ICE session (WHIP 4.3.1)."""
        try:
            reply = await self._fetcher.fetch("DELETE", location, timeout_s=self._settings.delete_timeout_s)
            if reply.status in GONE:
                return True
            error = self._errors.refusal(reply)
        except SignalingError as failure:
            error = failure
        logger.warning("the session could not be deleted: %s", error)
        return False

    # -- all

    async def _fetch(self, method: str, url: Url, fields: Fields = (), body: bytes | None = None) -> Reply:
        return await self._fetcher.fetch(method, url, fields, body, timeout_s=self._settings.request_timeout_s)


def _deleted() -> ClosedError:
    return ClosedError("the session was deleted; make a new one")


async def _see_through(task: asyncio.Task[Result]) -> Result:
    """Waits for the end of something that bounds its own time, and only then lets a cancellation through."""
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise
