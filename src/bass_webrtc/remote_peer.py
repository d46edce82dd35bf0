"""A remote peer as the program sees it: who it is, how it fares, and the fader of what it says."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .bass import InputStream
from .config import CHANNELS
from .core import Playout
from .errors import ConfigError
from .loop_thread import LoopThread
from .peer.lite_connection import LiteConnection
from .stats import PeerStats

MAX_GAIN = 16.0


class Peer:
    """One remote peer, as the program sees it. Any thread.

    Attributes:
        id: 0 to ``max_peers`` - 1; a number is used again when its peer is gone.
        kind: ``"player"`` (it hears us) or ``"publisher"`` (we hear it).
    """

    def __init__(self, connection: LiteConnection, loop: LoopThread, playout: Playout, *, decode: bool) -> None:
        self.id = connection.id
        self.kind = connection.kind
        self._connection = connection
        self._loop = loop
        self._playout = playout
        self._stream = InputStream(*playout.peer_procedure(self.id), decode=decode)
        self._gain = 1.0
        self._muted = False

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
        """Whether we hear it: a publisher that is connected."""
        return self.kind == "publisher" and self._connection.state == "connected"

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
