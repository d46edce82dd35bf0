"""Clients at servers that refuse, redirect, or make a counter-offer."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import ssl
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import numpy as np
import pytest
from client_servers import LOCATION, SDP, Seen, named_elsewhere, response, serving

import bass_webrtc as bw
from bass_webrtc.client.run import ClientRun, ice_settings
from bass_webrtc.config import StreamConfig
from bass_webrtc.core import Engine
from bass_webrtc.peer.full import FullConnection
from bass_webrtc.peer.host import Connection, EngineHost
from bass_webrtc.rtc.negotiation import read_answer
from bass_webrtc.sources import open_for_core
from support.certificates import write_certificate
from support.conformance import covers
from support.patience import wait_until

TOKEN = "s3cret-t0ken"


@pytest.fixture
def server() -> Iterator[bw.Server]:
    config = bw.ServerConfig(http_port=0, udp_port=0, max_peers=1)
    with bw.Server(bw.Tone(), config) as server:
        server.start()
        yield server


@covers("CL12")
@pytest.mark.parametrize("token", [None, "wrong"])
def test_wrong_token_fails_at_once(token: str | None) -> None:
    """401 is not retried; the error does not show the token."""
    config = bw.ServerConfig(http_port=0, udp_port=0, token=TOKEN)
    with bw.Server(bw.Tone(), config) as server:
        server.start()
        with bw.WhepClient(f"{server.url}whep", token) as client:
            client.start()
            start_s = time.monotonic()
            with pytest.raises(bw.SignalingError) as caught:
                client.wait_connected(20.0)
            assert time.monotonic() - start_s < 5.0
            assert caught.value.status == 401
            assert "wrong" not in str(caught.value)
        with bw.WhepClient(f"{server.url}whep", TOKEN) as client:
            client.start()
            assert client.wait_connected(20.0)


def test_without_reconnect_first_failure_is_final() -> None:
    with bw.WhepClient("http://127.0.0.1:1/whep", reconnect=False) as client:
        client.start()
        with pytest.raises(bw.SignalingError):
            client.wait_connected(20.0)


@covers("SE8")
async def test_each_attempt_uses_a_new_key_pair() -> None:
    async with serving(lambda seen: response(503, ("Retry-After", "0"))) as server:
        with bw.WhipClient(bw.Tone(), f"{server.origin}/whip") as client:
            await asyncio.to_thread(client.start)
            await asyncio.to_thread(wait_until, lambda: len(server.requests) > 1)
            await asyncio.to_thread(client.stop)
        fingerprints = {re.findall(rb"a=fingerprint:(\S+ \S+)", seen.body)[0] for seen in server.requests[:2]}
        assert len(fingerprints) == 2


@covers("CL12")
def test_push_that_is_ended_at_once_asks_for_another_publisher(caplog: pytest.LogCaptureFixture) -> None:
    """MediaMTX ends a push when another one of the same path begins."""
    caplog.set_level(logging.INFO, "bass_webrtc.client.run")
    with bw.Server(None, bw.ServerConfig(http_port=0, udp_port=0)) as server:
        server.on("peer_connected", lambda peer: peer.close())
        server.start()
        with bw.WhipClient(bw.Tone(), f"{server.url}whip") as client:
            client.start()
            wait_until(lambda: "is another publisher on this path?; next attempt in" in caplog.text)
    assert re.search(r"the session ended [0-2]\.[0-9] s after it began", caplog.text)


def test_two_pushes_on_one_path_wait_longer_and_longer(caplog: pytest.LogCaptureFixture) -> None:
    """A server that allows one publisher, and ends the former one, as MediaMTX does."""
    caplog.set_level(logging.INFO, "bass_webrtc.client.run")
    lock, publishing = threading.Lock(), list[bw.Peer]()

    def take_the_path(peer: bw.Peer) -> None:
        with lock:
            publishing.append(peer)
            for former in publishing[:-1]:
                former.close()

    with bw.Server(None, bw.ServerConfig(http_port=0, udp_port=0)) as server:
        server.on("peer_connected", take_the_path)
        server.start()
        with (
            bw.WhipClient(bw.Tone(), f"{server.url}whip") as one,
            bw.WhipClient(bw.Tone(), f"{server.url}whip") as other,
        ):
            one.start()
            assert one.wait_connected(20.0)
            other.start()

            def waits_s() -> list[float]:
                return [float(text) for text in re.findall(r"on this path\?; next attempt in (\S+) s", caplog.text)]

            wait_until(lambda: max(waits_s(), default=0.0) > 1.2, 30.0)
            assert len(waits_s()) <= 12, waits_s()
            assert one.connected or other.connected


@covers("CL12")
def test_client_retries_a_full_server_after_retry_after(server: bw.Server) -> None:
    """503 with ``Retry-After: 5``."""
    with bw.WhepClient(f"{server.url}whep") as first, bw.WhepClient(f"{server.url}whep") as second:
        first.start()
        assert first.wait_connected(20.0)
        second.start()
        start_s = time.monotonic()
        assert not second.wait_connected(1.0)
        first.close()
        assert second.wait_connected(20.0)
        assert time.monotonic() - start_s >= 5.0


@covers("CL2", "CL12", "CL22")
async def test_client_retries_after_409_and_follows_307(server: bw.Server) -> None:
    """409 with ``Retry-After: 1``, then 307 to the URL of the stream."""
    posts: list[float] = []

    def script(seen: Seen) -> bytes:
        posts.append(time.monotonic())
        if len(posts) == 1:
            return response(409, ("Retry-After", "1"))
        return response(307, ("Location", f"{server.url}whep"))

    async with serving(script) as scripted, bw.aio.WhepClient(scripted.url) as client:
        await client.start()
        assert await client.wait_connected(20.0)
        assert len(posts) == 2
        assert posts[1] - posts[0] >= 1.0


@covers("CL11", "SE66")
async def test_token_is_sent_to_trusted_origins_only(server: bw.Server, monkeypatch: pytest.MonkeyPatch) -> None:
    name = named_elsewhere(monkeypatch)

    def script(_: Seen) -> bytes:
        return response(307, ("Location", f"{origin}/whep"))

    def other_script(seen: Seen) -> bytes:
        return response(307, ("Location", f"{server.url}whep")) if "authorization" in seen.headers else response(403)

    async with serving(other_script) as other, serving(script) as scripted:
        origin = f"http://{name}:{other.port}"
        async with bw.aio.WhepClient(scripted.url, TOKEN) as client:
            await client.start()
            with pytest.raises(bw.SignalingError, match="the token was not sent"):
                await client.wait_connected(20.0)
        async with bw.aio.WhepClient(scripted.url, TOKEN, trusted_origins=[origin]) as client:
            await client.start()
            assert await client.wait_connected(20.0)
    with pytest.raises(bw.ConfigError, match="trusted_origins"):
        bw.WhipClient(bw.Tone(), "https://a.example/whip", trusted_origins=["a.example"])


@covers("SE66")
async def test_private_networks_can_be_forbidden(server: bw.Server) -> None:
    async with serving(lambda _: response(307, ("Location", f"{server.url}whip"))) as scripted:
        url = scripted.url.replace("127.0.0.1", "localhost")
        async with bw.aio.WhipClient(bw.Tone(), url) as client:
            await client.start()
            assert await client.wait_connected(20.0)
        async with bw.aio.WhipClient(bw.Tone(), url, forbid_private=True) as client:
            await client.start()
            with pytest.raises(bw.SignalingError, match="private network"):
                await client.wait_connected(20.0)


def test_custom_certificate_authority_is_trusted(tmp_path: Path) -> None:
    certificate, key = write_certificate(tmp_path)
    config = bw.ServerConfig(http_port=0, udp_port=0, tls_certificate=certificate, tls_key=key)
    context = ssl.create_default_context(cafile=certificate)
    with bw.Server(bw.Tone(), config) as server:
        server.start()
        with bw.WhepClient(f"{server.url}whep") as client:
            client.start()
            with pytest.raises(bw.SignalingError, match="certificate"):
                client.wait_connected(20.0)
        for trusting in (
            bw.WhipClient(bw.Tone(), f"{server.url}whip", tls=context),
            bw.WhepClient(f"{server.url}whep", tls=context),
        ):
            with trusting:
                trusting.start()
                assert trusting.wait_connected(20.0)


class Offerer:
    """A server that makes a counter-offer: 406 with an offer and more fields, then PATCH with the answer."""

    def __init__(self, *fields: tuple[str, str]) -> None:
        self._fields = fields
        config = StreamConfig()
        self._host = EngineHost(Engine(config, 1, open_for_core(bw.Tone()).handle), 1)
        self._host.start()
        self.connected = asyncio.Event()
        self._connection = FullConnection(self._host, "player", config, self, ice_settings("127.0.0.1"), offers=True)

    def state_changed(self, connection: Connection) -> None:
        if connection.state == "connected":
            self.connected.set()

    def loss_reported(self) -> None: ...

    def trickle(self, *_: object) -> None: ...

    async def __call__(self, seen: Seen) -> bytes:
        if seen.method == "POST":
            return response(406, SDP, LOCATION, *self._fields, body=await self._connection.make_offer())
        if seen.method == "PATCH":
            self._connection.take_answer(read_answer(seen.body.decode(), self._connection.offer_sdp))
            return response(204)
        return response(200)

    async def hang_up(self) -> None:
        await self._connection.close()
        await self._connection.wait_closed()

    async def close(self) -> None:
        await self.hang_up()
        self._host.stop()
        self._host.close()


class ReorderingOfferer(Offerer):
    """Its sections have another order and other mids than those of the client's offer: video first."""

    async def __call__(self, seen: Seen) -> bytes:
        if seen.method == "POST":
            await super().__call__(seen)
            head, audio = self._renamed().split("m=audio")
            video = "m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:v\r\na=sendonly\r\na=rtpmap:96 VP8/90000\r\n"
            return response(406, SDP, LOCATION, body=f"{head}{video}m=audio{audio}")
        if seen.method == "PATCH":
            head, video, audio = re.split(r"(?m)^(?=m=)", seen.body.decode())
            assert video.startswith("m=video 0 ")
            self._connection.take_answer(read_answer(head + audio, self._renamed()))
            return response(204)
        return response(200)

    def _renamed(self) -> str:
        return self._connection.offer_sdp.replace("BUNDLE 0", "BUNDLE v sound").replace("a=mid:0", "a=mid:sound")


