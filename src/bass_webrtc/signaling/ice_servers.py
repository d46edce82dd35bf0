"""``Link`` header fields that tell a client its ICE servers (WHIP 4.6)."""

from __future__ import annotations

import secrets
from collections.abc import Iterable

from ..config import IceServer
from ..rtc.turn_credentials import time_limited_credentials

CREDENTIALS_LIFETIME_S = 24 * 3600.0
"""A TURN server asks for them at each refresh, too, so they are to outlive a session; a longer one begins anew."""
_USER_BYTES = 9


def ice_server_link(url: str, username: str | None = None, credential: str | None = None) -> str:
    """The value of one ``Link`` field.

    Args:
        url: ``stun:``, ``stuns:``, ``turn:`` or ``turns:`` (RFC 7064, RFC 7065).
        username: For TURN, with ``credential``.
        credential: For TURN, with ``username``.

    Raises:
        ConfigError: the URL is not one of the four kinds, or a value has a character that clients trip over.
    """
    IceServer(url, username, credential).check_for_visitors()
    link = f'<{url}>; rel="ice-server"'
    if username is None:
        return link
    # credential-type left the text before it became RFC 9725, but MediaMTX's players still ask for it.
    return f'{link}; username="{username}"; credential="{credential}"; credential-type="password"'


def visitor_links(servers: Iterable[IceServer], turn_secret: str | None, now_unix_s: float) -> tuple[str, ...]:
    """The ``Link`` fields for one visitor. They are secrets.

    Args:
        servers: Those that are configured.
        turn_secret: Makes time-limited credentials for the TURN servers that have none.
        now_unix_s: The wall clock, in seconds since 1970.

    Raises:
        ConfigError: One of them is of no use; ``ServerConfig`` has no such.
    """
    visitor = secrets.token_urlsafe(_USER_BYTES)  # Names a visitor in the TURN server's log and quotas, to nobody else.
    links = []
    for server in servers:
        username, credential = server.username, server.credential
        if server.is_turn and username is None and turn_secret is not None:
            made = time_limited_credentials(
                turn_secret, visitor, now_unix_s=now_unix_s, lifetime_s=CREDENTIALS_LIFETIME_S
            )
            username, credential = made.username, made.credential
        links.append(ice_server_link(server.url, username, credential))
    return tuple(links)
