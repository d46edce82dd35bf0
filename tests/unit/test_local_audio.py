"""The offers and answers that we generate."""

from __future__ import annotations

import time
import timeit
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import offers
import pytest
from hypothesis import given
from hypothesis import strategies as st
from offers import changed, without

from bass_webrtc.errors import SdpError
from bass_webrtc.peer.host import EngineHost
from bass_webrtc.peer.ice.addresses import local_addresses
from bass_webrtc.peer.mux import UdpMux
from bass_webrtc.rtc import local_audio
from bass_webrtc.rtc.candidate import host_candidates
from bass_webrtc.rtc.local_audio import LocalAudio, build_answer, build_offer
from bass_webrtc.rtc.negotiation import read_answer, read_offer
from bass_webrtc.rtc.opus_parameters import OpusParameters
from bass_webrtc.rtc.remote_audio import Direction
from bass_webrtc.rtc.sdp import Fingerprint, IceCredentials, SessionDescription, UnusableSdpError
from support.conformance import covers

if TYPE_CHECKING:
    pass

LOCAL = LocalAudio(
    ice=IceCredentials("serverUf", "serverPasswordOf24Chars1"),
    fingerprint=Fingerprint("sha-256", offers.OTHER_SHA256),
    direction="sendonly",
    ssrc=305419896,
    cname="cnameOfThisServer",
    stream_id="bass",
    track_id="bass-audio",
    session_id=4_611_686_018_427_387_904,
    candidates=host_candidates([("192.0.2.10", 8189), ("2001:db8::10", 8189)]),
    ice_lite=True,
    opus=OpusParameters(stereo=True, sprop_stereo=True, use_inband_fec=True),
)
ALL_OFFERS = [
    "CHROME", "CHROME_RECVONLY", "SAFARI", "FIREFOX", "OBS", "FFMPEG", "MEDIAMTX_READER", "GSTREAMER", "MEDOOZE",
    "RFC_STYLE", "LF_ONLY", "AUDIO_AND_VIDEO", "BUNDLE_ONLY_AUDIO", "MID_OF_40_BYTES", "CANDIDATES_500",
    "TWO_FINGERPRINTS", "MAX_BUNDLE_READER", "MEDIAMTX_PUBLISHER", "EYEVINN_PUBLISHER", "MEDOOZE_PUBLISHER",
]  # fmt: skip
OWN_ATTRIBUTES = {"ice-lite", "rtcp-mux-only", "end-of-candidates", "candidate", "msid", "ssrc", "inactive",
                         "sendonly", "sendrecv", "recvonly", "mid"}  # fmt: skip


def answer(sdp: str, local: LocalAudio = LOCAL) -> str:
    return build_answer(read_offer(sdp), local)


def test_answer_to_chrome_has_exactly_these_lines() -> None:
    assert answer(offers.CHROME_RECVONLY) == offers.crlf(f"""
v=0
o=- 4611686018427387904 1 IN IP4 0.0.0.0
s=-
t=0 0
a=group:BUNDLE 0
a=ice-lite
m=audio 8189 UDP/TLS/RTP/SAVPF 111
c=IN IP4 192.0.2.10
a=mid:0
a=sendonly
a=rtpmap:111 opus/48000/2
a=fmtp:111 stereo=1;sprop-stereo=1;useinbandfec=1
a=msid:bass bass-audio
a=ssrc:305419896 cname:cnameOfThisServer
a=rtcp-mux
a=rtcp-mux-only
a=rtcp-rsize
a=setup:active
a=fingerprint:sha-256 {offers.OTHER_SHA256}
a=ice-ufrag:serverUf
a=ice-pwd:serverPasswordOf24Chars1
a=ice-options:trickle
a=candidate:1 1 udp 2130706175 192.0.2.10 8189 typ host
a=candidate:2 1 udp 2130705919 2001:db8::10 8189 typ host
a=end-of-candidates
""")


@covers("ES4")
def test_sections_other_than_audio_are_rejected_in_place() -> None:
    text = answer(offers.MEDIAMTX_READER)
    video, audio, application = SessionDescription.parse(text).media
    assert (video.kind, video.port, video.protocol, video.mid) == ("video", 0, "UDP/TLS/RTP/SAVPF", "0")
    assert (audio.kind, audio.port, audio.mid) == ("audio", 8189, "1")
    assert (application.kind, application.port, application.mid) == ("application", 0, "2")
    assert application.protocol == "UDP/DTLS/SCTP"
    assert application.formats == ("webrtc-datachannel",)
    assert "a=group:BUNDLE 1\r\n" in text


