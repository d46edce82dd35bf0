"""Cross-origin access (the Fetch standard, "CORS protocol"): which web pages may talk to us.

No credentials mode is ever allowed: there are no cookies here, and a page that has the token sends it itself.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ...errors import ConfigError
from ..messages import Fields, Request

_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?")

ALLOWED_METHODS = "OPTIONS, GET, HEAD, POST, PATCH, DELETE"
_ALLOWED_FIELDS = "Authorization, Content-Type, If-Match, ETag"
"""In full: ``*`` does not cover Authorization. Eyevinn's publisher gives the entity tag back in a field ETag."""
_EXPOSED_FIELDS = "Location, ETag, Link, Accept-Patch, Accept-Post, Retry-After, WWW-Authenticate"
_MAX_AGE_S = 7200
"""How long a browser may remember a preflight; Chromium takes no more."""


class Cors:
    """Says which origins may read our responses.

    Args:
        allow_origins: Origins such as ``"https://radio.example"``; ``"*"`` alone allows all. Empty allows none
            besides our own page, which needs no permission.

    Raises:
        ConfigError: an entry is not an origin.
    """

    def __init__(self, allow_origins: Sequence[str] = ()) -> None:
        self._any = "*" in allow_origins
        self._origins = frozenset(_checked(origin) for origin in allow_origins if origin != "*")

    def fields(self, request: Request) -> Fields:
        """Header fields for any response, errors included."""
        allowed = self._allowed_origin(request)
        vary: Fields = (("Vary", "Origin"),) if self._origins and not self._any else ()
        if allowed is None:
            return vary
        return (("Access-Control-Allow-Origin", allowed), ("Access-Control-Expose-Headers", _EXPOSED_FIELDS), *vary)

    def preflight_fields(self, request: Request) -> Fields:
        """Header fields of the response to OPTIONS, besides those of ``fields``.

        The methods are told without an Origin, too: MediaMTX trickles only to a server whose list has PATCH.
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
    """Whether a browser asks for permission on behalf of a page."""
    is_options = request.method == "OPTIONS"
    return is_options and "Origin" in request.headers and "Access-Control-Request-Method" in request.headers


def _checked(origin: str) -> str:
    """Refuses ``null``, too: sandboxed frames and local files of anybody share it."""
    lowered = origin.lower()
    if not _ORIGIN.fullmatch(lowered):
        raise ConfigError(f"allow_origins has {origin!r}; expected '*' or scheme://host[:port] without a path")
    return lowered
