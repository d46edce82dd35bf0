"""The UDP sockets: one port on every address of this machine, so that a reply leaves from where it was asked."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import socket
from collections.abc import Iterable, Sequence

import ifaddr

from ..errors import PortInUseError

_RECEIVE_BUFFER_BYTES = 1 << 20
_EXPEDITED_FORWARDING = 46 << 2
"""DSCP EF: what RFC 8837, 5 recommends for interactive audio."""
_TRIES_FOR_ANY_PORT = 20


def local_addresses() -> list[str]:
    """This machine's addresses that a peer could reach: IPv4, then IPv6, loopback last; no link-local ones."""
    found: list[ipaddress.IPv4Address | ipaddress.IPv6Address] = []
    for adapter in ifaddr.get_adapters():
        for ip in adapter.ips:
            address = ipaddress.ip_address(ip.ip if isinstance(ip.ip, str) else ip.ip[0])
            if not address.is_link_local and address not in found:
                found.append(address)
    found.sort(key=lambda address: (address.is_loopback, address.version))
    return [str(address) for address in found]


def open_sockets(hosts: Sequence[str], port: int) -> list[socket.socket]:
    """Bind non-blocking UDP sockets to one port of all these addresses.

    Args:
        hosts: Addresses as ``local_addresses`` gives them. One that has just gone is left out.
        port: 0 takes any port that is free on all of them.

    Raises:
        PortInUseError: Another program has the port.
    """
    for _ in range(1 if port else _TRIES_FOR_ANY_PORT):
        sockets: list[socket.socket] = []
        try:
            for host in hosts:
                _append(sockets, host, port)
            return sockets
        except OSError as error:
            _close_all(sockets)
            if error.errno != errno.EADDRINUSE:
                raise
    what = f"UDP port {port} is" if port else f"{_TRIES_FOR_ANY_PORT} UDP ports in a row are"
    raise PortInUseError(f"{what} in use by another program; choose another udp_port, or 0 for any")


def _append(sockets: list[socket.socket], host: str, port: int) -> None:
    """Binds one more socket, to the port of those before it."""
    chosen = sockets[0].getsockname()[1] if sockets else port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    one = socket.socket(family, socket.SOCK_DGRAM)
    try:
        _set_options(one)
        one.bind((host, chosen))
    except OSError as error:
        one.close()
        if error.errno != errno.EADDRNOTAVAIL:
            raise
    else:
        sockets.append(one)


def _set_options(one: socket.socket) -> None:
    one.setblocking(False)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
    with contextlib.suppress(OSError):  # A courtesy to routers; not every system allows it.
        if one.family == socket.AF_INET6:
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, _EXPEDITED_FORWARDING)
        else:
            one.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, _EXPEDITED_FORWARDING)


def _close_all(sockets: Iterable[socket.socket]) -> None:
    for one in sockets:
        one.close()
