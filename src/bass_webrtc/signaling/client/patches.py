"""PATCH requests about ICE: trickled candidates and ICE restarts (WHIP 4.3)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable

from ...errors import SignalingError
from ...rtc.candidate import Candidate
from ...rtc.sdp import IceCredentials
from ...rtc.sdp_fragment import IceFragment
from ..messages import SDP_FRAGMENT
from .errors import ErrorMaker, Reply
from .fetch import Fetcher
from .rules import ANY_ICE_SESSION, ANY_ICE_SESSION_QUOTED, condition, entity_tag, read_restart
from .trickle import IceSession, PendingCandidates
from .urls import Url

logger = logging.getLogger(__name__)

_NO_MORE_TRICKLE = frozenset({404, 405, 410, 415, 501})
"""Responses after which further candidates are not worth their way: no such session, or no such feature."""


class IcePatches:
    """What the server is told of our ICE sessions, the present one and those that restarts bring.

    Args:
        fetcher: Sends the requests.
        errors: Writes the errors.
        endpoint: For errors while there is no session URL.
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
        """A description of ours says which ICE session our candidates are of.

        Raises:
            SdpError: It cannot be read, or has no ICE credentials.
        """
        session = IceSession.of(sdp)
        if self._pending is None or self._pending.session != session:
            self._pending = PendingCandidates(session)

    def open(self, location: Url | None, tag: str | None) -> None:
        """The session exists: what has gathered goes out."""
        self._location = location
        self._entity_tag = tag
        self._may_send.set()

    def close(self) -> None:
        """There is none any more, or never was; who waits to trickle finds that there is nowhere to."""
        self._location = None
        self._may_send.set()

    async def trickle(self, candidates: Iterable[Candidate], *, end_of_candidates: bool) -> None:
        """As ``SignalingSession.trickle``."""
        assert self._pending is not None, "candidates belong to a description: post it first"
        self._pending.add(candidates, end_of_candidates=end_of_candidates)
        while True:
            await self._may_send.wait()
            # One request at a time: candidates gather into one while another is under way.
            async with self._lock:
                if self._may_send.is_set():  # No restart began while we waited for the lock.
                    return await self._send(self._pending)

    async def restart(
        self, ice: IceCredentials, candidates: Iterable[Candidate], *, end_of_candidates: bool
    ) -> IceFragment:
        """As ``SignalingSession.restart``."""
        before = self._pending
        if self._location is None or before is None:
            raise self._errors.make(0, self._endpoint, "there is no session URL, so ICE cannot be restarted")
        self._pending = pending = PendingCandidates(IceSession(ice, before.session.mid))
        pending.add(candidates, end_of_candidates=end_of_candidates)
        self._restarts += 1
        number = self._restarts
        self._may_send.clear()  # Until the new entity tag is there (WHIP 4.3.3).
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
            logger.info("candidates were not taken; going on without: %s", error)
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
