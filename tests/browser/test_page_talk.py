"""The Talk side of the page: microphone, presets, mute, push-to-talk, and the audio that the server receives."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from bass_webrtc.signaling.messages import Request, Response
from support.browsers import Chromium
from support.conformance import covers
from support.page_driver import talk, wait_for_state
from support.page_stub import PageStub, refusal
from support.patience import wait_until
from support.reruns import real_time_audio
from support.whip_sink import WhipSink

pytestmark = real_time_audio

pytest.importorskip("aiortc", reason="needs aiortc from PyPI")


@pytest.fixture
def stub(stub: PageStub) -> PageStub:
    """The stub with a WHIP endpoint in addition."""
    stub.endpoint.paths = ["/whep", "/whip"]
    return stub


@pytest.fixture
def sink(stub: PageStub) -> Iterator[WhipSink]:
    running = WhipSink()

    async def publish(request: Request) -> Response:
        answer = await running.answer(request.body.decode())
        fields = (("Content-Type", "application/sdp"), ("Location", "/whip/mine"))
        return Response(201, fields, answer.encode())

    stub.endpoint.posts = [publish]
    yield running
    stub.run(running.close())


@pytest.fixture
def page(chromium: Chromium, stub: PageStub) -> Iterator[Any]:
    tab = chromium.open(stub.url)
    tab.page.wait_for_selector("#talk:visible")
    yield tab.page
    tab.close()


def test_server_without_whip_has_no_talk_side(chromium: Chromium, stub: PageStub) -> None:
    stub.endpoint.paths = ["/whep"]
    tab = chromium.open(stub.url)
    tab.page.wait_for_load_state("networkidle")
    assert not tab.page.is_visible("#talk")
    assert not tab.page.is_visible("#talk-panel")
    assert tab.page.evaluate("bassWebrtc.publisher === undefined")
    tab.close()


def test_microphone_reaches_the_server(page: Any, sink: WhipSink) -> None:
    talk(page)
    assert page.inner_text("#talk-title") == "You are on air"
    # The fake microphone beeps once a second.
    wait_until(lambda: sink.peak > 0.01)
    page.wait_for_function("() => bassWebrtc.publisher.stats?.bitrateKbps > 0")


@covers("CL10")
def test_hang_up_ends_the_session_and_closes_the_microphone(page: Any, stub: PageStub, sink: WhipSink) -> None:
    talk(page)
    page.evaluate("() => { window.track = bassWebrtc.publisher.stream.getAudioTracks()[0] }")
    page.click("#talk")
    wait_for_state(page, "idle", who="publisher")
    assert page.evaluate("track.readyState") == "ended"
    wait_until(lambda: [request.path for request in stub.endpoint.of("DELETE")] == ["/whip/mine"])


def test_mute_sends_silence(page: Any, sink: WhipSink) -> None:
    talk(page)
    page.click("#mute")
    assert page.inner_text("#talk-title") == "Muted"
    assert page.get_attribute("#mute", "aria-pressed") == "true"
    frames = sink.frames
    wait_until(lambda: sink.frames > frames + 100)
    assert sink.peak < 0.001
    page.click("#mute")
    wait_until(lambda: sink.peak > 0.01)


def test_push_to_talk_opens_the_microphone_while_the_key_is_held(page: Any, sink: WhipSink) -> None:
    page.check("#pushToTalk")
    talk(page)
    muted = "bassWebrtc.publisher.muted"
    assert page.inner_text("#talk-title") == "Push to talk"
    assert page.evaluate(muted) is True
    page.keyboard.down("t")
    assert page.evaluate(muted) is False
    assert page.inner_text("#talk-title") == "You are on air"
    page.keyboard.up("t")
    assert page.evaluate(muted) is True
    page.locator("#mute").hover()
    page.mouse.down()
    assert page.evaluate(muted) is False
    page.mouse.up()
    assert page.evaluate(muted) is True


def test_push_to_talk_is_released_when_the_page_loses_focus(page: Any, sink: WhipSink) -> None:
    page.check("#pushToTalk")
    talk(page)
    page.keyboard.down("t")
    page.evaluate("dispatchEvent(new Event('blur'))")
    assert page.evaluate("bassWebrtc.publisher.muted") is True


def test_key_does_nothing_without_push_to_talk(page: Any, sink: WhipSink) -> None:
    """WCAG 2.1.4: single-letter shortcuts are off by default."""
    talk(page)
    page.keyboard.press("t")
    assert page.evaluate("bassWebrtc.publisher.muted") is False


def test_voice_preset_is_the_default_and_avoids_feedback(page: Any, sink: WhipSink) -> None:
    """All processing is on, the microphone is mono, and the programme is ducked while talking."""
    talk(page)
    settings = page.evaluate("bassWebrtc.publisher.stream.getAudioTracks()[0].getSettings()")
    processing = [settings[name] for name in ("echoCancellation", "noiseSuppression", "autoGainControl")]
    assert processing == [True, True, True]
    assert settings["channelCount"] == 1
    assert page.evaluate("document.getElementById('audio').volume") == pytest.approx(0.2)
    page.click("#mute")
    assert page.evaluate("document.getElementById('audio').volume") == 1
    assert "sprop-stereo=0" in sink.offer


def test_music_preset_sends_unprocessed_stereo(page: Any, sink: WhipSink) -> None:
    page.check("input[value=music]", force=True)
    talk(page)
    settings = page.evaluate("bassWebrtc.publisher.stream.getAudioTracks()[0].getSettings()")
    processing = [settings[name] for name in ("echoCancellation", "noiseSuppression", "autoGainControl")]
    assert processing == [False, False, False]
    assert settings["channelCount"] == 2
    assert "sprop-stereo=1" in sink.offer
    remote = page.evaluate("bassWebrtc.publisher.pc.currentRemoteDescription.sdp")
    assert "stereo=1" in remote
    assert "maxaveragebitrate=160000" in remote


def test_stereo_is_disabled_with_echo_cancellation(page: Any) -> None:
    assert page.is_disabled("#stereo")
    assert page.is_visible("#stereo-hint")
    page.uncheck("#echoCancellation")
    assert page.is_enabled("#stereo")
    assert page.locator("input[name=preset]:checked").count() == 0


def test_settings_are_remembered(page: Any, stub: PageStub) -> None:
    page.uncheck("#noiseSuppression")
    page.goto(stub.url)
    page.wait_for_selector("#talk:visible")
    assert not page.is_checked("#noiseSuppression")
    assert page.is_checked("#echoCancellation")


def test_settings_change_while_talking_without_a_new_session(page: Any, stub: PageStub, sink: WhipSink) -> None:
    talk(page)
    page.uncheck("#noiseSuppression")
    page.wait_for_function(
        "() => bassWebrtc.publisher.stream?.getAudioTracks()[0].getSettings().noiseSuppression === false"
    )
    frames = sink.frames
    wait_until(lambda: sink.frames > frames + 50)
    assert len(stub.endpoint.of("POST")) == 1


def hold_microphone(page: Any) -> None:
    """Keep the microphone waiting, as a permission prompt does, until the page calls ``allow()``."""
    page.evaluate(
        """() => {
            const open = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
            window.streams = [];
            navigator.mediaDevices.getUserMedia = async (constraints) => {
                const stream = await open(constraints);
                window.streams.push(stream);
                await new Promise((resolve) => (window.allow = resolve));
                return stream;
            };
        }"""
    )


def wait_for_prompt(page: Any, number: int) -> None:
    page.wait_for_function("(number) => streams.length === number", arg=number)


def test_settings_changed_during_the_permission_prompt_are_used(page: Any, stub: PageStub, sink: WhipSink) -> None:
    hold_microphone(page)
    page.click("#talk")
    wait_for_prompt(page, 1)
    page.check("input[value=music]", force=True)
    page.evaluate("allow()")
    wait_for_prompt(page, 2)
    page.evaluate("allow()")
    wait_for_state(page, "live", who="publisher")
    settings = page.evaluate("bassWebrtc.publisher.stream.getAudioTracks()[0].getSettings()")
    assert [settings["noiseSuppression"], settings["channelCount"]] == [False, 2]
    assert page.evaluate("streams.map((stream) => stream.getAudioTracks()[0].readyState)") == ["ended", "live"]
    assert len(stub.endpoint.of("POST")) == 1


def test_hang_up_during_the_permission_prompt_closes_the_microphone(page: Any, stub: PageStub) -> None:
    """Also if the settings have changed, which would open it again."""
    hold_microphone(page)
    page.click("#talk")
    wait_for_prompt(page, 1)
    page.check("input[value=music]", force=True)
    page.click("#talk")
    page.evaluate("allow()")
    page.wait_for_function("() => streams[0].getAudioTracks()[0].readyState === 'ended'")
    assert page.evaluate("bassWebrtc.publisher.state") == "idle"
    assert page.evaluate("streams.length") == 1
    assert stub.endpoint.of("POST") == []


def test_another_microphone_can_be_chosen_while_talking(page: Any, stub: PageStub, sink: WhipSink) -> None:
    """Microphones have names once one is open. The session continues, and the choice is remembered."""
    talk(page)
    names = page.locator("#microphone option").all_inner_texts()
    assert names[0] == "Default microphone"
    page.select_option("#microphone", label=names[-1])
    chosen = page.input_value("#microphone")
    assert chosen
    page.wait_for_function(
        "(id) => bassWebrtc.publisher.stream?.getAudioTracks()[0].getSettings().deviceId === id", arg=chosen
    )
    frames = sink.frames
    wait_until(lambda: sink.frames > frames + 50)
    assert len(stub.endpoint.of("POST")) == 1
    page.goto(stub.url)
    page.wait_for_function("(id) => document.getElementById('microphone').value === id", arg=chosen)


def test_meter_shows_the_microphone(page: Any, sink: WhipSink) -> None:
    """The fake microphone beeps once a second; muting and hanging up show silence."""
    loudest = "Math.max(...bassWebrtc.microphoneLevels())"
    shown = "document.querySelector('#talk-dial .bar').getAttribute('aria-valuenow')"
    talk(page)
    page.wait_for_function(f"() => {loudest} > -30 && {shown} > -30")
    page.click("#mute")
    page.wait_for_function(f"() => {loudest} < -100")
    page.click("#mute")
    page.wait_for_function(f"() => {loudest} > -30")
    page.click("#talk")
    page.wait_for_function(f"() => {loudest} < -100 && {shown} === '-60'")


def test_bitrate_fader_sets_the_bitrate(page: Any, stub: PageStub, sink: WhipSink) -> None:
    """Immediately through the sender's parameters, and in the answer of the next connection."""
    talk(page)
    page.evaluate(
        """() => {
            const fader = document.getElementById("bitrate");
            fader.value = 96;
            fader.dispatchEvent(new Event("input"));
            fader.dispatchEvent(new Event("change"));
        }"""
    )
    assert page.inner_text("#bitrate-value") == "96 kbit/s"
    limit = "bassWebrtc.publisher.pc.getSenders()[0].getParameters().encodings[0].maxBitrate"
    page.wait_for_function(f"() => {limit} === 96000")
    page.click("#talk")
    wait_for_state(page, "idle", who="publisher")
    talk(page)
    assert "maxaveragebitrate=96000" in page.evaluate("bassWebrtc.publisher.pc.currentRemoteDescription.sdp")


