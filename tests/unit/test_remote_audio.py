"""Reading the remote audio section."""

from __future__ import annotations

import contextlib

import offers
import pytest
from hypothesis import given
from hypothesis import strategies as st
from offers import changed

from bass_webrtc.errors import SdpError
from bass_webrtc.rtc.negotiation import read_offer
from bass_webrtc.rtc.opus_parameters import OpusParameters
from bass_webrtc.rtc.remote_audio import RemoteAudio
from bass_webrtc.rtc.sdp import Fingerprint, IceCredentials, UnusableSdpError
from support.conformance import covers

SHA256 = Fingerprint("sha-256", offers.SHA256)


def read(sdp: str) -> RemoteAudio:
    return read_offer(sdp).audio


def with_lines(*lines: str, sdp: str = offers.RFC_STYLE) -> str:
    return sdp + "".join(f"{line}\r\n" for line in lines)


def test_chrome_offer_with_red_is_read_completely() -> None:
    audio = read(offers.CHROME)
    assert (audio.mid, audio.mline_index, audio.protocol) == ("0", 0, "UDP/TLS/RTP/SAVPF")
    assert (audio.direction, audio.setup, audio.sends, audio.receives) == ("sendrecv", "actpass", True, True)
    assert (audio.payload_type, audio.red_payload_type, audio.nack) == (111, 63, False)
    assert audio.opus == OpusParameters(use_inband_fec=True)
    assert audio.ice == IceCredentials(offers.UFRAG, offers.PASSWORD)
    assert (audio.ice_lite, audio.trickle, audio.end_of_candidates) == (False, True, False)
    assert [candidate.transport for candidate in audio.candidates] == ["udp", "udp", "tcp"]
    assert audio.fingerprints == (SHA256,)
    assert (audio.ssrcs, audio.cname) == ((1399694169,), "Tq0rVvW8yXfE2aKd")
    assert audio.rtcp_rsize
    assert (audio.ptime_ms, audio.max_ptime_ms, audio.bandwidth_bps) == (None, None, None)


def test_session_level_attributes_of_firefox_are_used() -> None:
    audio = read(offers.FIREFOX)
    assert (audio.payload_type, audio.red_payload_type) == (109, None)
    assert audio.opus == OpusParameters(stereo=True, use_inband_fec=True)
    assert audio.fingerprints == (SHA256,)
    assert (audio.trickle, audio.end_of_candidates, audio.rtcp_rsize) == (True, True, False)
    assert audio.cname == "{b2c7e0a4-9d31-4f58-8a66-1c0d5e7f2a93}"


def test_comma_separated_ice_options_of_obs_are_accepted() -> None:
    audio = read(offers.OBS)
    assert audio.ice_options == ("ice2", "trickle")
    assert audio.candidates == ()
    assert audio.opus.max_average_bitrate_bps == 96_000


@covers("OP1")
def test_codec_name_is_case_insensitive() -> None:
    audio = read(offers.GSTREAMER)
    assert (audio.mid, audio.payload_type, audio.nack) == ("audio0", 100, True)
    assert audio.cname == "user3361274400@host-5a1c", "although the msid line of the same source comes first"


def test_audio_in_second_section_is_found() -> None:
    audio = read(offers.MEDIAMTX_READER)
    assert (audio.mid, audio.mline_index, audio.payload_type) == ("1", 1, 111)


def test_bundle_only_section_takes_transport_from_bundle() -> None:
    audio = read(offers.BUNDLE_ONLY_AUDIO)
    assert (audio.mid, audio.mline_index, audio.setup) == ("1", 1, "actpass")
    assert audio.ice == IceCredentials(offers.UFRAG, offers.PASSWORD)
    assert audio.fingerprints == (SHA256,)


def test_bundle_shares_transport_but_no_media_attributes() -> None:
    video_wants = "a=rtpmap:111 VP8/90000\r\na=rtcp-fb:* nack\r\na=ptime:60\r\na=recvonly\r\nb=AS:500"
    sdp = changed(offers.BUNDLE_ONLY_AUDIO, "a=sendonly\r\n", "")
    audio = read(changed(sdp, "a=rtpmap:111 VP8/90000", video_wants))
    assert (audio.nack, audio.ptime_ms, audio.direction, audio.bandwidth_bps) == (False, None, "sendrecv", None)


@covers("OP1")
@pytest.mark.parametrize(
    "rtpmap", ["opus/48000", "opus/48000/1", "opus/16000/2", "opus/8000", "vorbis/48000/2", "opus/48000/2/1"]
)
def test_only_opus_48000_2_is_accepted(rtpmap: str) -> None:
    with pytest.raises(UnusableSdpError, match="opus/48000/2"):
        read(changed(offers.RFC_STYLE, "opus/48000/2", rtpmap))


