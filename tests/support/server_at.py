"""Our server at a home host of support/nat.py, in calls signaled by a test."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import bass_webrtc as bw

from .nat import SERVERS
from .netns import Host

_PATIENCE_S = 20.0


class ServerAt:
    """A server with callback signaling on a host. A context manager.

    Args:
        host: Host to run on.
        ice_servers: Its STUN and TURN servers.
        left_hz: Frequency of its tone on the left channel.
        right_hz: On the right.
        relay_only: Whether it announces relayed candidates only.

    Attributes:
        told: Candidates from events, not yet trickled.
    """

    def __init__(
        self,
        host: Host,
        ice_servers: Sequence[bw.IceServer],
        left_hz: float = 440.0,
        right_hz: float = 880.0,
        *,
        relay_only: bool = False,
    ) -> None:
        config = bw.ServerConfig(signaling_mode="callback", ice_servers=tuple(ice_servers), ice_relay_only=relay_only)
        self.host = host
        self.server = bw.Server(bw.Tone(left_hz, right_hz), config)
        self.told: list[tuple[str, str | None, int]] = []
        self.server.on("ice_candidate", lambda _peer, *candidate: self.told.append(candidate))
        with host.entered():
            self.server.start()

    def trickle(self, take: Callable[[str, str | None, int], object]) -> None:
        """Deliver candidates reported since the last call to the other side."""
        while self.told:
            take(*self.told.pop(0))

    def close(self) -> None:
        """Stop the server."""
        self.server.close()

    def __enter__(self) -> ServerAt:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def connect(peer: bw.Peer, other: Any, trickle: Callable[[], None]) -> None:
    """Trickle until both ends of a call are connected.

    Args:
        peer: One end.
        other: The other end, which also has a ``state``.
        trickle: Delivers pending candidates.
    """
    deadline_s = time.monotonic() + _PATIENCE_S
    while (peer.state, other.state) != ("connected", "connected"):
        assert time.monotonic() < deadline_s, f"{peer}, {other.state}"
        trickle()
        time.sleep(0.02)


def is_relayed(*peers: bw.Peer) -> bool:
    """Return whether either address of a call is an allocation on the TURN server."""
    ends = [end for peer in peers for end in (peer.stats().local_address, peer.stats().remote_address)]
    return any(end.startswith(f"{SERVERS}:") for end in ends)
