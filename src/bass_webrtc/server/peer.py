"""``Peer``: the program's handle of one remote peer: signaling, statistics, audio, gain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from ..bass import InputStream
from ..config import MAIN, StreamConfig
from ..core import Playout, fill_with_silence, read_array
from ..errors import ClosedError, ConfigError
from ..loop_thread import LoopThread
from ..peer.host import CLOSED_BY_PROGRAM, Connection, SignaledConnection
from ..rtc.candidate import Candidate
from ..rtc.negotiation import read_answer
from ..stats import Kind, PeerStats, plays, talks

if TYPE_CHECKING:
    import numpy as np
    from _typeshed import WriteableBuffer
    from numpy.typing import NDArray

    from .channels import ServerChannels

MAX_GAIN = 16.0
"""Upper limit of ``Peer.gain``, +24 dB."""


def check_text(value: object, what: str) -> None:
    """Check that an SDP or a candidate is a string, not the browser object that contains it.

    Raises:
        ConfigError: ``value`` is of another type.
    """
    if not isinstance(value, str):
        raise ConfigError(f"{what} is a {type(value).__name__}; expected a string")


class Mover(Protocol):
    """Lets peers hear other channels."""

    @property
    def channels(self) -> ServerChannels:
        """The channels."""

    def is_caller(self, connection: Connection) -> bool:
        """Return whether a peer hears what is made for it alone. Any thread."""

    def move(self, connection: Connection, name: str) -> None:
        """Let a peer hear another channel. Loop thread."""


class Peer:
    """One remote peer that is connected to a server, or connecting. All members may be used from any thread.

    Attributes:
        id: 0 to ``max_peers`` - 1. Reused after the peer has disconnected, the longest unused one first.
    """

    def __init__(
        self,
        connection: Connection,
        loop: LoopThread,
        playout: Playout,
        config: StreamConfig,
        mover: Mover,
        *,
        signaled: SignaledConnection | None = None,
    ) -> None:
        """
        Args:
            connection: The connection with the peer.
            loop: The loop thread that it lives on.
            playout: The receiving side of the engine.
            config: Settings of the stream.
            mover: Lets the peer hear another channel.
            signaled: The same connection if the program exchanges its offer and answer.
        """
        self.id = connection.id
        self._connection = connection
        self._signaled = signaled
        self._mover = mover
        self._loop = loop
        self._playout = playout
        # A player of WHEP never sends; a peer that the program signals may become anything.
        may_talk = signaled is not None or talks(connection.kind)
        self._stream = InputStream(*playout.peer_procedure(self.id), decode=config.decode_stream) if may_talk else None
        self._gain = 1.0
        self._muted = False
        self._answered = False

    @property
    def kind(self) -> Kind:
        """``"player"`` (receives), ``"publisher"`` (sends) or ``"sendrecv"`` (both).

        A peer that was offered ``"sendrecv"`` becomes one of the others if its answer accepts only one direction.
        """
        return self._connection.kind

    @property
    def state(self) -> str:
        """``"new"``, ``"connecting"``, ``"connected"`` or ``"closed"``."""
        return self._connection.state

    @property
    def remote_address(self) -> str:
        """``host:port`` of the peer; empty before the first ICE check."""
        return self.stats().remote_address

    def stats(self) -> PeerStats:
        """Return a snapshot of the peer's statistics."""
        return self._connection.stats()

    @property
    def channel(self) -> str:
        """Name of the channel that the peer hears; empty for a publisher."""
        return self._connection.channel.name if plays(self.kind) else ""

    def set_channel(self, name: str) -> None:
        """Let the peer hear another channel, in the same connection and RTP stream. Never waits.

        Args:
            name: Name of the channel.

        Raises:
            ConfigError: There is no such channel; or the peer is a publisher, which hears nothing, or a caller.
            ClosedError: The peer has disconnected.
        """
        self._check_open()
        self._mover.channels.find(name)
        if not plays(self.kind):
            raise ConfigError(f"peer {self.id} is a publisher, which hears no channel")
        if self._mover.is_caller(self._connection):
            raise ConfigError(f"peer {self.id} is a caller, which hears the channel {MAIN!r} and the other callers")
        self._loop.call_soon(self._mover.move, self._connection, name)

    # -- signaling by the program

    def set_answer(self, sdp: str) -> None:
        """Apply the peer's answer to the offer of ``Server.create_offer``. Does not wait for the connection.

        Args:
            sdp: SDP of the answer.

        Raises:
            SdpError: The answer is malformed or does not match the offer. Another one may be applied.
            ConfigError: The peer was added with ``add_peer``, has its answer already, or ``sdp`` is not a string.
            ClosedError: The peer has disconnected.
        """
        check_text(sdp, "the answer")
        self._check_open()
        signaled = self._signaled
        if signaled is None or not signaled.offer_sdp:
            raise ConfigError(f"peer {self.id} sent the offer itself; add_peer has returned the answer to it")
        if self._answered:
            raise ConfigError(f"the answer of peer {self.id} was applied already; expected one answer per offer")
        audio = read_answer(sdp, signaled.offer_sdp)
        self._answered = True
        self._loop.call_soon(signaled.take_answer, audio)

    def add_ice_candidate(
        self, candidate: str | None, sdp_mid: str | None = None, sdp_mline_index: int | None = None
    ) -> None:
        """Add a candidate that the peer trickled, before or after its answer. Never waits.

        Args:
            candidate: As in JavaScript's ``RTCIceCandidate.candidate``; empty or None marks the end of candidates.
                Unusable candidates, such as ``.local`` names and TCP, are ignored.
            sdp_mid: As sent by the peer; ignored, because there is only one transport.
            sdp_mline_index: As sent by the peer; ignored.

        Raises:
            SdpError: The candidate is malformed.
            ConfigError: The candidate is not a string.
            ClosedError: The peer has disconnected.
        """
        check_text(candidate or "", "the candidate")
        self._check_open()
        if candidate:
            self._loop.call_soon(self._connection.add_candidates, (Candidate.parse(candidate),))
        else:
            self._loop.call_soon(self._connection.end_of_candidates)

    def _check_open(self) -> None:
        if self._connection.closed:
            raise ClosedError(f"peer {self.id} has disconnected: {self._connection.close_reason or 'it was closed'}")

    # -- audio from the peer

    @property
    def input_stream(self) -> int:
        """HSTREAM with the audio of this publisher: 48 kHz, stereo, float. Accessing it removes the peer from the mix.

        Play it, or add it to a mixer (``decode_stream``). It is freed when the peer disconnects. 0 for a player, before
        the peer is connected, and until the program has called BASS_Init. 0 for a caller, whose ``Call.input_stream``
        says what it is, so that nobody is put on air who is not; and for a producer, who never is.
        """
        return 0 if self._mover.is_caller(self._connection) else self.any_input_stream()

    def any_input_stream(self) -> int:
        """Do what ``input_stream`` does, also for a caller, which stays in the mix if it is on air."""
        if not self.is_receiving or self._stream is None:
            return 0
        handle = self._stream.handle
        if handle:
            self._playout.set_own(self.id, True)
        return handle

    def read(self, frames: int) -> NDArray[np.float32]:
        """Read the audio of this publisher without BASS; removes the peer from the mix. Never waits.

        Args:
            frames: Number of frames at 48 kHz. Read at the pace of a clock; short blocks have less delay.

        Returns:
            float32 ``[frames, 2]``, full scale 1.0; silence where no audio has arrived, and for a caller, which has
            ``Call.read``.
        """
        return read_array(self._read_into, frames)

    def _read_into(self, block: WriteableBuffer) -> None:
        """Do what ``read`` does, without NumPy: fill a C-contiguous buffer of float32 ``[frames, 2]``."""
        if self._mover.is_caller(self._connection):
            fill_with_silence(block)
        else:
            self.read_any_into(block)

    def read_any_into(self, block: WriteableBuffer) -> None:
        """Fill a buffer with the audio of the peer, also of a caller."""
        if self.is_receiving:
            self._playout.set_own(self.id, True)
            self._playout.read_peer(self.id, block)
        else:
            fill_with_silence(block)

    def return_to_mix(self) -> None:
        """Return a publisher to the mix, after ``input_stream`` or ``read`` has removed it."""
        self._playout.set_own(self.id, False)

    @property
    def gain(self) -> float:
        """Gain of a publisher as a factor, 0 to 16; 1 by default. Changes are ramped, without clicks. A caller has
        ``Call.gain`` instead.

        Raises:
            ConfigError: Set to a value out of range.
        """
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
        """Whether a publisher is muted. Changes are ramped, without clicks. A caller has ``Call.muted`` instead."""
        return self._muted

    @muted.setter
    def muted(self, muted: bool) -> None:
        self._muted = bool(muted)
        if self.is_receiving:
            self._playout.set_muted(self.id, self._muted)

    @property
    def is_receiving(self) -> bool:
        """Whether the peer sends audio and is connected."""
        return talks(self.kind) and self._connection.state == "connected"

    def changed(self) -> None:
        """Apply gain and mute to a new connection; free the stream of a closed one. Loop thread."""
        if self.is_receiving:
            self._playout.set_gain(self.id, self._gain)
            self._playout.set_muted(self.id, self._muted)
        elif self._connection.closed and self._stream is not None:
            self._stream.close()

    def close(self) -> None:
        """Disconnect the peer, without waiting; the event ``peer_disconnected`` follows."""
        self._loop.call_soon(self._connection.end, CLOSED_BY_PROGRAM)

    def __repr__(self) -> str:
        return f"<Peer {self.id}: {self.kind}, {self.state}>"
