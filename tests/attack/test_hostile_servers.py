"""Servers that use a client against its own machine and network, or against itself.

our client ──► hostile server at 127.0.0.2        names the internal service: by redirects, Location, Link, ICE
    ├────────► honest server at 127.0.0.1         its audio keeps arriving
    └──── ╳ ─► internal service at 127.0.0.3      gets no connection and no datagram
"""

from __future__ import annotations

import contextlib
import gzip
import http.server
import logging
import socket
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import bass_webrtc as bw
from support.attacks import Measured
from support.conformance import covers
from support.patience import wait_until
from support.server_process import ServerProcess

Measured = Measured
Fields = list[tuple[str, str]]
Reply = tuple[int, Fields, bytes]
"""Status, header fields, body."""

OPTION = "--allow-private"
EVENTS = 'rel="urn:ietf:params:whep:ext:core:server-sent-events"; events="reconnect"'
FORMS = [
    "127.0.0.3",
    "[::ffff:127.0.0.3]",
    "[::ffff:7f00:3]",
    "2130706435",
    "0x7f000003",
    "0x7f.3",
    "0177.0.0.3",
    "127.3",
    "127.0.0.3.",
    "internal.example",
    "internal.example.",
    "INTERNAL.localhost",
]
"""Ways to write the address of the internal service. The names resolve to it."""


class Internal:
    """A service that nothing may reach: TCP and UDP on one port of 127.0.0.3."""

    def __init__(self) -> None:
        self._tcp = socket.create_server(("127.0.0.3", 0))
        self.port: int = self._tcp.getsockname()[1]
        self._udp = socket.socket(type=socket.SOCK_DGRAM)
        self._udp.bind(("127.0.0.3", self.port))
        self._tcp.setblocking(False)
        self._udp.setblocking(False)

    def arrivals(self) -> int:
        """Return how many connections and datagrams have arrived and were not counted yet."""
        count = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                self._tcp.accept()[0].close()
                count += 1
        with contextlib.suppress(BlockingIOError):
            while True:
                self._udp.recv(2048)
                count += 1
        return count

    def close(self) -> None:
        self._tcp.close()
        self._udp.close()


