"""Which peer gets the datagrams of an address that several of them have checked; sockets for changing addresses."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import cast

import pytest

from bass_webrtc.core import Datagram
from bass_webrtc.errors import BassWebRtcError
from bass_webrtc.peer import mux as mux_module
from bass_webrtc.peer.host import EngineHost
from bass_webrtc.peer.ice.addresses import LocalAddress
from bass_webrtc.peer.mux import UdpMux
from bass_webrtc.rtc import stun
from bass_webrtc.rtc.ice_lite import Path

PATH = Path(0, "192.0.2.7", 50_000)
DTLS = b"\x16\xfe\xfd" + bytes(20)


class Host:
    """An engine that knows only the addresses that are mapped to peers."""

    def __init__(self) -> None:
        self.engine = self
        self.mapped: dict[tuple[int, str, int], int] = {}
        self.sockets: dict[int, socket.socket] = {}
        self.removed: list[int] = []
        self.limit = 64
        self.is_busy = False
        self.dispatch: Callable[[Datagram], None]

    def add_socket(self, sock: socket.socket) -> int:
        if len(self.sockets) == self.limit:
            raise BassWebRtcError(f"{self.limit} UDP sockets are open, which is the limit")
        index = next(number for number in range(self.limit) if number not in self.sockets)
        self.sockets[index] = sock
        return index

    def remove_socket(self, index: int) -> None:
        if self.is_busy:
            raise BassWebRtcError("cannot remove the UDP socket (core status -5)")
        self.removed.append(index)
        self.sockets.pop(index).close()

    def set_datagram_handler(self, handler: Callable[[Datagram], None]) -> None:
        self.dispatch = handler

    def map_address(self, peer: int, socket_index: int, host: str, port: int) -> None:
        self.mapped[socket_index, host, port] = peer

    def unmap_address(self, peer: int, socket_index: int, host: str, port: int) -> None:
        if self.mapped.get((socket_index, host, port)) == peer:
            del self.mapped[socket_index, host, port]


class Receiver:
    """A connection that keeps what it receives."""

    def __init__(self) -> None:
        self.received: list[bytes] = []

    def receive(self, data: bytes, path: Path, now_s: float) -> None:
        self.received.append(data)


@pytest.fixture
def host() -> Iterator[Host]:
    made = Host()
    yield made
    for sock in made.sockets.values():
        sock.close()


@pytest.fixture
def mux(host: Host) -> UdpMux:
    return UdpMux(cast(EngineHost, host), 0)


def owner(host: Host) -> int | None:
    return host.mapped.get((PATH.socket, PATH.host, PATH.port))


def test_check_does_not_take_an_address_from_another_peer(host: Host, mux: UdpMux) -> None:
    mux.add_path(PATH, 1)
    mux.add_path(PATH, 2)
    assert owner(host) == 1


def test_validated_peer_takes_the_address(host: Host, mux: UdpMux) -> None:
    mux.add_path(PATH, 1)
    mux.add_path(PATH, 2)
    mux.validate_path(PATH, 2)
    assert owner(host) == 2
    mux.validate_path(PATH, 2)
    assert owner(host) == 2


@pytest.mark.parametrize(("removed", "left"), [(1, 2), (2, 1)])
def test_address_of_a_removed_peer_passes_to_the_other(host: Host, mux: UdpMux, removed: int, left: int) -> None:
    mux.add_path(PATH, 1)
    mux.add_path(PATH, 2)
    mux.remove_path(PATH, removed)
    mux.remove_path(PATH, removed)
    assert owner(host) == left
    mux.remove_path(PATH, left)
    assert owner(host) is None


def test_datagram_reaches_the_peer_that_the_engine_names(host: Host, mux: UdpMux) -> None:
    """The peer that signed it, even if another one has the address."""
    first, second = Receiver(), Receiver()
    for slot, receiver in enumerate((first, second)):
        mux.add_slot(slot, receiver)
    mux.add_path(PATH, 0)
    mux.add_path(PATH, 1)
    response = stun.build(stun.BINDING_SUCCESS, bytes(12), (), b"password")
    host.dispatch(Datagram(1, PATH.socket, PATH.host, PATH.port, 1.0, response))
    host.dispatch(Datagram(0, PATH.socket, PATH.host, PATH.port, 1.0, DTLS))
    assert (first.received, second.received) == ([DTLS], [response])


class Machine:
    """The addresses of the system, as tests change them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.hosts = ["127.0.0.1"]
        self.now_s = 100.0
        monkeypatch.setattr(mux_module, "system_addresses", lambda: [LocalAddress.parse(host) for host in self.hosts])
        monkeypatch.setattr(mux_module, "local_addresses", lambda known: [one.host for one in known])
        monkeypatch.setattr(mux_module, "time", SimpleNamespace(perf_counter=lambda: self.now_s))
        # All of 127.0.0.0/8 can be bound, so this cannot be left to the system.
        monkeypatch.setattr(mux_module, "_exists", lambda host: host in self.hosts)

    def have(self, *hosts: str) -> None:
        self.hosts = list(hosts)
        self.now_s += 1.0


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch)


