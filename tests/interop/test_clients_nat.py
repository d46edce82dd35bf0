"""The clients behind NATs and firewalls, and our server on the internet: TURN comes with the answer, where it must be.

behind a NAT of any kind   direct: our ICE-lite server has an address that can be reached
UDP is dropped             relayed, over TCP
TCP but to 443 is, too     relayed, over TLS
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

import bass_webrtc as bw
from support import coturn, nat, netns
from support.client_peers import connect, wait_until
from support.coturn import Coturn
from support.fixtures import skip_for
from support.nat import SERVERS, Internet, NatKind

SECRET = "the north sea"


@dataclass
class World:
    """The internet with our server, and a TURN server that shares a secret with it."""

    internet: Internet
    turn: Coturn
    server: bw.Server


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    skip_for(nat.missing() or coturn.missing())
    folder = tmp_path_factory.mktemp("turn")
    with netns.Network() as network:
        internet = Internet(network)
        with Coturn(folder, address=SERVERS, host=internet.servers, secret=SECRET) as turn:
            config = bw.ServerConfig(
                http_host=SERVERS,
                http_port=0,
                udp_port=0,
                public_ips=(SERVERS,),
                visitor_ice_servers=tuple(bw.IceServer(turn.url(way)) for way in ("udp", "tcp", "tls")),
                turn_secret=SECRET,
            )
            with bw.Server(bw.Tone(), config) as server:
                with internet.servers.entered():
                    server.start()
                yield World(internet, turn, server)


@pytest.mark.parametrize("kind", ["full-cone", "port-restricted", "symmetric", "no-udp", "tls-only"])
def test_a_client_gets_through(kind: NatKind, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """CL4, CL5, SE51: it gathers relayed candidates when the answer names servers, and trickles them."""
    monkeypatch.setenv("SSL_CERT_FILE", str(world.turn.certificate))
    http_port = int(world.server.url.rpartition(":")[2].rstrip("/"))
    home = world.internet.home(kind, world.turn.tls_port, http_port)
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
