"""One connection with full ICE, around a ``MediaSession``; today a client's, which makes the offer.

    make_offer ─► (signaling) ─► take_answer ─► ICE connects ─► DTLS ─► connected ─► ended

Loop thread, but for the statistics. Whoever signals owns it and is told by callbacks.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from ..config import ServerConfig
from ..core import Engine
from ..errors import DtlsError, IceError
from ..rtc import dtls
from ..rtc.candidate import Candidate, CandidatePolicy
from ..rtc.local_audio import LocalAudio, build_answer, build_offer
from ..rtc.negotiation import read_answer, read_offer
from ..rtc.opus_parameters import OpusParameters
from ..rtc.remote_audio import RemoteAudio
from ..rtc.sdp import IceCredentials
from ..rtc.sdp_fragment import IceFragment
from ..stats import PeerStats
from . import media
from .bridge import Bridge
from .full_ice import FullIce, SelectedPair
from .ice_servers import IceServerAddress
from .media import Kind
from .mux import format_address

_FIRST_BYTE_OF_RTP = 128
_RTCP_TYPES = range(192, 224)
_LINGER_S = 0.2
"""How long a descriptor outlives its path: more than two frame times, as ``core.h`` wants."""
_RELEASE_TIMEOUT_S = 1.0


Exchange = Callable[[IceCredentials, Iterable[Candidate]], Awaitable[IceFragment]]


@dataclass(frozen=True, slots=True)
class Callbacks:
    """What the owner wants to know."""

    connected: Callable[[], None]
    ended: Callable[[str], None]
    """Once, with the reason, unless ``close`` was called."""
    candidate: Callable[[Candidate], None]
    """A candidate of ours that was found after the offer; to be trickled."""


class FullConnection:
    """One attempt: an offer, its answer, and the media until it ends.

    Attributes:
        kind: What the other side does: ``"player"`` when we push, ``"publisher"`` when we pull.
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
        ice_servers: Iterable[IceServerAddress] = (),
        *,
        hosts: tuple[str, ...] | None = None,
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
            ice_servers: STUN and TURN.
            hosts: Our addresses to use; by default all that others can reach.
        """
        self.kind = kind
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
        self._offer = ""
        self._remote: RemoteAudio | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._descriptor: int | None = None
        self._lingering: dict[int, asyncio.TimerHandle] = {}
        self._released = asyncio.Event()
        self._datagrams = 0
        self._pair: SelectedPair | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._ice = FullIce(
            ice_servers,
            controlling=True,
            on_data=self._receive,
            on_selected=self._use_pair,
            on_lost=self._end,
            on_candidate=callbacks.candidate,
            hosts=hosts,
            policy=CandidatePolicy(allow_loopback=True),
        )

    # -- signaling

    async def make_offer(self) -> str:
        """Gathers, for half a second at most, and describes ourselves (RFC 9429, 5.2.1)."""
        await self._ice.gather()
        self._offer = build_offer(self._local_audio())
        return self._offer

    def take_answer(self, text: str) -> None:
        """Connects to who answered.

        Raises:
            SdpError: The answer cannot be read, or not used.
        """
        audio = read_answer(text, self._offer)
        # The answerer's "active" means that it speaks first (RFC 8842, 5.3).
        self._begin(audio, "server" if audio.setup == "active" else "client")

    def answer_offer(self, text: str) -> str:
        """Takes the other side's offer in place of ours (WHEP's counter-offer), and answers it.

        Raises:
            SdpError: It cannot be read, or not used.
        """
        offer = read_offer(text)
        self._begin(offer.audio, "client" if offer.answer_setup == "active" else "server")
        return build_answer(offer, self._local_audio())

    def _begin(self, audio: RemoteAudio, role: dtls.DtlsRole) -> None:
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
        self._remote = audio
        self._ice.set_remote(audio.ice, audio.candidates, ice_lite=audio.ice_lite)
        self.state = "connecting"
        self._connecting = self._loop.create_task(self._connect())

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
        candidates = await self._ice.restart()
        answer = await exchange(self._ice.credentials, candidates)
        if answer.ice is None:
            raise IceError("the other side's answer to the ICE restart has no credentials")
        # Without candidates, those that it had: RFC 9725, 4.3.3 wants all of them, but what is there to lose.
        remote = answer.candidates or self._remote.candidates
        self._ice.set_remote(answer.ice, remote, ice_lite=self._remote.ice_lite)
        await self._ice.connect()

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

    async def close(self) -> None:
        """Says goodbye and lets go of everything, within a second or so. No callback comes after."""
        if self.state != "closed":
            goodbye = self._media.close() if self._media is not None else []
            for data in goodbye:
                self._ice.send(data)
            self._let_go()
        if self._connecting is not None:
            self._connecting.cancel()
        await self._ice.close()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._released.wait(), _RELEASE_TIMEOUT_S)
        for descriptor, timer in self._lingering.items():
            timer.cancel()
            os.close(descriptor)
        self._lingering.clear()

    def released(self) -> None:
        """The audio path's threads have let go of the peer; its number may be used again."""
        self._released.set()

    def relay(self, data: bytes) -> None:
        """Sends what the sender thread cannot send itself."""
        if self.state == "connected":
            self._ice.send(data)

    # -- inside

    def _local_audio(self) -> LocalAudio:
        pushes = self.kind == "player"
        return LocalAudio(
            ice=self._ice.credentials,
            candidates=self._ice.candidates,
            end_of_candidates=False,
            fingerprint=self._certificate.fingerprint,
            direction="sendonly" if pushes else "recvonly",
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
            self._end(str(error))

    def _use_pair(self, pair: SelectedPair) -> None:
        """ICE found a way, or another one."""
        is_first, self._pair = self._pair is None, pair
        if self.state == "connected":
            self._set_path()
        elif self._media is not None and is_first:
            self._bridge.open_for(self.peer)
            self._media.start(self._loop.time())
            self._advance()

    def _set_path(self) -> None:
        pair, before = self._pair, self._descriptor
        assert pair is not None
        self._descriptor = None
        if pair.descriptor is None:
            self._bridge.use_for_sending(self.peer)
        else:
            self._descriptor = os.dup(pair.descriptor)
            self._engine.set_descriptor(self.peer, self._descriptor, *pair.remote)
        self._close_later(before)

    def _close_later(self, descriptor: int | None) -> None:
        if descriptor is not None:
            self._lingering[descriptor] = self._loop.call_later(_LINGER_S, self._close_now, descriptor)

    def _close_now(self, descriptor: int) -> None:
        del self._lingering[descriptor]
        os.close(descriptor)

    def _receive(self, data: bytes) -> None:
        if self._media is None or self.state == "closed":
            return
        self._datagrams += 1
        if len(data) > 1 and data[0] >= _FIRST_BYTE_OF_RTP and data[1] not in _RTCP_TYPES:
            self._bridge.hand_on(data)
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
                self._set_path()
                self.state = "connected"
                self._callbacks.connected()
            elif isinstance(event, media.Ended):
                self._end(event.reason)
                return
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
        self._close_later(self._descriptor)
        self._descriptor = None

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
