"""Which STUN and TURN servers to ask, from their URLs (RFC 7064, RFC 7065).

    stun:HOST[:PORT]                       tells our address as the internet sees it; port 3478
    turn:HOST[:PORT][?transport=udp|tcp]   relays; port 3478, UDP unless it says otherwise
    turns:HOST[:PORT][?transport=tcp]      relays inside of TLS; port 5349

Not ``stuns:``, which tells only the address of a TCP connection, and not TURN over DTLS.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from typing import Literal

from ..errors import ConfigError

Transport = Literal["udp", "tcp"]

_LONGEST = 512
_URL = re.compile(
    r"(?P<scheme>stuns?|turns?):"
    r"(?:\[(?P<ipv6>[0-9a-f:.]{2,45})\]|(?P<host>[a-z0-9_](?:[a-z0-9._-]{0,251}[a-z0-9_])?\.?))"
    r"(?::(?P<port>[0-9]{1,5}))?"
    # LiveKit writes the question mark percent-encoded.
    r"(?:(?:\?|%3f)transport=(?P<transport>[a-z0-9]{1,16}))?",
    re.IGNORECASE,
)
_DEFAULT_PORT = 3478
_DEFAULT_TLS_PORT = 5349


@dataclass(frozen=True, slots=True)
class StunServer:
    """A server that tells us our own address, over UDP."""

    host: str
    """A name, or an address without brackets."""
    port: int

    def __str__(self) -> str:
        return f"stun:{_bracketed(self.host)}:{self.port}"


@dataclass(frozen=True, slots=True)
class TurnServer:
    """A server that relays UDP for us."""

    host: str
    """A name, or an address without brackets. With TLS, what its certificate must be for."""
    port: int
    username: str
    credential: str = field(repr=False)
    transport: Transport = "udp"
    """Between us and the server. Between the server and the peer it is UDP always."""
    tls: bool = False

    def __str__(self) -> str:
        return f"turn{'s' * self.tls}:{_bracketed(self.host)}:{self.port}?transport={self.transport}"


IceServerAddress = StunServer | TurnServer


def parse_ice_server(url: str, username: str | None = None, credential: str | None = None) -> IceServerAddress:
    """Read the URL of an ICE server, as it stands in a configuration or in a ``Link`` header field.

    Args:
        url: See above; upper and lower case count the same.
        username: For TURN, with ``credential``; a STUN server's are ignored.
        credential: The password, static or time-limited. It never appears in an error or a ``repr``.

    Raises:
        ConfigError: It is none of these, or it is of no use to us, or a TURN server's credentials are missing.
    """
    match = _URL.fullmatch(url) if len(url) <= _LONGEST else None
    if match is None:
        raise _refusal(url, "expected stun:HOST[:PORT], turn:HOST[:PORT][?transport=tcp] or turns:HOST[:PORT]")
    scheme = match["scheme"].lower()
    tls = scheme.endswith("s")
    host = _host(url, match["ipv6"], match["host"])
    port = int(match["port"]) if match["port"] else _DEFAULT_TLS_PORT if tls else _DEFAULT_PORT
    if not 0 < port < 1 << 16:
        raise _refusal(url, "expected a port from 1 to 65535")
    if scheme.startswith("stun"):
        if tls or match["transport"]:
            raise _refusal(url, "only STUN over plain UDP tells where audio is sent from; expected stun:HOST[:PORT]")
        return StunServer(host, port)
    if not username or not credential:
        raise _refusal(url, "a TURN server needs a username and a credential")
    return TurnServer(host, port, username, credential, _transport(url, match["transport"], tls=tls), tls)


def _host(url: str, ipv6: str | None, host: str) -> str:
    if ipv6 is None:
        return host
    try:
        return str(ipaddress.IPv6Address(ipv6))
    except ValueError:
        raise _refusal(url, "expected an IPv6 address inside of the brackets") from None


def _transport(url: str, text: str | None, *, tls: bool) -> Transport:
    """What follows ``?transport=``, or the default of the scheme (RFC 7065, 3.1 and RFC 5928, 3)."""
    transport = text.lower() if text else "tcp" if tls else "udp"
    if transport == "tcp":
        return "tcp"
    if transport == "udp" and not tls:
        return "udp"
    raise _refusal(url, "TURN works over UDP, over TCP, and over TLS on TCP")


def _refusal(url: str, expected: str) -> ConfigError:
    return ConfigError(f"ICE server {url[:80]!r} cannot be used: {expected}")


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
