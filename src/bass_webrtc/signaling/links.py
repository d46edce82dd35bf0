"""``Link`` header fields that tell a client its ICE servers (WHIP 4.6)."""

from __future__ import annotations

import re

from ..errors import ConfigError

_URL = re.compile(r"(?:stuns?|turns?):[A-Za-z0-9._:\[\]-]+(?:\?transport=(?:udp|tcp))?")
_UNSAFE = re.compile(r'[,;"\\\x00-\x20\x7f-\uffff]')
"""OBS splits the field at commas and semicolons even inside of quotes, so none may stand in a value."""


def ice_server_link(url: str, username: str | None = None, credential: str | None = None) -> str:
    """The value of one ``Link`` field.

    Args:
        url: ``stun:``, ``stuns:``, ``turn:`` or ``turns:`` (RFC 7064, RFC 7065).
        username: For TURN, with ``credential``.
        credential: For TURN, with ``username``.

    Raises:
        ConfigError: the URL is not one of the four kinds, or a value has a character that clients trip over.
    """
    if not _URL.fullmatch(url):
        raise ConfigError(f"the ICE server's URL is {url!r}; expected stun:HOST[:PORT] or turn:HOST[:PORT]")
    link = f'<{url}>; rel="ice-server"'
    if username is None and credential is None:
        return link
    if username is None or credential is None:
        raise ConfigError(f"the ICE server {url!r} has a username or a credential; expected both or none")
    if _UNSAFE.search(username) or _UNSAFE.search(credential):
        raise ConfigError(f"the ICE server {url!r} has credentials with a comma, semicolon, quote, backslash or space")
    # credential-type left the text before it became RFC 9725, but MediaMTX's players still ask for it.
    return f'{link}; username="{username}"; credential="{credential}"; credential-type="password"'
