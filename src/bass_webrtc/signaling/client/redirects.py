"""Where a request may go, and whether the token may go along (WHIP 4.5; RFC 9110, 15.4; conformance label SE66)."""

from __future__ import annotations

from dataclasses import dataclass

from .urls import UnsafeUrlError, Url, is_private_host

MAX_REDIRECTS = 10


@dataclass(frozen=True, slots=True)
class Trust:
    """What is believed of URLs that a server gives: of redirects, of sessions, of a ``reconnect`` event."""

    home: Url
    """The URL that the user gave. The token is for its origin."""
    trusted_origins: frozenset[str] = frozenset()
    """Other origins that get the token, too."""
    forbid_private: bool = False
    """Refuse hosts of private networks and of this machine, unless the user named them himself."""

    def resolve(self, reference: str, base: Url) -> Url:
        """What a reference means, if it may be followed.

        Raises:
            UnsafeUrlError: It may not; the text says why.
        """
        url = base.resolve(reference)
        if self.forbid_private and is_private_host(url.host) and url.host != self.home.host:
            raise UnsafeUrlError("it leads into a private network")
        return url

    def gets_token(self, url: Url) -> bool:
        """Whether requests to a URL may carry the token."""
        return url.origin == self.home.origin or url.origin in self.trusted_origins


class Redirects:
    """One request and the redirects on its way.

    Attributes:
        url: Where the request goes next.
        gets_token: Whether it carries the token. Once it went without, it goes on without, as browsers do.
    """

    def __init__(self, trust: Trust, url: Url) -> None:
        self.url = url
        self.gets_token = trust.gets_token(url)
        self._trust = trust
        self._seen = {url.text}

    def follow(self, status: int, location: str | None) -> None:
        """Goes where a 3xx response points: with method and body as they were, or not at all.

        Raises:
            UnsafeUrlError: The redirect is not followed; the text says why.
        """
        if status not in (307, 308):
            # 301, 302 and 303 would turn POST into GET, and the offer would be lost in silence.
            raise UnsafeUrlError("unsafe redirect: only 307 and 308 keep the request as it is (RFC 9725, 4.5)")
        if not location:
            raise UnsafeUrlError("unsafe redirect: it does not say where to")
        if len(self._seen) > MAX_REDIRECTS:
            raise UnsafeUrlError(f"unsafe redirect: more than {MAX_REDIRECTS} in a row")
        try:
            self.url = self._trust.resolve(location, self.url)
        except UnsafeUrlError as error:
            raise UnsafeUrlError(f"unsafe redirect: {error}") from None
        if self.url.text in self._seen:
            raise UnsafeUrlError("unsafe redirect: they go round in a circle")
        self._seen.add(self.url.text)
        self.gets_token = self.gets_token and self._trust.gets_token(self.url)
