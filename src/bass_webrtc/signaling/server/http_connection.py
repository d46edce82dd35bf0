"""One HTTP connection: what aiohttp's parser refuses, how a body is read, and who is at the other end.

aiohttp's own error handling would write the offending bytes into its log and its error page. They may be a token or a
session URL, so parse errors become problem documents here, and nothing is logged.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import BadHttpMethod, HttpProcessingError, LineTooLong
from aiohttp.web_protocol import RequestHandler

from ...errors import ConfigError
from ..messages import Fields, Refused, Response

logger = logging.getLogger(__name__)

MAX_LINE_BYTES = 8000
"""Of the request line."""
MAX_FIELD_BYTES = 8190
"""Of one header field. Differs from MAX_LINE_BYTES, so that an error shows which limit was exceeded."""

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Connection(RequestHandler):
    """aiohttp's connection, with problem documents for requests that cannot be parsed."""

    __slots__ = ()

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


class RejectedConnection(asyncio.Protocol):
    """Closes a connection beyond the maximum."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Close the connection."""
        transport.close()


def to_aiohttp(response: Response, *, closes: bool = False) -> web.Response:
    """Convert a response to aiohttp's.

    Args:
        response: The response.
        closes: Whether to close the connection after it.
    """
    headers: Fields = (("Server", "bass-webrtc"), ("X-Content-Type-Options", "nosniff"), *response.headers)
    made = web.Response(status=response.status, headers=headers, body=response.body or None)
    if closes:
        made.force_close()
    return made


async def read_body(request: web.BaseRequest, max_bytes: int, timeout_s: float) -> bytes:
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
            while chunk := await request.content.readany():
                body += chunk
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
    client = _parse_address(peer)
    if client is None:
        return peer
    hops = [hop.strip() for line in forwarded_for for hop in line.split(",")]
    while hops and any(client in network for network in trusted):
        hop = _parse_address(hops.pop())
        if hop is None:
            break
        client = hop
    return str(client)


def is_allowed_host(host: str | None, allowed: Collection[str]) -> bool:
    """Return whether the ``Host`` field names this server. Protects against DNS rebinding.

    In a rebinding attack a foreign name resolves to this server's address. IP addresses and ``localhost`` cannot be
    rebound, so they are always allowed.

    Args:
        host: Value of the field, with or without a port.
        allowed: Names of this server, in lower case.
    """
    name = (host or "").strip().lower()
    name = name[1:].partition("]")[0] if name.startswith("[") else name.partition(":")[0]
    return name == "localhost" or name in allowed or _parse_address(name) is not None


def plain_address(text: str) -> str:
    """Return an address with IPv4-mapped IPv6 converted to IPv4; other text unchanged."""
    address = _parse_address(text)
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
