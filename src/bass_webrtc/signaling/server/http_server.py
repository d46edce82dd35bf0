"""HTTP server: converts bytes to ``Request`` and ``Response`` to bytes, and limits what a client can consume.

    accept ─► too many? ─► TLS ─► aiohttp's parser ─► Host, Origin? ─► body, at most 128 KiB ─► handler.respond ─► bytes

Uses aiohttp's low-level server rather than its application: routing needs two prefixes only, and aiohttp must neither
log paths nor write its own error pages, because session URLs are secrets.
"""

from __future__ import annotations

import asyncio
import errno
import functools
import itertools
import logging
import os
import re
import socket
import ssl
import sys
import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from pathlib import Path
from typing import Any, Protocol

from aiohttp import web

from ...config import FORBIDDEN_PORT, bracketed
from ...errors import BassWebRtcError, ConfigError, PortInUseError
from ...limited_log import LimitedLog
from ..messages import Forwarded, Headers, Refused, Request, Response
from .connections import Connections
from .cors import Cors
from .forwarded import forwarded_for, read_forwarded
from .hosts import HostNames, target_authority
from .http_connection import (
    AnyConnection,
    Connection,
    SilentConnection,
    Timeouts,
    client_address,
    is_trusted,
    parse_networks,
    plain_address,
    read_body,
    to_aiohttp,
)
from .limits import Limits, RequestLimiter, client_network
from .turns import Turns

logger = logging.getLogger(__name__)

_BACKLOG = 256
_MAX_FRAGMENT_BYTES = 32 * 1024
"""Of a PATCH: 100 candidates have 13 kB."""
_WORK_OF_BODY = 4
_BYTES_PER_WORK = 2048
"""Work of a request with SDP, in units of a request without: an offer takes 1.5 ms, 128 KiB up to 20 ms more."""
_SEND_BUFFER_BYTES = 128 * 1024
"""Of the system, for each connection. Without a limit, a client that does not read its responses fills megabytes."""
_RECEIVE_BUFFER_BYTES = 8 * 1024
"""Of the system, for each connection, and so also what is parsed at once. Linux doubles it."""
_TLS_HANDSHAKE_TIMEOUT_S = 5.0
_ACCEPTED_AT_ONCE = 8
"""Connections accepted before everything else on the loop runs."""
_ACCEPT_PAUSE_S = 0.05
"""Before the next attempt, when no connection can be accepted."""
_STOP_GRACE_S = 0.5
"""How long requests in progress may take when the server stops."""
_STOP_CANCEL_S = 0.1
"""How long their handlers may take to be cancelled after that."""
_REFUSALS_AT_ONCE = 20
"""Logged before the limit of one per second applies."""
_SECRET = re.compile(r"(?<=ice-pwd:)\S+")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_SocketAddress = tuple[Any, ...]
"""Host and port; for IPv6 also flow label and scope."""


class Handler(Protocol):
    """Answers the requests to some paths; implemented by ``Endpoint`` and ``Site``."""

    cors: Cors

    def serves(self, path: str) -> bool:
        """Return whether this handler answers requests to a path."""

    async def respond(self, request: Request) -> Response:
        """Answer a request. Never raises."""


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """Settings of the HTTP server."""

    host: str = "127.0.0.1"
    port: int = 8080
    """TCP port; 0 selects a free one."""
    tls_certificate: str | Path | None = None
    """PEM certificate chain; together with ``tls_key`` it enables HTTPS."""
    tls_key: str | Path | None = None
    allowed_hosts: tuple[str, ...] = ()
    """Names accepted in ``Host``, see ``HostNames``."""
    trusted_proxies: tuple[str, ...] = ()
    """Addresses and networks of proxies whose ``X-Forwarded-For`` is trusted."""
    max_body_bytes: int = 128 * 1024
    """Offers of browsers have up to 10 kB, large conferences more. Parsing it takes at most 20 ms of the loop."""
    max_header_bytes: int = 32 * 1024
    """For all header fields together."""
    timeouts: Timeouts = field(default_factory=Timeouts)
    max_connections: int = 1000
    max_connections_per_address: int = 64
    """From one IPv4 address or IPv6 /64; trusted proxies may open more."""
    limits: Limits = field(default_factory=Limits)


