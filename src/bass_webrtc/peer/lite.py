"""A peer of an ICE-lite server: ICE-lite and signaling around a ``MediaSession``.

              STUN check with our password            certificate matches the fingerprint
    new ─────────────────────────────► connecting ───────────────────────────────────► connected
     │                                     │                                               │
     └── no check within 10 s ─────────────┴── handshake fails, consent expires ───────────┴── closed

ICE and media are sans-I/O objects; this file passes datagrams and the time to them, sends their output and handles
their events. Loop thread only, except for the statistics.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

from ..config import ServerConfig
from ..errors import ClosedError
from ..rtc import dtls, ice_lite
from ..rtc.ice_lite import Path
from ..rtc.local_audio import build_answer
from ..rtc.negotiation import Offer
from ..rtc.sdp import IceCredentials
from ..rtc.sdp_fragment import IceFragment, build_fragment
from ..stats import Kind, PeerStats
from . import media
from .host import CLOSED_BY_PEER, ConnectionObserver, SentChannel
from .ice.addresses import format_address
from .mux import UdpMux

_FIRST_BYTE_AFTER_STUN = 4


@dataclass(frozen=True, slots=True)
class RequestAddresses:
    """Both ends of the HTTP connection that a session was requested on; empty if unknown."""

    local: str = ""
    remote: str = ""


class LiteConnection:
    """One player or publisher; implements ``Connection``.

    Attributes:
        id: The peer's slot, 0 to ``max_peers`` - 1.
        kind: ``"player"`` or ``"publisher"``.
        state: ``"new"``, ``"connecting"``, ``"connected"`` or ``"closed"``.
        answer_sdp: The answer to the peer's offer.
        close_reason: Why the connection ended; empty before.
    """

    def __init__(
        self,
        mux: UdpMux,
        kind: Kind,
        offer: Offer,
        config: ServerConfig,
        channel: SentChannel,
        observer: ConnectionObserver,
        request: RequestAddresses = RequestAddresses(),
    ) -> None:
        """Take a slot and wait for the peer's first check.

        Args:
            mux: The UDP port.
            kind: What the peer does.
            offer: The peer's offer.
            config: The server's settings.
            channel: What the peer is sent, if it plays.
            observer: Receives the events.
            request: Where the offer was received.

        Raises:
            PeerLimitError: All slots are taken.
        """
        self.kind: Kind = kind
        self.state = "new"
        self.close_reason = ""
        self._loop = asyncio.get_running_loop()
        self._mux = mux
        self._host = mux.host
        self._engine = mux.host.engine
        # Not the whole offer, which is ten times as large.
        self._mid, self._ice_options = offer.audio.mid, offer.answer_ice_options
        self._observer = observer
        self._request = request
        self._local_address = self._remote_address = ""
        self._timer: asyncio.TimerHandle | None = None
        self._held: list[bytes] = []
        self._ice = ice_lite.IceLite(
            IceCredentials.generate(),
            offer.audio.ice,
            now_s=self._loop.time(),
            checks_first=offer.audio.setup == "passive",
        )
        self._live_ufrags: tuple[str, ...] = ()
        self._settled: Path | None = None
        """Path whose checks the network thread answers."""
        self.id = self._host.take_slot(self)
        self._mux.add_slot(self.id, self)
        identity = media.Identity()
        certificate = dtls.Certificate.generate()
        role: dtls.DtlsRole = "client" if offer.answer_setup == "active" else "server"
        self._media = media.MediaSession(
            self._engine,
            self.id,
            kind,
            offer.audio,
            channel,
            role=role,
            certificate=certificate,
            config=config,
            identity=identity,
            log=self._host.media_log,
            core_reports=True,
        )
        self._update_ufrags()
        candidates = self._mux.candidates(request.local, request.remote)
        local = media.describe(kind, config, identity, certificate, self._ice.local, candidates, ice_lite=True)
        self.answer_sdp = build_answer(offer, local)
        self._schedule()

    @property
    def channel(self) -> SentChannel:
        """What is sent to the peer, if it plays."""
        return self._media.channel

    @property
    def encoding(self) -> int:
        """Which of the channel's encodings it is."""
        return self._media.encoding

    def set_channel(self, channel: SentChannel) -> None:
        """Send another channel in the same RTP stream. Ignored after the end."""
        if not self.closed:
            self._media.set_channel(channel)

    # -- signaling

    @property
    def remote_ice(self) -> IceCredentials:
        """The peer's latest ICE credentials."""
        return self._ice.remote

    @property
    def exceeded_limits(self) -> tuple[str, ...]:
        """Limits in the offer that the stream exceeds."""
        return self._media.exceeded_limits

    @property
    def closed(self) -> bool:
        """Whether the connection has ended."""
        return self.state == "closed"

    @property
    def closing(self) -> None:
        """None: nothing remains to be closed after the end."""

    def add_candidates(self, candidates: Iterable[object]) -> None:
        """Ignore candidates: a lite agent learns remote addresses from checks only (RFC 8445, 2.5)."""

    def end_of_candidates(self) -> None:
        """Ignore end-of-candidates, too."""

    async def restart(self, fragment: IceFragment, local: str = "", remote: str = "") -> str:
        """Answer the peer's ICE restart (RFC 9725, 4.3.3). Audio stays on the old path until the new one is checked.

        Args:
            fragment: The peer's new credentials.
            local: The local address at which the request arrived, perhaps a new one.
            remote: The address that it came from.

        Raises:
            ClosedError: The connection has ended.
        """
        if self.closed:
            raise ClosedError("the peer has disconnected")
        assert fragment.ice is not None, "a fragment without credentials is not a restart"
        self._ice.restart(IceCredentials.generate(), fragment.ice, self._loop.time())
        self._settle()  # Before the network thread knows the new credentials: their first check completes the restart.
        self._update_ufrags()
        self._schedule()
        return build_fragment(
            self._ice.local,
            self._mux.candidates(local or self._request.local, remote or self._request.remote),
            mid=self._mid,
            ice_lite=True,
            ice_options=self._ice_options,
        )

    async def close(self) -> None:
        """End the connection because the peer has deleted its session. Idempotent."""
        self.end(CLOSED_BY_PEER)

    def end(self, reason: str) -> None:
        """Send RTCP BYE and close_notify, and release the slot. Idempotent."""
        if not self.closed:
            self._send(self._media.close())
            self._release(reason)

    # -- datagrams and time

    def receive(self, data: bytes, path: Path, now_s: float) -> None:
        """Handle one datagram: authentic STUN from any address, DTLS from a path of the peer."""
        if self.closed:
            return
        if data[0] < _FIRST_BYTE_AFTER_STUN:
            self._note_checks()
            self._ice.receive(data, path, now_s)
            if (round_trip_s := self._ice.take_round_trip_s()) is not None:
                self._media.note_round_trip(round_trip_s, now_s)
        else:
            self._ice.count_received(path, len(data))
            self._media.receive_dtls(data, now_s)
        self._advance(now_s, path)

    def receive_rtcp(self, packet: bytes, now_s: float) -> None:
        """Handle decrypted RTCP that the peer sent; ignored after the end."""
        if not self.closed:
            self._media.receive_rtcp(packet, now_s)
            self._advance(now_s)

    def probe_sent(self) -> None:
        """Send a check behind the copies that the core has sent."""
        if not self.closed:
            now_s = self._loop.time()
            self._ice.request_check(now_s)
            self._advance(now_s)

    def released(self) -> None:
        """Do nothing: all resources were released at the end."""

    def _on_timer(self) -> None:
        self._timer = None
        now_s = self._loop.time()
        try:
            self._note_checks()
            self._ice.handle_timeout(now_s)
            self._media.handle_timeout(now_s)
            self._advance(now_s)
        except Exception:
            self._release("an internal error")  # Without its timer, nothing would judge its consent any more.
            raise

    def _advance(self, now_s: float, path: Path | None = None) -> None:
        """Send the output of ICE and media, handle their events, and schedule the next timeout.

        Args:
            now_s: Current time.
            path: Where a datagram was received; None without one.
        """
        self._handle_ice_events(now_s)
        for data, destination in self._ice.to_send():
            self._mux.send(data, destination)
        self._send(self._media.to_send())
        for media_event in self._media.events():
            if not self.closed:
                self._handle_media_event(media_event, path, now_s)
        self._handle_ice_events(now_s)  # The end of the handshake validates the path.
        if not self.closed:
            for data, destination in self._ice.checks(self._loop.time()):  # Sent now: their round trips are measured.
                self._mux.send(data, destination)
            self._settle()
        self._schedule()

    def _note_checks(self) -> None:
        """Tell ICE which checks the network thread has answered. Needed before ICE judges how old the last one is."""
        if self._settled is not None:
            self._ice.note_check(self._settled, self._engine.checked_s(self.id))

    def _settle(self) -> None:
        """Let the network thread answer checks on the settled path, which cost the interpreter nothing then."""
        before, path = self._settled, self._ice.settled
        if path == before:
            return
        if before is not None:
            self._note_checks()
            self._engine.unsettle_address(self.id, before.socket, before.host, before.port)
        if path is not None:
            self._engine.settle_address(self.id, path.socket, path.host, path.port)
        self._settled = path

    def _handle_ice_events(self, now_s: float) -> None:
        for event in self._ice.events():
            if not self.closed:
                self._handle_ice_event(event, now_s)

    def _send(self, datagrams: Iterable[bytes]) -> None:
        """Send on the selected path; what exceeds its limit before it is validated waits for the next call.

        Newer datagrams replace those that wait: they repeat them, or the peer has answered them.
        """
        waiting, self._held = list(datagrams) or self._held, []
        path = self._ice.selected
        if path is not None:  # RFC 8445, 12: never send without the peer's consent.
            for data in waiting:
                if self._ice.may_send(path, len(data)):
                    self._mux.send(data, path)
                else:
                    self._held.append(data)

    def _schedule(self) -> None:
        """Set the only timer. It may fire before anything is due, which is harmless."""
        if self.closed:
            return
        due = [time_s for time_s in (self._ice.timeout_s(), self._media.timeout_s()) if time_s is not None]
        next_s = min(due, default=None)
        if next_s is None or (self._timer is not None and self._timer.when() <= next_s):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(next_s, self._on_timer)

    # -- events

    def _handle_ice_event(self, event: ice_lite.IceEvent, now_s: float) -> None:
        if isinstance(event, ice_lite.PathAdded):
            self._mux.add_path(event.path, self.id)
        elif isinstance(event, ice_lite.PathValidated):
            self._mux.validate_path(event.path, self.id)
            if event.path == self._ice.selected and self.state == "connected":
                self._set_media_path(event.path)
        elif isinstance(event, ice_lite.PathSelected):
            self._use_path(event.path, now_s)
        elif isinstance(event, ice_lite.ReplayDropped):
            self._host.replay_dropped(format_address(event.path.host, event.path.port))
        elif isinstance(event, ice_lite.PathDropped):
            self._drop_path(event.path)
        elif isinstance(event, ice_lite.Restarted):
            self._update_ufrags()
        elif isinstance(event, ice_lite.ConsentExpired):
            never = self.state == "new"
            self._release("no ICE check came within 10 s" if never else "no ICE check came for 30 s (consent expired)")

    def _handle_media_event(self, event: media.MediaEvent, path: Path | None, now_s: float) -> None:
        if isinstance(event, media.Connected):
            self._ice.handshake_completed(path, now_s)
            if self._ice.selected is not None:
                self._set_media_path(self._ice.selected)
            self._set_state("connected")
        elif isinstance(event, media.Ended):
            self.end(event.reason)
        elif isinstance(event, media.LossReported):
            self._observer.loss_reported()
        elif isinstance(event, media.CheckWanted):
            self._ice.request_check(now_s)

    def _use_path(self, path: Path, now_s: float) -> None:
        self._local_address = self._mux.local_address(path)
        self._remote_address = format_address(path.host, path.port)
        if self.state == "connected":
            self._set_media_path(path)
        elif self.state == "new":
            self._media.start(now_s)
            self._set_state("connecting")

    def _set_media_path(self, path: Path) -> None:
        """Let the sending thread use the selected path once it is validated; until then it stays on the former one."""
        if self._ice.is_validated(path):
            self._engine.set_path(self.id, path.socket, path.host, path.port)

    def _drop_path(self, path: Path) -> None:
        self._mux.remove_path(path, self.id)
        if self._ice.selected is None and self.state == "connected":
            self._engine.clear_path(self.id)  # RFC 7675, 5.1: also during a restart.

    def _update_ufrags(self) -> None:
        before, self._live_ufrags = self._live_ufrags, self._ice.ufrags
        for ufrag in set(before) - set(self._live_ufrags):
            self._engine.remove_ice(self.id, ufrag)
        local, remote = self._ice.local, self._ice.remote
        if local.ufrag not in before:
            self._engine.add_ice(self.id, local.ufrag, local.password, remote.password)

    def _release(self, reason: str) -> None:
        """Release addresses, slot and timer without sending anything."""
        self.close_reason = reason
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for path in self._ice.paths:
            self._mux.remove_path(path, self.id)
        self._mux.remove_slot(self.id)
        self._host.release_slot(self.id)
        self._set_state("closed")

    def _set_state(self, state: str) -> None:
        self.state = state
        self._observer.state_changed(self)

    # -- statistics: any thread

    @property
    def fraction_lost(self) -> float | None:
        """Fraction of packets lost in the player's last report, 0 to 1; None if there is none."""
        return self._media.fraction_lost

    def stats(self) -> PeerStats:
        """Return a snapshot."""
        return PeerStats(
            id=self.id,
            kind=self.kind,
            state=self.state,
            local_address=self._local_address,
            remote_address=self._remote_address,
            **self._media.stats(),
        )
