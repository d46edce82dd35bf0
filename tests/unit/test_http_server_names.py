"""Host and Origin: which names and which pages the server answers, against DNS rebinding and foreign pages (SE64)."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from dataclasses import replace

import pytest
from http_ends import ORIGIN, QUICK, SDP, raw, serving, status
from hypothesis import example, given
from hypothesis import strategies as st

from bass_webrtc.signaling.messages import Headers, Refused, Request, split_host
from bass_webrtc.signaling.server import hosts
from bass_webrtc.signaling.server.cors import Cors
from bass_webrtc.signaling.server.hosts import HostNames, target_authority
from support.conformance import covers

LOCAL = (
    "127.0.0.1",
    "::1",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.5",
    "169.254.1.1",
    "fe80::1%eth0",
    "fd00::1",
    "100.64.1.1",
)
PUBLIC = ("93.184.215.14", "2606:2800:21f:cb07::1")


@pytest.fixture(autouse=True)
def _names_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "Studio.lan")
    monkeypatch.setattr(hosts, "full_host_names", lambda: {"studio.example.org"})


def request(host: str | None, local: str = "127.0.0.1", method: str = "GET", **fields: str) -> Request:
    named = [("Host", host)] if host is not None else []
    others = [(name.replace("_", "-"), value) for name, value in fields.items()]
    return Request(method, "/whep", Headers([*named, *others]), local=local)


def refusal_of(check: Callable[[Request], None], sent: Request) -> Refused | None:
    try:
        check(sent)
    except Refused as refusal:
        return refusal
    return None


def answer(host: str | None, local: str = "127.0.0.1", *allowed: str) -> int:
    """The status of the refusal; 200 if there is none."""
    refusal = refusal_of(HostNames(allowed, "127.0.0.1").check, request(host, local))
    return 200 if refusal is None else refusal.status


def assert_harmless(detail: str) -> None:
    assert len(detail) < 400
    assert detail.isascii()
    assert not set("<>&\\\r\n") & set(detail)


# Host


@covers("SE64")
@pytest.mark.parametrize("local", LOCAL)
@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8080", "evil.example.", "EVIL.example", "localhost.evil"]
)
def test_foreign_name_is_refused_at_a_private_address(local: str, host: str) -> None:
    assert answer(host, local) == 421
    assert answer(host, local, "radio.example") == 421


@covers("SE64")
@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "127.0.0.1:8080", "192.168.1.5", "[::1]:8080", "[2001:db8::1]", "[fe80::1%25eth0]"),
        *("localhost", "LOCALHOST:8080", "localhost.", "radio.localhost", "studio", "Studio.lan:1", "studio.lan."),
        *("studio.example.org", "kitchen.local", "Kitchen.Local.:8080"),
    ],
)
def test_own_name_is_accepted_at_a_private_address(host: str) -> None:
    for local in LOCAL:
        assert answer(host, local) == 200


@covers("SE64")
def test_every_name_is_accepted_at_a_public_address_without_configured_names() -> None:
    for local in PUBLIC:
        assert answer("radio.example", local) == 200
        assert answer("radio.example", local, "other.example") == 421
        assert answer("other.example", local, "Other.Example.") == 200


def test_star_allows_every_name() -> None:
    assert answer("evil.example", "127.0.0.1", "*") == 200
    assert answer("evil.example", PUBLIC[0], "*", "radio.example") == 200


def test_address_that_the_server_listens_on_is_its_name() -> None:
    HostNames((), "Radio.Home").check(request("radio.home:8080"))


@pytest.mark.parametrize(
    "host",
    [
        *("", " ", "a b", "user@radio.example", "127.0.0.1@evil.example", "radio.example:x", "radio.example/", "a,b"),
        *(
            "[::1",
            "::1",
            "radio.example:80:90",
            "[::1]x",
            "a\\b",
            "a?b",
            "a#b",
            "[radio.example]",
            "127.0.0.1:x@evil.example",
        ),
    ],
)
def test_malformed_host_is_refused(host: str) -> None:
    assert answer(host) in (400, 421)
    if host != "a,b":
        assert answer(host, PUBLIC[0]) == 400


def test_several_host_fields_are_refused() -> None:
    fields = Headers([("Host", "localhost"), ("host", "evil.example")])
    with pytest.raises(Refused, match="400"):
        HostNames((), "127.0.0.1").check(Request("GET", "/", fields, local="127.0.0.1"))


def test_client_without_a_host_field_is_answered() -> None:
    """HTTP/1.0 has none. No browser leaves it out, so it is not DNS rebinding."""
    assert answer(None) == 200


@given(st.text(max_size=300))
@example("<script>alert(1)</script>")
@example("a" * 300)
def test_refusal_names_the_option_and_shows_no_markup(host: str) -> None:
    refusal = refusal_of(HostNames((), "127.0.0.1").check, request(host))
    if refusal is not None:
        assert ("--allowed-host" in refusal.detail and "(allowed_hosts)" in refusal.detail) or refusal.status == 400
        assert_harmless(refusal.detail)


def test_full_name_is_found_without_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name server that does not answer delays neither the start of the server nor its end."""
    monkeypatch.undo()
    hosts.full_host_names.cache_clear()
    found = hosts.full_host_names()
    assert found is hosts.full_host_names()
    assert found <= {split_host(socket.getfqdn())[0]}


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/whep", None),
        ("*", None),
        ("http://radio.example", "radio.example"),
        ("HTTP://Radio.Example:8080/whep?x=http://other", "Radio.Example:8080"),
        ("https://[::1]:1?x", "[::1]:1"),
        ("http://user@radio.example/", "user@radio.example"),
        ("http:///whep", ""),
        ("/http://radio.example", None),
    ],
)
def test_authority_of_a_request_target(target: str, expected: str | None) -> None:
    assert target_authority(target) == expected


