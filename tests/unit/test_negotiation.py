"""Offers and answers that are accepted, malformed (400) or unusable (422)."""

from __future__ import annotations

import contextlib
import time

import offers
import pytest
from hypothesis import given
from hypothesis import strategies as st
from offers import changed, crlf, without

from bass_webrtc.errors import SdpError
from bass_webrtc.rtc.negotiation import Role, read_answer, read_offer
from bass_webrtc.rtc.sdp import UnusableSdpError
from support.conformance import covers

PLAYERS = ["CHROME", "CHROME_RECVONLY", "SAFARI", "FIREFOX", "MEDIAMTX_READER", "MEDOOZE"]
PUBLISHERS = [
    "CHROME", "OBS", "FFMPEG", "GSTREAMER", "MEDIAMTX_PUBLISHER", "EYEVINN_PUBLISHER", "MEDOOZE_PUBLISHER", "RFC_STYLE",
    "LF_ONLY", "BUNDLE_ONLY_AUDIO", "MID_OF_40_BYTES",
]  # fmt: skip


def with_direction(direction: str) -> str:
    return changed(offers.RFC_STYLE, "a=sendonly", f"a={direction}")


@covers("ES1")
@pytest.mark.parametrize("name", PLAYERS)
def test_offers_of_players_are_accepted(name: str) -> None:
    assert read_offer(getattr(offers, name), role="player").audio.receives


@covers("WS2")
@pytest.mark.parametrize("name", PUBLISHERS)
def test_offers_of_publishers_are_accepted(name: str) -> None:
    assert read_offer(getattr(offers, name), role="publisher").audio.sends


@covers("WS7", "WS8", "WS9", "ES5", "SE3", "SE4", "SD4")
@pytest.mark.parametrize(
    ("sdp", "reason"),
    [
        (offers.NO_RTCP_MUX, "rtcp-mux"),
        (offers.NO_FINGERPRINT, "fingerprint"),
        (offers.SHA1_ONLY, "fingerprint"),
        (offers.NO_OPUS, "opus"),
        (offers.SDES, "crypto"),
        (offers.UFRAG_OF_3_CHARS, "ice-ufrag"),
        (without(offers.RFC_STYLE, "a=ice-ufrag", "a=ice-pwd"), "ice-ufrag"),
        (offers.TWO_AUDIO, "2 audio sections"),
        (changed(offers.RFC_STYLE, "m=audio", "m=video"), "0 audio sections"),
        (changed(offers.RFC_STYLE, "m=audio 9", "m=audio 0"), "0 audio sections"),
        (crlf("v=0\no=- 1 1 IN IP4 0.0.0.0\ns=-\nt=0 0"), "0 audio sections"),
        (changed(offers.RFC_STYLE, "UDP/TLS/RTP/SAVPF", "UDP/DTLS/SCTP"), "UDP/DTLS/SCTP"),
        (changed(offers.RFC_STYLE, "setup:actpass", "setup:holdconn"), "holdconn"),
        (with_direction("inactive"), "inactive"),
    ],
    ids=lambda value: value if len(value) < 40 else "offer",
)
@pytest.mark.parametrize("role", ["publisher", "any"])
def test_unusable_offers_are_rejected_with_a_reason(sdp: str, reason: str, role: Role) -> None:
    with pytest.raises(UnusableSdpError, match=reason):
        read_offer(sdp, role=role)


@covers("WS2")
@pytest.mark.parametrize("sdp", [with_direction("recvonly"), with_direction("inactive"), offers.RECVONLY_TO_WHIP])
def test_publisher_that_does_not_send_is_unusable(sdp: str) -> None:
    with pytest.raises(UnusableSdpError, match="publisher's offer is"):
        read_offer(sdp, role="publisher")


@covers("ES1")
@pytest.mark.parametrize("sdp", [with_direction("sendonly"), with_direction("inactive"), offers.SENDONLY_TO_WHEP])
def test_player_that_does_not_receive_is_unusable(sdp: str) -> None:
    with pytest.raises(UnusableSdpError, match="player's offer is"):
        read_offer(sdp, role="player")


@pytest.mark.parametrize(
    "sdp", ["", "hello", "{}", offers.RFC_STYLE[10:], changed(offers.RFC_STYLE, "a=mid:0", "a mid")]
)
def test_malformed_offer_is_not_reported_as_unusable(sdp: str) -> None:
    with pytest.raises(SdpError) as raised:
        read_offer(sdp)
    assert raised.type is SdpError


@covers("WS7")
def test_rtcp_mux_only_does_not_replace_rtcp_mux() -> None:
    with pytest.raises(UnusableSdpError, match="rtcp-mux"):
        read_offer(changed(offers.RFC_STYLE, "a=rtcp-mux\r\n", ""))