@covers("ES4")
@pytest.mark.parametrize("name", ALL_OFFERS)
def test_rejected_section_has_our_credentials_if_the_offered_one_has_its_own(name: str) -> None:
    """GStreamer refuses an answer with a section without fingerprint, unless all have the session's."""
    offer = read_offer(getattr(offers, name))
    answered = SessionDescription.parse(build_answer(offer, LOCAL))
    for ours, theirs in zip(answered.media, offer.description.media, strict=True):
        for attribute in ("fingerprint", "setup", "ice-ufrag", "ice-pwd"):
            wanted = ours.port != 0 or "fingerprint" in theirs.attributes
            assert (attribute in ours.attributes) == wanted


@covers("ES4")
@pytest.mark.parametrize("name", ALL_OFFERS)
def test_every_format_of_a_rejected_section_has_its_rtpmap(name: str) -> None:
    """Pion refuses an answer with a format that has none, in whatever section."""
    offer = read_offer(getattr(offers, name))
    answered = SessionDescription.parse(build_answer(offer, LOCAL))
    for ours, theirs in zip(answered.media, offer.description.media, strict=True):
        if ours.port == 0 and "rtpmap" in theirs.attributes:
            [rtpmap] = ours.attributes["rtpmap"]
            assert rtpmap in theirs.attributes["rtpmap"]
            assert ours.formats == (rtpmap.split(" ")[0],)


def test_rtpmap_of_a_rejected_section_takes_linear_time() -> None:
    """Twice the text takes about twice the time: four times if it was quadratic, and minutes for a whole offer."""

    def seconds(size: int) -> float:
        line = f"a=rtpmap:96 {'/1' * size} \x7f\r\n"
        offer = read_offer(offers.MEDIAMTX_READER.replace("a=rtpmap:96 ", f"{line}a=rtpmap:96 "))
        return min(timeit.repeat(lambda: build_answer(offer, LOCAL), repeat=3, number=1))

    assert any(seconds(2000) < 3 * seconds(1000) for _ in range(3))


@pytest.mark.parametrize(
    ("video", "formats", "rtpmaps"),
    [
        pytest.param("a=rtpmap:97 VP8/90000", ("97",), ["97 VP8/90000"], id="first format without rtpmap"),
        pytest.param("a=rtpmap:96 VP8/90000\na=rtpmap:96 H264/90000", ("96",), ["96 VP8/90000"], id="two rtpmaps"),
        pytest.param("a=rtpmap:96", ("96",), [], id="malformed rtpmap"),
        pytest.param("a=rtpmap:96 V\u00e4P8/90000", ("96",), [], id="rtpmap that is not ASCII"),
        pytest.param("a=rtpmap:98 VP8/90000", ("96",), [], id="rtpmap of no format"),
    ],
)
def test_rejected_section_keeps_the_first_format_with_an_rtpmap(
    video: str, formats: tuple[str, ...], rtpmaps: list[str]
) -> None:
    sdp = offers.RFC_STYLE + offers.crlf(f"m=video 9 UDP/TLS/RTP/SAVPF 96 97\nc=IN IP4 0.0.0.0\na=mid:v\n{video}")
    section = SessionDescription.parse(answer(sdp, replace(LOCAL, direction="recvonly"))).media[-1]
    assert section.port == 0
    assert section.formats == formats
    assert section.attributes.get("rtpmap", []) == rtpmaps


@pytest.mark.parametrize("sdp", [offers.MAX_BUNDLE_READER, offers.BUNDLE_ONLY_AUDIO])
def test_transport_section_of_bundled_audio_is_accepted_as_inactive(sdp: str) -> None:
    video, audio = SessionDescription.parse(answer(sdp, replace(LOCAL, direction="sendrecv"))).media[:2]
    assert (video.kind, video.port, video.mid) == ("video", 8189, "0")
    assert "inactive" in video.attributes
    assert [text.split()[1] for text in video.attributes["rtpmap"]] == ["VP8/90000"]
    assert "msid" not in video.attributes
    for name in ("ice-ufrag", "ice-pwd", "fingerprint", "setup", "candidate", "rtcp-mux"):
        assert video.attributes[name] == audio.attributes[name]