def test_publisher_reconnects_after_the_server_ends_the_session(page: Any, stub: PageStub, sink: WhipSink) -> None:
    """With the same microphone, so without a new permission prompt."""
    talk(page)
    page.evaluate("() => { window.track = bassWebrtc.publisher.stream.getAudioTracks()[0] }")
    stub.run(sink.close())
    page.wait_for_function("() => bassWebrtc.publisher.state !== 'live'")
    wait_for_state(page, "live", who="publisher")
    assert len(stub.endpoint.of("POST")) == 2
    assert page.evaluate("bassWebrtc.publisher.stream.getAudioTracks()[0] === track && track.readyState === 'live'")
    assert page.inner_text("#talk-title") == "You are on air"
    frames = sink.frames
    wait_until(lambda: sink.frames > frames + 50)


def test_publish_token_is_separate_from_the_play_token(page: Any, stub: PageStub) -> None:
    stub.endpoint.posts = [refusal(401, "no token"), refusal(403, "enough")]
    page.click("#talk")
    page.wait_for_selector("dialog[open]")
    page.fill("#token", "sesame")
    page.keyboard.press("Enter")
    wait_until(lambda: len(stub.endpoint.of("POST")) == 2)
    sent = [(request.path, request.headers.get("Authorization")) for request in stub.endpoint.of("POST")]
    assert sent == [("/whip", None), ("/whip", "Bearer sesame")]


