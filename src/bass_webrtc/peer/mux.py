"""One UDP port for all peers: sorts what the network thread passes on to the connection it belongs to.

    STUN ─► by the user name fragment it names, so that a known address may come to belong to a new peer
    DTLS, SRTCP ─► by the address it came from, which the peer's STUN checks have proved

Lives on the loop thread, but for what says otherwise.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
from collections.abc import Callable
from typing import Protocol

from ..core import Datagram, Engine, EngineEvent, NewSsrc, PeerRemoved, SourceEnded
from ..errors import PeerLimitError
from ..rtc import stun
from ..rtc.candidate import Candidate, CandidatePolicy, host_candidates, is_loopback
from ..rtc.ice_lite import Path
from .sockets import local_addresses, open_sockets

_FIRST_BYTE_OF_DTLS = 20


class Receiver(Protocol):
    """What the mux asks of a connection."""

    def receive(self, data: bytes, path: Path, now_s: float) -> None:
        """Take one datagram of this peer."""

    def accept_ssrc(self, ssrc: int) -> None:
        """Make a place for an SSRC that was not announced."""

    def released(self) -> None:
        """The audio path's threads have let go of the peer; its number belongs to somebody else from now on."""


class UdpMux:
    """The sockets, the peer numbers and the way from datagrams to connections.

    Attributes:
        engine: The audio path that shares the sockets.
        port: The UDP port; 0 when there is none.
        send_errors: Datagrams of ours that the system did not take.
        srtcp_errors: SRTCP of peers that was not authentic, or replayed.
    """

    def __init__(
        self,
        engine: Engine,
        port: int | None,
        max_peers: int,
        public_ips: tuple[str, ...] = (),
        *,
        announces_own: bool = True,
    ) -> None:
        """Binds the sockets.

        Args:
            engine: Gets the sockets.
            port: 0 takes any; None opens none: with full ICE each peer has sockets of its own.
            max_peers: How many numbers there are.
            public_ips: Addresses to announce besides the machine's own.
            announces_own: Whether those are announced at all (RFC 8827, 6.4).

        Raises:
            PortInUseError: Another program has the port.
        """
        self.engine = engine
        self.send_errors = 0
        self.srtcp_errors = 0
        self._sockets = open_sockets(local_addresses(), port) if port is not None else []
        self._hosts = [str(one.getsockname()[0]) for one in self._sockets]
        self._public_ips = public_ips
        self._announces_own = announces_own
        self.port: int = self._sockets[0].getsockname()[1] if self._sockets else 0
        self._max_peers = max_peers
        self._free_slots = list(range(max_peers))
        self._by_ufrag: dict[str, Receiver] = {}
        self._by_slot: dict[int, Receiver] = {}
        self._released: Callable[[], None] | None = None
        self._on_source_ended: Callable[[], None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self, on_source_ended: Callable[[], None]) -> None:
        """Hands the sockets to the engine and begins to listen to its events, on the running loop."""
        self._on_source_ended = on_source_ended
        for one in self._sockets:
            self.engine.add_socket(one.fileno())
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self.engine.event_descriptor, self._take_events)

    async def wait_released(self, timeout_s: float) -> None:
        """Waits until the audio threads let go of every peer that was removed."""
        if len(self._free_slots) == self._max_peers:
            return
        done = asyncio.Event()
        self._released = done.set
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(done.wait(), timeout_s)

    def stop(self) -> None:
        """Stops listening; the engine still uses the sockets until it is closed, so ``close`` comes after that."""
        if self._loop is not None:
            self._loop.remove_reader(self.engine.event_descriptor)
            self._loop = None

    def close(self) -> None:
        """Closes the sockets. Any thread, after the engine was closed."""
        for one in self._sockets:
            one.close()

    # -- peer numbers

    def take_slot(self, receiver: Receiver) -> int:
        """The lowest free peer number.

        Raises:
            PeerLimitError: There is none.
        """
        if not self._free_slots:
            raise PeerLimitError(f"{self._max_peers} peers are connected, which is the limit (max_peers)")
        slot = heapq.heappop(self._free_slots)
        self._by_slot[slot] = receiver
        return slot

    def release_slot(self, slot: int) -> None:
        """The connection is over; the number is free again when the audio threads let go of it."""
        self.engine.remove_peer(slot)

    # -- addresses

    def candidates(self, asked: str = "", remote: str = "") -> tuple[Candidate, ...]:
        """What to announce to somebody, the most likely first: some clients look at the first one only.

        Args:
            asked: The address of ours at which the request for a session arrived.
            remote: Where it came from. Loopback addresses are of use only to this machine itself.
        """
        is_local = is_loopback(remote)
        own = [host for host in self._hosts if (is_local if is_loopback(host) else self._announces_own)]
        own.sort(key=lambda host: host != asked)
        hosts = dict.fromkeys([*self._public_ips, *own]) or dict.fromkeys(self._hosts)
        return host_candidates((host, self.port) for host in hosts)

    def candidate_policy(self) -> CandidatePolicy:
        """Which remote candidates are worth a look."""
        return CandidatePolicy(
            ipv4=any(":" not in host for host in self._hosts),
            ipv6=any(":" in host for host in self._hosts),
            allow_loopback=True,
            own_addresses=frozenset((host, self.port) for host in self._hosts),
        )

    def local_address(self, path: Path) -> str:
        """Our end of a path, ``host:port``."""
        return format_address(self._hosts[path.socket], self.port)

    def answer_ufrag(self, ufrag: str, receiver: Receiver) -> None:
        """STUN requests that name this fragment go to this connection."""
        self._by_ufrag[ufrag] = receiver

    def forget_ufrag(self, ufrag: str) -> None:
        """They are dropped from now on."""
        self._by_ufrag.pop(ufrag, None)

    # -- datagrams

    def send(self, data: bytes, path: Path) -> None:
        """Sends a STUN, DTLS or SRTCP datagram; never blocks. What the system does not take is lost and counted."""
        try:
            self._sockets[path.socket].sendto(data, (path.host, path.port))
        except OSError:  # Unreachable, or the socket's buffer is full: all of these protocols repeat themselves.
            self.send_errors += 1

    def _take_events(self) -> None:
        for event in self.engine.events():
            try:
                self._take(event)
            except Exception as error:  # One peer's misfortune is not that of those whose events come after it.
                asyncio.get_running_loop().call_exception_handler(
                    {"message": "what a peer sent could not be worked on", "exception": error}
                )

    def _take(self, event: EngineEvent) -> None:
        if isinstance(event, Datagram):
            self._dispatch(event)
        elif isinstance(event, PeerRemoved):
            heapq.heappush(self._free_slots, event.peer)
            self._by_slot.pop(event.peer).released()
            if self._released is not None and len(self._free_slots) == self._max_peers:
                self._released()
        elif isinstance(event, NewSsrc):
            if (receiver := self._by_slot.get(event.peer)) is not None:
                receiver.accept_ssrc(event.ssrc)
        elif isinstance(event, SourceEnded) and self._on_source_ended is not None:
            self._on_source_ended()

    def _dispatch(self, datagram: Datagram) -> None:
        receiver = None
        if datagram.socket >= len(self._sockets):
            return  # Of a bridge, which passes RTP only: a stranger on this machine.
        if datagram.data[0] < _FIRST_BYTE_OF_DTLS:
            ufrag = stun.peek_username(datagram.data)
            receiver = self._by_ufrag.get(ufrag) if ufrag is not None else None
        elif datagram.peer is not None:
            receiver = self._by_slot.get(datagram.peer)
        if receiver is not None:
            receiver.receive(datagram.data, Path(datagram.socket, datagram.host, datagram.port), datagram.time_s)


def format_address(host: str, port: int) -> str:
    """``host:port``, with brackets around IPv6."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