@covers("WS4")
@pytest.mark.parametrize("name", ALL_OFFERS)
def test_answer_mirrors_sections_and_contains_only_offered_attributes(name: str) -> None:
    local = replace(LOCAL, direction="sendrecv", red=True, nack=True)
    offer = read_offer(getattr(offers, name))
    answered = SessionDescription.parse(build_answer(offer, local))
    assert [(section.kind, section.protocol, section.mid) for section in answered.media] == [
        (section.kind, section.protocol, section.mid) for section in offer.description.media
    ]
    accepted = [section for section in (offer.transport_section, offer.section) if section is not None]
    assert [section.index for section in answered.media if section.port] == [section.index for section in accepted]
    for section in accepted:
        ours, theirs = answered.media[section.index], offer.description.transport_scope(section)
        assert ours.attributes.keys() <= theirs.keys() | OWN_ATTRIBUTES | {"fmtp"}
        assert set(ours.formats) <= set(section.formats)
    assert answered.session.attributes.keys() <= {"group", "ice-lite"}


@covers("WS5")
@pytest.mark.parametrize("name", ALL_OFFERS)
def test_answers_have_no_bundle_only_and_crlf_line_ends(name: str) -> None:
    text = answer(getattr(offers, name))
    assert "bundle-only" not in text
    assert text.count("\n") == text.count("\r\n") == len(text.splitlines())
    assert "extmap" not in text
    assert "crypto" not in text


@covers("WS6")
@pytest.mark.parametrize(
    ("sdp", "group"),
    [
        (offers.FFMPEG, "a=group:BUNDLE 0\r\n"),
        (offers.MID_OF_40_BYTES, f"a=group:BUNDLE {'m' * 40}\r\n"),
        (offers.BUNDLE_ONLY_AUDIO, "a=group:BUNDLE 0 1\r\n"),
        (offers.MAX_BUNDLE_READER, "a=group:BUNDLE 0 1\r\n"),
        (offers.MEDIAMTX_READER, "a=group:BUNDLE 1\r\n"),
        (without(offers.RFC_STYLE, "a=group"), None),
        (without(offers.RFC_STYLE, "a=group", "a=mid"), None),
        (without(offers.RFC_STYLE, "a=mid"), None),
    ],
    ids=[
        "ffmpeg",
        "long mid",
        "bundle-only",
        "max-bundle",
        "balanced",
        "no group",
        "neither group nor mid",
        "group without mid",
    ],
)
def test_bundle_group_of_answer_lists_accepted_sections(sdp: str, group: str | None) -> None:
    text = answer(sdp)
    assert group in text if group else "a=group" not in text
    assert ("a=mid:" in text) == ("a=mid:" in sdp)


@covers("WS7")
def test_rtcp_mux_only_can_be_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "a=rtcp-mux\r\na=rtcp-mux-only\r\n" in answer(offers.CHROME)
    monkeypatch.setattr(local_audio, "SEND_RTCP_MUX_ONLY", False)
    assert "rtcp-mux-only" not in answer(offers.CHROME)
    assert "a=rtcp-mux\r\n" in answer(offers.CHROME)


@covers("WS8")
@pytest.mark.parametrize(("setup", "ours"), [("actpass", "active"), ("active", "passive"), ("passive", "active")])
def test_answer_setup_complements_offer(setup: str, ours: str) -> None:
    assert f"a=setup:{ours}\r\n" in answer(changed(offers.RFC_STYLE, "a=setup:actpass", f"a=setup:{setup}"))


@covers("WS2", "ES1", "ES6", "SD2")
@pytest.mark.parametrize(
    ("theirs", "supported", "expected"),
    [
        ("recvonly", "sendonly", "sendonly"),
        ("sendrecv", "sendonly", "sendonly"),
        ("sendonly", "recvonly", "recvonly"),
        ("sendrecv", "recvonly", "recvonly"),
        ("sendrecv", "sendrecv", "sendrecv"),
        ("recvonly", "sendrecv", "sendonly"),
        ("sendonly", "sendrecv", "recvonly"),
        ("sendonly", "sendonly", "inactive"),
    ],
)
def test_answer_direction_is_common_to_both_sides(theirs: str, supported: Direction, expected: str) -> None:
    sdp = changed(offers.RFC_STYLE, "a=sendonly", f"a={theirs}")
    text = answer(sdp, replace(LOCAL, direction=supported))
    assert f"\r\na={expected}\r\n" in text
    is_sending = expected in ("sendonly", "sendrecv")
    assert ("a=msid:" in text) == ("a=ssrc:" in text) == is_sending, "a sender names its track"


@covers("WS4")
def test_feedback_options_and_red_are_used_only_if_offered_and_enabled() -> None:
    plain = without(offers.CHROME, "a=rtcp-rsize", "a=ice-options")
    assert "rtcp-rsize" not in answer(plain)
    assert "ice-options" not in answer(plain)
    assert "a=ice-options:trickle ice2\r\n" in answer(offers.OBS)
    assert "nack" not in answer(offers.GSTREAMER)
    assert "a=rtcp-fb:100 nack\r\n" in answer(offers.GSTREAMER, replace(LOCAL, nack=True))
    assert "nack" not in answer(offers.CHROME, replace(LOCAL, nack=True))
    assert "red" not in answer(offers.CHROME)
    assert "red" not in answer(offers.SAFARI, replace(LOCAL, red=True))


