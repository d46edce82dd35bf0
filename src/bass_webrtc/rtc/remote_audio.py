"""Reads the audio section of a remote session description, the same way for offers and answers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from ..errors import SdpError
from .candidate import Candidate, parse_well_formed_candidates
from .opus_parameters import OpusParameters
from .sdp import (
    Fingerprint,
    IceCredentials,
    MediaSection,
    Scope,
    SessionDescription,
    UnusableSdpError,
    first,
    shorten,
)

Direction = Literal["sendrecv", "sendonly", "recvonly", "inactive"]
Setup = Literal["actpass", "active", "passive", "holdconn"]

_DIRECTIONS: dict[str, Direction] = {direction: direction for direction in get_args(Direction)}
_SETUPS: dict[str, Setup] = {setup: setup for setup in get_args(Setup)}
# RFC 9429, 5.1.2: all of these profiles mean DTLS-SRTP over the ICE pair, regardless of their name.
_PROTOCOL = re.compile(r"(?:(?:(?:UDP|TCP)/)?(?:DTLS|TLS)/)?RTP/S?AVPF?")
_RTPMAP = re.compile(r"([0-9]{1,3}) +([!-.0-~]+)/([0-9]{1,9})(?:/([!-~]+))?")
_NUMBER = re.compile(r"[0-9]{1,10}")
_ICE_OPTION = re.compile(r"[^ ,]+")  # libdatachannel (OBS) separates them with commas.
_MILLISECONDS = re.compile(r"[0-9]{1,5}(?:\.[0-9]{1,5})?")
_DIGEST_BYTES = {"sha-256": 32, "sha-384": 48, "sha-512": 64}
"""Accepted hashes and their lengths, most preferred first (RFC 8122, 5 prefers SHA-256)."""


@dataclass(frozen=True, slots=True)
class RemoteAudio:
    """The remote audio section: all parameters that the transport and the audio path need."""

    mid: str | None
    mline_index: int
    protocol: str
    """Profile as written in the m= line; an answer repeats it (RFC 9429, 5.1.2)."""
    direction: Direction
    """Direction from the remote side's point of view."""
    payload_type: int
    """Payload type of Opus that the remote side receives."""
    red_payload_type: int | None
    """Payload type of RED that carries this Opus (RFC 2198), or None."""
    sent_payload_type: int
    """Payload type of Opus that the remote side sends. Differs if its answer renumbers our offer (RFC 3264, 6.1)."""
    sent_red_payload_type: int | None
    """The same of RED."""
    opus: OpusParameters
    """What the remote side wants to receive."""
    ice: IceCredentials
    ice_lite: bool
    ice_options: tuple[str, ...]
    candidates: tuple[Candidate, ...]
    """Without duplicates, at most MAX_CANDIDATES; a ``CandidatePolicy`` decides which are used."""
    malformed_candidates: int
    """Number of candidates that were skipped because they are malformed."""
    end_of_candidates: bool
    setup: Setup
    fingerprints: tuple[Fingerprint, ...]
    """Fingerprints of the preferred hash only; the certificate must match one of them (RFC 8122, 5.1)."""
    ssrcs: tuple[int, ...]
    cname: str | None
    rtcp_rsize: bool
    nack: bool
    """Whether the remote side supports generic NACK for Opus (RFC 4585, 6.2.1)."""
    ptime_ms: float | None
    max_ptime_ms: float | None
    bandwidth_bps: int | None
    """From b=TIAS, otherwise from b=AS; None for no limit."""

    @property
    def trickle(self) -> bool:
        """Whether the remote side can trickle candidates (RFC 8838, 4)."""
        return "trickle" in self.ice_options

    @property
    def sends(self) -> bool:
        """Whether the remote side sends audio to us."""
        return self.direction in ("sendrecv", "sendonly")

    @property
    def receives(self) -> bool:
        """Whether the remote side wants audio from us."""
        return self.direction in ("sendrecv", "recvonly")


