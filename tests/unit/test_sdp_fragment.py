"""SDP fragments of trickle ICE and ICE restarts."""

from __future__ import annotations

import contextlib
import time

import offers
import pytest
from hypothesis import given
from hypothesis import strategies as st
from offers import changed, without

from bass_webrtc.errors import SdpError
from bass_webrtc.rtc.candidate import CandidatePolicy, host_candidates
from bass_webrtc.rtc.sdp import IceCredentials, UnusableSdpError
from bass_webrtc.rtc.sdp_fragment import IceFragment, build_fragment, parse_fragment
from support.conformance import covers

CURRENT = IceCredentials(offers.UFRAG, offers.PASSWORD)
CANDIDATE = "a=candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host\r\n"
CREDENTIALS = f"a=ice-ufrag:{offers.UFRAG}\r\na=ice-pwd:{offers.PASSWORD}\r\n"


def test_trickle_fragment_is_parsed() -> None:
    fragment = parse_fragment(offers.TRICKLE_FRAGMENT)
    assert (fragment.ice, fragment.mid, fragment.end_of_candidates) == (CURRENT, "0", True)
    assert [candidate.transport for candidate in fragment.candidates] == ["udp", "udp", "tcp"]
    assert not fragment.is_restart(CURRENT)


@covers("WS31", "WS32")
@pytest.mark.parametrize(
    ("data", "candidates", "is_end"),
    [
        (offers.TRICKLE_FRAGMENT.replace("\r\n", "\n"), 3, True),
        (offers.TRICKLE_FRAGMENT.encode(), 3, True),
        (without(offers.TRICKLE_FRAGMENT, "m=", "a=mid"), 3, True),
        (without(offers.TRICKLE_FRAGMENT, "a=mid"), 3, True),
        (changed(offers.TRICKLE_FRAGMENT, "m=audio 9 RTP/AVP 0", "m=any other text"), 3, True),
        (changed(offers.TRICKLE_FRAGMENT, "m=audio 9 RTP/AVP 0", "m="), 3, True),
        ("m=audio 9 RTP/AVP 0\r\n" + CREDENTIALS + CANDIDATE, 1, False),
        (CREDENTIALS + "a=end-of-candidates\r\nm=audio 9 RTP/AVP 0\r\n" + CANDIDATE, 1, True),
        (CREDENTIALS, 0, False),
        (offers.END_OF_CANDIDATES_FRAGMENT, 0, True),
        (offers.DOUBLE_PREFIX_FRAGMENT, 3, True),
        (offers.OTHER_MID_FRAGMENT, 3, True),
        (offers.TRICKLE_FRAGMENT + CANDIDATE, 3, True),
    ],
    ids=[
        "LF", "bytes", "no m=", "no mid", "any m=", "empty m=", "media level", "end at session level", "no candidates",
        "end only", "double prefix", "other mid", "same candidate twice",
    ],
)  # fmt: skip
def test_fragments_of_all_forms_are_accepted(data: bytes | str, candidates: int, is_end: bool) -> None:
    fragment = parse_fragment(data, mid="0")
    assert fragment.ice == CURRENT
    assert (len(fragment.candidates), fragment.end_of_candidates) == (candidates, is_end)


@covers("WS29")
def test_unusable_candidates_do_not_affect_the_others() -> None:
    data = CREDENTIALS + CANDIDATE + "".join(
        f"a=candidate:1 1 {text}\r\n"
        for text in (
            "tcp 1518280447 192.0.2.1 9 typ host tcptype active",
            "quic 1518280447 192.0.2.1 4433 typ host",
            "udp 1 3f2c8a1e-7b6d-4e55-9c1f-0a2b3c4d5e6f.local 50000 typ host",
            "udp 1 media.example.com 50000 typ host",
            "udp 1 2001:db8::9 50000 typ host",
        )
    )  # fmt: skip
    used = filter(CandidatePolicy(ipv6=False).allows, parse_fragment(data).candidates)
    assert [candidate.host for candidate in used] == ["192.0.2.1"]


@covers("WS30")
@pytest.mark.parametrize(
    "line",
    ["a=candidate:1 1 udp", "banana", "X=1", "a=ice-pwd:short", "a=candidate:", "a=mid:0\0"],
)
def test_one_malformed_line_rejects_the_whole_fragment(line: str) -> None:
    data = without(offers.TRICKLE_FRAGMENT, "a=ice-pwd") if line.startswith("a=ice-pwd") else offers.TRICKLE_FRAGMENT
    with pytest.raises(SdpError):
        parse_fragment(f"{data}{line}\r\n")


@pytest.mark.parametrize("line", ["a=candidate:1 1 udp", "a=x:\0"])
def test_malformed_line_of_a_response_spoils_only_itself(line: str) -> None:
    response = parse_fragment(f"{offers.TRICKLE_FRAGMENT}{line}\r\n", is_patch=False)
    assert response == parse_fragment(offers.TRICKLE_FRAGMENT)


