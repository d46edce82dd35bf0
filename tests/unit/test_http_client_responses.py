"""Unusable responses, as sent by real or malicious servers."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import socket
import time
from typing import Any

import aiohttp
import pytest
from client_servers import (
    LOCATION,
    OFFER,
    SDP,
    TOKEN,
    Last,
    Seen,
    answering,
    created,
    failure,
    posted,
    response,
    serving,
    session_at,
)

from bass_webrtc.errors import SdpError, SignalingError
from bass_webrtc.signaling.client.backoff import is_worth_retrying
from bass_webrtc.signaling.client.session import SignalingSession
from bass_webrtc.signaling.client.settings import ClientSettings
from support.conformance import covers


@covers("CL1", "CL12")
@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 406, 409, 415, 422, 429, 451, 500, 503, 599])
async def test_refusal_has_status_detail_and_retry_after(status: int) -> None:
    body = f'{{"detail": "No, {TOKEN}."}}'
    refusal = response(status, ("Content-Type", "application/problem+json"), ("Retry-After", "7"), body=body)
    error, server = await failure(answering(POST=refusal), token=TOKEN)
    assert (error.status, error.detail, error.retry_after_s) == (status, "No, ….", 7.0)
    assert error.url == server.url
    assert server.methods() == ["POST"]


@covers("SE62")
async def test_secret_url_of_the_endpoint_is_not_shown() -> None:
    """Some servers repeat it in their error."""

    def script(seen: Seen) -> bytes:
        return response(404, ("Content-Type", "text/plain"), body=f"nothing at {seen.target}")

    async with serving(script) as server:
        with pytest.raises(SignalingError) as caught:
            await session_at(server, url=f"{server.url}/0123456789abcdef0123?key=s3cr3t").post(OFFER)
    assert str(caught.value) == f"{server.url}/…: HTTP 404: nothing at /whip/…?…"


@covers("SE66")
async def test_compressed_refusal_is_not_decompressed() -> None:
    packed = gzip.compress(b"no")
    refusal = response(400, ("Content-Type", "text/plain"), ("Content-Encoding", "gzip"), body=packed)
    error, _server = await failure(answering(POST=refusal))
    assert (error.status, error.detail) == (400, "the server refused")


@covers("SE66")
async def test_response_with_too_large_content_length_is_not_read() -> None:
    head = b"HTTP/1.1 201 OK\r\nContent-Type: application/sdp\r\nLocation: /s\r\nContent-Length: 1073741824\r\n\r\n"
    error, server = await failure(answering(POST=head))
    assert (error.status, "larger than" in error.detail) == (201, True)
    assert server.methods() == ["POST", "DELETE"]


@covers("CL10", "SE66")
@pytest.mark.parametrize(
    "given",
    [
        created(LOCATION, body="x" * (128 * 1024 + 1)),
        response(201, ("Content-Type", "text/html"), LOCATION, body="<html>"),
        response(201, SDP, LOCATION),
        created(LOCATION, body=b"\xff"),
        created(LOCATION, ("Content-Encoding", "gzip"), body=gzip.compress(b"v=0" * 1000)),
        Last(b"HTTP/1.1 201 Created\r\nContent-Type: application/sdp\r\nLocation: /s\r\nContent-Length: 9\r\n\r\nv=0"),
    ],
    ids=["large", "html", "empty", "not UTF-8", "compressed", "truncated"],
)
async def test_session_with_an_unusable_answer_is_deleted(given: bytes) -> None:
    _error, server = await failure(answering(POST=given))
    assert server.methods() == ["POST", "DELETE"]


@covers("SE66")
async def test_answer_of_128_kib_is_read() -> None:
    """The limit itself."""
    async with posted(answering(POST=created(LOCATION, body="x" * (128 * 1024)))):
        pass


@covers("SE66")
async def test_fields_that_aiohttp_parses_slowly_are_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its content_type takes 1.7 s for a field of 8 kB, and it parses cookies that nobody reads."""

    def fail(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(aiohttp.helpers.HeadersMixin, "_parse_content_type", fail)
    monkeypatch.setattr(aiohttp.abc, "parse_set_cookie_headers", fail)
    slow = ("Content-Type", "application/sdp;" + '"' * 8000)
    cookies = [("Set-Cookie", "expires=" * 1000)] * 20
    async with posted(answering(POST=response(201, slow, LOCATION, *cookies, body="v=0"))) as (server, _):
        pass
    assert server.methods() == ["POST", "DELETE"]
    error, _server = await failure(answering(POST=response(400, slow, body="v=0")))
    assert error.status == 400


@covers("SE66")
async def test_gigabyte_is_not_read() -> None:
    """With or without a Content-Length."""
    sent = 0

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        with contextlib.suppress(OSError):
            writer.write(heads.pop(0))
            while sent < 2**30:
                writer.write(bytes(65536))
                await writer.drain()
                sent += 65536
        writer.close()

    start = b"HTTP/1.1 201 Created\r\nContent-Type: application/sdp\r\n"
    heads = [start + b"Content-Length: 1073741824\r\n\r\n", start + b"Connection: close\r\n\r\n"]
    heads.append(start.replace(b"201", b"404").replace(b"/sdp", b"/x") + b"Connection: close\r\n\r\n")
    statuses = []
    async with await asyncio.start_server(connected, "127.0.0.1", 0) as listener:
        url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/whip"
        while heads:
            with pytest.raises(SignalingError) as caught:
                await SignalingSession("publisher", ClientSettings(url)).post(OFFER)
            statuses.append(caught.value.status)
    assert statuses == [201, 201, 404]
    assert sent < 2**26


@covers("SE70", "CL1")
@pytest.mark.parametrize(
    "given",
    [
        None,
        b"",
        b"rubbish\r\n\r\n",
        b"HTTP/1.1 200\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 201 OK\r\nContent-Length: -5\r\n\r\n",
        b"HTTP/1.1 201 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 201 OK\r\n" + b"X: x\r\n" * 50_000 + b"\r\n",
        b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03",
    ],
)
async def test_response_that_is_not_http_is_an_error(given: bytes | None) -> None:
    """It is worth retrying."""

    def script(seen: Seen) -> bytes | None:
        return given

    error, _server = await failure(script, request_timeout_s=0.5)
    assert error.status == 0
    assert is_worth_retrying(error, "publisher")


@covers("SE66")
@pytest.mark.parametrize("head", [b"", b"HTTP/1.1 201 OK\r\nContent-Type: appl"], ids=["silent", "slow header"])
async def test_slow_server_times_out(head: bytes) -> None:
    """One time limit applies to the whole request."""
    begin_s = time.monotonic()
    error, _server = await failure(answering(POST=head), request_timeout_s=0.2, cancel_grace_s=0.1)
    assert error.detail == "no response within 0.2 s"
    assert time.monotonic() - begin_s < 3.0


@covers("SE66")
async def test_endless_interim_responses_time_out() -> None:
    """Such as 103 (RFC 8297)."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        with contextlib.suppress(OSError):
            while True:
                writer.write(b"HTTP/1.1 103 Early Hints\r\n\r\n")
                await writer.drain()
                await asyncio.sleep(0.001)
        writer.close()

    async with await asyncio.start_server(connected, "127.0.0.1", 0) as listener:
        url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/whip"
        with pytest.raises(SignalingError, match="no response within"):
            await SignalingSession("publisher", ClientSettings(url, request_timeout_s=0.2)).post(OFFER)


@covers("SE66", "CL10")
async def test_session_with_a_slow_body_is_deleted() -> None:
    head = b"HTTP/1.1 201 OK\r\nContent-Type: application/sdp\r\nLocation: /s\r\nContent-Length: 99\r\n\r\nv=0"
    error, server = await failure(answering(POST=head), request_timeout_s=0.2)
    assert error.status == 0
    assert server.methods() == ["POST", "DELETE"]


@covers("CL1")
async def test_refusal_with_a_slow_body_is_a_refusal() -> None:
    head = b"HTTP/1.1 409 No\r\nRetry-After: 2\r\nContent-Length: 99\r\nContent-Type: text/plain\r\n\r\nNobody"
    error, _server = await failure(answering(POST=head))
    assert (error.status, error.detail, error.retry_after_s) == (409, "Nobody", 2.0)


async def test_closed_port_is_an_error() -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{reserved.getsockname()[1]}/whip"
        with pytest.raises(SignalingError, match="cannot connect: Connect") as caught:
            await SignalingSession("player", ClientSettings(url)).post(OFFER)
    assert caught.value.status == 0


async def test_connecting_has_its_own_timeout() -> None:
    """A host that is down does not respond; here a TLS handshake is not answered."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        settings = ClientSettings(
            f"https://127.0.0.1:{listener.getsockname()[1]}/", request_timeout_s=30.0, connect_timeout_s=0.2
        )
        session = SignalingSession("publisher", settings)
        with pytest.raises(SignalingError, match=r"no connection within 0\.2 s") as caught:
            await asyncio.wait_for(session.post(OFFER), 5.0)
    assert is_worth_retrying(caught.value, "publisher")
    assert session.connect_s is None


async def test_duration_of_connecting_is_measured() -> None:
    """Timeouts for distant servers are derived from it."""
    async with posted(answering(POST=created())) as (_, session):
        assert session.connect_s is not None
        assert 0.0 < session.connect_s < 1.0


async def test_unknown_host_name_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: Any, **more: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(SignalingError, match="cannot resolve the host name: Name or service"):
        await SignalingSession("player", ClientSettings("http://nowhere.example/whep")).post(OFFER)


async def test_malformed_offer_is_an_error() -> None:
    """Nothing is sent."""
    async with serving(answering()) as server, session_at(server) as session:
        with pytest.raises(SdpError):
            await session.post("rubbish")
    assert server.requests == []
