"""SDP parsing: tolerated deviations, rejected input, and parsing time."""

from __future__ import annotations

import contextlib
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bass_webrtc.errors import SdpError
from bass_webrtc.rtc.sdp import (
    MAX_FORMATS,
    MAX_LINES,
    MAX_SECTIONS,
    Fingerprint,
    IceCredentials,
    Scope,
    SessionDescription,
    UnusableSdpError,
)
from support.conformance import covers

MINIMAL = "v=0\no=- 1 1 IN IP4 0.0.0.0\ns=-\nt=0 0\n"


def scope_of(**attributes: str) -> Scope:
    return Scope({name.replace("_", "-"): [value] for name, value in attributes.items()})


# -------------------------------------------------------------------------------------------------- descriptions


def test_description_is_split_into_sections_and_attributes() -> None:
    description = SessionDescription.parse(
        MINIMAL + "a=group:BUNDLE a b\nb=AS:64\nm=audio 9/2 UDP/TLS/RTP/SAVPF 111 0\na=mid:a\na=rtcp-mux\n"
        "a=rtpmap:111 opus/48000/2\na=rtpmap:0 PCMU/8000\nb=TIAS:96000\nm=video 0 RTP/AVP 96\na=mid:b\n"
    )
    audio, video = description.media
    assert (audio.index, audio.kind, audio.port, audio.protocol) == (0, "audio", 9, "UDP/TLS/RTP/SAVPF")
    assert audio.formats == ("111", "0")
    assert audio.attributes["rtpmap"] == ["111 opus/48000/2", "0 PCMU/8000"]
    assert audio.attributes["rtcp-mux"] == [""]
    assert audio.bandwidths == ["TIAS:96000"]
    assert description.session.bandwidths == ["AS:64"]
    assert (video.index, video.mid, video.is_offered) == (1, "b", False)
    assert description.bundle_of(audio) == ("a", "b")


@covers("SD5")
@pytest.mark.parametrize(
    "data",
    [
        MINIMAL.replace("\n", "\r\n"),
        MINIMAL.rstrip("\n"),
        "\ufeff" + MINIMAL,
        MINIMAL.encode(),
        b"\xef\xbb\xbf" + MINIMAL.encode(),
        MINIMAL.replace("s=-\n", ""),
        MINIMAL.replace("s=-", "s= "),
        MINIMAL.replace("- 1 1 IN", "- 1 7 IN"),
        MINIMAL + "\r\n\r\n",
        MINIMAL + "a=x-unknown:whatever\na=ünïcode\n",
        MINIMAL + "m=audio 9 UDP/TLS/RTP/SAVPF 111 \n",
        MINIMAL.replace("v=0", "v=1"),
        MINIMAL + "x=1\n",
        MINIMAL + "a=mid:0\0\n",
        MINIMAL + "a=mid:0\ra=ice-lite\n",
        MINIMAL + "m=audio 9 RTP/AVP 0\na=mid:\n",
    ],
    ids=["crlf", "no final newline", "bom", "bytes", "bom bytes", "no s=", "blank s=", "version", "blank lines",
         "unknown attributes", "blank at the end", "v=1", "unknown type", "NUL", "CR", "empty mid"],
)  # fmt: skip
def test_harmless_deviations_are_tolerated(data: bytes | str) -> None:
    assert SessionDescription.parse(data).session.attributes.keys() <= {"x-unknown", "ünïcode"}


