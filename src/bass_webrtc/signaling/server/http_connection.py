"""One HTTP connection: what aiohttp's parser refuses, how a body is read, and who is at the other end.

aiohttp's own error handling would write the offending bytes into its log and its error page. They may be a token or a
session URL, so parse errors become problem documents here, and nothing is logged.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, cast

from aiohttp import web
from aiohttp.http_exceptions import BadHttpMethod, HttpProcessingError, LineTooLong
from aiohttp.web_protocol import RequestHandler

from ...errors import ConfigError
from ..messages import Fields, Refused, Response, split_host
from .connections import Connections

logger = logging.getLogger(__name__)

MAX_LINE_BYTES = 8000
"""Of the request line."""
MAX_FIELD_BYTES = 8190
"""Of one header field. Differs from MAX_LINE_BYTES, so that an error shows which limit was exceeded."""

_PART_BYTES = 4096
"""Of a body, parsed at once; aiohttp also stops after a sixteenth as many chunks, which take it 1 ms."""

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Phase(Enum):
    """What a connection is doing."""

    CONNECT = auto()
    """TLS handshake."""
    IDLE = auto()
    """Nothing of the next request has arrived."""
    HEADER = auto()
    """The header of a request arrives."""
    BODY = auto()
    """The body of a request arrives."""
    WORK = auto()
    """The server works on a request."""
    WRITE = auto()
    """The response is sent, or the connection closes once all of it is sent."""
    STREAM = auto()
    """All parts of the response that exist are sent; the next one takes as long as it takes."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long a connection waits for the client, in seconds."""

    header_s: float = 10.0
    """For a header to arrive, from its first byte: a client that sends it slowly gets no more time. Also for the first
    byte of a new connection."""
    body_s: float = 10.0
    """For a body to arrive, all of it."""
    idle_s: float = 20.0
    """For the next request to begin."""
    write_s: float = 10.0
    """For the client to read any part of a response, or of what is sent of a stream."""
    linger_s: float = 1.0
    """For the rest of a refused body, which is discarded."""

    def of(self, phase: Phase) -> float | None:
        """Return the timeout of a phase that a timer of the connection ends; None for the others."""
        if phase is Phase.HEADER:
            return self.header_s
        if phase is Phase.IDLE:
            return self.idle_s
        return self.write_s if phase is Phase.WRITE else None


class SilentConnection:
    """A connection from which nothing has arrived yet. It needs a socket and a timer, but no parser and no task.

    Args:
        accepted: Its socket.
        connections: All connections of the server; this one is counted there until something arrives or it ends.
        network: What limits per address count it under.
        timeout_s: How long the server waits for the client's first byte.
        begin: Called with socket and network when that has arrived.
    """

    is_waiting = True

    def __init__(
        self,
        accepted: socket.socket,
        connections: Connections[AnyConnection],
        network: str,
        timeout_s: float,
        begin: Callable[[socket.socket, str], None],
    ) -> None:
        self.network = network
        self.descriptor = accepted.fileno()
        self._accepted = accepted
        self._connections = connections
        self._begin = begin
        self._loop = asyncio.get_running_loop()
        # By number: asyncio formats a socket, with both of its addresses, into an error that it catches.
        self._loop.add_reader(self.descriptor, self._arrived)
        self._timer = self._loop.call_later(timeout_s, self.abort)
        connections.add(self)

    def end(self) -> None:
        """Close the connection."""
        self.abort()

    def abort(self) -> None:
        """Close the connection."""
        self._leave()
        self._accepted.close()

    def _arrived(self) -> None:
        self._leave()
        self._begin(self._accepted, self.network)

    def _leave(self) -> None:
        self._loop.remove_reader(self.descriptor)
        self._timer.cancel()
        self._connections.discard(self)


