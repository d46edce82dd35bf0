"""The guest page: offer, state of the call, microphone, sound, and what it says when something is wrong.

The server is a stub that answers with aiortc and whose states each test sets.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

import pytest

from bass_webrtc.signaling.messages import Refused, Request, Response
from support.browsers import Chromium
from support.desk_stub import DeskStub
from support.page_stub import refusal
from support.patience import wait_until
from support.reruns import real_time_audio
from support.whip_sink import CallSink

pytestmark = real_time_audio

pytest.importorskip("aiortc", reason="needs aiortc from PyPI")

INVITE = "?invite=s3cret"
MARKUP = "<img src=x onerror=alert(1)>"


@pytest.fixture
def stub() -> Iterator[DeskStub]:
    with DeskStub() as running:
        yield running


@pytest.fixture
def sink(stub: DeskStub) -> Iterator[CallSink]:
    running = CallSink()

    async def answer(request: Request) -> Response:
        body = await running.answer(request.body.decode())
        fields = (("Content-Type", "application/sdp"), ("Location", "/call/mine"))
        return Response(201, fields, body.encode())

    stub.sessions.posts = [answer]
    yield running
    stub.run(running.close())


@pytest.fixture
def open_page(chromium: Chromium, stub: DeskStub) -> Iterator[Any]:
    """Opens the guest page with a query."""
    tabs = []

    def opened(query: str = INVITE) -> Any:
        tab = chromium.open(f"{stub.url}call{query}")
        tabs.append(tab)
        tab.page.wait_for_function("() => window.bassWebrtc?.caller !== undefined")
        return tab.page

    yield opened
    for tab in tabs:
        tab.close()


def wait_for_state(page: Any, state: str, timeout_s: float = 15.0) -> None:
    page.wait_for_function("(state) => bassWebrtc.caller.state === state", arg=state, timeout=1000 * timeout_s)


def wait_for_title(page: Any, title: str) -> None:
    page.wait_for_function(
        "(title) => document.getElementById('call-title').textContent === title", arg=title, timeout=15_000
    )


def join(page: Any, until: str = "live") -> None:
    page.click("#join")
    wait_for_state(page, until)


def lamp(page: Any) -> str:
    return str(page.get_attribute("#call-dial", "data-state"))


def posted(stub: DeskStub) -> list[Request]:
    return stub.sessions.of("POST")


def test_offer_has_one_section_that_sends_and_receives(open_page: Any, stub: DeskStub) -> None:
    """Stereo for what the guest hears, requests for lost packets, and the shortest jitter buffer."""
    stub.sessions.posts = [refusal(403, "enough")]
    stub.sessions.post_delay_s = 0.5
    page = open_page()
    page.click("#join")
    page.wait_for_function("() => bassWebrtc.caller.pc !== null")
    assert page.evaluate("bassWebrtc.caller.pc.getReceivers().map((receiver) => receiver.jitterBufferTarget)") == [0]
    wait_for_state(page, "failed")
    [post] = posted(stub)
    lines = post.body.decode().split("\r\n")
    assert post.headers.get("Content-Type") == "application/sdp"
    assert [line.split()[0] for line in lines if line.startswith("m=")] == ["m=audio"]
    assert "a=sendrecv" in lines
    opus = next(line for line in lines if line.startswith("a=fmtp:111 "))
    assert {"stereo=1", "sprop-stereo=0"} <= set(opus.removeprefix("a=fmtp:111 ").split(";"))
    assert "a=rtcp-fb:111 nack" in lines


def test_invite_and_name_are_sent(open_page: Any, stub: DeskStub) -> None:
    """Percent-encoded, also a space."""
    stub.sessions.posts = [refusal(403, "enough")]
    page = open_page("?invite=a%2Bb")
    page.fill("#name", "  Zoë & Ben + 1 ")
    join(page, until="failed")
    [post] = posted(stub)
    assert post.path == "/call"
    assert re.fullmatch(r"[\w.%&=~-]+", post.query)
    pairs = [pair.split("=") for pair in post.query.split("&")]
    assert {key: unquote(value) for key, value in pairs} == {"invite": "a+b", "name": "Zoë & Ben + 1"}


def test_turn_servers_are_asked_for_with_the_invite(open_page: Any, stub: DeskStub) -> None:
    """The server gives their credentials only to those who may call."""
    turn = '<turn:turn.invalid?transport=udp>; rel="ice-server"; username="a"; credential="b"'
    stub.sessions.links = (("Link", turn),)
    stub.sessions.post_delay_s = 5
    page = open_page()
    page.wait_for_function("() => bassWebrtc.caller.iceServers.length > 0")
    page.click("#join")
    page.wait_for_function("() => bassWebrtc.caller.pc !== null")
    [server] = page.evaluate("bassWebrtc.caller.pc.getConfiguration().iceServers")
    assert (server["urls"], server["credential"]) == (["turn:turn.invalid?transport=udp"], "b")
    assert {(request.path, request.query) for request in stub.sessions.of("OPTIONS")} == {("/call", "invite=s3cret")}


def test_name_is_remembered_and_the_link_names_the_guest(open_page: Any, stub: DeskStub) -> None:
    stub.sessions.posts = [refusal(403, "enough")]
    page = open_page()
    page.fill("#name", "Ben")
    join(page, until="failed")
    page.goto(f"{stub.url}call{INVITE}")
    assert page.input_value("#name") == "Ben"
    assert open_page(INVITE + "&name=Anna%20B").input_value("#name") == "Anna B"


def test_lamp_shows_each_state(open_page: Any, stub: DeskStub, sink: CallSink) -> None:
    """Within about a second. The position in the queue is shown if the server knows it."""
    page = open_page()
    assert (lamp(page), page.inner_text("#call-title")) == ("idle", "Ready to call")
    stub.sessions.guest = {"name": "Anna", "state": "waiting", "position": 3}
    join(page)
    wait_for_title(page, "Waiting")
    assert lamp(page) == "queue"
    assert page.inner_text("#call-advice").startswith("You are number 3 in the queue.")
    stub.sessions.guest = {"name": "Anna", "state": "waiting", "position": 1}
    page.wait_for_function("() => document.getElementById('call-advice').textContent.startsWith('You are next.')")
    stub.sessions.guest = {"name": "Anna", "state": "waiting", "position": None}
    page.wait_for_function("() => document.getElementById('call-advice').textContent.startsWith('You hear the')")
    stub.sessions.guest = {"name": "Anna", "state": "on_air", "position": None}
    wait_for_title(page, "On air")
    assert lamp(page) == "on-air"
    assert page.inner_text("#call-advice") == "Everybody hears you, Anna."
    stub.sessions.guest = {"name": "Anna", "state": "private", "position": None}
    wait_for_title(page, "Talking with the producer")
    assert lamp(page) == "private"
    assert {request.path for request in stub.sessions.of("GET")} == {"/call/mine"}


def test_guest_hears_and_is_heard(open_page: Any, sink: CallSink) -> None:
    page = open_page()
    join(page)
    wait_until(lambda: sink.peak > 0.01)  # The fake microphone beeps once a second.
    page.wait_for_function("() => bassWebrtc.caller.stats?.heard?.totalSamplesReceived > 48000")
    level = """() => new Promise((resolve) => {
        const context = new AudioContext();
        const analyser = new AnalyserNode(context, { fftSize: 2048 });
        context.createMediaStreamSource(bassWebrtc.speaker.stream).connect(analyser);
        setTimeout(() => {
            const samples = new Float32Array(2048);
            analyser.getFloatTimeDomainData(samples);
            resolve(20 * Math.log10(Math.max(...samples)));
        }, 500);
    })"""
    assert page.evaluate(level) == pytest.approx(sink.LEVEL_DBFS, abs=1.5)
    assert page.evaluate(
        "(({ paused, muted, volume }) => [paused, muted, volume])(document.querySelector('audio'))"
    ) == [
        False,
        False,
        1,
    ]


def test_mute_sends_silence_and_says_so(open_page: Any, sink: CallSink) -> None:
    page = open_page()
    join(page)
    wait_for_title(page, "Waiting")
    page.click("#mute")
    assert page.get_attribute("#mute", "aria-pressed") == "true"
    assert page.inner_text("#call-advice") == "Your microphone is muted: nobody hears you."
    frames = sink.frames
    wait_until(lambda: sink.frames > frames + 100)
    assert sink.peak < 0.001
    page.click("#mute")
    wait_until(lambda: sink.peak > 0.01)


def test_volume_changes_what_the_guest_hears(open_page: Any, sink: CallSink) -> None:
    page = open_page()
    join(page)
    page.focus("#volume")
    for _ in range(3):
        page.keyboard.press("PageDown")
    assert page.evaluate("document.querySelector('audio').volume") == pytest.approx(0.7)
    assert page.inner_text("#volume-value") == "70 %"


def test_microphone_can_be_tested_before_joining(open_page: Any, stub: DeskStub, sink: CallSink) -> None:
    """The meter moves, no offer is sent, and joining uses the same microphone."""
    page = open_page()
    page.evaluate("navigator.permissions.query = async () => ({ state: 'prompt' })")
    if page.evaluate("bassWebrtc.caller.stream === null"):
        page.click("#test")
    page.wait_for_function("() => Math.max(...bassWebrtc.microphoneLevels()) > -30")
    page.wait_for_function("() => document.querySelector('[role=meter]').getAttribute('aria-valuenow') > -30")
    page.evaluate("() => { window.track = bassWebrtc.caller.stream.getAudioTracks()[0] }")
    assert posted(stub) == []
    join(page)
    assert page.evaluate("bassWebrtc.caller.pc.getSenders()[0].track === track && track.readyState === 'live'")


def test_test_of_the_microphone_can_be_stopped(open_page: Any) -> None:
    page = open_page()
    if page.evaluate("bassWebrtc.caller.stream === null"):
        page.click("#test")
    page.wait_for_function("() => bassWebrtc.caller.stream !== null")
    page.evaluate("() => { window.track = bassWebrtc.caller.stream.getAudioTracks()[0] }")
    page.click("#test")
    assert page.evaluate("track.readyState") == "ended"
    assert page.inner_text("#test") == "Test microphone"


def test_settings_of_the_microphone_change_during_the_call(open_page: Any, stub: DeskStub, sink: CallSink) -> None:
    page = open_page()
    page.click("summary")
    join(page)
    page.uncheck("#noiseSuppression")
    page.wait_for_function(
        "() => bassWebrtc.caller.stream?.getAudioTracks()[0].getSettings().noiseSuppression === false"
    )
    frames = sink.frames
    wait_until(lambda: sink.frames > frames + 50)
    assert len(posted(stub)) == 1


def test_headphones_are_needed_without_echo_cancellation(open_page: Any) -> None:
    page = open_page()
    assert page.inner_text("#headphones").startswith("Use headphones if you can")
    page.click("summary")
    page.uncheck("#echoCancellation")
    assert page.inner_text("#headphones").startswith("Use headphones: without echo cancellation")


def test_leaving_ends_the_session_and_the_guest_can_call_again(open_page: Any, stub: DeskStub, sink: CallSink) -> None:
    page = open_page()
    join(page)
    page.evaluate("() => { window.track = bassWebrtc.caller.stream.getAudioTracks()[0] }")
    page.click("#leave")
    assert page.inner_text("#call-title") == "You have left the call"
    assert page.evaluate("track.readyState") == "ended"
    wait_until(lambda: [request.path for request in stub.sessions.of("DELETE")] == ["/call/mine"])
    assert page.inner_text("#join-label") == "Call again"
    join(page)
    assert len(posted(stub)) == 2


@pytest.mark.parametrize(
    ("gone", "advice"),
    [
        (Response(404), "The producer has hung up."),
        (Refused(410, "the show is over").response(), "The show is over."),
    ],
    ids=["no reason", "reason"],
)
def test_hang_up_by_the_producer_is_not_followed_by_another_call(
    open_page: Any, stub: DeskStub, sink: CallSink, gone: Response, advice: str
) -> None:
    """Although the server closes the connection, which otherwise means that it is lost."""
    page = open_page()
    join(page)
    stub.sessions.gone = gone
    stub.run(sink.close())
    wait_for_title(page, "The call has ended")
    assert page.inner_text("#call-advice") == advice
    assert page.inner_text("#join-label") == "Call again"
    page.wait_for_timeout(1500)
    assert len(posted(stub)) == 1
    assert page.evaluate("bassWebrtc.caller.stream") is None


def test_call_reconnects_when_the_server_closes_the_connection_but_keeps_the_call(
    open_page: Any, stub: DeskStub, sink: CallSink
) -> None:
    page = open_page()
    join(page)
    stub.run(sink.close())
    wait_until(lambda: len(posted(stub)) == 2)
    wait_for_state(page, "live")
    wait_for_title(page, "Waiting")
    frames = sink.frames
    wait_until(lambda: sink.frames > frames + 50)


def test_lost_network_leads_to_an_ice_restart_and_then_to_another_session(
    open_page: Any, stub: DeskStub, sink: CallSink
) -> None:
    """The stub refuses the restart."""
    stub.sessions.patch_answer = Response(422)
    page = open_page()
    join(page)
    stub.run(sink.lose())
    wait_for_title(page, "Reconnecting…")
    assert lamp(page) == "interrupted"
    wait_until(lambda: any(request.headers.get("If-Match") == "*" for request in stub.sessions.of("PATCH")))
    restart = next(one for one in stub.sessions.of("PATCH") if one.headers.get("If-Match") == "*")
    assert restart.path == "/call/mine"
    assert b"a=ice-ufrag:" in restart.body
    wait_until(lambda: len(posted(stub)) == 2)
    wait_for_state(page, "live")


@pytest.mark.parametrize(
    ("query", "status", "title"),
    [
        (INVITE, 403, "This invitation is not valid"),
        ("", 403, "You need an invitation"),
        (INVITE, 410, "This invitation has ended"),
        ("", 404, "This station takes no calls"),
    ],
)
def test_refused_invitation_is_explained(open_page: Any, stub: DeskStub, query: str, status: int, title: str) -> None:
    """With the server's words. Another attempt would not help."""
    stub.sessions.posts = [refusal(status, "the server says why")]
    page = open_page(query)
    join(page, until="failed")
    assert page.inner_text("#call-title") == title
    assert page.inner_text("#call-advice") == "The server says why."
    assert page.is_disabled("#join")


