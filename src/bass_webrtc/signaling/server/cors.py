"""Cross-origin access (Fetch standard, "CORS protocol"): which web pages may use this server.

A browser sends the requests of any page, for example to a server on the same machine that needs no token, and only
keeps the responses from the page. Requests of pages that are not allowed are therefore refused. Programs other than
browsers send no ``Origin``.

Credentials mode is never allowed: the server uses no cookies, and a page that has the token sends it itself.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ...config import checked_origin
from ..messages import Fields, Refused, Request, split_host

ALLOWED_METHODS = "OPTIONS, GET, HEAD, POST, PATCH, DELETE"
_ALLOWED_FIELDS = "Authorization, Content-Type, If-Match, ETag"
"""Listed in full, because ``*`` does not cover Authorization. Eyevinn's publisher returns the entity tag in ETag."""
_EXPOSED_FIELDS = "Location, ETag, Link, Accept-Patch, Accept-Post, Retry-After, Warning, WWW-Authenticate"
_MAX_AGE_S = 7200
"""How long a browser may cache a preflight response; the maximum in Chromium."""
_LONGEST_SHOWN = 100


class Cors:
    """Decides which origins may send requests and read the responses.

    Args:
        allow_origins: Origins such as ``"https://radio.example"``; ``"*"`` allows all. If empty, only the server's own
            page is allowed, which needs no permission.

    Raises:
        ConfigError: An entry is not an origin.
    """

    def __init__(self, allow_origins: Sequence[str] = ()) -> None:
        self._any = "*" in allow_origins
        self._origins = frozenset(checked_origin(origin) for origin in allow_origins if origin != "*")

    def check(self, request: Request) -> None:
        """Check that no page of another site sends the request.

        Links from other sites work: a browser that follows one sends no ``Origin``.

        Raises:
            Refused: 403, the origin is neither the server's own nor allowed.
        """
        if self._any:
            return
        origin = request.headers.get("Origin")
        if origin is None:
            if request.headers.get("Sec-Fetch-Site") == "cross-site" and not _is_navigation(request):
                raise Refused(403, "Pages of other sites may not use this server without naming their origin.")
        elif origin.lower() not in self._origins and not _is_own(origin, request):
            raise _foreign(origin)

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


def is_foreign_page(request: Request) -> bool:
    """Return whether a page of another site sends the request."""
    origin = request.headers.get("Origin")
    return origin is not None and not _is_own(origin, request)


def _is_own(origin: str, request: Request) -> bool:
    """Return whether a page of this server sends the request.

    The scheme does not count, because a proxy may terminate TLS.
    """
    scheme, separator, authority = origin.partition("://")
    is_web = scheme.lower() in ("http", "https") and bool(separator)
    own = (request.headers.get("Host") or "", request.forwarded.host)
    return is_web and split_host(authority) in {split_host(host) for host in own if host}


def _is_navigation(request: Request) -> bool:
    return request.method in ("GET", "HEAD") and request.headers.get("Sec-Fetch-Mode") == "navigate"


def _foreign(origin: str) -> Refused:
    if origin == "null":
        return Refused(
            403,
            "Local files and sandboxed frames may not use this server, because they have no origin of their own. "
            'Serve the page over HTTP, or allow all pages with --allow-origin "*" (allow_origins).',
        )
    shown = re.sub(r"[^A-Za-z0-9+._:/\[\]-]", "?", origin[:_LONGEST_SHOWN])
    return Refused(
        403,
        f'Pages of "{shown}" may not use this server. If they should, start the server with '
        f"--allow-origin {shown} (allow_origins).",
    )


def is_preflight(request: Request) -> bool:
    """Return whether the request is a CORS preflight of a browser."""
    is_options = request.method == "OPTIONS"
    return is_options and "Origin" in request.headers and "Access-Control-Request-Method" in request.headers
