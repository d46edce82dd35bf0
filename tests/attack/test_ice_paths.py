"""ICE paths: no forged, recorded or replayed check moves a stream, brings much to an address or silences a peer.

listener ── its checks ──► server          the attack has recorded them, or knows its own session's credentials
attack   ── the same from other addresses ──► server ── at most three times as many bytes ──► those addresses
"""

from __future__ import annotations

import contextlib
import itertools
import select
import socket
import time
from collections.abc import Callable, Iterator, Sequence

import pytest

from support import stun
from support.attacks import HonestPeer, Measured
from support.driving import connect, drive
from support.player import Certificate, Counters, Player
from support.publisher import Publisher, ToneEncoder
from support.reruns import measures_waits
from support.server_process import ServerProcess

HEADERS = 28
"""IPv4 and UDP."""
MAX_AMPLIFICATION = 3.0


class Elsewhere:
    """A socket at another address than the listener's: what is sent from it has a source that may be forged."""

    def __init__(self, server: tuple[str, int], host: str = "127.0.0.2") -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        self.socket.bind((host, 0))
        self.socket.setblocking(False)
        self._server = ("::1", server[1]) if ":" in host else server
        self.sent = self.received = 0
        self.datagrams: list[bytes] = []

    def send(self, data: bytes) -> None:
        self.sent += len(data) + HEADERS
        self.socket.sendto(data, self._server)

    def receive(self) -> list[bytes]:
        """Return the datagrams that have arrived since the last call."""
        new = []
        with contextlib.suppress(BlockingIOError):
            while True:
                new.append(self.socket.recv(4096))
        self.received += sum(len(data) + HEADERS for data in new)
        self.datagrams += new
        return new

    @property
    def amplification(self) -> float:
        """Bytes received per byte sent, with headers."""
        self.receive()
        return self.received / self.sent

    @property
    def media(self) -> int:
        """Number of RTP and RTCP packets received."""
        self.receive()
        return sum(data[0] >= 128 for data in self.datagrams)


@pytest.fixture(scope="module")
def certificate() -> Certificate:
    return Certificate()


@pytest.fixture
def server() -> Iterator[ServerProcess]:
    with ServerProcess() as running:
        yield running


class Listener(Player):
    """A player that records what it sends and checks its path as often as the test wants."""

    def __init__(self, certificate: Certificate, setup: str = "actpass") -> None:
        super().__init__(certificate, setup=setup)
        self.checks: list[bytes] = []

    def _send(self, datagram: bytes) -> None:
        if datagram[:2] == b"\x00\x01":
            self.checks.append(datagram)
        super()._send(datagram)

    @property
    def server(self) -> tuple[str, int]:
        assert self.socket is not None
        host, port = self.socket.getpeername()[:2]
        return host, port

    def new_check(self, use_candidate: bool = True, remote: str | None = None) -> bytes:
        """A check with a new transaction id, as somebody makes it who knows the credentials."""
        username = f"{self.answer.ufrag}:{remote or self._ufrag}"
        return stun.check(username, self.answer.password, use_candidate=use_candidate)


def listen(server: ServerProcess, certificate: Certificate, checks: int = 1) -> Listener:
    """Connect a listener that has sent so many checks."""
    listener = Listener(certificate)
    connect(listener, server.whep_url)
    while len(listener.checks) < checks:
        listener._check()
        drive([listener], lambda: False, 0.001)
    hear(listener, 0.3)
    return listener


def hear(listener: Listener, seconds: float, during: Callable[[], object] = lambda: None) -> float:
    """Listen; return the share of the packets that arrived."""
    listener.counters = Counters()
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        during()
        drive([listener], lambda: False, 0.02)
    return listener.counters.packets / (seconds * 50)


def answer_checks(attack: Elsewhere, password: str) -> None:
    """Answer the server's checks, signed with this password."""
    for data in attack.receive():
        if data[:2] == b"\x00\x01":
            host, port = attack.socket.getsockname()[:2]
            attack.send(stun.success(stun.decode(data), password, host, port))


@pytest.mark.parametrize("setup", ["actpass", "active", "passive"])
def test_one_check_from_a_forged_address_is_not_amplified(
    server: ServerProcess, certificate: Certificate, setup: str, measured: Measured
) -> None:
    """The attack has its own session; the check seems to come from the address of somebody else."""
    player = Listener(certificate, setup=setup)
    assert player.post(server.whep_url, time.monotonic())
    victim = Elsewhere(player.server)
    victim.send(player.new_check())
    time.sleep(3)
    measured(f"one check before DTLS, setup:{setup}", "3 times", f"{victim.amplification:.1f} times")
    assert 0 < victim.amplification <= MAX_AMPLIFICATION


def test_forged_client_hellos_are_not_amplified(
    server: ServerProcess, certificate: Certificate, measured: Measured
) -> None:
    """The server's flight with its certificate is longer than what makes it send that."""
    player = Listener(certificate, setup="active")
    assert player.post(server.whep_url, time.monotonic())
    victim = Elsewhere(player.server)
    victim.send(player.new_check())
    time.sleep(0.1)
    player._dtls.set_connect_state()
    with contextlib.suppress(Exception):
        player._dtls.do_handshake()
    hello = player._dtls.bio_read(4096)
    for _ in range(5):
        victim.send(hello)
        time.sleep(0.3)
    measured("a check and five ClientHellos", "3 times", f"{victim.amplification:.1f} times")
    assert 0 < victim.amplification <= MAX_AMPLIFICATION


