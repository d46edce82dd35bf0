"""A client that has lost its path: ICE restart in the same session, or a new session if that fails."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Awaitable, Callable, Iterator

import aiohttp
import pytest
from client_servers import SDP, Seen, Server, response, serving

import bass_webrtc as bw
from bass_webrtc.client import watch as client_watch
from support.client_peers import connect
from support.conformance import covers
from support.patience import wait_until
from support.usage import own_descriptors, own_threads


@pytest.fixture
def server() -> Iterator[bw.Server]:
    with bw.Server(bw.Tone(), bw.ServerConfig(http_port=0, udp_port=0)) as server:
        server.start()
        yield server


@pytest.fixture
def lose_address(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Hide all local addresses from the client, for a number of probes."""

    def lose(probes: int = 1) -> None:
        answers = iter([False] * probes)
        monkeypatch.setattr(client_watch, "has_address", lambda host: next(answers, True))

    return lose


@covers("CL9")
@pytest.mark.parametrize("ice_servers", [(), (bw.IceServer("stun:127.0.0.1:9"),)], ids=["ICE-lite", "full ICE"])
@pytest.mark.parametrize("kind", ["publisher", "player"])
def test_session_continues_on_another_path(
    kind: str, ice_servers: tuple[bw.IceServer, ...], lose_address: Callable[..., None]
) -> None:
    """There are new sockets, the same peer, and packets flow."""
    config = bw.ServerConfig(http_port=0, udp_port=0, ice_servers=ice_servers)
    with bw.Server(bw.Tone(), config) as server:
        server.start()
        pushes = kind == "publisher"
        client = bw.WhipClient(bw.Tone(), f"{server.url}whip") if pushes else bw.WhepClient(f"{server.url}whep")
        _assert_finds_another_path(client, server, lose_address)


def _assert_finds_another_path(
    client: bw.WhipClient | bw.WhepClient, server: bw.Server, lose_address: Callable[..., None]
) -> None:
    with client:
        connect(client)
        (peer,) = server.peers
        path = client.stats().local_address
        lose_address()
        wait_until(lambda: client.stats().local_address != path and client.connected)
        wait_until(lambda: peer.stats().remote_address == client.stats().local_address)
        before = client.stats()
        wait_until(lambda: _packets(client.stats()) > _packets(before) + 10)
        assert server.peers == (peer,)
        assert peer.state == "connected"


def _packets(stats: bw.PeerStats) -> int:
    return stats.packets_sent + stats.packets_received


class PatchProxy:
    """A proxy to a server that answers PATCH itself, with a scripted response."""

    def __init__(self, server: bw.Server, patch: Callable[[], Awaitable[bytes]]) -> None:
        self._url = server.url.rstrip("/")
        self._patch = patch
        self.sessions: list[str] = []

    async def __call__(self, seen: Seen) -> bytes:
        if seen.method == "PATCH":
            return await self._patch()
        async with aiohttp.ClientSession() as http:
            if seen.method == "POST":
                headers = {"Content-Type": "application/sdp"}
                async with http.post(self._url + seen.target, data=seen.body, headers=headers) as answer:
                    self.sessions.append("/" + answer.headers["Location"])
                    return response(201, SDP, ("Location", answer.headers["Location"]), body=await answer.read())
            async with http.delete(self._url + seen.target) as gone:
                return response(gone.status)


@pytest.fixture(params=[404, 405, 412, 422, 501, None])
def refused(request: pytest.FixtureRequest) -> bytes | None:
    """The response to a restart; None: no response."""
    return None if request.param is None else response(request.param)


@covers("CL1", "CL8", "CL9")
async def test_failed_restart_begins_new_session(
    refused: bytes | None,
    server: bw.Server,
    lose_address: Callable[..., None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It posts a new offer and deletes the former session."""
    caplog.set_level(logging.INFO)

    async def patch() -> bytes:
        if refused is None:
            await asyncio.Event().wait()
        assert refused is not None
        return refused

    proxy = PatchProxy(server, patch)
    async with serving(proxy) as scripted, bw.aio.WhepClient(scripted.url.replace("whip", "whep")) as client:
        await client.start()
        assert await client.wait_connected(20.0)
        lose_address(probes=2)
        await asyncio.to_thread(wait_until, lambda: len(proxy.sessions) == 2)
        assert await client.wait_connected(20.0)
        await asyncio.to_thread(wait_until, lambda: "DELETE" in scripted.methods())
        await asyncio.to_thread(wait_until, lambda: len(server.peers) == 1)
        _assert_asked_for_a_restart(scripted, proxy.sessions[0], twice=refused == response(412))
        assert ("the ICE restart failed: no path within 3 s" in caplog.messages) == (refused is None)


def _assert_asked_for_a_restart(scripted: Server, session: str, *, twice: bool) -> None:
    patches = scripted.of("PATCH")
    assert [patch.headers["if-match"] for patch in patches] == ["*", '"*"'][: 2 if twice else 1]
    assert {patch.target for patch in patches} == {session}
    assert b"a=ice-ufrag:" in patches[0].body
    assert b"a=candidate:" in patches[0].body
    assert [request.target for request in scripted.of("DELETE")] == [session]


@covers("CL3")
async def test_missing_session_url_begins_new_session_immediately(
    server: bw.Server, lose_address: Callable[..., None]
) -> None:
    """As with go2rtc."""

    async def script(seen: Seen) -> bytes:
        headers = {"Content-Type": "application/sdp"}
        async with (
            aiohttp.ClientSession() as http,
            http.post(f"{server.url}whep", data=seen.body, headers=headers) as answer,
        ):
            return response(201, SDP, body=await answer.read())

    async with serving(script) as scripted, bw.aio.WhepClient(scripted.url) as client:
        await client.start()
        assert await client.wait_connected(20.0)
        lose_address(probes=2)
        await asyncio.to_thread(wait_until, lambda: scripted.methods() == ["POST", "POST"])
        assert await client.wait_connected(20.0)


def test_restarts_leak_no_sockets_or_threads(
    server: bw.Server, lose_address: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sockets of former paths are closed after a short delay."""
    monkeypatch.setattr(client_watch, "_PROBE_INTERVAL_S", 0.05)
    with bw.WhipClient(bw.Tone(), f"{server.url}whip") as client:
        connect(client)

        def restart(times: int) -> None:
            for _ in range(times):
                path = client.stats().local_address
                lose_address()
                wait_until(functools.partial(has_left, path))

        def has_left(path: str) -> bool:
            return client.connected and client.stats().local_address != path

        restart(2)
        before = own_descriptors()
        threads = own_threads()
        restart(10)
        wait_until(lambda: own_descriptors() <= before)
        assert own_threads() <= threads
        assert len(server.peers) == 1


@covers("CL10")
async def test_closing_during_restart_deletes_session(server: bw.Server, lose_address: Callable[..., None]) -> None:
    patched = asyncio.Event()

    async def patch() -> bytes:
        patched.set()
        await asyncio.Event().wait()
        raise AssertionError

    proxy = PatchProxy(server, patch)
    async with serving(proxy) as scripted:
        async with bw.aio.WhipClient(bw.Tone(), scripted.url) as client:
            await client.start()
            assert await client.wait_connected(20.0)
            lose_address()
            await asyncio.wait_for(patched.wait(), 5.0)
            assert not client.connected
        assert scripted.methods() == ["POST", "PATCH", "DELETE"]
    await asyncio.to_thread(wait_until, lambda: server.peers == ())
