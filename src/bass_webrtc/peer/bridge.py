"""UDP sockets on loopback between the audio path's threads and full ICE agents.

    network thread ◄── inner ◄── outer, one a peer ◄── hand_on (RTP that ICE received)
    sender thread  ──► inner ──► outer, one a peer ──► on_relayed (RTP that only ICE can send: through a TURN server)

aioice reads its sockets itself, so what comes in has to be handed on; and what is relayed has to be wrapped by it. A
direct pair needs no bridge to send: the sender thread uses ICE's own socket.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
from collections.abc import Callable

from ..core import Engine

_MAX_DATAGRAM = 2048
_DATAGRAMS_PER_CALL = 32


class Bridge:
    """One bridge for an engine's whole life. Loop thread."""

    def __init__(self, engine: Engine) -> None:
        """
        Args:
            engine: Gets the inner socket.
        """
        self._engine = engine
        self._inner = _loopback_socket()
        self._outer: dict[int, socket.socket] = {}
        self._socket = engine.add_socket(self._inner.fileno())
        self._loop = asyncio.get_running_loop()

    def open_for(self, peer: int, on_relayed: Callable[[bytes], None]) -> None:
        """Makes a way for a peer.

        Args:
            peer: Its number.
            on_relayed: Takes what the sender thread sends it while ``use_for_sending`` holds.
        """
        outer = self._outer[peer] = _loopback_socket()
        # Connected, so that nobody else on this machine is heard.
        outer.connect(self._inner.getsockname())
        self._loop.add_reader(outer, functools.partial(_read, outer, on_relayed))
        self._engine.map_address(peer, self._socket, *outer.getsockname())

    def close_for(self, peer: int) -> None:
        """The way is gone. Nothing if there was none."""
        outer = self._outer.pop(peer, None)
        if outer is not None:
            self._engine.unmap_address(peer, self._socket, *outer.getsockname())
            self._loop.remove_reader(outer)
            outer.close()

    def hand_on(self, peer: int, data: bytes) -> None:
        """Gives RTP that ICE received to the network thread; lost when it cannot take more."""
        with contextlib.suppress(OSError):
            self._outer[peer].send(data)

    def use_for_sending(self, peer: int) -> None:
        """The sender thread's packets for this peer come to its ``on_relayed``."""
        self._engine.set_path(peer, self._socket, *self._outer[peer].getsockname())

    def close(self) -> None:
        """Closes the inner socket. Any thread, after every ``close_for``, and after the engine was closed."""
        self._inner.close()


def _read(outer: socket.socket, on_relayed: Callable[[bytes], None]) -> None:
    with contextlib.suppress(OSError):
        for _ in range(_DATAGRAMS_PER_CALL):
            on_relayed(outer.recv(_MAX_DATAGRAM))


def _loopback_socket() -> socket.socket:
    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    one.setblocking(False)
    one.bind(("127.0.0.1", 0))
    return one