@pytest.mark.parametrize(("status", "title"), [(409, "This invitation is in use"), (503, "All lines are busy")])
def test_busy_server_is_called_again(open_page: Any, stub: DeskStub, sink: CallSink, status: int, title: str) -> None:
    stub.sessions.posts.insert(0, refusal(status, "later", ("Retry-After", "1")))
    page = open_page()
    join(page, until="waiting")
    assert page.inner_text("#call-title") == title
    assert page.inner_text("#call-countdown").startswith("Retrying in")
    wait_for_state(page, "live")


def test_server_without_invites_asks_for_its_token(open_page: Any, stub: DeskStub, sink: CallSink) -> None:
    stub.sessions.posts.insert(0, refusal(401, "no token"))
    page = open_page("")
    page.click("#join")
    page.wait_for_selector("dialog[open]")
    page.fill("#token", "sesame")
    page.keyboard.press("Enter")
    wait_for_state(page, "live")
    assert [request.headers.get("Authorization") for request in posted(stub)] == [None, "Bearer sesame"]


def test_text_of_the_server_never_becomes_markup(open_page: Any, stub: DeskStub, sink: CallSink) -> None:
    page = open_page(f"{INVITE}&name={MARKUP}")
    assert page.input_value("#name") == MARKUP
    stub.sessions.guest = {"name": MARKUP, "state": "on_air", "position": None}
    join(page)
    wait_for_title(page, "On air")
    assert page.inner_text("#call-advice") == f"Everybody hears you, {MARKUP}."
    stub.sessions.gone = Refused(410, MARKUP).response()
    wait_for_title(page, "The call has ended")
    assert MARKUP in page.inner_text("#call-advice")
    assert page.locator("img").count() == 0