@covers("SD3", "SD5")
@pytest.mark.parametrize(
    "data",
    [
        "",
        "\n\n",
        "hello",
        "{}",
        "V=0\n",
        "o=- 1 1 IN IP4 0.0.0.0\nv=0\n",
        MINIMAL + "a\n",
        MINIMAL + " a=mid:0\n",
        MINIMAL + "A=mid:0\n",
        MINIMAL + "m=audio 9 UDP/TLS/RTP/SAVPF\0 111\n",
        MINIMAL + "m=audio 9 UDP/TLS/RTP/SAVPF 111\ra=mid:0\n",
        MINIMAL.encode() + b"s=\xff\xfe\n",
        MINIMAL + "m=audio 9 UDP/TLS/RTP/SAVPF\n",
        MINIMAL + "m=audio nine UDP/TLS/RTP/SAVPF 111\n",
        MINIMAL + "m=audio ٩ UDP/TLS/RTP/SAVPF 111\n",
        MINIMAL + "m=audio 65536 UDP/TLS/RTP/SAVPF 111\n",
        MINIMAL + "m=audio  9 UDP/TLS/RTP/SAVPF 111\n",
        MINIMAL + "m=audio 9 UDP/TLS/RTP/SAVPF 11\t1\n",
        MINIMAL + "m=audio 9 RTP/AVP 0\na=mid:two words\n",
        MINIMAL + "m=audio 9 RTP/AVP 0\na=mid:0\nm=audio 9 RTP/AVP 0\na=mid:0\n",
    ],
)
def test_malformed_description_raises_sdp_error(data: bytes | str) -> None:
    with pytest.raises(SdpError) as raised:
        SessionDescription.parse(data)
    assert raised.type is SdpError, "malformed is 400, not 422"


def test_error_messages_contain_no_long_or_unprintable_input() -> None:
    with pytest.raises(SdpError) as raised:
        SessionDescription.parse(MINIMAL + "x\x1b[31m" + "y" * 100_000)
    assert len(str(raised.value)) < 150
    assert str(raised.value).isprintable()


def test_bundled_section_inherits_from_first_section_then_from_session() -> None:
    description = SessionDescription.parse(
        MINIMAL + "a=group:LS 0 1\na=group:BUNDLE 0 1\na=setup:active\na=ice-lite\na=ice-ufrag:session\n"
        "m=video 9 RTP/AVP 96\na=mid:0\na=ice-ufrag:tagged\na=setup:passive\n"
        "m=audio 0 RTP/AVP 0\na=mid:1\na=bundle-only\na=setup:actpass\n"
        "m=audio 9 RTP/AVP 0\na=mid:2\n"
    )
    _, bundled, alone = description.media
    assert bundled.is_offered
    assert description.transport_scope(bundled)["setup"] == ["actpass"]
    assert description.transport_scope(bundled)["ice-ufrag"] == ["tagged"]
    assert "ice-lite" in description.transport_scope(bundled)
    assert description.bundle_of(alone) == ()
    assert description.transport_scope(alone)["ice-ufrag"] == ["session"]


# ------------------------------------------------------------------------------------ credentials and fingerprints


@covers("SE26")
def test_generated_credentials_are_long_enough_and_unique() -> None:
    made = [IceCredentials.generate() for _ in range(50)]
    assert len({one.ufrag for one in made}) == len({one.password for one in made}) == 50
    for one in made:
        assert len(one.ufrag) >= 8
        assert len(one.password) >= 24
        assert IceCredentials.from_scope(scope_of(ice_ufrag=one.ufrag, ice_pwd=one.password)) == one


def test_repr_of_credentials_hides_password() -> None:
    assert "secret" not in repr(IceCredentials("ufrag", "secretsecretsecretsecret"))


@covers("SD4")
@pytest.mark.parametrize(("ufrag", "password"), [(4, 22), (256, 256)])
def test_credentials_at_the_limits_are_accepted(ufrag: int, password: int) -> None:
    assert IceCredentials.from_scope(scope_of(ice_ufrag="u" * ufrag, ice_pwd="p" * password))


@covers("SD4")
@pytest.mark.parametrize(("ufrag", "password"), [(3, 22), (257, 22), (4, 21), (4, 257)])
def test_credentials_beyond_the_limits_are_unusable(ufrag: int, password: int) -> None:
    with pytest.raises(UnusableSdpError, match="characters"):
        IceCredentials.from_scope(scope_of(ice_ufrag="u" * ufrag, ice_pwd="p" * password))