def test_red_follows_opus_in_sendonly_answer() -> None:
    text = answer(offers.CHROME, replace(LOCAL, red=True))
    assert "m=audio 8189 UDP/TLS/RTP/SAVPF 111 63\r\n" in text
    assert "a=rtpmap:63 red/48000/2\r\na=fmtp:63 111/111\r\n" in text


@covers("OP1", "OP3")
def test_answer_states_its_own_opus_parameters() -> None:
    text = answer(offers.OBS, replace(LOCAL, opus=OpusParameters(use_inband_fec=True)))
    assert "a=rtpmap:111 opus/48000/2\r\na=fmtp:111 useinbandfec=1\r\n" in text
    assert "a=fmtp" not in answer(offers.OBS, replace(LOCAL, opus=OpusParameters()))


@covers("OP2")
def test_ptime_and_maxptime_are_separate_lines() -> None:
    assert "a=ptime:20\r\na=maxptime:60\r\n" in answer(offers.OBS, replace(LOCAL, ptime_ms=20, max_ptime_ms=60))


@covers("SD1")
def test_answer_repeats_offered_protocol() -> None:
    assert "m=audio 8189 RTP/AVPF 111\r\n" in answer(changed(offers.RFC_STYLE, "UDP/TLS/RTP/SAVPF", "RTP/AVPF"))


@covers("WS3")
def test_answer_contains_all_candidates_and_the_first_is_the_default() -> None:
    ipv6_only = replace(LOCAL, candidates=host_candidates([("2001:db8::10", 9000)]))
    text = answer(offers.CHROME, ipv6_only)
    assert "m=audio 9000 " in text
    assert "c=IN IP6 2001:db8::10\r\n" in text
    assert text.endswith("a=end-of-candidates\r\n")


@pytest.mark.parametrize(
    ("used", "remote", "first"),
    [
        ("", "198.51.100.7", "192.0.2.10"),
        ("192.0.2.11", "198.51.100.7", "192.0.2.11"),
        ("2001:db8::10", "2001:db8::7", "2001:db8::10"),
        ("127.0.0.1", "127.0.0.1", "127.0.0.1"),
    ],
)
def test_first_candidate_is_the_address_the_client_used_or_else_ipv4(
    monkeypatch: pytest.MonkeyPatch, used: str, remote: str, first: str
) -> None:
    """FFmpeg's WHIP muxer uses only the first candidate, whatever the order of the system's addresses."""
    ips: list[str | tuple[str, int, int]] = [("::1", 0, 0), ("2001:db8::10", 0, 0), "127.0.0.1"]
    ips += ["192.0.2.10", "192.0.2.11"]
    adapter = SimpleNamespace(nice_name="lo", index=1, ips=[SimpleNamespace(ip=ip) for ip in ips])
    monkeypatch.setattr("bass_webrtc.peer.ice.addresses.ifaddr.get_adapters", lambda: [adapter])
    sockets = [SimpleNamespace(getsockname=lambda host=host: (host, 8189)) for host in local_addresses()]
    monkeypatch.setattr("bass_webrtc.peer.mux.open_sockets", lambda hosts, port: sockets)
    host = SimpleNamespace(add_socket=sockets.index, set_datagram_handler=lambda _: None)
    mux = UdpMux(cast(EngineHost, host), 8189)
    text = answer(offers.FFMPEG, replace(LOCAL, direction="recvonly", candidates=mux.candidates(used, remote)))
    candidates = [line.split()[4] for line in text.splitlines() if line.startswith("a=candidate")]
    assert candidates[0] == first
    assert set(candidates) >= {"192.0.2.10", "192.0.2.11", "2001:db8::10"}


def test_default_is_discard_port_without_candidates() -> None:
    text = answer(offers.CHROME, replace(LOCAL, candidates=(), end_of_candidates=False, ice_lite=False))
    assert "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\n" in text
    assert "candidate" not in text
    assert "ice-lite" not in text


