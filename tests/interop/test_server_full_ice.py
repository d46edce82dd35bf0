"""Our server with ``ice_servers``: WHIP and WHEP with full ICE, dead STUN servers, and changing addresses."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import aiohttp
import pytest

import bass_webrtc as bw
from bass_webrtc.bass import find_bass
from bass_webrtc.rtc import consent
from bass_webrtc.rtc.candidate import Candidate
from bass_webrtc.rtc.sdp import IceCredentials
from bass_webrtc.server import peers as server_peers
from support import aiortc_player, coturn, netns
from support.certificates import write_certificate
from support.client_peers import connect
from support.conformance import covers
from support.coturn import Coturn
from support.fixtures import skip_for
from support.ice_peer import IcePeer
from support.patience import wait_until
from support.publisher_ffmpeg import FfmpegPublisher, missing_ffmpeg
from support.publisher_recorder import Recorder, assert_tones, assert_tones_soon
from support.reruns import real_time_audio

pytestmark = real_time_audio

SDP, FRAGMENT = "application/sdp", "application/trickle-ice-sdpfrag"


@pytest.fixture
def server(dead_stun: bw.IceServer) -> Iterator[bw.Server]:
    config = bw.ServerConfig(http_port=0, ice_servers=(dead_stun,), max_peers_per_address=5)
    with bw.Server(bw.Tone(440.0, 880.0), config) as server:
        server.start()
        yield server


def offer(peer: IceCredentials) -> str:
    """An offer of a player without candidates."""
    fingerprint = ":".join(["AB"] * 32)
    lines = [
        *("v=0", "o=- 1 1 IN IP4 0.0.0.0", "s=-", "t=0 0", "m=audio 9 UDP/TLS/RTP/SAVPF 111", "c=IN IP4 0.0.0.0"),
        *(
            "a=mid:0",
            "a=recvonly",
            "a=rtpmap:111 opus/48000/2",
            "a=rtcp-mux",
            "a=setup:actpass",
            "a=ice-options:trickle",
        ),
        *(f"a=fingerprint:sha-256 {fingerprint}", f"a=ice-ufrag:{peer.ufrag}", f"a=ice-pwd:{peer.password}"),
    ]
    return "".join(f"{line}\r\n" for line in lines)


async def post(http: aiohttp.ClientSession, url: str, sdp: str) -> tuple[str, str, str, float]:
    """Return session URL, entity tag, answer and the seconds it took."""
    start_s = time.monotonic()
    async with http.post(url, data=sdp.encode(), headers={"Content-Type": SDP}) as response:
        answer = await response.text()
        took_s = time.monotonic() - start_s
        assert response.status == 201, answer
        return urljoin(url, response.headers["Location"]), response.headers["ETag"], answer, took_s


async def patch(http: aiohttp.ClientSession, session: str, tag: str, *lines: str) -> tuple[int, str]:
    fragment = "".join(f"{line}\r\n" for line in lines).encode()
    headers = {"Content-Type": FRAGMENT, "If-Match": tag}
    async with http.patch(session, data=fragment, headers=headers) as response:
        return response.status, await response.text()


def test_push_and_pull_are_heard(server: bw.Server) -> None:
    assert server.udp_port == 0
    with (
        bw.WhipClient(bw.Tone(500.0, 700.0), f"{server.url}whip") as push,
        bw.WhepClient(f"{server.url}whep") as pull,
    ):
        connect(push)
        connect(pull)
        with Recorder(server.read_input) as here, Recorder(pull.read) as there:
            assert_tones_soon(here, 500.0, 700.0)
            assert_tones_soon(there, 440.0, 880.0)
        assert {peer.kind for peer in server.peers} == {"player", "publisher"}
    wait_until(lambda: server.peers == ())


async def test_aiortc_plays(server: bw.Server) -> None:
    heard = await aiortc_player.listen(f"{server.url}whep", 2.0)
    assert_tones(heard.samples[48_000:], 440.0, 880.0)
    assert heard.delete_status == 200
    await asyncio.to_thread(wait_until, lambda: server.peers == ())


def test_ffmpeg_publishes(server: bw.Server, tmp_path: Path) -> None:
    """FFmpeg checks one candidate of our answer, without PRIORITY, and answers our check."""
    skip_for(missing_ffmpeg())
    with FfmpegPublisher(f"{server.url}whip", 500.0, 700.0, *write_certificate(tmp_path)) as ffmpeg:
        assert ffmpeg.failure == ""
        with Recorder(server.read_input) as heard:
            assert_tones_soon(heard, 500.0, 700.0)
        (peer,) = server.peers
        assert peer.kind == "publisher"
    wait_until(lambda: server.peers == ())


@pytest.fixture(params=["stun", "turn over tcp", "turn over tls", "a name"])
def dead_server(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[bw.IceServer]:
    """An ICE server that accepts requests or connections and never answers, or whose name does not resolve."""
    with contextlib.ExitStack() as stack:
        if request.param == "stun":
            yield request.getfixturevalue("dead_stun")
        elif request.param == "a name":
            asked = stack.enter_context(names_unanswered(monkeypatch))
            yield bw.IceServer("stun:stun.example")
            assert asked
        else:
            silent = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            scheme = "turns" if request.param == "turn over tls" else "turn"
            yield bw.IceServer(f"{scheme}:127.0.0.1:{silent.getsockname()[1]}?transport=tcp", "user", "password")


@contextlib.contextmanager
def names_unanswered(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Make name lookups take as long as the block; yield the names."""
    answered, asked = threading.Event(), list[str]()
    real = socket.getaddrinfo

    def look_up(host: Any, *arguments: Any, **more: Any) -> Any:
        if str(host).endswith(".example"):
            asked.append(host)
            answered.wait(60.0)
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return real(host, *arguments, **more)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    yield asked
    answered.set()


