"""PATCH requests for ICE: trickled candidates and ICE restarts (RFC 9725, 4.3)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import dataclass

from ...errors import SdpError, SignalingError
from ...rtc.candidate import Candidate
from ...rtc.sdp import IceCredentials, SessionDescription
from ...rtc.sdp_fragment import IceFragment, build_fragment
from ..messages import SDP_FRAGMENT
from .errors import ErrorMaker, Reply
from .fetch import Fetcher
from .rules import ANY_ICE_SESSION, ANY_ICE_SESSION_QUOTED, condition, entity_tag, read_restart
from .urls import Url

logger = logging.getLogger(__name__)

_NO_MORE_TRICKLE = frozenset({404, 405, 410, 415, 501})
"""Responses after which no more candidates are sent: no such session, or trickle is not supported."""


@dataclass(frozen=True, slots=True)
class IceSession:
    """The local ICE session, as identified in PATCH bodies."""

    ice: IceCredentials
    mid: str | None

    @classmethod
    def of(cls, sdp: str) -> IceSession:
        """Return the ICE session of a local description.

        Raises:
            SdpError: The description is malformed, or has no ICE credentials.
        """
        description = SessionDescription.parse(sdp)
        for section in description.media:
            ice = IceCredentials.from_scope(description.transport_scope(section))
            if ice is not None:
                return cls(ice, section.mid)
        raise SdpError("the description has no ICE credentials")


class PendingCandidates:
    """Candidates of one ICE session that are waiting to be sent to the server.

    They wait for the 201, for a PATCH in progress, or for an ICE restart (RFC 9725, 4.3.2).

    Args:
        session: Written into every fragment, to identify the ICE session of the candidates.
    """

    def __init__(self, session: IceSession) -> None:
        self.session = session
        self._known: dict[Candidate, None] = {}
        self._sent = 0
        self._is_complete = False
        self._is_completion_sent = False

    def add(self, candidates: Iterable[Candidate], *, end_of_candidates: bool = False) -> None:
        """Add candidates. Candidates that were added before are not sent again."""
        self._known.update(dict.fromkeys(candidates))
        self._is_complete = self._is_complete or end_of_candidates

    def take(self) -> str | None:
        """Return a fragment with everything that was not sent yet; None if there is nothing."""
        new = list(self._known)[self._sent :]
        if not new and self._is_complete == self._is_completion_sent:
            return None
        return self._fragment(new)

    def take_all(self) -> str:
        """Return a fragment with the credentials and all candidates, for an ICE restart."""
        return self._fragment(list(self._known))

    def _fragment(self, candidates: list[Candidate]) -> str:
        self._sent = len(self._known)
        self._is_completion_sent = self._is_complete
        session = self.session
        return build_fragment(session.ice, candidates, mid=session.mid, end_of_candidates=self._is_complete)


class IcePatches:
    """Sends the PATCH requests of one session, for its current ICE session and those after restarts.

    Args:
        fetcher: Sends the requests.
        errors: Makes the errors.
        endpoint: URL shown in errors while there is no session URL.
        timeout_s: For each request.
    """

    def __init__(self, fetcher: Fetcher, errors: ErrorMaker, endpoint: Url, timeout_s: float) -> None:
        self._fetcher = fetcher
        self._errors = errors
        self._endpoint = endpoint
        self._timeout_s = timeout_s
        self._location: Url | None = None
        self._entity_tag: str | None = None
        self._pending: PendingCandidates | None = None
        self._is_refused = False
        self._restarts = 0
        self._may_send = asyncio.Event()
        self._lock = asyncio.Lock()

    def describe(self, sdp: str) -> None:
        """Take the ICE session of a local description; candidates belong to it from now on.

        Raises:
            SdpError: The description is malformed, or has no ICE credentials.
        """
        session = IceSession.of(sdp)
        if self._pending is None or self._pending.session.ice != session.ice:
            self._pending = PendingCandidates(session)
        self._pending.session = session  # The mid of a counter-offer may be another than that of our offer.

    def open(self, location: Url | None, tag: str | None) -> None:
        """Start sending: the session exists.

        Args:
            location: The session URL; None if the server gave none.
            tag: Entity tag of the ICE session.
        """
        self._location = location
        self._entity_tag = tag
        self._may_send.set()

    def close(self) -> None:
        """Stop sending: the session has ended, or was never created. Pending calls of ``trickle`` return."""
        self._location = None
        self._may_send.set()

    async def trickle(self, candidates: Iterable[Candidate], *, end_of_candidates: bool) -> None:
        """See ``SignalingSession.trickle``."""
        assert self._pending is not None, "trickle needs a description; call post first"
        self._pending.add(candidates, end_of_candidates=end_of_candidates)
        while True:
            await self._may_send.wait()
            # One request at a time; candidates added meanwhile go into the next one.
            async with self._lock:
                if self._may_send.is_set():  # No restart began while this call waited for the lock.
                    return await self._send(self._pending)

    async def restart(
        self, ice: IceCredentials, candidates: Iterable[Candidate], *, end_of_candidates: bool
    ) -> IceFragment:
        """See ``SignalingSession.restart``."""
        before = self._pending
        if self._location is None or before is None:
            raise self._errors.make(0, self._endpoint, "ICE cannot be restarted without a session URL")
        self._pending = pending = PendingCandidates(IceSession(ice, before.session.mid))
        pending.add(candidates, end_of_candidates=end_of_candidates)
        self._restarts += 1
        number = self._restarts
        self._may_send.clear()  # Until the new entity tag is known (RFC 9725, 4.3.3).
        try:
            return await self._send_restart(self._location, pending, number)
        except BaseException:
            if number == self._restarts:
                self._pending = before
            raise
        finally:
            if number == self._restarts:
                self._may_send.set()

    async def _send(self, pending: PendingCandidates) -> None:
        fragment = None if self._location is None or self._is_refused else pending.take()
        if self._location is None or fragment is None:
            return
        try:
            await self._patch(self._location, fragment, self._entity_tag)
        except SignalingError as error:
            logger.info("trickled candidates were not accepted; continuing without: %s", error)
            self._is_refused = error.status in _NO_MORE_TRICKLE

    async def _send_restart(self, location: Url, pending: PendingCandidates, number: int) -> IceFragment:
        fragment = pending.take_all()
        try:
            reply = await self._patch(location, fragment, ANY_ICE_SESSION)
        except SignalingError as error:
            if error.status not in (412, 428):
                raise
            reply = await self._patch(location, fragment, ANY_ICE_SESSION_QUOTED)
        answer = read_restart(reply, pending.session.mid, self._errors)
        if number != self._restarts:
            raise self._errors.make(0, location, "a later ICE restart overtook this one")
        self._entity_tag = entity_tag(reply.headers)
        return answer

    async def _patch(self, location: Url, fragment: str, tag: str | None) -> Reply:
        fields = (("Content-Type", SDP_FRAGMENT), *condition(tag))
        reply = await self._fetcher.fetch("PATCH", location, fields, fragment.encode(), timeout_s=self._timeout_s)
        if not 200 <= reply.status < 300:
            raise self._errors.refusal(reply)
        return reply
