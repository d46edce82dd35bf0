"""RTP and RTCP that is forged, replayed or authentic but far too much, from the address of a connected peer.

Nothing forged may change what a publisher's packets find, and nobody else may notice.
"""

from __future__ import annotations

import secrets
import struct
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from support import usage
from support.attacks import BOUND, HonestPeer, Measured, flood
from support.driving import connect, drive
from support.player import Certificate, Player
from support.publisher import Publisher, ToneEncoder
from support.reruns import measures_waits
from support.server_process import ServerProcess

pytestmark = measures_waits

PAUSE_S = 1.3
"""Streams that were silent for a second used to make room for others."""
FORGED_PER_S, NACKS_PER_S = 5_000, 4_000
FLOOD_S = 2.0


@pytest.fixture
def server() -> Iterator[ServerProcess]:
    with ServerProcess() as server:
        yield server


@pytest.fixture
def publisher(server: ServerProcess) -> Publisher:
    """A publisher whose offer does not contain its SSRC."""
    return publish(server)


def publish(server: ServerProcess, ssrc: int | None = None) -> Publisher:
    publisher = Publisher(Certificate(), declared=False)
    publisher.rtp_ssrc = publisher.rtp_ssrc if ssrc is None else ssrc
    publisher.sequence = 65_500  # The roll-over counter will be 1 soon.
    publisher.connect(server.whip_url)
    assert drive([publisher], lambda: stats_of(server, "publisher")["state"] == "connected")
    return publisher


def stats_of(server: ServerProcess, kind: str) -> dict[str, Any]:
    (peer,) = (peer for peer in server.stats()["peers"] if peer["kind"] == kind)
    return peer  # type: ignore[no-any-return]


def wait_for(server: ServerProcess, field: str, value: int) -> int:
    """Return the publisher's counter once it has at least this value, or after a second."""
    deadline_s = time.monotonic() + 1.0
    while (found := stats_of(server, "publisher")[field]) < value and time.monotonic() < deadline_s:
        time.sleep(0.02)
    return int(found)


def forged_rtp(ssrc: int) -> bytes:
    return struct.pack("!BBHII", 0x80, 111, secrets.randbits(16), secrets.randbits(32), ssrc) + secrets.token_bytes(60)


def forge(publisher: Publisher, ssrcs: list[int]) -> int:
    """Send forged RTP from the publisher's address; return the number of packets."""
    for ssrc in ssrcs:
        publisher.send(forged_rtp(ssrc))
    return len(ssrcs)


@pytest.mark.parametrize(
    "ssrcs",
    [[0], [0xFFFFFFFF], [1, 2, 3, 4], [0] * 4, [secrets.randbits(32) for _ in range(200)]],
    ids=["SSRC 0", "highest SSRC", "four SSRCs", "SSRC 0 four times", "200 SSRCs"],
)
def test_forged_rtp_does_not_silence_a_publisher(
    server: ServerProcess, publisher: Publisher, ssrcs: list[int], measured: Measured
) -> None:
    """Before its first packet, and in a pause after its sequence numbers have wrapped."""
    forged = forge(publisher, ssrcs)
    encoder = ToneEncoder(440.0)
    publisher.play(encoder, 1.0)
    forged += forge(publisher, [*ssrcs, publisher.rtp_ssrc])
    pause_ends_s = time.monotonic() + PAUSE_S
    drive([publisher], lambda: time.monotonic() >= pause_ends_s)
    forged += forge(publisher, ssrcs)
    publisher.play(encoder, 1.0)
    assert wait_for(server, "packets_received", 100) == 100
    stats = stats_of(server, "publisher")
    measured(
        f"{forged} forged RTP packets of {len(set(ssrcs))} SSRCs",
        "100 of 100 heard",
        f"{stats['packets_received']} of 100",
    )
    assert (stats["srtp_errors"], stats["packets_lost"]) == (forged, 0)


def test_ssrc_0_is_heard_and_reported(server: ServerProcess) -> None:
    publisher = publish(server, ssrc=0)
    reports: list[bytes] = []
    publisher.on_rtcp = reports.append
    publisher.play(ToneEncoder(440.0), 4.0)
    assert wait_for(server, "packets_received", 200) == 200
    assert stats_of(server, "publisher")["packets_lost"] == 0
    report = reports[0]
    assert (report[0] & 0x1F, report[1]) == (1, 201), "a receiver report with one block"
    assert report[8:12] == bytes(4), "about SSRC 0"


