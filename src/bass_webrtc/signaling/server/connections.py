"""How many HTTP connections may be open: in total, per address, and beside the descriptors of the program.

    accept ─► address at its maximum?   its oldest idle connection is closed for the new one
           ─► server at its maximum?    the oldest idle one of the address that has the most is closed
           ─► none is idle              the new one is refused

So idle connections, which cost a client nothing, never keep another client out. Used on one event loop; ``len`` and
``refused`` may be read by any thread.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from ...limited_log import LimitedLog
from ...loop_thread import WATCHED_SOCKETS

try:
    import resource
except ImportError:  # Windows.
    resource = None  # type: ignore[assignment]

logger = logging.getLogger(__name__)

_FEWEST = 8
"""Connections that may be open however few descriptors the program has left."""


class Member(Protocol):
    """An open connection, as the table sees it."""

    network: str
    """Address or network that ``max_per_network`` counts."""
    descriptor: int
    """Number of the socket's file descriptor."""

    @property
    def is_waiting(self) -> bool:
        """Whether the server waits for the client, and does not work on a request."""

    def abort(self) -> None:
        """Close the connection at once."""


AnyMember = TypeVar("AnyMember", bound=Member)


class Connections(Generic[AnyMember]):
    """All open connections of a server.

    Args:
        max_connections: In total; in addition at most half of the descriptors that the process may open.
        max_per_network: From one address or network.
        clock: Monotonic time in seconds.
        descriptor_limit: Returns the number of descriptors that the process may open; None if there is no limit.

    Attributes:
        refused: Number of connections that were refused, or closed in favor of another one.
    """

    def __init__(
        self,
        max_connections: int,
        max_per_network: int,
        clock: Callable[[], float],
        descriptor_limit: Callable[[], int | None] | None = None,
    ) -> None:
        self.refused = 0
        self._max = max_connections
        self._max_per_network = max_per_network
        self._clock = clock
        self._descriptor_limit = descriptor_limit or process_descriptor_limit
        self._members: dict[str, dict[AnyMember, None]] = {}
        self._high: set[AnyMember] = set()
        self._count = 0
        self._log = LimitedLog(logger)

    def __len__(self) -> int:
        """Number of open connections."""
        return self._count

    def all(self) -> list[AnyMember]:
        """Return every open connection."""
        return [one for held in self._members.values() for one in held]

    def add(self, member: AnyMember) -> None:
        """Count a connection that was admitted."""
        self._members.setdefault(member.network, {})[member] = None
        if self._is_high(member.descriptor):
            self._high.add(member)
        self._count += 1

    def renew(self, member: AnyMember) -> None:
        """Note that the server begins to wait for a client: others have waited for longer."""
        held = self._members.get(member.network, {})
        if member in held:
            del held[member]
            held[member] = None

    def discard(self, member: AnyMember) -> None:
        """Forget a connection that has ended. Unknown ones are ignored."""
        held = self._members.get(member.network, {})
        if member in held:
            del held[member]
            self._high.discard(member)
            self._count -= 1
            if not held:
                del self._members[member.network]

    def admit(self, network: str, descriptor: int, *, is_proxy: bool = False) -> bool:
        """Decide on a new connection. May close another one in its favor.

        Args:
            network: Where it comes from.
            descriptor: The number of its file descriptor.
            is_proxy: Whether a trusted proxy opened it; the limit per network does not apply to these.

        Returns:
            Whether to serve the connection.
        """
        held = len(self._members.get(network, ()))
        if held >= self._max_per_network and not is_proxy:
            return self._replaced(network, self._close_oldest(network), f"{held} connections from {network} are open")
        if self._is_full(descriptor):
            return self._replaced(network, self._make_room(network), f"{self._count} HTTP connections are open")
        return True

    def free_descriptor(self) -> None:
        """Close an idle connection, if there is one, because the process has no descriptor left."""
        self._replaced("", self._make_room(""), f"no file descriptor is left, {self._count} HTTP connections are open")

    def _is_full(self, descriptor: int) -> bool:
        if self._count >= self._max:
            return True
        limit = self._descriptor_limit()
        if limit is None or self._count < _FEWEST:
            return False
        return self._count >= limit // 2 or bool(self._high) or self._is_high(descriptor)

    def _is_high(self, descriptor: int) -> bool:
        """Return whether so few descriptors are left that the program should have them.

        The system gives the lowest free number, so all below this one are in use. That holds for as long as the
        connection is open, although later ones get lower numbers again.
        """
        limit = self._descriptor_limit()
        return WATCHED_SOCKETS is None and limit is not None and descriptor >= limit - limit // 8

    def _make_room(self, network: str) -> bool:
        """Close a connection of the network that has the most, unless ``network`` would then have more than that."""
        held = len(self._members.get(network, ()))
        larger = [one for one, members in self._members.items() if len(members) > held or one == network]
        larger.sort(key=lambda one: len(self._members[one]), reverse=True)
        return any(self._close_oldest(one) for one in larger)

    def _close_oldest(self, network: str) -> bool:
        oldest = next((member for member in self._members[network] if member.is_waiting), None)
        if oldest is None:
            return False
        self.discard(oldest)
        oldest.abort()
        return True

    def _replaced(self, network: str, closed: bool, reason: str) -> bool:
        self.refused += 1
        what = "closed an idle connection" if closed else "refused"
        self._log.warning(f"{what}: {reason} ({self.refused} times so far)", self._clock())
        return closed


def process_descriptor_limit() -> int | None:
    """Return how many descriptors this process may have at the moment, or on Windows sockets; None: no limit."""
    if resource is None:
        return WATCHED_SOCKETS
    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if soft == resource.RLIM_INFINITY else soft
