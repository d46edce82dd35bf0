"""A client session over HTTP, from POST to DELETE, however it ends."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
from pathlib import Path

import pytest
from client_servers import (
    ANSWER,
    LOCATION,
    NEW_ICE,
    OFFER,
    SDP,
    SECRET_PATH,
    TOKEN,
    A,
    Gated,
    Seen,
    answering,
    created,
    posted,
    response,
    serving,
    session_at,
    settle,
)

from bass_webrtc.errors import ClosedError, SignalingError
from bass_webrtc.signaling.client.rules import Answer
from bass_webrtc.signaling.client.session import SignalingSession
from bass_webrtc.signaling.client.settings import ClientSettings
from support.conformance import covers
from support.usage import own_descriptors


@covers("CL3", "CL6", "CL10", "CL11")
async def test_session_from_post_to_delete() -> None:
    """With the exact Content-Type (Janus, LiveKit), no If-Match on DELETE, and no Authorization."""
    script = answering(POST=created(LOCATION, ("ETag", '"x"'), ("Link", '<stun:s.example>; rel="ice-server"')))
    async with serving(script) as server, session_at(server) as session:
        answer = await session.post(OFFER)
        assert isinstance(answer, Answer)
        assert (answer.sdp, answer.session_url, answer.entity_tag) == (ANSWER, server.origin + SECRET_PATH, '"x"')
        assert [ice_server.url for ice_server in answer.ice_servers] == ["stun:s.example"]
        assert await session.delete()
    assert [(seen.method, seen.target) for seen in server.requests] == [("POST", "/whip"), ("DELETE", SECRET_PATH)]
    post, delete = server.requests
    assert (post.body.decode(), post.headers["content-type"]) == (OFFER, "application/sdp")
    assert post.headers["accept-encoding"] == "identity"
    assert "if-match" not in delete.headers
    assert not any("authorization" in seen.headers or "cookie" in seen.headers for seen in server.requests)


@covers("CL11")
async def test_netrc_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 9725, 4.7.1: without a configured token no request has an Authorization field."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password s3cr3t\n", encoding="utf-8")
    monkeypatch.setenv("NETRC", str(netrc))
    async with posted(answering(POST=created())) as (server, _session):
        pass
    assert not any("authorization" in seen.headers for seen in server.requests)


async def test_cookies_are_not_sent_back() -> None:
    async with serving(answering(POST=created(LOCATION, ("Set-Cookie", "a=b; Path=/")))) as server:
        async with session_at(server, url=f"http://localhost:{server.port}/whip") as session:
            await session.post(OFFER)
        assert server.methods() == ["POST", "DELETE"]
    assert "cookie" not in server.requests[1].headers


@covers("CL11")
async def test_token_is_sent_with_every_request() -> None:
    async with posted(answering(POST=created(), PATCH=response(204)), token=TOKEN) as (server, session):
        await session.trickle([A])
        assert await session.ask_ice_servers() == ()
    assert server.methods() == ["POST", "PATCH", "OPTIONS", "DELETE"]
    assert {seen.headers["authorization"] for seen in server.requests} == {f"Bearer {TOKEN}"}


@covers("CL5")
async def test_ice_servers_are_requested_before_the_offer() -> None:
    """By OPTIONS, for clients that cannot trickle."""
    link = ("Link", '<turn:t.example>; rel="ice-server"; username="u"; credential="c"')
    async with serving(answering(OPTIONS=response(204, link))) as server, session_at(server) as session:
        assert [ice_server.url for ice_server in await session.ask_ice_servers()] == ["turn:t.example"]


@covers("CL3")
async def test_session_without_url_is_accepted() -> None:
    """go2rtc sends no Location for WHEP: no PATCH, no DELETE, and no ICE restart."""
    script = answering(POST=response(201, SDP, body=ANSWER))
    async with serving(script) as server, session_at(server, "player") as session:
        answer = await session.post(OFFER)
        assert isinstance(answer, Answer)
        assert answer.session_url is None
        await session.trickle([A])
        with pytest.raises(SignalingError, match="without a session URL"):
            await session.restart(NEW_ICE)
        assert await session.delete()
    assert server.methods() == ["POST"]


@covers("CL3")
@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("/whip/s?path=a&secret=1", "/whip/s?path=a&secret=1"),  # MediaMTX
        ("webrtc?id=77", "/webrtc?id=77"),  # go2rtc
        ("?id=77", "/whip?id=77"),
        ("s%2F1?token=%2b", "/s%2F1?token=%2b"),  # SRS: a token in the query, with its encoding unchanged.
    ],
)
async def test_all_forms_of_location_are_resolved(location: str, target: str) -> None:
    async with posted(answering(POST=created(("Location", location)))) as (server, _session):
        pass
    assert [seen.target for seen in server.of("DELETE")] == [target]


# DELETE


@covers("CL10")
@pytest.mark.parametrize(
    ("status", "is_gone"),
    [
        (200, True),
        (202, True),
        (204, True),
        (404, True),
        (410, True),
        (401, False),
        (405, False),
        (500, False),
        (303, False),
    ],
)
async def test_responses_to_delete(status: int, is_gone: bool, caplog: pytest.LogCaptureFixture) -> None:
    """A failed DELETE is logged without the URL and raises nothing."""
    script = answering(POST=created(), DELETE=response(status, ("Location", "/x")))
    async with posted(script) as (server, session):
        assert await session.delete() is is_gone
        assert await session.delete() is is_gone
    assert server.methods() == ["POST", "DELETE"]
    assert ("could not delete" in caplog.text) is not is_gone
    assert "s3cr3t" not in caplog.text


@covers("CL10")
async def test_delete_has_a_timeout() -> None:
    async with posted(answering(POST=created(), DELETE=b""), delete_timeout_s=0.1) as (_server, session):
        async with asyncio.timeout(3.0):
            assert not await session.delete()


@covers("CL10")
async def test_delete_is_sent_after_an_exception() -> None:
    async with serving(answering(POST=created())) as server:
        with contextlib.suppress(ZeroDivisionError):
            async with session_at(server) as session:
                await session.post(OFFER)
                raise ZeroDivisionError
    assert server.methods() == ["POST", "DELETE"]


@covers("CL10")
async def test_cancelled_post_waits_for_the_201_and_sends_delete() -> None:
    script = Gated()
    async with serving(script) as server:
        posting = asyncio.create_task(session_at(server).post(OFFER))
        await script.arrived.wait()
        posting.cancel()
        await settle()
        assert not posting.done()
        script.gate.set()
        with pytest.raises(asyncio.CancelledError):
            await posting
    assert server.methods() == ["POST", "DELETE"]


@covers("CL10")
async def test_delete_is_sent_if_201_and_cancellation_coincide() -> None:
    """In whichever order the loop processes them."""
    for yields in range(30):
        script = Gated()
        async with serving(script) as server:
            session = session_at(server)
            posting = asyncio.create_task(session.post(OFFER))
            await script.arrived.wait()
            script.gate.set()
            await settle(yields)
            posting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await posting
                await session.delete()
        assert server.methods() == ["POST", "DELETE"]


@covers("CL10")
async def test_cancelled_post_does_not_wait_forever() -> None:
    script = Gated()
    async with serving(script) as server:
        posting = asyncio.create_task(session_at(server, cancel_grace_s=0.1).post(OFFER))
        await script.arrived.wait()
        posting.cancel()
        await asyncio.wait({posting}, timeout=3.0)
        assert posting.cancelled()
    assert server.methods() == ["POST"]


@covers("CL10")
async def test_post_that_was_not_sent_is_cancelled_at_once() -> None:
    """While it is still connecting, the server cannot have created a session."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        address = full.getsockname()
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(address)
        session = SignalingSession("player", ClientSettings(f"http://127.0.0.1:{address[1]}/", cancel_grace_s=60.0))
        posting = asyncio.create_task(session.post(OFFER))
        await settle()
        posting.cancel()
        await asyncio.wait({posting}, timeout=3.0)
        assert posting.cancelled()
        for filler in fillers:
            filler.close()


