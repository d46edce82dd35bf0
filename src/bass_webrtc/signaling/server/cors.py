"""Cross-origin access (Fetch standard, "CORS protocol"): which web pages may use this server.

Credentials mode is never allowed: the server uses no cookies, and a page that has the token sends it itself.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ...errors import ConfigError
from ..messages import Fields, Request

_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?")

ALLOWED_METHODS = "OPTIONS, GET, HEAD, POST, PATCH, DELETE"
_ALLOWED_FIELDS = "Authorization, Content-Type, If-Match, ETag"
"""Listed in full, because ``*`` does not cover Authorization. Eyevinn's publisher returns the entity tag in ETag."""
_EXPOSED_FIELDS = "Location, ETag, Link, Accept-Patch, Accept-Post, Retry-After, WWW-Authenticate"
_MAX_AGE_S = 7200
"""How long a browser may cache a preflight response; the maximum in Chromium."""


class Cors:
    """Decides which origins may read responses.

    Args:
        allow_origins: Origins such as ``"https://radio.example"``; ``"*"`` allows all. If empty, only the server's own
            page is allowed, which needs no permission.

    Raises:
        ConfigError: An entry is not an origin.
    """

    def __init__(self, allow_origins: Sequence[str] = ()) -> None:
        self._any = "*" in allow_origins
        self._origins = frozenset(_checked(origin) for origin in allow_origins if origin != "*")

    def fields(self, request: Request) -> Fields:
        """Return the header fields for any response, including errors."""
        allowed = self._allowed_origin(request)
        vary: Fields = (("Vary", "Origin"),) if self._origins and not self._any else ()
        if allowed is None:
            return vary
        return (("Access-Control-Allow-Origin", allowed), ("Access-Control-Expose-Headers", _EXPOSED_FIELDS), *vary)

    def preflight_fields(self, request: Request) -> Fields:
        """Return the header fields of a response to OPTIONS, in addition to those of ``fields``.

        The methods are listed even without an ``Origin``: MediaMTX trickles only to a server that lists PATCH.
        """
        methods: Fields = (("Access-Control-Allow-Methods", ALLOWED_METHODS),)
        if not is_preflight(request) or self._allowed_origin(request) is None:
            return methods
        return (
            *methods,
            ("Access-Control-Allow-Headers", _ALLOWED_FIELDS),
            ("Access-Control-Max-Age", str(_MAX_AGE_S)),
        )

    def _allowed_origin(self, request: Request) -> str | None:
        if self._any:
            return "*"
        origin = request.headers.get("Origin")
        return origin if origin is not None and origin.lower() in self._origins else None


def is_preflight(request: Request) -> bool:
    """Return whether the request is a CORS preflight of a browser."""
    is_options = request.method == "OPTIONS"
    return is_options and "Origin" in request.headers and "Access-Control-Request-Method" in request.headers


def _checked(origin: str) -> str:
    """Return the origin in lower case. ``null`` is refused, because all sandboxed frames and local files share it."""
    lowered = origin.lower()
    if not _ORIGIN.fullmatch(lowered):
        raise ConfigError(f"allow_origins contains {origin!r}; expected '*' or scheme://host[:port] without a path")
    return lowered
