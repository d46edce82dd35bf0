"""``Link`` header fields that announce STUN and TURN servers to a client (RFC 9725, 4.6): written and parsed."""

from __future__ import annotations

import logging
import re
import secrets
from collections.abc import Iterable, Mapping

from ..config import IceServer
from ..errors import ConfigError
from ..rtc.turn_credentials import time_limited_credentials
from .messages import parse_links

CREDENTIALS_LIFETIME_S = 24 * 3600.0
"""A TURN server checks credentials at each refresh, so they must outlive the session; after a day it starts anew."""
_USER_BYTES = 9

MAX_ICE_SERVERS = 16
"""Servers taken from one response. Each unreachable one costs a timeout."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_MAX_CREDENTIAL_CHARACTERS = 1024
_log = logging.getLogger(__name__)


def ice_server_link(url: str, username: str | None = None, credential: str | None = None) -> str:
    """Return the value of one ``Link`` field.

    Args:
        url: ``stun:``, ``stuns:``, ``turn:`` or ``turns:`` (RFC 7064, RFC 7065).
        username: For TURN, with ``credential``.
        credential: For TURN, with ``username``.

    Raises:
        ConfigError: The URL is malformed, or a value contains a character that some clients cannot parse.
    """
    IceServer(url, username, credential).check_for_visitors()
    link = f'<{url}>; rel="ice-server"'
    if username is None:
        return link
    # RFC 9725 dropped credential-type, but MediaMTX's players still require it.
    return f'{link}; username="{username}"; credential="{credential}"; credential-type="password"'


def ice_server_links(servers: Iterable[IceServer], turn_secret: str | None, now_unix_s: float) -> tuple[str, ...]:
    """Return the values of the ``Link`` fields for one client. They contain secrets.

    Args:
        servers: The configured servers.
        turn_secret: Secret to derive time-limited credentials for TURN servers that have none.
        now_unix_s: Wall clock, in seconds since 1970.

    Raises:
        ConfigError: A server cannot be announced; ``ServerConfig`` accepts no such server.
    """
    user = secrets.token_urlsafe(_USER_BYTES)  # Identifies the client in the TURN server's log and quotas only.
    links = []
    for server in servers:
        username, credential = server.username, server.credential
        if server.is_turn and username is None and turn_secret is not None:
            made = time_limited_credentials(turn_secret, user, now_unix_s=now_unix_s, lifetime_s=CREDENTIALS_LIFETIME_S)
            username, credential = made.username, made.credential
        links.append(ice_server_link(server.url, username, credential))
    return tuple(links)


def parse_ice_servers(links: Iterable[str]) -> tuple[IceServer, ...]:
    """Parse the ICE servers in ``Link`` fields (RFC 8288; RFC 9725, 4.6). Never raises.

    Args:
        links: Field values; one value may contain several entries joined by commas. Other relations and malformed
            entries are skipped: a server that cannot be parsed is one less to try, not a failure.

    Returns:
        The servers in order, without duplicates, at most MAX_ICE_SERVERS.
    """
    servers: dict[IceServer, None] = {}
    problems: list[str] = []
    for target, parameters in parse_links(links):
        if "ice-server" in parameters.get("rel", "").lower().split():
            try:
                servers[_read_link(target, parameters)] = None
            except ConfigError as error:
                problems.append(str(error))
    if problems:  # One line: a response may have many entries.
        _log.info("skipped %d ICE servers of a response, the first because: %s", len(problems), problems[0])
    return tuple(servers)[:MAX_ICE_SERVERS]


def _read_link(target: str, parameters: Mapping[str, str]) -> IceServer:
    if not (target.startswith("<") and target.endswith(">")):
        raise ConfigError("an ICE server's URL is not in angle brackets")
    # "password" is the only type ever defined; many servers omit the parameter.
    if parameters.get("credential-type", "password").lower() != "password":
        raise ConfigError("an ICE server has credentials of another type; expected password")
    server = IceServer(target[1:-1], parameters.get("username"), parameters.get("credential"))
    if server.url.startswith("stuns:"):
        raise ConfigError(f"ICE server {server.url!r} reports no UDP address")
    if not server.is_turn:
        return IceServer(server.url)
    if not (_is_usable(server.username) and _is_usable(server.credential)):
        raise ConfigError(f"ICE server {server.url!r} has no usable credentials")
    return server


def _is_usable(text: str | None) -> bool:
    """Check a user name or credential. TURN servers without credentials, which relay for anyone, are not used."""
    return text is not None and 0 < len(text) <= _MAX_CREDENTIAL_CHARACTERS and not _CONTROL.search(text)
