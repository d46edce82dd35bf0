"""ICE candidates: their text form (RFC 8839, 5.1), and which of a peer's candidates we are willing to use.

A candidate of a peer is an address that it asks us to send packets to. So a policy decides, before anything is
sent: a server must not become a tool to reach its own loopback, its neighbours' services, or a stranger.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..errors import SdpError
from .sdp import shorten

MAX_CANDIDATES = 100
"""How many candidates of one peer are kept; RFC 8445, 6.1.2.5 proposes this limit for pairs."""

_LONGEST = 1024
"""Characters of a candidate line that we look at; real ones have about 150."""
_FOUNDATION = re.compile(r"[!-~]{1,32}")
_HOST = re.compile(r"[!-~]{1,253}")
_WORD = re.compile(r"[!-~]+")
_NUMBER = re.compile(r"[0-9]{1,10}")
_TYPE_PREFERENCES = {"host": 126, "prflx": 110, "srflx": 100, "relay": 0}  # RFC 8445, 5.1.2.2.


@dataclass(frozen=True, slots=True)
class Candidate:
    """One transport address that an agent may be reached at (RFC 8839, 5.1)."""

    foundation: str
    component: int
    """1 is RTP, and everything else with rtcp-mux; 2 is RTCP."""
    transport: str
    """``"udp"`` or ``"tcp"``, in lower case."""
    priority: int
    host: str
    """An IP address; or a name, which RFC 8839 says to ignore."""
    port: int
    type: str
    """``"host"``, ``"srflx"``, ``"prflx"`` or ``"relay"``."""
    related_host: str | None = None
    related_port: int | None = None
    tcp_type: str | None = None
    ufrag: str | None = None
    """Of the ICE session the candidate belongs to ; the credentials of a description or a fragment count more."""

    @classmethod
    def parse(cls, text: str) -> Candidate:
        """Read a candidate as it stands in SDP or in JavaScript's ``RTCIceCandidate.candidate``.

        Args:
            text: With or without ``a=`` and ``candidate:``. Some clients write the prefix twice.

        Raises:
            SdpError: It is malformed.
        """
        words = text[:_LONGEST].split()
        if len(text) > _LONGEST or len(words) < 8 or words[6] != "typ" or not all(map(_WORD.fullmatch, words)):
            raise _malformed(text)
        foundation, component, transport, priority, host, port, _, kind, *extensions = words
        foundation = foundation.removeprefix("a=").removeprefix("candidate:").removeprefix("candidate:")
        if not _FOUNDATION.fullmatch(foundation) or not _HOST.fullmatch(host) or len(extensions) % 2:
            raise _malformed(text)
        options = dict(zip(extensions[::2], extensions[1::2], strict=True))
        related_port = options.get("rport")
        return cls(
            foundation,
            _number(component, 1, 256, text),
            transport.lower(),
            _number(priority, 0, 2**32 - 1, text),
            host,
            _number(port, 0, 65_535, text),
            kind,
            options.get("raddr"),
            None if related_port is None else _number(related_port, 0, 65_535, text),
            options.get("tcptype"),
            options.get("ufrag"),
        )

    def to_sdp(self) -> str:
        """The candidate as text: ``candidate:…``, without ``a=``."""
        text = (
            f"candidate:{self.foundation} {self.component} {self.transport} {self.priority} "
            f"{self.host} {self.port} typ {self.type}"
        )
        options = {
            "raddr": self.related_host,
            "rport": self.related_port,
            "tcptype": self.tcp_type,
            "ufrag": self.ufrag,
        }
        return text + "".join(f" {name} {value}" for name, value in options.items() if value is not None)


@dataclass(frozen=True, slots=True)
class CandidatePolicy:
    """Which candidates of a peer may be sent to."""

    ipv4: bool = True
    ipv6: bool = True
    """Whether we have a socket of that family."""
    allow_loopback: bool = False
    """For peers on this machine."""
    allow_link_local: bool = False
    """Off: 169.254.169.254 is the metadata service of the clouds."""
    lowest_port: int = 1024
    """Below stand the services of others; a browser's sockets never do."""
    own_addresses: frozenset[tuple[str, int]] = frozenset()
    """Our own (host, port): a peer must not make us talk to ourselves."""

    def allows(self, candidate: Candidate) -> bool:
        """Whether the candidate may be used. TCP, names (``.local`` too) and unknown transports may not."""
        if candidate.transport != "udp" or candidate.component != 1 or candidate.port < max(self.lowest_port, 1):
            return False
        try:
            address = ipaddress.ip_address(candidate.host)
        except ValueError:
            return False  # RFC 8839, 5.1: names MUST be ignored; resolving them would ask our LAN by multicast.
        if address.version == 6 and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        if not (self.ipv4 if address.version == 4 else self.ipv6):
            return False
        if (str(address), candidate.port) in self.own_addresses:
            return False
        return self._allows_address(address)

    def _allows_address(self, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
        if address.is_loopback:
            return self.allow_loopback
        if address.is_link_local:
            return self.allow_link_local
        return not (address.is_unspecified or address.is_multicast or address.is_reserved)


def is_loopback(host: str) -> bool:
    """Whether a host is ``localhost`` or a loopback address, with or without brackets. Other names are not resolved."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.removeprefix("[").removesuffix("]")).is_loopback
    except ValueError:
        return False


def usable_candidates(candidates: Iterable[Candidate], policy: CandidatePolicy) -> tuple[Candidate, ...]:
    """Those of a peer's candidates that may be used; the others are discarded in silence (RFC 9725, 4.3.2)."""
    return tuple(filter(policy.allows, candidates))


def merge_candidates(
    known: Sequence[Candidate], new: Iterable[Candidate], limit: int = MAX_CANDIDATES
) -> tuple[Candidate, ...]:
    """All candidates, each transport address once, the first ``limit`` of them.

    A candidate that comes twice, in the offer and in a PATCH, is used once (RFC 8840, 4.4).
    """
    merged = {_address_of(candidate): candidate for candidate in known}
    for candidate in new:
        if len(merged) >= limit:
            break
        merged.setdefault(_address_of(candidate), candidate)
    return tuple(merged.values())


def host_candidates(addresses: Iterable[tuple[str, int]]) -> tuple[Candidate, ...]:
    """Candidates for our own UDP addresses, the most preferred first.

    Priorities fall from one to the next (RFC 8445, 5.1.2.1); foundations differ, as the base addresses do.
    """
    return tuple(
        Candidate(str(number), 1, "udp", _priority("host", 65_535 - number), host, port, "host")
        for number, (host, port) in enumerate(addresses, start=1)
    )


def _priority(kind: str, local_preference: int) -> int:
    return (_TYPE_PREFERENCES[kind] << 24) + (local_preference << 8) + 255


def _address_of(candidate: Candidate) -> tuple[int, str, str, int]:
    return candidate.component, candidate.transport, candidate.host.lower(), candidate.port


def _number(text: str, lowest: int, highest: int, candidate: str) -> int:
    if not _NUMBER.fullmatch(text) or not lowest <= int(text) <= highest:
        raise _malformed(candidate)
    return int(text)


def _malformed(text: str) -> SdpError:
    return SdpError(f"malformed ICE candidate: {shorten(text)}")
