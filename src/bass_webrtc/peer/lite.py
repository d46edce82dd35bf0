"""One remote peer of an ICE-lite server: ICE and signaling around a ``MediaSession``.

                STUN check with our password            certificate fits the fingerprint
    new ──────────────────────────────► connecting ──────────────────────────────► connected
     │                                      │                                          │
     └── nobody checks for 10 s ────────────┴── handshake fails, consent expires ──────┴── closed

The protocols are sans-I/O objects; this file gives them datagrams and the time, sends what they want sent and does
what their events ask for. Loop thread only, but for the statistics.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterable
from dataclasses import dataclass

from ..config import ServerConfig
from ..errors import ClosedError
from ..rtc import dtls, ice_lite
from ..rtc.ice_lite import Path
from ..rtc.local_audio import LocalAudio, build_answer
from ..rtc.negotiation import Offer
from ..rtc.opus_parameters import OpusParameters
from ..rtc.remote_audio import RemoteAudio
from ..rtc.sdp import IceCredentials
from ..rtc.sdp_fragment import IceFragment, build_fragment
from ..stats import Kind, PeerStats, plays
from . import media
from .connection import Observer, check_limits
from .mux import UdpMux, format_address

_FIRST_BYTE_AFTER_STUN = 4


@dataclass(frozen=True, slots=True)
class Visit:
    """How a peer came to us."""

    asked: str = ""
    """Our address at which its request for a session arrived; "" when that is not known."""
    remote: str = ""
    """The address it came from."""


class LiteConnection:
    """One peer that plays what the engine sends, or sends what the engine plays.

    Attributes:
        id: Its number, 0 to ``max_peers`` - 1.
        kind: ``"player"`` or ``"publisher"``.
        state: ``"new"``, ``"connecting"``, ``"connected"`` or ``"closed"``.
        answer_sdp: Our answer to its offer.
        offer_sdp: Empty: a lite agent answers.
        close_reason: Why it was closed, in words; empty before.
    """

    def __init__(
        self,
        mux: UdpMux,
        kind: Kind,
        offer: Offer,
        config: ServerConfig,
        observer: Observer,
        visit: Visit = Visit(),
    ) -> None:
        """Takes a peer number and waits for the peer's first check.

        Args:
            mux: The UDP port.
            kind: What the peer wants.
            offer: The peer's offer.
            config: The server's settings.
            observer: Is told of changes.
            visit: How it came.

        Raises:
            UnusableSdpError: The peer asks for less than this server's settings send.
            PeerLimitError: There are as many peers as may be.
        """
        if plays(kind):
            check_limits(offer.audio, config)
        self.kind: Kind = kind
        self.state = "new"
        self.close_reason = self.offer_sdp = ""
        self._loop = asyncio.get_running_loop()
        self._mux = mux
        self._engine = mux.engine
        self._offer = offer
        self._observer = observer
        self._visit = visit
        self._local_address = self._remote_address = ""
        self._timer: asyncio.TimerHandle | None = None
        self._ice = ice_lite.IceLite(IceCredentials.generate(), offer.audio.ice, now_s=self._loop.time())
        self._live_ufrags: tuple[str, ...] = ()
        self.id = mux.take_slot(self)
        identity = media.Identity()
        certificate = dtls.Certificate.generate()
        role: dtls.DtlsRole = "client" if offer.answer_setup == "active" else "server"
        self._media = media.MediaSession(
            self._engine,
            self.id,
            kind,
            offer.audio,
            role=role,
            certificate=certificate,
            config=config,
            identity=identity,
        )
        self._update_ufrags()
        ptime_ms = config.frame_ms if plays(kind) else None
        self.answer_sdp = build_answer(offer, self._local_audio(certificate, identity, ptime_ms))
        self._schedule()

    # -- signaling

    @property
    def remote_ice(self) -> IceCredentials:
        """The peer's newest ICE credentials."""
        return self._ice.remote

    @property
    def closed(self) -> bool:
        """Whether it is over."""
        return self.state == "closed"

    def take_answer(self, audio: RemoteAudio) -> None:
        """Not: it has made no offer."""
        raise AssertionError("a lite connection makes no offer")

    def add_candidates(self, candidates: Iterable[object]) -> None:
        """A lite agent learns addresses from checks alone, so candidates tell it nothing (RFC 8445, 2.5)."""

    def end_of_candidates(self) -> None:
        """The same."""

    async def restart(self, fragment: IceFragment) -> str:
        """Answers an ICE restart; audio goes on over the old path until the new one is checked (RFC 9725, 4.3.3).

        Raises:
            ClosedError: The connection is over.
        """
        if self.closed:
            raise ClosedError("the peer is gone")
        assert fragment.ice is not None, "a fragment without credentials is no restart"
        self._ice.restart(IceCredentials.generate(), fragment.ice, self._loop.time())
        self._update_ufrags()
        self._schedule()
        return build_fragment(
            self._ice.local,
            self._mux.candidates(self._visit.asked, self._visit.remote),
            mid=self._offer.audio.mid,
            ice_lite=True,
            ice_options=self._offer.answer_ice_options,
        )

    async def close(self) -> None:
        """The peer ended its session by signaling: says goodbye and lets go of everything. Idempotent."""
        self.end("closed by the peer")

    def end(self, reason: str) -> None:
        """Says goodbye and lets go of everything, for a reason. Idempotent."""
        if not self.closed:
            self._send(self._media.close())
            self._let_go(reason)

    # -- datagrams and time

    def receive(self, data: bytes, path: Path, now_s: float) -> None:
        """Takes one datagram: STUN of anybody who names our ufrag, anything else from a validated address."""
        if self.closed:
            return
        if data[0] < _FIRST_BYTE_AFTER_STUN:
            self._ice.receive(data, path, now_s)
        elif not self._media.receive(data, now_s):
            self._mux.srtcp_errors += 1
        self._advance(now_s)

    def accept_ssrc(self, ssrc: int) -> None:
        """The peer sends with an SSRC that its offer did not name."""
        if not self.closed:
            self._media.accept_ssrc(ssrc)

    def released(self) -> None:
        """Nothing is left that waits for it."""

    @property
    def closing(self) -> None:
        """It is over at once."""

    def _on_timer(self) -> None:
        self._timer = None
        now_s = self._loop.time()
        self._ice.handle_timeout(now_s)
        self._media.handle_timeout(now_s)
        self._advance(now_s)

    def _advance(self, now_s: float) -> None:
        """Sends what is to be sent and does what the events ask for."""
        for ice_event in self._ice.events():
            self._obey_ice(ice_event, now_s)
        for data, path in self._ice.to_send():
            self._mux.send(data, path)
        self._send(self._media.to_send())
        for media_event in self._media.events():
            if not self.closed:
                self._obey_media(media_event)
        self._schedule()

    def _send(self, datagrams: Iterable[bytes]) -> None:
        path = self._ice.selected
        if path is not None:  # RFC 8445, 12: nothing goes where nobody consented.
            for data in datagrams:
                self._mux.send(data, path)

    def _schedule(self) -> None:
        """One timer for all. It may come early, for what it waited for may have moved: no harm."""
        if self.closed:
            return
        due = [time_s for time_s in (self._ice.timeout_s(), self._media.timeout_s()) if time_s is not None]
        next_s = min(due, default=None)
        if next_s is None or (self._timer is not None and self._timer.when() <= next_s):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(next_s, self._on_timer)

    # -- what happens

    def _obey_ice(self, event: ice_lite.IceEvent, now_s: float) -> None:
        if isinstance(event, ice_lite.PathValidated):
            self._engine.map_address(self.id, event.path.socket, event.path.host, event.path.port)
        elif isinstance(event, ice_lite.PathSelected):
            self._use_path(event.path, now_s)
        elif isinstance(event, ice_lite.PathDropped):
            self._drop_path(event.path)
        elif isinstance(event, ice_lite.Restarted):
            self._update_ufrags()
        elif isinstance(event, ice_lite.ConsentExpired):
            never = self.state == "new"
            self._let_go("no ICE check came within 10 s" if never else "no ICE check came for 30 s (consent expired)")

    def _obey_media(self, event: media.MediaEvent) -> None:
        if isinstance(event, media.Connected):
            path = self._ice.selected
            assert path is not None, "no handshake without a path"
            self._engine.set_path(self.id, path.socket, path.host, path.port)
            self._change_state("connected")
        elif isinstance(event, media.Ended):
            self.end(event.reason)
        elif isinstance(event, media.LossReported):
            self._observer.loss_reported()

    def _use_path(self, path: Path, now_s: float) -> None:
        self._local_address = self._mux.local_address(path)
        self._remote_address = format_address(path.host, path.port)
        if self.state == "connected":
            self._engine.set_path(self.id, path.socket, path.host, path.port)
        elif self.state == "new":
            self._media.start(now_s)
            self._change_state("connecting")

    def _drop_path(self, path: Path) -> None:
        self._engine.unmap_address(self.id, path.socket, path.host, path.port)
        if self._ice.selected is None and self.state == "connected":
            self._engine.clear_path(self.id)  # RFC 7675, 5.1: also while a restart is under way.

    def _update_ufrags(self) -> None:
        before, self._live_ufrags = self._live_ufrags, self._ice.ufrags
        for ufrag in set(before) - set(self._live_ufrags):
            self._mux.forget_ufrag(ufrag)
        for ufrag in self._live_ufrags:
            self._mux.answer_ufrag(ufrag, self)

    def _let_go(self, reason: str) -> None:
        """Gives back the addresses, the fragments, the number and the timer, without a word to the peer."""
        self.close_reason = reason
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for ufrag in self._live_ufrags:
            self._mux.forget_ufrag(ufrag)
        for path in self._ice.paths:
            self._engine.unmap_address(self.id, path.socket, path.host, path.port)
        self._mux.release_slot(self.id)
        self._change_state("closed")

    def _change_state(self, state: str) -> None:
        self.state = state
        self._observer.peer_changed(self)

    def _local_audio(self, certificate: dtls.Certificate, identity: media.Identity, ptime_ms: int | None) -> LocalAudio:
        sends = plays(self.kind)
        return LocalAudio(
            ice=self._ice.local,
            ice_lite=True,
            candidates=self._mux.candidates(self._visit.asked, self._visit.remote),
            fingerprint=certificate.fingerprint,
            direction="sendonly" if sends else "recvonly",
            ssrc=identity.ssrc,
            cname=identity.cname,
            stream_id=secrets.token_urlsafe(12),
            track_id=secrets.token_urlsafe(12),
            session_id=secrets.randbits(62),
            opus=OpusParameters(stereo=True, sprop_stereo=sends, use_inband_fec=True),
            red=True,
            nack=sends,
            ptime_ms=ptime_ms,
        )

    # -- statistics: any thread

    @property
    def fraction_lost(self) -> float | None:
        """What a player's last report said of the packets it missed, 0 to 1; None when it plays nothing yet."""
        return self._media.fraction_lost

    def stats(self) -> PeerStats:
        """A snapshot."""
        return PeerStats(
            id=self.id,
            kind=self.kind,
            state=self.state,
            local_address=self._local_address,
            remote_address=self._remote_address,
            **self._media.stats(),
        )
