"""HTTP server on loopback: attacks over raw sockets."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Hashable
from dataclasses import replace

import aiohttp
import offers
import pytest
from http_ends import ORIGIN, QUICK, SDP, raw, serving, status

from bass_webrtc.signaling.server.auth import TokenPolicy
from bass_webrtc.signaling.server.endpoint import EndpointSettings
from bass_webrtc.signaling.server.http_connection import Timeouts
from bass_webrtc.signaling.server.turns import Turns
from support.conformance import covers


@covers("SE60", "WS42")
async def test_large_body_is_refused_unread() -> None:
    """By its Content-Length; the error has CORS fields."""
    async with serving() as (server, sessions, _):
        response = await raw(
            server,
            b"POST /whep HTTP/1.1\r\nHost: localhost\r\nOrigin: %s\r\nContent-Type: application/sdp\r\n"
            b"Content-Length: 131073\r\n\r\n" % ORIGIN.encode(),
        )
        assert status(response) == 413
        assert b"\r\nConnection: close\r\n" in response
        assert b"Access-Control-Allow-Origin: https://radio.example" in response
        assert not sessions.asked


@covers("SE60", "SE70")
async def test_body_of_maximum_size_is_read() -> None:
    """128 KiB are allowed, and refused quickly because they are not SDP."""
    async with serving() as (server, _, _), aiohttp.ClientSession(server.url) as client:
        started_s = time.monotonic()
        async with client.post("/whep", data=b"v" * 131_072, headers=SDP) as response:
            assert response.status == 400
        assert time.monotonic() - started_s < 2.0


@covers("SE60")
async def test_endless_chunks_are_refused() -> None:
    """A body without Content-Length has the same maximum."""
    async with serving() as (server, sessions, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"POST /whep HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
        chunk = b"8000\r\n" + b"v" * 0x8000 + b"\r\n"
        sent = 0
        with contextlib.suppress(ConnectionError):
            while sent < 1000:
                writer.write(chunk)
                await writer.drain()
                sent += 1
        with contextlib.suppress(ConnectionError):
            assert status(await reader.read()) == 413
        writer.close()
        assert not sessions.asked


CHUNKED = b"Host: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"


@covers("SE60")
@pytest.mark.parametrize(
    ("path", "expected"), [(b"/whep", 415), (b"/nothing", 404)], ids=["accepted body", "refused body"]
)
async def test_small_chunks_take_turns(path: bytes, expected: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """20,000 chunks of one byte are 100 kB, but take the loop 60 ms; no turn parses more than about 256 of them."""
    turns = []
    take = Turns.take

    async def counted(self: Turns, network: str, connection: Hashable, work: int = 1) -> None:
        turns.append(connection)
        await take(self, network, connection, work)

    monkeypatch.setattr(Turns, "take", counted)
    async with serving() as (server, _, _):
        request = b"POST %s HTTP/1.1\r\nConnection: close\r\n" % path + CHUNKED
        response = await raw(server, request + b"1\r\na\r\n" * 20_000 + b"0\r\n\r\n")
    assert status(response) == expected
    assert len(turns) > 20_000 / 300


async def test_client_that_leaves_during_a_refused_body_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with serving() as (server, _, _):
        for _ in range(5):
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(b"POST /nothing HTTP/1.1\r\n" + CHUNKED + b"1\r\na\r\n" * 5000)
            assert status(await reader.readuntil(b"\r\n")) == 404
            writer.transport.abort()
        await asyncio.sleep(0.05)
    assert not caplog.records


@covers("SE62", "SE68")
@pytest.mark.parametrize(
    "request_bytes",
    [
        b"POST /whep HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nv=0\r\n",
        b"POST /whep HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"POST /whep HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET /whep HTTP/1.1\r\nHost : localhost\r\n\r\n",
        b"GET /whep HTTP/1.1\r\n\r\n",
        b"GET /whep HTTP/1.1\r\nHost: localhost\r\nX: \x00\r\n\r\n",
        b"GET /wh\x00ep HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ],
)
async def test_malformed_requests_are_refused(request_bytes: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """With 400; the connection is closed, and nothing of the request is logged."""
    caplog.set_level(logging.DEBUG)
    async with serving() as (server, sessions, _):
        response = await raw(server, request_bytes)
        assert status(response) == 400
        assert b"application/problem+json" in response
        assert not sessions.asked
    assert not [record for record in caplog.records if record.name.startswith("aiohttp")]


@covers("SE60")
async def test_body_shorter_than_content_length_times_out() -> None:
    """408."""
    async with serving() as (server, sessions, _):
        fields = b"Host: localhost\r\nContent-Type: application/sdp\r\nContent-Length: 1000\r\n"
        request = b"POST /whep HTTP/1.1\r\n" + fields + b"\r\nv=0\r\n"
        assert status(await raw(server, request)) == 408
        assert not sessions.asked


@covers("SE60")
async def test_client_disconnects_during_the_body() -> None:
    async with serving() as (server, sessions, _):
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"POST /whep HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nv=0\r\n")
        await writer.drain()
        writer.transport.abort()
        await raw(server, b"GET /whep HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert not sessions.asked


@covers("SE60")
@pytest.mark.parametrize("sent", [b"", b"GET /whep HTTP/1.1\r\nHos"])
async def test_incomplete_header_times_out(sent: bytes) -> None:
    """The connection is closed."""
    async with serving() as (server, _, _):
        assert await raw(server, sent) == b""


@covers("SE60")
async def test_slow_header_times_out() -> None:
    """Further bytes do not restart the timeout."""
    async with serving() as (server, _, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(5):
                while not reader.at_eof():
                    writer.write(b"X")
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(0.05):
                            await reader.read()
        writer.close()


@covers("SE60")
async def test_idle_connection_is_closed() -> None:
    """After a request as well."""
    async with serving() as (server, _, _):
        response = await raw(server, b"GET /whep HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert status(response) == 200


@covers("SE60")
@pytest.mark.parametrize(
    "fields",
    [
        b"X: " + b"a" * 9000 + b"\r\n",
        b"a" * 9000 + b": x\r\n",
        b"X: y\r\n" * 200,
        b"".join(b"X-%d: %s\r\n" % (number, b"a" * 4000) for number in range(9)),
    ],
)
async def test_large_headers_are_refused(fields: bytes) -> None:
    """431 for one long field, for too many fields, and for their sum."""
    async with serving() as (server, _, _):
        assert status(await raw(server, b"GET /whep HTTP/1.1\r\nHost: localhost\r\n" + fields + b"\r\n")) == 431


async def test_long_request_line_is_refused() -> None:
    async with serving() as (server, _, _):
        assert status(await raw(server, b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")) == 414


@pytest.mark.parametrize("method", [b"BREW", b"FOO", b"PROPFIND", b"get"])
async def test_unknown_methods_are_501(method: bytes) -> None:
    """Methods that aiohttp's parser knows as well as others."""
    async with serving() as (server, _, _):
        request = method + b" /whep HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        assert status(await raw(server, request)) == 501


@covers("SE60")
async def test_compressed_body_is_not_decompressed() -> None:
    async with serving() as (server, _, echo), aiohttp.ClientSession(server.url) as client:
        headers = SDP | {"Content-Encoding": "gzip"}
        async with client.post("/whep", data=b"\x1f\x8b\x08", headers=headers) as response:
            assert response.status == 415
        async with client.post("/echo", data=b"\x1f\x8b\x08", headers=headers) as response:
            assert response.status == 200
        assert echo.requests[0].body == b"\x1f\x8b\x08"


async def test_unknown_expectation_is_417() -> None:
    async with serving() as (server, _, _):
        request = b"POST /whep HTTP/1.1\r\nHost: localhost\r\nExpect: a miracle\r\nContent-Length: 3\r\n\r\nv=0"
        assert status(await raw(server, request)) == 417


@covers("SE61")
async def test_connections_are_limited() -> None:
    """One beyond the maximum takes the place of an idle one."""
    async with serving(replace(QUICK, max_connections=2, timeouts=Timeouts())) as (server, _, _):
        held = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(2)]
        for _reader, writer in held:
            writer.write(b"GET /whep HTTP/1.1\r\nHost: localhost\r\n\r\n")
        for reader, _writer in held:
            assert b"200 OK" in await reader.readline()
        response = await raw(server, b"GET /whep HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert status(response) == 200
        assert server.open_connections <= 2
        for _reader, writer in held:
            writer.close()


@covers("SE68")
async def test_internal_error_shows_no_internals(caplog: pytest.LogCaptureFixture) -> None:
    """The client gets 500, the log the traceback."""
    async with serving() as (server, _, _), aiohttp.request("GET", f"{server.url}echo/bug") as response:
        assert response.status == 500
        assert "inner details" not in await response.text()
        assert response.headers["Content-Type"] == "application/problem+json"
    assert "inner details" in caplog.text


@covers("SE62")
async def test_logs_contain_no_secrets(caplog: pytest.LogCaptureFixture) -> None:
    """Neither token nor session URL, at any level, from any logger."""
    caplog.set_level(logging.DEBUG)
    settings = EndpointSettings("/whep", TokenPolicy("sesame"))
    async with serving(QUICK, settings) as (server, _, _), aiohttp.ClientSession(server.url) as client:
        headers = SDP | {"Authorization": "Bearer sesame"}
        async with client.post("/whep?x=sesame", data=offers.CHROME_RECVONLY.encode(), headers=headers) as response:
            location = response.headers["Location"]
        await raw(server, f"GET {location} HTTP/1.1\r\nAuthorization: Bearer sesame\r\nX\x00\r\n\r\n".encode())
        await raw(server, f"GARBAGE {location} sesame\r\n\r\n".encode())
        async with client.delete(location) as response:
            assert response.status == 200
    assert "DELETE /whep/…: 200" in caplog.text
    assert location.rpartition("/")[2] not in caplog.text
    assert "sesame" not in caplog.text


async def test_server_field_does_not_name_its_library() -> None:
    async with serving() as (server, _, _), aiohttp.request("GET", f"{server.url}whep") as response:
        assert response.headers["Server"] == "bass-webrtc"
