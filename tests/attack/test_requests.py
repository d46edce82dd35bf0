"""Floods of HTTP requests, on kept and on new connections: nobody else waits for them.

Rates do not apply to loopback, so what the honest peers rely on here is that each request is cheap and that requests
take turns.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from support import http_asking
from support.attacks import MAX_WAIT_MS, HonestPeer, Measured
from support.farm import PlayerFarm
from support.http_flood import HttpFlood, request
from support.reruns import measures_waits
from support.server_process import ServerProcess

pytestmark = measures_waits

SECONDS = 2.0
HONEST, SECOND = "127.0.0.2", "127.0.0.3"
MANY = tuple(f"127.0.1.{number}" for number in range(1, 6))
SDP = {"Content_Type": "application/sdp"}
FRAGMENT = {"Content_Type": "application/trickle-ice-sdpfrag", "If_Match": "*"}
OFFER = http_asking.offer()
CANDIDATE = "a=candidate:{0} 1 udp 2113937151 192.0.2.1 {1} typ host generation 0\r\n"
CANDIDATES = "".join(CANDIDATE.format(number, 5000 + number) for number in range(100))
CREDENTIALS = "".join(f"{line}\r\n" for line in OFFER.splitlines() if line.startswith(("a=ice-ufrag", "a=ice-pwd")))
TRICKLE = CREDENTIALS + "m=audio 9 RTP/AVP 0\r\na=mid:0\r\n" + CANDIDATES
POST = request("POST", "/whep", OFFER, **SDP)
CHUNKS = "1\r\na\r\n" * 4000 + "0\r\n\r\n"
FLOODS = {
    "GET of the page's script": [request("GET", "/main.js")],
    "GET of the endpoint": [request("GET", "/whep")],
    "OPTIONS": [request("OPTIONS", "/whep")],
    "unknown method": [request("BREW", "/whep")],
    "unknown path": [request("GET", "/nothing")],
    "wrong token": [request("POST", "/whip", "v=0", Authorization="Bearer wrong", **SDP)],
    "POST": [POST],
    "POST and DELETE": [POST, request("DELETE", "{0}")],
    "POST without SDP": [request("POST", "/whep", "v=0", **SDP)],
    "POST of 100 kB": [request("POST", "/whep", OFFER + CANDIDATES * 15, **SDP)],
    "POST in chunks of one byte": [request("POST", "/whep", Transfer_Encoding="chunked", **SDP) + CHUNKS],
    "refused POST in chunks of one byte": [request("POST", "/nothing", Transfer_Encoding="chunked") + CHUNKS],
    "PATCH with 100 candidates": [POST, *[request("PATCH", "{0}", TRICKLE, **FRAGMENT)] * 99],
    "PATCH of 30 kB": [POST, *[request("PATCH", "{0}", TRICKLE + CANDIDATES * 4, **FRAGMENT)] * 99],
    "DELETE of an unknown session": [request("DELETE", "/whep/unknown")],
}

LARGE_BODIES = ("PATCH of 30 kB", "refused POST in chunks of one byte")
LARGE_BODIES_WAIT_MS = 300.0
"""Reading tens of megabytes per second of refused bodies takes that long; docs/security.md says so."""


class SecondClient:
    """Opens and ends sessions, and measures the wait for the responses. A context manager; one thread."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.statuses: list[int] = []
        self.longest_ms = 0.0

    def _run(self) -> None:
        while not self._stop.wait(0.1):
            reply = self._ask("POST", "/whep", OFFER)
            self.statuses.append(reply.status)
            if reply.status == 201:
                self.statuses.append(self._ask("DELETE", reply.headers["Location"]).status)

    def _ask(self, method: str, path: str, body: str | None = None) -> http_asking.Reply:
        began_s = time.monotonic()
        reply = http_asking.ask(self._url, method, path, body, {"Content-Type": "application/sdp"}, source=SECOND)
        self.longest_ms = max(self.longest_ms, (time.monotonic() - began_s) * 1000)
        return reply

    def __enter__(self) -> SecondClient:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


