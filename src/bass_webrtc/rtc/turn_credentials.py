"""Time-limited TURN credentials from a shared secret, as checked by coturn's ``use-auth-secret``.

    username   = "EXPIRY:USER"         EXPIRY in seconds of Unix time
    credential = base64(HMAC-SHA1(secret, username))

They can be given to any client: they expire, and the secret cannot be derived from them. The scheme is known as the
TURN REST API (draft-uberti-behave-turn-rest-00); coturn, MediaMTX, LiveKit and others support it.
"""

from __future__ import annotations

import base64
import hmac
import math
import re
from dataclasses import dataclass, field

from ..errors import ConfigError

_USER = re.compile(r"[A-Za-z0-9._~@+-]{0,128}")
"""Characters that are safe in STUN and in ``Link`` header fields (OBS splits them at , and ; even inside quotes)."""


@dataclass(frozen=True, slots=True)
class TurnCredentials:
    """User name and password for a TURN server."""

    username: str
    credential: str = field(repr=False)


def time_limited_credentials(secret: str, user: str, *, now_unix_s: float, lifetime_s: float) -> TurnCredentials:
    """Make credentials that a TURN server with the same secret accepts for a limited time.

    Args:
        secret: The secret shared with the TURN server (coturn: ``static-auth-secret``).
        user: Name of the user, which appears only in the TURN server's log. Letters, digits and ``._~@+-``, or empty.
        now_unix_s: Wall clock, in seconds since 1970.
        lifetime_s: How long the credentials are accepted, in seconds. Sessions also refresh their allocation with them,
            so choose a time longer than a session.

    Raises:
        ConfigError: The secret is empty, the lifetime is not positive, or the user has other characters.
    """
    if not secret:
        raise ConfigError("turn_secret is empty; expected the secret shared with the TURN server")
    if not lifetime_s > 0 or not math.isfinite(lifetime_s):
        raise ConfigError(f"lifetime_s is {lifetime_s}; expected a positive number of seconds")
    if not _USER.fullmatch(user):
        raise ConfigError(f"the TURN user is {user[:80]!r}; expected letters, digits and ._~@+-")
    expiry_unix_s = math.floor(now_unix_s + lifetime_s)
    username = f"{expiry_unix_s}:{user}" if user else str(expiry_unix_s)
    digest = hmac.digest(secret.encode(errors="surrogateescape"), username.encode(), "sha1")
    return TurnCredentials(username, base64.b64encode(digest).decode("ascii"))
