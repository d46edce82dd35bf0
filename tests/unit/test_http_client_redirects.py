"""Redirects and session URLs at other origins."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path
from typing import Any

import pytest
from client_servers import (
    ANSWER,
    OFFER,
    SDP,
    TOKEN,
    A,
    Seen,
    answering,
    created,
    failure,
    named_elsewhere,
    posted,
    response,
    serving,
    session_at,
)

from bass_webrtc.errors import SignalingError
from bass_webrtc.signaling.client.backoff import is_worth_retrying
from support.certificates import write_certificate
from support.conformance import covers


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a host that is not this machine, as far as it tells."""
    return named_elsewhere(monkeypatch)


@covers("CL2", "CL3", "CL6")
@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_redirect_keeps_method_body_and_type(status: int) -> None:
    """Location is resolved against the final URL; PATCH and DELETE are redirected, too."""

    def script(seen: Seen) -> bytes:
        if not seen.target.startswith("/node7/"):
            return response(status, ("Location", f"/node7{seen.target}"), body="not read")
        return created(("Location", "s")) if seen.method == "POST" else response(204)

    async with posted(script, token=TOKEN) as (server, session):
        await session.trickle([A])
    assert [(seen.method, seen.target) for seen in server.requests] == [
        ("POST", "/whip"),
        ("POST", "/node7/whip"),
        ("PATCH", "/node7/s"),
        ("DELETE", "/node7/s"),
    ]
    assert server.requests[1].body.decode() == OFFER
    assert server.requests[1].headers["content-type"] == "application/sdp"
    assert server.requests[1].headers["authorization"] == f"Bearer {TOKEN}"


@covers("CL2")
@pytest.mark.parametrize("status", [300, 303, 304])
async def test_redirects_that_lose_the_offer_are_errors(status: int) -> None:
    error, server = await failure(answering(POST=response(status, ("Location", "/s3cr3t"))))
    assert error.status == status
    assert "unsafe redirect" in error.detail
    assert server.methods() == ["POST"]
    assert not is_worth_retrying(error, "player")


@covers("CL2", "SE66")
async def test_redirect_loop_is_an_error() -> None:
    error, server = await failure(answering(POST=response(307, ("Location", "/whip"))))
    assert (error.status, "redirect loop" in error.detail, len(server.requests)) == (307, True, 1)


@covers("CL2", "SE66")
async def test_too_many_redirects_are_an_error() -> None:

    def script(seen: Seen) -> bytes:
        return response(308, ("Location", seen.target + "x"))

    error, server = await failure(script)
    assert (error.status, "more than 10" in error.detail, len(server.requests)) == (308, True, 11)


@covers("CL11", "SE66")
async def test_token_is_not_sent_to_another_origin(elsewhere: str) -> None:
    """The error says so."""
    async with serving(answering(POST=response(401))) as other:
        target = f"http://{elsewhere}:{other.port}/whip"
        error, server = await failure(answering(POST=response(307, ("Location", target))), token=TOKEN)
    assert error.status == 401
    assert "the token was not sent" in error.detail
    assert "authorization" in server.requests[0].headers
    assert "authorization" not in other.requests[0].headers


@covers("CL11")
@pytest.mark.parametrize("is_trusted", [False, True])
async def test_session_url_at_another_origin_gets_the_token_only_if_trusted(is_trusted: bool, elsewhere: str) -> None:
    async with serving(answering()) as other:
        origin = f"http://{elsewhere}:{other.port}"
        script = answering(POST=created(("Location", origin + "/s")))
        trusted = (origin,) if is_trusted else ()
        async with posted(script, token=TOKEN, trusted_origins=trusted) as (_server, session):
            await session.trickle([A])
    assert other.methods() == ["PATCH", "DELETE"]
    assert all(("authorization" in seen.headers) is is_trusted for seen in other.requests)