@covers("OP2")
def test_source_specific_fmtp_is_not_used_for_the_codec() -> None:
    sdp = changed(offers.RFC_STYLE, "a=fmtp:111 minptime=10;useinbandfec=1", "a=ssrc:5 fmtp:111 stereo=1")
    assert read(sdp).opus == OpusParameters()


@covers("OP18")
def test_payload_type_in_rtcp_range_is_rejected() -> None:
    with pytest.raises(UnusableSdpError):
        read(changed(changed(offers.RFC_STYLE, "SAVPF 111", "SAVPF 72"), "map:111", "map:72"))


def test_first_opus_of_m_line_is_used() -> None:
    sdp = changed(offers.RFC_STYLE, "SAVPF 111", "SAVPF 96 111")
    assert read(with_lines("a=rtpmap:96 opus/48000/2", "a=fmtp:96 stereo=1", sdp=sdp)).opus.stereo
    assert read(with_lines("a=rtpmap:96 opus/48000/2")).payload_type == 111


@pytest.mark.parametrize(
    ("fmtp", "red"),
    [
        ("a=fmtp:63 111/111", 63),
        ("a=fmtp:63 " + "/".join(["111"] * 32), 63),
        ("a=fmtp:63 " + "/".join(["111"] * 33), None),
        ("a=fmtp:63 111", None),
        ("a=fmtp:63 111/0", None),
        ("a=x-none", None),
    ],
)
def test_red_is_used_only_if_it_carries_the_chosen_opus(fmtp: str, red: int | None) -> None:
    assert read(changed(offers.CHROME, "a=fmtp:63 111/111", fmtp)).red_payload_type == red


@pytest.mark.parametrize(
    ("line", "nack"),
    [
        ("a=rtcp-fb:111 nack", True),
        ("a=rtcp-fb:* nack", True),
        ("a=rtcp-fb:111 nack pli", False),
        ("a=rtcp-fb:9 nack", False),
        ("a=rtcp-fb:111", False),
    ],
)
def test_nack_is_read_for_opus(line: str, nack: bool) -> None:
    assert read(with_lines(line)).nack is nack


@pytest.mark.parametrize(
    ("lines", "expected_bps"),
    [
        (["b=AS:64"], 64_000),
        (["b=TIAS:50000"], 50_000),
        (["b=AS:64", "b=TIAS:50000"], 50_000),
        (["b=CT:1", "b=X-YZ:12"], None),
        (["b=AS:0"], None),
    ],
)
def test_bandwidth_comes_from_tias_or_else_from_as(lines: list[str], expected_bps: int | None) -> None:
    assert read(with_lines(*lines)).bandwidth_bps == expected_bps


def test_session_bandwidth_is_used_if_section_has_none() -> None:
    assert read(changed(offers.RFC_STYLE, "t=0 0\r\n", "b=AS:40\r\nt=0 0\r\n")).bandwidth_bps == 40_000


def test_ptime_may_have_a_fraction() -> None:
    audio = read(with_lines("a=ptime:2.5", "a=maxptime:60"))
    assert (audio.ptime_ms, audio.max_ptime_ms) == (2.5, 60)


@covers("SD3")
@pytest.mark.parametrize("direction", ["sendrecv", "sendonly", "recvonly"])
def test_section_direction_overrides_session_and_default_is_sendrecv(direction: str) -> None:
    silent = offers.without(offers.RFC_STYLE, "a=sendonly")
    assert read(silent).direction == "sendrecv"
    assert read(changed(silent, "t=0 0\r\n", f"t=0 0\r\na={direction}\r\n")).direction == direction
    assert read(changed(offers.RFC_STYLE, "t=0 0\r\n", f"t=0 0\r\na={direction}\r\n")).direction == "sendonly"


@covers("SE3")
def test_all_fingerprints_of_preferred_hash_are_kept() -> None:
    assert read(offers.TWO_FINGERPRINTS).fingerprints == (SHA256, Fingerprint("sha-256", offers.OTHER_SHA256))


@covers("SE3")
def test_sha_384_and_sha_512_are_accepted_on_their_own() -> None:
    for algorithm, length in (("sha-384", 48), ("sha-512", 64)):
        value = ":".join(["0A"] * length)
        sdp = changed(offers.RFC_STYLE, f"sha-256 {offers.SHA256}", f"{algorithm} {value}")
        assert read(sdp).fingerprints == (Fingerprint(algorithm, value),)


@covers("SE3")
@pytest.mark.parametrize("algorithm", ["sha-1", "md5", "md2", "sha-224", "whirlpool"])
def test_only_weak_or_unknown_hashes_are_unusable(algorithm: str) -> None:
    with pytest.raises(UnusableSdpError, match=f"got '{algorithm}'"):
        read(changed(offers.SHA1_ONLY, "sha-1", algorithm))