@contextlib.contextmanager
def flooded(
    server: ServerProcess,
    honest: HonestPeer,
    flood: HttpFlood,
    name: str,
    measured: Measured,
    max_wait_ms: float = MAX_WAIT_MS,
) -> Iterator[None]:
    """Measure the honest peers during the block, and assert that they were unharmed."""
    with flood:
        time.sleep(0.3)
        honest.begin()
        with SecondClient(server.url) as second:
            time.sleep(SECONDS)
        figures = honest.end()
    yield
    per_s = sum(flood.statuses.values()) / (SECONDS + 0.3)
    measured(
        f"{name}, {per_s:.0f} requests/s",
        f"{max_wait_ms:.0f} ms",
        f"{figures}, POST {second.longest_ms:.0f} ms",
    )
    assert sum(flood.statuses.values()) > 50, flood.statuses
    figures.assert_unharmed(max_wait_ms)
    assert set(second.statuses) == {200, 201}, second.statuses
    assert second.longest_ms < max_wait_ms


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    with ServerProcess(max_peers=20, max_peers_per_address=None, publish_token="sesame") as server:
        yield server


@pytest.fixture(scope="module")
def honest(server: ServerProcess) -> Iterator[HonestPeer]:
    with HonestPeer(server.url, HONEST) as honest:
        yield honest


@pytest.mark.parametrize("name", FLOODS)
def test_nobody_waits_for_a_flood_of_requests(
    server: ServerProcess, honest: HonestPeer, name: str, measured: Measured
) -> None:
    flood = HttpFlood(urlsplit(server.url).port or 0, FLOODS[name], connections=60)
    max_wait_ms = LARGE_BODIES_WAIT_MS if name in LARGE_BODIES else MAX_WAIT_MS
    with flooded(server, honest, flood, f"{name}, 60 connections", measured, max_wait_ms):
        pass


@pytest.mark.parametrize("name", ["GET of the page's script", "unknown path", "POST", "POST and DELETE"])
def test_nobody_waits_for_requests_on_new_connections(
    server: ServerProcess, honest: HonestPeer, name: str, measured: Measured
) -> None:
    flood = HttpFlood(urlsplit(server.url).port or 0, FLOODS[name], connections=40, keep=False)
    with flooded(server, honest, flood, f"{name}, 40 new connections", measured):
        pass


@pytest.mark.parametrize("name", ["unknown path", "POST"])
def test_nobody_waits_for_a_flood_from_many_addresses(
    server: ServerProcess, honest: HonestPeer, name: str, measured: Measured
) -> None:
    flood = HttpFlood(urlsplit(server.url).port or 0, FLOODS[name], connections=150, sources=MANY)
    with flooded(server, honest, flood, f"{name}, 150 connections of 5 addresses", measured):
        pass


def test_nobody_waits_while_many_connections_arrive(
    server: ServerProcess, honest: HonestPeer, measured: Measured
) -> None:
    """The system queues them in the order of arrival: a visitor waits until all before it are accepted."""
    port, path = urlsplit(server.url).port or 0, "unknown path"
    honest.begin()
    with HttpFlood(port, FLOODS[path], connections=150, sources=MANY):
        time.sleep(1.0)
        figures = honest.end()
    measured(f"{path}, 150 connections that arrive", f"{MAX_WAIT_MS:.0f} ms", str(figures))
    figures.assert_unharmed(MAX_WAIT_MS)


def test_nobody_waits_for_pipelined_requests(server: ServerProcess, honest: HonestPeer, measured: Measured) -> None:
    flood = HttpFlood(urlsplit(server.url).port or 0, FLOODS["unknown path"], connections=20, pipelined=50)
    with flooded(server, honest, flood, "unknown path, 20 connections, 50 at once", measured):
        pass


@pytest.mark.parametrize("path", ["/metrics", "/api/stats"])
def test_nobody_waits_for_a_flood_of_statistics_requests(path: str, measured: Measured) -> None:
    """With 100 peers, one response took 19 to 32 ms of the loop thread."""
    with (
        ServerProcess(max_peers=150, max_peers_per_address=140) as server,
        PlayerFarm() as farm,
        HonestPeer(server.url, HONEST) as honest,
    ):
        farm.connect(server.whep_url, 100)
        flood = HttpFlood(urlsplit(server.url).port or 0, [request("GET", path)], connections=60)
        with flooded(server, honest, flood, f"GET {path} with 100 peers, 60 connections", measured):
            assert flood.statuses.keys() == {"200"}
        assert len(server.stats()["peers"]) >= 101


def test_addresses_of_peers_are_not_for_clients_of_a_proxy() -> None:
    with ServerProcess() as server, HonestPeer(server.url):
        found = []
        for fields in ({}, {"X-Forwarded-For": "192.0.2.7"}, {"Via": "1.1 proxy"}):
            (peer,) = json.loads(http_asking.ask(server.url, "GET", "/api/stats", headers=fields).body)["peers"]
            found.append(peer["remote_address"].partition(":")[0])
    assert found == ["127.0.0.1", "", ""]