@covers("SD3")
@pytest.mark.parametrize(
    "scope",
    [
        scope_of(ice_ufrag="abcd"),
        scope_of(ice_pwd="p" * 22),
        scope_of(ice_ufrag="ab:cd", ice_pwd="p" * 22),
        scope_of(ice_ufrag="abcd", ice_pwd="p" * 21 + "é"),
        scope_of(ice_ufrag="", ice_pwd=""),
    ],
)
def test_malformed_credentials_are_rejected(scope: Scope) -> None:
    with pytest.raises(SdpError) as raised:
        IceCredentials.from_scope(scope)
    assert raised.type is SdpError


@covers("SE3")
@pytest.mark.parametrize("text", ["SHA-256 ab:cd:0f", "sha-256 ABCD0F", "sha-256  AB:CD:0F"])
def test_fingerprint_case_and_colons_are_normalized(text: str) -> None:
    assert Fingerprint.parse(text) == Fingerprint("sha-256", "AB:CD:0F")
    assert Fingerprint.parse(text).to_sdp() == "sha-256 AB:CD:0F"


@covers("SD3")
@pytest.mark.parametrize("text", ["", "sha-256", "sha-256 ", "sha-256 A:B", "sha-256 GG", "sha-256 AB::CD", "é AB"])
def test_malformed_fingerprints_are_rejected(text: str) -> None:
    with pytest.raises(SdpError, match="malformed a=fingerprint"):
        Fingerprint.parse(text)


# ---------------------------------------------------------------------------------------------- any bytes, and time


@covers("SD5")
@pytest.mark.parametrize(
    ("body", "limit"),
    [
        ("a=x\n" * MAX_LINES, f"more than {MAX_LINES} lines"),
        ("\n" * MAX_LINES, f"more than {MAX_LINES} lines"),
        ("m=audio 9 RTP/AVP 0\n" * (MAX_SECTIONS + 1), f"more than {MAX_SECTIONS} media sections"),
        ("m=audio 9 RTP/AVP" + " 1" * (MAX_FORMATS + 1), f"more than {MAX_FORMATS} formats"),
    ],
    ids=["attributes", "blank lines", "sections", "formats"],
)
def test_description_beyond_a_limit_is_malformed(body: str, limit: str) -> None:
    with pytest.raises(SdpError, match=limit):
        SessionDescription.parse(MINIMAL + body)


def test_description_at_the_limits_is_parsed() -> None:
    sections = f"m=audio 9 RTP/AVP{' 1' * MAX_FORMATS}\n" * MAX_SECTIONS
    lines = "a=x\n" * (MAX_LINES - MAX_SECTIONS - len(MINIMAL.splitlines()) - 1)
    assert len(SessionDescription.parse(MINIMAL + sections + lines).media) == MAX_SECTIONS


@covers("SE70")
@given(st.binary() | st.text() | st.lists(st.text(max_size=30)).map(lambda lines: "v=0\n" + "\na=".join(lines)))
def test_any_input_is_parsed_or_raises_sdp_error(data: bytes | str) -> None:
    with contextlib.suppress(SdpError):
        SessionDescription.parse(data)
    with contextlib.suppress(SdpError):
        Fingerprint.parse(str(data))


@covers("SD5", "SE70")
@pytest.mark.parametrize(
    "body",
    [
        "a=candidate:1 1 udp 1 192.0.2.1 50000 typ host\n" * 2_700,
        "a=x\n" * 32_000,
        "m=audio 9 RTP/AVP 0\n" * 6_500,
        "a=" + "x" * 128_000,
        "m=audio 9 RTP/AVP" + " 1" * 64_000,
        "a=group:BUNDLE" + " 1" * 64_000,
        "a=fingerprint:sha-256 " + "AB:" * 43_000,
        "\n" * 128_000,
        "\r" * 128_000,
    ],
    ids=["candidates", "attributes", "sections", "long line", "formats", "group", "fingerprint", "LF", "CR"],
)
def test_description_of_128_kib_takes_less_than_half_a_second(body: str) -> None:
    start_s = time.process_time()
    with contextlib.suppress(SdpError):
        SessionDescription.parse(MINIMAL + body)
    assert time.process_time() - start_s < 0.5