@covers("SE27")
def test_500_candidates_are_capped() -> None:
    assert len(read(offers.CANDIDATES_500).candidates) == 100


@covers("WS31")
def test_duplicate_candidate_is_used_once() -> None:
    line = "a=candidate:1 1 udp 2122260223 192.0.2.44 54609 typ host"
    assert len(read(with_lines(line, line)).candidates) == 1


@covers("SD1")
@pytest.mark.parametrize(
    "protocol",
    ["RTP/AVP", "RTP/SAVPF", "UDP/TLS/RTP/SAVP", "TCP/DTLS/RTP/SAVPF", "TCP/TLS/RTP/SAVPF"],
)
def test_all_profile_names_for_dtls_srtp_are_accepted(protocol: str) -> None:
    assert read(changed(offers.RFC_STYLE, "UDP/TLS/RTP/SAVPF", protocol)).protocol == protocol


@covers("SD3")
@pytest.mark.parametrize(
    "line",
    [
        "a=ssrc:4294967296 cname:x",
        "a=ssrc:x cname:x",
        "b=AS:many",
    ],
)
def test_malformed_known_line_is_an_error(line: str) -> None:
    with pytest.raises(SdpError) as raised:
        read(with_lines(line))
    assert raised.type is SdpError, "malformed is 400, not 422"


@covers("SD3")
@pytest.mark.parametrize(
    "line",
    [
        "a=rtpmap:banana",
        "a=rtpmap:128 opus/48000/2",
        "a=ptime:twenty",
        "a=ptime:0",
        "a=maxptime:-1",
        "a=mid:x\0",
        "a=fingerprint:sha-256 00\0",
    ],
)
def test_malformed_line_that_is_not_needed_is_ignored(line: str) -> None:
    assert read(with_lines(line)) == read(offers.RFC_STYLE)


@covers("SD3")
def test_malformed_candidates_are_skipped_and_counted() -> None:
    audio = read(with_lines("a=candidate:1 1 udp", "a=candidate:1 1 udp 1 192.0.2.1 99999 typ host", sdp=offers.CHROME))
    assert audio.malformed_candidates == 2
    assert audio.candidates == read(offers.CHROME).candidates


def test_last_of_several_directions_counts() -> None:
    assert read(with_lines("a=recvonly")).direction == "recvonly"


@pytest.mark.parametrize("setup", ["ACTPASS", "ActPass"])
def test_setup_is_case_insensitive(setup: str) -> None:
    assert read(changed(offers.RFC_STYLE, "a=setup:actpass", f"a=setup:{setup}")).setup == "actpass"


@covers("SD3")
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("a=setup:actpass", "a=setup:server"),
        (f"sha-256 {offers.SHA256}", "sha-256 AB:CD"),
        (f"sha-256 {offers.SHA256}", "sha-256 none"),
    ],
)
def test_malformed_known_value_is_an_error(old: str, new: str) -> None:
    with pytest.raises(SdpError) as raised:
        read(changed(offers.RFC_STYLE, old, new))
    assert raised.type is SdpError, "malformed is 400, not 422"


def test_malformed_lines_of_rejected_sections_are_ignored() -> None:
    assert read(changed(offers.MEDIAMTX_READER, "96 VP8/90000", "banana")).mid == "1"


@covers("SE70")
@pytest.mark.parametrize("sdp", [offers.CHROME, offers.MEDIAMTX_READER], ids=["chrome", "three sections"])
def test_offer_with_any_truncated_line_is_parsed_or_raises_sdp_error(sdp: str) -> None:
    lines = sdp.split("\r\n")
    outcomes = set()
    for number, line in enumerate(lines):
        for length in range(len(line)):
            try:
                read("\n".join([*lines[:number], line[:length], *lines[number + 1 :]]))
                outcomes.add("read")
            except SdpError as error:
                outcomes.add(type(error).__name__)
    assert outcomes == {"read", "SdpError", "UnusableSdpError"}


@covers("SE70")
def test_truncated_offer_is_parsed_or_raises_sdp_error() -> None:
    for length in range(len(offers.FIREFOX)):
        with contextlib.suppress(SdpError):
            read(offers.FIREFOX[:length])


_lines = st.sampled_from([line for line in offers.CHROME.split("\r\n") if line])
_edits = st.lists(st.tuples(st.integers(0, 40), _lines | st.text(max_size=40)), max_size=6)


@covers("SE70")
@given(_edits)
def test_offer_with_any_lines_replaced_is_parsed_or_raises_sdp_error(edits: list[tuple[int, str]]) -> None:
    lines = offers.CHROME.split("\r\n")
    for number, line in edits:
        lines[number % len(lines)] = line
    try:
        audio = read("\r\n".join(lines))
    except SdpError:
        return
    assert 0 <= audio.payload_type <= 127
