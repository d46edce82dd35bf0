"""The guest page in Firefox, against the stub: its offer, and a whole call."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from bass_webrtc.signaling.messages import Request, Response
from support.browsers import Tab
from support.desk_stub import DeskStub
from support.page_stub import refusal
from support.patience import wait_until
from support.reruns import real_time_audio
from support.studio import Studio
from support.whip_sink import CallSink

pytestmark = real_time_audio

pytest.importorskip("aiortc", reason="needs aiortc from PyPI")


@pytest.fixture
def stub(firefox_studio: Studio) -> Iterator[DeskStub]:
    """Where Firefox can reach it, with its loop and everything that the loop opens."""
    assert firefox_studio.host is not None
    with firefox_studio.host.entered():
        running = DeskStub(firefox_studio.address)
    with running:
        yield running


def wait_for(tab: Tab, expression: str, timeout_s: float = 20.0) -> Any:
    """Wait until an expression is truthy; return its value."""
    deadline = time.monotonic() + timeout_s
    while not (value := tab.evaluate(expression)):
        assert time.monotonic() < deadline, f"{expression} is still false; {tab.evaluate('document.body.innerText')}"
        time.sleep(0.1)
    return value


def test_offer_of_firefox_has_one_section_that_sends_and_receives(firefox_studio: Studio, stub: DeskStub) -> None:
    stub.sessions.posts = [refusal(403, "enough")]
    tab = firefox_studio.browser.open(f"{stub.url}call?invite=s3cret&name=Anna")
    wait_for(tab, "window.bassWebrtc?.caller !== undefined")
    tab.evaluate("document.getElementById('join').click()")
    wait_for(tab, "bassWebrtc.caller.state === 'failed'")
    tab.close()
    [post] = stub.sessions.of("POST")
    lines = post.body.decode().split("\r\n")
    assert post.query == "invite=s3cret&name=Anna"
    assert [line.split()[0] for line in lines if line.startswith("m=")] == ["m=audio"]
    assert "a=sendrecv" in lines
    opus = next(line.split()[0].partition(":")[2] for line in lines if "opus/48000/2" in line)
    [parameters] = [line for line in lines if line.startswith(f"a=fmtp:{opus} ")]
    assert "stereo=1" in parameters


def test_firefox_hears_and_is_heard(firefox_studio: Studio, stub: DeskStub) -> None:
    sink = CallSink()

    async def answer(request: Request) -> Response:
        body = await sink.answer(request.body.decode())
        fields = (("Content-Type", "application/sdp"), ("Location", "/call/mine"))
        return Response(201, fields, body.encode())

    stub.sessions.posts = [answer]
    stub.sessions.guest = {"name": "Anna", "state": "on_air", "position": None}
    tab = firefox_studio.browser.open(f"{stub.url}call")
    wait_for(tab, "window.bassWebrtc?.caller !== undefined")
    tab.evaluate("document.getElementById('join').click()")
    wait_for(tab, "document.getElementById('call-dial').dataset.state === 'on-air'")
    wait_until(lambda: sink.peak > 0.01)
    wait_for(tab, "bassWebrtc.caller.stats?.heard?.packetsReceived > 50")
    wait_for(tab, "!document.querySelector('audio').paused")
    wait_for(tab, "Math.max(...bassWebrtc.microphoneLevels()) > -40")
    tab.evaluate("document.getElementById('leave').click()")
    wait_until(lambda: [request.path for request in stub.sessions.of("DELETE")] == ["/call/mine"])
    tab.close()
    stub.run(sink.close())
