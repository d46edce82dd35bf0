"""Full ICE between homes behind every kind of NAT, with coturn (Debian: coturn, iproute2, nftables) as TURN server.

The expected path of each pair is in the table of support/nat.py.
"""

from __future__ import annotations

import contextlib
import itertools
import queue
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aioice
import pytest

from bass_webrtc.config import IceServerAddress
from bass_webrtc.peer.ice.full_ice import FullIce, IceSettings, SelectedPair
from bass_webrtc.rtc.candidate import Candidate
from bass_webrtc.rtc.sdp import IceCredentials
from support import coturn, nat, netns
from support.capture import addresses, captured
from support.conformance import covers
from support.coturn import Coturn, Kind
from support.fixtures import skip_for
from support.ice_recorder import IceRecorder
from support.nat import CONES, RELAYED, SERVERS, Internet, LoopOn, NatKind
from support.reruns import real_time_audio

pytestmark = real_time_audio

PATIENCE_S = 10.0
GATHER_S = 5.0  # No cost while all servers answer; the machine may be busy.


class Home(IceRecorder):
    """One end: an agent on its own loop behind a NAT, and the data it received."""

    def __init__(
        self,
        host: netns.Host,
        servers: Sequence[IceServerAddress],
        turn: Coturn,
        *,
        controlling: bool,
        gather_timeout_s: float = GATHER_S,
        relay_only: bool = False,
    ) -> None:
        super().__init__()
        self.host = host
        self.received: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self.loop = LoopOn(host)
        settings = IceSettings(
            tuple(servers),
            tls_context=turn.tls_context(),
            gather_timeout_s=gather_timeout_s,
            relay_only=relay_only,
        )
        self.ice = FullIce(settings, self, controlling=controlling)

    def data_received(self, data: bytes) -> None:
        self.received.put(data)

    def close(self) -> None:
        self.loop.do(self.ice.close())
        self.loop.close()


@dataclass
class World:
    """The internet, its TURN server and its hosts."""

    internet: Internet
    turn: Coturn
    homes: list[Home]

    def home(self, kind: NatKind, servers: Sequence[IceServerAddress], **options: Any) -> Home:
        home = Home(self.internet.home(kind, self.turn.tls_port), servers, self.turn, **options)
        self.homes.append(home)
        return home


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    skip_for(nat.missing() or coturn.missing())
    with netns.Network() as network:
        internet = Internet(network)
        with Coturn(tmp_path, address=SERVERS, host=internet.servers) as turn:
            world = World(internet, turn, [])
            try:
                yield world
            finally:
                for home in world.homes:
                    home.close()


def join(first: Home, second: Home) -> tuple[SelectedPair, SelectedPair]:
    """Exchange descriptions, connect, and check that data flows both ways."""
    candidates = [home.loop.do(home.ice.gather()) for home in (first, second)]
    first.ice.set_remote(second.ice.credentials, candidates[1], ice_lite=False)
    second.ice.set_remote(first.ice.credentials, candidates[0], ice_lite=False)
    connecting = [home.loop.start(home.ice.connect()) for home in (first, second)]
    pairs = connecting[0].result(60), connecting[1].result(60)
    hear(first, second)
    hear(second, first)
    return pairs


def hear(sender: Home, receiver: Home) -> None:
    """Check that sent data arrives; single packets may be lost."""
    for number in itertools.count():
        assert number < PATIENCE_S / 0.1, "nothing arrives"
        sender.loop.do(_send(sender.ice, b"\x80 %d" % number))
        with contextlib.suppress(queue.Empty):
            assert receiver.received.get(timeout=0.1).startswith(b"\x80 ")
            return


async def _send(ice: FullIce, data: bytes) -> None:
    ice.send(data)


@pytest.mark.parametrize("first", CONES)
@pytest.mark.parametrize("second", CONES)
def test_path_is_direct_or_relayed_as_the_nats_allow(first: NatKind, second: NatKind, world: World) -> None:
    servers: list[IceServerAddress] = [world.turn.stun, world.turn.server("udp")]
    a, b = world.home(first, servers, controlling=True), world.home(second, servers, controlling=False)
    started_s = time.monotonic()
    pairs = join(a, b)
    took_s = time.monotonic() - started_s
    is_relayed = any(pair.is_relay or pair.remote_type == "relay" for pair in pairs)
    assert is_relayed == ((first, second) in RELAYED)
    assert (pairs[0].descriptor is None) == pairs[0].is_relay
    assert took_s < 3.0


@covers("SE51")
@pytest.mark.parametrize(("kind", "way"), [("no-udp", "tcp"), ("tls-only", "tls")])
@pytest.mark.parametrize("controlling", [True, False])
def test_blocked_udp_is_relayed_over_tcp_or_tls(kind: NatKind, way: Kind, controlling: bool, world: World) -> None:
    """All servers are configured; the firewall decides which one works."""
    servers: list[IceServerAddress] = [world.turn.stun, *(world.turn.server(one) for one in ("udp", "tcp", "tls"))]
    # The servers over UDP are unreachable.
    blocked = world.home(kind, servers, controlling=controlling, gather_timeout_s=1.5)
    free = world.home("port-restricted", [world.turn.stun], controlling=not controlling)
    started_s = time.monotonic()
    ours, _ = join(blocked, free)
    assert ours.is_relay
    assert ours.local[0] == SERVERS
    assert {candidate.type for candidate in blocked.ice.candidates} == {"host", "relay"}
    assert len([c for c in blocked.ice.candidates if c.type == "relay"]) == (2 if way == "tcp" else 1)
    assert time.monotonic() - started_s < 5.0