def read_audio(description: SessionDescription, section: MediaSection, *, default_setup: Setup) -> RemoteAudio:
    """Read an audio section.

    A malformed line is skipped if the section can be used without it; lines that transport and security need must be
    well formed.

    Args:
        description: The whole description.
        section: The audio section in it.
        default_setup: Meaning of a missing ``a=setup``: active in offers, passive in answers (RFC 4145, 4).

    Raises:
        SdpError: A line that we need is malformed (RFC 9429, 5.8).
        UnusableSdpError: Opus, ICE credentials, an accepted fingerprint or rtcp-mux is missing.
    """
    scope = description.transport_scope(section)
    own = section.attributes
    if not is_rtp(section):
        raise UnusableSdpError(
            f"the audio section has protocol {shorten(section.protocol)}; expected UDP/TLS/RTP/SAVPF"
        )
    if "crypto" in scope:
        raise UnusableSdpError("the description has a=crypto (SDES keys); only DTLS-SRTP is supported (RFC 8827, 6.5)")
    if "rtcp-mux" not in scope:
        raise UnusableSdpError("a=rtcp-mux is missing; RTP and RTCP must share one port (RFC 8834, 4.5)")
    ice = IceCredentials.from_scope(scope)
    if ice is None:
        raise UnusableSdpError("a=ice-ufrag and a=ice-pwd are missing; both are required (RFC 8839, 5.4)")
    codecs = _Codecs.read(section)
    payload_type, red_payload_type = codecs.opus_and_red()
    ssrcs = _ssrc_lines(section)
    candidates, malformed_candidates = parse_well_formed_candidates(scope.get("candidate", ()))
    return RemoteAudio(
        mid=section.mid,
        mline_index=section.index,
        protocol=section.protocol,
        direction=direction_of(description, section),
        payload_type=payload_type,
        red_payload_type=red_payload_type,
        sent_payload_type=payload_type,
        sent_red_payload_type=red_payload_type,
        opus=OpusParameters.parse(codecs.parameters.get(payload_type, "")),
        ice=ice,
        ice_lite="ice-lite" in scope,
        ice_options=tuple(_ICE_OPTION.findall(first(scope, "ice-options") or "")),
        candidates=candidates,
        malformed_candidates=malformed_candidates,
        end_of_candidates="end-of-candidates" in scope,
        setup=_setup(scope, default_setup),
        fingerprints=_fingerprints(scope),
        ssrcs=tuple(ssrcs),
        cname=next((text[6:] for text in ssrcs.values() if text.startswith("cname:")), None),
        rtcp_rsize="rtcp-rsize" in scope,
        nack=any(text.split() in ([str(payload_type), "nack"], ["*", "nack"]) for text in own.get("rtcp-fb", ())),
        ptime_ms=_milliseconds(own, "ptime"),
        max_ptime_ms=_milliseconds(own, "maxptime"),
        bandwidth_bps=_bandwidth_bps(section.bandwidths or description.session.bandwidths),
    )


@dataclass(frozen=True, slots=True)
class _Codecs:
    """Codecs of one section, in the order of the m= line."""

    names: Mapping[int, str]
    """Encoding in lower case, for example ``"opus/48000/2"``, by payload type."""
    parameters: Mapping[int, str]
    """Text of the ``a=fmtp`` line by payload type."""

    @classmethod
    def read(cls, section: MediaSection) -> _Codecs:
        maps: dict[int, str] = {}
        for text in section.attributes.get("rtpmap", ()):
            match = _RTPMAP.fullmatch(text)
            if match is not None and int(match[1]) <= 127:
                maps.setdefault(int(match[1]), text.split()[1].lower())
        parameters: dict[int, str] = {}
        for text in section.attributes.get("fmtp", ()):
            payload_type, _, rest = text.partition(" ")
            if _NUMBER.fullmatch(payload_type):
                parameters.setdefault(int(payload_type), rest.strip())
        offered = [int(text) for text in section.formats if _NUMBER.fullmatch(text)]
        return cls({number: maps[number] for number in offered if number in maps}, parameters)

    def opus_and_red(self) -> tuple[int, int | None]:
        """Return the first payload type of Opus, and that of RED with 2 to 32 blocks of this Opus only, or None.

        64 to 95 are excluded, as they look like RTCP (RFC 5761, 4).
        """
        found = [number for number, name in self.names.items() if name == "opus/48000/2" and not 64 <= number <= 95]
        if not found:
            raise UnusableSdpError("the audio section has no opus/48000/2, the only supported codec (RFC 7587, 7)")
        for number, name in self.names.items():
            blocks = self.parameters.get(number, "").split("/")
            if name == "red/48000/2" and 2 <= len(blocks) <= 32 and set(blocks) == {str(found[0])}:
                return found[0], number
        return found[0], None


