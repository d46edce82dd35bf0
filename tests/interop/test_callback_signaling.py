"""Sendrecv on one connection with callback signaling: between two of our servers and with aiortc, in both roles."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

import bass_webrtc as bw
from support import netns, stun, usage
from support.aiortc_caller import Caller
from support.conformance import covers
from support.patience import wait_until
from support.publisher_recorder import Recorder, assert_tones, assert_tones_soon
from support.reruns import real_time_audio

pytestmark = real_time_audio

CALLBACK = bw.ServerConfig(signaling_mode="callback")
PORTS = bw.ServerConfig(http_port=0, udp_port=0)


@pytest.fixture
def server() -> Iterator[bw.Server]:
    with bw.Server(bw.Tone(440.0, 880.0), CALLBACK) as server:
        server.start()
        yield server


@pytest.mark.parametrize("config", [CALLBACK, PORTS], ids=["callback", "http"])
def test_two_servers_hear_each_other_on_one_connection(config: bw.ServerConfig, server: bw.Server) -> None:
    """One of them also serves HTTP. Both trickle; when one ends, so does the other."""
    with bw.Server(bw.Tone(500.0, 700.0), config) as other:
        other.start()
        connected: list[bw.Peer] = []
        for one in (server, other):
            one.on("peer_connected", connected.append)
        peer, offer = server.create_offer()
        peer_there, answer = other.add_peer(offer)
        peer.set_answer(answer)
        wait_until(lambda: len(connected) == 2)
        with Recorder(server.read_input) as here, Recorder(other.read_input) as there:
            assert_tones_soon(here, 500.0, 700.0, attempts=12)
            assert_tones_soon(there, 440.0, 880.0, attempts=12)
        for stats in (peer.stats(), peer_there.stats()):
            assert stats.kind == "sendrecv"
            assert stats.packets_sent > 50
            assert stats.packets_received > 50
            assert stats.packets_lost == 0
            assert stats.audio_level_dbfs == pytest.approx(-15.0, abs=1.0)
        wait_until(lambda: peer.stats().round_trip_time_ms is not None)
        server.remove_peer(peer.id)
        wait_until(lambda: other.peers == ())


@pytest.mark.parametrize("limit", ["b=AS:50", "a=fmtp:111 maxaveragebitrate=64000", "a=fmtp:111 stereo=0"])
def test_peer_that_allows_less_than_is_sent_hears_us(limit: str, server: bw.Server) -> None:
    """There is one encoding for all; the answer's limits are the peer's own."""
    with bw.Server(None, CALLBACK) as other:
        other.start()
        peer_there, offer = other.create_offer("publisher")
        lines = [line for line in offer.splitlines() if not (limit[0] == "a" and line.startswith("a=fmtp:111"))]
        at = next(
            number for number, line in enumerate(lines) if line.startswith("a=" if limit[0] == "b" else "a=rtpmap:111")
        )
        peer, answer = server.add_peer("\r\n".join([*lines[:at], limit, *lines[at:], ""]))
        peer_there.set_answer(answer)
        wait_until(lambda: peer_there.state == "connected")
        assert "this server sends" in peer.stats().exceeded_limits
        with Recorder(other.read_input) as heard:
            assert_tones_soon(heard, 440.0, 880.0)


def test_trickled_candidates_are_sufficient(server: bw.Server) -> None:
    """Descriptions without candidates, then single candidates before and after the answer (RFC 8838)."""
    with bw.Server(bw.Tone(), CALLBACK) as other:
        other.start()
        peer, offer = server.create_offer()
        peer_there, answer = other.add_peer(_without_candidates(offer))
        for text in _candidates(answer):
            peer.add_ice_candidate(text, "0", 0)  # Before the answer.
        peer.set_answer(_without_candidates(answer))
        for text in _candidates(offer):
            peer_there.add_ice_candidate(text, "0", 0)
        peer_there.add_ice_candidate("", "0", 0)
        wait_until(lambda: (peer.state, peer_there.state) == ("connected", "connected"))


def test_gain_and_own_stream_work_in_both_directions(server: bw.Server) -> None:
    with bw.Server(bw.Tone(500.0, 700.0), CALLBACK) as other:
        other.start()
        peer, offer = server.create_offer()
        peer_there, answer = other.add_peer(offer)
        peer.set_answer(answer)
        wait_until(lambda: peer.state == "connected")
        peer.gain = 0.5
        with Recorder(peer.read) as recorder:
            assert_tones_soon(recorder, 500.0, 700.0, level_dbfs=-18.0)
        peer_there.muted = True
        with Recorder(other.read_input) as recorder:
            recorder.take(1.0)
            assert abs(recorder.take(0.5)).max() < 0.001


@pytest.mark.parametrize("role", ["we offer", "we answer"])
async def test_aiortc_hears_us_and_is_heard(role: str, server: bw.Server) -> None:
    async with Caller(600.0) as caller:
        if role == "we offer":
            peer, offer = await asyncio.to_thread(server.create_offer)
            peer.set_answer(await caller.answer(offer))
        else:
            peer, answer = await asyncio.to_thread(server.add_peer, await caller.offer())
            await caller.take_answer(answer)
        heard = await caller.hear(2.0)
        assert_tones(heard, 440.0, 880.0)
        assert peer.kind == "sendrecv"
        with Recorder(server.read_input) as recorder:
            await asyncio.to_thread(assert_tones_soon, recorder, 600.0, 600.0)
    await asyncio.to_thread(wait_until, lambda: peer.state == "closed")


async def test_recvonly_answer_makes_the_peer_a_player(server: bw.Server) -> None:
    with bw.Server(None, CALLBACK) as other:
        other.start()
        peer, offer = server.create_offer()
        _, answer = other.add_peer(offer)
        peer.set_answer(answer)
        with Recorder(other.read_input) as recorder:
            await asyncio.to_thread(assert_tones_soon, recorder, 440.0, 880.0)
        assert peer.kind == "player"
        assert peer.stats().packets_received == 0


def _candidates(sdp: str) -> list[str]:
    return [line.removeprefix("a=") for line in sdp.splitlines() if line.startswith("a=candidate:")]


def _without_candidates(sdp: str) -> str:
    lines = [line for line in sdp.splitlines() if not line.startswith(("a=candidate:", "a=end-of-candidates"))]
    return "".join(f"{line}\r\n" for line in lines)


class LateStun(asyncio.DatagramProtocol):
    """A STUN server that answers after the gathering timeout."""

    def __init__(self, delay_s: float) -> None:
        self._delay_s = delay_s

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        mapped = stun.success(stun.decode(data), None, "203.0.113.50", addr[1])
        asyncio.get_running_loop().call_later(self._delay_s, self._transport.sendto, mapped, addr)


async def test_late_candidates_are_trickled_and_followed_by_end_of_candidates() -> None:
    """The description has no end-of-candidates, so an event signals it (RFC 8838, 8 and 13)."""
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: LateStun(1.0), local_addr=("127.0.0.1", 0))
    url = f"stun:127.0.0.1:{transport.get_extra_info('sockname')[1]}"
    told: list[tuple[str, str, int]] = []
    config = bw.ServerConfig(signaling_mode="callback", ice_servers=(bw.IceServer(url),))
    with bw.Server(bw.Tone(), config) as server:
        server.on("ice_candidate", lambda _peer, *candidate: told.append(candidate))
        server.start()
        _, offer = await asyncio.to_thread(server.create_offer)
        assert "a=end-of-candidates" not in offer
        assert told == []
        await asyncio.to_thread(wait_until, lambda: told and told[-1][0] == "")
    transport.close()
    assert "203.0.113.50" not in offer
    assert all("203.0.113.50" in text and " typ srflx " in text for text, *_ in told[:-1])
    assert len(told) > 1
    assert {(mid, index) for _, mid, index in told} == {("0", 0)}


def test_ended_calls_leak_nothing(server: bw.Server) -> None:
    """Whichever side ends them: sockets, descriptors, threads and slots return to their counts before."""
    with bw.Server(bw.Tone(), CALLBACK) as other:
        other.start()

        def call(ender: bw.Server) -> None:
            peer, offer = server.create_offer()
            _, answer = other.add_peer(offer)
            peer.set_answer(answer)
            wait_until(lambda: [one.state for one in (*server.peers, *other.peers)] == ["connected"] * 2)
            ender.peers[0].close()
            wait_until(lambda: server.peers == other.peers == ())

        call(server)  # The first call opens both bridges, which stay open.
        time.sleep(0.5)
        idle, threads = usage.descriptors(os.getpid()), usage.threads(os.getpid())
        for _ in range(5):
            call(server)
            call(other)
        wait_until(lambda: usage.descriptors(os.getpid()) == idle)
        assert usage.threads(os.getpid()) == threads


def test_stop_during_add_peer_raises_closed_error(dead_stun: bw.IceServer) -> None:
    """``add_peer`` waits for a STUN server while another thread stops the server."""
    config = bw.ServerConfig(signaling_mode="callback", ice_servers=(dead_stun,))
    with bw.Server(bw.Tone(), config) as server:
        server.start()
        with ThreadPoolExecutor() as threads:
            offers = [threads.submit(server.create_offer) for _ in range(3)]
            wait_until(lambda: len(server.peers) == 3)
            server.stop()
            for offer in offers:
                with pytest.raises(bw.ClosedError, match="stop"):
                    offer.result(5.0)
        assert server.peers == ()


def test_several_calls_are_heard_on_separate_streams(server: bw.Server) -> None:
    """Each call has its own stream, and all of them hear the one source."""
    tones_hz = (500.0, 600.0, 700.0)
    with ExitStack() as stack:
        for hz in tones_hz:
            other = stack.enter_context(bw.Server(bw.Tone(hz), CALLBACK))
            other.start()
            _, offer = other.create_offer()
            _, answer = server.add_peer(offer)
            other.peers[0].set_answer(answer)
            stack.enter_context(Recorder(other.read_input)).wait_for_sound()
        wait_until(lambda: [peer.state for peer in server.peers] == ["connected"] * 3)
        recorders = [stack.enter_context(Recorder(peer.read)) for peer in server.peers]
        for hz, recorder in zip(tones_hz, recorders, strict=True):
            assert_tones_soon(recorder, hz, hz, attempts=12)


@covers("SE30")
def test_loopback_candidates_of_a_peer_are_not_checked(hosts: tuple[netns.Host, netns.Host]) -> None:
    """A peer must not make us send checks to services on our loopback interface."""
    at_server, at_peer = hosts
    places = ((at_server, "127.0.0.1"), (at_server, "127.0.0.2"), (at_peer, "10.77.0.2"))
    with ExitStack() as stack:
        services: list[socket.socket] = []
        for host, address in places:
            with host.entered():
                one = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
                one.bind((address, 0))
            services.append(one)
        server, other = (stack.enter_context(bw.Server(bw.Tone(), CALLBACK)) for _ in range(2))
        for started in (server, other):
            with at_server.entered():
                started.start()
        _, offer = other.create_offer()
        peer, _ = server.add_peer(_without_candidates(offer))
        # The allowed candidate comes last, so checks to the others would have arrived before.
        for priority, one in zip((300, 200, 100), services, strict=True):
            host_asked, port = one.getsockname()
            peer.add_ice_candidate(f"candidate:1 1 udp {priority} {host_asked} {port} typ host", "0", 0)
        services[-1].settimeout(10.0)
        assert services[-1].recv(2048)
        for one in services[:-1]:
            one.setblocking(False)
            with pytest.raises(BlockingIOError):
                one.recv(2048)