def test_denied_microphone_is_explained(open_page: Any, stub: DeskStub) -> None:
    page = open_page()
    page.evaluate(
        "() => { navigator.mediaDevices.getUserMedia = async () => { throw new DOMException('', 'NotAllowedError') } }"
    )
    if page.evaluate("bassWebrtc.caller.stream !== null"):
        page.click("#test")
    page.click("#join")
    wait_for_title(page, "Microphone access denied")
    assert posted(stub) == []
    assert page.is_enabled("#join")


def test_missing_microphone_is_explained(open_page: Any, stub: DeskStub) -> None:
    page = open_page()
    page.evaluate(
        "() => { navigator.mediaDevices.getUserMedia = async () => { throw new DOMException('', 'NotFoundError') } }"
    )
    if page.evaluate("bassWebrtc.caller.stream !== null"):
        page.click("#test")
    page.click("#test")
    wait_for_title(page, "No microphone found")


def test_plain_http_page_explains_the_missing_microphone(chromium: Chromium, stub: DeskStub) -> None:
    url = stub.url.replace("127.0.0.1", "radio.test")
    tab = chromium.open(f"{url}call{INVITE}")
    tab.page.wait_for_function("() => window.bassWebrtc?.caller.state === 'failed'")
    assert tab.page.inner_text("#call-title") == "The microphone requires HTTPS"
    assert url.rstrip("/") in tab.page.inner_text("#call-advice")
    assert tab.page.is_disabled("#join")
    tab.close()