def announced(mux: UdpMux, requested: str = "") -> list[str]:
    return [candidate.host for candidate in mux.candidates(requested, "127.0.0.1")]


def test_addresses_are_looked_up_again_once_a_second(machine: Machine, host: Host, mux: UdpMux) -> None:
    assert announced(mux) == ["127.0.0.1"]
    machine.hosts = ["127.0.0.1", "127.0.0.2"]
    machine.now_s += 0.9
    assert announced(mux) == ["127.0.0.1"]
    machine.now_s += 0.1
    assert announced(mux) == ["127.0.0.1", "127.0.0.2"]
    assert {sock.getsockname() for sock in host.sockets.values()} == {
        ("127.0.0.1", mux.port),
        ("127.0.0.2", mux.port),
    }


def test_requested_address_is_first_even_if_the_system_does_not_list_it(machine: Machine, mux: UdpMux) -> None:
    assert announced(mux, "127.0.0.9") == ["127.0.0.9", "127.0.0.1"]
    assert announced(mux) == ["127.0.0.1"]


def test_socket_of_a_former_address_is_closed_when_no_path_is_on_it(machine: Machine, host: Host, mux: UdpMux) -> None:
    machine.have("127.0.0.1", "127.0.0.2")
    announced(mux)
    mux.add_path(Path(1, "127.0.0.7", 50_000), 3)
    machine.have("127.0.0.1")
    assert announced(mux) == ["127.0.0.1"]
    assert host.removed == []
    mux.remove_path(Path(1, "127.0.0.7", 50_000), 3)
    machine.have("127.0.0.1")
    announced(mux)
    assert host.removed == [1]
    mux.send(b"late", Path(1, "127.0.0.7", 50_000))
    host.dispatch(Datagram(3, 1, "127.0.0.7", 50_000, 1.0, DTLS))


def test_socket_that_the_core_cannot_release_yet_is_closed_later(machine: Machine, host: Host, mux: UdpMux) -> None:
    machine.have("127.0.0.1", "127.0.0.2")
    announced(mux)
    host.is_busy = True
    machine.have("127.0.0.1")
    assert announced(mux) == ["127.0.0.1"]
    assert host.removed == []
    host.is_busy = False
    machine.have("127.0.0.1")
    announced(mux)
    assert host.removed == [1]


def test_full_table_of_sockets_is_logged_and_makes_room(
    machine: Machine, host: Host, mux: UdpMux, caplog: pytest.LogCaptureFixture
) -> None:
    host.limit = 3
    for number in (2, 3):
        assert announced(mux, f"127.0.0.{number}") == [f"127.0.0.{number}", "127.0.0.1"]
    mux.add_path(Path(1, "127.0.0.7", 50_000), 3)
    for _ in range(2):
        found = announced(mux, "127.0.0.4")
    assert found == ["127.0.0.4", "127.0.0.1"]
    assert host.removed == [2], "the one without a path"
    assert [record.getMessage() for record in caplog.records] == [
        f"no media on 127.0.0.4:{mux.port}: 3 UDP sockets are open, which is the limit"
    ]


def test_requests_to_thousands_of_own_addresses_leave_few_traces(
    machine: Machine, host: Host, mux: UdpMux, caplog: pytest.LogCaptureFixture
) -> None:
    """A machine may have all of a /64, and anyone can send a request to each address."""
    host.limit = 1
    for number in range(2000):
        announced(mux, f"127.0.{number // 200 + 1}.{number % 200 + 1}")
    machine.have("127.0.0.1")
    announced(mux)
    assert len(caplog.records) < 100
    assert not mux._unusable


def test_port_that_is_taken_on_a_new_address_is_logged_once(
    machine: Machine, mux: UdpMux, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.2", mux.port))
        machine.have("127.0.0.1", "127.0.0.2")
        for _ in range(3):
            assert announced(mux) == ["127.0.0.1"]
    assert len(caplog.records) == 1
    assert announced(mux) == ["127.0.0.1", "127.0.0.2"]


def test_machine_without_any_address_gets_a_port_and_later_a_socket(machine: Machine, host: Host) -> None:
    machine.hosts = []
    mux = UdpMux(cast(EngineHost, host), 0)
    assert mux.port > 0
    assert announced(mux) == []
    machine.have("127.0.0.1")
    assert announced(mux) == ["127.0.0.1"]
