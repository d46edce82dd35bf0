"""Consent to send on one candidate pair, as a clock without a loop (RFC 7675, 5.1).

    valid response ──► may send for 30 s        check sent once, after 4 to 6 s ──► check ──► check …

A peer that is alive answers about five checks in that time; none of them is repeated, so a dead one is not flooded.
"""

from __future__ import annotations

import random

CONSENT_LIFETIME_S = 30.0
"""Nothing may be sent when the last valid response is older than this."""

_INTERVAL_S = 5.0
_SPREAD = 0.2
"""Each interval is drawn anew from 5 s ± 20 %, so that peers do not fall into step, and is never under 4 s."""


class Consent:
    """When to check, and whether we may still send. ``now_s`` is any clock that does not go backwards."""

    def __init__(self, now_s: float, randomness: random.Random) -> None:
        """The pair was validated now, and that is the first consent."""
        self._random = randomness
        self._expiry_s = now_s + CONSENT_LIFETIME_S
        self._next_check_s = now_s
        self._plan_check(now_s)

    def grant(self, now_s: float) -> None:
        """A valid response arrived. One that comes after the end counts no more."""
        if not self.is_expired(now_s):
            self._expiry_s = now_s + CONSENT_LIFETIME_S

    def is_expired(self, now_s: float) -> bool:
        """Whether sending must stop."""
        return now_s >= self._expiry_s

    def take_check(self, now_s: float) -> bool:
        """Whether a check is due; if so the next one is planned."""
        if now_s < self._next_check_s or self.is_expired(now_s):
            return False
        self._plan_check(now_s)
        return True

    def timeout_s(self) -> float:
        """When to look again."""
        return min(self._next_check_s, self._expiry_s)

    def _plan_check(self, now_s: float) -> None:
        self._next_check_s = now_s + _INTERVAL_S * self._random.uniform(1 - _SPREAD, 1 + _SPREAD)