@pytest.mark.parametrize(
    ("target", "host", "expected"),
    [
        ("http://evil.example/whep", "127.0.0.1", 421),
        ("HTTP://evil.example/whep", "127.0.0.1", 421),
        ("http://localhost/whep", "evil.example", 200),
        ("http://user@localhost/whep", "localhost", 400),
        ("http:///whep", "localhost", 400),
        ("/whep", "evil.example", 421),
        ("/whep", "localhost", 200),
    ],
)
async def test_target_in_absolute_form_replaces_host(target: str, host: str, expected: int) -> None:
    """RFC 9112, 3.2.2."""
    async with serving() as (server, _, _):
        text = f"GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        assert status(await raw(server, text.encode())) == expected


@covers("SE64")
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS", "PATCH", "DELETE"])
@pytest.mark.parametrize("path", ["/whep", "/whep/secret", "/echo", "/nothing"])
async def test_rebound_page_reaches_nothing(method: str, path: str) -> None:
    """Its requests have the same origin for the browser; the refusal is a problem document."""
    fields = "Host: evil.example\r\nOrigin: http://evil.example\r\nSec-Fetch-Site: same-origin\r\nConnection: close\r\n"
    async with serving() as (server, sessions, echo):
        response = await raw(server, f"{method} {path} HTTP/1.1\r\n{fields}\r\n".encode())
        assert status(response) == 421
        detail = json.loads(response.partition(b"\r\n\r\n")[2])["detail"]
        assert '"evil.example"' in detail
        assert "--allowed-host evil.example" in detail
        assert not sessions.asked
        assert not echo.requests


# Origin


def origin_answer(host: str, origin: str, *allowed: str, method: str = "POST") -> int:
    refusal = refusal_of(Cors(allowed).check, request(host, method=method, Origin=origin))
    return 200 if refusal is None else refusal.status


@covers("SE64")
@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("radio.example", "https://radio.example"),
        ("radio.example:443", "https://Radio.Example"),
        ("radio.example", "http://radio.example:80"),
        ("Radio.Example.", "https://radio.example"),
        ("[::1]:8080", "http://[::1]:8080"),
        ("radio.example:8443", "https://radio.example:8443"),
    ],
)
def test_own_page_is_allowed(host: str, origin: str) -> None:
    """The scheme does not count, because a proxy may terminate TLS."""
    assert origin_answer(host, origin) == 200
    assert origin_answer(host, origin, ORIGIN) == 200


