"""When to retry after a failure (RFC 9110, 10.2.3; RFC 9725, 4.5), and after which failures not to.

Only the status code decides; an unknown code counts as the x00 of its class (RFC 9725, 4.1).
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
"""Upper bound for ``Retry-After``; longer requests are cut to this."""

_RETRYABLE = frozenset({0, 408, 409, 425, 429})
"""No response, and refusals that pass by themselves: timeouts, a name in use, too many requests."""
_SECONDS = re.compile(r"[0-9]{1,9}", re.ASCII)
_MAX_DATE_CHARACTERS = 64


def is_worth_retrying(error: SignalingError, kind: Kind, *, had_session: bool = False) -> bool:
    """Return whether the same request may succeed later.

    Args:
        error: How the request failed.
        kind: For ``"player"``, 404 and 409 mean that there is no publisher yet (WHEP, "Session Management"; MediaMTX).
        had_session: Whether there was a session before. If so, the URL is right, and a 404 comes from a server or proxy
            that is not ready yet.
    """
    if isinstance(error.__cause__, ssl.SSLCertVerificationError):
        return False
    if error.status == 404:
        return kind == "player" or had_session
    return error.status in _RETRYABLE or error.status >= 500


def parse_retry_after(value: str | None, date: str | None, wall_s: float) -> float | None:
    """Parse a ``Retry-After`` field. Never raises.

    Args:
        value: The field: seconds, or an HTTP date.
        date: The ``Date`` field of the response, so that the server's clock is compared with itself.
        wall_s: Local time in seconds since 1970, for a response without a date.

    Returns:
        Seconds to wait, 0 to MAX_RETRY_AFTER_S; None if the field is absent or malformed.
    """
    text = (value or "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text), MAX_RETRY_AFTER_S) if _SECONDS.fullmatch(text) else MAX_RETRY_AFTER_S
    seconds = seconds_until(text, date, wall_s)
    return None if seconds is None else min(max(seconds, 0.0), MAX_RETRY_AFTER_S)


def seconds_until(text: str, date: str | None, wall_s: float) -> float | None:
    """Return the seconds until an HTTP date, negative if it has passed; None if ``text`` is not a date.

    Args:
        text: The HTTP date.
        date: The ``Date`` field of the response.
        wall_s: Local time in seconds since 1970, for a response without a date.
    """
    then_s = _parse_date(text)
    if then_s is None:
        return None
    now_s = _parse_date(date or "")
    return then_s - (wall_s if now_s is None else now_s)


@dataclass(frozen=True, slots=True)
class BackoffSettings:
    """How the waits grow. Times are in seconds."""

    first_s: float = 0.25
    """Wait before the second attempt; each further wait is twice as long."""
    max_unreachable_s: float = 1.0
    """Longest wait while the server does not respond. Short, because such attempts load no server, and the client finds
    a restarted server at once."""
    max_refused_s: float = 30.0
    """Longest wait while the server refuses."""
    jitter: float = 0.5
    """Random share of a wait, so that clients do not all return at the same time (RFC 9725, 5)."""
    settled_s: float = 3.0
    """A session that was connected for at least this long is followed by an attempt without a wait. Shorter ones are
    followed by waits that grow like those for refusals: the server ends each session at once, or two publishers take
    the same name from each other."""
    settled_waits: float = 4.0
    """So many times the wait before it must a session last, too, after short ones. Without this, two publishers that
    wait for ``settled_s`` would both count as settled."""


class Backoff:
    """Counts consecutive failures and computes the wait before the next attempt.

    Args:
        kind: Kind of the client; decides what is worth retrying.
        settings: How the waits grow.
        source: Random number generator.
    """

    def __init__(
        self, kind: Kind, settings: BackoffSettings | None = None, source: random.Random | None = None
    ) -> None:
        self._kind = kind
        self._settings = settings or BackoffSettings()
        self._random = source or random.Random()
        self._failures = 0
        self._short_sessions = 0
        self._had_session = False
        self._connected_since_s: float | None = None

    def failed(self, error: SignalingError, now_s: float, *, is_lost: bool = False) -> float | None:
        """Count the failure of an attempt, or the end of a connected session.

        Args:
            error: How the attempt or session ended.
            now_s: Monotonic time in seconds.
            is_lost: The server fell silent, and did not end the session: it may be back at any moment.

        Returns:
            Seconds to wait before the next attempt; None if another attempt is pointless.
        """
        since_s, self._connected_since_s = self._connected_since_s, None
        if not is_worth_retrying(error, self._kind, had_session=self._had_session):
            return None
        settings = self._settings
        if since_s is not None and now_s - since_s >= (settings.settled_s if is_lost else self._settled_s()):
            self._failures = self._short_sessions = 0
            return 0.0
        if since_s is not None and not is_lost:
            self._short_sessions += 1
            grown_s = self._short_wait_s()
        else:
            longest_s = settings.max_refused_s if error.status else settings.max_unreachable_s
            grown_s = min(settings.first_s * 2.0 ** min(self._failures, 32), longest_s)
            self._failures += 1
        if error.retry_after_s is not None:
            # Not before the requested time, and not all clients at exactly that time.
            return error.retry_after_s + settings.jitter * self._random.random() * grown_s
        return grown_s * (1.0 - settings.jitter * self._random.random())

    def short_session_s(self, now_s: float) -> float | None:
        """Return how long the session that is ending was connected; None if that is normal, or there was none."""
        since_s = self._connected_since_s
        return now_s - since_s if since_s is not None and now_s - since_s < self._settled_s() else None

    def _settled_s(self) -> float:
        settings = self._settings
        return max(settings.settled_s, settings.settled_waits * self._short_wait_s() if self._short_sessions else 0.0)

    def _short_wait_s(self) -> float:
        settings = self._settings
        return min(settings.first_s * 2.0 ** min(self._short_sessions - 1, 32), settings.max_refused_s)

    def succeeded(self, now_s: float) -> None:
        """Note that an attempt led to a connected session.

        Args:
            now_s: Monotonic time in seconds.
        """
        self._had_session = True
        self._connected_since_s = now_s


def _parse_date(text: str) -> float | None:
    """Return the seconds since 1970 of an HTTP date in any of its three formats (RFC 9110, 5.6.7)."""
    if not text or len(text) > _MAX_DATE_CHARACTERS:
        return None
    try:
        date = parsedate_to_datetime(text)
        # The asctime format has no time zone; it is UTC.
        return date.timestamp() if date.tzinfo else date.replace(tzinfo=datetime.UTC).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