@measures_waits
@pytest.mark.parametrize(
    "hosts",
    [["127.0.0.2"], ["127.0.0.1"], ["::1"], [f"127.0.0.{number}" for number in range(2, 22)]],
    ids=["other-host", "other-port", "IPv6", "20-hosts"],
)
def test_replayed_check_does_not_move_the_stream(
    server: ServerProcess, certificate: Certificate, hosts: Sequence[str], measured: Measured
) -> None:
    with HonestPeer(server.url) as honest:
        listener = listen(server, certificate, checks=5)
        attacks = [Elsewhere(listener.server, host) for host in hosts]
        honest.begin()
        recorded = itertools.cycle(listener.checks[:5])

        def replay() -> None:
            for one in attacks:
                one.send(next(recorded))

        heard = hear(listener, 3.0, replay)
        figures = honest.end()
        replayed = server.stats()["replayed_checks"]
        measured(f"check replayed from {len(hosts)} x {hosts[0]}", "listener hears 100 %", f"{heard:.0%}")
        assert heard > 0.95
        assert listener.counters.missing == 0
        assert sum(len(one.receive()) for one in attacks) == 0
        assert replayed + server.stats()["datagrams_limited"] > 100
        figures.assert_unharmed()


@pytest.mark.parametrize("count", [1, 40])
def test_check_older_than_the_memory_does_not_move_the_stream(
    server: ServerProcess, certificate: Certificate, count: int, measured: Measured
) -> None:
    """Its transaction id is as good as new: the address is checked first, and nobody there can answer."""
    listener = listen(server, certificate, checks=120)
    old = listener.checks[2:42]
    attacks = [Elsewhere(listener.server, f"127.0.0.{2 + number}") for number in range(count)]
    for one, check in zip(attacks, old, strict=False):
        one.send(check)
    heard = hear(listener, 3.0)
    worst = max(one.amplification for one in attacks)
    measured(f"{count} forgotten checks replayed", "listener hears 100 %, 3 times", f"{heard:.0%}, {worst:.1f} times")
    assert heard > 0.95
    assert listener.counters.missing == 0
    assert all(one.media == 0 for one in attacks)
    assert worst <= MAX_AMPLIFICATION


@pytest.mark.parametrize("password", ["wrong", "server's"])
def test_wrong_answer_does_not_validate_a_path(server: ServerProcess, certificate: Certificate, password: str) -> None:
    """The attack sends a check that is new and receives the server's, but does not know the listener's password."""
    listener = listen(server, certificate)
    attack = Elsewhere(listener.server)
    attack.send(listener.new_check())
    key = listener.answer.password if password == "server's" else "x" * 24
    heard = hear(listener, 2.0, lambda: answer_checks(attack, key))
    assert any(data[:2] == b"\x00\x01" for data in attack.datagrams)
    assert heard > 0.95
    assert attack.media == 0


def test_listener_that_moves_is_followed_and_stays_there(
    server: ServerProcess, certificate: Certificate, measured: Measured
) -> None:
    """A NAT rebinding. Afterwards, checks recorded before it move nothing, wherever they seem to come from."""
    listener = listen(server, certificate, checks=5)
    old = listener.socket
    assert old is not None
    began_s = time.monotonic()
    listener.move("127.0.0.1")
    listener.counters = Counters()
    assert drive([listener], lambda: listener.counters.packets > 0, 2.0)
    moved_s = time.monotonic() - began_s
    measured("a listener moves to another port", "1 s", f"{moved_s * 1000:.0f} ms")
    assert moved_s < 1.0
    hear(listener, 0.2)
    while select.select([old], [], [], 0)[0]:
        old.recv(4096)
    elsewhere = Elsewhere(listener.server)

    def replay() -> None:
        old.send(listener.checks[0])
        elsewhere.send(listener.checks[0])

    heard = hear(listener, 2.0, replay)
    assert heard > 0.95
    assert elsewhere.receive() == []
    old.close()


def test_replayed_check_of_a_publisher_does_not_affect_it(server: ServerProcess, certificate: Certificate) -> None:
    checks: list[bytes] = []

    class Recorded(Publisher):
        def _send(self, datagram: bytes) -> None:
            if datagram[:2] == b"\x00\x01":
                checks.append(datagram)
            super()._send(datagram)

    publisher = Recorded(certificate)
    publisher.connect(server.whip_url)
    assert publisher.socket is not None
    attack = Elsewhere(publisher.socket.getpeername()[:2])
    encoder = ToneEncoder(440.0)
    before = server.stats()["packets_received"]
    for _ in range(5):
        attack.send(checks[0])
        publisher.play(encoder, 0.2)
    assert server.stats()["packets_received"] - before >= 45
    assert attack.receive() == []


def test_check_of_another_session_does_not_take_a_listeners_address(
    server: ServerProcess, certificate: Certificate
) -> None:
    """The attack has a session of its own and sends its check with the listener's address as the source."""
    listener = listen(server, certificate)
    attack = Listener(certificate)
    assert attack.post(server.whep_url, time.monotonic())
    for _ in range(5):
        listener.send(attack.new_check())
        hear(listener, 0.1)
    assert hear(listener, 1.0) > 0.95
    listener.close_dtls()
    assert drive([listener], lambda: server.stats()["active_peers"] == 0, 3.0)
