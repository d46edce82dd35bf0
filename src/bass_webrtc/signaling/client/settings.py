"""Settings of a client's session, checked, and the secrets they contain."""

from __future__ import annotations

import base64
import ssl
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from ...config import require_token
from ...errors import ConfigError
from .urls import Home, Trust, UnsafeUrlError, Url


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """Settings of one session. Invalid values raise ``ConfigError``, which shows no secret."""

    url: str = field(repr=False)
    """URL of the endpoint. A user name and password in it are sent by HTTP Basic if there is no token."""
    token: str | None = field(default=None, repr=False)
    """Bearer token; None sends no ``Authorization`` field (RFC 9725, 4.7.1)."""
    trusted_origins: tuple[str, ...] = ()
    """Origins (``"https://media.example"``) that get the token, besides that of ``url``."""
    forbid_private: bool | None = None
    """Whether the server may lead into private networks; see ``Trust``."""
    tls: ssl.SSLContext | None = field(default=None, repr=False)
    """Which certificates are trusted; None: those that the system trusts."""
    request_timeout_s: float = 10.0
    """For a request including its redirects and the whole response."""
    connect_timeout_s: float | None = None
    """For a new connection including its TLS handshake; None: as long as the request may take. While a host is down,
    TCP retransmits at growing intervals, so soon after its return only a new connection attempt reaches it."""
    delete_timeout_s: float = 3.0
    """For DELETE; a program that exits waits for it."""
    cancel_grace_s: float = 3.0
    """How long a cancelled POST waits for its 201: the server may have created a session, which must be deleted."""
    home: Home = field(default_factory=Home, repr=False, compare=False)
    """Learned by the first session with these settings."""

    def __post_init__(self) -> None:
        require_token("token", self.token)
        if not isinstance(self.forbid_private, (bool, type(None))):
            raise ConfigError(f"forbid_private is {self.forbid_private!r}; expected True, False or None")
        for name in ("request_timeout_s", "connect_timeout_s", "delete_timeout_s", "cancel_grace_s"):
            seconds = getattr(self, name)
            if seconds is not None and not seconds > 0:
                raise ConfigError(f"{name} is {seconds!r}; expected more than 0")
        self.trust()

    @property
    def endpoint(self) -> Url:
        """The parsed ``url``."""
        return _parsed("url", self.url)

    @property
    def authorization(self) -> str | None:
        """Value of the ``Authorization`` field; None if it is not sent."""
        if self.token is not None:
            return f"Bearer {self.token}"
        user, password = self._user_and_password()
        if not user and not password:
            return None
        return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode("ascii")

    @property
    def secrets(self) -> tuple[str, ...]:
        """Texts that no error may show."""
        authorization = (self.authorization or "").partition(" ")[2]
        return tuple(secret for secret in (self.token, authorization, self._user_and_password()[1]) if secret)

    def trust(self) -> Trust:
        """Return where requests may go."""
        origins = frozenset(_parsed("trusted_origins", origin).origin for origin in self.trusted_origins)
        return Trust(self.endpoint, origins, self.forbid_private, self.home)

    def _user_and_password(self) -> tuple[str, str]:
        parts = urlsplit(self.url.strip())
        return unquote(parts.username or ""), unquote(parts.password or "")


def _parsed(name: str, text: str) -> Url:
    try:
        return Url.parse(text)
    except UnsafeUrlError as error:
        raise ConfigError(f"{name}: {error}; expected https://HOST/PATH or http://HOST/PATH") from None
