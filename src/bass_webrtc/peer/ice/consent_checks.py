"""Consent freshness on the selected pair: keep checking that the peer still wants to receive (RFC 7675).

aioice gives up after six unanswered checks, each of which times out after 0.5 s: after about 24 to 40 s, and a peer
with a round trip of more than 0.5 s never passes. Here the time since the last valid response counts, and a response
may take any time.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import cast

from aioice import stun as aioice_stun
from aioice.ice import CandidatePair

from ...rtc.consent import CONSENT_LIFETIME_S, Consent

_FORBIDDEN = 403
_MAX_UNANSWERED = 256
"""More than are sent in 30 s even if ``send_check`` is called eight times a second: a response may take that long."""
_PEAK_DECAY = 1 / 16


class ConsentChecks:
    """Consent checks of one pair, from its selection until ``stop``. Loop thread.

    Attributes:
        responses: Number of checks that the peer has answered.
        round_trip_s: Recent peak of the round trip, decaying; None before the first response.
    """

    def __init__(
        self,
        pair: CandidatePair,
        remote_password: str,
        build_request: Callable[[CandidatePair], aioice_stun.Message],
        on_answered: Callable[[float], None],
        on_lost: Callable[[str], None],
    ) -> None:
        """Start the checks.

        Args:
            pair: A pair that has just been validated, which counts as the first consent.
            remote_password: The peer's ICE password.
            build_request: Returns a new binding request for a pair, without MESSAGE-INTEGRITY.
            on_answered: Called with the round trip of each check that was answered, in seconds.
            on_lost: Called once with the reason when consent expires or is revoked.
        """
        self._key = remote_password.encode()
        self._loop = asyncio.get_running_loop()
        self._pair = pair
        self._build_request = build_request
        self._on_answered = on_answered
        self._on_lost = on_lost
        self._consent = Consent(self._loop.time(), random.SystemRandom())
        self._sent_s: dict[bytes, float] = {}
        """Transaction id of each unanswered check and when it was sent, oldest first."""
        self._timer: asyncio.TimerHandle | None = None
        self.responses = 0
        self.round_trip_s: float | None = None
        self._schedule()

    def stop(self) -> None:
        """Send no more checks and ignore later responses."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._sent_s:
            self._forget(next(iter(self._sent_s)))

    def send_check(self) -> None:
        """Send an additional check now, to learn soon whether the peer is still there."""
        if self._timer is not None:
            self._send_request()

    def response_received(self, response: aioice_stun.Message, source: tuple[str, int]) -> None:
        """Handle a response to one of our checks; called by aioice as for its own transactions.

        Only an authentic response from the remote address of the pair counts (RFC 7675, 5.1 and 5.2).
        """
        if source != self._pair.remote_addr or not response.check_message_integrity(self._key):
            return
        if response.message_class == aioice_stun.Class.RESPONSE:
            self.responses += 1
            now_s = self._loop.time()
            round_trip_s = now_s - self._sent_s[response.transaction_id]
            self._update_round_trip(round_trip_s)
            self._forget(response.transaction_id)
            self._consent.grant(now_s)
            self._on_answered(round_trip_s)
        elif response.error_code == _FORBIDDEN:
            self._lose("the peer revoked its consent (STUN error 403)")

    def _on_timer(self) -> None:
        self._timer = None
        now_s = self._loop.time()
        if self._consent.is_expired(now_s):
            self._lose(f"consent expired: the peer answered no check for {CONSENT_LIFETIME_S:.0f} s")
            return
        if self._consent.take_check(now_s):
            self._send_request()
        self._schedule()

    def _schedule(self) -> None:
        self._timer = self._loop.call_at(self._consent.timeout_s(), self._on_timer)

    def _send_request(self) -> None:
        """Send one request, once: "there are no retransmissions" (RFC 7675, 5.1)."""
        request = self._build_request(self._pair)
        request.add_message_integrity(self._key)
        if len(self._sent_s) == _MAX_UNANSWERED:
            self._forget(next(iter(self._sent_s)))
        self._sent_s[request.transaction_id] = self._loop.time()
        self._pair.protocol.transactions[request.transaction_id] = cast(aioice_stun.Transaction, self)
        self._pair.protocol.send_stun(request, self._pair.remote_addr)

    def _forget(self, transaction_id: bytes) -> None:
        """Ignore any (further) response to this check."""
        del self._sent_s[transaction_id]
        self._pair.protocol.transactions.pop(transaction_id, None)

    def _update_round_trip(self, round_trip_s: float) -> None:
        peak_s = self.round_trip_s or 0.0
        self.round_trip_s = max(round_trip_s, peak_s - _PEAK_DECAY * (peak_s - round_trip_s))

    def _lose(self, reason: str) -> None:
        self.stop()
        self._on_lost(reason)
