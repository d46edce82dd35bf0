"""A connection with full ICE: a client's, or one of a server's peers. Either side may make the offer.

    make_offer ─► (signaling) ─► take_answer ─┐
    (signaling) ─► answer ────────────────────┴─► ICE connects ─► DTLS ─► connected ─► closed
                                                      ▲                        │
                                                      └─── ICE restart ◄───────┘

Loop thread only, except for the statistics.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol

from ..config import IceServerAddress, StreamConfig
from ..core import Engine
from ..errors import ClosedError, DtlsError, IceError
from ..host_process import keep_from_children
from ..rtc import dtls
from ..rtc.candidate import Candidate
from ..rtc.local_audio import LocalAudio, build_answer, build_offer
from ..rtc.negotiation import Offer
from ..rtc.remote_audio import RemoteAudio
from ..rtc.sdp import IceCredentials
from ..rtc.sdp_fragment import IceFragment, build_fragment
from ..stats import Kind, PeerStats
from . import media
from .host import CLOSED_BY_PEER, Bridge, ConnectionObserver, EngineHost, OnlyChannel, SentChannel
from .ice.addresses import format_address
from .ice.full_ice import FullIce, IceSettings, SelectedPair

OFFERED_MID = "0"
"""mid of the one audio section in local offers."""

_FIRST_BYTES_OF_DTLS = range(20, 64)
_FIRST_BYTE_OF_RTP = 128
_RELEASE_TIMEOUT_S = 1.0
_LINGER_S = 0.2
"""How long a descriptor outlives its use: more than two frame times, as ``core.h`` requires."""

RestartExchange = Callable[[IceCredentials, Iterable[Candidate]], Awaitable[IceFragment]]
"""Sends the local credentials and candidates of an ICE restart to the peer and returns the peer's."""


class TrickleObserver(ConnectionObserver, Protocol):
    """Receives the events of connections with full ICE."""

    def trickle(self, connection: FullConnection, candidate: Candidate | None) -> None:
        """Signal a local candidate that the description does not contain, or end-of-candidates (None)."""


