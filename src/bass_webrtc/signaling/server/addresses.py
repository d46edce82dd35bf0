"""Who is asking, and for which host: addresses behind proxies, and names that browsers were tricked into."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterable, Sequence

from ...errors import ConfigError

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def parse_networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Read addresses and networks such as ``"10.0.0.1"`` and ``"10.0.0.0/8"``.

    Raises:
        ConfigError: one of them is neither.
    """
    try:
        return tuple(ipaddress.ip_network(text) for text in texts)
    except ValueError as error:
        raise ConfigError(f"trusted_proxies: {error}; expected addresses or networks") from None


def client_address(peer: str, forwarded_for: Sequence[str], trusted: Sequence[Network]) -> str:
    """The address that limits and statistics count.

    ``X-Forwarded-For`` is believed from the right to the left, as long as a trusted proxy wrote it: everything that
    the first stranger says of himself may be invented.

    Args:
        peer: The other end of the TCP connection.
        forwarded_for: Lines of ``X-Forwarded-For``.
        trusted: Networks of the proxies that may be believed.
    """
    client = _parse(peer)
    if client is None:
        return peer
    hops = [hop.strip() for line in forwarded_for for hop in line.split(",")]
    while hops and any(client in network for network in trusted):
        hop = _parse(hops.pop())
        if hop is None:
            break
        client = hop
    return str(client)


def is_allowed_host(host: str | None, allowed: Collection[str]) -> bool:
    """Whether the ``Host`` field names us, against DNS rebinding: a stranger's name that was made to mean our address.

    An IP address cannot be rebound, nor can ``localhost``, so these are always allowed.

    Args:
        host: The field's value, with or without a port.
        allowed: Names that are ours, in lower case.
    """
    name = (host or "").strip().lower()
    name = name[1:].partition("]")[0] if name.startswith("[") else name.partition(":")[0]
    return name == "localhost" or name in allowed or _parse(name) is not None


def plain_address(text: str) -> str:
    """An address as it would be over its own kind of socket; other text is left alone."""
    address = _parse(text)
    return text if address is None else str(address)


def _parse(text: str) -> _Address | None:
    """Reads an address; IPv4 that came through an IPv6 socket becomes IPv4 again."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