@covers("WS3")
@pytest.mark.parametrize("signal", ["POST", "PATCH", "add_peer", "create_offer"])
async def test_dead_ice_server_delays_an_answer_by_less_than_half_a_second(
    signal: str, dead_server: bw.IceServer
) -> None:
    """Over HTTP the answer has all candidates and end-of-candidates: a server does not trickle. Calls do."""
    config = bw.ServerConfig(http_port=0, ice_servers=(dead_server,))
    theirs = IceCredentials.generate()
    with bw.Server(bw.Tone(), config) as server:
        server.start()
        async with aiohttp.ClientSession() as http:
            if signal in ("POST", "PATCH"):
                session, tag, told, took_s = await post(http, f"{server.url}whep", offer(theirs))
            if signal == "PATCH":
                again = IceCredentials.generate()
                mine = [f"a=ice-ufrag:{again.ufrag}", f"a=ice-pwd:{again.password}", "m=audio 9 RTP/AVP 0", "a=mid:0"]
                start_s = time.monotonic()
                status, told = await patch(http, session, tag, *mine)
                took_s = time.monotonic() - start_s
                assert status == 200
        start_s = time.monotonic()
        if signal == "add_peer":
            _, told = await asyncio.to_thread(server.add_peer, offer(theirs))
            took_s = time.monotonic() - start_s
        elif signal == "create_offer":
            _, told = await asyncio.to_thread(server.create_offer)
            took_s = time.monotonic() - start_s
        start_s = time.monotonic()
        await asyncio.to_thread(server.stop)
        assert time.monotonic() - start_s < 3.0
    assert took_s < 0.5
    assert "typ host" in told
    assert "a=ice-lite" not in told
    assert ("a=end-of-candidates\r\n" in told) == (signal in ("POST", "PATCH"))


