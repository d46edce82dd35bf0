"""Local addresses, and UDP sockets bound to them."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import socket
import struct
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import ifaddr

from ...config import FORBIDDEN_PORT, bracketed
from ...errors import ConfigError, PortInUseError

_RECEIVE_BUFFER_BYTES = 1 << 22
"""Requested; Linux gives net.core.rmem_max at most. In a flood, datagrams of others survive only in this buffer."""
_EXPEDITED_FORWARDING = 46 << 2
"""DSCP EF, which RFC 8837, 5 recommends for interactive audio."""
_MAX_PORT_ATTEMPTS = 20
_MAX_ADDRESSES = 16
_ELSEWHERE = ("192.0.2.1", "2001:db8::1")
"""Addresses that no network has (RFC 5737, RFC 3849), so packets to them would take the default route."""
_SIOCGIFFLAGS = 0x8913  # linux/sockios.h
_UP, _RUNNING = 0x1, 0x40  # IFF_* of linux/if.h
_TEMPORARY, _DUPLICATE, _DEPRECATED, _TENTATIVE = 0x01, 0x08, 0x20, 0x40  # IFA_F_* of linux/if_addr.h

_Ipv6Flags = dict[tuple[bytes, int | None], int]
"""By address and index of the interface."""


def format_address(host: str, port: int) -> str:
    """Return ``host:port``, with brackets around IPv6 addresses."""
    return f"{bracketed(host)}:{port}"


def socket_address(host: str, port: int) -> tuple[str, int] | tuple[str, int, int, int]:
    """Return an address for ``socket``, which ignores the zone in a host and takes it as a number of its own."""
    plain, _, zone = host.partition("%")
    return (plain, port, 0, int(zone)) if zone else (plain, port)


@dataclass(frozen=True, slots=True)
class LocalAddress:
    """An address of an interface of this machine that is up."""

    host: str
    """An IPv6 link-local address has its zone, as a number: ``fe80::1%2``."""
    is_link_local: bool
    is_loopback: bool
    is_deprecated: bool
    """It will soon be invalid: still in use, but not for new connections (RFC 4862, 5.5.4)."""
    is_temporary: bool
    """It is replaced every day (RFC 8981)."""

    @classmethod
    def parse(cls, host: str, flags: int = 0) -> LocalAddress:
        """Return an address with the flags of Linux for IPv6 addresses."""
        address = ipaddress.ip_address(host)
        is_deprecated, is_temporary = bool(flags & _DEPRECATED), bool(flags & _TEMPORARY)
        return cls(host, address.is_link_local, address.is_loopback, is_deprecated, is_temporary)


def system_addresses() -> list[LocalAddress]:
    """List the addresses of this machine on interfaces that are up, as far as the system tells.

    Interfaces without a carrier count only if there are no others: Linux notices a carrier after up to a second.
    Without IPv6 addresses that cannot be used yet, because another machine may have them (RFC 4862, 5.4).
    """
    ipv6_flags = _ipv6_flags()
    running: list[LocalAddress] = []
    waiting: list[LocalAddress] = []
    for adapter in ifaddr.get_adapters():
        flags = _interface_flags(adapter.nice_name)
        if flags & _UP:
            (running if flags & _RUNNING else waiting).extend(_addresses_of(adapter, ipv6_flags))
    is_connected = any(not one.is_loopback for one in running)
    return list(dict.fromkeys(running if is_connected else running + waiting))


def _addresses_of(adapter: ifaddr.Adapter, ipv6_flags: _Ipv6Flags) -> Iterator[LocalAddress]:
    for ip in adapter.ips:
        if isinstance(ip.ip, str):
            yield LocalAddress.parse(ip.ip)
        else:
            plain, _, scope_id = ip.ip
            address = ipaddress.IPv6Address(plain.partition("%")[0])
            host = f"{address}%{scope_id}" if address.is_link_local and scope_id else str(address)
            flags = ipv6_flags.get((address.packed, adapter.index), 0)
            if not flags & (_TENTATIVE | _DUPLICATE):
                yield LocalAddress.parse(host, flags)


def local_addresses(known: Iterable[LocalAddress] | None = None) -> list[str]:
    """List the addresses of this machine that a peer could reach, the most likely first, loopback last.

    Those that packets to other networks leave from are first, then IPv4, then IPv6. There are at most 16 besides
    loopback: a machine with dozens of container networks has as many more, which nobody else can reach. Link-local and
    deprecated addresses are left out.

    Args:
        known: Those of ``system_addresses``, if the caller has looked them up already.
    """
    usable = [
        one
        for one in (system_addresses() if known is None else known)
        if not one.is_link_local and not one.is_deprecated
    ]
    main = {_source_of(target) for target in _ELSEWHERE}
    reachable = [one for one in usable if not one.is_loopback]
    reachable.sort(key=lambda one: (one.host not in main, ":" in one.host, one.is_temporary))
    loopback = sorted((one for one in usable if one.is_loopback), key=lambda one: ":" in one.host)
    return [one.host for one in (*reachable[:_MAX_ADDRESSES], *loopback)]


def link_local_addresses(zone: str = "") -> list[str]:
    """List the link-local addresses of this machine, IPv4 first.

    Args:
        zone: Name or number of an interface; empty: all.
    """
    number = zone
    if zone and not zone.isdecimal():
        with contextlib.suppress(OSError):
            number = str(socket.if_nametoindex(zone))
    hosts = [one.host for one in system_addresses() if one.is_link_local]
    hosts.sort(key=lambda host: ":" in host)
    return [host for host in hosts if not number or host.endswith(f"%{number}") or ":" not in host][:_MAX_ADDRESSES]


def has_address(host: str) -> bool:
    """Whether this machine has an address; zones are ignored."""
    plain = host.partition("%")[0]
    return any(one.host.partition("%")[0] == plain for one in system_addresses())


def _ipv6_flags() -> _Ipv6Flags:
    """Return the flags of each IPv6 address and interface, where the system tells them: on Linux."""
    flags: _Ipv6Flags = {}
    with contextlib.suppress(OSError), open("/proc/thread-self/net/if_inet6", encoding="ascii") as table:
        for line in table:
            address, index, _, _, bits, _ = line.split()
            flags[bytes.fromhex(address), int(index, 16)] = int(bits, 16)
    return flags


def _interface_flags(interface: str) -> int:
    """Return the flags of an interface. Where the system does not tell, binding a socket decides."""
    if sys.platform != "linux":
        return _UP | _RUNNING
    import fcntl

    request = struct.pack("16sH22x", interface.encode()[:15], 0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        try:
            return int(struct.unpack_from("16sH", fcntl.ioctl(any_socket, _SIOCGIFFLAGS, request))[1])
        except OSError as error:  # ENODEV: it has gone since it was listed. A sandbox may refuse to tell.
            return 0 if error.errno == errno.ENODEV else _UP | _RUNNING


def _source_of(target: str) -> str:
    """Return the local address that packets to another one leave from; empty if there is no route. Sends nothing."""
    family = socket.AF_INET6 if ":" in target else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.connect((target, 9))
            return str(sock.getsockname()[0])
    except OSError:
        return ""


def open_sockets(hosts: Sequence[str], port: int) -> list[socket.socket]:
    """Bind non-blocking UDP sockets to the same port on several addresses.

    A socket per address makes a reply leave from the address that the request arrived at.

    Args:
        hosts: Addresses of this machine. One that no longer exists is skipped.
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
        sock.bind(socket_address(host, chosen))
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
