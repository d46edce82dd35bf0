"""One TCP connection, as aiohttp's parser sees it: its errors become problem documents, and nothing is logged.

aiohttp would put the offending bytes into its log and into the error page; these may be a token or a session's URL.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import BadHttpMethod, HttpProcessingError, LineTooLong
from aiohttp.web_protocol import RequestHandler

from ..messages import Fields, Refused, Response

logger = logging.getLogger(__name__)

MAX_LINE_BYTES = 8000
"""Of the request line."""
MAX_FIELD_BYTES = 8190
"""Of one header field; a number of its own, so that an error says which of the two it was."""


class Connection(RequestHandler):
    """aiohttp's connection, answering what cannot be parsed in our own words."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Make the response to a request that has none; the connection closes after it."""
        if request.writer.output_size > 0:
            raise ConnectionError("a response was begun already")
        if isinstance(exc, HttpProcessingError):
            refusal = _parse_refusal(exc)
        else:
            logger.error("an HTTP request failed", exc_info=exc)
            refusal = Refused(500, "The server made a mistake.")
        return to_aiohttp(refusal.response(), closes=True)


class TurnedAway(asyncio.Protocol):
    """Closes a connection that is one too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Hang up."""
        transport.close()


def to_aiohttp(response: Response, *, closes: bool = False) -> web.Response:
    """Make aiohttp's response of ours.

    Args:
        response: Ours.
        closes: Close the connection after it.
    """
    headers: Fields = (("Server", "bass-webrtc"), ("X-Content-Type-Options", "nosniff"), *response.headers)
    made = web.Response(status=response.status, headers=headers, body=response.body or None)
    if closes:
        made.force_close()
    return made


async def read_body(request: web.BaseRequest, max_bytes: int, timeout_s: float) -> bytes:
    """Read a request's body, but never more than is allowed.

    Raises:
        Refused: 400 it broke off, 408 it took too long, 413 it is too large, 417 an unknown expectation.
    """
    declared = request.content_length
    if declared is not None and declared > max_bytes:
        raise _too_large(max_bytes)
    await _continue(request)
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
        raise Refused(400, "The body broke off, or its chunks are malformed.") from None
    return bytes(body)


async def _continue(request: web.BaseRequest) -> None:
    """Curl, and so OBS, waits a second for this before it sends a longer body (RFC 9110, 10.1.1)."""
    expectation = request.headers.get("Expect")
    if expectation is None or request.version < (1, 1):
        return
    if expectation.lower() != "100-continue":
        raise Refused(417, "This expectation is not known here.")
    writer: Any = request.writer
    await writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    writer.output_size = 0  # The interim response is not the response.


def _too_large(max_bytes: int) -> Refused:
    return Refused(413, f"The body is larger than {max_bytes} bytes.")


def _parse_refusal(error: HttpProcessingError) -> Refused:
    """The status of what aiohttp's parser would not take."""
    if isinstance(error, LineTooLong):
        if MAX_LINE_BYTES in error.args:
            return Refused(414, "The request line is too long.")
        return Refused(431, "A header field is too long.")
    if error.message.startswith("Too many headers"):
        return Refused(431, "There are too many header fields.")
    if isinstance(error, BadHttpMethod) and "HTTPS" not in error.message:
        return Refused(501, "This method is not known here.")
    return Refused(400, "This is not a valid HTTP request.")