async def test_failure_of_a_cancelled_post_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    script = Gated(response(503))
    async with serving(script) as server:
        posting = asyncio.create_task(session_at(server).post(OFFER))
        await script.arrived.wait()
        posting.cancel()
        script.gate.set()
        await asyncio.wait({posting})
        assert posting.cancelled()
        del posting
        gc.collect()
    assert caplog.text == ""


@covers("CL10")
async def test_delete_during_post() -> None:
    """As when a program stops while it is connecting."""
    script = Gated()
    async with serving(script) as server:
        session = session_at(server)
        posting = asyncio.create_task(session.post(OFFER))
        await script.arrived.wait()
        deleting = asyncio.create_task(session.delete())
        await settle()
        script.gate.set()
        assert await deleting
        with pytest.raises(ClosedError):
            await posting
    assert server.methods() == ["POST", "DELETE"]


@covers("CL10")
async def test_cancelled_delete_is_still_sent() -> None:
    gate, arrived = asyncio.Event(), asyncio.Event()

    async def script(seen: Seen) -> bytes:
        if seen.method == "DELETE":
            arrived.set()
            await gate.wait()
        return created() if seen.method == "POST" else response(200)

    async with posted(script) as (server, session):
        deleting = asyncio.create_task(session.delete())
        await asyncio.sleep(0)
        deleting.cancel()
        await arrived.wait()
        assert not deleting.done()
        gate.set()
        with pytest.raises(asyncio.CancelledError):
            await deleting
        assert await session.delete()
    assert server.methods() == ["POST", "DELETE"]


