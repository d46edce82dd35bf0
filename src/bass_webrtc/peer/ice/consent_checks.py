"""Keeps asking the peer whether it still wants to hear from us, on the selected pair (RFC 7675).

aioice counts six unanswered checks, each unanswered after 0.5 s: about 24 to 40 s, and a peer half a second away is
never heard at all. Here the time since the last valid response counts, and a response may take as long as it likes.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from aioice import stun as aioice_stun
from aioice.ice import CandidatePair

from ...rtc.consent import CONSENT_LIFETIME_S, Consent

if TYPE_CHECKING:
    from .agent import IceAgent

_FORBIDDEN = 403
_MAX_UNANSWERED = 256
"""More than are sent in 30 s, also where ``ask`` is called eight times a second: an answer may take that long."""
_PEAK_DECAY = 1 / 16


class ConsentChecks:
    """The checks of one pair, from its selection until ``stop``. Loop thread.

    Attributes:
        answers: How many checks the peer has answered.
        round_trip_s: How long an answer takes, of late: a peak that decays. None before the first one.
    """

    def __init__(self, agent: IceAgent, pair: CandidatePair, on_lost: Callable[[str], None]) -> None:
        """
        Args:
            agent: Whose pair it is; makes the requests.
            pair: Has just been validated, which is the first consent.
            on_lost: Called once when consent expired or was revoked, with the reason.
        """
        assert agent.remote_password is not None, "a pair was validated with it"
        self._key = agent.remote_password.encode()
        self._loop = asyncio.get_running_loop()
        self._agent = agent
        self._pair = pair
        self._on_lost = on_lost
        self._consent = Consent(self._loop.time(), random.SystemRandom())
        self._sent_s: dict[bytes, float] = {}
        """When each check was sent that has no answer yet, the oldest first."""
        self._timer: asyncio.TimerHandle | None = None
        self.answers = 0
        self.round_trip_s: float | None = None
        self._schedule()

    def stop(self) -> None:
        """No check is sent any more, and no response counts."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._sent_s:
            self._forget(next(iter(self._sent_s)))

    def ask(self) -> None:
        """Sends a check beside the regular ones, to know soon whether the peer is still there."""
        if self._timer is not None:
            self._send_check()

    def response_received(self, response: aioice_stun.Message, source: tuple[str, int]) -> None:
        """What an aioice transaction has: a response to one of our checks, from wherever (RFC 7675, 5.1 and 5.2)."""
        if source != self._pair.remote_addr or not response.check_message_integrity(self._key):
            return
        if response.message_class == aioice_stun.Class.RESPONSE:
            self.answers += 1
            now_s = self._loop.time()
            self._measure(now_s - self._sent_s[response.transaction_id])
            self._forget(response.transaction_id)
            self._consent.grant(now_s)
        elif response.error_code == _FORBIDDEN:
            self._lose("the peer revoked its consent (STUN error 403)")

    def _on_timer(self) -> None:
        self._timer = None
        now_s = self._loop.time()
        if self._consent.is_expired(now_s):
            self._lose(f"consent expired: the peer answered no check for {CONSENT_LIFETIME_S:.0f} s")
            return
        if self._consent.take_check(now_s):
            self._send_check()
        self._schedule()

    def _schedule(self) -> None:
        self._timer = self._loop.call_at(self._consent.timeout_s(), self._on_timer)

    def _send_check(self) -> None:
        """Sends one request, once: "there are no retransmissions" (RFC 7675, 5.1)."""
        request = self._agent.build_request(self._pair, nominate=False)
        request.add_message_integrity(self._key)
        if len(self._sent_s) == _MAX_UNANSWERED:
            self._forget(next(iter(self._sent_s)))
        self._sent_s[request.transaction_id] = self._loop.time()
        self._pair.protocol.transactions[request.transaction_id] = cast(aioice_stun.Transaction, self)
        self._pair.protocol.send_stun(request, self._pair.remote_addr)

    def _forget(self, transaction: bytes) -> None:
        """A second response to it counts no more."""
        del self._sent_s[transaction]
        self._pair.protocol.transactions.pop(transaction, None)

    def _measure(self, round_trip_s: float) -> None:
        peak_s = self.round_trip_s or 0.0
        self.round_trip_s = max(round_trip_s, peak_s - _PEAK_DECAY * (peak_s - round_trip_s))

    def _lose(self, reason: str) -> None:
        self.stop()
        self._on_lost(reason)
