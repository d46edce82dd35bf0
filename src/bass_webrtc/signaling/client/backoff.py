"""When to try again after a failure (RFC 9110, 10.2.3; WHIP 4.5), and after which failures not to.

The status code alone decides, by its class where it is not known (WHIP 4.1): what a server meant by it is not guessed.
"""

from __future__ import annotations

import datetime
import random
import re
import ssl
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from ...errors import SignalingError
from ...stats import Kind

MAX_RETRY_AFTER_S = 60.0
"""A server that asks for more is asked again after this time all the same."""

_RETRIED = frozenset({0, 408, 409, 425, 429})
"""No response; and refusals that pass by themselves: timeouts, a name in use, too many requests."""
_SECONDS = re.compile(r"[0-9]{1,9}", re.ASCII)
_MAX_DATE_CHARACTERS = 64


def is_worth_retrying(error: SignalingError, kind: Kind, *, has_worked: bool = False) -> bool:
    """Whether the same request may succeed later.

    Args:
        error: How it failed.
        kind: ``"player"``: 404 and 409 mean that nobody publishes yet (WHEP, "Session Management"; MediaMTX).
        has_worked: There was a session, so the URL is right, and a 404 is that of a server, or of a proxy, that is not
            ready yet.
    """
    if isinstance(error.__cause__, ssl.SSLCertVerificationError):
        return False
    if error.status == 404:
        return kind == "player" or has_worked
    return error.status in _RETRIED or error.status >= 500


def parse_retry_after(value: str | None, date: str | None, wall_s: float) -> float | None:
    """How many seconds a ``Retry-After`` field asks to wait. Never raises.

    Args:
        value: The field: seconds, or an HTTP date.
        date: The response's own ``Date`` field, so that the server's clock is compared with itself.
        wall_s: The time here, in seconds since 1970, for a response without a date.

    Returns:
        0 to MAX_RETRY_AFTER_S, or None when there is no field, or rubbish.
    """
    text = (value or "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text), MAX_RETRY_AFTER_S) if _SECONDS.fullmatch(text) else MAX_RETRY_AFTER_S
    seconds = seconds_until(text, date, wall_s)
    return None if seconds is None else min(max(seconds, 0.0), MAX_RETRY_AFTER_S)


def seconds_until(text: str, date: str | None, wall_s: float) -> float | None:
    """How long it is until an HTTP date, negative when it has passed; None when it is not a date."""
    then_s = _parse_date(text)
    if then_s is None:
        return None
    now_s = _parse_date(date or "")
    return then_s - (wall_s if now_s is None else now_s)


@dataclass(frozen=True, slots=True)
class BackoffSettings:
    """How the waits grow."""

    first_s: float = 0.25
    """Before the second attempt; each further wait is twice as long."""
    max_unreachable_s: float = 1.0
    """While nobody answers at all, which costs nobody anything: a restarted server is found again at once."""
    max_refused_s: float = 30.0
    """While a server refuses."""
    jitter: float = 0.5
    """Share of a wait that is left to chance, so that clients do not come back all at once (WHIP 5)."""
    settled_s: float = 3.0
    """After a session that was connected for so long there is no wait before the first attempt. One that ends sooner
    is a failure like another, so that a server which throws us out each time is not asked without a pause."""


class Backoff:
    """Counts failures in a row and says how long to wait.

    Args:
        kind: Who is trying; decides what is worth another attempt.
        settings: How the waits grow.
        source: Of chance.
    """

    def __init__(
        self, kind: Kind, settings: BackoffSettings | None = None, source: random.Random | None = None
    ) -> None:
        self._kind = kind
        self._settings = settings or BackoffSettings()
        self._random = source or random.Random()
        self._failures = 0
        self._has_worked = False
        self._connected_since_s: float | None = None

    def failed(self, error: SignalingError, now_s: float) -> float | None:
        """Count a failure: of an attempt, or the end of a session that was connected.

        Returns:
            Seconds to wait before the next attempt; None when there is no point in one.
        """
        since_s, self._connected_since_s = self._connected_since_s, None
        if not is_worth_retrying(error, self._kind, has_worked=self._has_worked):
            return None
        settings = self._settings
        if since_s is not None and now_s - since_s >= settings.settled_s:
            self._failures = 0
            return 0.0
        longest_s = settings.max_refused_s if error.status else settings.max_unreachable_s
        grown_s = min(settings.first_s * 2.0 ** min(self._failures, 32), longest_s)
        self._failures += 1
        if error.retry_after_s is not None:
            # Not before the time that was asked for, and not all at that very moment.
            return error.retry_after_s + settings.jitter * self._random.random() * grown_s
        return grown_s * (1.0 - settings.jitter * self._random.random())

    def succeeded(self, now_s: float) -> None:
        """An attempt led to a session that is connected."""
        self._has_worked = True
        self._connected_since_s = now_s


def _parse_date(text: str) -> float | None:
    """Seconds since 1970 of an HTTP date in any of its three formats (RFC 9110, 5.6.7)."""
    if not text or len(text) > _MAX_DATE_CHARACTERS:
        return None
    try:
        date = parsedate_to_datetime(text)
        # No zone in the format of asctime: it is UTC.
        return date.timestamp() if date.tzinfo else date.replace(tzinfo=datetime.UTC).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
