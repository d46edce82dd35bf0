"""Listeners behind narrow and lossy links, with the tests' own players: whom a limit affects, and whom it does not."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

import bass_webrtc as bw
from support.client_peers import free_port
from support.farm import PlayerFarm
from support.nacking_player import NackingPlayer, running
from support.patience import wait_until
from support.player import Certificate
from support.reruns import real_time_audio
from support.server_process import ServerProcess
from support.shaped_link import ShapedLink

OTHERS, LIMITED = 200, 3


def bitrates_kbps(server: ServerProcess) -> Counter[int]:
    """Return how many listeners get which encoding."""
    return Counter(peer["bitrate_kbps"] for peer in server.stats()["peers"])


@pytest.mark.alone
@real_time_audio
def test_limited_listeners_do_not_affect_two_hundred_others(farm: PlayerFarm) -> None:
    with ExitStack() as stack:
        port = free_port()
        config = {"bitrate_kbps": 128, "fallback_bitrates_kbps": (48,), "udp_port": port}
        server = stack.enter_context(ServerProcess(None, max_peers=OTHERS + LIMITED, **config))
        links = [stack.enter_context(ShapedLink("127.0.0.1", port)) for _ in range(LIMITED)]
        farm.connect(server.whep_url, OTHERS)
        players = [NackingPlayer(Certificate(), server.whep_url, link.address) for link in links]
        stack.enter_context(running(players))
        wait_until(lambda: all(player.counters.packets for player in players))
        farm.reset()
        for link in links:
            link.shape(64)
        wait_until(lambda: bitrates_kbps(server)[48] == LIMITED, 5.0)
        time.sleep(7.0)  # With the first probes.
        assert bitrates_kbps(server) == {48: LIMITED, 128: OTHERS}
        for link in links:
            link.shape()
        wait_until(lambda: bitrates_kbps(server) == {128: OTHERS + LIMITED}, 60.0)
        report = farm.report()
        assert report.states == {"connected": OTHERS}
        assert sum(report.missing) == report.duplicates == 0
        assert min(report.packets) > 50 * 7


@contextmanager
def listening() -> Iterator[tuple[bw.Server, NackingPlayer, ShapedLink]]:
    """A server with two channels, and its only player, which hears ``main`` through a link."""
    config = bw.ServerConfig(http_port=0, udp_port=0, bitrate_kbps=128, fallback_bitrates_kbps=(48,))
    with bw.Server(bw.Tone(440.0, 880.0), config) as server:
        server.add_channel("jazz", bw.Tone(600.0), bw.ChannelConfig(bitrates_kbps=(160, 96, 32)))
        server.start()
        with ShapedLink("127.0.0.1", server.udp_port) as link:
            player = NackingPlayer(Certificate(), f"{server.url}whep", link.address)
            with running([player]):
                wait_until(lambda: player.counters.packets)
                yield server, player, link


@real_time_audio
def test_random_loss_brings_redundancy_and_no_other_encoding() -> None:
    """At 3 % the listener keeps 128 kbit/s."""
    with listening() as (server, player, link):
        link.shape(loss=0.03)
        deadline_s = time.monotonic() + 45.0
        while time.monotonic() < deadline_s:
            assert server.peers[0].stats().bitrate_kbps == 128
            time.sleep(0.1)
        assert link.counters()["lost"] > 45
        assert player.redundant > 10 * 50
        assert player.lost < 0.2 * link.counters()["lost"]


def test_queue_that_grows_without_loss_is_noticed_by_a_report() -> None:
    """While there is no trouble, the network thread keeps reports without loss, but not those that came late."""
    with listening() as (server, player, link):
        player.report_s = (0.8, 1.2)
        wait_until(lambda: server.peers[0].stats().reports_received >= 3, 15.0)
        link.shape(100, queue_s=60.0)
        # A sender report after 6.2 s at the latest, its way through the queue, a report, and an examination. The next
        # check of our own comes 26 s after the connection.
        wait_until(lambda: server.peers[0].stats().bitrate_kbps == 48, 14.0)
        assert player.lost == link.counters()["dropped"] == 0


@real_time_audio
def test_limited_listener_keeps_its_bitrate_in_another_channel() -> None:
    with listening() as (server, _, link):
        link.shape(64)
        wait_until(lambda: server.peers[0].stats().bitrate_kbps == 48, 10.0)
        time.sleep(1.0)  # The queue empties.
        dropped = link.counters()["dropped"]
        server.peers[0].set_channel("jazz")
        wait_until(lambda: server.peers[0].stats().bitrate_kbps == 32, 1.0)
        time.sleep(4.0)  # A probe comes after 5 s.
        assert server.peers[0].stats().bitrate_kbps == 32
        assert link.counters()["dropped"] == dropped
        link.shape()
        wait_until(lambda: server.peers[0].stats().bitrate_kbps == 160, 60.0)