class FullConnection:
    """A connection with full ICE; implements ``SignaledConnection``.

    Attributes:
        id: The peer's slot, 0 to ``max_peers`` - 1.
        kind: What the peer does. ``"sendrecv"`` becomes one direction if the peer's description allows only that.
        state: ``"new"``, ``"connecting"``, ``"connected"`` or ``"closed"``.
        offer_sdp: The local offer, after ``make_offer``.
        answer_sdp: The answer to the peer's offer, after ``answer``.
        channel: What is sent to the peer, if it plays.
        close_reason: Why the connection ended; empty before.
        closing: Closes sockets and deletes TURN allocations, within about a second; None before the end.
        mid: Of the audio section, for trickled candidates.
        mline_index: The same as an index.
    """

    def __init__(
        self,
        host: EngineHost,
        kind: Kind,
        config: StreamConfig,
        observer: TrickleObserver,
        ice: IceSettings,
        *,
        offers: bool,
        channel: SentChannel | None = None,
    ) -> None:
        """Take a slot. ``make_offer`` or ``answer`` comes next.

        Args:
            host: The engine.
            kind: What the peer does.
            config: Settings of the stream.
            observer: Receives the events.
            ice: Settings of ICE.
            offers: Whether this side makes the offer.
            channel: What the peer is sent, if it plays; None: the engine has one channel only.

        Raises:
            PeerLimitError: All slots are taken.
        """
        self.kind: Kind = kind
        self.state = "new"
        self.offer_sdp = self.answer_sdp = self.close_reason = ""
        self.closing: asyncio.Task[None] | None = None
        self.mid: str | None = OFFERED_MID
        self.mline_index = 0
        self._host = host
        self._certificate = dtls.Certificate.generate()
        self._config = config
        self.channel = channel or OnlyChannel.of(config)
        self._observer = observer
        self._settings = ice
        self._loop = asyncio.get_running_loop()
        self._identity = media.Identity()
        self._media: media.MediaSession | None = None
        self._remote: RemoteAudio | None = None
        self._remote_ice: IceCredentials | None = None
        self._ice_options: tuple[str, ...] = ()
        self._has_gathered = False
        self._timer: asyncio.TimerHandle | None = None
        self._released = asyncio.Event()
        self._rtcp_datagrams = 0
        self._pair: SelectedPair | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._is_restarting = False
        self._ice = FullIce(ice, self, host.socket_budget, controlling=offers)
        self._bridge = host.bridge
        self.id = host.take_slot(self)
        self._path = _SendingPath(host.engine, self._bridge, self.id)

    @property
    def exceeded_limits(self) -> tuple[str, ...]:
        """Limits in the peer's description that the stream exceeds."""
        return self._media.exceeded_limits if self._media is not None else ()

    @property
    def closed(self) -> bool:
        """Whether the connection has ended."""
        return self.state == "closed"

    @property
    def encoding(self) -> int:
        """Which of the channel's encodings is sent; the first before the peer's description."""
        return self._media.encoding if self._media is not None else 0

    def set_channel(self, channel: SentChannel) -> None:
        """Send another channel in the same RTP stream. Ignored after the end."""
        self.channel = channel
        if self._media is not None and not self.closed:
            self._media.set_channel(channel)

    # -- offer and answer

    async def make_offer(self) -> str:
        """Gather candidates, for ``gather_timeout_s`` at most, and return an offer (RFC 9429, 5.2.1)."""
        await self._gather()
        self.offer_sdp = build_offer(self._local_audio())
        return self.offer_sdp

    async def answer(self, offer: Offer) -> str:
        """Gather candidates unless ``make_offer`` has done so, connect to the peer, and return the answer.

        It may replace a local offer: WHEP's counter-offer.
        """
        self.mid, self.mline_index = offer.audio.mid, offer.audio.mline_index
        self._remote_ice = offer.audio.ice
        self._ice_options = offer.answer_ice_options
        await self._gather()
        self._begin(offer.audio, "client" if offer.answer_setup == "active" else "server")
        self.answer_sdp = build_answer(offer, self._local_audio())
        return self.answer_sdp

    def take_answer(self, audio: RemoteAudio) -> None:
        """Connect to the peer that answered the local offer. Ignored if it has answered already, or after the end."""
        if self.state == "new":
            # The answerer's "active" means that it sends the ClientHello (RFC 8842, 5.3).
            self._begin(audio, "server" if audio.setup == "active" else "client")

    async def _gather(self) -> None:
        if not self._has_gathered:
            self._has_gathered = True
            await self._ice.gather()
        if self.closed:
            raise ClosedError("the peer was removed while its session was negotiated")

    def _begin(self, audio: RemoteAudio, role: dtls.DtlsRole) -> None:
        self._remote = audio
        self.kind = _agreed_kind(self.kind, audio)
        self._remote_ice = audio.ice
        self._media = media.MediaSession(
            self._host.engine,
            self.id,
            self.kind,
            audio,
            self.channel,
            role=role,
            certificate=self._certificate,
            config=self._config,
            identity=self._identity,
            log=self._host.media_log,
        )
        self._ice.set_remote(audio.ice, audio.candidates, ice_lite=audio.ice_lite)
        self._set_state("connecting")
        self._connecting = self._loop.create_task(self._connect())

    def _local_audio(self) -> LocalAudio:
        when = self._settings.end_of_candidates
        return media.describe(
            self.kind,
            self._config,
            self._identity,
            self._certificate,
            self._ice.credentials,
            self._ice.candidates,
            end_of_candidates=when == "always" or (when == "if complete" and self._ice.is_complete),
        )

    # -- candidates and ICE restarts

    @property
    def remote_ice(self) -> IceCredentials:
        """The peer's latest ICE credentials."""
        assert self._remote_ice is not None, "unknown before the peer's description"
        return self._remote_ice

    def add_candidates(self, candidates: Iterable[Candidate]) -> None:
        """Add remote candidates, also before the peer's description; those that may not be used are ignored."""
        ufrag = self._remote_ice.ufrag if self._remote_ice is not None else None
        for candidate in candidates:
            # A candidate of a former ICE session is of no use.
            is_current = candidate.ufrag is None or ufrag is None or candidate.ufrag == ufrag
            if is_current and not self.closed:
                self._ice.add_remote_candidate(candidate)

    def end_of_candidates(self) -> None:
        """Ignore end-of-candidates: the peer's checks may still arrive from other addresses (RFC 8863)."""

    async def add_servers(self, servers: Iterable[IceServerAddress]) -> None:
        """Query the ICE servers of the peer's answer; their candidates are trickled (RFC 9725, 4.6).

        Ignored after the end, which the observer knows already.
        """
        if not self.closed:
            await self._ice.add_servers(servers)

    async def restart(self, fragment: IceFragment, local: str = "", remote: str = "") -> str:
        """Answer the peer's ICE restart (RFC 9725, 4.3.3). Audio stays on the old pair until a new one works.

        Args:
            fragment: The peer's new credentials and candidates.
            local: The local address at which the request arrived, perhaps a new one.
            remote: The address that it came from; not needed here.

        Returns:
            The new local credentials and candidates.

        Raises:
            ClosedError: The connection has ended.
        """
        if self.closed:
            raise ClosedError("the peer has disconnected")
        assert self._remote is not None, "there is no session to restart before a description"
        assert fragment.ice is not None, "a fragment without credentials is not a restart"
        candidates = await self._ice.restart((local,) if local else ())
        if self.closed:
            raise ClosedError("the peer has disconnected")
        self._remote_ice = fragment.ice
        self._ice.set_remote(fragment.ice, fragment.candidates, ice_lite=self._remote.ice_lite)
        if self._connecting is not None:
            self._connecting.cancel()
        self._is_restarting = True
        self._connecting = self._loop.create_task(self._connect())
        return build_fragment(self._ice.credentials, candidates, mid=self._remote.mid, ice_options=self._ice_options)

    async def request_restart(self, exchange: RestartExchange) -> None:
        """Find another path by an ICE restart (RFC 8445, 9). Meanwhile media continues on the old one.

        Args:
            exchange: Signals the restart to the peer.

        Raises:
            IceError: No pair works.
            BassWebRtcError: ``exchange`` failed.
        """
        assert self._remote is not None, "there is no session to restart before a description"
        self._is_restarting = True
        try:
            candidates = await self._ice.restart()
            answer = await exchange(self._ice.credentials, candidates)
            if answer.ice is None:
                raise IceError("the peer's answer to the ICE restart has no credentials")
            self._remote_ice = answer.ice
            # RFC 9725, 4.3.3 requires all candidates in the answer. If there are none, the known ones may still work.
            remote = answer.candidates or self._remote.candidates
            self._ice.set_remote(answer.ice, remote, ice_lite=self._remote.ice_lite)
            await self._ice.connect()
        finally:
            self._ice.cancel_restart()
            self._is_restarting = False

    # -- liveness, for clients

    @property
    def local_host(self) -> str:
        """The local address in use; empty if there is none, and with a relay."""
        return "" if self._pair is None or self._pair.is_relay else self._pair.local[0]

    @property
    def activity(self) -> int:
        """Number of authentic packets and consent responses received from the peer."""
        packets = self._host.engine.peer_counters(self.id).packets_received
        return packets + self._rtcp_datagrams + self._ice.consent_responses

    def send_check(self) -> None:
        """Send an ICE check immediately; its response increases ``activity``."""
        self._ice.send_check()

    @property
    def round_trip_s(self) -> float | None:
        """Recent round trip of ICE checks; None before the first response on the selected pair."""
        return self._ice.round_trip_s

    # -- the end

    async def close(self) -> None:
        """End the connection because the peer has deleted its session. Idempotent."""
        self.end(CLOSED_BY_PEER)

    def end(self, reason: str) -> None:
        """Send RTCP BYE and close_notify, and release the slot; ``closing`` does the rest. Idempotent."""
        if not self.closed:
            for data in self._media.close() if self._media is not None else []:
                self._ice.send(data)
            self._release(reason)

    async def wait_closed(self) -> None:
        """Wait for ``closing`` after the end."""
        if self.closing is not None:
            await asyncio.wait({self.closing})

    def _release(self, reason: str) -> None:
        """Release slot and timer without sending anything. Idempotent."""
        if self.closed:
            return
        self.close_reason = reason
        self.state = "closed"
        if self._timer is not None:
            self._timer.cancel()
        self._bridge.close(self.id)
        self._host.release_slot(self.id)
        self._path.leave()
        self.closing = self._loop.create_task(self._close())
        self._observer.state_changed(self)

    async def _close(self) -> None:
        if self._connecting is not None:
            self._connecting.cancel()
        await self._ice.close()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._released.wait(), _RELEASE_TIMEOUT_S)
        self._path.close()

    def released(self) -> None:
        """Handle the release of the slot by the audio threads."""
        self._released.set()

    # -- ICE

    async def _connect(self) -> None:
        try:
            await self._ice.connect()
        except (IceError, DtlsError) as error:
            if self._ice.selected is None:  # After a failed restart, the old pair may still work.
                self._release(str(error))
        self._is_restarting = False

    def pair_selected(self, pair: SelectedPair) -> None:
        """Use the pair that ICE has selected."""
        if self.closed:
            return
        is_first, self._pair = self._pair is None, pair
        if self.state == "connected":
            self._path.use(pair)
        elif self._media is not None and is_first:
            self._bridge.open(self.id, self._send_relayed)
            self._media.start(self._loop.time())
            self._advance()

    def pair_lost(self, reason: str) -> None:
        """End the connection, or only stop sending if a restart in progress may find another pair."""
        if self._is_restarting and self.state == "connected":
            self._path.pause()
        else:
            self._release(reason)

    def candidate_gathered(self, candidate: Candidate) -> None:
        """Trickle a candidate, unless the description has said that there are no more."""
        self._trickle(candidate)

    def gathering_completed(self) -> None:
        """Signal end-of-candidates, unless the description has done so."""
        self._trickle(None)

    def _trickle(self, candidate: Candidate | None) -> None:
        if self._settings.end_of_candidates != "always" and not self.closed:
            self._observer.trickle(self, candidate)

    def data_received(self, data: bytes) -> None:
        """Handle a datagram from the peer."""
        if self._media is None or self.closed:
            return
        if data and data[0] >= _FIRST_BYTE_OF_RTP:
            self._bridge.forward(self.id, data)
        elif data and data[0] in _FIRST_BYTES_OF_DTLS:
            self._media.receive_dtls(data, self._loop.time())
            self._advance()

    def _send_relayed(self, data: bytes) -> None:
        """Send a packet of the sending thread through the TURN server."""
        if self.state == "connected":
            self._ice.send(data)

    # -- media

    def receive_rtcp(self, packet: bytes, now_s: float) -> None:
        """Handle decrypted RTCP that the peer sent; ignored after the end."""
        if self._media is not None and not self.closed:
            self._rtcp_datagrams += 1
            self._media.receive_rtcp(packet, now_s)
            self._advance()

    def probe_sent(self) -> None:
        """Send a check behind the copies that the core has sent."""
        if not self.closed:
            self._ice.send_check()

    def check_answered(self, round_trip_s: float) -> None:
        """Note the answer to a check of the selected pair."""
        if self._media is not None and not self.closed:
            self._media.note_round_trip(round_trip_s, self._loop.time())
            self._advance()

    def _on_timer(self) -> None:
        self._timer = None
        if self._media is None:
            return
        try:
            self._media.handle_timeout(self._loop.time())
            self._advance()
        except Exception:
            self._release("an internal error")  # Nothing would send reports or judge losses any more.
            raise

    def _advance(self) -> None:
        """Send the output of the media session, handle its events, and schedule its next timeout."""
        session = self._media
        assert session is not None
        for data in session.to_send():
            self._ice.send(data)
        for event in session.events():
            if isinstance(event, media.Connected):
                assert self._pair is not None, "the handshake needs a pair"
                self._path.use(self._pair)
                self._set_state("connected")
            elif isinstance(event, media.Ended):
                self._release(event.reason)
                return
            elif isinstance(event, media.LossReported):
                self._observer.loss_reported()
            elif isinstance(event, media.CheckWanted):
                self._ice.send_check()
        self._schedule(session)

    def _schedule(self, session: media.MediaSession) -> None:
        next_s = session.timeout_s()
        if next_s is None or (self._timer is not None and self._timer.when() <= next_s):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(next_s, self._on_timer)

    def _set_state(self, state: str) -> None:
        self.state = state
        self._observer.state_changed(self)

    # -- statistics: any thread

    @property
    def fraction_lost(self) -> float | None:
        """Fraction of packets lost in the player's last report, 0 to 1; None if there is none."""
        return self._media.fraction_lost if self._media is not None else None

    def stats(self) -> PeerStats:
        """Return a snapshot."""
        pair, session = self._pair, self._media
        return PeerStats(
            id=self.id,
            kind=self.kind,
            state=self.state,
            local_address=format_address(*pair.local) if pair is not None else "",
            remote_address=format_address(*pair.remote) if pair is not None else "",
            **(session.stats() if session is not None else {"connected_s": 0.0}),
        )


