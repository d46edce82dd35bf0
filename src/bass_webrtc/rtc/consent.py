"""Consent timers of one candidate pair (RFC 7675, 5.1).

    valid response ──► may send for 30 s        check sent once, after 4 to 6 s ──► check ──► check …

A live peer answers about five checks in 30 s. Checks are not retransmitted, so a dead peer is not flooded.
"""

from __future__ import annotations

import random

CONSENT_LIFETIME_S = 30.0
"""Sending must stop when the last valid response is older than this."""

_INTERVAL_S = 5.0
_SPREAD = 0.2
"""Each interval is drawn from 5 s ± 20 % (never below 4 s), so that peers do not synchronize."""


class Consent:
    """Decides when to check, and whether we may still send. ``now_s`` is any monotonic clock, in seconds."""

    def __init__(self, now_s: float, randomness: random.Random) -> None:
        """Start with consent granted at ``now_s``, when the pair was validated."""
        self._random = randomness
        self._expiry_s = now_s + CONSENT_LIFETIME_S
        self._next_check_s = now_s
        self._schedule_check(now_s)

    def grant(self, now_s: float) -> None:
        """Record a valid response; ignored once consent has expired."""
        if not self.is_expired(now_s):
            self._expiry_s = now_s + CONSENT_LIFETIME_S

    def is_expired(self, now_s: float) -> bool:
        """Return whether sending must stop."""
        return now_s >= self._expiry_s

    def take_check(self, now_s: float) -> bool:
        """Return whether a check is due, and if so schedule the next one."""
        if now_s < self._next_check_s or self.is_expired(now_s):
            return False
        self._schedule_check(now_s)
        return True

    def timeout_s(self) -> float:
        """Return when the next check is due or consent expires, on the clock of ``now_s``."""
        return min(self._next_check_s, self._expiry_s)

    def _schedule_check(self, now_s: float) -> None:
        self._next_check_s = now_s + _INTERVAL_S * self._random.uniform(1 - _SPREAD, 1 + _SPREAD)
