"""Clients behind NATs and firewalls, our server on the internet; TURN servers come with the answer.

behind a NAT of any kind   direct: our ICE-lite server has an address that can be reached
UDP is dropped             relayed, over TCP
TCP except to port 443 too   relayed, over TLS
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest

import bass_webrtc as bw
from bass_webrtc.rtc.turn_credentials import time_limited_credentials
from support import coturn, nat, netns
from support.client_peers import connect
from support.conformance import covers
from support.coturn import Coturn, Kind
from support.fixtures import skip_for
from support.nat import SERVERS, Internet, NatKind
from support.patience import wait_until
from support.publisher_recorder import Recorder, assert_tones_soon
from support.reruns import real_time_audio

pytestmark = real_time_audio

SECRET = "the north sea"
WAYS: tuple[Kind, ...] = ("udp", "tcp", "tls")


@dataclass
class World:
    """The internet with our servers, and a TURN server that shares its secret with the first one."""

    internet: Internet
    turn: Coturn
    server: bw.Server
    silent: bw.Server
    """A server that announces no ICE servers."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    skip_for(nat.missing() or coturn.missing())
    folder = tmp_path_factory.mktemp("turn")
    with netns.Network() as network:
        internet = Internet(network)
        with Coturn(folder, address=SERVERS, host=internet.servers, secret=SECRET) as turn:
            silent = bw.ServerConfig(http_host=SERVERS, http_port=0, udp_port=0, public_ips=(SERVERS,))
            visitor_ice_servers = tuple(bw.IceServer(turn.url(way)) for way in WAYS)
            config = replace(silent, visitor_ice_servers=visitor_ice_servers, turn_secret=SECRET)
            with (
                bw.Server(bw.Tone(440.0, 880.0), config) as server,
                bw.Server(bw.Tone(440.0, 880.0), silent) as other,
            ):
                with internet.servers.entered():
                    server.start()
                    other.start()
                yield World(internet, turn, server, other)


def http_port(server: bw.Server) -> int:
    return int(server.url.rpartition(":")[2].rstrip("/"))


@covers("CL4", "CL5", "SE51")
@pytest.mark.parametrize("kind", ["full-cone", "port-restricted", "symmetric", "no-udp", "tls-only"])
def test_client_connects_with_announced_servers(kind: NatKind, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """It gathers relayed candidates when the answer announces servers, and trickles them."""
    monkeypatch.setenv("SSL_CERT_FILE", str(world.turn.certificate))
    home = world.internet.home(kind, world.turn.tls_port, http_port(world.server))
    with (
        bw.WhipClient(bw.Tone(), f"{world.server.url}whip") as push,
        bw.WhepClient(f"{world.server.url}whep") as pull,
    ):
        with home.entered():
            connect(push)
            connect(pull)
        for client in (push, pull):
            is_relayed = client.stats().local_address.startswith(SERVERS)
            assert is_relayed == (kind in ("no-udp", "tls-only"))
        publisher = next(peer for peer in world.server.peers if peer.kind == "publisher")
        wait_until(lambda: publisher.stats().packets_received > 50 and pull.stats().packets_received > 50)
        assert pull.stats().packets_lost == 0
    wait_until(lambda: world.server.peers == ())


@pytest.mark.parametrize("kind", ["no-udp", "tls-only"])
def test_client_connects_with_configured_servers(kind: NatKind, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer announces none; audio arrives."""
    monkeypatch.setenv("SSL_CERT_FILE", str(world.turn.certificate))
    home = world.internet.home(kind, world.turn.tls_port, http_port(world.silent))
    login = time_limited_credentials(SECRET, "client", now_unix_s=time.time(), lifetime_s=600.0)
    ice_servers = [bw.IceServer(world.turn.url(way), login.username, login.credential) for way in WAYS]
    url = world.silent.url
    with (
        bw.WhipClient(bw.Tone(500.0, 700.0), f"{url}whip", ice_servers=ice_servers) as push,
        bw.WhepClient(f"{url}whep", ice_servers=ice_servers) as pull,
        bw.WhepClient(f"{url}whep") as without,
    ):
        with home.entered():
            connect(push)
            connect(pull)
            without.start()
        assert all(client.stats().local_address.startswith(SERVERS) for client in (push, pull))
        with Recorder(world.silent.read_input) as heard:
            assert_tones_soon(heard, 500.0, 700.0)
        with Recorder(pull.read) as heard:
            assert_tones_soon(heard, 440.0, 880.0)
        assert not without.connected
    wait_until(lambda: world.silent.peers == ())
