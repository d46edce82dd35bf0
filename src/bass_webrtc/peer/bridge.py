"""Two UDP sockets on loopback between the audio path's threads and a full ICE agent.

    network thread ◄── inner ◄── outer ◄── on_rtp (RTP that ICE received)
    sender thread  ──► inner ──► outer ──► on_relayed (RTP that only ICE can send: through a TURN server)

aioice reads its sockets itself, so what comes in has to be handed on; and what is relayed has to be wrapped by it. A
direct pair needs no bridge to send: the sender thread uses ICE's own socket.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable

from ..core import Engine

_MAX_DATAGRAM = 2048
_DATAGRAMS_PER_CALL = 32


class Bridge:
    """One bridge for a client's whole life. Loop thread."""

    def __init__(self, engine: Engine, on_relayed: Callable[[bytes], None]) -> None:
        """
        Args:
            engine: Gets the inner socket.
            on_relayed: Takes what the sender thread sends while a relayed path is set.
        """
        self._engine = engine
        self._on_relayed = on_relayed
        self._inner = _loopback_socket()
        self._outer = _loopback_socket()
        # Connected, so that nobody else on this machine is heard.
        self._outer.connect(self._inner.getsockname())
        self._socket = engine.add_socket(self._inner.fileno())
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._outer, self._read)

    def open_for(self, peer: int) -> None:
        """What is handed on from here belongs to this peer."""
        self._engine.map_address(peer, self._socket, *self._outer.getsockname())

    def close_for(self, peer: int) -> None:
        """It does not any more."""
        self._engine.unmap_address(peer, self._socket, *self._outer.getsockname())

    def hand_on(self, data: bytes) -> None:
        """Gives RTP that ICE received to the network thread; lost when it cannot take more."""
        with contextlib.suppress(OSError):
            self._outer.send(data)

    def use_for_sending(self, peer: int) -> None:
        """The sender thread's packets for this peer come to ``on_relayed``."""
        self._engine.set_path(peer, self._socket, *self._outer.getsockname())

    def stop(self) -> None:
        """Reads no more. ``close`` comes after the engine was closed."""
        self._loop.remove_reader(self._outer)

    def close(self) -> None:
        """Closes the sockets. Any thread."""
        self._inner.close()
        self._outer.close()

    def _read(self) -> None:
        with contextlib.suppress(OSError):
            for _ in range(_DATAGRAMS_PER_CALL):
                self._on_relayed(self._outer.recv(_MAX_DATAGRAM))


def _loopback_socket() -> socket.socket:
    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    one.setblocking(False)
    one.bind(("127.0.0.1", 0))
    return one
