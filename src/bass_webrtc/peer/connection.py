"""What a server wants of a peer's connection, whichever kind of ICE it has, and what it is told in return."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Protocol

from ..config import ServerConfig
from ..rtc.candidate import Candidate
from ..rtc.remote_audio import RemoteAudio
from ..rtc.sdp import IceCredentials, UnusableSdpError
from ..rtc.sdp_fragment import IceFragment
from ..stats import Kind, PeerStats


class Connection(Protocol):
    """One remote peer. Loop thread, but for the statistics and what only reads."""

    @property
    def id(self) -> int:
        """Its number, 0 to ``max_peers`` - 1."""

    @property
    def kind(self) -> Kind:
        """What the peer does."""

    @property
    def state(self) -> str:
        """``"new"``, ``"connecting"``, ``"connected"`` or ``"closed"``."""

    @property
    def closed(self) -> bool:
        """Whether it is over."""

    @property
    def close_reason(self) -> str:
        """Why it was closed, in words; empty before."""

    @property
    def closing(self) -> asyncio.Task[None] | None:
        """Gives back what takes a while; None when there is nothing of that."""

    @property
    def answer_sdp(self) -> str:
        """Our answer to the peer's offer; empty where the offer was ours."""

    @property
    def offer_sdp(self) -> str:
        """Our offer; empty where the peer made it."""

    @property
    def remote_ice(self) -> IceCredentials:
        """The peer's newest ICE credentials."""

    def take_answer(self, audio: RemoteAudio) -> None:
        """Connects to who answered our offer; nothing if that was done, or it is over."""

    def add_candidates(self, candidates: Iterable[Candidate]) -> None:
        """Takes candidates of the peer; what may not be used is dropped in silence."""

    def end_of_candidates(self) -> None:
        """The peer has no more."""

    async def restart(self, fragment: IceFragment) -> str:
        """Answers an ICE restart."""

    async def close(self) -> None:
        """The peer ended its session by signaling."""

    def end(self, reason: str) -> None:
        """Says goodbye and lets go of everything, for a reason. Idempotent."""

    @property
    def fraction_lost(self) -> float | None:
        """What the peer's last report said of the packets it missed, 0 to 1; None when it plays nothing yet."""

    def stats(self) -> PeerStats:
        """A snapshot. Any thread."""


class Observer(Protocol):
    """Who wants to know how a connection fares."""

    def peer_changed(self, connection: Connection) -> None:
        """Its ``state`` is another."""

    def loss_reported(self) -> None:
        """A player said how many packets it misses."""


def check_limits(audio: RemoteAudio, config: ServerConfig) -> None:
    """All players share one encoding, so one that must not be sent this much cannot be served (RFC 7587, 7.1).

    Raises:
        UnusableSdpError: It asks for less than this server's settings send.
    """
    bitrate_bps = config.bitrate_kbps * 1000
    for limit_bps in (audio.opus.max_average_bitrate_bps, audio.bandwidth_bps):
        if limit_bps is not None and limit_bps < bitrate_bps:
            raise UnusableSdpError(f"at most {limit_bps} bit/s are wanted, and {bitrate_bps} are sent to everybody")
    if audio.max_ptime_ms is not None and audio.max_ptime_ms < config.frame_ms:
        raise UnusableSdpError(f"at most {audio.max_ptime_ms} ms a packet are wanted, and {config.frame_ms} are sent")