@contextlib.asynccontextmanager
async def _answered_offer(offerer: Offerer) -> AsyncIterator[bw.aio.WhepClient]:
    """Connect a client to it; check the answer and the DELETE at the end."""
    try:
        async with serving(offerer) as scripted:
            async with bw.aio.WhepClient(scripted.url) as client:
                await client.start()
                assert await client.wait_connected(20.0)
                yield client
            (answer,) = scripted.of("PATCH")
            assert answer.headers["content-type"] == "application/sdp"
            assert b"a=recvonly\r\n" in answer.body
            assert scripted.methods() == ["POST", "PATCH", "DELETE"]
    finally:
        await offerer.close()


@covers("CL20", "CL21")
async def test_counter_offer_with_sections_in_another_order_is_answered() -> None:
    async with _answered_offer(ReorderingOfferer()):
        pass


@covers("CL20", "CL21")
async def test_counter_offer_is_answered_and_heard() -> None:
    """The answer to the 406 is a PATCH with recvonly; DELETE is sent at the end."""
    offerer = Offerer()
    async with _answered_offer(offerer) as client:
        await asyncio.wait_for(offerer.connected.wait(), 5.0)
        tone = pytest.approx(10 ** (-12 / 20), rel=0.15)
        await asyncio.to_thread(wait_until, lambda: np.abs(client.read(960)).max() == tone)


