"""Which networks a server at one address may send its clients to.

A client must not become a server's tool against the client's own machine and network. "Home" is the address at which
the client reached the server that its user chose:

    home            may lead to
    public          public addresses
    private         public and private addresses
    loopback        the same, because a program on this machine reaches these networks itself
    127.0.0.1, ::1  also the other one of the two
    any             itself

So nothing but itself leads to another loopback address, and nothing to link-local addresses and the metadata services
of cloud providers. Addresses that contain an IPv4 address, such as those of NAT64, count as that one.
"""

from __future__ import annotations

import enum
import ipaddress

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_IPV4_SUFFIXES = tuple(
    map(
        ipaddress.IPv6Network,
        (
            "::ffff:0:0/96",  # IPv4-mapped (RFC 4291, 2.5.5.2): the system connects to the IPv4 address.
            "::/96",  # IPv4-compatible (RFC 4291, 2.5.5.1).
            "64:ff9b::/96",  # NAT64 (RFC 6052, 2.1).
            "64:ff9b:1::/48",  # NAT64 (RFC 8215).
        ),
    )
)
"""Prefixes of addresses whose last 32 bits are an IPv4 address."""
_METADATA = frozenset(
    map(
        ipaddress.ip_address,
        (
            "169.254.169.254",  # Most cloud providers.
            "fd00:ec2::254",  # AWS.
            "fd20:ce::254",  # Google Cloud.
            "100.100.100.200",  # Alibaba Cloud.
            "168.63.129.16",  # Azure; otherwise a public address.
            "192.0.0.192",  # Oracle Cloud.
        ),
    )
)
_THIS_MACHINE = frozenset(map(ipaddress.ip_address, ("127.0.0.1", "::1")))
_UNSPECIFIED = {
    ipaddress.ip_address("0.0.0.0"): ipaddress.ip_address("127.0.0.1"),
    ipaddress.ip_address("::"): ipaddress.ip_address("::1"),
}
"""The system connects to these addresses instead."""


class Scope(enum.Enum):
    """Where an address is known."""

    PUBLIC = "public"
    PRIVATE = "private"
    """RFC 1918, ULA, shared address space (RFC 6598) and other unicast addresses that are not on the Internet."""
    LINK_LOCAL = "link-local"
    """Link-local, or a metadata service."""
    LOOPBACK = "loopback"
    NONE = "none"
    """Multicast, broadcast, or not assigned."""


def parse_address(text: str) -> Address | None:
    """Return the address that a connection to ``text`` leads to; None for a name.

    Zone identifiers are ignored, an IPv4 address inside an IPv6 one is extracted, and an unspecified address is
    replaced by the loopback address that the system uses for it.
    """
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address not in _UNSPECIFIED and address not in _THIS_MACHINE:
        if any(address in network for network in _IPV4_SUFFIXES):
            address = ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
        elif address.sixtofour is not None:
            address = address.sixtofour
    return _UNSPECIFIED.get(address, address)


def scope_of(address: Address) -> Scope:
    """Classify an address returned by ``parse_address``."""
    if address.is_loopback:
        return Scope.LOOPBACK
    if address.is_link_local or address in _METADATA:
        return Scope.LINK_LOCAL
    if address.is_multicast or address.is_reserved or int(address) >> 24 == 0:  # 0.0.0.0/8: "this network".
        return Scope.NONE
    is_site_local = isinstance(address, ipaddress.IPv6Address) and address.is_site_local
    return Scope.PUBLIC if address.is_global and not is_site_local else Scope.PRIVATE


def may_lead(home: Address, target: Address) -> bool:
    """Return whether a server at ``home`` may send its clients to ``target``. See the table above."""
    if target == home or {home, target} <= _THIS_MACHINE:
        return True
    scope = scope_of(target)
    return scope is Scope.PUBLIC or (scope is Scope.PRIVATE and scope_of(home) is not Scope.PUBLIC)
