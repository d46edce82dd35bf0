"""ICE candidates: their text form (RFC 8839, 5.1) and the policy that decides which remote candidates to use.

A remote candidate is an address that the peer asks us to send packets to. ``CandidatePolicy`` filters candidates
before anything is sent, so that a peer cannot use the server to reach its loopback interface, services on its
network, or an uninvolved third party.
"""

from __future__ import annotations

import contextlib
import functools
import ipaddress
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..errors import SdpError
from .sdp import shorten

MAX_CANDIDATES = 100
"""Maximum number of candidates kept per peer; RFC 8445, 6.1.2.5 proposes this limit for pairs."""
_MAX_LINES = 256
"""Candidate lines read of one description or fragment, duplicates and all; browsers send up to 40."""

_LONGEST = 1024
"""Longest candidate line accepted, in characters; real ones have about 150."""
_HOST = re.compile(r"[!-~]{1,253}")
_WORD = re.compile(r"[!-~]+")
_NUMBER = re.compile(r"-?[0-9]{1,10}")
_THIS_NETWORK = ipaddress.ip_network("0.0.0.0/8")  # RFC 1122, 3.2.1.3.
_TYPE_PREFERENCES = {"host": 126, "prflx": 110, "srflx": 100, "relay": 0}  # RFC 8445, 5.1.2.2.


@dataclass(frozen=True, slots=True)
class Candidate:
    """One transport address of an ICE agent (RFC 8839, 5.1)."""

    foundation: str
    component: int
    """1 is RTP (with rtcp-mux: RTP and RTCP); 2 is RTCP. No other is used."""
    transport: str
    """``"udp"`` or ``"tcp"``, in lower case."""
    priority: int
    host: str
    """An IP address, or a host name, which RFC 8839 says to ignore."""
    port: int
    type: str
    """``"host"``, ``"srflx"``, ``"prflx"`` or ``"relay"``."""
    related_host: str | None = None
    related_port: int | None = None
    tcp_type: str | None = None
    ufrag: str | None = None
    """ICE session of the candidate; credentials in the session description or fragment take precedence."""

    @classmethod
    def parse(cls, text: str) -> Candidate:
        """Parse a candidate from SDP or from JavaScript's ``RTCIceCandidate.candidate``.

        What only has to be told apart (foundation, unknown extensions) may have any characters, as in Chromium.

        Args:
            text: The candidate; the prefixes ``a=`` and ``candidate:`` are optional. Some clients write ``candidate:``
                twice.

        Raises:
            SdpError: The candidate is malformed.
        """
        words = text[:_LONGEST].split()
        if len(text) > _LONGEST or len(words) < 8 or words[6] != "typ" or not all(map(_WORD.fullmatch, words[1:8])):
            raise _malformed(text)
        foundation, component, transport, priority, host, port, _, kind, *extensions = words
        foundation = foundation.removeprefix("a=").removeprefix("candidate:").removeprefix("candidate:")
        if not _HOST.fullmatch(host):
            raise _malformed(text)
        options = dict(zip(extensions[::2], extensions[1::2], strict=False))  # The last may lack its value.
        related_port = options.get("rport")
        return cls(
            foundation,
            _number(component, -(2**31), 2**31, text),
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
        """Return the candidate as text: ``candidate:…``, without ``a=``."""
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
    """Decides which remote candidates we may send to."""

    ipv4: bool = True
    ipv6: bool = True
    """Whether we have a socket of this address family."""
    allow_loopback: bool = False
    """Needed for peers on the same machine."""
    allow_link_local: bool = False
    """Off by default: 169.254.169.254 is the metadata service of cloud providers."""
    lowest_port: int = 1024
    """Lower ports belong to well-known services; browsers never use them."""
    own_addresses: frozenset[tuple[str, int]] = frozenset()
    """Our own (host, port) pairs: a peer must not make us send to ourselves."""

    def allows(self, candidate: Candidate) -> bool:
        """Return whether the candidate may be used; never so for TCP, host names (``.local`` too) and component 2."""
        if candidate.transport != "udp" or candidate.component != 1 or candidate.port < max(self.lowest_port, 1):
            return False
        try:
            address = ipaddress.ip_address(candidate.host)
        except ValueError:
            return False  # RFC 8839, 5.1: names MUST be ignored; resolving ``.local`` would send multicast to our LAN.
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
        return _is_unicast(address)


def is_usable_address(host: str, port: int) -> bool:
    """Whether a peer can be reached at an IP address: not multicast, broadcast, reserved or port 0."""
    return port > 0 and _is_unicast(ipaddress.ip_address(host))


def _is_unicast(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    if address.is_loopback:  # ::1 is in the reserved ::/8.
        return True
    return not (address.is_multicast or address.is_reserved or address in _THIS_NETWORK or address.is_unspecified)


@functools.lru_cache(maxsize=1024)
def is_loopback(host: str) -> bool:
    """Whether a host is ``localhost`` or a loopback address, with or without brackets. Other names are not resolved."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.removeprefix("[").removesuffix("]")).is_loopback
    except ValueError:
        return False


def parse_candidates(lines: Sequence[str]) -> tuple[Candidate, ...]:
    """Parse the candidates of a description or fragment.

    Args:
        lines: Values of the ``a=candidate`` lines. Those after the 256th are ignored: each takes 20 us.

    Returns:
        The candidates without duplicates, at most MAX_CANDIDATES.

    Raises:
        SdpError: A candidate is malformed.
    """
    return merge_candidates((), map(Candidate.parse, lines[:_MAX_LINES]))


def parse_well_formed_candidates(lines: Sequence[str]) -> tuple[tuple[Candidate, ...], int]:
    """Do what ``parse_candidates`` does, but skip malformed candidates.

    Returns:
        The candidates, and how many were skipped.
    """
    found: list[Candidate] = []
    for line in lines[:_MAX_LINES]:
        with contextlib.suppress(SdpError):
            found.append(Candidate.parse(line))
    return merge_candidates((), found), min(len(lines), _MAX_LINES) - len(found)


def merge_candidates(
    known: Sequence[Candidate], new: Iterable[Candidate], limit: int = MAX_CANDIDATES
) -> tuple[Candidate, ...]:
    """Merge candidate lists, keeping each transport address once and at most ``limit`` candidates.

    A candidate that appears both in the offer and in a PATCH is used once (RFC 8840, 4.4).
    """
    merged = {_address_of(candidate): candidate for candidate in known}
    for candidate in new:
        if len(merged) >= limit:
            break
        merged.setdefault(_address_of(candidate), candidate)
    return tuple(merged.values())


def host_candidates(addresses: Iterable[tuple[str, int]]) -> tuple[Candidate, ...]:
    """Build host candidates for our own UDP addresses, given most preferred first.

    Priorities decrease in that order (RFC 8445, 5.1.2.1); each candidate has its own foundation because the base
    addresses differ.
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