def test_screen_stays_on_during_the_call_only(open_page: Any, sink: CallSink) -> None:
    page = open_page()
    page.evaluate(
        """() => {
            window.locks = [];
            Object.defineProperty(navigator, "wakeLock", { value: { request: async (type) => {
                const lock = { type, released: false, release: async () => { lock.released = true; } };
                locks.push(lock);
                return lock;
            } } });
        }"""
    )
    join(page)
    assert page.evaluate("locks.map((lock) => [lock.type, lock.released])") == [["screen", False]]
    # The browser releases it while the page is hidden.
    page.evaluate("() => { locks[0].released = true; document.dispatchEvent(new Event('visibilitychange')) }")
    page.wait_for_function("() => locks.length === 2 && !locks[1].released")
    page.click("#leave")
    page.wait_for_function("() => locks.every((lock) => lock.released)")


def test_focus_follows_the_buttons(open_page: Any, sink: CallSink) -> None:
    """With the keyboard alone: Enter in the name field joins, then Mute has the focus; after leaving, Call again."""
    page = open_page()
    page.focus("#name")
    page.keyboard.press("Enter")
    wait_for_state(page, "live")
    assert page.evaluate("document.activeElement.id") == "mute"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "leave"
    page.keyboard.press("Enter")
    wait_for_state(page, "idle")
    assert page.evaluate("document.activeElement.id") == "join"


@pytest.mark.parametrize("width_px", [320, 375, 768, 1280, 2560])
def test_page_is_not_wider_than_the_screen(open_page: Any, sink: CallSink, width_px: int) -> None:
    page = open_page()
    page.set_viewport_size({"width": width_px, "height": 800})
    page.click("summary")
    assert page.evaluate("document.documentElement.scrollWidth") == width_px
    page.evaluate("document.getElementById('controls').hidden = false")
    assert page.evaluate("document.documentElement.scrollWidth") == width_px


def test_join_button_is_visible_on_a_phone_without_scrolling(open_page: Any) -> None:
    page = open_page()
    page.set_viewport_size({"width": 375, "height": 667})
    box = page.locator("#join").bounding_box()
    assert box["y"] + box["height"] <= 667


def test_page_complies_with_its_content_security_policy(chromium: Chromium, stub: DeskStub, sink: CallSink) -> None:
    messages: list[str] = []
    page = chromium.open("about:blank").page
    page.on("console", lambda message: messages.append(message.text))
    page.on("pageerror", lambda error: messages.append(str(error)))
    page.goto(f"{stub.url}call{INVITE}")
    join(page)
    wait_for_title(page, "Waiting")
    assert messages == []
    page.close()
