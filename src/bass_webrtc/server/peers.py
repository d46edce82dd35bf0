"""The peers of a running server: creates their connections and reports their changes to the program.

    WHIP, WHEP ────────────► create ──┬─ without ICE servers ─► LiteConnection
                                      └─ with ─────────────────► FullConnection, all candidates in the answer
    add_peer, create_offer ► add, offer ───────────────────────► FullConnection, trickling by events

Implements ``Sessions`` for the endpoints and ``TrickleObserver`` for the connections. Loop thread, except for ``all``.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import cast, get_args

from ..config import MAIN, IceServerAddress, ServerConfig
from ..errors import ClosedError, ConfigError, PeerLimitError, SignalingError
from ..events import EventDispatcher
from ..limited_log import LimitedLog
from ..loop_thread import LoopThread
from ..peer.full import FullConnection
from ..peer.host import REMOVED_BY_PROGRAM, Connection, EngineHost, SentChannel
from ..peer.ice.addresses import local_addresses
from ..peer.ice.full_ice import IceSettings
from ..peer.lite import LiteConnection, RequestAddresses
from ..peer.media import exceeded_limits
from ..peer.mux import UdpMux
from ..rtc.candidate import Candidate, CandidatePolicy, is_loopback
from ..rtc.negotiation import Offer, read_offer
from ..rtc.remote_audio import RemoteAudio
from ..rtc.sdp import UnusableSdpError
from ..signaling.messages import Request
from ..signaling.server.limits import client_network
from ..signaling.server.snapshots import PEERS_PER_STEP
from ..stats import ChannelStats, Kind, PeerStats, plays
from .channels import RunningChannel, SendingChannel, ServerChannels
from .peer import Peer

_log = logging.getLogger(__name__)

_RELEASE_TIMEOUT_S = 1.0
_CLOSE_TIMEOUT_S = 3.0
_LOSS_INTERVAL_S = 1.0
_GATHER_TIMEOUT_S = 0.4
"""An answer must be ready within half a second even if a STUN server is dead."""
_RESERVED_PART = 10
"""The last tenth of the slots, at least one, is for networks without a peer."""
_MAX_PENDING_EVENTS = 1000
"""Calls that wait for the event thread. Each peer adds a few, so peers must not come faster than these are made."""
_SIGNALED_CONNECT_TIMEOUT_S = 120.0
"""For peers that the program signals: people may carry the answer by hand."""
_PEER_LINES_AT_ONCE = 200
"""Log lines about peers before the limit of one per second applies; each peer has three."""


class ServerPeers:
    """The peers between a server's ``start`` and ``stop``.

    Attributes:
        channels: What the peers can hear.
        refused: Number of WHIP and WHEP peers that were refused because there was no place for them. Any thread.
        adopt_caller: Called with each peer that the program signals and that may send and receive, before it connects;
            None: there are no calls.
    """

    def __init__(
        self,
        host: EngineHost,
        mux: UdpMux | None,
        loop: LoopThread,
        config: ServerConfig,
        ice_servers: tuple[IceServerAddress, ...],
        events: EventDispatcher,
        channels: ServerChannels,
    ) -> None:
        """
        Args:
            host: The engine.
            mux: The UDP port of peers with ICE-lite; None: WHIP and WHEP sessions use full ICE.
            loop: The loop thread that this object lives on.
            config: The server's settings.
            ice_servers: Those of ``config``.
            events: Delivers events to the program.
            channels: What the peers can hear.
        """
        self._host = host
        self._mux = mux
        self._loop = loop
        self._config = config
        self._ice_servers = ice_servers
        self._events = events
        self.channels = channels
        self._peers: dict[Connection, Peer] = {}
        self._networks: dict[Connection, str] = {}
        """The WHIP and WHEP peers, and the network of each."""
        self._held: Counter[str] = Counter()
        """How many of these each network has."""
        self._refusal_log = LimitedLog(_log)
        self._peer_log = LimitedLog(_log, _PEER_LINES_AT_ONCE)
        self._closing: set[asyncio.Task[None]] = set()
        self._on_connected: list[Callable[[Connection], None]] = []
        self._on_closed: list[Callable[[Connection], None]] = []
        self.adopt_caller: Callable[[Connection], None] | None = None
        self.refused = 0
        self._next_loss_s = 0.0

    @property
    def all(self) -> tuple[Peer, ...]:
        """Peers that are connected or connecting. Any thread."""
        return tuple(self._peers.values())

    async def stats_in_steps(self) -> tuple[PeerStats, ...]:
        """Return the statistics of all peers. The loop does other work meanwhile: they are some milliseconds apart."""
        found: list[PeerStats] = []
        for number, peer in enumerate(self.all, start=1):
            found.append(peer.stats())
            if number % PEERS_PER_STEP == 0:
                await asyncio.sleep(0)
        return tuple(found)

    def listeners(self) -> Counter[SentChannel]:
        """Return the number of connected peers that hear each channel. Any thread.

        Not by name: that of a channel that is closing may belong to a new one.
        """
        connections = tuple(self._peers)
        return Counter(one.channel for one in connections if plays(one.kind) and one.state == "connected")

    def channel_stats(self) -> tuple[ChannelStats, ...]:
        """Return the statistics of all channels. Any thread."""
        listeners = self.listeners()
        return tuple(channel.stats(listeners[channel]) for channel in self.channels)

    def network_of(self, connection: Connection) -> str:
        """Return the network of a WHIP or WHEP peer; empty for one that the program signals."""
        return self._networks.get(connection, "")

    def peer_of(self, connection: Connection) -> Peer:
        """Return the program's handle of a connection."""
        return self._peers[connection]

    def on_connected(self, callback: Callable[[Connection], None]) -> None:
        """Call a function with each connection that is connected."""
        self._on_connected.append(callback)

    def on_closed(self, callback: Callable[[Connection], None]) -> None:
        """Call a function with each connection that has ended."""
        self._on_closed.append(callback)

    # -- WHIP and WHEP

    async def create(
        self, kind: Kind, offer: Offer, request: Request, channel: str = MAIN
    ) -> LiteConnection | FullConnection:
        """Answer an offer; see ``Sessions.create``."""
        self._heard(kind, request, channel)
        await self._wait_for_slot(request)
        heard = self._heard(kind, request, channel)  # It may have been closed meanwhile, and its number used again.
        if self._config.strict_http and plays(kind):
            for limit in exceeded_limits(offer.audio, self._config, heard):
                raise UnusableSdpError(limit)
        network = client_network(request.remote)
        if self._mux is None:
            return await self._create_full(kind, offer, heard, request.local, network)
        addresses = RequestAddresses(request.local, request.remote)
        connection = LiteConnection(self._mux, kind, offer, self._config, heard, self, addresses)
        self._register(connection, network)
        return connection

    async def _wait_for_slot(self, request: Request) -> None:
        """Wait until there is a slot, if there is room: the audio threads release that of a peer that has just left.

        Raises:
            PeerLimitError: They have not within a second.
        """
        self.check_room(request)
        try:
            async with asyncio.timeout(_RELEASE_TIMEOUT_S):
                while not self._host.has_free_slot:
                    await self._host.next_release()
                    self.check_room(request)
        except TimeoutError:
            self._refused("the slots of peers that have left are still in use")
            raise PeerLimitError("the slots of peers that have left are still in use; try again") from None

    def _heard(self, kind: Kind, request: Request, name: str) -> RunningChannel:
        """Return the channel that a peer asks for."""
        try:
            channel = self.channels.find(name)
        except ConfigError as error:
            raise SignalingError(404, request.path, str(error)) from None
        if kind == "player" and not self._has_audio(channel):
            what = "this server" if name == MAIN else f"channel {name!r}"
            raise SignalingError(409, request.path, f"{what} has nothing to play")
        return channel

    def _has_audio(self, channel: RunningChannel) -> bool:
        """Return whether there is something to hear: callers are heard on the first channel."""
        return channel.has_source or (self.adopt_caller is not None and channel.name == MAIN)

    def check_room(self, request: Request) -> None:
        """Keep one network from taking all slots, whether its peers connect or only post offers.

        Raises:
            PeerLimitError: All slots are taken.
            SignalingError: 429, the network has its share, or the remaining slots are reserved for other networks; 503,
                the program cannot follow.
        """
        network, path = client_network(request.remote), request.path
        places = self._config.max_peers
        limit = self._config.max_peers_per_address or (places + 1) // 2
        held = self._held[network]
        free = places - len(self._peers)
        if free <= 0:
            self._refused(f"max_peers ({places}) peers are connected or connecting")
            raise PeerLimitError(f"{places} peers are connected, which is the limit (max_peers)")
        if held >= limit:
            self._refused(f"{held} peers from {network} are connected or connecting")
            detail = f"{held} peers from your address are connected or connecting"
            raise SignalingError(429, path, f"{detail}, which is the limit (max_peers_per_address)")
        if held > 0 and limit < places and free <= max(1, places // _RESERVED_PART):
            self._refused(f"the last {free} of {places} places are reserved for addresses other than {network}")
            detail = f"the last {free} of {places} places (max_peers) are reserved for other addresses"
            raise SignalingError(429, path, f"{detail} (max_peers_per_address)")
        if self._events.pending > _MAX_PENDING_EVENTS:
            self._refused("the callbacks of events take too long")
            raise SignalingError(503, path, "the program that runs this server is busy")

    def _refused(self, why: str) -> None:
        self.refused += 1
        self._refusal_log.warning(f"refused: {why}", time.perf_counter())

    async def _create_full(
        self, kind: Kind, offer: Offer, channel: RunningChannel, local: str, network: str
    ) -> FullConnection:
        """Answer with all candidates: a server does not trickle over HTTP (RFC 9725, 4.3.2)."""
        ice = replace(self._ice_settings(), end_of_candidates="always", extra_hosts=lambda: (local,))
        connection = self._full_connection(kind, ice, channel)
        self._register(connection, network)
        await _description(connection, connection.answer(offer))
        return connection

    # -- signaling by the program

    async def add(self, offer_sdp: str, channel: str = MAIN) -> tuple[Peer, str]:
        """See ``Server.add_peer``."""
        heard = self.channels.find(channel)
        offer = read_offer(offer_sdp)
        kind = _kind_for(offer.audio, has_audio=self._has_audio(heard))
        connection = self._full_connection(kind, self._signaled_ice_settings(), heard)
        peer = self._register_signaled(connection, heard)
        answer = await _description(connection, connection.answer(offer))
        self._events.emit("sdp", peer, "answer", answer)
        return peer, answer

    async def offer(self, kind: Kind, channel: str = MAIN) -> tuple[Peer, str]:
        """See ``Server.create_offer``."""
        heard = self.channels.find(channel)
        if kind not in get_args(Kind):
            raise ConfigError(f"kind is {kind!r}; expected one of {get_args(Kind)}")
        if not self._has_audio(heard):
            if kind == "player":
                raise ConfigError('this server has nothing to play; give it a source, or offer to a "publisher"')
            kind = "publisher"
        connection = self._full_connection(kind, self._signaled_ice_settings(), heard, offers=True)
        peer = self._register_signaled(connection, heard)
        offer = await _description(connection, connection.make_offer())
        self._events.emit("sdp", peer, "offer", offer)
        return peer, offer

    async def remove(self, peer_id: int) -> None:
        """See ``Server.remove_peer``."""
        connection = next((one for one in self._peers if one.id == peer_id), None)
        if connection is None:
            raise ConfigError(f"there is no peer {peer_id!r}")
        connection.end(REMOVED_BY_PROGRAM)

    # -- channels

    def is_caller(self, connection: Connection) -> bool:
        """Return whether a peer hears what is made for it alone. Any thread."""
        return not isinstance(connection.channel, RunningChannel)

    def move(self, connection: Connection, name: str) -> None:
        """Let a peer hear another channel; ignored if that was closed meanwhile, or the peer has become a caller."""
        if self.is_caller(connection):
            return
        if name in self.channels.names and connection.channel.name != name and not connection.closed:
            connection.set_channel(self.channels.find(name))

    async def end_listeners(self, channel: RunningChannel, reason: str) -> None:
        """End the connections of a channel's listeners, in steps between which the loop does other work."""
        listening = [one for one in self._peers if one.channel is channel and plays(one.kind)]
        for number, connection in enumerate(listening, start=1):
            if connection.channel is channel:
                connection.end(reason)
            if number % PEERS_PER_STEP == 0:
                await asyncio.sleep(0)

    # -- connections

    def _full_connection(
        self, kind: Kind, ice: IceSettings, channel: RunningChannel, *, offers: bool = False
    ) -> FullConnection:
        return FullConnection(self._host, kind, self._config, self, ice, offers=offers, channel=channel)

    def _ice_settings(self) -> IceSettings:
        return IceSettings(
            servers=self._ice_servers,
            relay_only=self._config.ice_relay_only,
            public_ips=self._config.public_ips,
            announce_local=self._config.announce_local_addresses,
            policy=CandidatePolicy(allow_loopback=all(map(is_loopback, local_addresses()))),
            gather_timeout_s=_GATHER_TIMEOUT_S,
        )

    def _signaled_ice_settings(self) -> IceSettings:
        return replace(
            self._ice_settings(), connect_timeout_s=_SIGNALED_CONNECT_TIMEOUT_S, end_of_candidates="if complete"
        )

    def _register(self, connection: Connection, network: str) -> None:
        self._note_network(connection, network)
        self._log_peer(connection, f"arrived from {network}")
        self._add_peer(connection, Peer(connection, self._loop, self._host.engine.playout, self._config, self))

    def _log_peer(self, connection: Connection, what: str) -> None:
        if _log.isEnabledFor(logging.INFO):
            self._peer_log.log(logging.INFO, f"peer {connection.id}: {connection.kind} {what}", time.perf_counter())

    def _register_signaled(self, connection: FullConnection, channel: RunningChannel) -> Peer:
        self._log_peer(connection, "signaled by the program")
        peer = self._add_peer(
            connection,
            Peer(connection, self._loop, self._host.engine.playout, self._config, self, signaled=connection),
        )
        if connection.kind == "sendrecv" and channel.name == MAIN and self.adopt_caller is not None:
            self.adopt_caller(connection)
        return peer

    def _add_peer(self, connection: Connection, peer: Peer) -> Peer:
        self._peers[connection] = peer
        self._events.emit("peer_state", peer, connection.state)
        return peer

    # -- events of connections

    def state_changed(self, connection: Connection) -> None:
        """Report a new state to the program."""
        peer = self._peers[connection]
        peer.changed()
        self._events.emit("peer_state", peer, connection.state)
        if connection.state == "connected":
            if _log.isEnabledFor(logging.INFO):  # Statistics only for a log line that is written.
                self._log_peer(connection, f"connected from {connection.stats().remote_address}")
            self._events.emit("peer_connected", peer)
            for callback in self._on_connected:
                callback(connection)
        elif connection.closed:
            network = self._forget_network(connection)
            self._log_peer(connection, f"of {network} left: {connection.close_reason}")
            del self._peers[connection]
            if connection.closing is not None:
                self._closing.add(connection.closing)
                connection.closing.add_done_callback(self._closing.discard)
            for callback in self._on_closed:
                callback(connection)
            self._events.emit("peer_disconnected", peer, connection.close_reason)

    def _note_network(self, connection: Connection, network: str) -> None:
        self._networks[connection] = network
        self._held[network] += 1

    def _forget_network(self, connection: Connection) -> str:
        network = self._networks.pop(connection, None)
        if network is None:
            return "the program"
        self._held[network] -= 1
        if not self._held[network]:
            del self._held[network]
        return network

    def trickle(self, connection: FullConnection, candidate: Candidate | None) -> None:
        """Report a local candidate to the program, or end-of-candidates as an empty one."""
        peer = self._peers.get(connection)
        if peer is not None:
            text = "" if candidate is None else candidate.to_sdp()
            self._events.emit("ice_candidate", peer, text, connection.mid, connection.mline_index)

    def loss_reported(self) -> None:
        """Set each encoder's expected loss to the mean of its listeners.

        Computed at most once a second: 500 players send 100 reports per second, and each computation visits all.
        """
        now_s = time.perf_counter()
        if now_s < self._next_loss_s:
            return
        self._next_loss_s = now_s + _LOSS_INTERVAL_S
        fractions = defaultdict[tuple[SentChannel, int], list[float]](list)
        channels: dict[SendingChannel, None] = dict.fromkeys(self.channels)
        for connection in self._peers:
            lost = connection.fraction_lost
            if lost is not None:
                fractions[connection.channel, connection.encoding].append(lost)
                if self.is_caller(connection):
                    channels[cast("SendingChannel", connection.channel)] = None
        for channel in channels:
            for encoding in range(len(channel.bitrates_bps)):
                channel.expect_loss(encoding, fractions[channel, encoding])

    # -- the end

    async def end_all(self, reason: str) -> None:
        """End all connections and wait, a few seconds at most, until their resources are released."""
        for connection in tuple(self._peers):
            connection.end(reason)
        await self._host.wait_until_released(_RELEASE_TIMEOUT_S)
        if self._closing:
            await asyncio.wait(self._closing, timeout=_CLOSE_TIMEOUT_S)


def _kind_for(audio: RemoteAudio, *, has_audio: bool) -> Kind:
    """Return the kind of a peer from the direction in its offer."""
    if not audio.sends:
        if not has_audio:
            raise UnusableSdpError("the offer is recvonly, and this server has nothing to play")
        return "player"
    return "sendrecv" if audio.receives and has_audio else "publisher"


async def _description(connection: FullConnection, description: Awaitable[str]) -> str:
    """Wait for an offer or an answer; end the connection if there is none."""
    try:
        return await description
    except ClosedError:
        raise ClosedError(f"peer {connection.id} is gone: {connection.close_reason}") from None
    except BaseException as error:
        connection.end(f"no session description could be made: {error}")
        raise
