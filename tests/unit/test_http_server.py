"""HTTP server on loopback: requests, hosts and proxies, start and stop, sockets, HTTPS."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import time
from dataclasses import replace
from pathlib import Path

import aiohttp
import offers
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from http_ends import FRAGMENT, QUICK, SDP, Echo, raw, serving, status

from bass_webrtc.errors import ConfigError, PortInUseError
from bass_webrtc.signaling.server import http_server
from bass_webrtc.signaling.server.http_server import HttpServer, HttpSettings, listen, tls_context
from bass_webrtc.signaling.server.site import Site, SiteSettings
from bass_webrtc.stats import ServerStats
from support.certificates import write_certificate
from support.conformance import covers
from support.signaling import ANSWER
from support.usage import own_descriptors

# Requests


@covers("WS14", "WS56", "ES7")
async def test_whole_session() -> None:
    """POST, trickle, restart and DELETE, sent by aiohttp's client."""
    async with serving() as (server, sessions, _), aiohttp.ClientSession(server.url) as client:
        async with client.post("/whep", data=offers.CHROME_RECVONLY.encode(), headers=SDP) as response:
            assert (response.status, await response.text()) == (201, ANSWER)
            assert response.headers["Content-Type"] == "application/sdp"
            location, tag = response.headers["Location"], response.headers["ETag"]
        headers = FRAGMENT | {"If-Match": tag}
        async with client.patch(location, data=offers.TRICKLE_FRAGMENT.encode(), headers=headers) as response:
            assert (response.status, await response.read()) == (204, b"")
            assert "ETag" not in response.headers
        async with client.patch(location, data=offers.RESTART_FRAGMENT.encode(), headers=headers) as response:
            assert response.status == 200
            assert response.headers["ETag"] != tag
        async with client.delete(location) as response:
            assert response.status == 200
        async with client.delete(location) as response:
            assert response.status == 404
        assert sessions.made[0].closed


@covers("ES3")
async def test_head_has_the_fields_of_get_and_no_body() -> None:
    async with serving() as (server, _, _), aiohttp.ClientSession(server.url) as client:
        for method in ("GET", "HEAD"):
            async with client.request(method, "/whep") as response:
                assert (response.status, await response.read()) == (200, b"")
                assert response.headers["Content-Type"] == "application/sdp"


async def test_site_responses_have_their_types() -> None:
    async def no_statistics() -> ServerStats:
        return ServerStats()

    site = Site(SiteSettings(page=False), no_statistics, lambda: True)
    server = HttpServer(QUICK, [site])
    await server.start()
    try:
        async with aiohttp.ClientSession(server.url) as client:
            async with client.get("/metrics") as response:
                assert response.headers["Content-Type"].startswith("text/plain; version=0.0.4")
                assert "bass_webrtc_active_peers 0.0" in await response.text()
            async with client.head("/api/stats") as response:
                assert response.headers["Content-Type"] == "application/json"
                assert int(response.headers["Content-Length"]) > 100
    finally:
        await server.stop()


async def test_unknown_path_is_404() -> None:
    async with serving() as (server, _, _), aiohttp.ClientSession(server.url) as client:
        for path in ("/", "/nothing", "/whepx", "/%2e%2e/etc/passwd"):
            async with client.get(path) as response:
                assert response.status == 404
                assert response.headers["Content-Type"] == "application/problem+json"


