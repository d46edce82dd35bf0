"""A remote peer as the program sees it: who it is, how it fares, and the fader of what it says."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..bass import InputStream
from ..config import CHANNELS, ServerConfig
from ..core import Playout
from ..errors import ClosedError, ConfigError
from ..loop_thread import LoopThread
from ..peer.host import Connection, SignaledConnection
from ..peer.media import check_limits
from ..rtc.candidate import Candidate
from ..rtc.negotiation import read_answer
from ..stats import Kind, PeerStats, plays, talks

MAX_GAIN = 16.0


def check_text(value: object, what: str) -> None:
    """A description or a candidate is text, not the object of a browser that holds it.

    Raises:
        ConfigError: It is something else.
    """
    if not isinstance(value, str):
        raise ConfigError(f"{what} is a {type(value).__name__}; expected its text")


class Peer:
    """One remote peer, as the program sees it. Any thread.

    Attributes:
        id: 0 to ``max_peers`` - 1; a number is used again when its peer is gone.
    """

    def __init__(
        self,
        connection: Connection,
        loop: LoopThread,
        playout: Playout,
        config: ServerConfig,
        *,
        signaled: SignaledConnection | None = None,
    ) -> None:
        """
        Args:
            connection: The connection with the peer.
            loop: The loop thread that it lives on.
            playout: The receiving side of the engine.
            config: The server's settings.
            signaled: The same connection if the program exchanges its offer and answer.
        """
        self.id = connection.id
        self._connection = connection
        self._signaled = signaled
        self._config = config
        self._loop = loop
        self._playout = playout
        self._stream = InputStream(*playout.peer_procedure(self.id), decode=config.decode_stream)
        self._gain = 1.0
        self._muted = False
        self._answered = False

    @property
    def kind(self) -> Kind:
        """``"player"`` (it hears us), ``"publisher"`` (we hear it) or ``"sendrecv"`` (both).

        A peer that was offered both becomes one of the others when its answer wants no more.
        """
        return self._connection.kind

    @property
    def state(self) -> str:
        """``"new"``, ``"connecting"``, ``"connected"`` or ``"closed"``."""
        return self._connection.state

    @property
    def remote_address(self) -> str:
        """``host:port``; empty before the first check."""
        return self.stats().remote_address

    def stats(self) -> PeerStats:
        """A snapshot."""
        return self._connection.stats()

    # -- signaling by the program

    def set_answer(self, sdp: str) -> None:
        """Gives the peer's answer to the offer of ``Server.create_offer``. Does not wait for the connection.

        Raises:
            SdpError: It cannot be read, or does not answer our offer; a better one may follow.
            ConfigError: This peer made the offer itself, or its answer was given already; or ``sdp`` is no text.
            ClosedError: The peer is gone.
        """
        check_text(sdp, "the answer")
        self._check_open()
        signaled = self._signaled
        if signaled is None or not signaled.offer_sdp:
            raise ConfigError(f"peer {self.id} made the offer itself; add_peer gave the answer to it")
        if self._answered:
            raise ConfigError(f"the answer of peer {self.id} was given already")
        audio = read_answer(sdp, signaled.offer_sdp)
        if plays(self.kind) and audio.receives:
            check_limits(audio, self._config)
        self._answered = True
        self._loop.call_soon(signaled.take_answer, audio)

    def add_ice_candidate(
        self, candidate: str | None, sdp_mid: str | None = None, sdp_mline_index: int | None = None
    ) -> None:
        """Gives a candidate that the peer trickled, in any order with its answer. Does not wait for anything.

        Args:
            candidate: As in JavaScript's ``RTCIceCandidate.candidate``; empty or None when there are no more. What may
                not be used, such as ``.local`` names and TCP, is ignored.
            sdp_mid: As the peer says. There is one transport, so neither this
            sdp_mline_index: nor this makes a difference.

        Raises:
            SdpError: It is malformed.
            ConfigError: It is no text.
            ClosedError: The peer is gone.
        """
        check_text(candidate or "", "the candidate")
        self._check_open()
        if candidate:
            self._loop.call_soon(self._connection.add_candidates, (Candidate.parse(candidate),))
        else:
            self._loop.call_soon(self._connection.end_of_candidates)

    def _check_open(self) -> None:
        if self._connection.closed:
            raise ClosedError(f"peer {self.id} is gone: {self._connection.close_reason or 'it was closed'}")

    # -- what it says

    @property
    def input_stream(self) -> int:
        """HSTREAM of a publisher alone; asking for it takes it out of the mix. 48 kHz stereo float.

        The program plays it, or gives it to a mixer (``decode_stream``). It is freed when the peer is gone. 0 for a
        player, and until the program has called BASS_Init.
        """
        if not self.is_receiving:
            return 0
        handle = self._stream.handle
        if handle:
            self._playout.set_own(self.id, True)
        return handle

    def read(self, frames: int) -> NDArray[np.float32]:
        """The next samples of a publisher alone, for programs without BASS; takes it out of the mix.

        Args:
            frames: How many, at 48 kHz. Read at the pace of a clock; a short block has less delay.

        Returns:
            float32 ``[frames, 2]``; silence where nothing came.
        """
        if not self.is_receiving:
            return np.zeros((frames, CHANNELS), np.float32)
        self._playout.set_own(self.id, True)
        return self._playout.read_peer(self.id, frames)

    def return_to_mix(self) -> None:
        """Puts a publisher that played on its own back into the mix."""
        self._playout.set_own(self.id, False)

    @property
    def gain(self) -> float:
        """Fader of a publisher: a factor from 0 to 16, 1 at first. Changes make no click."""
        return self._gain

    @gain.setter
    def gain(self, gain: float) -> None:
        if not 0 <= gain <= MAX_GAIN:
            raise ConfigError(f"gain is {gain!r}; expected 0 to {MAX_GAIN}")
        self._gain = float(gain)
        if self.is_receiving:
            self._playout.set_gain(self.id, self._gain)

    @property
    def muted(self) -> bool:
        """Whether a publisher is silenced. Changes make no click."""
        return self._muted

    @muted.setter
    def muted(self, muted: bool) -> None:
        self._muted = bool(muted)
        if self.is_receiving:
            self._playout.set_muted(self.id, self._muted)

    @property
    def is_receiving(self) -> bool:
        """Whether we hear it: it talks, and is connected."""
        return talks(self.kind) and self._connection.state == "connected"

    def changed(self) -> None:
        """Loop: the fader holds from the first packet on; the stream goes with the peer."""
        if self.is_receiving:
            self._playout.set_gain(self.id, self._gain)
            self._playout.set_muted(self.id, self._muted)
        elif self._connection.closed:
            self._stream.close()

    def close(self) -> None:
        """Ends the connection, soon; ``peer_disconnected`` says when."""
        self._loop.call_soon(self._connection.end, "closed by the program")

    def __repr__(self) -> str:
        return f"<Peer {self.id}: {self.kind}, {self.state}>"