@covers("WS8")
@pytest.mark.parametrize(
    ("setup", "ours"), [("actpass", "active"), ("active", "passive"), ("passive", "active"), (None, "passive")]
)
def test_our_dtls_role_complements_the_peers(setup: str | None, ours: str) -> None:
    line = f"a=setup:{setup}\r\n" if setup else ""
    assert read_offer(changed(offers.RFC_STYLE, "a=setup:actpass\r\n", line)).answer_setup == ours


@covers("WS9")
def test_publisher_with_tracks_of_two_streams_is_unusable() -> None:
    head, second = offers.AUDIO_AND_VIDEO.rsplit("a=msid:d46fb922", 1)
    two_streams = f"{head}a=msid:e57fc033{second}"
    assert read_offer(offers.AUDIO_AND_VIDEO, role="publisher")
    with pytest.raises(UnusableSdpError, match="more than one MediaStream"):
        read_offer(two_streams, role="publisher")
    assert read_offer(two_streams), "applications with their own signaling may use several streams"


@covers("WS9")
@pytest.mark.parametrize("msid", ["", "a=msid:- ce326ecf\r\n", "a=msid:-\r\n"])
def test_track_without_stream_is_accepted(msid: str) -> None:
    line = next(line for line in offers.RFC_STYLE.splitlines(keepends=True) if line.startswith("a=msid"))
    sdp = changed(offers.RFC_STYLE, line, msid)
    assert read_offer(sdp, role="publisher")


@covers("WS10")
def test_audio_and_video_are_rejected_in_strict_mode_only() -> None:
    assert read_offer(offers.AUDIO_AND_VIDEO, role="publisher").audio.mline_index == 0
    with pytest.raises(UnusableSdpError, match="only audio"):
        read_offer(offers.AUDIO_AND_VIDEO, role="publisher", strict=True)


@covers("ES4")
def test_player_that_offers_video_is_accepted_in_strict_mode() -> None:
    assert read_offer(offers.MEDIAMTX_READER, role="player", strict=True).audio.mid == "1"


@covers("WS10")
def test_stopped_section_does_not_count() -> None:
    head, second = offers.TWO_AUDIO.rsplit("m=audio 9", 1)
    stopped = f"{head}m=audio 0{second}"
    assert read_offer(stopped, role="publisher", strict=True).audio.mid == "0"


@covers("WS11")
def test_ice_lite_offer_needs_a_full_agent() -> None:
    lite = changed(offers.RFC_STYLE, "t=0 0\r\n", "t=0 0\r\na=ice-lite\r\n")
    assert read_offer(lite).audio.ice_lite
    with pytest.raises(UnusableSdpError, match="ICE-lite"):
        read_offer(lite, local_ice_lite=True)
    assert read_offer(offers.RFC_STYLE, local_ice_lite=True)


@covers("SD5", "SE70")
@pytest.mark.parametrize(
    "sdp",
    [
        offers.RFC_STYLE + "a=candidate:1 1 udp 2122260223 192.0.2.44 54609 typ host generation 0\r\n" * 1500,
        offers.RFC_STYLE + "a=x\r\n" * 10_000,
        offers.RFC_STYLE + "m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:{}\r\n" * 1000,
        offers.RFC_STYLE + "".join(f"m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:v{n}\r\n" for n in range(1000)),
        offers.RFC_STYLE + "a=rtpmap:96 x/1\r\n" * 6000,
        offers.RFC_STYLE + "".join(f"a=ssrc:{n} cname:x\r\n" for n in range(6000)),
        offers.RFC_STYLE + f"a=fingerprint:sha-256 {offers.SHA256}\r\n" * 1000,
        changed(offers.RFC_STYLE, "t=0 0\r\n", "t=0 0\r\n" + "a=group:BUNDLE 1 2 3\r\n" * 5000),
        changed(offers.RFC_STYLE, "SAVPF 111", "SAVPF" + " 96" * 40_000 + " 111"),
    ],
    ids=["candidates", "attributes", "same mids", "sections", "rtpmaps", "ssrcs", "fingerprints", "groups", "formats"],
)
def test_offer_of_128_kib_takes_less_than_half_a_second(sdp: str) -> None:
    start_s = time.process_time()
    with contextlib.suppress(SdpError):
        read_offer(sdp, role="publisher")
    assert time.process_time() - start_s < 0.5


@covers("SE70")
@given(st.binary() | st.text(), st.sampled_from(["player", "publisher", "any"]), st.booleans())
def test_any_input_raises_only_sdp_error(data: bytes | str, role: Role, strict: bool) -> None:
    with pytest.raises(SdpError):
        read_offer(data, role=role, strict=strict)


# ------------------------------------------------------------------------------------------- answers to our offers

ANSWER = changed(changed(offers.RFC_STYLE, "a=sendonly", "a=recvonly"), "a=setup:actpass", "a=setup:passive")
"""A media server's answer to a publisher that offers ``offers.RFC_STYLE``."""