@covers("CL5")
async def test_client_tries_again_if_the_connection_ends_before_the_ice_servers_of_the_answer_are_queried() -> None:
    offerer = Offerer(("Link", '<stun:127.0.0.1:9>; rel="ice-server"'))

    async def script(seen: Seen) -> bytes:
        if seen.method == "POST" and offerer.connected.is_set():
            return response(403)
        answer = await offerer(seen)
        if seen.method == "PATCH":
            await offerer.connected.wait()
            await offerer.hang_up()
            await asyncio.to_thread(wait_until, lambda: client.stats().state == "closed")
        return answer

    try:
        async with serving(script) as scripted, bw.aio.WhepClient(scripted.url) as client:
            await client.start()
            await asyncio.to_thread(wait_until, lambda: len(scripted.of("POST")) == 2)
            with pytest.raises(bw.SignalingError, match="403"):
                await client.wait_connected(20.0)
    finally:
        await offerer.close()


@covers("CL13")
def test_unusable_answer_is_an_error_and_the_session_is_deleted() -> None:
    """An answer without DTLS."""

    async def methods() -> list[str]:
        sdp = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n"
        script = response(201, SDP, LOCATION, body=sdp)
        async with serving(lambda seen: script if seen.method == "POST" else response(200)) as scripted:
            async with bw.aio.WhepClient(scripted.url) as client:
                await client.start()
                with pytest.raises(bw.SdpError):
                    await client.wait_connected(20.0)
            return scripted.methods()

    assert asyncio.run(methods()) == ["POST", "DELETE"]


def test_internal_error_ends_wait_connected(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: object) -> str:
        raise ZeroDivisionError

    monkeypatch.setattr(ClientRun, "_attempt", fail)
    with bw.WhepClient("http://127.0.0.1:1/whep") as client:
        client.start()
        with pytest.raises(bw.BassWebRtcError, match="ZeroDivisionError"):
            client.wait_connected(20.0)


def test_constructors_check_their_arguments() -> None:
    for make in (
        lambda: bw.WhipClient(None, "http://127.0.0.1/whip"),
        lambda: bw.WhipClient(bw.Tone(), "ftp://127.0.0.1/whip"),
        lambda: bw.WhepClient("http://127.0.0.1/whep", buffer_ms=0),
        lambda: bw.WhepClient("http://127.0.0.1/whep", token="two words"),
        lambda: bw.WhepClient("http://127.0.0.1/whep", ice_servers=[bw.IceServer("http://127.0.0.1")]),
    ):
        with pytest.raises(bw.ConfigError):
            make()


def test_client_does_not_run_if_its_source_cannot_be_opened() -> None:
    with bw.WhipClient(bw.BassFile("/nowhere.mp3"), "http://127.0.0.1:1/whip") as client:
        with pytest.raises(bw.BassWebRtcError):
            client.start()
        assert not client.running
        assert not client.wait_connected(1.0)