async def test_100_continue_is_sent() -> None:
    """OBS uses curl, which waits for it before it sends a longer body."""
    body = offers.CHROME_RECVONLY.encode()
    async with serving() as (server, _, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(
            b"POST /whep HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/sdp\r\nConnection: close\r\n"
            b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(body)
        )
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(body)
        assert status(await reader.read()) == 201
        writer.close()


async def test_internal_error_after_100_continue_is_answered() -> None:
    async with serving() as (server, _, _):
        response = await raw(
            server, b"POST /echo/bug HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n1"
        )
        assert status(response.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n")) == 500


async def test_absolute_form_is_accepted() -> None:
    """RFC 9112, 3.2.2."""
    async with serving(replace(QUICK, allowed_hosts=("radio.example",))) as (server, _, echo):
        request = b"GET http://radio.example/echo/1?a=b HTTP/1.1\r\nHost: radio.example\r\nConnection: close\r\n\r\n"
        assert status(await raw(server, request)) == 200
        assert (echo.requests[0].path, echo.requests[0].query) == ("/echo/1", "a=b")


@covers("SE65")
async def test_paths_are_not_decoded_or_normalised() -> None:
    async with serving() as (server, _, echo):
        await raw(server, b"GET /echo/../whep/%2e%2fx HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert echo.requests[0].path == "/echo/../whep/%2e%2fx"


# Hosts and proxies


@covers("SE64")
@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("radio.example", 200),
        ("Radio.Example:8080", 200),
        ("127.0.0.1:1", 200),
        ("[::1]:8080", 200),
        ("localhost", 200),
        ("evil.example", 421),
    ],
)
async def test_foreign_host_names_are_refused(host: str, expected: int) -> None:
    """With DNS rebinding, a foreign page uses the right address with the wrong name."""
    async with serving(replace(QUICK, allowed_hosts=("Radio.Example",))) as (server, _, _):
        request = f"GET /whep HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        assert status(await raw(server, request.encode())) == expected


@covers("SE67")
@pytest.mark.parametrize(
    ("trusted", "forwarded", "expected"),
    [
        ((), "192.0.2.7", "127.0.0.1"),
        (("127.0.0.0/8",), "192.0.2.7", "192.0.2.7"),
        (("127.0.0.1",), "198.51.100.1, 192.0.2.7", "192.0.2.7"),  # The left one may be forged.
        (("127.0.0.1", "192.0.2.0/24"), "198.51.100.1, 192.0.2.7", "198.51.100.1"),
        (("127.0.0.1",), "2001:db8::1", "2001:db8::1"),
        (("127.0.0.1",), "nonsense", "127.0.0.1"),
        (("127.0.0.1",), "", "127.0.0.1"),
    ],
)
async def test_only_trusted_proxies_set_the_client_address(
    trusted: tuple[str, ...], forwarded: str, expected: str
) -> None:
    async with serving(replace(QUICK, trusted_proxies=trusted)) as (server, _, echo):
        request = f"GET /echo HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: {forwarded}\r\nConnection: close\r\n\r\n"
        await raw(server, request.encode())
        assert echo.requests[0].remote == expected


def test_proxy_must_be_an_address() -> None:
    with pytest.raises(ConfigError, match="trusted_proxies"):
        HttpServer(HttpSettings(trusted_proxies=("proxy.example",)), [])


# Starting and stopping


async def test_port_in_use_is_an_error_with_advice() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(PortInUseError, match=rf"port {port} on 127\.0\.0\.1 is in use.*http_port"):
            await HttpServer(HttpSettings(port=port), []).start()


@pytest.mark.parametrize("host", ["no-such-host.invalid", "192.0.2.1"])
async def test_host_must_be_an_address_of_this_machine(host: str) -> None:
    with pytest.raises(ConfigError, match="http_host"):
        await HttpServer(HttpSettings(host=host, port=0), []).start()


async def test_all_addresses_include_ipv4() -> None:
    """For ``"::"``."""
    async with serving(replace(QUICK, host="::")) as (server, _, echo):
        assert server.url == f"http://[::1]:{server.port}/"
        for host in ("127.0.0.1", "[::1]"):
            async with aiohttp.request("GET", f"http://{host}:{server.port}/echo") as response:
                assert response.status == 200
        assert [request.remote for request in echo.requests] == ["127.0.0.1", "::1"]
        assert [request.local for request in echo.requests] == ["127.0.0.1", "::1"]


@covers("SE61")
async def test_stop_closes_connections_descriptors_and_tasks() -> None:
    """Stopping twice is the same."""
    before = own_descriptors(), len(asyncio.all_tasks())
    server = HttpServer(QUICK, [Echo()])
    await server.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"GET /echo HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert b"200" in await reader.readline()
    started_s = time.monotonic()
    await server.stop()
    await server.stop()
    assert time.monotonic() - started_s < 1.0
    await reader.read()
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()
    assert (own_descriptors(), len(asyncio.all_tasks())) == before
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", server.port)


async def test_port_can_be_reused_at_once() -> None:
    async with serving() as (server, _, _):
        port = server.port
        await raw(server, b"GET /whep HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    async with serving(replace(QUICK, port=port)) as (server, _, _):
        assert server.port == port


# HTTPS


@covers("WS53")
async def test_https_with_a_certificate(tmp_path: Path) -> None:
    """Plain HTTP on that port gets no response."""
    certificate, key = write_certificate(tmp_path)
    settings = replace(QUICK, tls_certificate=certificate, tls_key=key)
    async with serving(settings) as (server, _, _):
        assert server.url.startswith("https://127.0.0.1:")
        context = ssl.create_default_context(cafile=str(certificate))
        async with aiohttp.request("GET", f"{server.url}whep", ssl=context) as response:
            assert response.status == 200
        assert await raw(server, b"GET /whep HTTP/1.1\r\nHost: localhost\r\n\r\n") == b""


async def test_tls_to_a_plain_port_is_answered_with_400(caplog: pytest.LogCaptureFixture) -> None:
    """As from a browser that tries HTTPS first; nothing is logged."""
    async with serving() as (server, _, _):
        assert status(await raw(server, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")) == 400
    assert not caplog.records


@pytest.mark.parametrize("requests", [40, 400], ids=["40 requests", "more than the parser reads ahead"])
@pytest.mark.parametrize("end", ["close", "half-close", "close_notify"])
async def test_tls_client_that_hangs_up_is_not_logged(
    end: str, requests: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A visitor that pipelines requests and goes: no responses are written, and the connection ends at once."""
    certificate, key = write_certificate(tmp_path)
    context = ssl.create_default_context(cafile=str(certificate))
    settings = HttpSettings(port=0, tls_certificate=certificate, tls_key=key)

    def hang_up(tcp: socket.socket) -> None:
        with context.wrap_socket(tcp, server_hostname="127.0.0.1") as tls:
            tls.sendall(b"GET /whep HTTP/1.1\r\nHost: localhost\r\n\r\n" * requests)
            if end == "half-close":
                socket.socket.shutdown(tls, socket.SHUT_WR)
            elif end == "close_notify":
                tls.settimeout(0.01)
                with contextlib.suppress(OSError):
                    tls.unwrap()
        if end != "close":
            time.sleep(0.1)

    async with serving(settings) as (server, _, _):
        await asyncio.to_thread(hang_up, socket.create_connection(("127.0.0.1", server.port)))
        began_s = time.monotonic()
        while server.open_connections and time.monotonic() - began_s < 5.0:  # noqa: ASYNC110 - sockets set no event
            await asyncio.sleep(0.01)
        assert server.open_connections == 0
    assert not [record.getMessage() for record in caplog.records if record.name.startswith(("asyncio", "aiohttp"))]


# Sockets and certificates


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    return write_certificate(tmp_path)


async def test_all_addresses_of_a_name_use_the_same_port(monkeypatch: pytest.MonkeyPatch) -> None:
    """``localhost`` has two addresses on many machines, but there is one URL."""

    async def resolve(host: str, port: int) -> list[tuple[int, tuple[str | int, ...]]]:
        return [(socket.AF_INET, ("127.0.0.1", port)), (socket.AF_INET, ("127.0.0.2", port))]

    monkeypatch.setattr(http_server, "_resolve", resolve)
    first, second = await listen("two-addresses", 0)
    with first, second:
        assert first.getsockname()[0] != second.getsockname()[0]
        assert first.getsockname()[1] == second.getsockname()[1]


async def test_name_is_listened_on_once_per_address() -> None:
    sockets = await listen("localhost", 0)
    names = [one.getsockname()[:2] for one in sockets]
    for one in sockets:
        one.close()
    assert len(names) == len(set(names)) >= 1


@covers("WS53")
def test_certificate_and_key_are_loaded(certificate: tuple[Path, Path]) -> None:
    """With TLS 1.2 as the minimum."""
    assert tls_context(*certificate).minimum_version == ssl.TLSVersion.TLSv1_2


def test_unreadable_file_is_named(certificate: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"tls_certificate .*nowhere\.pem' cannot be read: No such file"):
        tls_context(tmp_path / "nowhere.pem", certificate[1])
    with pytest.raises(ConfigError, match=r"tls_key .* cannot be read"):
        tls_context(certificate[0], tmp_path)


def test_file_that_is_not_pem_is_refused(certificate: tuple[Path, Path], tmp_path: Path) -> None:
    junk = tmp_path / "junk.pem"
    junk.write_bytes(b"\x00junk")
    for pair in ((junk, certificate[1]), (certificate[0], junk)):
        with pytest.raises(ConfigError, match="expected a PEM certificate chain and its own unencrypted PEM key"):
            tls_context(*pair)


def test_key_of_another_certificate_is_refused(certificate: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    _, other_key = write_certificate(tmp_path / "other")
    with pytest.raises(ConfigError, match="its own unencrypted PEM key"):
        tls_context(certificate[0], other_key)


def test_encrypted_key_is_refused_without_a_prompt(certificate: tuple[Path, Path], tmp_path: Path) -> None:
    """OpenSSL would ask for the password on the terminal and wait."""
    encrypted = tmp_path / "encrypted.pem"
    encrypted.write_bytes(
        ec.generate_private_key(ec.SECP256R1()).private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"password"),
        )
    )
    with pytest.raises(ConfigError, match="unencrypted"):
        tls_context(certificate[0], encrypted)
