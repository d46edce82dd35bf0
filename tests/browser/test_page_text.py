"""Unit tests of the page's sdp.js and dial.js, run in Chromium."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from support.browsers import Chromium
from support.conformance import covers
from support.page_stub import PageStub

Call = Callable[..., Any]

ANSWER = "\r\n".join(
    (
        "v=0",
        "a=ice-lite",
        "m=audio 8189 UDP/TLS/RTP/SAVPF 111",
        "a=mid:0",
        "a=ice-ufrag:old1",
        "a=ice-pwd:oldoldoldoldoldoldoldold",
        "a=rtpmap:111 opus/48000/2",
        "a=fmtp:111 useinbandfec=1; sprop-stereo=1",
        "a=candidate:1 1 udp 1 192.0.2.1 8189 typ host",
        "a=end-of-candidates",
        "a=sendonly",
        "",
    )
)


@pytest.fixture(scope="module")
def call(chromium: Chromium) -> Iterator[Call]:
    """Calls an exported function of one of the page's modules."""
    with PageStub() as stub:
        page = chromium.open(stub.url).page

        def run(module: str, name: str, *arguments: Any) -> Any:
            script = "([module, name, given]) => import(module).then((loaded) => loaded[name](...given) ?? null)"
            return page.evaluate(script, [f"{stub.url}{module}.js", name, list(arguments)])

        yield run


@covers("OP4")
@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("a=fmtp:111 minptime=10;useinbandfec=1", "a=fmtp:111 minptime=10;useinbandfec=1;stereo=1"),
        ("a=fmtp:111 STEREO=0 ; useinbandfec=1;", "a=fmtp:111 stereo=1;useinbandfec=1"),
        ("a=sendonly", "a=fmtp:111 stereo=1\r\na=sendonly"),
    ],
)
def test_stereo_is_added_to_the_opus_format(call: Call, before: str, after: str) -> None:
    head = "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111 63\r\na=rtpmap:111 OPUS/48000/2\r\n"
    tail = "\r\na=rtpmap:63 red/48000/2\r\na=fmtp:63 111/111\r\n"
    written = call("sdp", "setOpusParameters", head + before + tail, {"stereo": 1})
    assert written == head + after + tail


def test_nack_is_offered_once_for_opus_only(call: Call) -> None:
    offer = "v=0\r\na=rtpmap:63 red/48000/2\r\na=rtpmap:111 OPUS/48000/2\r\na=rtcp-fb:111 transport-cc\r\n"
    written = call("sdp", "offerNack", offer)
    assert written == offer.replace("48000/2\r\na=rtcp-fb", "48000/2\r\na=rtcp-fb:111 nack\r\na=rtcp-fb")
    assert call("sdp", "offerNack", written) == written


def test_parameter_is_removed(call: Call) -> None:
    assert "sprop-stereo" not in call("sdp", "setOpusParameters", ANSWER, {"sprop-stereo": None})


def test_parameter_is_read(call: Call) -> None:
    assert call("sdp", "opusParameter", ANSWER, "sprop-stereo") == "1"
    assert call("sdp", "opusParameter", ANSWER, "cbr") is None


@covers("CL7")
def test_fragment_carries_credentials_mid_and_candidates(call: Call) -> None:
    fragment = call("sdp", "buildFragment", ANSWER, ["candidate:2 1 udp 1 192.0.2.9 9 typ host"], True)
    assert fragment.split("\r\n") == [
        "a=ice-ufrag:old1",
        "a=ice-pwd:oldoldoldoldoldoldoldold",
        "m=audio 8189 UDP/TLS/RTP/SAVPF 111",
        "a=mid:0",
        "a=candidate:2 1 udp 1 192.0.2.9 9 typ host",
        "a=end-of-candidates",
        "",
    ]


@covers("CL9", "WS27")
def test_restart_replaces_only_credentials_and_candidates(call: Call) -> None:
    fragment = (
        "a=ice-lite\na=ice-ufrag:new1\na=ice-pwd:newnewnewnewnewnewnewnew\nm=audio 9 X 0\na=mid:0\na=candidate:7 x\n"
    )
    restarted = call("sdp", "applyRestart", ANSWER, fragment).split("\r\n")
    replaced = {line for line in ANSWER.split("\r\n") if "old" in line or "candidate" in line}
    assert replaced.isdisjoint(restarted)
    assert [line for line in restarted if line not in ANSWER.split("\r\n")] == [
        "a=ice-ufrag:new1",
        "a=ice-pwd:newnewnewnewnewnewnewnew",
        "a=candidate:7 x",
    ]


def test_restart_without_credentials_is_refused(call: Call) -> None:
    assert call("sdp", "applyRestart", ANSWER, "a=candidate:7 x\r\n") is None


@covers("CL4")
@pytest.mark.parametrize(
    ("header", "urls"),
    [
        (None, []),
        ("", []),
        ('<stun:a.example>; rel="ice-server"', ["stun:a.example"]),
        (
            "<stun:a.example>;rel=ice-server, <turns:b.example:443>; REL=ice-server",
            ["stun:a.example", "turns:b.example:443"],
        ),
        ('<turn:a.example%3Ftransport=udp>; rel="ice-server"', ["turn:a.example?transport=udp"]),
        ('<https://a.example/,x>; rel="ice-server", <stun:b.example>; rel="other"', []),
        ('<stun:unfinished; rel="ice-server"', []),
    ],
)
def test_ice_servers_are_parsed_from_the_link_header(call: Call, header: str | None, urls: list[str]) -> None:
    assert [server["urls"] for server in call("sdp", "iceServersOf", header)] == urls


@pytest.mark.parametrize(("db", "share"), [(-200, 0), (-60, 0), (-35, 0.225), (-20, 0.5), (-9, 0.775), (0, 1), (3, 1)])
def test_dial_has_the_scale_of_a_digital_peak_meter(call: Call, db: float, share: float) -> None:
    assert call("dial", "share", db) == pytest.approx(share)