class HttpServer:
    """Serves handlers over HTTP or HTTPS on the running event loop.

    Args:
        settings: Settings of the server.
        handlers: The first one that serves a path answers.
        clock: Monotonic time in seconds.

    Raises:
        ConfigError: The certificate, the key or a network cannot be used.
    """

    def __init__(
        self, settings: HttpSettings, handlers: Sequence[Handler], clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._settings = settings
        self._handlers = tuple(handlers)
        self._clock = clock
        self._limiter = RequestLimiter(settings.limits)
        self._turns = Turns(clock)
        self._refusal_log = LimitedLog(logger, _REFUSALS_AT_ONCE)
        self._trusted = parse_networks(settings.trusted_proxies)
        self._host_names = HostNames(settings.allowed_hosts, settings.host)
        self._tls = None
        if settings.tls_certificate is not None and settings.tls_key is not None:
            self._tls = tls_context(settings.tls_certificate, settings.tls_key)
        self._web: web.Server | None = None
        self._connections: Connections[AnyConnection] = Connections(
            settings.max_connections, settings.max_connections_per_address, clock
        )
        self._listeners: list[socket.socket] = []
        self._accepting: list[asyncio.Task[None]] = []
        self._port = settings.port

    @property
    def port(self) -> int:
        """The TCP port; after ``start`` the actual one."""
        return self._port

    @property
    def requests_limited(self) -> int:
        """Number of requests that a rate limit refused. Any thread."""
        return self._limiter.refused

    @property
    def open_connections(self) -> int:
        """Number of open connections. Any thread."""
        return len(self._connections)

    @property
    def refused_connections(self) -> int:
        """Number of connections that a limit refused or closed. Any thread."""
        return self._connections.refused

    @property
    def url(self) -> str:
        """URL of the page, as seen from this machine."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self._settings.host, self._settings.host)
        return f"{'http' if self._tls is None else 'https'}://{bracketed(host)}:{self._port}/"

    async def start(self) -> int:
        """Start listening and return the port.

        Raises:
            PortInUseError: Another program uses the port.
            ConfigError: The host or the port cannot be used.
        """
        self._listeners = list(await listen(self._settings.host, self._settings.port))
        self._port = self._listeners[0].getsockname()[1]
        self._web = web.Server(self._handle)
        for listener in self._listeners:
            listener.setblocking(False)
            # Accepted sockets inherit both.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
            self._accepting.append(asyncio.create_task(self._accept_all(listener)))
        return self._port

    async def stop(self) -> None:
        """Stop listening, wait briefly for requests in progress, and close all connections. Idempotent.

        Takes at most 0.7 s, whatever the clients do.
        """
        accepting, self._accepting = self._accepting, []
        for task in accepting:
            task.cancel()
        await asyncio.gather(*accepting, return_exceptions=True)
        listeners, self._listeners = self._listeners, []
        for listener in listeners:
            listener.close()
        if self._web is None:
            return
        for connection in self._connections.all():
            connection.end()
        await self._wait_until_closed(_STOP_GRACE_S)
        for connection in self._connections.all():
            connection.abort()
        await self._web.shutdown(_STOP_CANCEL_S / 2)  # It waits twice: for the handler, and for its cancellation.
        await self._wait_until_closed(_STOP_CANCEL_S)
        self._web = None

    async def _wait_until_closed(self, timeout_s: float) -> None:
        if ended := [one.ended for one in self._connections.all() if isinstance(one, Connection)]:
            await asyncio.wait(ended, timeout=timeout_s)

    async def _accept_all(self, listener: socket.socket) -> None:
        """Accept connections until cancelled. asyncio's own server would neither count them nor stop at a limit."""
        loop = asyncio.get_running_loop()
        for count in itertools.count():
            pause_s = 0.0
            try:
                accepted, address = await loop.sock_accept(listener)
            except ConnectionError:  # The client has gone.
                pass
            except OSError as error:
                if error.errno in (errno.EMFILE, errno.ENFILE):
                    self._connections.free_descriptor()
                message = "HTTP connections cannot be accepted: out of system resources"
                loop.call_exception_handler({"message": message, "exception": error})
                pause_s = _ACCEPT_PAUSE_S
            else:
                self._admit(accepted, plain_address(address[0]))
            if pause_s or count % _ACCEPTED_AT_ONCE == 0:
                await asyncio.sleep(pause_s)

    def _admit(self, accepted: socket.socket, address: str) -> None:
        network = client_network(address)
        is_proxy = is_trusted(address, self._trusted)
        if not self._connections.admit(network, accepted.fileno(), is_proxy=is_proxy):
            accepted.close()
            return
        try:
            SilentConnection(accepted, self._connections, network, self._settings.timeouts.header_s, self._begin)
        except OSError:  # The system cannot watch another socket (epoll_ctl: ENOMEM, ENOSPC).
            accepted.close()

    def _begin(self, accepted: socket.socket, network: str) -> None:
        assert self._web is not None
        connection = Connection(self._web, self._connections, network, accepted, self._settings.timeouts)
        tls: dict[str, Any] = {}
        if self._tls is not None:
            tls = {
                "ssl": self._tls,
                "ssl_handshake_timeout": _TLS_HANDSHAKE_TIMEOUT_S,
                "ssl_shutdown_timeout": self._settings.timeouts.write_s,
            }
        connection.connect(tls)

    async def _handle(self, incoming: web.BaseRequest) -> web.StreamResponse:
        connection = incoming.protocol
        assert isinstance(connection, Connection)
        if not connection.is_reused:  # Otherwise it may still be closed: clients send their request again then.
            connection.work()
        path, query = _split_target(incoming.raw_path)
        handler = next((handler for handler in self._handlers if handler.serves(path)), None)
        headers, is_proxied = _headers(incoming), is_trusted(incoming.remote or "", self._trusted)
        request = Request(
            incoming.method,
            path,
            headers,
            remote=client_address(incoming.remote or "", forwarded_for(headers) if is_proxied else (), self._trusted),
            local=_local(incoming),
            query=query,
            forwarded=self._host_names.own_only(read_forwarded(headers)) if is_proxied else Forwarded(),
        )
        network, peer_name = client_network(request.remote), _peer_name(incoming)
        connection.take_turn = functools.partial(self._turns.take, network, peer_name)
        await connection.take_turn()
        connection.work()
        try:
            self._limiter.check(request.method, request.remote, self._clock())
            self._check_header(incoming, request)
            if handler is None:
                raise Refused(404, "Not found.")
            handler.cors.check(request)
            connection.wait_for_body()
            max_bytes = self._settings.max_body_bytes
            if request.method == "PATCH":
                max_bytes = min(max_bytes, _MAX_FRAGMENT_BYTES)
            body = await read_body(connection, incoming, max_bytes, self._settings.timeouts.body_s)
        except Refused as refusal:
            response = refusal.response().with_fields(() if handler is None else handler.cors.fields(request))
            self._log(request, response)
            return to_aiohttp(response, closes=not incoming.content.is_eof())
        connection.work()
        if body:
            await self._turns.take(network, peer_name, _WORK_OF_BODY + len(body) // _BYTES_PER_WORK)
        response = await handler.respond(replace(request, body=body))
        if response.status == HTTPStatus.UNAUTHORIZED:
            self._limiter.count_unauthorized(request.remote, self._clock())
        self._log(request, response)
        return to_aiohttp(response)

    def _log(self, request: Request, response: Response) -> None:
        """Log a request that was refused, at a limited rate, and others for debugging. A file that does not exist is
        no refusal."""
        what = f"{request.method} {_loggable(request.path)}"
        if response.status < 400 or response.status == HTTPStatus.NOT_FOUND:
            logger.debug("%s %s: %d", request.remote, what, response.status)
        else:
            text = f"refused {what} from {request.remote}: {response.status} {_SECRET.sub('…', response.detail)}"
            self._refusal_log.log(logging.INFO, _UNPRINTABLE.sub("?", text), self._clock())

    def _check_header(self, incoming: web.BaseRequest, request: Request) -> None:
        if sum(len(name) + len(value) for name, value in incoming.raw_headers) > self._settings.max_header_bytes:
            raise Refused(431, "The header fields are too long.")
        if "Host" not in request.headers and incoming.version >= (1, 1):
            raise Refused(400, "The Host field is missing.")
        self._host_names.check(request)


async def listen(host: str, port: int) -> tuple[socket.socket, ...]:
    """Listen on all addresses of a host, on one port.

    Args:
        host: An address or a name. ``"::"`` means all addresses, including IPv4.
        port: TCP port; 0 selects a free one.

    Raises:
        PortInUseError: Another program uses the port.
        ConfigError: The host is unknown or not of this machine, or the port needs privileges.
    """
    sockets: list[socket.socket] = []
    try:
        for family, address in await _resolve(host, port):
            # The further addresses use the port that the first one got.
            used_port = sockets[0].getsockname()[1] if sockets else port
            sockets.append(_open_socket(family, (address[0], used_port, *address[2:])))
    except OSError as error:
        for one in sockets:
            one.close()
        raise _listen_error(error, host, port) from error
    return tuple(sockets)


def tls_context(certificate: str | Path, key: str | Path) -> ssl.SSLContext:
    """Load a certificate chain and its key for HTTPS with TLS 1.2 or newer.

    Raises:
        ConfigError: A file cannot be read, is not PEM or is encrypted, or the key does not match the certificate.
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
        # Without a password callback OpenSSL would prompt on the terminal.
        context.load_cert_chain(certificate, key, password=lambda: b"")
    except (ssl.SSLError, ValueError) as error:
        raise ConfigError(
            f"tls_certificate {os.fspath(certificate)!r} and tls_key {os.fspath(key)!r} cannot be used; "
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


def _open_socket(family: int, address: _SocketAddress) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        # Former connections of the port may be in TIME_WAIT. Windows allows that; SO_REUSEADDR would allow a second
        # program on the same port there, and without SO_EXCLUSIVEADDRUSE that program would need it only itself.
        if sys.platform == "win32":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, address[0] != "::")
        sock.bind(address)
        sock.listen(_BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock


def _listen_error(error: OSError, host: str, port: int) -> BassWebRtcError:
    if isinstance(error, socket.gaierror):
        return ConfigError(f"http_host {host!r} cannot be resolved; expected an address of this machine")
    if error.errno == errno.EADDRINUSE:
        return PortInUseError(
            f"TCP port {port} on {host} is in use by another program; stop that program or set another http_port "
            "(0 selects a free one)"
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return ConfigError(f"http_host is {host!r}; expected an address of this machine")
    if error.errno == errno.EACCES:
        return ConfigError(f"http_port is {port}, {FORBIDDEN_PORT}")
    return ConfigError(f"cannot listen on {host} port {port}: {error.strerror}")


def _headers(incoming: web.BaseRequest) -> Headers:
    """Return the header fields; host and port of a target in absolute form replace ``Host``."""
    authority = target_authority(incoming.raw_path)
    if authority is None:
        return Headers(incoming.headers.items())
    fields = [(name, value) for name, value in incoming.headers.items() if name.lower() != "host"]
    return Headers([*fields, ("Host", authority)])


def _local(incoming: web.BaseRequest) -> str:
    """Return the local address of the connection; an IPv6 link-local one with its zone, as a number."""
    name = incoming.transport.get_extra_info("sockname") if incoming.transport is not None else None
    if not name:
        return ""
    zone = name[3] if len(name) == 4 else 0
    return plain_address(name[0].partition("%")[0]) + (f"%{zone}" if zone else "")


def _peer_name(incoming: web.BaseRequest) -> Hashable:
    """Return the address and port at the other end of the connection."""
    return incoming.transport.get_extra_info("peername") if incoming.transport is not None else None


def _split_target(target: str) -> tuple[str, str]:
    """Return path and query of a request target. Servers must accept the absolute form as well (RFC 9112, 3.2.2)."""
    if target.lower().startswith(("http://", "https://")):
        _authority, slash, rest = target.partition("://")[2].partition("/")
        target = slash + rest or "/"
    path, _, query = target.partition("?")
    return path, query


def _loggable(path: str) -> str:
    """Return the path without the part that may be a session's secret."""
    first, slash, _rest = path.removeprefix("/").partition("/")
    return f"/{first}{slash}{'…' if slash else ''}"
