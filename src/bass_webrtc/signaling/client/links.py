"""Header fields with parameters, read from servers of all kinds: ``Link`` (RFC 8288) and ``Content-Type``.

Rubbish is passed over entry by entry: an ICE server that cannot be read is one less to try, not a failure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import unquote

from ...config import IceServer, IceUrl
from ...errors import ConfigError

MAX_ICE_SERVERS = 16
"""Taken from one response. Each costs a timeout if it is dead."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_MAX_CREDENTIAL_CHARACTERS = 1024


def parse_ice_servers(links: Iterable[str]) -> tuple[IceServer, ...]:
    """The ICE servers that ``Link`` fields name (WHIP 4.6). Never raises.

    Args:
        links: Values of the fields; several entries may be joined by commas. Other relations, and what cannot be
            read, are passed over.

    Returns:
        Each server once, in order, not more than MAX_ICE_SERVERS.
    """
    servers: dict[IceServer, None] = {}
    for value in links:
        for entry in split_outside_quotes(value, ","):
            server = _ice_server(entry)
            if server is not None:
                servers[server] = None
    return tuple(servers)[:MAX_ICE_SERVERS]


def parse_parameters(text: str) -> tuple[str, dict[str, str]]:
    """Take ``value; name=value; name="quoted value"`` apart. Never raises.

    Returns:
        What stands before the first semicolon, and the parameters: names in lower case, the first of a name counts.
    """
    value, *parts = split_outside_quotes(text, ";")
    parameters: dict[str, str] = {}
    for part in parts:
        name, _, parameter = part.partition("=")
        parameters.setdefault(name.strip().lower(), _unquoted(parameter.strip()))
    return value.strip(), parameters


def split_outside_quotes(text: str, separator: str) -> list[str]:
    """Split at a character, but neither inside of ``"quoted strings"`` nor of ``<angle brackets>``; linear time."""
    parts: list[str] = []
    begin, closing, is_escaped = 0, "", False
    for position, character in enumerate(text):
        if is_escaped:
            is_escaped = False
        elif closing:
            is_escaped = character == "\\" and closing == '"'
            closing = "" if character == closing else closing
        elif character in '"<':
            closing = '"' if character == '"' else ">"
        elif character == separator:
            parts.append(text[begin:position])
            begin = position + 1
    return [*parts, text[begin:]]


def _ice_server(entry: str) -> IceServer | None:
    target, parameters = parse_parameters(entry)
    if "ice-server" not in parameters.get("rel", "").lower().split():
        return None
    # "password" is the only kind that ever was; many servers leave the parameter out.
    if parameters.get("credential-type", "password").lower() != "password":
        return None
    url = _ice_url(target)
    if url is None:
        return None
    if url.startswith("stun:"):
        return IceServer(url)
    username, credential = parameters.get("username", ""), parameters.get("credential", "")
    return IceServer(url, username, credential) if _is_usable(username) and _is_usable(credential) else None


def _ice_url(target: str) -> str | None:
    """The URL between the brackets, or None. LiveKit writes ``%3Ftransport=udp``, which means a question mark."""
    if not (target.startswith("<") and target.endswith(">")):
        return None
    try:
        url = IceUrl.parse(unquote(target[1:-1].strip()))
    except ConfigError:
        return None
    return None if url.scheme == "stuns" else str(url)


def _is_usable(credential: str) -> bool:
    """TURN servers that relay for anybody without credentials are none that one would want."""
    return 0 < len(credential) <= _MAX_CREDENTIAL_CHARACTERS and not _CONTROL.search(credential)


def _unquoted(text: str) -> str:
    """The value of a quoted string, or the token as it is (RFC 9110, 5.6.4)."""
    if len(text) < 2 or not (text.startswith('"') and text.endswith('"')):
        return text
    return re.sub(r"\\(.)", r"\1", text[1:-1])