@covers("SE66")
async def test_private_addresses_can_be_forbidden() -> None:
    """Written as addresses or as names."""
    for target in ("http://127.0.0.2/", "http://localhost/"):
        script = answering(POST=response(307, ("Location", target)))
        error, _server = await failure(script, forbid_private=True)
        assert "private network" in error.detail


@covers("SE66")
async def test_names_that_resolve_to_private_addresses_can_be_forbidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in DNS rebinding. The host given by the user is exempt."""
    lookup = socket.getaddrinfo

    def fake(host: str, *arguments: Any, **more: Any) -> Any:
        return lookup("127.0.0.1" if host.endswith(".example") else host, *arguments, **more)

    monkeypatch.setattr(socket, "getaddrinfo", fake)
    async with serving(answering(POST=created())) as other:
        script = answering(POST=response(307, ("Location", f"http://media.example:{other.port}/whip")))
        error, _server = await failure(script, forbid_private=True)
        own = f"http://own.example:{other.port}/whip"
        async with session_at(other, url=own, forbid_private=True) as session:
            await session.post(OFFER)
    assert "private network" in error.detail
    assert other.methods() == ["POST", "DELETE"]


def tls_pair(folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return the TLS context of a server, and that of a client that trusts it."""
    certificate, key = write_certificate(folder)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate, key)
    return server, ssl.create_default_context(cafile=str(certificate))


@covers("SE66")
async def test_https_never_leads_to_http(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Neither by a redirect nor by a Location. A session whose URL cannot be used is used without it."""
    server_tls, client_tls = tls_pair(tmp_path)
    away = ("Location", "http://127.0.0.2:9/s")
    async with serving(answering(POST=response(307, away)), tls=server_tls) as server:
        with pytest.raises(SignalingError, match="https to unencrypted http") as caught:
            await session_at(server, tls=client_tls).post(OFFER)
    assert server.methods() == ["POST"]
    assert caught.value.status == 307
    for status in (200, 201):
        script = answering(POST=response(status, SDP, away, body=ANSWER))
        async with serving(script, tls=server_tls) as server, session_at(server, tls=client_tls) as session:
            assert (await session.post(OFFER)).sdp == ANSWER
            assert not session.can_restart
        assert server.methods() == ["POST"]
    assert "https to unencrypted http" in caplog.text


@covers("CL3", "SE66")
async def test_session_behind_a_proxy_that_ends_tls_is_reached_by_https(tmp_path: Path) -> None:
    """The server behind it believes that it is reached over http, perhaps at another port, and redirects there, too."""
    server_tls, client_tls = tls_pair(tmp_path)

    def script(seen: Seen) -> bytes:
        if seen.target == "/whip":
            return response(307, ("Location", "http://127.0.0.1:8080/live"))
        return created(("Location", "http://127.0.0.1/live/s")) if seen.method == "POST" else response(204)

    async with serving(script, tls=server_tls) as server, session_at(server, tls=client_tls, token=TOKEN) as session:
        await session.post(OFFER)
        await session.trickle([A])
        await session.delete()
    assert [(seen.method, seen.target) for seen in server.requests] == [
        ("POST", "/whip"),
        ("POST", "/live"),
        ("PATCH", "/live/s"),
        ("DELETE", "/live/s"),
    ]
    assert all("authorization" in seen.headers for seen in server.requests)


async def test_session_over_https(tmp_path: Path) -> None:
    server_tls, client_tls = tls_pair(tmp_path)
    async with serving(answering(POST=created()), tls=server_tls) as server:
        async with session_at(server, tls=client_tls, token=TOKEN) as session:
            await session.post(OFFER)
        assert server.methods() == ["POST", "DELETE"]


async def test_untrusted_certificate_is_an_error(tmp_path: Path) -> None:
    """It is not worth retrying."""
    server_tls, _ = tls_pair(tmp_path)
    async with serving(answering(POST=created()), tls=server_tls) as server:
        with pytest.raises(SignalingError, match="certificate") as caught:
            await session_at(server).post(OFFER)
    assert server.requests == []
    assert not is_worth_retrying(caught.value, "player")
