"""One remote peer of a server with full ICE: what a server wants of a peer, on a ``FullConnection``."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ..config import ServerConfig
from ..errors import ClosedError
from ..rtc import dtls
from ..rtc.candidate import Candidate
from ..rtc.ice_lite import Path
from ..rtc.negotiation import Offer
from ..rtc.remote_audio import RemoteAudio
from ..rtc.sdp import IceCredentials
from ..rtc.sdp_fragment import IceFragment
from ..stats import Kind, PeerStats
from .bridge import Bridge
from .connection import Observer
from .full import FullConnection
from .full_settings import Callbacks, IceSettings
from .mux import UdpMux

OFFERED_MID = "0"
"""Of the one section of our offers."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all peers of a server share."""

    mux: UdpMux
    bridge: Bridge
    config: ServerConfig
    ice: IceSettings
    observer: Observer


class FullPeer:
    """A ``Connection`` with full ICE. Loop thread, but for what only reads.

    Attributes:
        id: Its number, 0 to ``max_peers`` - 1.
        answer_sdp: Our answer to its offer, after ``answer``.
        close_reason: Why it was closed, in words; empty before.
    """

    def __init__(
        self,
        around: Surroundings,
        kind: Kind,
        on_candidate: Callable[[FullPeer, Candidate | None], None] | None = None,
        *,
        offers: bool,
    ) -> None:
        """Takes a peer number; ``answer`` or ``make_offer`` comes next.

        Args:
            around: Of the server.
            kind: What the peer does.
            on_candidate: Takes what is to be trickled: a candidate of ours, then None when there are no more. Without
                it our description says that its candidates are all.
            offers: Whether we make the offer.

        Raises:
            PeerLimitError: There are as many peers as may be.
        """
        self.answer_sdp = self.close_reason = ""
        self.mid: str | None = OFFERED_MID
        self.mline_index = 0
        self._around = around
        self._ice_options: tuple[str, ...] = ()
        self._remote_ice: IceCredentials | None = None
        self._closing: asyncio.Task[None] | None = None
        trickle = on_candidate or (lambda _peer, _candidate: None)
        self.id = around.mux.take_slot(self)
        self._connection = FullConnection(
            around.mux.engine,
            around.bridge,
            self.id,
            kind,
            dtls.Certificate.generate(),
            around.config,
            Callbacks(
                connected=self._tell,
                ended=self._ended,
                candidate=lambda candidate: trickle(self, candidate),
                gathered=lambda: trickle(self, None),
                connecting=self._tell,
                loss_reported=around.observer.loss_reported,
            ),
            around.ice,
            offers=offers,
        )

    # -- signaling

    async def answer(self, offer: Offer) -> str:
        """Answers the peer's offer, after half a second at most."""
        self.mid, self.mline_index = offer.audio.mid, offer.audio.mline_index
        self._remote_ice = offer.audio.ice
        self._ice_options = offer.answer_ice_options
        self.answer_sdp = await self._connection.answer(offer)
        return self.answer_sdp

    async def make_offer(self) -> str:
        """Offers what ``kind`` says."""
        return await self._connection.make_offer()

    @property
    def offer_sdp(self) -> str:
        """Our offer; empty where the peer made it."""
        return self._connection.offer_sdp

    @property
    def remote_ice(self) -> IceCredentials:
        """The peer's newest ICE credentials."""
        assert self._remote_ice is not None, "known from the peer's description on"
        return self._remote_ice

    def take_answer(self, audio: RemoteAudio) -> None:
        """Connects to who answered; nothing if that was done, or it is over."""
        if self.state == "new":
            self._remote_ice = audio.ice
            self._connection.take_answer(audio)

    def add_candidates(self, candidates: Iterable[Candidate]) -> None:
        """Takes candidates of the peer; what may not be used is dropped in silence."""
        for candidate in candidates:
            self._connection.add_candidate(candidate)

    def end_of_candidates(self) -> None:
        """No reason to give up sooner: the peer's own checks may arrive from elsewhere (RFC 8863)."""

    async def restart(self, fragment: IceFragment) -> str:
        """Answers an ICE restart; audio goes on over the old pair until a new one works (RFC 9725, 4.3.3).

        Raises:
            ClosedError: The connection is over.
        """
        if self.closed:
            raise ClosedError("the peer is gone")
        answer = await self._connection.answer_restart(fragment, self._ice_options)
        self._remote_ice = fragment.ice
        return answer

    # -- life

    @property
    def kind(self) -> Kind:
        """What the peer does, as far as its description allows."""
        return self._connection.kind

    @property
    def state(self) -> str:
        """``"new"``, ``"connecting"``, ``"connected"`` or ``"closed"``."""
        return self._connection.state

    @property
    def closed(self) -> bool:
        """Whether it is over."""
        return self.state == "closed"

    @property
    def closing(self) -> asyncio.Task[None] | None:
        """Gives sockets and allocations back, within a second or so; None before it is over."""
        return self._closing

    async def close(self) -> None:
        """The peer ended its session by signaling. Idempotent."""
        self.end("closed by the peer")

    def end(self, reason: str) -> None:
        """Says goodbye and lets go of everything, for a reason. Idempotent."""
        if not self.closed:
            self._connection.leave()
            self._ended(reason)

    def _ended(self, reason: str) -> None:
        self.close_reason = reason
        self._closing = asyncio.get_running_loop().create_task(self._connection.close())
        self._tell()

    def _tell(self) -> None:
        self._around.observer.peer_changed(self)

    # -- what the mux asks of a receiver

    def receive(self, data: bytes, path: Path, now_s: float) -> None:
        """Nothing: ICE reads its own sockets, and the mux has no address of this peer."""

    def accept_ssrc(self, ssrc: int) -> None:
        """The peer sends with an SSRC that its description did not name."""
        self._connection.accept_ssrc(ssrc)

    def released(self) -> None:
        """The audio path's threads have let go of it."""
        self._connection.released()

    # -- statistics: any thread

    @property
    def fraction_lost(self) -> float | None:
        """What the peer's last report said of the packets it missed; None when it plays nothing yet."""
        return self._connection.fraction_lost

    def stats(self) -> PeerStats:
        """A snapshot."""
        return self._connection.stats()
