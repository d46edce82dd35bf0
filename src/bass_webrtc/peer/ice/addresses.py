"""Local addresses, and UDP sockets bound to them."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import socket
import sys
from collections.abc import Iterable, Sequence

import ifaddr

from ...config import FORBIDDEN_PORT, bracketed
from ...errors import ConfigError, PortInUseError

_RECEIVE_BUFFER_BYTES = 1 << 22
"""Requested; Linux gives net.core.rmem_max at most. In a flood, datagrams of others survive only in this buffer."""
_EXPEDITED_FORWARDING = 46 << 2
"""DSCP EF, which RFC 8837, 5 recommends for interactive audio."""
_MAX_PORT_ATTEMPTS = 20


def format_address(host: str, port: int) -> str:
    """Return ``host:port``, with brackets around IPv6 addresses."""
    return f"{bracketed(host)}:{port}"


def local_addresses() -> list[str]:
    """List the addresses of this machine that a peer could reach: IPv4, then IPv6, loopback last, no link-local."""
    found: list[ipaddress.IPv4Address | ipaddress.IPv6Address] = []
    for adapter in ifaddr.get_adapters():
        for ip in adapter.ips:
            address = ipaddress.ip_address(ip.ip if isinstance(ip.ip, str) else ip.ip[0])
            if not address.is_link_local and address not in found:
                found.append(address)
    found.sort(key=lambda address: (address.is_loopback, address.version))
    return [str(address) for address in found]


def open_sockets(hosts: Sequence[str], port: int) -> list[socket.socket]:
    """Bind non-blocking UDP sockets to the same port on several addresses.

    A socket per address makes a reply leave from the address that the request arrived at.

    Args:
        hosts: Addresses from ``local_addresses``. One that no longer exists is skipped.
        port: 0 chooses a port that is free on all of them.

    Raises:
        PortInUseError: Another program uses the port.
        ConfigError: This program may not use the port.
    """
    for _ in range(1 if port else _MAX_PORT_ATTEMPTS):
        sockets: list[socket.socket] = []
        try:
            for host in hosts:
                _append_bound(sockets, host, port)
            return sockets
        except OSError as error:
            _close_all(sockets)
            if error.errno == errno.EACCES and port:
                raise ConfigError(f"udp_port is {port}, {FORBIDDEN_PORT}") from error
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise
    if port:
        raise PortInUseError(f"UDP port {port} is in use by another program; choose another udp_port, or 0 for any")
    raise PortInUseError(f"{_MAX_PORT_ATTEMPTS} UDP ports in a row were not free on all of {', '.join(hosts)}")


def _append_bound(sockets: list[socket.socket], host: str, port: int) -> None:
    """Bind one more socket, to the port of the existing ones if there are any."""
    chosen = sockets[0].getsockname()[1] if sockets else port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        _set_options(sock)
        sock.bind((host, chosen))
    except OSError as error:
        sock.close()
        if error.errno != errno.EADDRNOTAVAIL:
            raise
    else:
        sockets.append(sock)


def _set_options(sock: socket.socket) -> None:
    sock.setblocking(False)
    if sys.platform == "win32":  # Where another program can otherwise bind the same port and get the datagrams.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
    with contextlib.suppress(OSError):  # DSCP is a hint to routers, and not every system allows setting it.
        if sock.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, _EXPEDITED_FORWARDING)
        else:
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, _EXPEDITED_FORWARDING)


def _close_all(sockets: Iterable[socket.socket]) -> None:
    for sock in sockets:
        sock.close()
