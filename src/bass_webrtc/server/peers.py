"""Everybody who is connected to a server: makes the connections, knows them, and tells the program of them.

    WHIP, WHEP ────────────► create ──┬─ without ICE servers ─► LiteConnection
                                      └─ with ─────────────────► FullPeer
    add_peer, create_offer ► add, offer ───────────────────────► FullPeer, trickling by events

The endpoints' ``Sessions`` and the connections' ``Observer``. Loop thread, but for ``all``.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import get_args

from ..config import IceServerAddress, ServerConfig
from ..errors import ClosedError, ConfigError, SignalingError
from ..events import EventDispatcher
from ..loop_thread import LoopThread
from ..peer.bridge import Bridge
from ..peer.connection import Connection, check_limits
from ..peer.full_peer import FullPeer, Surroundings
from ..peer.full_settings import IceSettings
from ..peer.lite import LiteConnection, Visit
from ..peer.mux import UdpMux
from ..peer.sockets import local_addresses
from ..rtc.candidate import Candidate, CandidatePolicy, is_loopback
from ..rtc.negotiation import Offer, read_offer
from ..rtc.remote_audio import RemoteAudio
from ..rtc.sdp import UnusableSdpError
from ..signaling.messages import Request
from ..signaling.server.limits import limited_network
from ..stats import Kind, plays
from .peer import Peer

_RELEASE_TIMEOUT_S = 1.0
_CLOSE_TIMEOUT_S = 3.0
_MAX_EXPECTED_LOSS_PERCENT = 30
_LOSS_INTERVAL_S = 1.0
_GATHER_S = 0.4
"""So that an answer comes within half a second though a STUN server is dead."""
_PATIENCE_S = 120.0
"""For a peer that the program signals: somebody may carry the answer by hand."""


class ServerPeers:
    """The peers between a server's ``start`` and ``stop``."""

    def __init__(
        self,
        mux: UdpMux,
        loop: LoopThread,
        config: ServerConfig,
        ice_servers: tuple[IceServerAddress, ...],
        events: EventDispatcher,
        forget: Callable[[Connection], None],
        *,
        has_source: bool,
    ) -> None:
        """
        Args:
            mux: The peers' numbers, and the UDP port of those with ICE-lite.
            loop: The thread that this lives on.
            config: The server's settings.
            ice_servers: Those of ``config``. None: WHIP and WHEP have ICE-lite.
            events: Tells the program.
            forget: Called when a connection is over.
            has_source: Whether there is something to play.
        """
        self._mux = mux
        self._loop = loop
        self._config = config
        self._ice_servers = ice_servers
        self._events = events
        self._forget = forget
        self._has_source = has_source
        self._peers: dict[Connection, Peer] = {}
        self._newcomers: dict[Connection, str] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._bridge: Bridge | None = None
        self._expected_loss_percent = 0
        self._next_loss_s = 0.0

    @property
    def all(self) -> tuple[Peer, ...]:
        """Who is connected, or about to be. Any thread."""
        return tuple(self._peers.values())

    # -- WHIP and WHEP

    async def create(self, kind: Kind, offer: Offer, request: Request) -> Connection:
        """Answers an offer; what ``signaling`` asks of ``Sessions``."""
        if kind == "player" and not self._has_source:
            raise SignalingError(409, request.path, "this server has nothing to play")
        address = limited_network(request.remote)
        self._check_newcomers(address, request.path)
        if self._ice_servers:
            return await self._create_full(kind, offer, address)
        visit = Visit(request.local, request.remote)
        connection = LiteConnection(self._mux, kind, offer, self._config, self, visit)
        self._register(connection, address)
        return connection

    def _check_newcomers(self, address: str | None, path: str) -> None:
        """One stranger who posts and never connects is not to take everybody's place. Who is connected does not count.

        Raises:
            SignalingError: Half of the places wait for connections from this address already.
        """
        waiting = sum(one == address for one in self._newcomers.values())
        if address is not None and waiting >= (self._config.max_peers + 1) // 2:
            raise SignalingError(429, path, f"{waiting} sessions from your address wait to be connected")

    async def _create_full(self, kind: Kind, offer: Offer, address: str | None) -> Connection:
        """A server does not trickle over HTTP (RFC 9725, 4.3.2): what is found too late is used, and not told."""
        if plays(kind):
            check_limits(offer.audio, self._config)
        connection = FullPeer(self._surroundings(replace(self._ice(), says_all="yes")), kind, offers=False)
        self._register(connection, address)
        await _or_end(connection, connection.answer(offer))
        return connection

    # -- signaling by the program

    async def add(self, offer_sdp: str) -> tuple[Peer, str]:
        """See ``Server.add_peer``."""
        offer = read_offer(offer_sdp)
        kind = self._wanted(offer.audio)
        if plays(kind):
            check_limits(offer.audio, self._config)
        connection = FullPeer(self._surroundings(self._patient_ice()), kind, self._trickle, offers=False)
        peer = self._register(connection)
        answer = await _or_end(connection, connection.answer(offer))
        self._events.emit("sdp", peer, "answer", answer)
        return peer, answer

    async def offer(self, kind: Kind) -> tuple[Peer, str]:
        """See ``Server.create_offer``."""
        if kind not in get_args(Kind):
            raise ConfigError(f"kind is {kind!r}; expected one of {get_args(Kind)}")
        if not self._has_source:
            if kind == "player":
                raise ConfigError('this server has nothing to play; give it a source, or offer to a "publisher"')
            kind = "publisher"
        connection = FullPeer(self._surroundings(self._patient_ice()), kind, self._trickle, offers=True)
        peer = self._register(connection)
        offer = await _or_end(connection, connection.make_offer())
        self._events.emit("sdp", peer, "offer", offer)
        return peer, offer

    async def remove(self, peer_id: int) -> None:
        """See ``Server.remove_peer``."""
        connection = next((one for one in self._peers if one.id == peer_id), None)
        if connection is None:
            raise ConfigError(f"there is no peer {peer_id!r}")
        connection.end("removed by the program")

    def _wanted(self, audio: RemoteAudio) -> Kind:
        """What a peer does whose offer says this."""
        if not audio.sends:
            if not self._has_source:
                raise UnusableSdpError("the offer is recvonly, and this server has nothing to play")
            return "player"
        return "sendrecv" if audio.receives and self._has_source else "publisher"

    def _trickle(self, connection: FullPeer, candidate: Candidate | None) -> None:
        peer = self._peers.get(connection)
        if peer is not None:
            text = "" if candidate is None else candidate.to_sdp()
            self._events.emit("ice_candidate", peer, text, connection.mid, connection.mline_index)

    # -- what all have in common

    def _register(self, connection: Connection, address: str | None = None) -> Peer:
        if address is not None:
            self._newcomers[connection] = address
        peer = self._peers[connection] = Peer(connection, self._loop, self._mux.engine.playout, self._config)
        self._events.emit("peer_state", peer, connection.state)
        return peer

    def _surroundings(self, ice: IceSettings) -> Surroundings:
        if self._bridge is None:
            self._bridge = Bridge(self._mux.engine)
        return Surroundings(self._mux, self._bridge, self._config, ice, self)

    def _ice(self) -> IceSettings:
        return IceSettings(
            servers=self._ice_servers,
            relay_only=self._config.ice_relay_only,
            public_ips=self._config.public_ips,
            announces_own=self._config.announce_local_addresses,
            policy=CandidatePolicy(allow_loopback=all(map(is_loopback, local_addresses()))),
            gather_s=_GATHER_S,
        )

    def _patient_ice(self) -> IceSettings:
        return replace(self._ice(), patience_s=_PATIENCE_S, says_all="when it is so")

    def peer_changed(self, connection: Connection) -> None:
        """Tells the program; what ``peer`` asks of an ``Observer``."""
        peer = self._peers[connection]
        peer.changed()
        self._events.emit("peer_state", peer, connection.state)
        if connection.state in ("connected", "closed"):
            self._newcomers.pop(connection, None)
        if connection.state == "connected":
            self._events.emit("peer_connected", peer)
        elif connection.closed:
            del self._peers[connection]
            if connection.closing is not None:
                self._closing.add(connection.closing)
                connection.closing.add_done_callback(self._closing.discard)
            self._forget(connection)
            self._events.emit("peer_disconnected", peer, connection.close_reason)

    def loss_reported(self) -> None:
        """All players share one encoding, so the encoder expects what they lose on average.

        Reckoned once a second at most: 500 players report 100 times in one, each report a look at all of them.
        """
        now_s = time.monotonic()
        if now_s < self._next_loss_s:
            return
        self._next_loss_s = now_s + _LOSS_INTERVAL_S
        fractions = [lost for connection in self._peers if (lost := connection.fraction_lost) is not None]
        percent = min(round(100 * sum(fractions) / len(fractions)), _MAX_EXPECTED_LOSS_PERCENT) if fractions else 0
        if percent != self._expected_loss_percent:
            self._expected_loss_percent = percent
            self._mux.engine.set_expected_loss(percent)

    # -- the end

    async def end_all(self, reason: str) -> None:
        """Says goodbye to all and waits until everything of theirs is given back, a few seconds at most."""
        for connection in tuple(self._peers):
            connection.end(reason)
        await self._mux.wait_released(_RELEASE_TIMEOUT_S)
        if self._closing:
            await asyncio.wait(self._closing, timeout=_CLOSE_TIMEOUT_S)

    def close(self) -> None:
        """Any thread, after the engine was closed."""
        if self._bridge is not None:
            self._bridge.close()


async def _or_end(connection: FullPeer, description: Awaitable[str]) -> str:
    """Waits for our description; without one there is no connection."""
    try:
        return await description
    except ClosedError:
        raise ClosedError(f"peer {connection.id} is gone: {connection.close_reason}") from None
    except BaseException as error:
        connection.end(f"there is no description of ours: {error}")
        raise
