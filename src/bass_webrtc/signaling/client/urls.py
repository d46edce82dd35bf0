"""URLs of servers that others run: taken apart, put together again, and shown without what is secret in them."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from urllib.parse import quote, urljoin, urlsplit

_MAX_CHARACTERS = 8192
_DEFAULT_PORTS = {"http": 80, "https": 443}
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_HOST = re.compile(r"[a-z0-9._-]{1,253}")
_SAFE = "!$%&'()*+,/:;=?@[]~"
"""Left alone when a URL is made ASCII: what is encoded already stays as it was, since some URLs are signed."""
_LONG_SEGMENT = re.compile(r"[^/]{20,}")
"""Of a path. Some servers give each publisher a secret URL instead of a token."""


class UnsafeUrlError(ValueError):
    """A URL that is not followed. The text says why, without the URL; used inside of this package only."""


@dataclass(frozen=True, slots=True)
class Url:
    """An absolute http or https URL, without user name, password and fragment. Its ``repr`` shows no secret."""

    text: str = field(repr=False)
    """As it is sent: ASCII."""
    scheme: str = field(repr=False)
    host: str = field(repr=False)
    """In lower case; an IPv6 address without brackets."""
    port: int = field(repr=False)
    shown: str
    """For errors and logs: no query, and no long segments of the path; no path at all of what a server gave us."""

    @classmethod
    def parse(cls, text: str, *, is_secret: bool = False) -> Url:
        """Take a URL apart.

        Args:
            text: The URL.
            is_secret: Whether its path is a secret, as that of a session is (WHIP 5).

        Raises:
            UnsafeUrlError: It is not http or https, has no host, or cannot be read.
        """
        if len(text) > _MAX_CHARACTERS:
            raise UnsafeUrlError("the URL is too long")
        if _CONTROL.search(text):
            raise UnsafeUrlError("the URL has control characters")
        try:
            parts = urlsplit(text.strip())
            host, port = _host(parts.hostname or ""), parts.port
            path, query = quote(parts.path or "/", safe=_SAFE), quote(parts.query, safe=_SAFE)
        except ValueError:
            raise UnsafeUrlError("the URL is malformed") from None
        if parts.scheme not in _DEFAULT_PORTS:
            raise UnsafeUrlError("the URL is neither http nor https")
        origin = _origin(parts.scheme, host, port)
        shown = f"{origin}/…" if is_secret else origin + _LONG_SEGMENT.sub("…", path)
        port = _DEFAULT_PORTS[parts.scheme] if port is None else port
        return cls(f"{origin}{path}{f'?{query}' if query else ''}", parts.scheme, host, port, shown)

    @property
    def origin(self) -> str:
        """Scheme, host and port, the port only if it is not the scheme's own (RFC 6454, 6.2)."""
        return _origin(self.scheme, self.host, self.port)

    def resolve(self, reference: str) -> Url:
        """What a reference in a response to this URL means (RFC 9110, 10.2.2; RFC 3986, 5).

        Raises:
            UnsafeUrlError: It cannot be read, or leads from https to http.
        """
        if len(reference) > _MAX_CHARACTERS:
            raise UnsafeUrlError("the URL is too long")
        if _CONTROL.search(reference):
            raise UnsafeUrlError("the URL has control characters")
        try:
            joined = urljoin(self.text, reference.strip())
        except ValueError:
            raise UnsafeUrlError("the URL is malformed") from None
        resolved = Url.parse(joined, is_secret=True)
        if self.scheme == "https" and resolved.scheme != "https":
            raise UnsafeUrlError("it leads from https to http, where anybody can read along")
        return resolved


def is_private_host(host: str) -> bool:
    """Whether a host is written so that it means this machine or its own network. Other names have to be looked up."""
    if host == "localhost" or host.endswith((".localhost", ".local")):
        return True
    return is_private_address(host)


def is_private_address(host: str) -> bool:
    """Whether an IP address is not one of the public Internet; a name is not an address."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return is_private_address(str(address.ipv4_mapped))
    return not address.is_global or address.is_multicast


def _host(text: str) -> str:
    """The host as it is sent: IDNA, lower case. Raises ValueError."""
    if ":" in text:
        return str(ipaddress.IPv6Address(text))
    host = text if text.isascii() else text.encode("idna").decode("ascii")
    if not _HOST.fullmatch(host):
        raise ValueError("no host")
    return host


def _origin(scheme: str, host: str, port: int | None) -> str:
    bracketed = f"[{host}]" if ":" in host else host
    return f"{scheme}://{bracketed}" + ("" if port in (None, _DEFAULT_PORTS.get(scheme)) else f":{port}")
