"""One WHIP or WHEP session at a remote server, from POST to DELETE.

    post ──► 201 Answer ──────────────► trickle, restart ──► delete
         └─► 406 CounterOffer ─► answer ┘

``rules.py`` interprets responses, ``fetch.py`` sends requests. Nothing here knows about peers, ICE or audio:
descriptions are passed as text.
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
from ..ice_servers import parse_ice_servers
from ..messages import SDP, Fields, Headers
from .errors import ErrorMaker, Reply
from .events import find_reconnect_events, wait_for_reconnect
from .fetch import Fetcher
from .patches import IcePatches
from .rules import (
    GONE,
    Answer,
    CounterOffer,
    creates_session,
    entity_tag,
    read_answer_response,
    read_counter_offer,
    read_location,
)
from .settings import ClientSettings
from .urls import UnsafeUrlError, Url

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

_SHORTEST_SESSION_SECRET = 10
"""Path segments of session URLs from this many characters are hidden; some servers put the publisher's key there."""


class SignalingSession:
    """One session, used once and on one event loop. Also an asynchronous context manager that deletes it on exit.

    DELETE is sent if the server has created a session, however this one ends, including an error in or a cancellation
    of ``post``. Call ``delete`` before the event loop ends; nothing can be sent after that.

    Args:
        kind: What this client does: ``"publisher"`` (WHIP) or ``"player"`` (WHEP).
        settings: URL, token and timeouts.
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
            logger.warning("sending the token to %s unencrypted; use https (RFC 6750, 5.3)", self._url.origin)

    async def __aenter__(self) -> SignalingSession:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.delete()

    def __repr__(self) -> str:
        return f"<SignalingSession: {self.kind} at {self._url.shown}>"

    async def ask_ice_servers(self) -> tuple[IceServer, ...]:
        """Request the server's ICE servers by OPTIONS, before there is an offer.

        RFC 9725, 4.6 prefers the ``Link`` fields of the answer.

        Raises:
            SignalingError: There is no response, or the server refused.
        """
        reply = await self._fetch("OPTIONS", self._url)
        if not 200 <= reply.status < 300:
            raise self._errors.refusal(reply)
        return parse_ice_servers(reply.headers.all("Link"))

    async def post(self, offer: str) -> Answer | CounterOffer:
        """Send the offer. Allowed once per session: retry with a new session.

        If cancelled, it deletes the session that the server may have created; this takes at most ``cancel_grace_s`` and
        ``delete_timeout_s``.

        Args:
            offer: The session description.

        Returns:
            The answer; for a player possibly a counter-offer, to be answered by ``answer``.

        Raises:
            SignalingError: The server refused, or its response cannot be used. No session is left at the server.
            ClosedError: ``delete`` was called.
            SdpError: The offer is malformed.
        """
        assert self._posting is None, "post was called twice; make a new session"
        if self._deleting is not None:
            raise _deleted()
        self._patches.describe(offer)
        # A separate task: if this one is cancelled, it still learns whether there is a session to delete.
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
        """Answer a counter-offer (WHEP) by PATCH.

        Args:
            sdp: The session description, recvonly.

        Raises:
            SignalingError: The server refused, or the counter-offer has expired. The session is deleted.
            SdpError: The answer is malformed.
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
        """Send candidates (RFC 9725, 4.3.2). May be called as soon as ``post`` has been called.

        They are sent once the answer has arrived and no other PATCH is in progress, together with those added
        meanwhile. Returns when they are sent. A refusal is only logged, because audio usually flows without (CL8).
        """
        await self._patches.trickle(candidates, end_of_candidates=end_of_candidates)

    @property
    def connect_s(self) -> float | None:
        """Seconds that the slowest new connection took; None before the first."""
        return self._fetcher.connect_s

    @property
    def can_restart(self) -> bool:
        """Whether there is a session URL to send an ICE restart to. The server may still refuse it."""
        return self._location is not None

    async def reconnect(self) -> None:
        """Close the HTTP connections: those over a lost network path would only wait for their timeout."""
        await self._fetcher.reconnect()

    async def restart(
        self, ice: IceCredentials, candidates: Iterable[Candidate] = (), *, end_of_candidates: bool = False
    ) -> IceFragment:
        """Restart ICE (RFC 9725, 4.3.3). Candidates passed to ``trickle`` later belong to the new ICE session.

        Args:
            ice: The new local credentials.
            candidates: The local candidates known so far.
            end_of_candidates: Whether there will be no more.

        Returns:
            The server's new credentials and candidates.

        Raises:
            SignalingError: The restart failed, or a later restart overtook it. The old ICE session continues.
        """
        return await self._patches.restart(ice, candidates, end_of_candidates=end_of_candidates)

    async def next_session(self) -> SignalingSession:
        """Wait until the server requests to reconnect at another URL (WHEP events). Waits forever if it never does.

        Returns:
            The session at the new URL; ``post`` it, then ``delete`` this one.

        Raises:
            SignalingError: The URL must not be followed.
        """
        timeout_s = self._settings.request_timeout_s
        return self.successor(
            await wait_for_reconnect(self._fetcher, self._errors, self._trust, self._events, timeout_s)
        )

    def successor(self, url: str) -> SignalingSession:
        """Make the session requested by a WHEP ``reconnect`` event.

        Args:
            url: URL in the event. The token is sent only to the origin it is for.

        Raises:
            SignalingError: The URL must not be followed.
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
        """End the session at the server, if there is one, and close the connections. Idempotent. Never raises.

        Returns:
            Whether the session at the server has ended, as far as is known.
        """
        if self._deleting is None:
            self._deleting = asyncio.create_task(self._delete())
        return await _finish_despite_cancellation(self._deleting)

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
        """Remember the session URL: from now on there is a session to delete, even if the body is unusable."""
        if not creates_session(status, headers):
            return
        try:
            self._location = read_location(headers, url, self._trust)
        except UnsafeUrlError as error:
            # Nothing can be sent there, not even DELETE; but the session exists, and audio needs no URL.
            logger.warning("%s: unsafe Location, continuing without a session URL: %s", url.shown, error)
        if self._location is not None:
            self._errors.hide(self._location, shortest=_SHORTEST_SESSION_SECRET)
        self._entity_tag = entity_tag(headers)

    async def _end_post(self) -> None:
        """Cancel the POST. If it has been sent, wait for the session URL first."""
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
        """Send DELETE without If-Match, because it refers to the session, not to its ICE session (RFC 9725, 4.3.1)."""
        try:
            reply = await self._fetcher.fetch("DELETE", location, timeout_s=self._settings.delete_timeout_s)
            if reply.status in GONE:
                return True
            error = self._errors.refusal(reply)
        except SignalingError as failure:
            error = failure
        logger.warning("could not delete the session at the server: %s", error)
        return False

    # -- all

    async def _fetch(self, method: str, url: Url, fields: Fields = (), body: bytes | None = None) -> Reply:
        return await self._fetcher.fetch(method, url, fields, body, timeout_s=self._settings.request_timeout_s)


def _deleted() -> ClosedError:
    return ClosedError("the session was deleted; make a new one")


async def _finish_despite_cancellation(task: asyncio.Task[Result]) -> Result:
    """Wait for a task that limits its own duration. A cancellation takes effect only after its end."""
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise
