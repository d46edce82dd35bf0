"""Responses that are sent while they are made: how they begin, flow and end, and what a slow client can cost."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
import time
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
from http_ends import QUICK, raw, status

from bass_webrtc.signaling.messages import Request, Response
from bass_webrtc.signaling.server.cors import Cors
from bass_webrtc.signaling.server.http_connection import Timeouts
from bass_webrtc.signaling.server.http_server import HttpServer, HttpSettings
from support.certificates import write_certificate
from support.patience import SLOWNESS

GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
PATIENT = HttpSettings(port=0, timeouts=replace(QUICK.timeouts, write_s=30.0))
PATIENCE_S = 10.0 * SLOWNESS


class Streams:
    """Streams what the test puts into ``queue``, ``None`` for the end; or parts of ``size`` bytes without an end."""

    cors = Cors()

    def __init__(self, size: int = 0) -> None:
        self.size = size
        self.queue: asyncio.Queue[bytes | Exception | None] = asyncio.Queue()
        self.parts = 0
        self.open = 0
        self.ended = asyncio.Event()

    def serves(self, path: str) -> bool:
        return True

    async def respond(self, request: Request) -> Response:
        return Response(200, (("Content-Type", "text/plain"),), parts=self.stream())

    async def stream(self) -> AsyncGenerator[bytes, None]:
        self.open += 1
        try:
            while True:
                part = b"x" * self.size if self.size else await self.queue.get()
                if isinstance(part, Exception):
                    raise part
                if part is None:
                    return
                self.parts += 1
                yield part
                await asyncio.sleep(0)
        finally:
            self.open -= 1
            self.ended.set()

    async def wait_for_end(self) -> None:
        async with asyncio.timeout(PATIENCE_S):
            await self.ended.wait()


@contextlib.asynccontextmanager
async def streaming(settings: HttpSettings = QUICK, size: int = 0) -> AsyncIterator[tuple[HttpServer, Streams]]:
    streams = Streams(size)
    server = HttpServer(settings, [streams])
    await server.start()
    try:
        yield server, streams
    finally:
        await server.stop()


async def closed(server: HttpServer) -> None:
    """Wait until no connection is open."""
    async with asyncio.timeout(PATIENCE_S):
        # Over sockets there is no event to wait for.
        while server.open_connections:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_each_part_arrives_before_the_next_one_is_made() -> None:
    async with streaming() as (server, streams), aiohttp.request("GET", server.url) as response:
        assert response.headers["Transfer-Encoding"] == "chunked"
        for part in (b"one", b"two", b"three"):
            streams.queue.put_nowait(part)
            assert await response.content.readany() == part
        streams.queue.put_nowait(None)
        assert await response.read() == b""
        await closed(server)


async def test_http_1_0_client_gets_the_parts_without_chunks() -> None:
    async with streaming() as (server, streams):
        for part in (b"one ", b"two", None):
            streams.queue.put_nowait(part)
        assert (await raw(server, b"GET / HTTP/1.0\r\n\r\n")).endswith(b"\r\n\r\none two")


async def test_head_starts_no_stream() -> None:
    async with streaming() as (server, streams):
        response = await raw(server, GET.replace(b"GET", b"HEAD"))
        assert status(response) == 200
        assert response.endswith(b"\r\n\r\n")
        assert not streams.ended.is_set()
        assert streams.open == 0


async def test_stream_without_parts_outlasts_all_timeouts() -> None:
    async with streaming() as (server, streams), aiohttp.request("GET", server.url) as response:
        timeouts = QUICK.timeouts
        await asyncio.sleep(2 * max(timeouts.header_s, timeouts.idle_s, timeouts.write_s))
        streams.queue.put_nowait(b"late")
        assert await response.content.readany() == b"late"


async def test_stream_ends_as_soon_as_its_client_leaves() -> None:
    async with streaming() as (server, streams):
        async with aiohttp.request("GET", server.url) as response:
            streams.queue.put_nowait(b"one")
            assert await response.content.readany() == b"one"
        await streams.wait_for_end()
        await closed(server)


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
async def test_client_that_does_not_read_is_dropped_and_costs_little(tls: bool, tmp_path: Path) -> None:
    certificate, key = write_certificate(tmp_path)
    settings = replace(QUICK, tls_certificate=certificate, tls_key=key) if tls else QUICK
    size = 10_000
    async with streaming(settings, size) as (server, streams):
        context = ssl.create_default_context(cafile=str(certificate)) if tls else None
        _reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1000, ssl=context)
        writer.write(GET)
        began_s = time.monotonic()
        await streams.wait_for_end()
        assert time.monotonic() - began_s < 5.0 * SLOWNESS
        # The buffers of both systems and of asyncio, but not what could have been made meanwhile.
        assert streams.parts * size < 12_000_000
        await closed(server)
        writer.close()


async def test_slow_client_is_asked_for_the_next_part_when_it_has_read() -> None:
    """So the code that makes the parts can leave out what has become old."""
    async with streaming(PATIENT, 100_000) as (server, streams):
        one = socket.socket()
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
        one.setblocking(False)
        loop = asyncio.get_running_loop()
        with contextlib.closing(one):
            await loop.sock_connect(one, ("127.0.0.1", server.port))
            await loop.sock_sendall(one, GET)
            before = -1
            while before != streams.parts or not before:
                before = streams.parts
                await asyncio.sleep(0.1)
            assert 0 < before < 20
            received = 0
            async with asyncio.timeout(PATIENCE_S):
                while received < 3_000_000:
                    received += len(await loop.sock_recv(one, 65_536))
            assert before < streams.parts < before + 40
        await streams.wait_for_end()


async def test_client_that_reads_slowly_stays() -> None:
    """Progress restarts the timeout for writing."""
    settings = replace(QUICK, timeouts=Timeouts(write_s=0.4))
    async with streaming(settings, 1_000_000) as (server, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1000)
        writer.write(GET)
        began_s = time.monotonic()
        while time.monotonic() - began_s < 1.5:
            assert await reader.read(200_000)
            await asyncio.sleep(0.005)
        writer.close()


@pytest.mark.parametrize("size", [0, 100_000], ids=["idle", "not read"])
async def test_server_stop_ends_streams_at_once(size: int) -> None:
    async with streaming(PATIENT, size) as (server, streams):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1000)
        writer.write(GET)
        if size:
            await asyncio.sleep(0.3)
        else:
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
        began_s = time.monotonic()
        await server.stop()
        assert time.monotonic() - began_s < 0.3 * SLOWNESS
        assert streams.open == 0
        if not size:
            assert await reader.read() == b"0\r\n\r\n", "a complete response"
        writer.close()


async def test_streams_count_as_connections_and_are_not_replaced() -> None:
    async with streaming(replace(PATIENT, max_connections_per_address=2)) as (server, streams):
        clients = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(2)]
        for reader, writer in clients:
            writer.write(GET)
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
        with contextlib.suppress(ConnectionError):
            assert await raw(server, GET) == b""
        assert (server.open_connections, server.refused_connections, streams.open) == (2, 1, 2)
        for _reader, writer in clients:
            writer.close()


async def test_part_that_cannot_be_made_ends_the_stream_incomplete(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    async with streaming() as (server, streams):
        for part in (b"one", RuntimeError("inner details")):
            streams.queue.put_nowait(part)
        received = await raw(server, GET)
        assert received.endswith(b"\r\n\r\n3\r\none\r\n")
        assert b"inner details" not in received
    assert [record.getMessage() for record in caplog.records] == ["a streamed HTTP response failed"]
