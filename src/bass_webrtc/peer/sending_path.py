"""Which socket the sender thread sends a peer's packets on, once full ICE has found a pair.

direct pair  ─► a duplicate of ICE's own socket, so that the sender thread asks nobody
relayed pair ─► the bridge, for only the TURN client can wrap it
"""

from __future__ import annotations

import asyncio
import os

from ..core import Engine
from .bridge import Bridge
from .ice.full_ice import SelectedPair

_LINGER_S = 0.2
"""How long a descriptor outlives its path: more than two frame times, as ``core.h`` wants."""


class SendingPath:
    """The path of one peer. Loop thread."""

    def __init__(self, engine: Engine, bridge: Bridge, peer: int) -> None:
        self._engine = engine
        self._bridge = bridge
        self._peer = peer
        self._descriptor: int | None = None
        self._lingering: dict[int, asyncio.TimerHandle] = {}

    def use(self, pair: SelectedPair) -> None:
        """Packets go this way from now on."""
        before, self._descriptor = self._descriptor, None
        if pair.descriptor is None:
            self._bridge.use_for_sending(self._peer)
        else:
            self._descriptor = os.dup(pair.descriptor)
            self._engine.set_descriptor(self._peer, self._descriptor, *pair.remote)
        self._close_later(before)

    def pause(self) -> None:
        """Nothing is sent until the next ``use``."""
        self._engine.clear_path(self._peer)

    def leave(self) -> None:
        """The engine was told to let go of the peer; it may need the socket a moment longer."""
        self._close_later(self._descriptor)
        self._descriptor = None

    def close(self) -> None:
        """After ``leave``: the engine has let go."""
        for descriptor, timer in self._lingering.items():
            timer.cancel()
            os.close(descriptor)
        self._lingering.clear()

    def _close_later(self, descriptor: int | None) -> None:
        if descriptor is not None:
            timer = asyncio.get_running_loop().call_later(_LINGER_S, self._close_now, descriptor)
            self._lingering[descriptor] = timer

    def _close_now(self, descriptor: int) -> None:
        del self._lingering[descriptor]
        os.close(descriptor)