class Connection(RequestHandler):
    """aiohttp's connection, with problem documents for requests that cannot be parsed, timeouts, and an early end.

    Args:
        manager: aiohttp's server.
        connections: All connections of the server; this one is counted there until it ends.
        network: What limits per address count it under.
        accepted: Its socket, which is closed with it.
        timeouts: How long it waits for the client.

    Attributes:
        network: As above.
        descriptor: Number of the socket's file descriptor.
        ended: Done when the connection has ended.
        is_reused: Whether it has carried a request before.
        take_turn: Waits for the turn to read a part of the body of the current request.
    """

    __slots__ = (
        "_accepted",
        "_connections",
        "_has_end",
        "_parts",
        "_phase",
        "_socket",
        "_task",
        "_timeouts",
        "_timer",
        "_unsent",
        "descriptor",
        "ended",
        "is_reused",
        "network",
        "take_turn",
    )

    def __init__(
        self,
        manager: web.Server,
        connections: Connections[AnyConnection],
        network: str,
        accepted: socket.socket,
        timeouts: Timeouts,
    ) -> None:
        super().__init__(
            manager,
            loop=asyncio.get_running_loop(),
            access_log=None,  # type: ignore[arg-type]  # aiohttp documents None.
            auto_decompress=False,
            lingering_time=0,  # aiohttp's own would take no turns.
            read_bufsize=_PART_BYTES,
            max_line_size=MAX_LINE_BYTES,
            max_field_size=MAX_FIELD_BYTES,
        )
        self.network = network
        self.descriptor = accepted.fileno()
        self._accepted = accepted
        self.ended: asyncio.Future[None] = self._loop.create_future()
        self._connections = connections
        self._timeouts = timeouts
        self._task: asyncio.Task[Any] | None = None
        self._parts: asyncio.Task[None] | None = None
        self._socket: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._unsent = 0
        self._has_end = False
        self.is_reused = False
        self.take_turn: Callable[[], Awaitable[None]] | None = None
        self._enter(Phase.CONNECT)
        connections.add(self)

    def connect(self, tls: dict[str, Any]) -> None:
        """Start the TLS handshake, if there is one, and then serve requests.

        Args:
            tls: Arguments of ``connect_accepted_socket``.
        """

        def ended(task: asyncio.Task[Any]) -> None:
            self._task = None
            if task.cancelled() or task.exception() is not None or self._phase is Phase.CONNECT:
                self._accepted.close()
                self._end()

        self._task = self._loop.create_task(self._loop.connect_accepted_socket(lambda: self, self._accepted, **tls))
        self._task.add_done_callback(ended)

    @property
    def is_waiting(self) -> bool:
        """Whether the server waits for the client, and does not work on a request."""
        return self._phase not in (Phase.WORK, Phase.STREAM)

    def end(self) -> None:
        """Close the connection, if a request is complete after the response. A stream ends at once."""
        if self._phase is Phase.STREAM and self._parts is not None:
            self._parts.cancel()
            self.close()
        elif self._phase in (Phase.WORK, Phase.WRITE) and self._parts is None:
            self.close()
        else:
            self.abort()

    def abort(self) -> None:
        """Close the connection at once; what was not sent is lost."""
        if self._task is not None:
            self._task.cancel()
        if self._socket is not None:
            self._socket.abort()

    def wait_for_body(self) -> None:
        """The server waits for the body of a request."""
        self._enter(Phase.BODY)

    def work(self) -> None:
        """The server works on a request."""
        self._enter(Phase.WORK)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection can be used."""
        self._socket = cast("asyncio.Transport", transport)
        super().connection_made(transport)
        self._enter(Phase.HEADER)

    def connection_lost(self, exc: BaseException | None) -> None:
        """The connection has ended."""
        if self._parts is not None:
            self._parts.cancel()
        self._end()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what has arrived."""
        if self._phase is Phase.IDLE:
            self._enter(Phase.HEADER)
        super().data_received(data)

    def eof_received(self) -> None:
        """The client has ended its direction."""
        super().eof_received()
        self._has_end = True

    def pause_writing(self) -> None:
        """The client reads more slowly than the server writes."""
        super().pause_writing()
        self._unsent = self._buffered()

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send a response."""
        self._enter(Phase.WRITE)
        self.is_reused = True
        if self._socket is not None and self._has_hung_up(self._socket):
            self._socket.resume_reading()  # So that TLS notices, and closes.
            raise ConnectionResetError
        if isinstance(resp, StreamedResponse) and request.method != "HEAD":
            await self._send_parts(request, resp)
            self._enter(Phase.WRITE)
        sent = await super().finish_response(request, resp, start_time)
        if not request.content.is_eof():
            await self._discard_body(request)
        self._enter(Phase.IDLE if resp.keep_alive else Phase.WRITE)
        return sent

    async def _send_parts(self, request: web.BaseRequest, resp: StreamedResponse) -> None:
        """Send the parts of a response until there are no more, or the client or the server leaves.

        Raises:
            ConnectionError: The client has gone, or a part could not be made.
        """
        if self._socket is None:
            raise ConnectionResetError
        self._socket.set_write_buffer_limits(high=1, low=0)  # So that drain waits until all is with the system.
        await resp.prepare(request)
        self._parts = self._loop.create_task(self._send_each(request, resp))
        try:
            await asyncio.wait([self._parts])
            if not self._parts.cancelled() and (error := self._parts.exception()) is not None:
                if not isinstance(error, ConnectionError):
                    logger.error("a streamed HTTP response failed", exc_info=error)
                raise ConnectionResetError from error
        finally:
            self._parts.cancel()
            self._parts = None

    async def _send_each(self, request: web.BaseRequest, resp: StreamedResponse) -> None:
        async with contextlib.aclosing(resp.parts) as parts:
            self._enter(Phase.STREAM)
            async for part in parts:
                self._enter(Phase.WRITE)
                await resp.write(part)
                await request.writer.drain()
                self._enter(Phase.STREAM)

    async def read_part(self, request: web.BaseRequest) -> bytes:
        """Return the next part of a body, empty at its end. Each takes a turn: small chunks are much work.

        Raises:
            ConnectionResetError: The client has gone.
        """
        if not self.connected:  # aiohttp's error for it would be a RuntimeError.
            raise ConnectionResetError
        part = await request.content.readany()
        if part and self.take_turn is not None:
            await self.take_turn()
        return part

    async def _discard_body(self, request: web.BaseRequest) -> None:
        """Discard the rest of a refused body for a while: a client that still sends would not see the response."""
        with contextlib.suppress(TimeoutError, web.RequestPayloadError, HttpProcessingError, ConnectionError):
            async with asyncio.timeout(self._timeouts.linger_s):
                while await self.read_part(request):
                    pass

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Return the response to a malformed request; aiohttp closes the connection after it."""
        if request.writer.output_size > 0:
            raise ConnectionError("a response was already started")
        if isinstance(exc, HttpProcessingError):
            refusal = _parse_refusal(exc)
        else:
            logger.error("an HTTP request failed", exc_info=exc)
            refusal = Refused(500, "Internal server error.")
        return to_aiohttp(refusal.response(), closes=True)

    def _has_hung_up(self, transport: asyncio.Transport) -> bool:
        """Whether a TLS client has ended: asyncio would discard the response, and log a line for each.

        TLS reports no end while the parser pauses reading. Then the socket is at its end once all is read from it.
        """
        if transport.get_extra_info("ssl_object") is None:  # Plain HTTP can still be answered.
            return False
        try:
            return self._has_end or self._accepted.recv(1, socket.MSG_PEEK) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True

    def _enter(self, phase: Phase) -> None:
        self._phase = phase
        self._connections.renew(self)
        self._unsent = self._buffered()
        self._wait(self._timeouts.of(phase))

    def _wait(self, timeout_s: float | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        is_open = self._socket is not None
        self._timer = self._loop.call_later(timeout_s, self._expired) if timeout_s is not None and is_open else None

    def _expired(self) -> None:
        buffered = self._buffered()
        if self._phase is not Phase.WRITE:
            self._enter(Phase.WRITE)  # It closes when the rest of the last response is sent.
            self.force_close()
        elif buffered < self._unsent:
            self._enter(self._phase)
        else:
            self.abort()

    def _buffered(self) -> int:
        return self._socket.get_write_buffer_size() if self._socket is not None else 0

    def _end(self) -> None:
        self._connections.discard(self)
        if not self.ended.done():
            self.ended.set_result(None)
        self._task = self._socket = None
        self._wait(None)


AnyConnection = SilentConnection | Connection


class StreamedResponse(web.StreamResponse):
    """A response whose body is made while it is sent. The connection is closed after it.

    Args:
        response: The response, without its body.
        headers: Its header fields.
        parts: The body.
    """

    def __init__(self, response: Response, headers: Fields, parts: AsyncGenerator[bytes, None]) -> None:
        super().__init__(status=response.status, headers=headers)
        self.parts = parts
        self.force_close()


def to_aiohttp(response: Response, *, closes: bool = False) -> web.StreamResponse:
    """Convert a response to aiohttp's.

    Args:
        response: The response.
        closes: Whether to close the connection after it.
    """
    headers: Fields = (("Server", "bass-webrtc"), ("X-Content-Type-Options", "nosniff"), *response.headers)
    if response.parts is not None:
        return StreamedResponse(response, headers, response.parts)
    made = web.Response(status=response.status, headers=headers, body=response.body or None)
    if closes:
        made.force_close()
    return made


async def read_body(connection: Connection, request: web.BaseRequest, max_bytes: int, timeout_s: float) -> bytes:
    """Read the body of a request, up to a maximum.

    Raises:
        Refused: 400 the body is truncated, 408 it took too long, 413 it is too large, 417 unknown expectation.
    """
    declared = request.content_length
    if declared is not None and declared > max_bytes:
        raise _too_large(max_bytes)
    await _send_continue(request)
    body = bytearray()
    try:
        async with asyncio.timeout(timeout_s):
            while part := await connection.read_part(request):
                body += part
                if len(body) > max_bytes:
                    raise _too_large(max_bytes)
    except TimeoutError:
        raise Refused(408, "The body did not arrive in time.") from None
    except (web.RequestPayloadError, HttpProcessingError, ConnectionError):
        raise Refused(400, "The body is incomplete, or its chunks are malformed.") from None
    return bytes(body)


def parse_networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Parse addresses and networks such as ``"10.0.0.1"`` and ``"10.0.0.0/8"``.

    Raises:
        ConfigError: An entry is neither.
    """
    try:
        return tuple(ipaddress.ip_network(text) for text in texts)
    except ValueError as error:
        raise ConfigError(f"trusted_proxies: {error}; expected addresses or networks") from None


def client_address(peer: str, forwarded_for: Sequence[str], trusted: Sequence[Network]) -> str:
    """Return the client's address, for limits and statistics.

    ``X-Forwarded-For`` is read from right to left for as long as a trusted proxy wrote it: whatever the first untrusted
    address claims may be forged.

    Args:
        peer: The other end of the TCP connection.
        forwarded_for: Lines of ``X-Forwarded-For``.
        trusted: Networks of trusted proxies.
    """
    client = _parse_address(peer) if forwarded_for else None
    if client is None:
        return plain_address(peer)
    hops = [hop.strip() for line in forwarded_for for hop in line.split(",")]
    while hops and any(client in network for network in trusted):
        hop = _parse_address(hops.pop())
        if hop is None:
            break
        client = hop
    return str(client)


def is_trusted(address: str, trusted: Sequence[Network]) -> bool:
    """Return whether an address is one of a trusted proxy."""
    parsed = _parse_address(address) if trusted else None
    return parsed is not None and any(parsed in network for network in trusted)


def is_allowed_host(host: str | None, allowed: Collection[str]) -> bool:
    """Return whether the ``Host`` field names this server. Protects against DNS rebinding.

    In a rebinding attack a foreign name resolves to this server's address. IP addresses and ``localhost`` cannot be
    rebound, so they are always allowed.

    Args:
        host: Value of the field, with or without a port.
        allowed: Names of this server, in lower case.
    """
    name, _port = split_host(host or "")
    is_local = name == "localhost" or name.endswith(".localhost")
    return is_local or name in allowed or _parse_address(name) is not None


def plain_address(text: str) -> str:
    """Return an address with IPv4-mapped IPv6 converted to IPv4; other text unchanged."""
    address = _parse_address(text) if ":" in text else None
    return text if address is None else str(address)


async def _send_continue(request: web.BaseRequest) -> None:
    """Answer ``Expect: 100-continue`` (RFC 9110, 10.1.1): curl, and so OBS, otherwise waits a second."""
    expectation = request.headers.get("Expect")
    if expectation is None or request.version < (1, 1):
        return
    if expectation.lower() != "100-continue":
        raise Refused(417, "The expectation is not supported.")
    writer: Any = request.writer
    await writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    writer.output_size = 0  # handle_error must not take the interim response for the final one.


def _too_large(max_bytes: int) -> Refused:
    return Refused(413, f"The body is larger than {max_bytes} bytes.")


def _parse_refusal(error: HttpProcessingError) -> Refused:
    """Map an error of aiohttp's parser to an HTTP status."""
    if isinstance(error, LineTooLong):
        if MAX_LINE_BYTES in error.args:
            return Refused(414, "The request line is too long.")
        return Refused(431, "A header field is too long.")
    if error.message.startswith("Too many headers"):
        return Refused(431, "There are too many header fields.")
    if isinstance(error, BadHttpMethod) and "HTTPS" not in error.message:
        return Refused(501, "The method is not supported.")
    return Refused(400, "This is not a valid HTTP request.")


def _parse_address(text: str) -> _Address | None:
    """Parse an address; an IPv4 address that came through an IPv6 socket becomes IPv4 again."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
