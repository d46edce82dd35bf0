"""URLs given by servers: parsed, resolved, checked before a request goes there, and shown without secrets.

``Trust`` decides where a request may go and whether the token may go with it (RFC 9725, 4.5; RFC 9110, 15.4; SE66).
The networks that a server may lead to are in ``rtc/reach.py``. An address in a URL is checked at once, and every
address, also that of a name, again when ``fetch.py`` connects to it.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from urllib.parse import quote, urljoin, urlsplit

from ...config import bracketed
from ...rtc.candidate import is_loopback
from ...rtc.reach import Address, Scope, may_lead, parse_address, scope_of

MAX_REDIRECTS = 10

_MAX_CHARACTERS = 8192
_DEFAULT_PORTS = {"http": 80, "https": 443}
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_HOST = re.compile(r"[a-z0-9._-]{1,253}")
_NUMBER_LAST = re.compile(r"(.*\.)?([0-9]+|0x[0-9a-f]*)\.?")
"""Such a host is an IPv4 address (URL standard, 3.5), perhaps in one of the forms of inet_aton, such as 127.1."""
_SAFE = "!$%&'()*+,/:;=?@[]~"
"""Not encoded when a URL is converted to ASCII. Encoded characters stay as they are, because some URLs are signed."""
_LONG_SEGMENT = re.compile(r"[^/]{20,}")
"""Of a path. Some servers give each publisher a secret URL instead of a token."""


class UnsafeUrlError(ValueError):
    """A URL is not followed. The text gives the reason without the URL. Used inside this package only."""


@dataclass(frozen=True, slots=True)
class Url:
    """An absolute http or https URL without user name, password and fragment. Its ``repr`` shows no secret."""

    text: str = field(repr=False)
    """As sent: ASCII."""
    scheme: str = field(repr=False)
    host: str = field(repr=False)
    """In lower case; IPv6 without brackets."""
    port: int = field(repr=False)
    shown: str
    """For errors and logs: without query and long path segments; URLs from a server are shown without their path."""

    @classmethod
    def parse(cls, text: str, *, is_secret: bool = False) -> Url:
        """Parse a URL.

        Args:
            text: The URL.
            is_secret: Whether its path is secret, as that of a session is (RFC 9725, 5).

        Raises:
            UnsafeUrlError: The URL is malformed, has no host, or is neither http nor https.
        """
        _check_text(text)
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
        """Scheme, host and port; the port only if it is not the scheme's default (RFC 6454, 6.2)."""
        return _origin(self.scheme, self.host, self.port)

    def resolve(self, reference: str) -> Url:
        """Resolve a reference in a response to this URL (RFC 9110, 10.2.2; RFC 3986, 5).

        From https, an http URL at the same host becomes one at this origin: TLS ends in a proxy, and the server behind
        it does not know.

        Raises:
            UnsafeUrlError: The reference is malformed, or leads from https to http at another host.
        """
        _check_text(reference)
        try:
            joined = urljoin(self.text, reference.strip())
        except ValueError:
            raise UnsafeUrlError("the URL is malformed") from None
        resolved = Url.parse(joined, is_secret=True)
        if self.scheme == "http" or resolved.scheme == "https":
            return resolved
        if resolved.host != self.host:
            raise UnsafeUrlError("the URL leads from https to unencrypted http")
        return Url.parse(self.origin + resolved.text.removeprefix(resolved.origin), is_secret=True)


class Home:
    """The address at which a client reached the server that its user chose. One per client, shared by its sessions.

    It does not change, so the host name cannot lead elsewhere later (DNS rebinding).
    """

    def __init__(self) -> None:
        self.address: Address | None = None

    def reached(self, host: str) -> None:
        """Remember the address of the first connection."""
        self.address = self.address or parse_address(host)


