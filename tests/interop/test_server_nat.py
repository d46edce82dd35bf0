"""Our server behind every kind of NAT, in a call with another one, aiortc and Chromium behind NATs of their own.

The table of test_full_ice_nat.py, as a program that signals itself has it: direct where it can be, relayed where it
must be. Candidates that are found late are trickled, so TURN over TCP and TLS may take its time.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiortc import RTCIceServer

import bass_webrtc as bw
from support import coturn, nat, netns
from support.aiortc_caller import Caller
from support.browsers import Chromium, missing_chromium
from support.capture import addresses, captured
from support.client_peers import connect
from support.coturn import Coturn, Kind
from support.fixtures import skip_for
from support.nat import SERVERS, Internet, LoopOn, NatKind
from support.page_caller import PageCaller
from support.publisher_recorder import Recorder, assert_tones, assert_tones_soon

PATIENCE_S = 20.0


@dataclass
class World:
    """The internet, its TURN server, and what is closed at the end."""

    internet: Internet
    turn: Coturn
    stack: ExitStack

    def ice_servers(self, *ways: Kind) -> tuple[bw.IceServer, ...]:
        """The STUN server, and the TURN server reached in these ways."""
        found = [bw.IceServer(str(self.turn.stun))]
        for way in ways:
            known = self.turn.server(way)
            found.append(bw.IceServer(self.turn.url(way), known.username, known.credential))
        return tuple(found)

    def server(self, kind: NatKind, *ways: Kind, hz: float = 440.0, relay_only: bool = False) -> At:
        """Our server at a home behind a NAT of its own."""
        host = self.internet.home(kind, self.turn.tls_port)
        config = bw.ServerConfig(
            signaling_mode="callback", ice_servers=self.ice_servers(*ways), ice_relay_only=relay_only
        )
        server = self.stack.enter_context(bw.Server(bw.Tone(hz), config))
        told: list[tuple[str, str | None, int]] = []
        server.on("ice_candidate", lambda _peer, *candidate: told.append(candidate))
        with host.entered():
            server.start()
        return At(host, server, told)


@dataclass
class At:
    """A server at a home, and the candidates that it has told by event."""

    host: netns.Host
    server: bw.Server
    told: list[tuple[str, str | None, int]]

    def trickle(self, take: Callable[..., Any]) -> None:
        """Brings what was told since the last call to the other side."""
        while self.told:
            take(*self.told.pop(0))


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    skip_for(nat.missing() or coturn.missing())
    with netns.Network() as network:
        internet = Internet(network)
        with Coturn(tmp_path, address=SERVERS, host=internet.servers) as turn, ExitStack() as stack:
            trusting = turn.tls_context()
            monkeypatch.setattr(ssl, "create_default_context", lambda *_: trusting)
            yield World(internet, turn, stack)


def join(a: At, b: At) -> tuple[bw.Peer, bw.Peer]:
    """A call from a to b, with trickle; returns b as a knows it, and a as b knows it."""
    there, offer = a.server.create_offer()
    here, answer = b.server.add_peer(offer)
    there.set_answer(answer)
    deadline_s = time.monotonic() + PATIENCE_S
    while (there.state, here.state) != ("connected", "connected"):
        assert time.monotonic() < deadline_s, f"{there}, {here}"
        a.trickle(here.add_ice_candidate)
        b.trickle(there.add_ice_candidate)
        time.sleep(0.02)
    return there, here


def is_relayed(*peers: bw.Peer) -> bool:
    """Whether either side of a call is an allocation on the TURN server."""
    ends = [end for peer in peers for end in (peer.stats().local_address, peer.stats().remote_address)]
    return any(end.startswith(f"{SERVERS}:") for end in ends)


@pytest.mark.parametrize(
    ("first", "second", "relayed"),
    [
        ("full-cone", "symmetric", False),
        ("port-restricted", "port-restricted", False),
        ("symmetric", "full-cone", False),
        ("port-restricted", "symmetric", True),
        ("symmetric", "symmetric", True),
    ],
)
def test_goes_direct_where_it_can_and_relayed_where_it_must(
    first: NatKind, second: NatKind, relayed: bool, world: World
) -> None:
    a, b = world.server(first, "udp", hz=440.0), world.server(second, "udp", hz=600.0)
    peers = join(a, b)
    with Recorder(a.server.read_input) as at_a, Recorder(b.server.read_input) as at_b:
        assert_tones_soon(at_a, 600.0, 600.0)
        assert_tones_soon(at_b, 440.0, 440.0)
    assert is_relayed(*peers) == relayed


@pytest.mark.parametrize(("kind", "way"), [("no-udp", "tcp"), ("tls-only", "tls")])
def test_where_udp_is_blocked_it_is_relayed_over_tcp_or_tls_SE51(kind: NatKind, way: Kind, world: World) -> None:
    """All ways are configured; the firewall in front of our server decides which one is of use."""
    a, b = world.server(kind, "udp", "tcp", "tls", hz=440.0), world.server("port-restricted", hz=600.0)
    there, _ = join(a, b)
    with Recorder(a.server.read_input) as at_a, Recorder(b.server.read_input) as at_b:
        assert_tones_soon(at_a, 600.0, 600.0)
        assert_tones_soon(at_b, 440.0, 440.0)
    assert there.stats().local_address.startswith(f"{SERVERS}:")


@pytest.mark.parametrize("way", ["udp", "tls"])
def test_relay_only_shows_no_other_address_on_the_wire_SE31(way: Kind, world: World) -> None:
    a, b = world.server("full-cone", way, hz=440.0, relay_only=True), world.server("full-cone", hz=600.0)
    with captured(a.host) as packets:
        _, here = join(a, b)
        with Recorder(b.server.read_input) as at_b:
            assert_tones_soon(at_b, 440.0, 440.0)
    assert here.remote_address.startswith(f"{SERVERS}:")
    assert {address for packet in packets for address in addresses(packet)} == {SERVERS, "10.1.0.2"}


@pytest.mark.parametrize("kind", ["port-restricted", "symmetric"])
def test_aiortc_behind_a_nat_is_heard_and_hears(kind: NatKind, world: World) -> None:
    at = world.server(kind, "udp")
    credentials = world.turn.server("udp")
    servers = [RTCIceServer(world.turn.url("udp"), credentials.username, credentials.credential)]
    with LoopOn(world.internet.home("symmetric")) as home:

        async def call() -> None:
            async with Caller(600.0, servers) as caller:
                _, answer = at.server.add_peer(await caller.offer())
                await caller.take_answer(answer)
                assert_tones(await caller.hear(2.0), 440.0, 440.0)

        talking = home.start(call())
        with Recorder(at.server.read_input) as recorder:
            recorder.wait_for_sound(PATIENCE_S)
            recorder.take(0.5)
            assert abs(recorder.take(0.5)).max() > 0.1
        talking.result(60.0)


@pytest.mark.parametrize(("kind", "relayed"), [("full-cone", False), ("symmetric", True)])
def test_chromium_behind_a_nat_is_heard_and_hears(kind: NatKind, relayed: bool, world: World) -> None:
    skip_for(missing_chromium())
    at = world.server(kind, "udp")
    credentials = world.turn.server("udp")
    turn = {"urls": world.turn.url("udp"), "username": credentials.username, "credential": credentials.credential}
    with Chromium(host=world.internet.home("symmetric")) as chromium:
        caller = PageCaller(chromium, 600.0, [turn])
        peer, offer = at.server.create_offer()
        peer.set_answer(caller.answer(offer))
        deadline_s = time.monotonic() + PATIENCE_S
        while (peer.state, caller.state) != ("connected", "connected"):
            assert time.monotonic() < deadline_s, f"{peer}, {caller.state}"
            at.trickle(caller.take_candidate)
            for one in caller.candidates():
                peer.add_ice_candidate(one["candidate"], one["sdpMid"])
        with Recorder(at.server.read_input) as recorder:
            assert_tones_soon(recorder, 600.0, 600.0)
        assert is_relayed(peer) == relayed
        assert abs(caller.hear()).max() > 0.2
        caller.close()


@pytest.mark.parametrize("kind", ["port-restricted", "symmetric"])
def test_whip_and_whep_with_full_ice_are_reached_from_behind_a_nat(kind: NatKind, world: World) -> None:
    """Clients without ICE servers of their own: our answer tells where we are, and their checks where they are."""
    config = bw.ServerConfig(http_host=SERVERS, http_port=0, ice_servers=world.ice_servers("udp"))
    server = world.stack.enter_context(bw.Server(bw.Tone(440.0), config))
    with world.internet.servers.entered():
        server.start()
    with world.internet.home(kind).entered():
        pull = world.stack.enter_context(bw.WhepClient(f"{server.url}whep"))
        push = world.stack.enter_context(bw.WhipClient(bw.Tone(600.0), f"{server.url}whip"))
        for client in (pull, push):
            connect(client)
    with Recorder(server.read_input) as at_server, Recorder(pull.read) as at_home:
        assert_tones_soon(at_server, 600.0, 600.0)
        assert_tones_soon(at_home, 440.0, 440.0)
    assert {peer.remote_address.partition(":")[0] for peer in server.peers} == {"203.0.113.2"}