class _SendingPath:
    """The socket on which the sending thread sends the packets of one peer.

    direct pair  ─► a duplicate of ICE's own socket, so that no other thread is involved
    relayed pair ─► the bridge, because only the TURN client can wrap the packets
    """

    def __init__(self, engine: Engine, bridge: Bridge, slot: int) -> None:
        self._engine = engine
        self._bridge = bridge
        self._slot = slot
        self._socket: socket.socket | None = None
        self._lingering: dict[socket.socket, asyncio.TimerHandle] = {}

    def use(self, pair: SelectedPair) -> None:
        """Send on this pair."""
        before, self._socket = self._socket, None
        if pair.descriptor is None:
            self._bridge.route(self._slot)
        else:
            self._socket = socket.socket(fileno=socket.dup(pair.descriptor))
            keep_from_children(self._socket)
            self._engine.set_descriptor(self._slot, self._socket.fileno(), *pair.remote)
        self._close_later(before)

    def pause(self) -> None:
        """Send nothing until the next ``use``."""
        self._engine.clear_path(self._slot)

    def leave(self) -> None:
        """Stop using the socket, which the sending thread may need until the slot is released."""
        self._close_later(self._socket)
        self._socket = None

    def close(self) -> None:
        """Close all sockets. After ``leave``, when the slot is released."""
        for sock, timer in self._lingering.items():
            timer.cancel()
            sock.close()
        self._lingering.clear()

    def _close_later(self, sock: socket.socket | None) -> None:
        if sock is not None:
            timer = asyncio.get_running_loop().call_later(_LINGER_S, self._close_now, sock)
            self._lingering[sock] = timer

    def _close_now(self, sock: socket.socket) -> None:
        del self._lingering[sock]
        sock.close()


def _agreed_kind(kind: Kind, audio: RemoteAudio) -> Kind:
    """Reduce ``"sendrecv"`` to the direction that the peer's description allows."""
    if kind != "sendrecv" or (audio.sends and audio.receives):
        return kind
    return "publisher" if audio.sends else "player"
