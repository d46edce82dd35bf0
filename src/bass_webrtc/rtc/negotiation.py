"""Offer and answer (RFC 3264, RFC 9429, 5): which descriptions are refused, and what we say ourselves.

One audio section is used; all others are refused with port 0. What an answer contains was offered: no header
extension, no feedback, no ICE option that the offer did not name (RFC 9429, 5.3.1).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .remote_audio import Direction, RemoteAudio, direction_of, is_rtp, read_audio
from .sdp import MediaSection, SessionDescription, UnusableSdpError

Role = Literal["player", "publisher", "any"]
"""Who made the offer: a WHEP player, a WHIP client, or somebody whose program does the signaling."""

ICE_OPTIONS = ("trickle", "ice2")
"""What we support (RFC 8838, RFC 8445)."""

_ANSWERS: dict[Direction, tuple[Direction, ...]] = {
    "sendrecv": ("sendrecv", "sendonly", "recvonly"),
    "sendonly": ("recvonly",),
    "recvonly": ("sendonly",),
    "inactive": (),
}
"""Directions with which an answer lets audio flow, by that of the offer (RFC 3264, 6.1)."""


@dataclass(frozen=True, slots=True)
class Offer:
    """An offer that we can answer."""

    audio: RemoteAudio
    description: SessionDescription

    @property
    def section(self) -> MediaSection:
        """The audio section."""
        return self.description.media[self.audio.mline_index]

    @property
    def carrier(self) -> MediaSection | None:
        """The section that lends the audio section its transport, when the audio has none of its own, or None.

        With ``bundlePolicy: "max-bundle"`` a browser gathers candidates for the first section of the bundle only.
        RFC 9143, 7.3 has no answer that refuses that one and takes another, and Chrome fails to apply it. So it is
        accepted as well, inactive.
        """
        tagged = self.description.tagged_of(self.section)
        if tagged is None or tagged is self.section or tagged.port == 0 or not is_rtp(tagged):
            return None
        is_borrowed = "candidate" in tagged.attributes and "candidate" not in self.section.attributes
        return tagged if is_borrowed or self.section.is_bundle_only else None

    @property
    def answer_setup(self) -> Literal["active", "passive"]:
        """Our DTLS role in the answer: active means client (RFC 8842, 5.3).

        Active where we may choose, as RFC 9429, 5.3.1 asks: the handshake then starts half a round trip earlier.
        """
        return "passive" if self.audio.setup == "active" else "active"

    @property
    def answer_ice_options(self) -> tuple[str, ...]:
        """The ICE options of ours that the offer has, too: those of the answer and of its ICE restarts."""
        return tuple(option for option in ICE_OPTIONS if option in self.audio.ice_options)


def read_offer(data: bytes | str, *, role: Role = "any", strict: bool = False, local_ice_lite: bool = False) -> Offer:
    """Read an offer and decide whether we can answer it.

    Args:
        data: The session description.
        role: ``"player"`` must want to receive, ``"publisher"`` must want to send, ``"any"`` one of both.
        strict: Refuse a publisher that offers anything besides one audio section (RFC 9725, 4.4.3).
        local_ice_lite: Whether our side is ICE-lite; then the other side must not be (RFC 8445, 6.1.1).

    Raises:
        SdpError: The offer is malformed: HTTP 400.
        UnusableSdpError: It is well formed, but we cannot answer it: HTTP 422.
    """
    description = SessionDescription.parse(data)
    offered = [section for section in description.media if section.is_offered]
    audio = read_audio(description, _only_audio(offered), default_setup="active")
    if audio.setup == "holdconn":
        raise UnusableSdpError("a=setup:holdconn asks for no connection at all (RFC 4145, 4)")
    if audio.ice_lite and local_ice_lite:
        raise UnusableSdpError("both sides are ICE-lite, so nobody would check the path (RFC 8445, 6.1.1)")
    _check_direction(audio, role)
    if role == "publisher":
        _check_one_stream(offered)
        if strict and len(offered) > 1:
            raise UnusableSdpError(f"{len(offered)} media sections are offered, and only audio is taken")
    return Offer(audio, description)


def read_answer(data: bytes | str, offer: bytes | str) -> RemoteAudio:
    """Read the answer to an offer of ours and decide whether it can be used.

    Args:
        data: The answer.
        offer: The offer, as ``build_offer`` made it.

    Raises:
        SdpError: The answer is malformed.
        UnusableSdpError: It is well formed, but does not answer our offer, or refuses the audio.
    """
    description, ours = SessionDescription.parse(data), SessionDescription.parse(offer)
    _check_sections(description, ours)
    offered = _only_audio([section for section in ours.media if section.is_offered])
    section = description.media[offered.index]
    if section.port == 0:
        raise UnusableSdpError("the answer refuses the audio section")
    audio = read_audio(description, section, default_setup="passive")
    if audio.setup not in ("active", "passive"):
        raise UnusableSdpError(f"the answer says a=setup:{audio.setup}; expected active or passive (RFC 8842, 5.3)")
    if str(audio.payload_type) not in offered.formats:
        raise UnusableSdpError(f"the answer has Opus as payload type {audio.payload_type}, which was not offered")
    our_direction = direction_of(ours, offered)
    if audio.direction not in _ANSWERS[our_direction]:
        raise UnusableSdpError(f"the answer is {audio.direction}, and our offer was {our_direction}")
    return audio


def _check_sections(answer: SessionDescription, offer: SessionDescription) -> None:
    """RFC 3264, 6: as many sections, in the same order; RFC 9429, 5.3.1: each with its mid and protocol."""
    if len(answer.media) != len(offer.media):
        raise UnusableSdpError(f"the answer has {len(answer.media)} media sections, our offer {len(offer.media)}")
    for theirs, ours in zip(answer.media, offer.media, strict=True):
        if (theirs.kind, theirs.mid, theirs.protocol) != (ours.kind, ours.mid, ours.protocol):
            raise UnusableSdpError(f"kind, mid or protocol of section {ours.index} of the answer is not as offered")


def _only_audio(offered: list[MediaSection]) -> MediaSection:
    audio = [section for section in offered if section.kind == "audio"]
    if len(audio) != 1:
        raise UnusableSdpError(f"{len(audio)} audio sections are offered; expected exactly one")
    return audio[0]


def _check_direction(audio: RemoteAudio, role: Role) -> None:
    if role == "player" and not audio.receives:
        raise UnusableSdpError(f"a player's offer is {audio.direction}; expected recvonly or sendrecv")
    if role == "publisher" and not audio.sends:
        raise UnusableSdpError(f"a publisher's offer is {audio.direction}; expected sendonly or sendrecv")
    if audio.direction == "inactive":
        raise UnusableSdpError("the offer is inactive: no audio would flow in either direction")


def _check_one_stream(offered: list[MediaSection]) -> None:
    """RFC 9725, 4.4.2: all tracks belong to one MediaStream. No msid, or "-", names no stream (RFC 8830, 2)."""
    streams = {text.split(" ")[0] for section in offered for text in section.attributes.get("msid", ())}
    if len(streams - {"-", ""}) > 1:
        raise UnusableSdpError("tracks of more than one MediaStream are offered; expected one (RFC 9725, 4.4.2)")
