"""Our server behind every kind of NAT, in calls with another server and with clients behind NATs.

The table in support/nat.py says which pairs connect directly and which are relayed, with callback signaling.
Late candidates are trickled, so TURN over TCP and TLS may be slow. The same with aiortc and
Chromium is in test_calls_nat.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

import bass_webrtc as bw
from support import client_peers, coturn, nat, netns
from support.capture import addresses, captured
from support.conformance import covers
from support.coturn import Coturn, Kind
from support.fixtures import skip_for
from support.nat import CONES, RELAYED, SERVERS, Internet, NatKind
from support.publisher_recorder import Recorder, assert_tones_soon
from support.reruns import real_time_audio
from support.server_at import ServerAt, connect, is_relayed

pytestmark = real_time_audio

A_HZ, B_HZ = (440.0, 880.0), (600.0, 700.0)


@dataclass
class World:
    """The internet, its TURN server, and an exit stack."""

    internet: Internet
    turn: Coturn
    stack: ExitStack

    def server(self, kind: NatKind, *ways: Kind, tones_hz: tuple[float, float], relay_only: bool = False) -> ServerAt:
        """Our server at a home host behind its own NAT."""
        host = self.internet.home(kind, self.turn.tls_port)
        return self.stack.enter_context(ServerAt(host, self.turn.ice_servers(*ways), *tones_hz, relay_only=relay_only))


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    skip_for(nat.missing() or coturn.missing())
    with netns.Network() as network:
        internet = Internet(network)
        with Coturn(tmp_path, address=SERVERS, host=internet.servers) as turn, ExitStack() as stack:
            monkeypatch.setenv("SSL_CERT_FILE", str(turn.certificate))
            yield World(internet, turn, stack)


def join(a: ServerAt, b: ServerAt) -> tuple[bw.Peer, bw.Peer]:
    """Call from a to b with trickle; return the peer objects of both servers."""
    there, offer = a.server.create_offer()
    here, answer = b.server.add_peer(offer)
    there.set_answer(answer)

    def trickle() -> None:
        a.trickle(here.add_ice_candidate)
        b.trickle(there.add_ice_candidate)

    connect(there, here, trickle)
    return there, here


def assert_both_hear(a: ServerAt, b: ServerAt) -> None:
    """Check the tone on each channel, both ways."""
    with Recorder(a.server.read_input) as at_a, Recorder(b.server.read_input) as at_b:
        assert_tones_soon(at_a, *B_HZ)
        assert_tones_soon(at_b, *A_HZ)


@pytest.mark.parametrize("second", CONES)
@pytest.mark.parametrize("first", CONES)
def test_path_is_direct_or_relayed_as_the_nats_allow(first: NatKind, second: NatKind, world: World) -> None:
    a, b = world.server(first, "udp", tones_hz=A_HZ), world.server(second, "udp", tones_hz=B_HZ)
    peers = join(a, b)
    assert_both_hear(a, b)
    assert is_relayed(*peers) == ((first, second) in RELAYED)


@covers("SE51")
@pytest.mark.parametrize(("kind", "way"), [("no-udp", "tcp"), ("tls-only", "tls")])
def test_blocked_udp_is_relayed_over_tcp_or_tls(kind: NatKind, way: Kind, world: World) -> None:
    """TURN over UDP, TCP and TLS is configured; the firewall in front of our server decides which one works."""
    a = world.server(kind, "udp", "tcp", "tls", tones_hz=A_HZ)
    b = world.server("port-restricted", tones_hz=B_HZ)
    there, _ = join(a, b)
    assert_both_hear(a, b)
    assert there.stats().local_address.startswith(f"{SERVERS}:")


def give_ipv6(*homes: netns.Host) -> None:
    """Addresses of one network, so that IPv6 is tried; packets are sent and never arrive."""
    known = [f"2001:db8::{number}" for number, _ in enumerate(homes, 1)]
    for home, own in zip(homes, known, strict=True):
        [wire] = re.findall(r"^\d+: (wire\d+)", home.ip("-o", "link"), re.MULTILINE)
        home.ip("address", "add", f"{own}/64", "dev", wire, "nodad")
        for other in set(known) - {own}:
            home.ip("neighbour", "add", other, "lladdr", "02:00:00:00:00:01", "dev", wire, "nud", "permanent")


@covers("SE31")
@pytest.mark.parametrize("way", ["udp", "tls"])
def test_relay_only_reveals_no_other_address_on_the_wire(way: Kind, world: World) -> None:
    a = world.server("full-cone", way, tones_hz=A_HZ, relay_only=True)
    b = world.server("full-cone", tones_hz=B_HZ)
    give_ipv6(a.host, b.host)
    with captured(a.host) as packets:
        _, here = join(a, b)
        with Recorder(b.server.read_input) as at_b:
            assert_tones_soon(at_b, *A_HZ)
    assert here.remote_address.startswith(f"{SERVERS}:")
    assert {address for packet in packets for address in addresses(packet)} == {SERVERS, "10.1.0.2"}


@pytest.mark.parametrize("kind", ["port-restricted", "symmetric"])
def test_whip_and_whep_with_full_ice_work_across_nats(kind: NatKind, world: World) -> None:
    """The clients have no ICE servers: our answer carries our candidates, and their checks reveal their addresses."""
    config = bw.ServerConfig(http_host=SERVERS, http_port=0, ice_servers=world.turn.ice_servers("udp"))
    server = world.stack.enter_context(bw.Server(bw.Tone(440.0), config))
    with world.internet.servers.entered():
        server.start()
    with world.internet.home(kind).entered():
        pull = world.stack.enter_context(bw.WhepClient(f"{server.url}whep"))
        push = world.stack.enter_context(bw.WhipClient(bw.Tone(600.0), f"{server.url}whip"))
        for client in (pull, push):
            client_peers.connect(client)
    with Recorder(server.read_input) as at_server, Recorder(pull.read) as at_home:
        assert_tones_soon(at_server, 600.0, 600.0)
        assert_tones_soon(at_home, 440.0, 440.0)
    assert {peer.remote_address.partition(":")[0] for peer in server.peers} == {"203.0.113.2"}
