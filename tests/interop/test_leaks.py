"""A server leaks nothing over a thousand players or two hundred publishers."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

import bass_webrtc as bw
from support.conformance import covers
from support.driving import connect, drive
from support.farm import PlayerFarm
from support.player import Certificate, Player
from support.publisher_farm import PublisherFarm
from support.reruns import real_time_audio
from support.server_process import ServerProcess

pytestmark = real_time_audio

BATCH = 25
CYCLES = 1_000
PUBLISHERS = 5
PUBLISHER_CYCLES = 200
PLACES = 2
"""Twice as many slots: the audio threads release a slot some milliseconds after the DELETE."""


@contextmanager
def _nothing_left(server: ServerProcess) -> Iterator[None]:
    """Compare the server's resources before and after."""
    before = server.resources()
    yield
    after = server.resources()
    assert after["threads"] == before["threads"]
    assert after["descriptors"] == before["descriptors"]
    assert after["tasks"] == before["tasks"]
    assert after["memory_kb"] - before["memory_kb"] < 2_000
    assert server.stats()["active_peers"] == 0


@covers("SE61", "WS56")
@pytest.mark.timeout(400)
def test_a_thousand_connections_leak_nothing(farm: PlayerFarm) -> None:
    """Threads, descriptors and tasks return to their counts before, memory to within 2 MB."""
    with ServerProcess(max_peers=PLACES * BATCH) as server:
        # The first connections fill caches, free lists and allocator arenas.
        _cycle(server, farm, 200)
        with _nothing_left(server):
            _cycle(server, farm, CYCLES)


@covers("SE61", "WS56")
@pytest.mark.timeout(400)
def test_two_hundred_publishers_leak_nothing() -> None:
    """The same for publishers, each heard before it leaves."""
    with ServerProcess(max_peers=PLACES * PUBLISHERS) as server, PublisherFarm() as publishers:
        _publish(server, publishers, 100)
        with _nothing_left(server):
            _publish(server, publishers, PUBLISHER_CYCLES)


@covers("SE20", "RT7", "WS55")
def test_vanished_peers_are_removed_after_thirty_seconds() -> None:
    """Peers that send nothing, or only RTCP: removed 30 s after their last check, not before.

    Other peers are not affected, not even one that sends checks but no RTCP: consent decides (RFC 7675).
    """
    ended: dict[int, tuple[float, str]] = {}
    certificate = Certificate()
    vanished, reporter, checker, listener = players = [Player(certificate) for _ in range(4)]
    config = bw.ServerConfig(http_port=0, udp_port=0, max_peers=4, max_peers_per_address=4)
    with bw.Server(bw.Tone(), config) as server:
        server.start()
        server.on("peer_disconnected", lambda peer, reason: ended.update({peer.id: (time.monotonic(), reason)}))
        for player in players:
            connect(player, f"{server.url}whep")
        drive(players, lambda: False, 1.0)
        start_s = time.monotonic()
        vanished.vanish()
        reporter.keeps_consent = checker.reports = False
        drive(players, lambda: False, 10.0)
        assert not ended
        drive(players, lambda: len(ended) == 2, 26.0)
        waits_s = {peer: at_s - start_s for peer, (at_s, _) in ended.items()}
        reasons = {peer: reason for peer, (_, reason) in ended.items()}
        assert waits_s.keys() == {0, 1}
        assert all("consent expired" in reason for reason in reasons.values())
        assert all(24.0 <= wait_s <= 31.0 for wait_s in waits_s.values())
        assert [peer.id for peer in server.peers] == [2, 3]
        assert (checker.counters.missing, listener.counters.missing) == (0, 0)
        again = Player(certificate)
        connect(again, f"{server.url}whep")


def _cycle(server: ServerProcess, farm: PlayerFarm, count: int) -> None:
    for _ in range(count // BATCH):
        farm.connect(server.whep_url, BATCH)
        assert farm.disconnect() == {"200": BATCH}
    _wait_until_alone(server)


def _publish(server: ServerProcess, publishers: PublisherFarm, count: int) -> None:
    for _ in range(count // PUBLISHERS):
        for _ in range(PUBLISHERS):
            assert publishers.publish(server.whip_url, 440.0) == 201
        deadline_s = time.monotonic() + 10.0
        while sum(peer["packets_received"] > 0 for peer in server.stats()["peers"]) < PUBLISHERS:
            assert time.monotonic() < deadline_s, "a publisher is not received"
            time.sleep(0.02)
        publishers.disconnect()
        _wait_until_alone(server)


def _wait_until_alone(server: ServerProcess) -> None:
    """Keep-alive connections of the last DELETE requests time out."""
    deadline_s = time.monotonic() + 5.0
    while server.stats()["active_peers"] and time.monotonic() < deadline_s:
        time.sleep(0.1)
