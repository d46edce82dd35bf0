"""How a connection with full ICE may be reached, and what its owner wants to be told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from ..config import IceServerAddress
from ..rtc.candidate import Candidate, CandidatePolicy
from .ice.agent import PAC_TIMER_S


def _ignore() -> None:
    """What happens when nobody asked to be told."""


@dataclass(frozen=True, slots=True)
class IceSettings:
    """How we may be reached; see ``FullIce``."""

    servers: tuple[IceServerAddress, ...] = ()
    """STUN and TURN."""
    relay_only: bool = False
    hosts: tuple[str, ...] | None = None
    """Our addresses to use; by default all that others can reach."""
    public_ips: tuple[str, ...] = ()
    """Of a 1:1 NAT in front of this machine."""
    announces_own: bool = True
    """Whether the peer is told the addresses of this machine itself (RFC 8827, 6.4)."""
    policy: CandidatePolicy = field(default_factory=lambda: CandidatePolicy(allow_loopback=True))
    """Which of the peer's candidates may be sent to."""
    gather_s: float = 0.5
    """How long an offer or an answer waits for servers that do not answer."""
    patience_s: float = PAC_TIMER_S
    """How long a pair that works is waited for."""
    says_all: Literal["no", "yes", "when it is so"] = "no"
    """Whether our descriptions say that their candidates are all: "yes" where the rest cannot be told anyway."""


WITHOUT_SERVERS = IceSettings()
"""Host candidates alone."""


@dataclass(frozen=True, slots=True)
class Callbacks:
    """What the owner wants to know."""

    connected: Callable[[], None]
    ended: Callable[[str], None]
    """Once, with the reason, unless ``close`` was called."""
    candidate: Callable[[Candidate], None]
    """A candidate of ours that was found after our description was made; to be trickled."""
    gathered: Callable[[], None] = _ignore
    """There will be no more, which our description could not say yet."""
    connecting: Callable[[], None] = _ignore
    loss_reported: Callable[[], None] = _ignore
    """A player said how many packets it misses."""
