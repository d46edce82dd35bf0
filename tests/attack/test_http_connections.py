"""Connections that ask for nothing, half of something, or never read: others are answered, and the program keeps its
descriptors.
"""

from __future__ import annotations

import contextlib
import http.client
import resource
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from support.attacks import MAX_WAIT_MS, HonestPeer, Measured
from support.certificates import write_certificate
from support.reruns import measures_waits
from support.server_process import ServerProcess

DESCRIPTORS = 1024
COUNT = 1100
ATTACKER = "127.0.0.9"
TLS_RECORD = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
GET = b"GET /%s HTTP/1.1\r\nHost: localhost\r\n\r\n"
KINDS = {
    "idle connections": b"",
    "half headers": b"GET / HTTP/1.1\r\nHos",
    "half bodies": b"POST /whep HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nv=0",
    "readers that never read": GET % b"" * 10,
    "bytes that are not HTTP": TLS_RECORD,
}
COUNTS = dict.fromkeys(KINDS, 400) | {"idle connections": COUNT, "readers that never read": 150}


@contextlib.contextmanager
def serving(**config: Any) -> Iterator[ServerProcess]:
    """A server whose process may open 1024 descriptors, the usual limit."""
    with ServerProcess(**config) as server:
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS))
        yield server


def connect(url: str, sockets: list[socket.socket], data: bytes, source: str = "127.0.0.1") -> None:
    """Open one more connection, send bytes and neither read nor close."""
    one = socket.socket()
    sockets.append(one)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    one.settimeout(0.5)
    with contextlib.suppress(OSError):
        one.bind((source, 0))
        one.connect(("127.0.0.1", urlsplit(url).port))
        one.send(data)


def open_many(url: str, data: bytes, sources: list[str], count: int = COUNT) -> list[socket.socket]:
    """Open connections from some addresses in turn, within 4 s, which leaves the processor to others as well."""
    sockets: list[socket.socket] = []
    began_s = time.monotonic()
    for number in range(count):
        time.sleep(max(0.0, began_s + number * 4.0 / count - time.monotonic()))
        connect(url, sockets, data, sources[number % len(sources)])
    return sockets


def get(url: str, context: ssl.SSLContext | None = None, source: str = "127.0.0.1") -> tuple[int, float]:
    """Return the status of GET /healthz on a new connection, and the time until it was read."""
    parts = urlsplit(url)
    began_s = time.monotonic()
    options: dict[str, Any] = {"timeout": 5, "source_address": (source, 0)}
    connection = (
        http.client.HTTPConnection("127.0.0.1", parts.port, **options)
        if context is None
        else http.client.HTTPSConnection("127.0.0.1", parts.port, context=context, **options)
    )
    with contextlib.closing(connection):
        connection.request("GET", "/healthz")
        response = connection.getresponse()
        response.read()
        return response.status, (time.monotonic() - began_s) * 1000


def close(sockets: list[socket.socket]) -> None:
    for one in sockets:
        one.close()


@measures_waits
@pytest.mark.parametrize("kind", KINDS)
def test_connections_of_one_address_harm_nobody(kind: str, measured: Measured) -> None:
    """The listener beside it has another address; a client at the attacker's own address is answered as well."""
    with serving() as server, HonestPeer(server.url) as honest:
        honest.begin()
        sockets = open_many(server.url, KINDS[kind], [ATTACKER], COUNTS[kind])
        time.sleep(0.3)
        figures = honest.end()
        (status, wait_ms), stats, used = (
            get(server.url, source=ATTACKER),
            server.stats(),
            server.resources()["descriptors"],
        )
        close(sockets)
    measured(
        f"{COUNTS[kind]} {kind}, one address",
        f"{MAX_WAIT_MS:.0f} ms, {DESCRIPTORS} descriptors",
        f"{figures}, {used} descriptors used",
    )
    figures.assert_unharmed()
    assert (status, wait_ms < MAX_WAIT_MS) == (200, True)
    assert stats["http_connections"] <= 70
    assert stats["http_connections_refused"] > COUNTS[kind] - 80 or kind == "bytes that are not HTTP"
    assert used < 150


@measures_waits
def test_connections_of_many_addresses_leave_descriptors(measured: Measured) -> None:
    with serving() as server, HonestPeer(server.url) as honest:
        honest.begin()
        sockets = open_many(server.url, b"", [f"127.0.2.{number}" for number in range(1, 251)])
        time.sleep(0.3)
        figures = honest.end()
        (status, _), stats, used = get(server.url), server.stats(), server.resources()["descriptors"]
        close(sockets)
    measured(f"{COUNT} idle connections, 250 addresses", f"{DESCRIPTORS} descriptors", f"{figures}, {used} used")
    figures.assert_unharmed()
    assert status == 200
    assert stats["http_connections"] <= DESCRIPTORS // 2
    assert used < DESCRIPTORS * 5 // 8


def test_pending_tls_handshakes_harm_nobody(measured: Measured, tmp_path: Path) -> None:
    certificate, key = write_certificate(tmp_path)
    context = ssl.create_default_context(cafile=certificate)
    with serving(tls_certificate=str(certificate), tls_key=str(key)) as server:
        sockets = open_many(server.url, TLS_RECORD, ["127.0.0.1"])
        status, wait_ms = get(server.url, context)
        used, stats = server.resources()["descriptors"], server.stats()
        close(sockets)
    measured(f"{COUNT} pending TLS handshakes", f"{DESCRIPTORS} descriptors", f"{used} used, request {wait_ms:.0f} ms")
    assert status == 200
    assert stats["http_connections"] <= 66
    assert used < 150


HOST_PROGRAM = """
import resource, socket, sys, time
import bass_webrtc as bw

resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
with bw.Server(bw.Tone(), bw.ServerConfig(http_port=0, udp_port=0, max_connections_per_address=1000)) as server:
    files = [open("/dev/null") for _ in range(int(sys.argv[1]))]
    server.start()
    print(server.url, flush=True)
    sys.stdin.readline()
    more = [open("/dev/null") for _ in range(int(sys.argv[2]))]
    print(server.stats().http_connections, flush=True)
    sys.stdin.readline()
    began_s = time.monotonic()
    server.stop()
    print(time.monotonic() - began_s, flush=True)
"""


@pytest.mark.parametrize(("before", "during"), [(0, 100), (190, 20)], ids=["few files open", "many files open"])
def test_host_program_can_open_files_and_stop(before: int, during: int, measured: Measured) -> None:
    """Of 256 descriptors; the server is in the same process. Nothing that the clients do delays its stop."""
    command = [sys.executable, "-c", HOST_PROGRAM, str(before), str(during)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8") as program:
        assert program.stdin is not None
        assert program.stdout is not None

        def ask() -> str:
            assert program.stdin is not None
            assert program.stdout is not None
            program.stdin.write("\n")
            program.stdin.flush()
            return program.stdout.readline()

        url = program.stdout.readline().strip()
        sockets: list[socket.socket] = []
        for number in range(400):
            connect(url, sockets, list(KINDS.values())[number % len(KINDS)])
        status, _ = get(url)
        open_connections, stop_s = int(ask()), float(ask())
        close(sockets)
    measured(
        f"400 connections, {256 - before} descriptors",
        f"{during} more files can be opened, stop within 1 s",
        f"{open_connections} connections, stop {stop_s:.2f} s",
    )
    assert status == 200
    assert stop_s < 1.0
    assert program.returncode == 0
