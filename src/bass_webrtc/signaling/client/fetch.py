"""HTTP requests of a client through aiohttp: bounded in time and size, with our own rules for redirects.

aiohttp is configured to follow no redirect, keep no cookie, and read neither ``.netrc`` nor proxies from the
environment: only what is written here is sent. Its exceptions contain URLs and bytes from the server, so none leaves
this module.
"""

from __future__ import annotations

import asyncio
import functools
import socket
import ssl
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

import aiohttp
from yarl import URL

from ...config import bracketed
from ..messages import SDP, Fields, Headers
from .errors import MAX_DETAIL_BYTES, ErrorMaker, Reply
from .urls import Redirects, Trust, UnsafeUrlError, Url

MAX_SDP_BYTES = 128 * 1024
_ERROR_BODY_TIMEOUT_S = 1.0
_KEEPALIVE_S = 3.0
"""Shorter than the limits of servers (Node: 5 s), so that a PATCH is not sent on a connection that is closing."""

OnHead = Callable[[int, Headers, Url], None]
"""Called with status, header and URL after redirects, before the body is read."""


class _ForbiddenAddressError(OSError):
    """A connection was not made because ``Trust`` does not allow the address."""


class Fetcher:
    """Sends requests. Used on one event loop.

    Args:
        trust: Where requests may go, and which of them carry the token.
        authorization: Value of the ``Authorization`` field; None sends no such field (RFC 9725, 4.7.1).
        errors: Makes the errors.
        tls: Which certificates are trusted; None: those that the system trusts.
        connect_timeout_s: For a new connection; None: as long as the request may take.

    Attributes:
        connect_s: Seconds that the slowest new connection took, including TLS; None before the first.
    """

    def __init__(
        self,
        trust: Trust,
        authorization: str | None,
        errors: ErrorMaker,
        tls: ssl.SSLContext | None = None,
        connect_timeout_s: float | None = None,
    ) -> None:
        self._trust = trust
        self._authorization = authorization
        self._errors = errors
        self._tls = tls
        self._connect_timeout_s = connect_timeout_s
        self.connect_s: float | None = None
        self._http: dict[str, aiohttp.ClientSession] = {}
        self._first_sockets: list[tuple[socket.socket, str]] = []
        self._is_closed = False

    async def fetch(
        self,
        method: str,
        url: Url,
        fields: Fields = (),
        body: bytes | None = None,
        *,
        timeout_s: float,
        on_head: OnHead | None = None,
        on_sent: Callable[[], None] | None = None,
    ) -> Reply:
        """Send a request and read the response, after redirects.

        Args:
            method: HTTP method.
            url: URL of the request.
            fields: Header fields, without ``Authorization`` and those that HTTP itself needs.
            body: Body of the request; its type is in ``fields``.
            timeout_s: For the request, its redirects and the response.
            on_head: Called when the header of the response has arrived.
            on_sent: Called when the request has been sent.

        Returns:
            The response with any status except a redirect.

        Raises:
            SignalingError: There is no response in time, it is too large, or a redirect is unsafe.
        """
        redirects = Redirects(self._trust, url)
        if self._is_closed:
            raise self._errors.make(0, url, "the session was deleted")
        reply = None
        try:
            async with asyncio.timeout(timeout_s):
                while reply is None:
                    reply = await self._send(method, redirects, fields, body, on_head, on_sent)
        except aiohttp.ConnectionTimeoutError:
            detail = f"no connection within {self._connect_timeout_s:.1f} s"
            raise self._errors.make(0, redirects.url, detail) from None
        except TimeoutError:
            raise self._errors.make(0, redirects.url, f"no response within {timeout_s:g} s") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            # A redirect that is not allowed will not be allowed later either; a name may resolve otherwise then.
            status = redirects.status if _is_forbidden(error) else 0
            raise self._errors.make(status, redirects.url, _describe(error)) from _certificate_error(error)
        return reply

    async def stream(self, url: Url, media_type: str, timeout_s: float) -> AsyncGenerator[bytes]:
        """GET a response that arrives incrementally and may never end. Redirects are not followed.

        Args:
            url: URL of the stream.
            media_type: Expected type.
            timeout_s: For the header of the response.

        Yields:
            Bytes as they arrive.

        Raises:
            SignalingError: There is no such stream, or the connection was lost.
        """
        request = self._send_request("GET", Redirects(self._trust, url), (("Accept", media_type),))
        try:
            async with asyncio.timeout(timeout_s) as limit, request as response:
                limit.reschedule(None)
                if response.status != 200 or Headers(response.headers.items()).media_type != media_type:
                    raise self._errors.make(response.status, url, f"expected 200 with {media_type}")
                async for chunk in response.content.iter_any():
                    yield chunk
        except TimeoutError:
            raise self._errors.make(0, url, f"no response within {timeout_s:g} s") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise self._errors.make(0, url, _describe(error)) from None

    async def reconnect(self) -> None:
        """Close the connections; the next request opens new ones. A request in progress fails."""
        clients, self._http = self._http, {}
        for client in clients.values():
            await client.close()

    async def close(self) -> None:
        """Close the connections; further requests fail. Idempotent."""
        self._is_closed = True
        await self.reconnect()

    async def _send(
        self,
        method: str,
        redirects: Redirects,
        fields: Fields,
        body: bytes | None,
        on_head: OnHead | None,
        on_sent: Callable[[], None] | None,
    ) -> Reply | None:
        """Send one request. None if the response is a redirect; ``redirects`` then has the next URL."""
        async with self._send_request(method, redirects, fields, body, on_sent) as response:
            if 300 <= response.status < 400:
                self._follow(response, redirects)
                return None
            return await self._read(response, redirects, on_head)

    def _send_request(
        self,
        method: str,
        redirects: Redirects,
        fields: Fields,
        body: bytes | None = None,
        on_sent: Callable[[], None] | None = None,
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        headers = {"Accept-Encoding": "identity", "User-Agent": "bass-webrtc", **dict(fields)}
        if self._authorization is not None and redirects.gets_token:
            headers["Authorization"] = self._authorization
        if "%" in redirects.url.host:  # A zone has a meaning on this machine only (RFC 6874, 1).
            headers["Host"] = f"{bracketed(redirects.url.host.partition('%')[0])}:{redirects.url.port}"
        url = URL(redirects.url.text, encoded=True)
        return self._client(redirects.url.host).request(
            method, url, headers=headers, data=body, allow_redirects=False, trace_request_ctx=on_sent
        )

    def _client(self, host: str) -> aiohttp.ClientSession:
        """Return the client for the configured host, or that for all others."""
        host = host if host == self._trust.endpoint.host else ""
        if host not in self._http:
            timeout = aiohttp.ClientTimeout(total=None, sock_connect=self._connect_timeout_s)
            open_socket = functools.partial(self._open_socket, host)
            self._http[host] = _open_client(self._tls, timeout, self._trace(), open_socket)
        return self._http[host]

    def _open_socket(self, host: str, info: aiohttp.AddrInfoType) -> socket.socket:
        """Open the socket for a connection if its address is allowed. All connections are opened here."""
        family, kind, protocol, _, address = info
        reason = self._trust.refusal(host, str(address[0]))
        if reason is not None:
            raise _ForbiddenAddressError(None, reason)
        opened = socket.socket(family, kind, protocol)
        if host and self._trust.home.address is None:
            self._first_sockets.append((opened, str(address[0])))
        return opened

    def _trace(self) -> aiohttp.TraceConfig:
        """Call ``on_sent``, and measure how long new connections take, without name resolution.

        The address of the first connection becomes the home of the client.
        """

        async def begin(_session: aiohttp.ClientSession, context: Any, _params: object) -> None:
            context.connecting_since_s = asyncio.get_running_loop().time()

        async def end(_session: aiohttp.ClientSession, context: Any, _params: object) -> None:
            connect_s = asyncio.get_running_loop().time() - context.connecting_since_s
            self.connect_s = max(connect_s, self.connect_s or 0.0)
            for opened, address in self._first_sockets:
                if opened.fileno() >= 0:  # The others are closed: they have failed, or were slower.
                    self._trust.home.reached(address)
            self._first_sockets.clear()

        trace = aiohttp.TraceConfig()
        trace.on_connection_create_start.append(begin)
        trace.on_dns_resolvehost_end.append(begin)
        trace.on_connection_create_end.append(end)
        trace.on_request_headers_sent.append(_on_headers_sent)
        return trace

    def _follow(self, response: aiohttp.ClientResponse, redirects: Redirects) -> None:
        try:
            redirects.follow(response.status, response.headers.get("Location"))
        except UnsafeUrlError as error:
            raise self._errors.make(response.status, redirects.url, str(error)) from None

    async def _read(self, response: aiohttp.ClientResponse, redirects: Redirects, on_head: OnHead | None) -> Reply:
        url, headers = redirects.url, Headers(response.headers.items())
        if on_head is not None:
            on_head(response.status, headers, url)
        is_encoded = (headers.get("Content-Encoding") or "identity").strip().lower() != "identity"
        if response.status >= 400 and headers.media_type != SDP:
            body = b"" if is_encoded else await _read_some(response)
        elif is_encoded:
            raise self._errors.make(response.status, url, "the response is compressed; expected no Content-Encoding")
        else:
            body = await self._read_all(response, url)
        is_withheld = self._authorization is not None and not redirects.gets_token
        return Reply(response.status, headers, body, url, is_withheld)

    async def _read_all(self, response: aiohttp.ClientResponse, url: Url) -> bytes:
        """Read the body up to the maximum size."""
        body = bytearray()
        is_large = (response.content_length or 0) > MAX_SDP_BYTES
        while not is_large and (chunk := await response.content.readany()):
            body += chunk
            is_large = len(body) > MAX_SDP_BYTES
        if is_large:
            response.close()
            raise self._errors.make(response.status, url, f"the response is larger than {MAX_SDP_BYTES} bytes")
        return bytes(body)


class _NoCookies(aiohttp.DummyCookieJar):
    """Keeps no cookies and, unlike aiohttp's, does not parse them either."""

    def update_cookies_from_headers(self, headers: Sequence[str], response_url: URL) -> None:
        """Do nothing."""


def _open_client(
    tls: ssl.SSLContext | None,
    timeout: aiohttp.ClientTimeout,
    trace: aiohttp.TraceConfig,
    open_socket: Callable[[aiohttp.AddrInfoType], socket.socket],
) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            ssl=True if tls is None else tls,
            socket_factory=open_socket,
            keepalive_timeout=_KEEPALIVE_S,
            # A name is resolved only once: the session is at the server that got the offer, and at interpreter exit,
            # when DELETE is sent, no thread can be started to resolve a name.
            ttl_dns_cache=None,
        ),
        auto_decompress=False,
        cookie_jar=_NoCookies(),
        timeout=timeout,
        trace_configs=[trace],
        trust_env=False,
    )