@covers("SE31")
@pytest.mark.parametrize("way", ["udp", "tcp", "tls"])
def test_relay_only_reveals_no_other_address(way: Kind, world: World) -> None:
    """Every packet goes to the TURN server, and no candidate contains our own address."""
    a = world.home("full-cone", [world.turn.stun, world.turn.server(way)], controlling=True, relay_only=True)
    b = world.home("full-cone", [world.turn.stun], controlling=False)
    with captured(a.host) as packets:
        ours, theirs = join(a, b)
    assert ours.is_relay
    assert theirs.remote == ours.local
    assert [(c.type, c.related_host, c.related_port) for c in a.ice.candidates] == [("relay", "0.0.0.0", 9)]
    destinations = {address for packet in packets for address in addresses(packet)}
    assert destinations == {SERVERS, "10.1.0.2"}
    assert not [packet for packet in packets if b"10.1.0.2" in packet or socket.inet_aton("10.1.0.2") in packet[20:]]


def test_late_peer_is_reached_at_once(world: World) -> None:
    """Its NAT dropped our checks. Its first check triggers ours at once, not seconds later."""
    servers = [world.turn.stun]
    early, late = (world.home("port-restricted", servers, controlling=one) for one in (True, False))
    candidates = [home.loop.do(home.ice.gather()) for home in (early, late)]
    early.ice.set_remote(late.ice.credentials, candidates[1], ice_lite=False)
    connecting = early.loop.start(early.ice.connect())
    time.sleep(2.0)  # aioice sends checks at 0, 0.5, 1.5, 3.5 and 7.5 s.
    started_s = time.monotonic()
    late.ice.set_remote(early.ice.credentials, candidates[0], ice_lite=False)
    late.loop.do(late.ice.connect())
    connecting.result(10)
    assert time.monotonic() - started_s < 0.75


def test_restart_reconnects_after_an_address_change(world: World) -> None:
    """As on another Wi-Fi: the old address and its routes are gone."""
    a = world.home("port-restricted", [world.turn.stun], controlling=True)
    b = world.home("port-restricted", [world.turn.stun], controlling=False)
    join(a, b)
    a.host.ip("address", "delete", "10.1.0.2/24", "dev", "wire2")
    a.host.ip("address", "add", "10.1.0.77/24", "dev", "wire2")
    a.host.ip("route", "replace", "default", "via", "10.1.0.1")
    started_s = time.monotonic()
    candidates = [home.loop.do(home.ice.restart()) for home in (a, b)]
    a.ice.set_remote(b.ice.credentials, candidates[1], ice_lite=False)
    b.ice.set_remote(a.ice.credentials, candidates[0], ice_lite=False)
    connecting = [home.loop.start(home.ice.connect()) for home in (a, b)]
    assert connecting[0].result(20).local[0] == "10.1.0.77"
    connecting[1].result(20)
    hear(a, b)
    hear(b, a)
    assert time.monotonic() - started_s < 5.0


def test_connects_to_plain_aioice_behind_nats(world: World) -> None:
    """aioice nominates aggressively; data flows both ways nevertheless."""
    a = world.home("port-restricted", [world.turn.stun], controlling=False)
    b = LoopOn(world.internet.home("port-restricted"))
    peer = aioice.Connection(ice_controlling=True, stun_server=(SERVERS, world.turn.port))
    try:
        candidates = a.loop.do(a.ice.gather())
        b.do(_meet(peer, a.ice, candidates))
        theirs = [Candidate.parse(candidate.to_sdp()) for candidate in peer.local_candidates]
        a.ice.set_remote(IceCredentials(peer.local_username, peer.local_password), theirs, ice_lite=False)
        connecting = a.loop.start(a.ice.connect()), b.start(peer.connect())
        assert connecting[0].result(20).remote[0] == "203.0.113.6"
        connecting[1].result(20)
        b.do(peer.send(b"\x80from aioice"))
        assert a.received.get(timeout=5) == b"\x80from aioice"
        a.loop.do(_send(a.ice, b"\x80to aioice"))
        assert b.do(peer.recv()) == b"\x80to aioice"
    finally:
        b.do(peer.close())
        b.close()


async def _meet(peer: aioice.Connection, ice: FullIce, candidates: Sequence[Candidate]) -> None:
    await peer.gather_candidates()
    peer.remote_username, peer.remote_password = ice.credentials.ufrag, ice.credentials.password
    for candidate in candidates:
        text = candidate.to_sdp().removeprefix("candidate:")
        await peer.add_remote_candidate(aioice.Candidate.from_sdp(text))
    await peer.add_remote_candidate(None)
