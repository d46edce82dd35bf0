"""The engine as the connections of one server or client share it: peer slots, events, and a bridge for full ICE.

    Engine ─► events ─► EngineHost ─► the slot's owner: RTCP arrived, or its slot was released
                            │     ├─► the channel's observer: its source has ended or was exchanged, or it is gone
                            │     └─► the UDP mux: STUN and DTLS datagrams
                            ├── slots: peer numbers, and when they can be reused
                            └── Bridge: media between the audio threads and full ICE, which owns its sockets

Also the protocols of a connection, whichever kind of ICE it has. Loop thread, unless stated otherwise.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import socket
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from ..config import StreamConfig
from ..core import (
    ChannelRemoved,
    CheckReplayed,
    Datagram,
    Engine,
    EngineEvent,
    Limited,
    PeerRemoved,
    ProbeSent,
    RtcpReceived,
    SocketRemoved,
    SourceEnded,
    SourceReplaced,
)
from ..errors import PeerLimitError
from ..host_process import keep_from_children
from ..limited_log import LimitedLog
from ..loop_thread import WATCHED_SOCKETS
from ..rtc.candidate import Candidate
from ..rtc.remote_audio import RemoteAudio
from ..stats import Kind, PeerStats
from .ice.addresses import format_address
from .ice.full_ice import SocketBudget

_log = logging.getLogger(__name__)

CLOSED_BY_PEER = "closed by the peer"
"""Why a connection has ended that its peer ended, by DELETE or DTLS."""
CLOSED_BY_PROGRAM, REMOVED_BY_PROGRAM = "closed by the program", "removed by the program"
_MAX_DATAGRAM_BYTES = 2048
_DATAGRAMS_PER_CALL = 32
_OTHER_SOCKETS = 32
"""Sockets that a loop watches beside those of HTTP connections and of full ICE, such as listening ones."""
_DISPATCH_S = 0.005
"""How long events are dispatched before other work of the loop gets its turn. One may take as long (a handshake)."""


class SentChannel(Protocol):
    """The channel whose audio a connection sends. Loop thread, except for the attributes."""

    @property
    def name(self) -> str:
        """Its name on the server; empty for a client's."""

    @property
    def number(self) -> int:
        """Its number in the engine."""

    @property
    def bitrates_bps(self) -> tuple[int, ...]:
        """Bitrates of its encodings, the highest first."""


@dataclass(frozen=True, slots=True)
class OnlyChannel:
    """The channel of an engine that has no other one: a client's."""

    bitrates_bps: tuple[int, ...]
    name: str = ""
    number: int = 0

    @classmethod
    def of(cls, config: StreamConfig) -> OnlyChannel:
        """Return the channel with the encodings of ``config``."""
        return cls(tuple(kbps * 1000 for kbps in config.bitrates_kbps))


class Connection(Protocol):
    """The connection with one remote peer. Loop thread, except for ``stats`` and the attributes."""

    @property
    def id(self) -> int:
        """The peer's slot, 0 to ``max_peers`` - 1."""

    @property
    def kind(self) -> Kind:
        """What the peer does."""

    @property
    def state(self) -> str:
        """``"new"``, ``"connecting"``, ``"connected"`` or ``"closed"``."""

    @property
    def closed(self) -> bool:
        """Whether the connection has ended."""

    @property
    def close_reason(self) -> str:
        """Why it ended; empty before."""

    @property
    def closing(self) -> asyncio.Task[None] | None:
        """The task that closes sockets and deletes TURN allocations after the end; None if there are none."""

    def add_candidates(self, candidates: Iterable[Candidate]) -> None:
        """Add remote candidates; those that may not be used are ignored."""

    def end_of_candidates(self) -> None:
        """Handle the peer's end-of-candidates indication."""

    def end(self, reason: str) -> None:
        """Send RTCP BYE and close_notify, and release the slot. Idempotent."""

    @property
    def channel(self) -> SentChannel:
        """What is sent to the peer, if it plays."""

    @property
    def encoding(self) -> int:
        """Which of the channel's encodings it is."""

    def set_channel(self, channel: SentChannel) -> None:
        """Send another channel in the same RTP stream. Ignored after the end."""

    @property
    def fraction_lost(self) -> float | None:
        """Fraction of packets lost in the player's last report, 0 to 1; None if there is none."""

    def stats(self) -> PeerStats:
        """Return a snapshot. Any thread."""


class SignaledConnection(Connection, Protocol):
    """A connection whose offer and answer the program exchanges."""

    @property
    def offer_sdp(self) -> str:
        """The local offer; empty if the peer made the offer."""

    def take_answer(self, audio: RemoteAudio) -> None:
        """Connect to the peer that answered the local offer. Ignored if it has answered already, or after the end."""


class ConnectionObserver(Protocol):
    """Receives the events of connections."""

    def state_changed(self, connection: Connection) -> None:
        """Handle a new value of ``connection.state``."""

    def loss_reported(self) -> None:
        """Handle a new ``fraction_lost`` of a player."""


