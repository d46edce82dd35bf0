"""Time-limited TURN credentials from a shared secret, the way coturn's ``use-auth-secret`` checks them.

    username   = "EXPIRY:USER"         EXPIRY in seconds of Unix time
    credential = base64(HMAC-SHA1(secret, username))

They can be given to any visitor: they stop working by themselves, and the secret cannot be found from them.
Known as the TURN REST API (draft-uberti-behave-turn-rest-00); coturn, MediaMTX, LiveKit and others follow it.
"""

from __future__ import annotations

import base64
import hmac
import math
import re
from dataclasses import dataclass, field

from ..errors import ConfigError

_USER = re.compile(r"[A-Za-z0-9._~@+-]{0,128}")
"""Of characters that are safe in ``Link`` header fields (OBS splits them at , and ; even in quotes) and in STUN."""


@dataclass(frozen=True, slots=True)
class TurnCredentials:
    """What a TURN client logs in with."""

    username: str
    credential: str = field(repr=False)


def time_limited_credentials(secret: str, user: str, *, now_unix_s: float, lifetime_s: float) -> TurnCredentials:
    """Make credentials that a TURN server with the same secret accepts for a while.

    Args:
        secret: Shared with the TURN server (coturn: ``static-auth-secret``).
        user: Who they are for; only names them in the server's log. Letters, digits and ``._~@+-``, or empty.
        now_unix_s: The wall clock, in seconds since 1970.
        lifetime_s: How long they can be used to log in. Sessions refresh their allocation with them too, so let it
            be longer than a session.

    Raises:
        ConfigError: The secret is empty, the lifetime is not positive, or the user has other characters.
    """
    if not secret:
        raise ConfigError("turn_secret is empty; expected the secret that the TURN server knows")
    if not lifetime_s > 0 or not math.isfinite(lifetime_s):
        raise ConfigError(f"lifetime_s is {lifetime_s}; expected a positive number of seconds")
    if not _USER.fullmatch(user):
        raise ConfigError(f"the TURN user is {user[:80]!r}; expected letters, digits and ._~@+-")
    expiry_unix_s = math.floor(now_unix_s + lifetime_s)
    username = f"{expiry_unix_s}:{user}" if user else str(expiry_unix_s)
    digest = hmac.digest(secret.encode(errors="surrogateescape"), username.encode(), "sha1")
    return TurnCredentials(username, base64.b64encode(digest).decode("ascii"))
