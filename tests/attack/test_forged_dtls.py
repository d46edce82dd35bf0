"""Forged plaintext DTLS records from a peer's own address, during and after its handshake, in both DTLS roles."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import count, cycle, islice

import pytest

from support.attacks import MAX_WAIT_MS, HonestPeer, Measured, flood
from support.conformance import covers
from support.driving import connect, drive
from support.player import Certificate, Player
from support.reruns import measures_waits
from support.server_process import ServerProcess

CLIENT_HELLO, SERVER_HELLO, HELLO_VERIFY_REQUEST, CERTIFICATE = 1, 2, 3, 11
MESSAGES = (0, SERVER_HELLO, HELLO_VERIFY_REQUEST, 4, CERTIFICATE, 12, 13, 14, 15, 16, 20, 22)
SETUPS = ("actpass", "passive")
"""Of the offer: with "passive" the server is the DTLS client."""


numbers = count(1000)


def record(content_type: int, fragment: bytes, *, epoch: int = 0) -> bytes:
    """Return a record with a new number, so that it does not look like a replay."""
    header = bytes((content_type, 0xFE, 0xFD)) + epoch.to_bytes(2) + next(numbers).to_bytes(6)
    return header + len(fragment).to_bytes(2) + fragment


def message(kind: int, sequence: int, body: bytes, *, length: int | None = None, offset: int = 0) -> bytes:
    length = len(body) if length is None else length
    header = bytes((kind,)) + length.to_bytes(3) + sequence.to_bytes(2) + offset.to_bytes(3) + len(body).to_bytes(3)
    return record(22, header + body)


def client_hello(number: int) -> bytes:
    """Return a ClientHello that any WebRTC server answers."""
    groups, points, signatures = "000a00060004001d0017", "000b00020100", "000d000400020403"
    extensions = bytes.fromhex(groups + points + signatures + "000e0005000200070000170000")
    ciphers = bytes.fromhex("0002c02b0100")
    body = b"\xfe\xfd" + number.to_bytes(32) + b"\x00\x00" + ciphers + len(extensions).to_bytes(2) + extensions
    return message(CLIENT_HELLO, 0, body)


def alerts() -> list[bytes]:
    return [record(21, bytes((level, what))) for level in (1, 2) for what in (0, 10, 40, 42, 70)]


def other_records() -> list[bytes]:
    sealed = [
        record(kind, bytes(size), epoch=epoch) for kind in (20, 21, 22, 23) for size in (2, 60) for epoch in (1, 2)
    ]
    return [record(20, b"\x01"), record(23, b"data"), record(22, b"\xff" * 90), *sealed]


def even_messages() -> list[bytes]:
    return messages()[::2]


def odd_messages() -> list[bytes]:
    return messages()[1::2]


def messages() -> list[bytes]:
    bodies = (b"", bytes(100))
    whole = [message(kind, sequence, body) for kind in MESSAGES for sequence in range(5) for body in bodies]
    return whole + [
        message(kind, 1, bytes(50), length=length, offset=7) for kind in MESSAGES for length in (400, 1 << 23)
    ]


def hellos() -> list[bytes]:
    return [client_hello(number) for number in range(20)]


_AT_ONCE = 12
"""Forged records before one datagram. A peer's quota has room for a handshake's worth of them; no quota would have for
any number."""


class Attacked(Player):
    """A player from whose address somebody sends forged records before each of its DTLS datagrams but the first."""

    def __init__(self, certificate: Certificate, setup: str, forged: list[bytes], *, first: bool) -> None:
        super().__init__(certificate, setup=setup)
        self._forged = cycle(forged)
        self._count = min(_AT_ONCE, len(forged))
        self._is_exposed = first

    def _send(self, datagram: bytes) -> None:
        if 20 <= datagram[0] < 64:
            for forged in islice(self._forged, self._count) if self._is_exposed else ():
                super()._send(forged)
            self._is_exposed = True
        super()._send(datagram)


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    with ServerProcess(max_peers=10) as found:
        yield found


@covers("SE43")
@pytest.mark.parametrize("setup", SETUPS)
@pytest.mark.parametrize("forged", [alerts, other_records, even_messages, odd_messages])
def test_peer_connects_whatever_is_forged_during_its_handshake(
    server: ServerProcess,
    setup: str,
    forged: Callable[[], list[bytes]],
    measured: Measured,
) -> None:
    began_s = time.monotonic()
    player = Attacked(Certificate(), setup, forged(), first=True)
    connect(player, server.whep_url)
    elapsed_ms = (time.monotonic() - began_s) * 1000
    assert drive([player], lambda: player.counters.packets > 20)
    assert sum(peer["dtls_records_ignored"] for peer in server.stats()["peers"]) > 0
    player.delete()
    measured(f"forged DTLS {forged.__name__}, {setup}", "connects", f"after {elapsed_ms:.0f} ms")


@covers("SE41")
def test_client_connects_while_others_send_client_hellos(server: ServerProcess) -> None:
    player = Attacked(Certificate(), "actpass", hellos(), first=False)
    connect(player, server.whep_url)
    player.delete()


@covers("SE43")
@pytest.mark.parametrize("setup", SETUPS)
def test_forged_records_do_not_end_a_connection(server: ServerProcess, setup: str) -> None:
    player = Player(Certificate(), setup=setup)
    connect(player, server.whep_url)
    for data in (*alerts(), *other_records(), *messages(), *hellos()):
        player.send(data)
    before = player.counters.packets
    assert drive([player], lambda: player.counters.packets > before + 100)
    assert player.state == "connected"
    player.delete()


@covers("SE41", "SE43")
@measures_waits
def test_flood_of_client_hellos_and_fragments_gets_few_answers(server: ServerProcess, measured: Measured) -> None:
    """From a peer that never completes its handshake. A listener beside it is not affected."""
    player = Player(Certificate(), setup="active")
    player.loses = lambda: player.state == "handshake"  # What it sends and gets from DTLS on is dropped.
    assert player.post(server.whep_url, time.monotonic())
    assert drive([player], lambda: player.state == "handshake")
    udp = player.socket
    assert udp is not None
    sent = 0

    def attack(number: int) -> None:
        nonlocal sent
        data = client_hello(number) if number % 2 else message(CERTIFICATE, 1, bytes(200), length=8000, offset=number)
        sent += udp.send(data)

    with HonestPeer(server.url) as honest:
        honest.begin()
        rate = flood(attack, 1000, 2.0)
        figures = honest.end()
    received = 0
    while True:
        try:
            received += len(udp.recv(2048))
        except BlockingIOError:
            break
    player.vanish()
    measured(f"{rate:.0f} ClientHellos and fragments per second", f"{MAX_WAIT_MS:.0f} ms", figures)
    measured(f"{sent} bytes of them", "fewer bytes answered", received)
    figures.assert_unharmed()
    assert received < 10_000
