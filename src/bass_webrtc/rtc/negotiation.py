"""Offer/answer negotiation: decides which remote descriptions we can use (RFC 3264; RFC 9429, 5).

One audio section is used; all others are rejected with port 0. An answer contains only what the offer contains: no
header extension, feedback or ICE option that was not offered (RFC 9429, 5.3.1).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from .remote_audio import Direction, RemoteAudio, direction_of, is_rtp, payload_types, read_audio
from .sdp import MediaSection, SessionDescription, UnusableSdpError

Role = Literal["player", "publisher", "sendrecv", "any"]
"""Who made the offer: a WHEP player, a WHIP client, a caller, or any peer of an application that does its own
signaling."""

ICE_OPTIONS = ("trickle", "ice2")
"""The ICE options we support (RFC 8838, RFC 8445)."""

_ANSWERS: dict[Direction, tuple[Direction, ...]] = {
    "sendrecv": ("sendrecv", "sendonly", "recvonly"),
    "sendonly": ("recvonly",),
    "recvonly": ("sendonly",),
    "inactive": (),
}
"""Directions of an answer that let audio flow, by the direction of the offer (RFC 3264, 6.1)."""


@dataclass(frozen=True, slots=True)
class Offer:
    """A remote offer that we can answer."""

    audio: RemoteAudio
    description: SessionDescription

    @property
    def section(self) -> MediaSection:
        """The audio section."""
        return self.description.media[self.audio.mline_index]

    @property
    def transport_section(self) -> MediaSection | None:
        """The bundled section whose transport the audio section uses; None if the audio section has its own.

        With ``bundlePolicy: "max-bundle"`` a browser gathers candidates for the first section of the bundle only.
        RFC 9143, 7.3 does not allow an answer to reject that section and accept another of the bundle, and Chrome
        fails to apply such an answer. So this section is accepted too, as inactive.
        """
        tagged = self.description.tagged_of(self.section)
        if tagged is None or tagged is self.section or tagged.port == 0 or not is_rtp(tagged):
            return None
        is_borrowed = "candidate" in tagged.attributes and "candidate" not in self.section.attributes
        return tagged if is_borrowed or self.section.is_bundle_only else None

    @property
    def answer_setup(self) -> Literal["active", "passive"]:
        """Our DTLS role in the answer; active means client (RFC 8842, 5.3).

        Active if the offer leaves the choice to us (RFC 9429, 5.3.1): the handshake starts half a round trip earlier.
        """
        return "passive" if self.audio.setup == "active" else "active"

    @property
    def answer_ice_options(self) -> tuple[str, ...]:
        """The ICE options that both sides support, used in the answer and in its ICE restarts."""
        return tuple(option for option in ICE_OPTIONS if option in self.audio.ice_options)


def read_offer(data: bytes | str, *, role: Role = "any", strict: bool = False, local_ice_lite: bool = False) -> Offer:
    """Read an offer and decide whether we can answer it.

    Args:
        data: The session description.
        role: A ``"player"`` must offer to receive, a ``"publisher"`` to send, ``"sendrecv"`` both, ``"any"`` one of the
            two.
        strict: Reject a publisher that offers other sections besides one audio section (RFC 9725, 4.4.3).
        local_ice_lite: Whether we are ICE-lite; if so, the peer must not be (RFC 8445, 6.1.1).

    Raises:
        SdpError: The offer is malformed (HTTP 400).
        UnusableSdpError: The offer is well formed, but we cannot answer it (HTTP 422).
    """
    description = SessionDescription.parse(data)
    offered = [section for section in description.media if section.is_offered]
    audio = read_audio(description, _only_audio(offered), default_setup="active")
    if audio.setup == "holdconn":
        raise UnusableSdpError("the offer has a=setup:holdconn; expected actpass, active or passive (RFC 4145, 4)")
    if audio.ice_lite and local_ice_lite:
        raise UnusableSdpError(
            "the offer is ICE-lite and so is this server; one side must be a full ICE agent (RFC 8445, 6.1.1)"
        )
    _check_direction(audio, role)
    if role == "publisher":
        _check_one_stream(offered)
        if strict and len(offered) > 1:
            raise UnusableSdpError(f"the offer has {len(offered)} media sections; expected only audio (strict mode)")
    return Offer(audio, description)


def read_answer(data: bytes | str, offer: bytes | str) -> RemoteAudio:
    """Read the answer to one of our offers and decide whether we can use it.

    Args:
        data: The answer.
        offer: Our offer, from ``build_offer``.

    Raises:
        SdpError: The answer is malformed.
        UnusableSdpError: The answer is well formed, but does not match our offer, or rejects the audio.
    """
    description, ours = SessionDescription.parse(data), SessionDescription.parse(offer)
    _check_sections(description, ours)
    offered = _only_audio([section for section in ours.media if section.is_offered])
    section = description.media[offered.index]
    if section.port == 0:
        raise UnusableSdpError("the answer rejects the audio section (port 0)")
    audio = read_audio(description, section, default_setup="passive")
    if audio.setup not in ("active", "passive"):
        raise UnusableSdpError(f"the answer has a=setup:{audio.setup}; expected active or passive (RFC 8842, 5.3)")
    our_direction = direction_of(ours, offered)
    expected = _ANSWERS[our_direction]
    if audio.direction not in expected:
        raise UnusableSdpError(
            f"the answer is {audio.direction}; expected {' or '.join(expected)}, since our offer is {our_direction}"
        )
    opus, red = payload_types(offered)
    return replace(audio, sent_payload_type=opus, sent_red_payload_type=None if audio.red_payload_type is None else red)


def _check_sections(answer: SessionDescription, offer: SessionDescription) -> None:
    """Check that the sections match ours: number and order (RFC 3264, 6), and mid (RFC 9429, 5.3.1).

    An answer without mids is taken in the order of our sections, and any profile means DTLS-SRTP, as in Chromium.
    """
    if len(answer.media) != len(offer.media):
        raise UnusableSdpError(
            f"the answer has {len(answer.media)} media sections; expected {len(offer.media)}, as offered"
        )
    for theirs, ours in zip(answer.media, offer.media, strict=True):
        if theirs.kind != ours.kind or theirs.mid not in (None, ours.mid):
            raise UnusableSdpError(f"section {ours.index} of the answer differs from our offer in kind or mid")


def _only_audio(offered: list[MediaSection]) -> MediaSection:
    audio = [section for section in offered if section.kind == "audio"]
    if len(audio) != 1:
        raise UnusableSdpError(f"the offer has {len(audio)} audio sections; expected one")
    return audio[0]


def _check_direction(audio: RemoteAudio, role: Role) -> None:
    if role == "player" and not audio.receives:
        raise UnusableSdpError(f"a player's offer is {audio.direction}; expected recvonly or sendrecv")
    if role == "publisher" and not audio.sends:
        raise UnusableSdpError(f"a publisher's offer is {audio.direction}; expected sendonly or sendrecv")
    if role == "sendrecv" and audio.direction != "sendrecv":
        raise UnusableSdpError(f"a caller's offer is {audio.direction}; expected sendrecv")
    if audio.direction == "inactive":
        raise UnusableSdpError("the offer is inactive; expected sendrecv, sendonly or recvonly")


def _check_one_stream(offered: list[MediaSection]) -> None:
    """Check that all tracks belong to one MediaStream (RFC 9725, 4.4.2). Tracks without an msid, or with "-", have none
    (RFC 8830, 2)."""
    streams = {text.split(" ")[0] for section in offered for text in section.attributes.get("msid", ())}
    if len(streams - {"-", ""}) > 1:
        raise UnusableSdpError("the offer has tracks of more than one MediaStream; expected one (RFC 9725, 4.4.2)")
