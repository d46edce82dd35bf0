"""Floods of STUN and DTLS: from anybody, from a peer that is not connected yet, and recorded from an honest peer.

Only a limited number of authentic datagrams per peer reaches the loop thread, so nobody else notices.
"""

from __future__ import annotations

import secrets
import socket
import time
from collections.abc import Callable, Iterator

import pytest

from support import stun, usage
from support.attacks import BOUND, HonestPeer, Measured, flood
from support.driving import connect, drive
from support.player import Certificate, Player
from support.reruns import measures_waits
from support.server_process import ServerProcess

pytestmark = measures_waits

FLOOD_S = 2.0
DATAGRAMS = 20_000
"""Prepared before the flood, so that it costs no time."""


@pytest.fixture
def server() -> Iterator[ServerProcess]:
    with ServerProcess() as server:
        yield server


@pytest.fixture
def attacker(server: ServerProcess) -> Iterator[Player]:
    """A peer with a session, whose address one check has made known."""
    player = Player(Certificate())
    assert player.post(server.whep_url, time.monotonic())
    assert drive([player], lambda: player.state == "handshake")
    yield player
    player.vanish()


def new_checks(attacker: Player) -> list[bytes]:
    """Authentic, each with a transaction id of its own."""
    return [attacker.check() for _ in range(DATAGRAMS)]


def one_check(attacker: Player) -> list[bytes]:
    """Authentic, always the same."""
    return [attacker.check()]


def checks_in_the_wrong_role(attacker: Player) -> list[bytes]:
    """Authentic, and each asks for the other role, which is answered with an error."""
    username = f"{attacker.answer.ufrag}:x".encode()
    controlled = [(stun.USERNAME, username), (stun.ICE_CONTROLLED, bytes(8))]
    return [
        stun.Message(stun.BINDING_REQUEST, attributes=controlled).encode(attacker.answer.password)
        for _ in range(DATAGRAMS)
    ]


def unknown_ufrag(attacker: Player) -> list[bytes]:
    return [stun.check(f"nobody{number}:x", attacker.answer.password) for number in range(1000)]


def wrong_password(attacker: Player) -> list[bytes]:
    return [stun.check(f"{attacker.answer.ufrag}:x", "x" * 24) for _ in range(1000)]


def long_messages_with_wrong_password(attacker: Player) -> list[bytes]:
    """The costliest to refuse."""
    username = (stun.USERNAME, f"{attacker.answer.ufrag}:x".encode())
    padding = (0x8022, bytes(1900))
    return [stun.Message(stun.BINDING_REQUEST, attributes=[username, padding]).encode("x" * 24) for _ in range(100)]


def forged_responses(attacker: Player) -> list[bytes]:
    return [stun.Message(stun.BINDING_SUCCESS).encode("x" * 24) for _ in range(1000)]


def handshake_records(attacker: Player) -> list[bytes]:
    """Well-formed DTLS records with random fragments, as anybody can send them from a forged address."""
    header = bytes.fromhex("16fefd 0000 000000000001 0040")
    return [header + b"\x01" + secrets.token_bytes(63) for _ in range(1000)]


def any_first_byte(attacker: Player) -> list[bytes]:
    return [bytes([number % 256]) + secrets.token_bytes(60) for number in range(1024)]


@pytest.mark.parametrize(
    ("content", "rate_per_s"),
    [
        (new_checks, 20_000),
        (one_check, 25_000),
        (checks_in_the_wrong_role, 10_000),
        (unknown_ufrag, 50_000),
        (wrong_password, 50_000),
        (long_messages_with_wrong_password, 20_000),
        (forged_responses, 20_000),
        (handshake_records, 20_000),
        (any_first_byte, 20_000),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_flood_of_one_peer_delays_nobody(
    server: ServerProcess,
    attacker: Player,
    content: Callable[[Player], list[bytes]],
    rate_per_s: int,
    measured: Measured,
) -> None:
    datagrams = content(attacker)
    with HonestPeer(server.url) as honest:
        honest.begin()
        cpu_s = usage.cpu_s(server.pid)
        rate = flood(lambda number: attacker.send(datagrams[number % len(datagrams)]), rate_per_s, FLOOD_S)
        share = (usage.cpu_s(server.pid) - cpu_s) / FLOOD_S
        figures = honest.end()
    name = content.__name__.replace("_", " ")
    measured(f"{name}, {rate:.0f} per second", BOUND, f"{figures}, {share:.0%} of a core")
    figures.assert_unharmed()
    stats = server.stats()
    assert stats["datagrams_dropped"] + stats["datagrams_limited"] > 1000


def test_recorded_checks_sent_again_do_not_use_up_the_quota_of_their_peer(
    server: ServerProcess, measured: Measured
) -> None:
    """From another address, 5,000 per second: the peer's own checks are all answered."""
    peer = Player(Certificate())
    connect(peer, server.whep_url)
    assert peer.socket is not None
    recorded = [peer.check() for _ in range(20)]
    for check in recorded:
        peer.send(check)
    elsewhere = socket.socket(type=socket.SOCK_DGRAM)
    elsewhere.connect(peer.socket.getpeername())
    answered: list[bytes] = []
    handle = peer.handle_datagram

    def note_answer(data: bytes, now_s: float) -> None:
        if data[:2] == stun.BINDING_SUCCESS.to_bytes(2):
            answered.append(data[8:20])
        handle(data, now_s)

    peer.handle_datagram = note_answer  # type: ignore[method-assign]
    sent = []
    for _ in range(20):
        flood(lambda number: elsewhere.send(recorded[number % 20]), 5_000, 0.1)
        check = peer.check()
        sent.append(check[8:20])
        peer.send(check)
    assert drive([peer], lambda: set(sent) <= set(answered), 2.0), "each of the peer's own checks is answered"
    measured("5,000 recorded checks per second", "all new checks answered", f"{len(sent)} of {len(sent)}")
    assert server.stats()["datagrams_limited"] > 1000
    elsewhere.close()
    assert peer.delete() == 200