async def _on_headers_sent(session: aiohttp.ClientSession, context: Any, params: object) -> None:
    on_sent = context.trace_request_ctx
    if on_sent is not None:
        on_sent()


async def _read_some(response: aiohttp.ClientResponse) -> bytes:
    """Read the beginning of an error's body. If it does not arrive, the status is enough."""
    body = bytearray()
    try:
        async with asyncio.timeout(_ERROR_BODY_TIMEOUT_S):
            while len(body) < MAX_DETAIL_BYTES and (chunk := await response.content.readany()):
                body += chunk
    except (TimeoutError, aiohttp.ClientError, OSError):
        response.close()
    return bytes(body[:MAX_DETAIL_BYTES])


def _certificate_error(error: Exception) -> ssl.SSLCertVerificationError | None:
    """Return the reason why a certificate is not trusted; such an error is not worth retrying."""
    reason = error.certificate_error if isinstance(error, aiohttp.ClientConnectorCertificateError) else error
    return reason if isinstance(reason, ssl.SSLCertVerificationError) else None


def _is_forbidden(error: Exception) -> bool:
    """Return whether no address of the host is allowed."""
    return isinstance(error, aiohttp.ClientConnectorError) and isinstance(error.os_error, _ForbiddenAddressError)


def _describe(error: Exception) -> str:
    """Describe an error without aiohttp's own text, which contains URLs and bytes from the server."""
    match error:
        case aiohttp.ClientConnectorDNSError():
            return f"cannot resolve the host name: {_reason(error.os_error)}"
        case aiohttp.ClientConnectorCertificateError():
            return f"the server's certificate is not valid: {error.certificate_error}"
        case aiohttp.ClientConnectorSSLError():
            return "the TLS handshake failed"
        case aiohttp.ClientConnectorError():
            return f"cannot connect: {_reason(error.os_error)}"
        case aiohttp.ServerDisconnectedError() | ConnectionError():
            return "the server closed the connection without a response"
        case aiohttp.ClientPayloadError():
            return "the response is incomplete, or its chunks are malformed"
    return "the response is not valid HTTP"


def _reason(error: OSError) -> str:
    return error.strerror or str(error) or "unknown reason"
