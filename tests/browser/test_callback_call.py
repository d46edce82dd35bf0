"""Calls between Chromium and our server over callback signaling: both roles, candidates trickled both ways."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

import bass_webrtc as bw
from support.browsers import Chromium
from support.page_caller import PageCaller
from support.patience import wait_until
from support.publisher_recorder import Recorder, assert_tones_soon
from support.reruns import real_time_audio

pytestmark = real_time_audio


@pytest.fixture
def server() -> Iterator[bw.Server]:
    with bw.Server(bw.Tone(440.0, 880.0), bw.ServerConfig(signaling_mode="callback")) as server:
        server.start()
        yield server


def trickle_until_connected(caller: PageCaller, peer: bw.Peer) -> None:
    """Pass Chromium's candidates to our server until both are connected."""
    deadline_s = time.monotonic() + 20.0
    while peer.state != "connected" or caller.state != "connected":
        assert time.monotonic() < deadline_s, f"{peer.state}, {caller.state}"
        for one in caller.candidates():
            peer.add_ice_candidate(one["candidate"], one["sdpMid"], one.get("sdpMLineIndex"))
        time.sleep(0.05)


@pytest.mark.parametrize("role", ["we offer", "we answer"])
def test_both_sides_hear_each_other(role: str, chromium: Chromium, server: bw.Server) -> None:
    with PageCaller(chromium, 600.0, 700.0) as caller:
        if role == "we offer":
            peer, offer = server.create_offer()
            peer.set_answer(caller.answer(offer))
        else:
            peer, answer = server.add_peer(caller.offer())
            caller.take_answer(answer)
        trickle_until_connected(caller, peer)
        assert peer.kind == "sendrecv"
        caller.assert_hears(440.0, 880.0)
        with Recorder(server.read_input) as recorder:
            assert_tones_soon(recorder, 600.0, 700.0)
    wait_until(lambda: peer.state == "closed")


def test_call_connects_with_trickled_server_candidates(chromium: Chromium, server: bw.Server) -> None:
    """RFC 8838: the description first, then the candidates one by one, then end-of-candidates."""
    with PageCaller(chromium, 600.0, 700.0) as caller:
        peer, answer = server.add_peer(caller.offer())
        lines = answer.splitlines()
        candidates = [line.removeprefix("a=") for line in lines if line.startswith("a=candidate:")]
        rest = [line for line in lines if not line.startswith(("a=candidate:", "a=end-of-candidates"))]
        caller.take_answer("".join(f"{line}\r\n" for line in rest))
        for text in [*candidates, ""]:
            caller.take_candidate(text, "0", 0)
        trickle_until_connected(caller, peer)