def payload_types(section: MediaSection) -> tuple[int, int | None]:
    """Return the payload types of Opus and of RED that carries it, or None.

    Raises:
        UnusableSdpError: The section has no Opus.
    """
    return _Codecs.read(section).opus_and_red()


def is_rtp(section: MediaSection) -> bool:
    """Return whether the section carries RTP (always DTLS-SRTP)."""
    return _PROTOCOL.fullmatch(section.protocol) is not None


def direction_of(description: SessionDescription, section: MediaSection) -> Direction:
    """Return the direction of a section, from the point of view of the description's author; of several, the last."""
    for level in (section.attributes, description.session.attributes):
        for name in reversed(level):
            if name in _DIRECTIONS:
                return _DIRECTIONS[name]
    return "sendrecv"  # RFC 8866, 6.7: the default.


def _setup(scope: Scope, default: Setup) -> Setup:
    text = first(scope, "setup")
    if text is None:
        return default
    if text.lower() not in _SETUPS:
        raise SdpError(f"malformed a=setup: {shorten(text)}")
    return _SETUPS[text.lower()]


def _fingerprints(scope: Scope) -> tuple[Fingerprint, ...]:
    offered = [Fingerprint.parse(text) for text in scope.get("fingerprint", ())]
    for algorithm, length in _DIGEST_BYTES.items():
        chosen = tuple(one for one in offered if one.algorithm == algorithm)
        if any(len(one.value) != 3 * length - 1 for one in chosen):
            raise SdpError(f"malformed a=fingerprint: {algorithm} has {length} bytes; the value has another length")
        if chosen:
            return chosen
    named = ", ".join(sorted({shorten(one.algorithm) for one in offered})[:3]) or "none"
    raise UnusableSdpError(f"no accepted a=fingerprint: got {named}; expected sha-256, sha-384 or sha-512")


def _ssrc_lines(section: MediaSection) -> dict[int, str]:
    """Return one attribute of each synchronization source (RFC 5576, 4.1): ``cname``, or else the first."""
    sources: dict[int, str] = {}
    for text in section.attributes.get("ssrc", ()):
        number, _, attribute = text.partition(" ")
        if not _NUMBER.fullmatch(number) or int(number) >= 2**32:
            raise SdpError(f"malformed a=ssrc: {shorten(text)}")
        if attribute.startswith("cname:") or int(number) not in sources:
            sources[int(number)] = attribute
    return sources


def _milliseconds(attributes: Mapping[str, list[str]], name: str) -> float | None:
    text = first(attributes, name)
    if text is None or not _MILLISECONDS.fullmatch(text):
        return None
    return float(text) or None


def _bandwidth_bps(lines: Sequence[str]) -> int | None:
    limits: dict[str, int] = {}
    for line in lines:
        kind, _, text = line.partition(":")
        if kind in ("AS", "TIAS"):
            if not _NUMBER.fullmatch(text):
                raise SdpError(f"malformed b= line: {shorten(line)}")
            limits[kind] = int(text) * (1000 if kind == "AS" else 1)
    return limits.get("TIAS", limits.get("AS")) or None
