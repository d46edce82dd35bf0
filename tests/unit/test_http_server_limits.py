"""How many connections may be open, which one makes room for a new one, and how long each may take (SE60, SE61)."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import socket
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import aiohttp
import pytest
from http_ends import QUICK, Echo, raw, serving, status

from bass_webrtc import loop_thread
from bass_webrtc.loop_thread import LoopThread, SelectLoop
from bass_webrtc.signaling.server.connections import Connections, process_descriptor_limit
from bass_webrtc.signaling.server.http_connection import Timeouts
from bass_webrtc.signaling.server.http_server import HttpServer
from support.certificates import write_certificate
from support.conformance import covers
from support.patience import SLOWNESS, wait_until

GET = b"GET /echo HTTP/1.1\r\nHost: localhost\r\n\r\n"
PATIENT = replace(QUICK, timeouts=Timeouts())
HALF_BODY = b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nv=0"


@dataclass(eq=False)
class Member:
    network: str
    descriptor: int = 5
    is_waiting: bool = True
    aborted: bool = False

    def abort(self) -> None:
        self.aborted = True


@dataclass
class Table:
    """Connections with a settable clock and descriptor limit."""

    most: int = 1000
    per_network: int = 64
    limit: int | None = None
    now_s: float = 0.0
    members: list[Member] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.connections: Connections[Member] = Connections(
            self.most, self.per_network, lambda: self.now_s, lambda: self.limit
        )

    def open(self, network: str, *, is_waiting: bool = True, descriptor: int = 5, is_proxy: bool = False) -> bool:
        admitted = self.connections.admit(network, descriptor, is_proxy=is_proxy)
        if admitted:
            self.members.append(Member(network, descriptor, is_waiting))
            self.connections.add(self.members[-1])
        return admitted

    def aborted(self) -> list[int]:
        return [number for number, member in enumerate(self.members) if member.aborted]


# The table


def test_address_at_its_maximum_replaces_its_longest_waiting_connection() -> None:
    table = Table(per_network=3)
    assert all(table.open("192.0.2.1") for _ in range(3))
    assert table.open("192.0.2.2")
    table.connections.renew(table.members[0])
    assert table.open("192.0.2.1")
    assert table.aborted() == [1]
    assert len(table.connections) == 4
    assert table.connections.refused == 1


def test_connection_with_a_request_in_progress_is_not_replaced() -> None:
    table = Table(per_network=2)
    assert table.open("192.0.2.1", is_waiting=False)
    assert table.open("192.0.2.1", is_waiting=False)
    assert not table.open("192.0.2.1")
    assert table.open("192.0.2.2")
    assert table.aborted() == []
    assert table.connections.refused == 1


def test_trusted_proxy_may_open_more() -> None:
    table = Table(per_network=2, most=5)
    assert all(table.open("10.0.0.1", is_proxy=True) for _ in range(5))
    assert table.aborted() == []
    assert table.open("10.0.0.1", is_proxy=True)
    assert table.aborted() == [0], "the maximum of the server applies to it as well"


def test_full_server_makes_room_at_the_address_that_has_the_most() -> None:
    table = Table(most=5)
    for network in ("192.0.2.1", "192.0.2.2", "192.0.2.2", "192.0.2.2", "192.0.2.1"):
        assert table.open(network)
    assert table.open("192.0.2.3")
    assert table.aborted() == [1]
    assert table.open("192.0.2.3")
    assert len(table.connections) == 5


def test_full_server_refuses_if_nobody_has_more_and_nothing_waits() -> None:
    table = Table(most=2)
    assert table.open("192.0.2.1", is_waiting=False)
    assert table.open("192.0.2.2", is_waiting=False)
    assert not table.open("192.0.2.3")
    assert not table.open("192.0.2.2")
    assert len(table.connections) == 2


def test_one_connection_each_of_many_addresses_makes_room_for_another_address() -> None:
    table = Table(most=100)
    for number in range(100):
        assert table.open(f"2001:db8:0:{number}::/64")
    assert table.open("192.0.2.1")
    assert table.aborted() == [0]


def test_half_of_the_descriptors_at_most_are_used() -> None:
    table = Table(limit=100)
    for number in range(50):
        assert table.open(f"192.0.2.{number}")
    assert table.aborted() == []
    assert table.open("192.0.2.60")
    assert table.aborted() == [0]


def test_last_descriptors_are_kept_for_the_program() -> None:
    """Of 1024, 128 are kept. The number of the accepted descriptor tells how many are in use."""
    table = Table(limit=1024)
    for number in range(8):
        assert table.open(f"192.0.2.{number}", descriptor=800)
    assert table.open("192.0.2.20", descriptor=895)
    assert table.aborted() == []
    assert table.open("192.0.2.21", descriptor=896)
    assert table.aborted() == [0]
    assert table.open("192.0.2.22", descriptor=800), "the number of the closed one"
    assert table.aborted() == [0, 1], "896 is in use, and so are all below it"
    table.connections.discard(table.members[9])
    assert table.open("192.0.2.23", descriptor=800)
    assert table.aborted() == [0, 1]


def test_a_few_connections_are_possible_however_few_descriptors_are_left() -> None:
    table = Table(limit=1024)
    for number in range(8):
        assert table.open(f"192.0.2.{number}", descriptor=1000 + number)
    assert table.aborted() == []
    assert table.open("192.0.2.8", descriptor=1008)
    assert table.aborted() == [0]


def test_process_without_a_limit_is_not_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    resource = pytest.importorskip("resource")
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert process_descriptor_limit() is None
    table = Table(most=2000)
    assert all(table.open(f"192.0.2.{number}", descriptor=10**6) for number in range(200))
    assert table.aborted() == []


def test_ended_connections_are_forgotten() -> None:
    table = Table(per_network=2)
    table.open("192.0.2.1")
    for _ in range(2):
        table.connections.discard(table.members[0])
    table.connections.renew(table.members[0])
    assert len(table.connections) == 0
    assert table.connections.all() == []


def test_log_has_one_line_a_second(caplog: pytest.LogCaptureFixture) -> None:
    table = Table(per_network=2)
    for _ in range(2):
        table.open("192.0.2.7", is_waiting=False)
    for number in range(1000):
        table.now_s = number / 500
        assert not table.open("192.0.2.7")
    assert [record.getMessage() for record in caplog.records] == [
        "refused: 2 connections from 192.0.2.7 are open (1 times so far)",
        "refused: 2 connections from 192.0.2.7 are open (501 times so far)",
    ]


# Over sockets


async def held(server: HttpServer, count: int, data: bytes = b"", source: str = "127.0.0.1") -> list[socket.socket]:
    """Open connections that send some bytes and stay open."""
    sockets = []
    for _ in range(count):
        one = socket.socket()
        one.setblocking(False)
        one.bind((source, 0))
        await asyncio.get_running_loop().sock_connect(one, ("127.0.0.1", server.port))
        if data:
            await asyncio.get_running_loop().sock_sendall(one, data)
        sockets.append(one)
    return sockets


@contextlib.contextmanager
def closing(sockets: list[socket.socket]) -> Iterator[None]:
    try:
        yield
    finally:
        for one in sockets:
            one.close()


async def settled(server: HttpServer, count: int, refused: int = 0) -> None:
    """Wait until so many connections are open, after so many, or more, were refused."""
    async with asyncio.timeout(5 * SLOWNESS):
        # Over sockets there is no event to wait for.
        while server.open_connections != count or server.refused_connections < refused:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@covers("SE61")
@pytest.mark.parametrize("data", [b"", b"GET /ec", GET, HALF_BODY], ids=["nothing", "header", "kept alive", "body"])
async def test_new_connection_is_served_however_many_idle_ones_its_address_has(data: bytes) -> None:
    async with serving(replace(PATIENT, max_connections_per_address=4)) as (server, _, _):
        sockets = await held(server, 20, data)
        with closing(sockets):
            await settled(server, 4, refused=16)
            assert status(await raw(server, GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))) == 200
            assert server.refused_connections >= 17


@covers("SE61")
async def test_pending_tls_handshakes_count(tmp_path: Path) -> None:
    certificate, key = write_certificate(tmp_path)
    settings = replace(PATIENT, tls_certificate=certificate, tls_key=key, max_connections_per_address=4)
    async with serving(settings) as (server, _, _):
        sockets = await held(server, 10) + await held(server, 10, b"\x16\x03\x01\x02\x00\x01")
        with closing(sockets):
            await settled(server, 4, refused=16)
            context = ssl.create_default_context(cafile=str(certificate))
            async with aiohttp.request("GET", f"{server.url}echo", ssl=context) as response:
                assert response.status == 200
            assert server.refused_connections == 17


@covers("SE61")
async def test_addresses_have_limits_of_their_own() -> None:
    async with serving(replace(PATIENT, max_connections_per_address=4)) as (server, _, _):
        sockets = [one for host in range(5) for one in await held(server, 4, source=f"127.0.0.{2 + host}")]
        with closing(sockets):
            await settled(server, 20)
            assert server.refused_connections == 0


@covers("SE61")
@pytest.mark.parametrize("limit", [40, None], ids=["as on Windows", "unaware"])
def test_more_clients_than_the_loop_can_watch_do_not_end_it(monkeypatch: pytest.MonkeyPatch, limit: int | None) -> None:
    """On Windows, HTTP has half of what ``select`` can watch. The clients here have plain sockets."""
    monkeypatch.setattr("bass_webrtc.signaling.server.connections.process_descriptor_limit", lambda: limit)
    monkeypatch.setattr("bass_webrtc.signaling.server.connections.WATCHED_SOCKETS", limit)
    monkeypatch.setattr(loop_thread, "new_event_loop", lambda: SelectLoop(40))
    loop = LoopThread("a loop")
    server = HttpServer(PATIENT, [Echo()])
    loop.run(server.start())
    address = ("127.0.0.1", server.port)
    clients = [socket.create_connection(address, timeout=10) for _ in range(60)]
    with closing(clients):
        if limit is not None:
            loop.run(settled(server, 20))
    # Until the loop has noticed the end of the clients, it may have no room for another one.
    wait_until(lambda: is_served(address))
    loop.run(server.stop())
    loop.stop()


def is_served(address: tuple[str, int]) -> bool:
    """Whether the server answers a new client."""
    with contextlib.suppress(OSError), socket.create_connection(address, timeout=1) as client:
        client.sendall(GET)
        return client.recv(1000).startswith(b"HTTP/1.1 200 ")
    return False


async def test_accepting_survives_a_process_without_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    """An idle connection is closed, and the loop does not spin."""
    loop = asyncio.get_running_loop()
    failures = [OSError(code, os.strerror(code)) for code in (errno.EMFILE, errno.ENFILE, errno.ECONNABORTED)]
    calls = 0
    original = loop.sock_accept

    async def sock_accept(listener: socket.socket) -> tuple[socket.socket, object]:
        nonlocal calls
        calls += 1
        if calls > 1 and failures:
            raise failures.pop()
        return await original(listener)

    monkeypatch.setattr(loop, "sock_accept", sock_accept)
    async with serving(PATIENT) as (server, _, _):
        with closing(await held(server, 2)) as _:
            pass
        sockets = await held(server, 3)
        with closing(sockets):
            await settled(server, 3, refused=2)
            assert not failures
            assert server.refused_connections == 2
            assert status(await raw(server, GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))) == 200
            assert calls < 20


async def test_accepting_survives_a_system_that_cannot_watch_a_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    failures = [OSError(code, os.strerror(code)) for code in (errno.ENOMEM, errno.ENOSPC)]
    original = loop.add_reader

    def add_reader(fd: object, callback: object, *args: object) -> None:
        if failures:
            raise failures.pop()
        original(fd, callback, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(loop, "add_reader", add_reader)
    async with serving() as (server, _, _):
        for _ in range(2):
            assert await raw(server, GET) == b"", "closed without an answer"
        assert status(await raw(server, GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))) == 200


LONG = b"GET /echo/long HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
"""The response is longer than the buffers of both systems."""


@pytest.mark.parametrize("request_bytes", [LONG, LONG.replace(b"close", b"keep-alive"), GET * 3000])
async def test_client_that_never_reads_is_disconnected(request_bytes: bytes) -> None:
    async with serving() as (server, _, _):
        one = await reader(server)
        with closing([one]):
            began_s = time.monotonic()
            with contextlib.suppress(TimeoutError, ConnectionError):
                async with asyncio.timeout(0.2):
                    await asyncio.get_running_loop().sock_sendall(one, request_bytes)
            await settled(server, 0)
            assert time.monotonic() - began_s < 6.0 * SLOWNESS


async def test_client_that_reads_slowly_gets_all_of_a_response() -> None:
    """Progress restarts the timeout for writing."""
    timeouts = replace(QUICK.timeouts, write_s=0.4)
    async with serving(replace(QUICK, timeouts=timeouts)) as (server, _, _):
        one = await reader(server)
        with closing([one]):
            loop = asyncio.get_running_loop()
            await loop.sock_sendall(one, LONG)
            received, began_s = 0, time.monotonic()
            while chunk := await loop.sock_recv(one, 65_536):
                received += len(chunk)
                await asyncio.sleep(0.01)
            assert time.monotonic() - began_s > 2 * timeouts.write_s
            assert received > 2_000_000


async def reader(server: HttpServer) -> socket.socket:
    """Connect with a small receive buffer."""
    one = socket.socket()
    one.setblocking(False)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
    await asyncio.get_running_loop().sock_connect(one, ("127.0.0.1", server.port))
    return one


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
async def test_stop_takes_less_than_a_second_whatever_clients_do(tls: bool, tmp_path: Path) -> None:
    certificate, key = write_certificate(tmp_path)
    settings = replace(PATIENT, tls_certificate=certificate, tls_key=key) if tls else PATIENT
    server = HttpServer(settings, [Echo()])
    await server.start()
    sockets = [
        *await held(server, 3),
        *await held(server, 3, b"GET /ec"),
        *await held(server, 3, HALF_BODY),
        *await held(server, 3, GET),
        *await held(server, 3, GET * 30),
        *await held(server, 3, b"\x16\x03\x01\x02\x00\x01"),
    ]
    context = ssl.create_default_context(cafile=str(certificate)) if tls else None
    with closing(sockets):
        async with aiohttp.ClientSession() as client:
            async with client.get(f"{server.url}echo", ssl=context or True) as response:
                assert response.status == 200
            began_s = time.monotonic()
            await server.stop()
            assert time.monotonic() - began_s < 1.0
        assert server.open_connections == 0


async def test_request_in_progress_is_answered_when_the_server_stops() -> None:
    server = HttpServer(PATIENT, [slow := Slow()])
    await server.start()
    task = asyncio.create_task(raw(server, GET))
    await slow.began.wait()
    stopping = asyncio.create_task(server.stop())
    await asyncio.sleep(0)
    slow.may_end.set()
    assert status(await task) == 200
    await stopping


async def test_request_that_does_not_end_is_cancelled_when_the_server_stops() -> None:
    server = HttpServer(PATIENT, [slow := Slow()])
    await server.start()
    task = asyncio.create_task(raw(server, GET))
    await slow.began.wait()
    began_s = time.monotonic()
    await server.stop()
    assert time.monotonic() - began_s < 1.0
    with contextlib.suppress(ConnectionError):
        assert await task == b""


class Slow(Echo):
    """Answers when it may."""

    def __init__(self) -> None:
        super().__init__()
        self.began = asyncio.Event()
        self.may_end = asyncio.Event()

    async def respond(self, request):  # type: ignore[no-untyped-def]
        self.began.set()
        await self.may_end.wait()
        return await super().respond(request)


async def test_pipelined_requests_are_answered_in_order() -> None:
    async with serving() as (server, _, echo):
        requests = b"".join(b"GET /echo/%d HTTP/1.1\r\nHost: localhost\r\n\r\n" % number for number in range(100))
        assert (await raw(server, requests)).count(b"200 OK") == 100
        assert [request.path for request in echo.requests] == [f"/echo/{number}" for number in range(100)]


async def test_refusals_are_logged_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with serving(replace(PATIENT, max_connections_per_address=2)) as (server, _, _):
        with closing(await held(server, 10)):
            await settled(server, 2, refused=8)
            assert server.refused_connections == 8
    assert [record.getMessage() for record in caplog.records] == [
        "closed an idle connection: 2 connections from 127.0.0.1 are open (1 times so far)"
    ]
