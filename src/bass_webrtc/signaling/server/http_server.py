"""The HTTP server: bytes to ``Request`` and ``Response`` to bytes, with every limit on what a stranger may cost us.

    TCP, TLS ─► aiohttp's parser ─► Host? ─► body, at most 128 KiB ─► handler.respond ─► bytes

aiohttp's low-level server is used, not its application: routing is two prefixes, and nothing of aiohttp may log a path
or write an error page of its own, since session URLs are secrets.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from aiohttp import web

from ..messages import Headers, Refused, Request, Response
from .addresses import client_address, is_allowed_host, parse_networks, plain_address
from .cors import Cors
from .http_connection import MAX_FIELD_BYTES, MAX_LINE_BYTES, Connection, TurnedAway, read_body, to_aiohttp
from .listening import listen, tls_context

logger = logging.getLogger(__name__)

_TLS_HANDSHAKE_TIMEOUT_S = 10.0
_STOP_TIMEOUT_S = 2.0


class Handler(Protocol):
    """Answers the requests of some paths; ``Endpoint`` and ``Site`` do."""

    cors: Cors

    def serves(self, path: str) -> bool:
        """Whether a path is this handler's."""

    async def respond(self, request: Request, now_s: float) -> Response:
        """Answer a request; never raises."""


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """Settings of the HTTP server."""

    host: str = "127.0.0.1"
    port: int = 8080
    """TCP port; 0 takes any that is free."""
    tls_certificate: str | Path | None = None
    """PEM certificate chain; with ``tls_key`` it makes the server HTTPS."""
    tls_key: str | Path | None = None
    allowed_hosts: tuple[str, ...] = ()
    """Names that ``Host`` may have, besides IP addresses and localhost, against DNS rebinding. Empty: any."""
    trusted_proxies: tuple[str, ...] = ()
    """Addresses and networks whose ``X-Forwarded-For`` is believed."""
    max_body_bytes: int = 128 * 1024
    max_header_bytes: int = 32 * 1024
    """Of all fields together."""
    body_timeout_s: float = 10.0
    """For a body to arrive."""
    idle_timeout_s: float = 20.0
    """For the header of a request to arrive, on a connection that is new or was used before."""
    linger_s: float = 1.0
    """How long the rest of a refused body is read and thrown away, so that the client sees why (RFC 9112, 9.6)."""
    max_connections: int = 4096


class HttpServer:
    """Serves handlers over HTTP or HTTPS on the running loop.

    Args:
        settings: Its settings.
        handlers: Asked in order; the first that serves a path answers.
        clock: Monotonic time in seconds.

    Raises:
        ConfigError: the certificate, the key or a network cannot be used.
    """

    def __init__(
        self, settings: HttpSettings, handlers: Sequence[Handler], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._settings = settings
        self._handlers = tuple(handlers)
        self._clock = clock
        self._trusted = parse_networks(settings.trusted_proxies)
        self._allowed_hosts = frozenset(name.lower() for name in settings.allowed_hosts)
        self._tls = None
        if settings.tls_certificate is not None and settings.tls_key is not None:
            self._tls = tls_context(settings.tls_certificate, settings.tls_key)
        self._web: web.Server | None = None
        self._listeners: list[asyncio.Server] = []
        self._port = settings.port

    @property
    def port(self) -> int:
        """The TCP port; after ``start`` the real one."""
        return self._port

    @property
    def url(self) -> str:
        """Where the page is, as seen from this machine."""
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self._settings.host, self._settings.host)
        host = f"[{host}]" if ":" in host and not host.startswith("[") else host
        return f"{'http' if self._tls is None else 'https'}://{host}:{self._port}/"

    async def start(self) -> int:
        """Listen; returns the port when it answers.

        Raises:
            PortInUseError: another program has the port.
            ConfigError: the host or the port cannot be used.
        """
        sockets = await listen(self._settings.host, self._settings.port)
        self._port = sockets[0].getsockname()[1]
        self._web = web.Server(self._handle)
        loop = asyncio.get_running_loop()
        timeout_s = None if self._tls is None else _TLS_HANDSHAKE_TIMEOUT_S
        for one in sockets:
            self._listeners.append(
                await loop.create_server(self._accept, sock=one, ssl=self._tls, ssl_handshake_timeout=timeout_s)
            )
        return self._port

    async def stop(self) -> None:
        """Stop listening, let requests that are being answered finish for a moment, and close; idempotent."""
        listeners, self._listeners = self._listeners, []
        for listener in listeners:
            listener.close()
        if self._web is not None:
            self._web.pre_shutdown()
            await self._web.shutdown(_STOP_TIMEOUT_S)
            self._web = None
        for listener in listeners:
            await listener.wait_closed()

    def _accept(self) -> asyncio.Protocol:
        assert self._web is not None
        if len(self._web.connections) >= self._settings.max_connections:
            return TurnedAway()
        return Connection(
            self._web,
            loop=asyncio.get_running_loop(),
            access_log=None,  # type: ignore[arg-type]  # aiohttp documents None.
            auto_decompress=False,
            keepalive_timeout=self._settings.idle_timeout_s,
            lingering_time=self._settings.linger_s,
            max_line_size=MAX_LINE_BYTES,
            max_field_size=MAX_FIELD_BYTES,
        )

    async def _handle(self, incoming: web.BaseRequest) -> web.StreamResponse:
        path, query = _split_target(incoming.raw_path)
        handler = next((handler for handler in self._handlers if handler.serves(path)), None)
        request = Request(
            incoming.method,
            path,
            Headers(incoming.headers.items()),
            remote=self._remote(incoming),
            local=_local(incoming),
            query=query,
        )
        try:
            self._check_header(incoming, request)
            if handler is None:
                raise Refused(404, "There is nothing at this address.")
            body = await read_body(incoming, self._settings.max_body_bytes, self._settings.body_timeout_s)
        except Refused as refusal:
            response = refusal.response().plus(() if handler is None else handler.cors.fields(request))
            return to_aiohttp(response, closes=not incoming.content.is_eof())
        response = await handler.respond(replace(request, body=body), self._clock())
        logger.debug("%s %s %s: %d", request.remote, request.method, _loggable(path), response.status)
        return to_aiohttp(response)

    def _remote(self, incoming: web.BaseRequest) -> str:
        return client_address(incoming.remote or "", incoming.headers.getall("X-Forwarded-For", []), self._trusted)

    def _check_header(self, incoming: web.BaseRequest, request: Request) -> None:
        if sum(len(name) + len(value) for name, value in incoming.raw_headers) > self._settings.max_header_bytes:
            raise Refused(431, "The header fields are too long.")
        host = request.headers.get("Host")
        if host is None and incoming.version >= (1, 1):
            raise Refused(400, "The Host field is missing.")
        if self._allowed_hosts and not is_allowed_host(host, self._allowed_hosts):
            raise Refused(421, "This server does not answer for that host.")


def _local(incoming: web.BaseRequest) -> str:
    name = incoming.transport.get_extra_info("sockname") if incoming.transport is not None else None
    return plain_address(name[0]) if name else ""


def _split_target(target: str) -> tuple[str, str]:
    """Path and query of a request target. The absolute form is for proxies, but must work (RFC 9112, 3.2.2)."""
    if target.startswith(("http://", "https://")):
        _authority, slash, rest = target.partition("://")[2].partition("/")
        target = slash + rest or "/"
    path, _, query = target.partition("?")
    return path, query


def _loggable(path: str) -> str:
    """The path without what may be a session's secret."""
    first, slash, _rest = path.removeprefix("/").partition("/")
    return f"/{first}{slash}{'…' if slash else ''}"