@covers("WS29")
async def test_trickled_address_is_checked(server: bw.Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """The peer has no candidate in its offer and sends no check: only PATCH can tell us. Host names are ignored."""
    monkeypatch.setattr(server_peers, "local_addresses", lambda: ["127.0.0.1"])  # Allow checks to loopback.
    theirs = IceCredentials.generate()
    async with aiohttp.ClientSession() as http:
        session, tag, answer, _ = await post(http, f"{server.url}whep", offer(theirs))
        peer = await IcePeer.open(_credentials(answer), theirs)
        name = Candidate("2", 1, "udp", 1, "3f2c8a1e.local", 5000, "host")
        lines = [f"a={one.to_sdp()}" for one in (name, peer.candidate)]
        mine = [f"a=ice-ufrag:{theirs.ufrag}", f"a=ice-pwd:{theirs.password}", "m=audio 9 RTP/AVP 0", "a=mid:0"]
        assert (await patch(http, session, tag, *mine, *lines, "a=end-of-candidates"))[0] == 204
        await asyncio.to_thread(wait_until, lambda: peer.requests)
        peer.transport.close()


@covers("WS26", "WS27")
async def test_restart_answers_new_credentials_and_all_candidates(
    server: bw.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_peers, "local_addresses", lambda: ["127.0.0.1"])
    first, second = IceCredentials.generate(), IceCredentials.generate()
    async with aiohttp.ClientSession() as http:
        session, tag, answer, _ = await post(http, f"{server.url}whep", offer(first))
        before = _credentials(answer)
        # The peer is not controlling, so it sends no checks itself.
        peer = await IcePeer.open(before, second)
        mine = [f"a=ice-ufrag:{second.ufrag}", f"a=ice-pwd:{second.password}", "m=audio 9 RTP/AVP 0", "a=mid:0"]
        status, fragment = await patch(http, session, tag, *mine, f"a={peer.candidate.to_sdp()}")
        after = _credentials(fragment)
        assert status == 200
        assert after.ufrag != before.ufrag
        assert after.password != before.password
        assert "typ host" in fragment
        assert "a=end-of-candidates\r\n" in fragment
        assert "a=ice-options:trickle\r\n" in fragment
        await asyncio.to_thread(wait_until, lambda: peer.requests)
        assert (await patch(http, session, tag, *mine))[0] == 412
        peer.transport.close()
    assert [one.state for one in server.peers] == ["connecting"]


@covers("WS28")
def test_clients_with_a_new_address_recover_within_five_seconds(
    hosts: tuple[netns.Host, netns.Host], dead_stun: bw.IceServer
) -> None:
    """Our clients restart ICE by PATCH; the server answers with a new agent, which takes over once it has a pair.
    Sessions and BASS streams stay the same."""
    find_bass().try_call("BASS_Init", 0, 48_000, 0, None, None)
    at_server, at_client = hosts
    config = bw.ServerConfig(http_host="10.77.0.1", http_port=0, ice_servers=(dead_stun,))
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(bw.Server(bw.Tone(440.0, 880.0), config))
        with at_server.entered():
            server.start()
        pull = stack.enter_context(bw.WhepClient(f"{server.url}whep"))
        push = stack.enter_context(bw.WhipClient(bw.Tone(500.0, 700.0), f"{server.url}whip"))
        with at_client.entered():
            for client in (pull, push):
                connect(client)
        peers = server.peers
        assert [peer.remote_address.partition(":")[0] for peer in peers] == ["10.77.0.2"] * 2
        streams = pull.stream, server.input_stream
        assert all(streams)
        there = stack.enter_context(Recorder(pull.read))
        here = stack.enter_context(Recorder(server.read_input))
        for recorder in (here, there):
            recorder.wait_for_sound()
        at_client.ip("link", "set", "wire0", "down")
        at_client.ip("address", "flush", "dev", "wire0")
        at_client.ip("address", "add", "10.77.0.3/24", "dev", "wire0")
        at_client.ip("link", "set", "wire0", "up")
        start_s = time.monotonic()
        wait_until(lambda: all(peer.remote_address.startswith("10.77.0.3:") for peer in peers), 20.0)
        for recorder in (here, there):
            recorder.wait_for_sound()
        assert time.monotonic() - start_s < 5.0
        assert_tones_soon(here, 500.0, 700.0, attempts=12)
        assert_tones_soon(there, 440.0, 880.0, attempts=12)
        assert server.peers == peers
        assert [peer.state for peer in peers] == ["connected"] * 2
        assert (pull.stream, server.input_stream) == streams


@covers("SE20")
def test_vanished_peer_is_ended_by_consent_with_its_reason(
    hosts: tuple[netns.Host, netns.Host], dead_stun: bw.IceServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """30 s are shortened to 3 s; the rule itself is tested in virtual time."""
    monkeypatch.setattr(consent, "CONSENT_LIFETIME_S", 3.0)
    monkeypatch.setattr(consent, "_INTERVAL_S", 0.5)
    at_server, at_client = hosts
    ended = threading.Event()
    reasons: list[str] = []
    config = bw.ServerConfig(http_host="10.77.0.1", http_port=0, ice_servers=(dead_stun,))
    with bw.Server(bw.Tone(), config) as server:
        server.on("peer_disconnected", lambda _peer, reason: reasons.append(reason))
        server.on("peer_disconnected", lambda _peer, _reason: ended.set())
        with at_server.entered():
            server.start()
        with at_client.entered():
            client = bw.WhepClient(f"{server.url}whep", reconnect=False)
            connect(client)
        try:
            wait_until(lambda: server.peers and server.peers[0].state == "connected")
            at_server.ip("link", "set", "wire0", "down")
            start_s = time.monotonic()
            assert ended.wait(10.0)
            assert 2.0 < time.monotonic() - start_s < 5.0
            assert reasons == ["consent expired: the peer answered no check for 30 s"]
            assert server.peers == ()
        finally:
            client.close()


def _credentials(text: str) -> IceCredentials:
    found = dict(re.findall(r"a=ice-(ufrag|pwd):(\S+)", text))
    return IceCredentials(found["ufrag"], found["pwd"])


@covers("SE31")
def test_relay_only_announces_and_uses_relays_only(tmp_path: Path) -> None:
    skip_for(coturn.missing())
    with Coturn(tmp_path) as turn:
        server_of = turn.server("udp")
        relay = bw.IceServer(turn.url("udp"), server_of.username, server_of.credential)
        config = bw.ServerConfig(http_port=0, ice_servers=(relay,), ice_relay_only=True)
        with bw.Server(bw.Tone(440.0, 880.0), config) as server:
            server.start()
            _, described = server.create_offer()
            candidates = re.findall(r"a=candidate:.*? typ (\w+)(.*)\r", described)
            assert [kind for kind, _ in candidates] == ["relay"]
            assert candidates[0][1] == " raddr 0.0.0.0 rport 9"
            server.remove_peer(0)
            with bw.WhepClient(f"{server.url}whep") as client:
                connect(client)
                with Recorder(client.read) as heard:
                    assert_tones_soon(heard, 440.0, 880.0)
                assert client.stats().remote_address.startswith("127.0.0.1:")


@covers("SE51")
def test_audio_continues_while_its_allocation_is_refreshed(tmp_path: Path) -> None:
    """aioice refreshes it after five sixths of its lifetime (RFC 8656, 8): 600 s by default, 6 s here.
    coturn counts whole seconds."""
    skip_for(coturn.missing())
    with Coturn(tmp_path, allocation_lifetime_s=6) as turn:
        config = bw.ServerConfig(http_port=0, ice_servers=turn.ice_servers("udp")[1:], ice_relay_only=True)
        with bw.Server(bw.Tone(440.0, 880.0), config) as server:
            server.start()
            with bw.WhepClient(f"{server.url}whep", reconnect=False) as client:
                connect(client)
                with Recorder(client.read) as heard:
                    wait_until(lambda: client.stats().connected_s > 7.5)
                    assert_tones(heard.last(1.0), 440.0, 880.0)
                assert client.stats().packets_lost == 0
        assert re.search(r": refreshed, .* lifetime=6\n", turn.log())
