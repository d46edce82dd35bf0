"""One connection with full ICE around a ``MediaSession``: a client's, or a server's peer; we offer, or we answer.

    make_offer ─► (signaling) ─► take_answer ─┐
    (signaling) ─► answer ────────────────────┴─► ICE connects ─► DTLS ─► connected ─► ended
                                                      ▲                        │
                                                      └─────── restart ◄───────┘

Loop thread, but for the statistics. Whoever signals owns it and is told by callbacks.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Awaitable, Callable, Iterable

from ..config import IceServerAddress, ServerConfig
from ..core import Engine
from ..errors import ClosedError, DtlsError, IceError
from ..rtc import dtls
from ..rtc.candidate import Candidate
from ..rtc.local_audio import LocalAudio, build_answer, build_offer
from ..rtc.negotiation import Offer, read_answer, read_offer
from ..rtc.opus_parameters import OpusParameters
from ..rtc.remote_audio import RemoteAudio
from ..rtc.sdp import IceCredentials
from ..rtc.sdp_fragment import IceFragment, build_fragment
from ..stats import Kind, PeerStats, plays, talks
from . import media
from .bridge import Bridge
from .full_settings import WITHOUT_SERVERS, Callbacks, IceSettings
from .ice.full_ice import FullIce, SelectedPair
from .mux import format_address
from .sending_path import SendingPath

_FIRST_BYTE_OF_RTP = 128
_RTCP_TYPES = range(192, 224)
_RELEASE_TIMEOUT_S = 1.0


Exchange = Callable[[IceCredentials, Iterable[Candidate]], Awaitable[IceFragment]]


class FullConnection:
    """An offer, its answer, and the media until it ends.

    Attributes:
        kind: What the other side does: ``"player"`` when we push, ``"publisher"`` when we pull. ``"sendrecv"`` becomes
            one of them when the other side wants no more.
        offer_sdp: Our offer; empty before, and when we answer.
        state: ``"new"``, ``"connecting"``, ``"connected"`` or ``"closed"``.
    """

    def __init__(
        self,
        engine: Engine,
        bridge: Bridge,
        peer: int,
        kind: Kind,
        certificate: dtls.Certificate,
        config: ServerConfig,
        callbacks: Callbacks,
        ice: IceSettings = WITHOUT_SERVERS,
        *,
        offers: bool = True,
    ) -> None:
        """
        Args:
            engine: The audio path.
            bridge: Between it and ICE.
            peer: A free number there.
            kind: What the other side does.
            certificate: Ours.
            config: Settings of the stream.
            callbacks: Of the owner.
            ice: How we may be reached.
            offers: Whether we make the offer: ``make_offer``. Otherwise ``answer``.
        """
        self.kind: Kind = kind
        self.offer_sdp = ""
        self.state = "new"
        self.peer = peer
        self._engine = engine
        self._bridge = bridge
        self._certificate = certificate
        self._config = config
        self._callbacks = callbacks
        self._loop = asyncio.get_running_loop()
        self._identity = media.Identity()
        self._media: media.MediaSession | None = None
        self._settings = ice
        self._remote: RemoteAudio | None = None
        self._remote_ice: IceCredentials | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._path = SendingPath(engine, bridge, peer)
        self._released = asyncio.Event()
        self._datagrams = 0
        self._pair: SelectedPair | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._is_restarting = False
        self._ice = self._new_ice(offers=offers)

    def _new_ice(self, *, offers: bool) -> FullIce:
        settings = self._settings
        return FullIce(
            settings.servers,
            controlling=offers,
            on_data=self._receive,
            on_selected=self._use_pair,
            on_lost=self._lost,
            on_candidate=self._callbacks.candidate,
            on_gathered=self._callbacks.gathered,
            relay_only=settings.relay_only,
            hosts=settings.hosts,
            public_ips=settings.public_ips,
            announces_own=settings.announces_own,
            patience_s=settings.patience_s,
            policy=settings.policy,
        )

    # -- signaling

    async def make_offer(self) -> str:
        """Gathers, for half a second at most, and describes ourselves (RFC 9429, 5.2.1)."""
        await self._gather()
        self.offer_sdp = build_offer(self._local_audio())
        return self.offer_sdp

    def take_answer(self, answer: str | RemoteAudio) -> None:
        """Connects to who answered.

        Args:
            answer: Its text, or what ``read_answer`` made of it.

        Raises:
            SdpError: The answer cannot be read, or not used.
        """
        audio = read_answer(answer, self.offer_sdp) if isinstance(answer, str) else answer
        # The answerer's "active" means that it speaks first (RFC 8842, 5.3).
        self._begin(audio, "server" if audio.setup == "active" else "client")

    async def answer(self, offer: Offer) -> str:
        """Gathers, as ``make_offer`` does, connects to who made the offer and answers it."""
        await self._gather()
        return self._answer(offer)

    def answer_offer(self, text: str) -> str:
        """Takes the other side's offer in place of ours (WHEP's counter-offer), and answers it.

        Raises:
            SdpError: It cannot be read, or not used.
        """
        return self._answer(read_offer(text))

    async def _gather(self) -> None:
        await self._ice.gather(self._settings.gather_s)
        if self.state == "closed":
            raise ClosedError("the peer was removed meanwhile")

    def _answer(self, offer: Offer) -> str:
        self._begin(offer.audio, "client" if offer.answer_setup == "active" else "server")
        return build_answer(offer, self._local_audio())

    def _begin(self, audio: RemoteAudio, role: dtls.DtlsRole) -> None:
        self._remote = audio
        self.kind = _agreed(self.kind, audio)
        self._remote_ice = audio.ice
        self._media = media.MediaSession(
            self._engine,
            self.peer,
            self.kind,
            audio,
            role=role,
            certificate=self._certificate,
            config=self._config,
            identity=self._identity,
        )
        self._ice.set_remote(audio.ice, audio.candidates, ice_lite=audio.ice_lite)
        self.state = "connecting"
        self._callbacks.connecting()
        self._connecting = self._loop.create_task(self._connect())

    def add_candidate(self, candidate: Candidate) -> None:
        """A candidate of the other side, also before its description is there. What may not be used is dropped."""
        # One of an ICE session before the present one is of no use any more.
        ufrag = self._remote_ice.ufrag if self._remote_ice is not None else None
        if self.state != "closed" and (candidate.ufrag is None or ufrag is None or candidate.ufrag == ufrag):
            self._ice.add_remote_candidate(candidate)

    async def answer_restart(self, fragment: IceFragment, ice_options: Iterable[str]) -> str:
        """Answers the other side's ICE restart; audio goes on over the old pair until a new one works.

        Args:
            fragment: Has its new credentials, and candidates.
            ice_options: As in our answer to its offer.

        Returns:
            Our new credentials and candidates.
        """
        assert self._remote is not None, "nothing to restart before there is a description"
        assert fragment.ice is not None, "a fragment without credentials is no restart"
        candidates = await self._ice.restart(timeout_s=self._settings.gather_s)
        if self.state == "closed":
            raise ClosedError("the peer is gone")
        self._remote_ice = fragment.ice
        self._ice.set_remote(fragment.ice, fragment.candidates, ice_lite=self._remote.ice_lite)
        if self._connecting is not None:
            self._connecting.cancel()
        self._is_restarting = True
        self._connecting = self._loop.create_task(self._connect())
        return build_fragment(self._ice.credentials, candidates, mid=self._remote.mid, ice_options=ice_options)

    async def add_servers(self, servers: Iterable[IceServerAddress]) -> None:
        """Asks ICE servers that came with the answer; what they tell is trickled (RFC 9725, 4.6)."""
        await self._ice.add_servers(servers)

    async def restart(self, exchange: Exchange) -> None:
        """Looks for another path by an ICE restart (RFC 8445, 9). The media goes on, over the former one meanwhile.

        Args:
            exchange: Tells the other side our new credentials and candidates; returns its own.

        Raises:
            IceError: There is none.
            BassWebRtcError: What ``exchange`` raises.
        """
        assert self._remote is not None, "there is no session yet"
        self._is_restarting = True
        try:
            candidates = await self._ice.restart()
            answer = await exchange(self._ice.credentials, candidates)
            if answer.ice is None:
                raise IceError("the other side's answer to the ICE restart has no credentials")
            self._remote_ice = answer.ice
            # Without candidates, those that it had: RFC 9725, 4.3.3 wants all of them, but what is there to lose.
            remote = answer.candidates or self._remote.candidates
            self._ice.set_remote(answer.ice, remote, ice_lite=self._remote.ice_lite)
            await self._ice.connect()
        finally:
            self._ice.give_up_restart()
            self._is_restarting = False

    @property
    def local_host(self) -> str:
        """The address of this machine that is in use; empty while none is, and with a relay."""
        return "" if self._pair is None or self._pair.is_relay else self._pair.local[0]

    @property
    def signs_of_life(self) -> int:
        """Grows with everything that the other side sends."""
        return self._datagrams + self._ice.answers

    def ask(self) -> None:
        """Asks the other side for a sign of life."""
        self._ice.ask()

    @property
    def round_trip_s(self) -> float | None:
        """How long the answer takes, of late; None while none has come over the present path."""
        return self._ice.round_trip_s

    def leave(self) -> None:
        """Says goodbye at once; nothing is sent any more. The sockets want a ``close``. No callback comes after."""
        if self.state != "closed":
            goodbye = self._media.close() if self._media is not None else []
            for data in goodbye:
                self._ice.send(data)
            self._let_go()

    async def close(self) -> None:
        """Says goodbye and lets go of everything, within a second or so. No callback comes after."""
        self.leave()
        if self._connecting is not None:
            self._connecting.cancel()
        await self._ice.close()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._released.wait(), _RELEASE_TIMEOUT_S)
        self._path.close()

    def released(self) -> None:
        """The audio path's threads have let go of the peer; its number may be used again."""
        self._released.set()

    # -- inside

    def _relay(self, data: bytes) -> None:
        """Sends what the sender thread cannot send itself."""
        if self.state == "connected":
            self._ice.send(data)

    def _local_audio(self) -> LocalAudio:
        pushes = plays(self.kind)
        says_all = self._settings.says_all
        return LocalAudio(
            ice=self._ice.credentials,
            candidates=self._ice.candidates,
            end_of_candidates=says_all == "yes" or (says_all == "when it is so" and self._ice.is_complete),
            fingerprint=self._certificate.fingerprint,
            direction="recvonly" if not pushes else "sendrecv" if talks(self.kind) else "sendonly",
            ssrc=self._identity.ssrc,
            cname=self._identity.cname,
            stream_id=secrets.token_urlsafe(12),
            track_id=secrets.token_urlsafe(12),
            session_id=secrets.randbits(62),
            opus=OpusParameters(stereo=True, sprop_stereo=pushes, use_inband_fec=True),
            red=True,
            nack=pushes,
            ptime_ms=self._config.frame_ms if pushes else None,
        )

    async def _connect(self) -> None:
        try:
            await self._ice.connect()
        except (IceError, DtlsError) as error:
            if self._ice.selected is None:  # After a restart the old pair may still be good.
                self._end(str(error))
        self._is_restarting = False

    def _lost(self, reason: str) -> None:
        """Nothing may be sent any more, unless a restart that is under way finds a way."""
        if self._is_restarting and self.state == "connected":
            self._path.pause()
        else:
            self._end(reason)

    def _use_pair(self, pair: SelectedPair) -> None:
        """ICE found a way, or another one."""
        is_first, self._pair = self._pair is None, pair
        if self.state == "connected":
            self._path.use(pair)
        elif self._media is not None and is_first:
            self._bridge.open_for(self.peer, self._relay)
            self._media.start(self._loop.time())
            self._advance()

    def _receive(self, data: bytes) -> None:
        if self._media is None or self.state == "closed":
            return
        self._datagrams += 1
        if len(data) > 1 and data[0] >= _FIRST_BYTE_OF_RTP and data[1] not in _RTCP_TYPES:
            self._bridge.hand_on(self.peer, data)
        elif data:
            self._media.receive(data, self._loop.time())
            self._advance()

    def _on_timer(self) -> None:
        self._timer = None
        if self._media is not None:
            self._media.handle_timeout(self._loop.time())
            self._advance()

    def _advance(self) -> None:
        session = self._media
        assert session is not None
        for data in session.to_send():
            self._ice.send(data)
        for event in session.events():
            if isinstance(event, media.Connected):
                assert self._pair is not None, "no handshake without a pair"
                self._path.use(self._pair)
                self.state = "connected"
                self._callbacks.connected()
            elif isinstance(event, media.Ended):
                self._end(event.reason)
                return
            elif isinstance(event, media.LossReported):
                self._callbacks.loss_reported()
        self._schedule(session)

    def _schedule(self, session: media.MediaSession) -> None:
        next_s = session.timeout_s()
        if next_s is None or (self._timer is not None and self._timer.when() <= next_s):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(next_s, self._on_timer)

    def _end(self, reason: str) -> None:
        """It is over, and not by us."""
        if self.state != "closed":
            self._let_go()
            self._callbacks.ended(reason)

    def _let_go(self) -> None:
        self.state = "closed"
        if self._timer is not None:
            self._timer.cancel()
        self._bridge.close_for(self.peer)
        self._engine.remove_peer(self.peer)
        self._path.leave()

    @property
    def fraction_lost(self) -> float | None:
        """What a player's last report said of the packets it missed; None when it plays nothing yet."""
        return self._media.fraction_lost if self._media is not None else None

    def accept_ssrc(self, ssrc: int) -> None:
        """The other side sends with an SSRC that its answer did not name."""
        if self._media is not None and self.state != "closed":
            self._media.accept_ssrc(ssrc)

    # -- statistics: any thread

    def stats(self) -> PeerStats:
        """A snapshot."""
        pair, session = self._pair, self._media
        return PeerStats(
            id=self.peer,
            kind=self.kind,
            state=self.state,
            local_address=format_address(*pair.local) if pair is not None else "",
            remote_address=format_address(*pair.remote) if pair is not None else "",
            **(session.stats() if session is not None else {"connected_s": 0.0}),
        )


def _agreed(kind: Kind, audio: RemoteAudio) -> Kind:
    """What is left of "both" when the other side's description wants less."""
    if kind != "sendrecv" or (audio.sends and audio.receives):
        return kind
    return "publisher" if audio.sends else "player"
