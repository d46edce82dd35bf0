"""Chromium plays and talks behind NATs and firewalls, using the announced TURN servers if necessary.

any kind of NAT                 direct: the address of our ICE-lite server is reachable
UDP blocked                     relayed over TCP
all blocked but TCP port 443    relayed over TLS
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

import bass_webrtc as bw
from support import coturn, nat, netns
from support.browsers import Chromium, missing_chromium
from support.certificates import key_hash
from support.conformance import covers
from support.coturn import Coturn, Kind
from support.fixtures import skip_for
from support.nat import SERVERS, Internet, NatKind
from support.page_driver import listen, talk
from support.patience import wait_until
from support.reruns import real_time_audio

pytestmark = real_time_audio

SECRET = "the north sea"
RELAY_ONLY = """
    const Real = RTCPeerConnection;
    window.RTCPeerConnection = class extends Real {
        constructor(options) { super({ ...options, iceTransportPolicy: "relay" }); }
    };
"""
SELECTED = """async (who) => {
    const reports = [...(await bassWebrtc[who].pc.getStats()).values()];
    const by = (id) => reports.find((report) => report.id === id);
    const pair = by(reports.find((report) => report.type === "transport")?.selectedCandidatePairId);
    return [by(pair.localCandidateId).candidateType, by(pair.localCandidateId).relayProtocol ?? null];
}"""


@dataclass
class World:
    """A simulated internet with our server and a TURN server that share a secret."""

    internet: Internet
    turn: Coturn
    server: bw.Server

    def browser(self, kind: NatKind) -> Chromium:
        """Start Chromium in a home network behind its own NAT."""
        home = self.internet.home(kind, self.turn.tls_port, int(self.server.url.rsplit(":")[-1].rstrip("/")))
        flags = (
            # Browsers allow microphones only in secure contexts.
            f"--unsafely-treat-insecure-origin-as-secure={self.server.url.rstrip('/')}",
            f"--ignore-certificate-errors-spki-list={key_hash(self.turn.certificate)}",
        )
        return Chromium(extra_flags=flags, host=home)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    skip_for(missing_chromium() or nat.missing() or coturn.missing())
    folder = tmp_path_factory.mktemp("turn")
    with netns.Network() as network:
        internet = Internet(network)
        with Coturn(folder, address=SERVERS, host=internet.servers, secret=SECRET) as turn:
            config = bw.ServerConfig(
                http_host=SERVERS,
                http_port=0,
                udp_port=0,
                public_ips=(SERVERS,),
                max_peers=50,  # Killed browsers do not end their sessions.
                max_peers_per_address=50,
                visitor_ice_servers=tuple(bw.IceServer(turn.url(way)) for way in ("udp", "tcp", "tls")),
                turn_secret=SECRET,
            )
            with bw.Server(bw.Tone(440.0), config) as server:
                with internet.servers.entered():
                    server.start()
                yield World(internet, turn, server)


def listen_and_talk(page: Any, server: bw.Server, *, timeout_s: float = 20.0) -> list[list[str | None]]:
    """Listen and talk; return the type of the local candidate and the relay protocol for each."""
    before = set(server.peers)
    listen(page, timeout_s=timeout_s)
    talk(page, timeout_s=timeout_s)
    page.wait_for_function("() => bassWebrtc.levels().every((level) => Math.abs(level + 12) < 1)")
    [publisher] = [peer for peer in server.peers if peer not in before and peer.kind == "publisher"]
    wait_until(lambda: publisher.stats().packets_received > 10)
    found: list[list[str | None]] = [page.evaluate(SELECTED, who) for who in ("player", "publisher")]
    return found


@pytest.mark.parametrize("kind", ["full-cone", "port-restricted", "symmetric"])
def test_browser_behind_a_nat_needs_no_relay(kind: NatKind, world: World) -> None:
    with world.browser(kind) as chromium:
        ways = listen_and_talk(chromium.open(world.server.url).page, world.server)
    assert "relay" not in [candidate_type for candidate_type, _ in ways]


@covers("WS43", "SE50")
@pytest.mark.parametrize(("kind", "way"), [("no-udp", "tcp"), ("tls-only", "tls")])
def test_browser_behind_a_udp_firewall_is_relayed(kind: NatKind, way: Kind, world: World) -> None:
    """With credentials generated for this client."""
    with world.browser(kind) as chromium:
        assert listen_and_talk(chromium.open(world.server.url).page, world.server) == [["relay", way]] * 2


@covers("CL5")
@pytest.mark.parametrize("known_before_offer", [True, False])
def test_relay_only_browser_is_relayed(known_before_offer: bool, world: World) -> None:
    """Servers named only in the answer are used after an ICE restart (RFC 9725, 4.6; RFC 9429, 4.1.18)."""
    with world.browser("symmetric") as chromium:
        tab = chromium.open("about:blank")
        tab.page.add_init_script(RELAY_ONLY)
        if not known_before_offer:
            tab.page.add_init_script(
                "const real = fetch; window.fetch = async (url, init) => { const response = await real(url, init);"
                "return init?.method === 'OPTIONS' ? new Response(null, { status: 204 }) : response; }"
            )
        tab.page.goto(world.server.url)
        tab.page.wait_for_load_state("networkidle")
        assert listen_and_talk(tab.page, world.server) == [["relay", "udp"]] * 2


@covers("SE62")
def test_statistics_contain_no_credentials(world: World) -> None:
    with world.browser("no-udp") as chromium:
        page = chromium.open(world.server.url).page
        listen_and_talk(page, world.server)
        shown = page.evaluate("Promise.all(['api/stats', 'metrics'].map(async (url) => (await fetch(url)).text()))")
        username = page.evaluate("bassWebrtc.player.pc.getConfiguration().iceServers[0].username")
    assert username.partition(":")[0].isdigit()
    assert username not in "".join(shown)
    assert SECRET not in "".join(shown)
