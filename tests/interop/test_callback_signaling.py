"""Sendrecv on one connection, signaled by the program: between our own servers, and with aiortc, in both roles."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

import bass_webrtc as bw
from support.aiortc_caller import Caller
from support.client_peers import wait_until
from support.publisher_recorder import Recorder, assert_tones, assert_tones_soon

CALLBACK = bw.ServerConfig(signaling_mode="callback")
PORTS = bw.ServerConfig(http_port=0, udp_port=0)


@pytest.fixture
def server() -> Iterator[bw.Server]:
    with bw.Server(bw.Tone(440.0, 880.0), CALLBACK) as server:
        server.start()
        yield server


@pytest.mark.parametrize("config", [CALLBACK, PORTS], ids=["callback", "http"])
def test_two_servers_hear_each_other_on_one_connection(config: bw.ServerConfig, server: bw.Server) -> None:
    """Also one that serves HTTP besides. Both may trickle; both end when one does."""
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
            assert_tones_soon(here, 500.0, 700.0)
            assert_tones_soon(there, 440.0, 880.0)
        for stats in (peer.stats(), peer_there.stats()):
            assert stats.kind == "sendrecv"
            assert stats.packets_sent > 50
            assert stats.packets_received > 50
            assert stats.packets_lost == 0
            assert stats.audio_level_dbfs == pytest.approx(-15.0, abs=1.0)
        wait_until(lambda: peer.stats().round_trip_time_ms is not None)
        server.remove_peer(peer.id)
        wait_until(lambda: other.peers == ())


def test_candidates_alone_are_enough_when_they_are_trickled(server: bw.Server) -> None:
    """RFC 8838: descriptions without candidates, then each candidate by itself, before the answer and after it."""
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


def test_the_fader_and_a_stream_of_its_own_work_in_both_directions(server: bw.Server) -> None:
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


async def test_who_only_listens_to_what_we_offer_becomes_a_player(server: bw.Server) -> None:
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
