"""One UDP port for all peers of an ICE-lite server: passes datagrams to the connections that they belong to.

    STUN ─► the peer that signed it, from any address, so that a known address can become the path of a new peer
    DTLS ─► the peer that the path is mapped to: the first one that checked it, or the last one that validated it

The engine knows both, and drops everything else.

The addresses of the machine may change: they are looked up again with each request for candidates. New ones get a
socket; that of an address that is gone is closed when no peer's path is on it.

Loop thread only.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import socket
import time
from typing import Protocol

from ..core import Datagram
from ..errors import BassWebRtcError
from ..limited_log import LimitedLog
from ..rtc.candidate import Candidate, host_candidates, is_loopback
from ..rtc.ice_lite import Path
from .host import EngineHost
from .ice.addresses import format_address, local_addresses, open_sockets, socket_address, system_addresses

_log = logging.getLogger(__name__)

_LOOK_UP_INTERVAL_S = 1.0
"""Listing the addresses of the system takes milliseconds."""
_LINES_AT_ONCE = 16
"""Logged about addresses before the limit of one per second applies."""


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
        self._system = system_addresses()
        self._looked_up_s = time.perf_counter()
        self._announced = local_addresses(self._system)
        sockets = open_sockets(self._announced, port)
        self.port: int = sockets[0].getsockname()[1] if sockets else port or _free_port()
        self._sockets: dict[int, socket.socket] = {}
        self._addresses: dict[int, str] = {}
        """By index of their socket. An IPv6 link-local address has its zone."""
        self._unusable: set[str] = set()
        """Addresses without a socket that have been logged."""
        self._log = LimitedLog(_log, _LINES_AT_ONCE)
        self._by_slot: dict[int, DatagramReceiver] = {}
        self._by_path: dict[Path, list[int]] = {}
        for sock in sockets:
            self._add_socket(str(sock.getsockname()[0]), sock)
        self._public_ips = public_ips
        self._announce_local = announce_local
        host.set_datagram_handler(self._dispatch)

    # -- addresses

    def candidates(self, requested: str = "", remote: str = "") -> tuple[Candidate, ...]:
        """Return the candidates to announce, the most likely first: some clients use the first one only.

        Args:
            requested: The local address at which the request for a session arrived.
            remote: The address that it came from. Loopback candidates are announced to this machine only.
        """
        self._update(requested)
        is_local = is_loopback(remote)
        is_open = set(self._addresses.values())
        hosts = [host for host in dict.fromkeys((requested, *self._announced)) if host in is_open]
        own = [host for host in hosts if (is_local if is_loopback(host) else self._announce_local)]
        announced = dict.fromkeys([*self._public_ips, *own]) or dict.fromkeys(hosts)
        # Zones have a meaning on this machine only (RFC 6874, 1).
        return host_candidates((host.partition("%")[0], self.port) for host in announced)

    def _update(self, requested: str) -> None:
        """Open sockets for new addresses, and for the one at which a request arrived; close those of former ones."""
        now_s = time.perf_counter()
        if now_s >= self._looked_up_s + _LOOK_UP_INTERVAL_S:
            self._looked_up_s = now_s
            self._system = system_addresses()
            self._announced = local_addresses(self._system)
            self._close_former(requested)
        for host in (requested, *self._announced):
            if host and host not in self._addresses.values():
                self._open(host)

    def _open(self, host: str) -> None:
        """Open a socket for an address, unless the address is gone again."""
        try:
            for sock in open_sockets([host], self.port):
                self._add_socket(host, sock)
        except (BassWebRtcError, OSError) as error:
            if host not in self._unusable:
                self._unusable.add(host)
                self._log.warning(f"no media on {format_address(host, self.port)}: {error}", time.perf_counter())
        else:
            self._unusable.discard(host)

    def _add_socket(self, host: str, sock: socket.socket) -> None:
        try:
            index = self.host.add_socket(sock)
        except BassWebRtcError:
            sock.close()
            self._close_one_unused()
            raise
        self._sockets[index] = sock
        self._addresses[index] = host

    def _close_former(self, requested: str) -> None:
        """Close the sockets of addresses that are gone, except those that peers have a path on."""
        present = {requested, *(one.host for one in self._system)}
        self._unusable &= present  # A machine may have a whole network of addresses, and each request comes to one.
        for index, host in list(self._addresses.items()):
            if host not in present and not _exists(host) and not self._is_used(index):
                self._close(index)

    def _close_one_unused(self) -> None:
        """Make room for the next request, if it can be made: a machine may have thousands of addresses."""
        for index, host in self._addresses.items():
            if host not in self._announced and not self._is_used(index):
                self._close(index)
                return

    def _close(self, index: int) -> None:
        try:
            self.host.remove_socket(index)
        except BassWebRtcError:
            return  # The core is busy. The next request tries again.
        del self._sockets[index], self._addresses[index]

    def _is_used(self, index: int) -> bool:
        return any(path.socket == index for path in self._by_path)

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
        sock = self._sockets.get(path.socket)
        if sock is None:
            return  # The local address of this path is gone.
        with contextlib.suppress(OSError):  # Unreachable, or the buffer is full. All of these protocols retransmit.
            sock.sendto(data, socket_address(path.host, path.port))

    def _dispatch(self, datagram: Datagram) -> None:
        if datagram.socket not in self._sockets:
            return  # Sent to the bridge by another program on this machine: the bridge forwards RTP and RTCP only.
        receiver = self._by_slot.get(datagram.peer)
        if receiver is not None:
            receiver.receive(datagram.data, Path(datagram.socket, datagram.host, datagram.port), datagram.time_s)


def _exists(host: str) -> bool:
    """Whether a socket can be bound to an address: also to one that the system does not list, such as 127.0.0.2."""
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind(socket_address(host, 0))
    except OSError as error:
        return error.errno != errno.EADDRNOTAVAIL and error.errno != errno.ENODEV
    return True


def _free_port() -> int:
    """Choose a port while the machine has no address at all."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])
