"""Web pages of other sites, with and without DNS rebinding, beside a server with default settings.

A browser sends ``Host`` and ``Origin`` itself, so a page cannot change them.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from contextlib import closing
from urllib.parse import urljoin, urlsplit

import pytest

from support.attacks import Measured
from support.http_asking import offer
from support.server_process import ServerProcess

REQUESTS = [
    ("POST", "/whip"),
    ("POST", "/whep"),
    ("OPTIONS", "/whip"),
    ("GET", "/whep"),
    ("DELETE", "/whip/secret"),
    ("GET", "/api/stats"),
    ("GET", "/metrics"),
    ("GET", "/healthz"),
    ("GET", "/"),
    ("GET", "/index.html"),
]


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    with ServerProcess() as server:
        yield server


def ask(server: ServerProcess, method: str, target: str, **fields: str) -> http.client.HTTPResponse:
    """Send a request with exactly these fields, and an offer as the body of a POST."""
    connection = http.client.HTTPConnection("127.0.0.1", urlsplit(server.url).port, timeout=5)
    with closing(connection):
        connection.putrequest(method, urljoin("/", target), skip_host=True, skip_accept_encoding=True)
        body = offer("sendonly" if "whip" in target else "recvonly").encode() if method == "POST" else b""
        for name, value in fields.items():
            connection.putheader(name.replace("_", "-"), value)
        connection.putheader("Content-Type", "application/sdp")
        connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        response = connection.getresponse()
        response.detail = json.loads(response.read() or b"{}").get("detail", "") if response.status >= 400 else ""  # type: ignore[attr-defined]
        return response


def test_rebound_names_reach_nothing(server: ServerProcess, measured: Measured) -> None:
    """The page's own name resolves to 127.0.0.1, so that the browser takes both for one site."""
    port = urlsplit(server.url).port
    refused = 0
    for host in (
        f"evil.example:{port}",
        "evil.example",
        "EVIL.EXAMPLE.",
        f"127.0.0.1.evil.example:{port}",
        "localhost.evil",
    ):
        for method, path in REQUESTS:
            own = {"Host": host, "Origin": f"http://{host}", "Sec_Fetch_Site": "same-origin"}
            response = ask(server, method, path, **own)
            assert response.status == 421, (host, method, path)
            refused += 1
        response = ask(server, "GET", f"http://{host}/api/stats", Host=f"127.0.0.1:{port}")
        assert response.status == 421, host
    assert server.stats()["active_peers"] == 0
    assert not server.stats()["peers"]
    measured("DNS rebinding", "all refused", f"{refused} of {refused} refused")


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:1", "http://localhost"])
def test_foreign_pages_reach_nothing(origin: str, server: ServerProcess, measured: Measured) -> None:
    host = urlsplit(server.url).netloc
    for method, path in REQUESTS:
        response = ask(server, method, path, Host=host, Origin=origin, Sec_Fetch_Site="cross-site")
        assert response.status == 403, (method, path)
        assert response.headers["Access-Control-Allow-Origin"] is None
    assert not server.stats()["peers"]
    measured(f"page of {origin}", "all refused", f"{len(REQUESTS)} of {len(REQUESTS)} refused")


def test_own_page_and_programs_are_served(server: ServerProcess) -> None:
    host = urlsplit(server.url).netloc
    port = urlsplit(server.url).port
    for name in (host, f"localhost:{port}", f"studio.local:{port}"):
        own = {"Host": name, "Origin": f"http://{name}", "Sec_Fetch_Site": "same-origin"}
        response = ask(server, "POST", "/whep", **own)
        assert response.status == 201
        location = response.headers["Location"]
        assert ask(server, "DELETE", location, **own).status == 200
        assert ask(server, "GET", "/api/stats", Host=name, Sec_Fetch_Site="same-origin").status == 200
        assert ask(server, "GET", "/", Host=name, Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="navigate").status == 200
    response = ask(server, "POST", "/whip", Host=host)
    assert response.status == 201
    assert ask(server, "DELETE", response.headers["Location"], Host=host).status == 200


def test_configured_names_and_origins_are_served() -> None:
    with ServerProcess(allowed_hosts=["radio.example"], allow_origins=["https://page.example"]) as server:
        response = ask(server, "POST", "/whep", Host="radio.example", Origin="https://radio.example")
        assert response.status == 201
        response = ask(server, "POST", "/whep", Host="radio.example", Origin="https://page.example")
        assert response.status == 201
        assert response.headers["Access-Control-Allow-Origin"] == "https://page.example"
        assert ask(server, "GET", "/", Host="evil.example").status == 421
        assert ask(server, "POST", "/whep", Host="radio.example", Origin="https://evil.example").status == 403
