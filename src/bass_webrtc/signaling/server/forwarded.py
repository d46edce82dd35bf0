"""What a reverse proxy says about the request that it received: ``X-Forwarded-*`` and ``Forwarded`` (RFC 7239).

Only the fields of trusted proxies count; a client can send the same ones.
"""

from __future__ import annotations

import re

from ..messages import Forwarded, Headers, parse_parameters, split_host, split_outside_quotes

_PREFIX = re.compile(r"(?:/[A-Za-z0-9._~%!$&'()*+,;=:@-]+){1,20}")
_HOST = re.compile(r"[A-Za-z0-9._:\[\]-]{1,260}")
_MAX_PROXIES = 32
"""Elements of ``Forwarded`` that are read. Proxies append to what a client sends, which may be thousands."""


def read_forwarded(headers: Headers) -> Forwarded:
    """Return the path prefix and the host that the first proxy received. Malformed values count as absent."""
    prefix = (headers.get("X-Forwarded-Prefix") or "").strip().rstrip("/")
    host = _first(headers.get("X-Forwarded-Host")) or _read(_elements(headers)[0]).get("host", "")
    return Forwarded(prefix if _PREFIX.fullmatch(prefix) else "", host if _HOST.fullmatch(host) else "")


def forwarded_for(headers: Headers) -> list[str]:
    """Return the addresses that the proxies received the request from, the last proxy's entry last.

    From ``X-Forwarded-For``; without that field, from ``Forwarded``.
    """
    if lines := headers.get("X-Forwarded-For"):
        return [hop.strip() for hop in lines.split(",")]
    return [_without_port(_read(element).get("for", "")) for element in _elements(headers)[-_MAX_PROXIES:]]


def _elements(headers: Headers) -> list[str]:
    return split_outside_quotes(headers.get("Forwarded") or "", ",")


def _read(element: str) -> dict[str, str]:
    return parse_parameters(f";{element}")[1]


def _first(value: str | None) -> str:
    return (value or "").partition(",")[0].strip()


def _without_port(node: str) -> str:
    """Return the address of a node; IPv6 has brackets there, unlike in ``X-Forwarded-For`` (RFC 7239, 6)."""
    return split_host(node)[0]