def test_plain_http_page_explains_the_missing_microphone(chromium: Chromium, stub: PageStub) -> None:
    url = stub.url.replace("127.0.0.1", "radio.test")
    tab = chromium.open(url)
    tab.page.wait_for_selector("#talk:visible")
    assert tab.page.inner_text("#talk-title") == "The microphone requires HTTPS"
    assert url.rstrip("/") in tab.page.inner_text("#talk-advice")
    tab.close()


def test_denied_microphone_is_reported(page: Any, sink: WhipSink) -> None:
    page.evaluate(
        "() => { navigator.mediaDevices.getUserMedia = async () => { throw new DOMException('', 'NotAllowedError') } }"
    )
    page.click("#talk")
    wait_for_state(page, "failed", who="publisher")
    assert page.inner_text("#talk-title") == "Microphone access denied"


def test_unplugged_microphone_ends_the_session(page: Any, stub: PageStub, sink: WhipSink) -> None:
    talk(page)
    page.evaluate("bassWebrtc.publisher.stream.getAudioTracks()[0].dispatchEvent(new Event('ended'))")
    wait_for_state(page, "failed", who="publisher")
    assert page.inner_text("#talk-title") == "Microphone disconnected"
    wait_until(lambda: len(stub.endpoint.of("DELETE")) == 1)


def test_talk_side_is_not_wider_than_the_screen(page: Any) -> None:
    for width_px in (320, 390, 768, 1280):
        page.set_viewport_size({"width": width_px, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") == width_px