async def test_requests_after_delete_fail() -> None:
    async with posted(answering(POST=created())) as (server, session):
        await session.delete()
        await session.trickle([A])
        with pytest.raises(SignalingError):
            await session.restart(NEW_ICE)
        with pytest.raises(SignalingError, match="deleted"):
            await session.ask_ice_servers()
    assert server.methods() == ["POST", "DELETE"]
    deleted = session_at(server)
    await deleted.delete()
    with pytest.raises(ClosedError):
        await deleted.post(OFFER)


async def test_sessions_leave_no_task_and_no_file_descriptor() -> None:
    """However they end."""
    scripts = [
        answering(POST=created(), PATCH=response(204)),
        answering(POST=response(503)),
        answering(POST=created(body="")),
        lambda seen: None,
    ]
    counts = []
    for _ in range(3):
        for script in scripts:
            for _ in range(5):
                async with serving(script) as server, session_at(server) as session:
                    with contextlib.suppress(SignalingError):
                        await session.post(OFFER)
                        await session.trickle([A])
        gc.collect()
        await settle()
        counts.append((len(asyncio.all_tasks()), own_descriptors()))
    assert counts[1] == counts[2]


# Secrets


@covers("SE62")
async def test_repr_shows_no_secret() -> None:
    async with serving(answering()) as server:
        session = session_at(server, url=f"{server.url}?key=s3cr3t", token=TOKEN)
    assert repr(session) == f"<SignalingSession: publisher at {server.url}>"


@covers("WS53")
@pytest.mark.parametrize(
    ("url", "warns"),
    [
        ("http://media.example/w", True),
        ("https://media.example/w", False),
        ("http://127.0.0.1/w", False),
        ("http://[::1]/w", False),
        ("http://localhost/w", False),
        ("http://localhost.example/w", True),
        ("http://192.0.2.1/w", True),
    ],
)
def test_unencrypted_token_gives_a_warning(url: str, warns: bool, caplog: pytest.LogCaptureFixture) -> None:
    """RFC 6750, 5.3."""
    SignalingSession("publisher", ClientSettings(url, TOKEN))
    assert ("unencrypted" in caplog.text) is warns
    assert TOKEN not in caplog.text
