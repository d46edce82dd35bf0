"""What a client is told about the server it talks to, checked, and where each secret in it may show up."""

from __future__ import annotations

import base64
import re
import ssl
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from ...errors import ConfigError
from .redirects import Trust
from .urls import UnsafeUrlError, Url

_TOKEN = re.compile(r"[!-~]+")


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """Settings of one session. Wrong values raise ``ConfigError``, which shows no secret."""

    url: str = field(repr=False)
    """Of the endpoint. User name and password in it are sent by HTTP Basic when there is no token."""
    token: str | None = field(default=None, repr=False)
    """Bearer token; None sends no ``Authorization`` field at all (WHIP 4.7.1)."""
    trusted_origins: tuple[str, ...] = ()
    """Origins (``"https://media.example"``) besides that of the URL that get the token, too."""
    forbid_private: bool = False
    """Do not let the server lead us into private networks by redirects or session URLs."""
    tls: ssl.SSLContext | None = field(default=None, repr=False)
    """Which certificates are believed; None: those the system does."""
    request_timeout_s: float = 10.0
    """For a request with its redirects and the whole response."""
    connect_timeout_s: float | None = None
    """For a new connection, with its TLS handshake; None: as long as the request may take. A host that is down swallows
    what it is asked, and TCP asks again ever more seldom: soon after its return only a new connection finds it."""
    delete_timeout_s: float = 3.0
    """For DELETE, which the end of a program waits for."""
    cancel_grace_s: float = 3.0
    """How long a POST that is cancelled waits for its 201: there may be a session by then, and it has to be deleted."""

    def __post_init__(self) -> None:
        if self.token is not None and not _TOKEN.fullmatch(self.token):
            raise ConfigError("token has other characters than printable ASCII; expected it alone, without 'Bearer'")
        for name in ("request_timeout_s", "connect_timeout_s", "delete_timeout_s", "cancel_grace_s"):
            seconds = getattr(self, name)
            if seconds is not None and not seconds > 0:
                raise ConfigError(f"{name} is {seconds!r}; expected more than 0")
        self.trust()

    @property
    def endpoint(self) -> Url:
        """The URL."""
        return _parsed("url", self.url)

    @property
    def authorization(self) -> str | None:
        """Value of the ``Authorization`` field, or None for no such field."""
        if self.token is not None:
            return f"Bearer {self.token}"
        user, password = self._user_and_password()
        if not user and not password:
            return None
        return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode("ascii")

    @property
    def secrets(self) -> tuple[str, ...]:
        """What no error may show."""
        authorization = (self.authorization or "").partition(" ")[2]
        return tuple(secret for secret in (self.token, authorization, self._user_and_password()[1]) if secret)

    def trust(self) -> Trust:
        """Where requests may go."""
        origins = frozenset(_parsed("trusted_origins", origin).origin for origin in self.trusted_origins)
        return Trust(self.endpoint, origins, self.forbid_private)

    def _user_and_password(self) -> tuple[str, str]:
        parts = urlsplit(self.url.strip())
        return unquote(parts.username or ""), unquote(parts.password or "")


def _parsed(name: str, text: str) -> Url:
    try:
        return Url.parse(text)
    except UnsafeUrlError as error:
        raise ConfigError(f"{name}: {error}; expected one like https://HOST/PATH") from None