class ChannelObserver(Protocol):
    """Receives what the engine reports about one channel."""

    def ended(self, code: int) -> None:
        """Handle the end of its source, with BASS's error code."""

    def replaced(self) -> None:
        """Handle the end of an exchange of sources: the former one is not read any more."""

    def removed(self) -> None:
        """Handle the end of the channel: its source is not read any more."""


class SlotOwner(Protocol):
    """The connection that occupies a slot."""

    def receive_rtcp(self, packet: bytes, now_s: float) -> None:
        """Handle decrypted RTCP that the peer sent. Also called after the end, until ``released``."""

    def probe_sent(self) -> None:
        """Handle the end of ``Engine.probe``. Also called after the end, until ``released``."""

    def released(self) -> None:
        """Handle the release of the slot: the audio threads no longer use it, and it can be taken again."""


class EngineHost:
    """Runs an engine and shares it between connections.

    Attributes:
        socket_budget: For full ICE: Windows limits how many sockets the loop can watch, and HTTP uses up to half.
        engine: The audio path.
        replayed_checks: Number of authentic ICE checks that had been received from another address before.
        media_log: For warnings about what peers send in DTLS and RTCP.
    """

    def __init__(self, engine: Engine, max_peers: int) -> None:
        """Any thread. Nothing runs before ``start``.

        Args:
            engine: The audio path, which the host starts and closes.
            max_peers: Number of slots.
        """
        self.engine = engine
        self.socket_budget = SocketBudget(None if WATCHED_SOCKETS is None else WATCHED_SOCKETS // 2 - _OTHER_SOCKETS)
        self.replayed_checks = 0
        self.media_log = LimitedLog(_log)
        self._replay_log = LimitedLog(_log)
        self._max_peers = max_peers
        self._channels: dict[int, ChannelObserver] = {}
        self._on_datagram: Callable[[Datagram], None] = lambda _: None
        self._free_slots = deque(range(max_peers))
        self._owners: dict[int, SlotOwner] = {}
        self._slot_released = asyncio.Event()
        self._sockets: dict[int, socket.socket] = {}
        self._removed_sockets: dict[int, socket.socket] = {}

    def start(self) -> None:
        """Start the audio threads, and dispatch their events on the running loop."""
        self.engine.start()
        asyncio.get_running_loop().add_reader(self.engine.event_descriptor, self._dispatch_events)

    def stop(self) -> None:
        """Stop dispatching events. Idempotent."""
        asyncio.get_running_loop().remove_reader(self.engine.event_descriptor)

    def close(self) -> None:
        """Stop the audio threads, free the engine and close the sockets that it used. Any thread, after ``stop``."""
        self.engine.close()
        for sock in (*self._sockets.values(), *self._removed_sockets.values()):
            sock.close()

    def observe_channel(self, number: int, observer: ChannelObserver) -> None:
        """Report the events of a channel to this observer, until it is removed."""
        self._channels[number] = observer

    # -- sockets

    def add_socket(self, sock: socket.socket) -> int:
        """Let the audio threads use a bound, non-blocking UDP socket, which ``close`` closes; return its index.

        Raises:
            BassWebRtcError: There are as many as the engine supports.
        """
        index = self.engine.add_socket(sock.fileno())
        self._sockets[index] = sock
        keep_from_children(sock)
        return index

    def remove_socket(self, index: int) -> None:
        """Close a socket as soon as the audio threads have released it. Remove its paths before."""
        self.engine.remove_socket(index)
        self._removed_sockets[index] = self._sockets.pop(index)

    @functools.cached_property
    def bridge(self) -> Bridge:
        """The bridge for full ICE, opened when the first connection needs it."""
        return Bridge(self)

    def set_datagram_handler(self, handler: Callable[[Datagram], None]) -> None:
        """Dispatch datagrams to this function instead of dropping them."""
        self._on_datagram = handler

    def replay_dropped(self, address: str) -> None:
        """Count a replayed ICE check, and log the address that it came from, at most once per second."""
        self.replayed_checks += 1
        text = f"dropped: ICE check replayed from {address}; {self.replayed_checks} so far"
        self._replay_log.warning(text, asyncio.get_running_loop().time())

    # -- slots

    def take_slot(self, owner: SlotOwner) -> int:
        """Return the slot that is free for the longest time, which ``owner`` occupies from now on.

        So the number of a peer that has left, which is in logs and in the hands of the program, is not used at once.

        Raises:
            PeerLimitError: All slots are taken.
        """
        if not self._free_slots:
            raise PeerLimitError(f"{self._max_peers} peers are connected, which is the limit (max_peers)")
        slot = self._free_slots.popleft()
        self._owners[slot] = owner
        return slot

    def release_slot(self, slot: int) -> None:
        """Remove the peer from the engine. The slot can be reused once both audio threads have released it."""
        self.engine.remove_peer(slot)

    @property
    def has_free_slot(self) -> bool:
        """Whether ``take_slot`` succeeds."""
        return bool(self._free_slots)

    async def wait_for_free_slot(self) -> None:
        """Wait until ``take_slot`` succeeds."""
        while not self._free_slots:
            await self.next_release()

    async def wait_until_released(self, timeout_s: float) -> None:
        """Wait until the audio threads have released every slot, at most for ``timeout_s``."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while len(self._free_slots) < self._max_peers:
                    await self.next_release()

    async def next_release(self) -> None:
        """Wait until the audio threads have released a slot."""
        self._slot_released.clear()
        await self._slot_released.wait()

    # -- events

    def _dispatch_events(self) -> None:
        until_s = time.perf_counter() + _DISPATCH_S
        for event in self.engine.events():
            try:
                self._dispatch(event)
            except Exception as error:  # A failure with one peer must not affect the events of others.
                asyncio.get_running_loop().call_exception_handler(
                    {"message": "an event of the engine could not be handled", "exception": error}
                )
            if time.perf_counter() >= until_s:
                break

    def _dispatch(self, event: EngineEvent) -> None:
        if isinstance(event, Datagram):
            self._on_datagram(event)
        elif isinstance(event, PeerRemoved):
            self._free_slots.append(event.peer)
            self._slot_released.set()
            self._owners.pop(event.peer).released()
        elif isinstance(event, RtcpReceived):
            self._owners[event.peer].receive_rtcp(event.packet, event.time_s)
        elif isinstance(event, ProbeSent):
            if event.missing == 0:  # Otherwise no check follows, so the probe fails.
                self._owners[event.peer].probe_sent()
        elif isinstance(event, CheckReplayed):
            self.replay_dropped(format_address(event.host, event.port))
        elif isinstance(event, SocketRemoved):
            self._removed_sockets.pop(event.socket).close()
        elif isinstance(event, SourceEnded):
            self._channels[event.channel].ended(event.error)
        elif isinstance(event, SourceReplaced):
            self._channels[event.channel].replaced()
        elif isinstance(event, ChannelRemoved):
            if (observer := self._channels.pop(event.channel, None)) is not None:  # A caller's channel has none.
                observer.removed()
        elif isinstance(event, Limited):
            dropped = self.engine.peer_counters(event.peer).datagrams_limited
            _log.warning(
                "limited: peer %d sends too much %s; %d datagrams dropped", event.peer, event.protocol, dropped
            )


class Bridge:
    """UDP sockets on loopback between the audio threads and full ICE agents.

        network thread ◄── inner ◄── outer, one per peer ◄── forward (RTP and RTCP that ICE received)
        sending thread  ──► inner ──► outer, one per peer ──► on_packet (RTP to send through a TURN server)

    aioice reads its sockets itself, so received RTP and RTCP must be forwarded to the network thread; and only aioice
    can wrap relayed RTP. A direct pair does not send through the bridge: the sending thread uses ICE's own socket.
    """

    def __init__(self, host: EngineHost) -> None:
        """
        Args:
            host: Gets the inner socket.
        """
        self._engine = host.engine
        self._inner = _loopback_socket()
        self._outer: dict[int, socket.socket] = {}
        self._socket = host.add_socket(self._inner)
        self._loop = asyncio.get_running_loop()

    def open(self, slot: int, on_packet: Callable[[bytes], None]) -> None:
        """Open the outer socket of a peer.

        Args:
            slot: The peer's slot.
            on_packet: Called with the packets that the sending thread sends while ``route`` is in effect.
        """
        outer = self._outer[slot] = _loopback_socket()
        # Connected, so that datagrams of other programs on this machine are not received.
        outer.connect(self._inner.getsockname())
        self._loop.add_reader(outer, functools.partial(_read, outer, on_packet))
        self._engine.map_address(slot, self._socket, *outer.getsockname())

    def close(self, slot: int) -> None:
        """Close the outer socket of a peer, if it has one."""
        outer = self._outer.pop(slot, None)
        if outer is not None:
            self._engine.unmap_address(slot, self._socket, *outer.getsockname())
            self._loop.remove_reader(outer)
            outer.close()

    def forward(self, slot: int, data: bytes) -> None:
        """Pass RTP or RTCP that ICE received to the network thread; dropped if its socket buffer is full."""
        with contextlib.suppress(OSError):
            self._outer[slot].send(data)

    def route(self, slot: int) -> None:
        """Make the sending thread send the packets of this peer through the bridge."""
        self._engine.set_path(slot, self._socket, *self._outer[slot].getsockname())


def _read(outer: socket.socket, on_packet: Callable[[bytes], None]) -> None:
    with contextlib.suppress(OSError):
        for _ in range(_DATAGRAMS_PER_CALL):
            on_packet(outer.recv(_MAX_DATAGRAM_BYTES))


def _loopback_socket() -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setblocking(False)
    sock.bind(("127.0.0.1", 0))
    return sock
