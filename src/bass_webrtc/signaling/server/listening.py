"""Sockets and certificates of the HTTP server, and plain words when they cannot be had."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
from pathlib import Path
from typing import Any

from ...errors import BassWebRtcError, ConfigError, PortInUseError

_BACKLOG = 256
_SocketAddress = tuple[Any, ...]
"""Host and port, of IPv6 also flow label and scope."""


async def listen(host: str, port: int) -> tuple[socket.socket, ...]:
    """Listen on every address of a host, on one port.

    Args:
        host: An address or a name. ``"::"`` is every address, of IPv4 as well.
        port: TCP port; 0 takes any that is free.

    Raises:
        PortInUseError: another program has it.
        ConfigError: the host is not known, not of this machine, or the port is not ours to take.
    """
    sockets: list[socket.socket] = []
    try:
        for family, address in await _resolve(host, port):
            # The second address takes the port that the first one got.
            taken = sockets[0].getsockname()[1] if sockets else port
            sockets.append(_bound(family, (address[0], taken, *address[2:])))
    except OSError as error:
        _close(sockets)
        raise _explained(error, host, port) from error
    return tuple(sockets)


def tls_context(certificate: str | Path, key: str | Path) -> ssl.SSLContext:
    """Load a certificate chain and its key for HTTPS, TLS 1.2 or newer.

    Raises:
        ConfigError: a file cannot be read, is no PEM, is encrypted, or the two do not belong together.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    for name, path in (("tls_certificate", certificate), ("tls_key", key)):
        try:
            Path(path).read_bytes()
        except OSError as error:
            raise ConfigError(f"{name} {os.fspath(path)!r} cannot be read: {error.strerror}") from error
    try:
        # Without a password OpenSSL would ask for one on the terminal.
        context.load_cert_chain(certificate, key, password=lambda: b"")
    except (ssl.SSLError, ValueError) as error:
        raise ConfigError(
            f"tls_certificate {os.fspath(certificate)!r} and tls_key {os.fspath(key)!r} cannot be used: "
            "expected a PEM certificate chain and its own unencrypted PEM key"
        ) from error
    return context


async def _resolve(host: str, port: int) -> list[tuple[int, _SocketAddress]]:
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    if host == "::" and not socket.has_dualstack_ipv6():
        return [(socket.AF_INET, ("0.0.0.0", port))]
    unique: dict[tuple[int, _SocketAddress], None] = {(family, address): None for family, _, _, _, address in found}
    return list(unique)


def _bound(family: int, address: _SocketAddress) -> socket.socket:
    dual = family == socket.AF_INET6 and address[0] == "::"
    return socket.create_server(address, family=family, backlog=_BACKLOG, dualstack_ipv6=dual)


def _close(sockets: list[socket.socket]) -> None:
    for one in sockets:
        one.close()


def _explained(error: OSError, host: str, port: int) -> BassWebRtcError:
    if isinstance(error, socket.gaierror):
        return ConfigError(f"http_host is {host!r}, which is not known; expected an address of this machine")
    if error.errno == errno.EADDRINUSE:
        return PortInUseError(
            f"TCP port {port} on {host} is in use by another program; stop that program or set another http_port "
            "(0 takes any that is free)"
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return ConfigError(f"http_host is {host!r}, which is not an address of this machine")
    if error.errno == errno.EACCES:
        return ConfigError(f"http_port is {port}, which this user may not open; ports from 1024 up need no privilege")
    return ConfigError(f"cannot listen on {host} port {port}: {error.strerror}")