def test_authenticated_publisher_cannot_grow_memory_by_ssrcs(
    server: ServerProcess, publisher: Publisher, measured: Measured
) -> None:
    """RTP and RTCP of 20,000 SSRCs; its own stream remains."""
    encoder = ToneEncoder(440.0)
    publisher.play(encoder, 0.1)
    assert publisher.tx is not None
    before_kb = usage.memory_kb(server.pid)
    for number in range(10_000):
        publisher.send(publisher.protect(struct.pack("!BBHII", 0x80, 111, 1, 1, number) + bytes(20)))
        publisher.send(publisher.tx.protect_rtcp(struct.pack("!BBHI", 0x80, 201, 1, number)))
        if number % 50 == 0:
            drive([publisher], lambda: True)
            time.sleep(0.005)
    publisher.play(encoder, 0.2)
    grown_kb = usage.memory_kb(server.pid) - before_kb
    measured("RTP and RTCP of 10,000 SSRCs each", "2,000 kB", f"{grown_kb} kB")
    assert grown_kb < 2_000
    assert wait_for(server, "packets_received", 5 + 63 + 10) == 5 + 63 + 10


def test_forged_rtcp_flood_does_not_reach_the_loop_thread(
    server: ServerProcess, publisher: Publisher, measured: Measured
) -> None:
    """From the publisher's own address. Its stream and the others are heard."""
    encoder = ToneEncoder(440.0)
    junk = b"\x80\xc9\x00\x01" + secrets.token_bytes(60)
    with HonestPeer(server.url) as honest:
        publisher.play(encoder, 0.5)
        honest.begin()
        rate = flood(lambda _: publisher.send(junk), FORGED_PER_S, FLOOD_S)
        publisher.play(encoder, 0.5)
        figures = honest.end()
    measured(f"forged RTCP, {rate:.0f} per second", BOUND, figures)
    figures.assert_unharmed()
    assert server.stats()["events_dropped"] == 0
    assert wait_for(server, "packets_received", 50) == 50
    assert stats_of(server, "publisher")["srtp_errors"] > 0


def test_replayed_bye_ends_nothing(server: ServerProcess, publisher: Publisher) -> None:
    encoder = ToneEncoder(440.0)
    publisher.play(encoder, 0.5)
    assert publisher.tx is not None
    bye = struct.pack("!BBHI", 0x81, 203, 1, publisher.rtp_ssrc)
    datagram = publisher.tx.protect_rtcp(struct.pack("!BBHI", 0x80, 201, 1, publisher.rtp_ssrc) + bye)
    for _ in range(100):
        publisher.send(datagram)
    publisher.play(encoder, 0.5)
    assert wait_for(server, "packets_received", 50) == 50
    stats = stats_of(server, "publisher")
    assert (stats["state"], stats["srtp_errors"]) == ("connected", 99)


def nacks(player: Player) -> bytes:
    """Generic NACKs for 4,760 packets."""
    head = struct.pack("!BBHII", 0x81, 205, 282, player.ssrc, player.media_ssrc)
    return head + b"".join(struct.pack("!HH", 17 * item & 0xFFFF, 0xFFFF) for item in range(280))


def reports(player: Player) -> bytes:
    """31 report blocks about the server's stream, and 50 empty reports of other sources."""
    block = struct.pack("!IIIIII", player.media_ssrc, 0, 0, 0, 0, 0)
    others = b"".join(struct.pack("!BBHI", 0x80, 201, 1, secrets.randbits(32)) for _ in range(50))
    return struct.pack("!BBHI", 0x9F, 201, 1 + 6 * 31, player.ssrc) + block * 31 + others


def descriptions(player: Player) -> bytes:
    """A source description with 500 empty items."""
    return struct.pack("!BBHI", 0x81, 202, 252, player.ssrc) + b"\x01\x00" * 500 + bytes(4)


@pytest.mark.parametrize("content", [nacks, reports, descriptions])
def test_authentic_rtcp_flood_of_a_listener_delays_nobody(
    server: ServerProcess, content: Callable[[Player], bytes], measured: Measured
) -> None:
    attacker = Player(Certificate())
    connect(attacker, server.whep_url)
    drive([attacker], lambda: attacker.counters.packets > 10)
    assert attacker.tx is not None
    head = struct.pack("!BBHI", 0x80, 201, 1, attacker.ssrc)
    ready = [attacker.tx.protect_rtcp(head + content(attacker)) for _ in range(round(NACKS_PER_S * FLOOD_S))]
    with HonestPeer(server.url) as honest:
        honest.begin()
        cpu_s = usage.cpu_s(server.pid)
        rate = flood(lambda number: attacker.send(ready[number % len(ready)]), NACKS_PER_S, FLOOD_S)
        share = (usage.cpu_s(server.pid) - cpu_s) / FLOOD_S
        figures = honest.end()
    measured(f"{content.__name__}: {rate:.0f} RTCP datagrams per second", BOUND, f"{figures}, {share:.0%} of a core")
    figures.assert_unharmed()
    if content is nacks:
        flooded = next(peer for peer in server.stats()["peers"] if peer["nacks_ignored"])
        assert flooded["nacks_ignored"] > 1_000