class Hostile:
    """A server at 127.0.0.2 whose responses a test chooses.

    Attributes:
        reply: Returns the response to a request, given its method, path and body.
        requests: Method and path of the requests so far.
        fields: Names of their header fields.
    """

    def __init__(self) -> None:
        self.reply: Callable[[str, str, bytes], Reply] = lambda method, path, body: (404, [], b"")
        self.requests: list[tuple[str, str]] = []
        self.fields: set[str] = set()
        hostile = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                hostile.requests.append((self.command, self.path))
                hostile.fields.update(self.headers)
                status, fields, data = hostile.reply(self.command, self.path, body)
                self.send_response(status)
                for name, value in fields:
                    self.send_header(name, value)
                if ("Content-Type", "text/event-stream") in fields:
                    self.close_connection = True
                else:
                    self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                with contextlib.suppress(OSError):
                    self.wfile.write(data)

            do_GET = do_POST = do_PATCH = do_DELETE = do_OPTIONS = _answer

            def log_message(self, *_: Any) -> None: ...

        self._http = http.server.ThreadingHTTPServer(("127.0.0.2", 0), Handler)
        self.port = self._http.server_port
        self.url = f"http://127.0.0.2:{self.port}/whip"
        threading.Thread(target=self._http.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()


def answer_to(offer: bytes, candidate: tuple[str, int] = ("127.0.0.2", 9)) -> bytes:
    """Return a valid answer of a server that is not there."""
    lines = offer.decode().splitlines()
    payload_type = next(line for line in lines if "opus/48000" in line).split(":")[1].split()[0]
    mid = next(line for line in lines if line.startswith("a=mid:"))[6:]
    direction = "recvonly" if "a=sendonly" in lines else "sendonly"
    answer = [
        "v=0",
        "o=- 1 1 IN IP4 127.0.0.1",
        "s=-",
        "t=0 0",
        f"a=group:BUNDLE {mid}",
        "a=ice-lite",
        f"m=audio 9 UDP/TLS/RTP/SAVPF {payload_type}",
        "c=IN IP4 0.0.0.0",
        "a=ice-ufrag:evil",
        "a=ice-pwd:" + "x" * 24,
        "a=fingerprint:sha-256 " + ":".join(["AA"] * 32),
        "a=setup:passive",
        f"a=mid:{mid}",
        f"a={direction}",
        "a=rtcp-mux",
        f"a=rtpmap:{payload_type} opus/48000/2",
        f"a=candidate:1 1 udp 2130706431 {candidate[0]} {candidate[1]} typ host",
    ]
    return "".join(f"{line}\r\n" for line in answer).encode()


def created(offer: bytes, *fields: tuple[str, str], candidate: tuple[str, int] = ("127.0.0.2", 9)) -> Reply:
    return 201, [("Content-Type", "application/sdp"), ("ETag", '"x"'), *fields], answer_to(offer, candidate)


@pytest.fixture
def internal() -> Iterator[Internal]:
    service = Internal()
    yield service
    assert service.arrivals() == 0
    service.close()


@pytest.fixture
def hostile() -> Iterator[Hostile]:
    server = Hostile()
    yield server
    server.close()


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    with ServerProcess() as server:
        yield server


@pytest.fixture(scope="module")
def listening(server: ServerProcess) -> Iterator[bw.WhepClient]:
    """An honest client of an honest server, in the process of the attacked clients."""
    with bw.WhepClient(server.whep_url) as client:
        client.start()
        assert client.wait_connected(20.0)
        yield client


@pytest.fixture(autouse=True)
def honest(listening: bw.WhepClient) -> Iterator[None]:
    """During each attack the honest client hears its server."""
    before = listening.stats().packets_received
    yield
    wait_until(lambda: listening.stats().packets_received > before + 10)
    assert listening.connected
    assert listening.stats().packets_lost == 0


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Addresses of names; a test may change them."""
    names = {"internal.example": "127.0.0.3", "internal.example.": "127.0.0.3", "internal.localhost": "127.0.0.3"}
    lookup = socket.getaddrinfo

    def resolve(host: Any, *arguments: Any, **more: Any) -> Any:
        return lookup(names.get(host, host), *arguments, **more)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    return names


def error_of(client: bw.WhipClient | bw.WhepClient) -> bw.BassWebRtcError:
    """Start a client and return the error that ends it."""
    with client:
        client.start()
        with pytest.raises(bw.BassWebRtcError) as caught:
            client.wait_connected(10.0)
    return caught.value


def run(client: bw.WhipClient | bw.WhepClient, until: Callable[[], bool]) -> None:
    """Run a client until the server has had its chance."""
    with client:
        client.start()
        wait_until(until)


def publisher(hostile: Hostile) -> bw.WhipClient:
    return bw.WhipClient(bw.Tone(), hostile.url, token="SECRET")


# The client's own network


@covers("SE66")
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirected_offer_does_not_reach_internal_service(hostile: Hostile, internal: Internal, status: int) -> None:
    """The client gives up at once. For the redirects that it follows, it says what helps."""
    hostile.reply = lambda *_: (status, [("Location", f"http://127.0.0.3:{internal.port}/admin?cmd=reboot")], b"")
    error = error_of(publisher(hostile))
    assert (OPTION in str(error)) is (status != 303)
    assert len(hostile.requests) == 1


@covers("SE66")
@pytest.mark.parametrize("host", FORMS)
def test_internal_service_is_recognised_in_every_form(
    hostile: Hostile, internal: Internal, names: dict[str, str], host: str
) -> None:
    """In redirects, and in the Location of a session."""
    url = f"http://{host}:{internal.port}/admin"
    hostile.reply = lambda *_: (307, [("Location", url)], b"")
    error_of(publisher(hostile))

    def reply(method: str, path: str, body: bytes) -> Reply:
        return created(body, ("Location", url)) if method == "POST" else (200, [], b"")

    hostile.reply = reply
    hostile.requests.clear()
    run(publisher(hostile), lambda: len(hostile.requests) > 0)


@covers("SE66")
def test_session_url_and_redirected_delete_do_not_reach_internal_service(
    hostile: Hostile, internal: Internal, names: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    url = f"http://127.0.0.3:{internal.port}/index/*"

    def reply(method: str, path: str, body: bytes) -> Reply:
        return created(body, ("Location", "/s")) if method == "POST" else (308, [("Location", url)], b"")

    hostile.reply = lambda method, path, body: created(body, ("Location", url))
    run(publisher(hostile), lambda: ("POST", "/whip") in hostile.requests)
    assert OPTION in caplog.text
    hostile.reply = reply
    hostile.requests.clear()
    caplog.clear()
    run(publisher(hostile), lambda: ("POST", "/whip") in hostile.requests)
    assert ("DELETE", "/s") in hostile.requests
    assert OPTION in caplog.text


@covers("SE66")
@pytest.mark.parametrize("where", ["Link", "Location", "event", "redirect"])
@pytest.mark.parametrize("host", ["127.0.0.3", "internal.example"])
def test_events_do_not_reach_internal_service(
    hostile: Hostile,
    internal: Internal,
    names: dict[str, str],
    caplog: pytest.LogCaptureFixture,
    where: str,
    host: str,
) -> None:
    """Neither the subscription, nor the stream, nor the session that an event moves to."""
    caplog.set_level(logging.DEBUG)
    away = f"http://{host}:{internal.port}/whep"

    def reply(method: str, path: str, body: bytes) -> Reply:
        if method == "GET":
            event = f'event: reconnect\ndata: {{"url": "{away}"}}\n\n'
            return 200, [("Content-Type", "text/event-stream")], event.encode()
        if path == "/events":
            return 307 if where == "redirect" else 201, [("Location", "/stream" if where == "event" else away)], b""
        link = away if where == "Link" else "/events"
        return (
            created(body, ("Location", "/s"), ("Link", f"<{link}>; {EVENTS}")) if method == "POST" else (200, [], b"")
        )

    hostile.reply = reply
    last = {"Link": ("POST", "/whip"), "event": ("GET", "/stream")}.get(where, ("POST", "/events"))
    with bw.WhepClient(hostile.url) as client:
        client.start()
        wait_until(lambda: last in hostile.requests)
        if not (where == "Link" and host == "127.0.0.3"):  # That is not even tried, and not logged.
            wait_until(lambda: OPTION in caplog.text)


@covers("SE66")
@pytest.mark.parametrize("host", ["127.0.0.3", "2130706435", "internal.example"])
def test_ice_servers_and_candidates_do_not_reach_internal_service(
    hostile: Hostile, internal: Internal, names: dict[str, str], caplog: pytest.LogCaptureFixture, host: str
) -> None:
    """TURN would even let the server choose the bytes that are sent there: the credentials."""
    caplog.set_level(logging.INFO)
    place = f"{host}:{internal.port}"
    urls = [f"stun:{place}", f"turn:{place}", f"turn:{place}?transport=tcp", f"turns:{place}"]
    links = [("Link", f'<{url}>; rel="ice-server"; username="u"; credential="c"') for url in urls]
    candidate = (host, internal.port)
    hostile.reply = lambda method, path, body: (
        created(body, ("Location", "/s"), *links, candidate=candidate) if method == "POST" else (200, [], b"")
    )
    with publisher(hostile) as client:
        client.start()
        wait_until(lambda: caplog.text.count("an ICE server in the answer is skipped") >= len(urls))
        time.sleep(0.5)  # The time for checks of the candidate.


@covers("SE66")
def test_name_of_the_server_cannot_be_rebound(
    hostile: Hostile, internal: Internal, names: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name leads to the hostile server first and to the internal service at the second attempt."""
    names["hostile.example"] = "127.0.0.2"

    def reply(*_: object) -> Reply:
        names["hostile.example"] = "127.0.0.3"
        return 503, [("Retry-After", "0")], b""

    hostile.reply = reply
    # Same port, another address: listen there, too.
    with socket.create_server(("127.0.0.3", hostile.port)) as rebound:
        rebound.setblocking(False)
        with bw.WhipClient(bw.Tone(), f"http://hostile.example:{hostile.port}/whip", token="SECRET") as client:
            client.start()
            wait_until(lambda: OPTION in str(client.last_error))
            attempts = len(hostile.requests)
            time.sleep(2)
            with pytest.raises(BlockingIOError):
                rebound.accept()
            assert len(hostile.requests) == attempts
            names["hostile.example"] = "127.0.0.2"
            wait_until(lambda: len(hostile.requests) > attempts)


# The client's own time and memory


def slow_fields() -> Fields:
    """Header fields that some parsers need seconds for."""
    links = [("Link", "," * 8000), ("Link", '"' * 8000), ("Link", ";" * 8000), ("Link", "<a>;" * 2000)]
    return [
        ("Content-Type", "application/sdp"),
        ("Location", "/s"),
        *links * 10,
        *[("Set-Cookie", "expires=" * 1000)] * 40,
        ("ETag", '"' * 8000),
    ]


@covers("SE66")
@pytest.mark.parametrize(
    ("kind", "reply"),
    [
        ("redirects without end", (307, "next", b"")),
        ("Retry-After of years", (503, [("Retry-After", "9" * 500)], b"")),
        ("Retry-After in the past", (503, [("Retry-After", "-1")], b"no")),
        ("slow header fields", (201, slow_fields(), b"v=0")),
        ("slow Content-Type", (503, [("Content-Type", "a/b;" + '"' * 8000)], b"x")),
        ("Location of 100 kB", (307, [("Location", "/" + "a" * 100_000)], b"")),
        ("CR LF in Location", (307, [("Location", "/a\rX-Injected: yes")], b"")),
        ("encoded CR LF in Location", (307, [("Location", "/a%0d%0aX-Injected:yes")], b"")),
        ("compressed refusal", (400, [("Content-Encoding", "gzip")], gzip.compress(bytes(10_000_000)))),
        ("deep JSON", (400, [("Content-Type", "application/problem+json")], b'{"detail":' + b"[" * 100_000)),
        ("answer of 50 MB", (201, [("Content-Type", "application/sdp")], b"v" * 50_000_000)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_response_costs_a_bounded_amount_of_time(
    hostile: Hostile, measured: Measured, kind: str, reply: tuple[int, Any, bytes]
) -> None:
    """The process spends less than a quarter of a core on its clients, and few requests are made."""
    status, fields, body = reply

    def answer(method: str, path: str, _: bytes) -> Reply:
        return status, [("Location", path + "x")] if fields == "next" else fields, body

    hostile.reply = answer
    cpu_s, began_s = time.process_time(), time.monotonic()
    with publisher(hostile) as client:
        client.start()
        wait_until(lambda: client.last_error is not None)
        time.sleep(1)
    share = (time.process_time() - cpu_s) / (time.monotonic() - began_s)
    measured(
        f"hostile server: {kind}",
        "20 requests, 25 % of a core",
        f"{len(hostile.requests)}, {100 * share:.0f} % of a core",
    )
    assert share < 0.25
    assert len(hostile.requests) <= 20
    assert "X-Injected" not in hostile.fields


@covers("SE66")
def test_flood_of_events_costs_a_bounded_amount_of_time(hostile: Hostile, measured: Measured) -> None:
    """A stream of 64 MB that is parsed completely would take the client's loop 25 s."""

    def reply(method: str, path: str, body: bytes) -> Reply:
        if method == "GET":
            return 200, [("Content-Type", "text/event-stream")], b"data:x\n\n" * 8_000_000
        if path == "/events":
            return 201, [("Location", "/stream")], b""
        return (
            created(body, ("Location", "/s"), ("Link", f"</events>; {EVENTS}")) if method == "POST" else (200, [], b"")
        )

    hostile.reply = reply
    with bw.WhepClient(hostile.url) as client:
        client.start()
        wait_until(lambda: ("GET", "/stream") in hostile.requests)
        began_s = time.monotonic()
        time.sleep(1)
        client.stats()
        client.stop()
        took_s = time.monotonic() - began_s - 1
    measured("hostile server: 64 MB of events", "stop() within 5 s", f"{took_s:.1f} s")
    assert took_s < 5
    assert hostile.requests.count(("GET", "/stream")) == 1


@covers("SE66", "CL23")
def test_session_is_not_moved_again_and_again(hostile: Hostile, server: ServerProcess, measured: Measured) -> None:
    """Each move costs the client a key pair, ICE and DTLS. The server moves it as soon as it has connected."""

    def forward(method: str, url: str, body: bytes | None = None) -> tuple[bytes, str]:
        headers = {"Content-Type": "application/sdp"}
        with urllib.request.urlopen(urllib.request.Request(url, body, headers, method=method)) as response:
            return response.read(), response.headers["Location"] or ""

    def reply(method: str, path: str, body: bytes) -> Reply:
        if path == "/events":
            return 201, [("Location", "/stream")], b""
        if method == "GET":
            return 200, [("Content-Type", "text/event-stream")], b'event: reconnect\ndata: {"url": "/whep"}\n\n'
        if method == "DELETE":
            forward("DELETE", f"{server.url}{path[1:]}")
            return 200, [], b""
        answer, location = forward("POST", server.whep_url, body)
        fields = [("Content-Type", "application/sdp"), ("Location", location), ("Link", f"</events>; {EVENTS}")]
        return 201, fields, answer

    hostile.reply = reply
    with bw.WhepClient(hostile.url.replace("whip", "whep")) as client:
        client.start()
        assert client.wait_connected(10.0)
        time.sleep(5)
        assert client.connected
    moves = hostile.requests.count(("POST", "/whep")) - 1
    measured("hostile server: reconnect events without end", "4 moves in 5 s", moves)
    assert 1 <= moves <= 4


@covers("SE66")
def test_response_byte_by_byte_times_out(measured: Measured) -> None:
    """One time limit applies to the whole response, however it is divided."""
    with socket.create_server(("127.0.0.2", 0)) as listener:
        url = f"http://127.0.0.2:{listener.getsockname()[1]}/whip"

        def drip() -> None:
            with contextlib.suppress(OSError):
                connection, _ = listener.accept()
                with connection:
                    for byte in b"HTTP/1.1 201 Created\r\nX-Padding: " + b"x" * 1000:
                        connection.sendall(bytes([byte]))
                        time.sleep(0.2)

        threading.Thread(target=drip, daemon=True).start()
        began_s = time.monotonic()
        with bw.WhipClient(bw.Tone(), url, reconnect=False) as client:
            client.start()
            with pytest.raises(bw.SignalingError, match="no response within 10 s"):
                client.wait_connected(20.0)
        took_s = time.monotonic() - began_s
    measured("hostile server: one byte per 0.2 s", "10 s", f"{took_s:.1f} s")
    assert took_s < 15