@covers("CL13")
def test_valid_answer_is_parsed() -> None:
    audio = read_answer(ANSWER, offers.RFC_STYLE)
    assert (audio.mid, audio.direction, audio.setup, audio.payload_type) == ("0", "recvonly", "passive", 111)


@covers("CL13")
@pytest.mark.parametrize(
    ("sdp", "reason"),
    [
        (changed(ANSWER, "setup:passive", "setup:actpass"), "expected active or passive"),
        (changed(ANSWER, "setup:passive", "setup:holdconn"), "expected active or passive"),
        (changed(ANSWER, "m=audio 9", "m=audio 0"), "rejects the audio"),
        (changed(ANSWER, "a=mid:0", "a=mid:1"), "section 0"),
        (changed(ANSWER, "m=audio", "m=video"), "section 0"),
        (ANSWER + "m=video 0 UDP/TLS/RTP/SAVPF 96\r\n", "2 media sections"),
        (ANSWER[: ANSWER.index("m=")], "0 media sections"),
        (changed(ANSWER, "opus/48000/2", "PCMU/8000"), "opus"),
        (changed(ANSWER, "a=rtcp-mux\r\n", ""), "rtcp-mux"),
        (without(ANSWER, "a=fingerprint"), "fingerprint"),
        (without(ANSWER, "a=ice-pwd", "a=ice-ufrag"), "ice-ufrag"),
        (changed(ANSWER, offers.UFRAG, "abc"), "ice-ufrag"),
        (changed(ANSWER, "a=recvonly", "a=sendonly"), "is sendonly"),
        (changed(ANSWER, "a=recvonly", "a=sendrecv"), "is sendrecv"),
        (changed(ANSWER, "a=recvonly", "a=inactive"), "is inactive"),
    ],
)
def test_answer_that_does_not_match_our_offer_is_unusable(sdp: str, reason: str) -> None:
    with pytest.raises(UnusableSdpError, match=reason):
        read_answer(sdp, offers.RFC_STYLE)


@covers("CL13")
@pytest.mark.parametrize(
    "sdp",
    [
        without(ANSWER, "a=mid"),
        changed(ANSWER, "a=mid:0", "a=mid:"),
        changed(ANSWER, "UDP/TLS/RTP/SAVPF", "RTP/SAVPF"),
        changed(ANSWER, "a=mid:0", "a=mid:0\r\na=ptime:0\r\na=maxptime:x"),
        changed(ANSWER, "a=mid:0", "a=mid:0\r\na=candidate:1 1 udp"),
    ],
    ids=["no mid", "empty mid", "other profile", "ptime 0", "malformed candidate"],
)
def test_answer_is_accepted_as_browsers_accept_it(sdp: str) -> None:
    assert read_answer(sdp, offers.RFC_STYLE).payload_type == 111


def test_answer_may_renumber_the_payload_types_it_receives() -> None:
    """RFC 3264, 6.1: the numbers in the answer are for what we send, those of our offer for what we receive."""
    answer = changed(changed(offers.CHROME, "actpass", "passive"), "111", "96")
    audio = read_answer(answer, offers.CHROME)
    assert (audio.payload_type, audio.red_payload_type) == (96, 63)
    assert (audio.sent_payload_type, audio.sent_red_payload_type) == (111, 63)


@covers("CL21")
def test_answer_to_player_must_send() -> None:
    player = changed(offers.RFC_STYLE, "a=sendonly", "a=recvonly")
    sending = changed(ANSWER, "a=recvonly", "a=sendonly")
    assert read_answer(sending, player).sends
    with pytest.raises(UnusableSdpError, match="is recvonly"):
        read_answer(ANSWER, player)


def test_answer_without_setup_is_passive() -> None:
    assert read_answer(without(ANSWER, "a=setup"), offers.RFC_STYLE).setup == "passive"


@pytest.mark.parametrize("data", ["", b"\xff", "<html>not found</html>", changed(ANSWER, "a=mid:0", "mid=0")])
def test_malformed_answer_is_not_reported_as_unusable(data: bytes | str) -> None:
    with pytest.raises(SdpError) as raised:
        read_answer(data, offers.RFC_STYLE)
    assert raised.type is SdpError


_answer_lines = st.lists(st.tuples(st.integers(0, 30), st.sampled_from(ANSWER.split("\r\n")) | st.text(max_size=30)))


@covers("SE70")
@given(_answer_lines)
def test_answer_with_any_lines_replaced_is_parsed_or_raises_sdp_error(edits: list[tuple[int, str]]) -> None:
    lines = ANSWER.split("\r\n")
    for number, line in edits:
        lines[number % len(lines)] = line
    with contextlib.suppress(SdpError):
        assert read_answer("\r\n".join(lines), offers.RFC_STYLE).payload_type == 111
