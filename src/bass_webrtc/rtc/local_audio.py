"""Builds our offers and answers with one audio section (RFC 9429, 5.2.1 and 5.3.1)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from .candidate import Candidate
from .negotiation import ICE_OPTIONS, Offer
from .opus_parameters import OpusParameters
from .remote_audio import Direction
from .sdp import Fingerprint, IceCredentials, MediaSection

SEND_RTCP_MUX_ONLY = True
"""RFC 9725, 4.4.1 (WHIP) requires ``a=rtcp-mux-only`` in answers; RFC 8858, 3 forbids it. We follow the newer RFC."""

_OFFER_PROTOCOL = "UDP/TLS/RTP/SAVPF"
_OFFER_OPUS = 111
_OFFER_RED = 63

_RTPMAP = re.compile(r"[0-9]{1,3} +[!-.0-~]+/[0-9]+(?:/[!-~]+)?")


@dataclass(frozen=True, slots=True)
class LocalAudio:
    """Our side of a session description."""

    ice: IceCredentials
    fingerprint: Fingerprint
    direction: Direction
    """The direction we support; an answer uses the part that the offer allows."""
    ssrc: int
    cname: str
    stream_id: str
    track_id: str
    session_id: int
    """Session ID of the ``o=`` line: random, below 2**63 (RFC 9429, 5.2.1)."""
    candidates: tuple[Candidate, ...] = ()
    """The first is the default destination, and the only one that some clients use."""
    end_of_candidates: bool = True
    """Whether ``candidates`` is complete."""
    ice_lite: bool = False
    opus: OpusParameters = field(default_factory=lambda: OpusParameters(stereo=True, use_inband_fec=True))
    """What we want to receive (RFC 8854, 4.2 recommends in-band FEC); ``sprop_stereo`` describes what we send."""
    red: bool = False
    """Accept RED if it is offered."""
    nack: bool = False
    """Accept generic NACK if it is offered."""
    ptime_ms: int | None = None
    max_ptime_ms: int | None = None


@dataclass(frozen=True, slots=True)
class _Section:
    """The negotiated parameters of our audio section."""

    mid: str | None
    protocol: str
    direction: Direction
    setup: Literal["actpass", "active", "passive"]
    opus: int
    red: int | None
    nack: bool
    rtcp_rsize: bool
    ice_options: tuple[str, ...]
    default: Candidate | None
    """Default destination of the m= and c= lines; None writes port 9 and 0.0.0.0 (RFC 9429, 5.2.1)."""


def build_answer(offer: Offer, local: LocalAudio) -> str:
    """Build the answer to an offer.

    It has as many m= lines as the offer. All are rejected except the audio section and its transport section.

    Args:
        offer: The offer, from ``read_offer``.
        local: Our side. It must contain all candidates: a server does not trickle (RFC 9725, 4.3.2).

    Returns:
        The answer, with CRLF line ends.
    """
    audio = offer.audio
    section = _Section(
        mid=audio.mid,
        protocol=audio.protocol,
        direction=_direction(
            sends=audio.receives and local.direction in ("sendrecv", "sendonly"),
            receives=audio.sends and local.direction in ("sendrecv", "recvonly"),
        ),
        setup=offer.answer_setup,
        opus=audio.payload_type,
        red=audio.red_payload_type if local.red else None,
        nack=audio.nack and local.nack,
        rtcp_rsize=audio.rtcp_rsize,
        ice_options=offer.answer_ice_options,
        default=local.candidates[0] if local.candidates else None,
    )
    transport_section = offer.transport_section
    bundle = offer.description.bundle_of(offer.section)
    accepted = [media.mid for media in (transport_section, offer.section) if media is not None]
    lines = _session_lines(local, [mid for mid in accepted if mid is not None and mid in bundle])
    for media in offer.description.media:
        if media is offer.section:
            lines += _audio_lines(section, local)
        elif media is transport_section:
            lines += _inactive_lines(media, section, local)
        else:
            lines += _refusal_lines(media, section, local)
    return _join(lines)


def build_offer(local: LocalAudio, *, mid: str = "0") -> str:
    """Build an offer with one audio section, for our clients.

    Args:
        local: Our side, with the candidates known so far.
        mid: The mid of the section; some servers require a number.

    Returns:
        The offer, with CRLF line ends.
    """
    section = _Section(
        mid=mid,
        protocol=_OFFER_PROTOCOL,
        direction=local.direction,
        setup="actpass",
        opus=_OFFER_OPUS,
        red=_OFFER_RED if local.red else None,
        nack=local.nack,
        rtcp_rsize=True,
        ice_options=ICE_OPTIONS,
        default=None,
    )
    return _join(_session_lines(local, [mid]) + _audio_lines(section, local))


def _session_lines(local: LocalAudio, bundle: list[str]) -> list[str]:
    lines = ["v=0", f"o=- {local.session_id} 1 IN IP4 0.0.0.0", "s=-", "t=0 0"]
    if bundle:
        lines.append(f"a=group:BUNDLE {' '.join(bundle)}")
    if local.ice_lite:
        lines.append("a=ice-lite")
    return lines


def _audio_lines(section: _Section, local: LocalAudio) -> list[str]:
    formats = [section.opus] if section.red is None else [section.opus, section.red]
    if section.direction in ("recvonly", "sendrecv") and section.setup != "actpass":
        # Chrome sends RED only if it comes first in the answer. In offers Opus stays first: servers are stricter.
        formats.reverse()
    return [
        f"m=audio {_port(section.default)} {section.protocol} {' '.join(map(str, formats))}",
        f"c=IN {_address(section.default)}",
        *_mid_lines(section.mid),
        f"a={section.direction}",
        *_codec_lines(section, local),
        *(_source_lines(local) if section.direction in ("sendrecv", "sendonly") else []),
        *_transport_lines(section, local),
    ]


def _codec_lines(section: _Section, local: LocalAudio) -> list[str]:
    lines = [f"a=rtpmap:{section.opus} opus/48000/2"]  # Always 48000/2, even for mono (RFC 7587, 7).
    if parameters := local.opus.to_fmtp():
        lines.append(f"a=fmtp:{section.opus} {parameters}")
    if section.nack:
        lines.append(f"a=rtcp-fb:{section.opus} nack")
    if section.red is not None:
        lines += [f"a=rtpmap:{section.red} red/48000/2", f"a=fmtp:{section.red} {section.opus}/{section.opus}"]
    if local.ptime_ms is not None:
        lines.append(f"a=ptime:{local.ptime_ms}")
    if local.max_ptime_ms is not None:
        lines.append(f"a=maxptime:{local.max_ptime_ms}")
    return lines


def _source_lines(local: LocalAudio) -> list[str]:
    return [f"a=msid:{local.stream_id} {local.track_id}", f"a=ssrc:{local.ssrc} cname:{local.cname}"]


def _transport_lines(section: _Section, local: LocalAudio) -> list[str]:
    return [
        "a=rtcp-mux",
        *(["a=rtcp-mux-only"] if SEND_RTCP_MUX_ONLY else []),
        *(["a=rtcp-rsize"] if section.rtcp_rsize else []),
        *_credential_lines(section, local),
        *([f"a=ice-options:{' '.join(section.ice_options)}"] if section.ice_options else []),
        *[f"a={candidate.to_sdp()}" for candidate in local.candidates],
        *(["a=end-of-candidates"] if local.end_of_candidates else []),
    ]


def _credential_lines(section: _Section, local: LocalAudio) -> list[str]:
    return [
        f"a=setup:{section.setup}",
        f"a=fingerprint:{local.fingerprint.to_sdp()}",
        f"a=ice-ufrag:{local.ice.ufrag}",
        f"a=ice-pwd:{local.ice.password}",
    ]


def _inactive_lines(media: MediaSection, section: _Section, local: LocalAudio) -> list[str]:
    """Return a section accepted only for its transport: inactive."""
    return [*_unused_lines(media, section.default, _port(section.default)), *_transport_lines(section, local)]


def _refusal_lines(media: MediaSection, section: _Section, local: LocalAudio) -> list[str]:
    """Return a rejected section: port 0, its mid, never bundle-only (RFC 3264, 6; RFC 9429, 5.3.1).

    An offered section with a fingerprint of its own gets ours: GStreamer refuses a whole answer otherwise ("No
    fingerprint lines in sdp for media 1").
    """
    credentials = _credential_lines(section, local) if "fingerprint" in media.attributes else []
    return [*_unused_lines(media, None, 0), *credentials]


def _unused_lines(media: MediaSection, default: Candidate | None, port: int) -> list[str]:
    """Return a section without media. It keeps one offered format, the first that has an a=rtpmap, and that line.

    RFC 3264, 6 lets the answerer write any format into a rejected section, but pion looks up each in a=rtpmap and
    refuses the whole answer without ("payload type not found"). For static payload types, an offer needs none.
    """
    offered = filter(_RTPMAP.fullmatch, reversed(media.attributes.get("rtpmap", ())))
    rtpmaps = {text.split(" ")[0]: text for text in offered}
    kept = next((name for name in media.formats if name in rtpmaps), media.formats[0])
    return [
        f"m={media.kind} {port} {media.protocol} {kept}",
        f"c=IN {_address(default)}",
        *_mid_lines(media.mid),
        "a=inactive",
        *([f"a=rtpmap:{rtpmaps[kept]}"] if kept in rtpmaps else []),
    ]


def _mid_lines(mid: str | None) -> list[str]:
    return [] if mid is None else [f"a=mid:{mid}"]


def _direction(*, sends: bool, receives: bool) -> Direction:
    if sends:
        return "sendrecv" if receives else "sendonly"
    return "recvonly" if receives else "inactive"


def _port(default: Candidate | None) -> int:
    return 9 if default is None else default.port


def _address(default: Candidate | None) -> str:
    if default is None:
        return "IP4 0.0.0.0"
    return f"IP6 {default.host}" if ":" in default.host else f"IP4 {default.host}"


def _join(lines: Iterable[str]) -> str:
    return "".join(f"{line}\r\n" for line in lines)