@pytest.mark.parametrize("missing", ["a=ice-ufrag", "a=ice-pwd"])
def test_incomplete_credentials_are_malformed(missing: str) -> None:
    with pytest.raises(SdpError, match="one of"):
        parse_fragment(without(offers.TRICKLE_FRAGMENT, missing))


@covers("WS33")
def test_fragment_credentials_override_those_of_candidates() -> None:
    fragment = parse_fragment(offers.RESTART_FRAGMENT)
    assert fragment.candidates[0].ufrag == offers.UFRAG
    assert fragment.ice == IceCredentials("nW9x", "5Rz0eKc2mLq7dVb4tYh8uJs3")
    assert fragment.is_restart(CURRENT)


@covers("WS24")
def test_restart_is_detected_by_credentials() -> None:
    assert not parse_fragment(CANDIDATE).is_restart(CURRENT), "no credentials: no change"
    assert not parse_fragment(CREDENTIALS).is_restart(CURRENT)
    assert parse_fragment(CREDENTIALS).is_restart(IceCredentials("other", "x" * 24))


@covers("WS25")
@pytest.mark.parametrize(
    "data", [offers.WRONG_PASSWORD_FRAGMENT, changed(offers.TRICKLE_FRAGMENT, "a=ice-ufrag:k3Vd", "a=ice-ufrag:zzzz")]
)
def test_change_of_only_one_credential_is_unusable(data: str) -> None:
    with pytest.raises(UnusableSdpError, match="changes both"):
        parse_fragment(data).is_restart(CURRENT)


def test_requested_section_is_read_if_there_are_several() -> None:
    data = (
        "a=ice-options:trickle\r\nm=video 9 RTP/AVP 0\r\na=mid:0\r\na=ice-ufrag:video\r\na=ice-pwd:" + "v" * 22 + "\r\n"
        "a=candidate:1 1 udp 1 192.0.2.7 50000 typ host\r\n"
        f"m=audio 9 RTP/AVP 0\r\na=mid:1\r\n{CREDENTIALS}{CANDIDATE}"
    )
    fragment = parse_fragment(data, mid="1")
    assert (fragment.mid, fragment.ice, len(fragment.candidates)) == ("1", CURRENT, 1)
    everything = parse_fragment(data)
    assert (everything.mid, len(everything.candidates)) == ("0", 2)


@covers("SE27")
def test_candidates_of_fragment_are_capped() -> None:
    flood = "".join(f"a=candidate:1 1 udp 1 192.0.2.7 {20_000 + n} typ host\r\n" for n in range(500))
    assert len(parse_fragment(CREDENTIALS + flood).candidates) == 100


@covers("WS26")
def test_our_fragment_has_exactly_these_lines() -> None:
    ours = host_candidates([("192.0.2.10", 8189)])
    text = build_fragment(CURRENT, ours, mid="0", ice_lite=True, ice_options=("trickle", "ice2"))
    assert text == offers.crlf(f"""
a=ice-lite
a=ice-options:trickle ice2
m=audio 9 UDP/TLS/RTP/SAVPF 0
a=mid:0
a=ice-ufrag:{offers.UFRAG}
a=ice-pwd:{offers.PASSWORD}
a=candidate:1 1 udp 2130706175 192.0.2.10 8189 typ host
a=end-of-candidates
""")
    assert parse_fragment(text) == IceFragment(CURRENT, ours, end_of_candidates=True, mid="0")


def test_fragment_omits_options_that_were_not_negotiated() -> None:
    assert build_fragment(CURRENT, (), end_of_candidates=False) == "m=audio 9 UDP/TLS/RTP/SAVPF 0\r\n" + CREDENTIALS


@covers("SE70")
@given(st.binary() | st.text() | st.lists(st.sampled_from(offers.TRICKLE_FRAGMENT.splitlines())).map("\n".join))
def test_any_input_is_parsed_or_raises_sdp_error(data: bytes | str) -> None:
    try:
        fragment = parse_fragment(data, mid="0")
    except SdpError:
        return
    again = build_fragment(fragment.ice or CURRENT, fragment.candidates, mid=fragment.mid)
    assert parse_fragment(again).candidates == fragment.candidates


@covers("SE70")
@pytest.mark.parametrize("lines", [CANDIDATE * 2000, "m=x\r\n" * 26_000, "a=mid:0\r\n" * 14_000, "a=" + "c" * 130_000])
def test_fragment_of_128_kib_takes_less_than_half_a_second(lines: str) -> None:
    start_s = time.process_time()
    with contextlib.suppress(SdpError):
        parse_fragment(lines, mid="0")
    assert time.process_time() - start_s < 0.5
