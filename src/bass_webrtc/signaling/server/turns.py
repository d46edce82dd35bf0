"""Requests take turns on the loop, so that one client's flood does not delay the others.

    request ─► network A: connection 1, connection 2 … ─┐
               network B: connection 3                  ├─► a few per iteration of the loop ─► respond
               network C: …                             ┘   the networks in turn

A network is an IPv4 address or an IPv6 /64.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable, Hashable

_WORK_PER_ROUND = 4
"""Work in one iteration of the loop, about 1 ms; a request that is more work by itself has an iteration alone."""
_LEVEL_S = 1.0
"""A new connection, and one with less than a request per second, goes before others of its network that have more."""
_MAX_AHEAD_S = 10.0
_MAX_CONNECTIONS = 4096
_Turn = tuple[float, int, int, asyncio.Future[None]]
"""Level of the connection, order of arrival, work, and what the request waits for."""


class Turns:
    """Decides which request is handled next: the networks in turn, of a network first the connection that asks least.

    Used on one event loop.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        """
        Args:
            clock: Monotonic time in seconds.
        """
        self._clock = clock
        self._waiting: dict[str, list[_Turn]] = {}
        """By network; the first network is the next one."""
        self._levels_s: dict[Hashable, float] = {}
        self._numbers = itertools.count()
        self._room = _WORK_PER_ROUND

    async def take(self, network: str, connection: Hashable, work: int = 1) -> None:
        """Wait for the turn of a request.

        Args:
            network: The client's network, see ``client_network``.
            connection: Identifies its connection, such as the client's address and port.
            work: How much work the request is, 1 for a small one.
        """
        level_s = self._raise_level(connection, work)
        if self._room > 0 and not self._waiting:
            self._begin(work)
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting.setdefault(network, []), (level_s, next(self._numbers), work, turn))
        await turn

    def _raise_level(self, connection: Hashable, work: int) -> float:
        now_s = self._clock()
        before_s = min(max(now_s, self._levels_s.pop(connection, now_s)), now_s + _MAX_AHEAD_S)
        self._levels_s[connection] = before_s + work * _LEVEL_S
        self._forget(now_s)
        return before_s

    def _forget(self, now_s: float) -> None:
        """Forget the oldest levels, two at most, if they are too many or have passed: new connections have the same."""
        for connection in tuple(itertools.islice(self._levels_s, 2)):
            if self._levels_s[connection] <= now_s or len(self._levels_s) > _MAX_CONNECTIONS:
                del self._levels_s[connection]

    def _begin(self, work: int) -> None:
        if self._room == _WORK_PER_ROUND:
            asyncio.get_running_loop().call_soon(self._next_round)
        self._room -= work

    def _next_round(self) -> None:
        """Let as many requests begin as one iteration of the loop has room for."""
        self._room = _WORK_PER_ROUND
        while self._room > 0 and self._waiting:
            network = next(iter(self._waiting))
            turns = self._waiting.pop(network)
            _level, _number, work, turn = heapq.heappop(turns)
            if turns:
                self._waiting[network] = turns  # At the end: all other networks come first.
            if not turn.done():
                self._begin(work)
                turn.set_result(None)