@dataclass(frozen=True, slots=True)
class Trust:
    """Where a client goes because a server says so: redirects, session URLs, events, ICE servers, candidates."""

    endpoint: Url
    """The URL given by the user. The token is for its origin."""
    trusted_origins: frozenset[str] = frozenset()
    """Further origins that may get the token."""
    forbid_private: bool | None = None
    """None: what the server at ``home`` may lead to. True: besides the host of ``endpoint``, public addresses only.
    False: any address."""
    home: Home = field(default_factory=Home)

    def resolve(self, reference: str, base: Url) -> Url:
        """Resolve a reference and check that it may be followed.

        Raises:
            UnsafeUrlError: It must not be followed; the text gives the reason.
        """
        url = base.resolve(reference)
        # Without a home, only the connection decides.
        reason = self.refusal(url.host, url.host) if self.home.address or self.forbid_private else None
        if reason is not None:
            raise UnsafeUrlError(reason)
        return url

    def refusal(self, host: str, address: str) -> str | None:
        """Return why a connection must not be made; None if it may.

        Args:
            host: Host of the URL.
            address: Its IP address; a name, which is not resolved yet, is refused only if it is known to be private.
        """
        home, target = self.home.address, parse_address(address)
        is_own_host = host == self.endpoint.host
        if self.forbid_private and not is_own_host:
            return f"the URL leads into a private network: {address}" if is_private_host(address) else None
        if self.forbid_private is False or target is None:
            return None
        if may_lead(home, target) if home else is_own_host or scope_of(target) is Scope.PUBLIC:
            return None
        return (
            f"the URL leads into a private network, from {home or 'an unknown address'} to {target}; "
            "forbid_private=False or --allow-private allows this"
        )

    def allows_candidate(self, host: str) -> bool:
        """Return whether an ICE candidate of the server may be sent to, as far as that depends on its home.

        As in browsers, these may be private addresses. They may be on this machine only if the server is.
        """
        target = parse_address(host)
        if self.forbid_private is False or target is None or scope_of(target) is not Scope.LOOPBACK:
            return True
        home = self.home.address
        if home is None:
            return False
        return may_lead(home, target) or (home.is_loopback and str(target) in ("127.0.0.1", "::1"))

    def gets_token(self, url: Url) -> bool:
        """Return whether requests to a URL may carry the token.

        Besides the trusted origins these are https at the host of an http endpoint, each at its default port, and
        other ports of this machine for an endpoint on it.
        """
        own = self.endpoint
        is_upgrade = (own.scheme, own.port, url.scheme, url.port) == ("http", 80, "https", 443) and url.host == own.host
        is_local = is_loopback(own.host) and is_loopback(url.host)
        return url.origin == own.origin or url.origin in self.trusted_origins or is_upgrade or is_local


class Redirects:
    """Follows the redirects of one request.

    Attributes:
        url: Where the request goes next.
        status: Status of the last redirect; 0 before the first.
        gets_token: Whether it carries the token. Once sent without the token, it stays without, as in browsers.
    """

    def __init__(self, trust: Trust, url: Url) -> None:
        self.url = url
        self.status = 0
        self.gets_token = trust.gets_token(url)
        self._trust = trust
        self._seen = {url.text}

    def follow(self, status: int, location: str | None) -> None:
        """Follow a 3xx response, with unchanged method and body.

        Raises:
            UnsafeUrlError: The redirect is not followed; the text gives the reason.
        """
        if status not in (301, 302, 307, 308):
            # 303 would turn POST into GET and silently lose the offer, and so do 301 and 302 in browsers.
            raise UnsafeUrlError(f"unsafe redirect: status {status}; expected 307 or 308 (RFC 9725, 4.5)")
        if not location:
            raise UnsafeUrlError("unsafe redirect: no Location")
        if len(self._seen) > MAX_REDIRECTS:
            raise UnsafeUrlError(f"unsafe redirect: more than {MAX_REDIRECTS} in a row")
        try:
            self.url = self._trust.resolve(location, self.url)
        except UnsafeUrlError as error:
            raise UnsafeUrlError(f"unsafe redirect: {error}") from None
        if self.url.text in self._seen:
            raise UnsafeUrlError("unsafe redirect: redirect loop")
        self.status = status
        self._seen.add(self.url.text)
        self.gets_token = self.gets_token and self._trust.gets_token(self.url)


def is_private_host(host: str) -> bool:
    """Return whether a host, as written, is this machine or in a private network. Other names are not resolved."""
    if f".{host.rstrip('.')}".endswith((".localhost", ".local")):
        return True
    address = parse_address(host)
    return address is not None and scope_of(address) is not Scope.PUBLIC


def _check_text(text: str) -> None:
    if len(text) > _MAX_CHARACTERS:
        raise UnsafeUrlError("the URL is too long")
    if _CONTROL.search(text):
        raise UnsafeUrlError("the URL has control characters")


def _host(text: str) -> str:
    """Return the host as sent: IDNA, lower case. Raises ValueError."""
    if ":" in text:
        address, percent, zone = text.partition("%")
        zone = zone.removeprefix("25") or zone  # RFC 6874, 2 writes "%25"; people write "%" as well.
        if percent and not _HOST.fullmatch(zone):
            raise ValueError("malformed zone identifier")
        return str(ipaddress.IPv6Address(address)) + percent + zone
    host = text if text.isascii() else text.encode("idna").decode("ascii")
    if not _HOST.fullmatch(host):
        raise ValueError("no host")
    if _NUMBER_LAST.fullmatch(host):
        ipaddress.IPv4Address(host)
    return host


def _origin(scheme: str, host: str, port: int | None) -> str:
    return f"{scheme}://{bracketed(host)}" + ("" if port in (None, _DEFAULT_PORTS.get(scheme)) else f":{port}")
