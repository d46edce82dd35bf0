"""Bearer tokens (RFC 6750; RFC 9725, 4.7): which requests may open a session.

The session URL is itself a secret, so PATCH and DELETE need no token unless ``require_token_on_sessions`` is set.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from dataclasses import dataclass, field
from urllib.parse import parse_qs

from ..messages import Fields, Refused, Request
from .invites import Invites, invite_secret

_CHALLENGE = 'Bearer realm="bass-webrtc"'


@dataclass(frozen=True, slots=True)
class TokenPolicy:
    """Which tokens an endpoint accepts, and how they may be sent."""

    token: str | None = field(default=None, repr=False)
    """The required token; None requires none."""
    more_tokens: tuple[str, ...] = field(default=(), repr=False)
    """Further tokens that are accepted."""
    other_tokens: tuple[str, ...] = field(default=(), repr=False)
    """Tokens that are valid elsewhere on this server but not here: answered with 403 instead of 401."""
    allow_basic: bool = False
    """Also accept the token as the password of HTTP Basic authentication (RFC 7617), with any user name."""
    allow_query: bool = False
    """Also accept ``?token=`` in the URL. URLs end up in proxy logs; header fields do not."""

    def check(self, request: Request) -> None:
        """Check that the request carries an accepted token.

        Raises:
            Refused: 400, 401 or 403 (RFC 6750, 3.1).
        """
        if self.token is None:
            return
        presented = self.presented(request)
        if presented is None:
            # No error code if the client sent no authentication at all (RFC 6750, 3.1).
            raise Refused(401, "A token is required.", self._challenge(""))
        if any(_equal(presented, accepted) for accepted in (self.token, *self.more_tokens)):
            return
        if any(_equal(presented, other) for other in self.other_tokens):
            raise Refused(403, "This token does not permit this request.", self._challenge("insufficient_scope"))
        raise Refused(401, "The token is not valid.", self._challenge("invalid_token"))

    def presented(self, request: Request) -> str | None:
        """Return the token of the request; None if it has none.

        Raises:
            Refused: 400, the token is malformed or was sent more than once.
        """
        lines = request.headers.all("Authorization")
        found = [token for token in (self._from_field(line) for line in lines) if token is not None]
        if self.allow_query:
            found += parse_qs(request.query).get("token", [])
        if len(lines) > 1 or len(found) > 1:
            raise self._malformed("Send exactly one token.")
        return found[0] if found else None

    def _from_field(self, value: str) -> str | None:
        scheme, _, credentials = value.strip().partition(" ")
        credentials = credentials.strip()
        if scheme.lower() == "bearer":  # Scheme names are case-insensitive (RFC 9110, 11.1).
            if not credentials and self.token is None:
                return None  # Some encoders send an empty key if the user gives none.
            if not credentials or len(credentials.split()) != 1:
                raise self._malformed("The bearer token is malformed.")
            return credentials
        if scheme.lower() == "basic" and self.allow_basic:
            return self._password(credentials)
        return None

    def _password(self, credentials: str) -> str:
        try:
            decoded = base64.b64decode(credentials, validate=True).decode()
        except (binascii.Error, ValueError):
            raise self._malformed("The Basic credentials are malformed.") from None
        _user, separator, password = decoded.partition(":")
        if not separator:
            raise self._malformed("The Basic credentials are malformed.")
        return password

    def _malformed(self, detail: str) -> Refused:
        return Refused(400, detail, self._challenge("invalid_request"))

    def _challenge(self, error: str) -> Fields:
        bearer = _CHALLENGE + (f', error="{error}"' if error else "")
        basic = (("WWW-Authenticate", 'Basic realm="bass-webrtc", charset="UTF-8"'),) if self.allow_basic else ()
        return (("WWW-Authenticate", bearer), *basic)


@dataclass(frozen=True, slots=True)
class InviteOrToken(TokenPolicy):
    """Which guests may call: those with an invite; others with a token, until an invite is required."""

    invites: Invites = field(kw_only=True, repr=False)

    def check(self, request: Request) -> None:
        """Check that the request carries an invite that can be used, or an accepted token.

        Raises:
            Refused: 403, 409 or 410 for an invite (see ``Invites``); 403, one is required; as ``TokenPolicy``.
        """
        secret = invite_secret(request)
        if secret is not None:
            self.invites.check(secret)
        elif self.invites.required:
            raise Refused(403, "An invite is required here: open the link that you were given.")
        else:
            TokenPolicy.check(self, request)


def _equal(presented: str, expected: str) -> bool:
    """Compare in constant time, so that timing does not reveal where the two differ."""
    return hmac.compare_digest(presented.encode(errors="backslashreplace"), expected.encode(errors="backslashreplace"))
