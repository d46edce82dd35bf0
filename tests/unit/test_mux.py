"""Which peer gets the datagrams of an address that several of them have checked."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from typing import cast

import pytest

from bass_webrtc.core import Datagram
from bass_webrtc.peer.host import EngineHost
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
        self.sockets: list[socket.socket] = []
        self.dispatch: Callable[[Datagram], None]

    def add_socket(self, sock: socket.socket) -> int:
        self.sockets.append(sock)
        return len(self.sockets) - 1

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
    for sock in made.sockets:
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