@covers("SD5", "SE70")
@pytest.mark.parametrize(
    "sdp",
    [
        offers.RFC_STYLE + "".join(f"m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:v{n}\r\n" for n in range(120)),
        changed(offers.MAX_BUNDLE_READER, "BUNDLE 0 1 2", "BUNDLE" + " 0 1" * 32_000),
        changed(offers.MAX_BUNDLE_READER, "t=0 0\r\n", "t=0 0\r\n" + "a=group:BUNDLE x\r\n" * 1_500)
        + "m=video 9 RTP/AVP 0\r\n" * 120,
    ],
    ids=["sections", "long group", "many groups"],
)
def test_answer_to_longest_offers_takes_less_than_half_a_second(sdp: str) -> None:
    start_s = time.process_time()
    text = answer(sdp)
    assert time.process_time() - start_s < 0.5
    assert len(text) < 2 * len(sdp), "an answer must not be much longer than its offer"
    assert text.count("\r\nm=") == sdp.count("\r\nm=")


_lines = st.sampled_from(offers.MAX_BUNDLE_READER.split("\r\n")) | st.text(max_size=30)


@covers("SE70")
@given(st.lists(st.tuples(st.integers(0, 60), _lines), max_size=5))
def test_every_accepted_offer_gets_a_well_formed_ascii_answer(edits: list[tuple[int, str]]) -> None:
    lines = offers.MAX_BUNDLE_READER.split("\r\n")
    for number, line in edits:
        lines[number % len(lines)] = line
    try:
        offer = read_offer("\r\n".join(lines))
    except SdpError:
        return
    text = build_answer(offer, LOCAL)
    assert text.isascii()
    assert len(SessionDescription.parse(text).media) == len(offer.description.media)


@covers("CL15")
def test_our_offer_has_exactly_these_lines() -> None:
    local = replace(LOCAL, direction="recvonly", ice_lite=False, candidates=(), end_of_candidates=False, red=True)
    assert build_offer(local) == offers.crlf(f"""
v=0
o=- 4611686018427387904 1 IN IP4 0.0.0.0
s=-
t=0 0
a=group:BUNDLE 0
m=audio 9 UDP/TLS/RTP/SAVPF 111 63
c=IN IP4 0.0.0.0
a=mid:0
a=recvonly
a=rtpmap:111 opus/48000/2
a=fmtp:111 stereo=1;sprop-stereo=1;useinbandfec=1
a=rtpmap:63 red/48000/2
a=fmtp:63 111/111
a=rtcp-mux
a=rtcp-mux-only
a=rtcp-rsize
a=setup:actpass
a=fingerprint:sha-256 {offers.OTHER_SHA256}
a=ice-ufrag:serverUf
a=ice-pwd:serverPasswordOf24Chars1
a=ice-options:trickle ice2
""")


@given(
    direction=st.sampled_from(["sendrecv", "sendonly", "recvonly"]),
    red=st.booleans(),
    nack=st.booleans(),
    ice_lite=st.booleans(),
    mid=st.sampled_from(["0", "audio", "x1"]),
)
def test_our_server_accepts_our_offer(direction: Direction, red: bool, nack: bool, ice_lite: bool, mid: str) -> None:
    local = replace(LOCAL, direction=direction, red=red, nack=nack, ice_lite=ice_lite)
    audio = read_offer(build_offer(local, mid=mid)).audio
    assert (audio.mid, audio.direction, audio.setup) == (mid, direction, "actpass")
    assert (audio.red_payload_type is not None, audio.nack, audio.ice_lite) == (red, nack, ice_lite)
    assert (audio.ice, audio.fingerprints, audio.candidates) == (local.ice, (local.fingerprint,), local.candidates)
    assert audio.opus == local.opus
    assert audio.ssrcs == (() if direction == "recvonly" else (local.ssrc,))


@given(
    offered=st.sampled_from(["sendrecv", "sendonly", "recvonly"]),
    supported=st.sampled_from(["sendrecv", "sendonly", "recvonly"]),
    red=st.booleans(),
    nack=st.booleans(),
)
def test_our_client_accepts_our_answer(offered: Direction, supported: Direction, red: bool, nack: bool) -> None:
    client = replace(LOCAL, direction=offered, red=red, nack=nack, ice=IceCredentials("client", "c" * 24))
    server = replace(LOCAL, direction=supported, red=True, nack=True)
    offer_sdp = build_offer(client)
    answer_sdp = answer(offer_sdp, server)
    if "a=inactive" in answer_sdp:
        with pytest.raises(UnusableSdpError, match="is inactive"):
            read_answer(answer_sdp, offer_sdp)
        return
    audio = read_answer(answer_sdp, offer_sdp)
    assert (audio.ice, audio.ice_lite, audio.setup) == (server.ice, True, "active")
    assert (audio.red_payload_type is not None, audio.nack) == (red, nack)
    assert audio.candidates == server.candidates
    assert audio.end_of_candidates
