"""One UDP port for all peers of an ICE-lite server: passes datagrams to the connections that they belong to.

    STUN ─► the peer that signed it, from any address, so that a known address can become the path of a new peer
    DTLS ─► the peer that the path is mapped to: the first one that checked it, or the last one that validated it

The engine knows both, and drops everything else.

Loop thread only.
"""

from __future__ import annotations

import contextlib
from typing import Protocol

from ..core import Datagram
from ..rtc.candidate import Candidate, host_candidates, is_loopback
from ..rtc.ice_lite import Path
from .host import EngineHost
from .ice.addresses import format_address, local_addresses, open_sockets


class DatagramReceiver(Protocol):
    """A connection that receives datagrams from the mux."""

    def receive(self, data: bytes, path: Path, now_s: float) -> None:
        """Handle one datagram of this peer."""


class UdpMux:
    """UDP sockets on all local addresses with the same port.

    Attributes:
        host: The engine that shares the sockets.
        port: The UDP port.
    """

    def __init__(
        self, host: EngineHost, port: int, public_ips: tuple[str, ...] = (), *, announce_local: bool = True
    ) -> None:
        """Bind the sockets and receive the engine's datagrams.

        Args:
            host: Gets the sockets.
            port: 0 chooses a free port.
            public_ips: Addresses to announce in addition to the local ones.
            announce_local: Whether to announce local addresses (RFC 8827, 6.4).

        Raises:
            PortInUseError: Another program uses the port.
        """
        self.host = host
        sockets = open_sockets(local_addresses(), port)
        self.port: int = sockets[0].getsockname()[1]
        self._sockets = {host.add_socket(sock): sock for sock in sockets}
        self._addresses = {index: str(sock.getsockname()[0]) for index, sock in self._sockets.items()}
        self._public_ips = public_ips
        self._announce_local = announce_local
        self._by_slot: dict[int, DatagramReceiver] = {}
        self._by_path: dict[Path, list[int]] = {}
        host.set_datagram_handler(self._dispatch)

    # -- addresses

    def candidates(self, requested: str = "", remote: str = "") -> tuple[Candidate, ...]:
        """Return the candidates to announce, the most likely first: some clients use the first one only.

        Args:
            requested: The local address at which the request for a session arrived.
            remote: The address that it came from. Loopback candidates are announced to this machine only.
        """
        is_local = is_loopback(remote)
        hosts = list(self._addresses.values())
        own = [host for host in hosts if (is_local if is_loopback(host) else self._announce_local)]
        own.sort(key=lambda host: host != requested)
        announced = dict.fromkeys([*self._public_ips, *own]) or dict.fromkeys(hosts)
        return host_candidates((host, self.port) for host in announced)

    def local_address(self, path: Path) -> str:
        """Return the local end of a path as ``host:port``."""
        return format_address(self._addresses[path.socket], self.port)

    # -- receivers

    def add_slot(self, slot: int, receiver: DatagramReceiver) -> None:
        """Pass the datagrams of this slot's peer to the receiver."""
        self._by_slot[slot] = receiver

    def remove_slot(self, slot: int) -> None:
        """Drop the datagrams of this slot's peer."""
        self._by_slot.pop(slot, None)

    # -- paths

    def add_path(self, path: Path, slot: int) -> None:
        """Map a path to a slot, unless it is mapped to another one: a check alone does not take it away."""
        slots = self._by_path.setdefault(path, [])
        slots.append(slot)
        if len(slots) == 1:
            self._map(path, slot)

    def validate_path(self, path: Path, slot: int) -> None:
        """Map a path that belongs to this slot, which has been added to it, even if another slot had it."""
        slots = self._by_path[path]
        if slots[0] != slot:
            slots.remove(slot)
            slots.insert(0, slot)
            self._map(path, slot)

    def remove_path(self, path: Path, slot: int) -> None:
        """Undo ``add_path``, if it was called."""
        slots = self._by_path.get(path, [])
        if slot not in slots:
            return
        was_mapped = slots[0] == slot
        slots.remove(slot)
        if not slots:
            del self._by_path[path]
            self.host.engine.unmap_address(slot, path.socket, path.host, path.port)
        elif was_mapped:
            self._map(path, slots[0])

    def _map(self, path: Path, slot: int) -> None:
        self.host.engine.map_address(slot, path.socket, path.host, path.port)

    # -- datagrams

    def send(self, data: bytes, path: Path) -> None:
        """Send a STUN, DTLS or SRTCP datagram; never blocks. One that the system refuses is lost."""
        with contextlib.suppress(OSError):  # Unreachable, or the buffer is full. All of these protocols retransmit.
            self._sockets[path.socket].sendto(data, (path.host, path.port))

    def _dispatch(self, datagram: Datagram) -> None:
        if datagram.socket not in self._sockets:
            return  # Sent to the bridge by another program on this machine: the bridge forwards RTP and RTCP only.
        receiver = self._by_slot.get(datagram.peer)
        if receiver is not None:
            receiver.receive(datagram.data, Path(datagram.socket, datagram.host, datagram.port), datagram.time_s)
