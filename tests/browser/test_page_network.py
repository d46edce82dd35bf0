"""Listening and talking resume automatically after a network outage, and when the server's address changes."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import pytest

import bass_webrtc as bw
from support.browsers import Chromium, missing_chromium
from support.fixtures import skip_for
from support.netns import Host
from support.page_driver import listen, talk, wait_for_state
from support.patience import wait_until
from support.reruns import real_time_audio

pytestmark = real_time_audio

WIRE = "wire0"
"""Interface of the hosts of the ``hosts`` fixture."""
TONE_PLAYS = "() => bassWebrtc.levels().every((level) => Math.abs(level + 12) < 1)"


@pytest.mark.parametrize("cut_s", [3.0, 12.0])
def test_page_recovers_from_a_network_outage(hosts: tuple[Host, Host], cut_s: float) -> None:
    """Outages shorter and longer than the ICE timeout. The page shows its state and needs no user action."""
    skip_for(missing_chromium())
    server_host, browser_host = hosts
    config = bw.ServerConfig(http_host="10.77.0.1", http_port=0, udp_port=0, max_peers=10, max_peers_per_address=10)
    with bw.Server(bw.Tone(440.0), config) as server:
        with server_host.entered():
            server.start()
        # Browsers allow microphones only in secure contexts.
        secure = f"--unsafely-treat-insecure-origin-as-secure={server.url.rstrip('/')}"
        with Chromium(extra_flags=(secure,), host=browser_host) as chromium:
            page = chromium.open(server.url).page
            listen(page)
            talk(page)
            page.wait_for_function(TONE_PLAYS)
            browser_host.ip("link", "set", WIRE, "down")
            cut_at_s = time.monotonic()
            page.wait_for_function("() => bassWebrtc.levels().every((level) => level < -60)", timeout=15_000)
            if cut_s > 10.0:
                page.wait_for_function("() => bassWebrtc.player.state !== 'live'", timeout=15_000)
                assert page.inner_text("#listen-title") != "Playing"
            page.wait_for_timeout(1000 * max(0.0, cut_at_s + cut_s - time.monotonic()))
            heard = {peer: peer.stats().packets_received for peer in server.peers}
            browser_host.ip("link", "set", WIRE, "up")
            wait_for_state(page, "live", timeout_s=30.0)
            wait_for_state(page, "live", who="publisher", timeout_s=30.0)
            page.wait_for_function(TONE_PLAYS, timeout=15_000)
            assert page.inner_text("#listen-title") == "Playing"
            wait_until(lambda: any(_is_heard(peer, heard.get(peer, 0)) for peer in server.peers))


def test_page_behind_a_proxy_follows_the_server_to_another_address(hosts: tuple[Host, Host]) -> None:
    """The page's own URL stays, as behind a reverse proxy. The sessions are the same: ICE restarts by PATCH."""
    skip_for(missing_chromium())
    server_host, browser_host = hosts
    config = bw.ServerConfig(http_port=0, udp_port=0, max_peers_per_address=5)
    with bw.Server(bw.Tone(440.0), config) as server:
        with server_host.entered():
            server.start()
        with (
            _relay(browser_host, server_host, server) as url,
            Chromium(host=browser_host) as chromium,
        ):
            page = chromium.open(url).page
            listen(page)
            talk(page)
            page.wait_for_function(TONE_PLAYS)
            peers = sorted(server.peers, key=lambda peer: peer.id)
            assert len(peers) == 2
            wait_until(lambda: all(peer.stats().local_address.startswith("10.77.0.1:") for peer in peers))
            server_host.ip("address", "delete", "10.77.0.1/24", "dev", WIRE)
            server_host.ip("address", "add", "10.77.0.9/24", "dev", WIRE)
            wait_until(lambda: all(peer.stats().local_address.startswith("10.77.0.9:") for peer in peers), 30.0)
            page.wait_for_function(TONE_PLAYS, timeout=15_000)
            heard = {peer: peer.stats().packets_received for peer in peers}
            wait_until(lambda: any(_is_heard(peer, heard[peer]) for peer in peers))
            wait_for_state(page, "live")
            wait_for_state(page, "live", who="publisher")
            assert sorted(server.peers, key=lambda peer: peer.id) == peers


@contextlib.contextmanager
def _relay(front: Host, back: Host, server: bw.Server) -> Iterator[str]:
    """Pass TCP connections from one host's loopback to a server on another host's; yield the URL of the page."""
    with front.entered():
        listener = socket.create_server(("127.0.0.1", 0))
    port = int(server.url.rstrip("/").rpartition(":")[2])

    def copy(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                outside, _ = listener.accept()
                inside = back.connect("127.0.0.1", port)
                for pair in ((outside, inside), (inside, outside)):
                    threading.Thread(target=copy, args=pair, daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def _is_heard(peer: bw.Peer, packets: int) -> bool:
    return peer.kind == "publisher" and peer.stats().packets_received > packets + 50