@covers("SE64")
@pytest.mark.parametrize(
    "origin",
    [
        *("https://evil.example", "null", "", "http://127.0.0.1", "http://127.0.0.1:8081", "http://localhost:8080"),
        *("http://127.0.0.1:8080.evil.example", "ftp://127.0.0.1:8080", "127.0.0.1:8080", "file://"),
        *(
            "chrome-extension://127.0.0.1:8080",
            "http://127.0.0.1:8080, http://evil.example",
            "https://radio.example.evil",
        ),
        *("http://127.0.0.1:8080/", "http://x@127.0.0.1:8080"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS", "DELETE"])
def test_foreign_page_is_refused(origin: str, method: str) -> None:
    assert origin_answer("127.0.0.1:8080", origin, method=method) == 403
    assert origin_answer("127.0.0.1:8080", origin, ORIGIN, method=method) == 403
    assert origin_answer("127.0.0.1:8080", origin, "*", method=method) == 200


def test_configured_origin_is_allowed() -> None:
    assert origin_answer("127.0.0.1:8080", "https://RADIO.example", ORIGIN) == 200


def test_refusal_of_the_null_origin_does_not_suggest_a_value_that_the_option_refuses() -> None:
    refusal = refusal_of(Cors().check, request("127.0.0.1", Origin="null"))
    assert refusal is not None
    assert "Local files" in refusal.detail
    assert "--allow-origin null" not in refusal.detail


@given(st.text(max_size=300))
def test_refusal_of_an_origin_names_the_option(origin: str) -> None:
    refusal = refusal_of(Cors().check, request("127.0.0.1", Origin=origin))
    assert refusal is not None
    assert "--allow-origin" in refusal.detail
    assert_harmless(refusal.detail)


@covers("SE64")
@pytest.mark.parametrize(
    ("method", "site", "mode", "expected"),
    [
        ("GET", "none", "navigate", 200),
        ("GET", "cross-site", "navigate", 200),  # A link.
        ("GET", "same-origin", "cors", 200),
        ("GET", "same-site", "no-cors", 200),
        ("GET", "cross-site", "no-cors", 403),  # <img src="http://127.0.0.1:8080/api/stats">
        ("POST", "cross-site", "navigate", 403),
        ("DELETE", "cross-site", "cors", 403),
    ],
)
def test_browsers_that_send_no_origin_say_the_site(method: str, site: str, mode: str, expected: int) -> None:
    sent = request("127.0.0.1", method=method, Sec_Fetch_Site=site, Sec_Fetch_Mode=mode)
    refusal = refusal_of(Cors().check, sent)
    assert (200 if refusal is None else refusal.status) == expected
    Cors(["*"]).check(sent)


@covers("SE64")
@pytest.mark.parametrize("path", ["/whep", "/whep/secret", "/echo"])
async def test_foreign_page_reaches_nothing(path: str) -> None:
    """The preflight is refused, so is the request; neither has CORS fields."""
    fields = "Host: localhost\r\nOrigin: https://evil.example\r\nConnection: close\r\n"
    async with serving() as (server, sessions, echo):
        for method in ("OPTIONS", "POST", "GET"):
            response = await raw(server, f"{method} {path} HTTP/1.1\r\n{fields}\r\n".encode())
            assert status(response) == 403
            assert b"--allow-origin https://evil.example" in response
            assert b"Access-Control" not in response
        assert not sessions.asked
        assert not echo.requests


async def test_programs_send_no_origin() -> None:
    """OBS, FFmpeg and GStreamer are answered as before."""
    async with serving() as (server, _, _):
        fields = f"Host: 127.0.0.1:{server.port}\r\nContent-Type: {SDP['Content-Type']}\r\nConnection: close\r\n"
        response = await raw(server, f"POST /whep HTTP/1.1\r\n{fields}Content-Length: 3\r\n\r\nv=0".encode())
        assert status(response) == 422, "the offer was read"


async def test_allowed_host_is_served_over_http() -> None:
    async with serving(replace(QUICK, allowed_hosts=("radio.example",))) as (server, _, _):
        for host in ("radio.example", "Radio.Example.:8080"):
            text = f"GET /whep HTTP/1.1\r\nHost: {host}\r\nOrigin: https://{host}\r\nConnection: close\r\n\r\n"
            assert status(await raw(server, text.encode())) == 200


@given(st.text(max_size=100))
@example("[")
@example("[::1")
@example(":80")
def test_any_text_is_split_into_host_and_port(text: str) -> None:
    host, port = split_host(text)
    assert host == host.lower()
    assert port not in ("80", "443")
