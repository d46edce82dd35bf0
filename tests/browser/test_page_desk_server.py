"""The guest page and the desk against the real server: what the producer does reaches the guest; two desks agree."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest

import bass_webrtc as bw
from support.browsers import Chromium
from support.patience import wait_until
from support.reruns import real_time_audio

pytestmark = real_time_audio

TOKEN = "the-token-of-the-desk-0123456789"
PROGRAMME_DBFS = -12.0
HEARD_DBFS = """() => new Promise((resolve) => {
    const context = new AudioContext();
    const analyser = new AnalyserNode(context, { fftSize: 8192 });
    context.createMediaStreamSource(bassWebrtc.speaker.stream).connect(analyser);
    setTimeout(() => {
        const samples = new Float32Array(8192);
        analyser.getFloatTimeDomainData(samples);
        void context.close();
        resolve(20 * Math.log10(Math.max(1e-6, ...samples)));
    }, 600);
})"""
NOTE_CHANGES = """() => {
    window.noted = [];
    const lamp = document.querySelector(".lamp");
    const note = () => noted.push([lamp.textContent, performance.timeOrigin + performance.now()]);
    new MutationObserver(note).observe(lamp, { childList: true, characterData: true, subtree: true });
}"""


@pytest.fixture
def server() -> Iterator[Any]:
    settings: dict[str, Any] = {"calls": "waiting", "desk_token": TOKEN, "max_peers_per_address": 5}
    config = bw.ServerConfig(http_port=0, udp_port=0, **settings)
    with bw.Server(bw.Tone(440.0, level_dbfs=PROGRAMME_DBFS), config) as running:
        running.start()
        yield running


@pytest.fixture
def open_page(chromium: Chromium, server: Any) -> Iterator[Any]:
    """Opens a page of the server in a window of its own."""
    with contextlib.ExitStack() as stack:

        def opened(url: str) -> Any:
            tab = chromium.open(url if url.startswith("http") else f"{server.url}{url}")
            stack.callback(tab.close)
            tab.page.wait_for_function("() => window.bassWebrtc !== undefined")
            return tab.page

        yield opened


@pytest.fixture
def desk(open_page: Any) -> Any:
    page = open_page(f"desk#token={TOKEN}")
    page.wait_for_selector("#console:visible")
    return page


def invite(desk: Any, name: str, uses: int = 1) -> str:
    """Make an invitation on the desk; return its link."""
    desk.fill("#invite-uses", str(uses))
    desk.fill("#invite-name", name)
    desk.keyboard.press("Enter")
    desk.wait_for_function("(name) => document.getElementById('new-invite-title').textContent.endsWith(name)", arg=name)
    return str(desk.input_value("#invite-link"))


def join(page: Any) -> Any:
    page.click("#join")
    page.wait_for_function("() => bassWebrtc.caller.call !== null", timeout=15_000)
    return page


def wait_for_title(page: Any, title: str) -> None:
    page.wait_for_function(
        "(title) => document.getElementById('call-title').textContent === title", arg=title, timeout=15_000
    )


def press(desk: Any, name: str, index: int = 0) -> None:
    desk.locator(".caller").nth(index).get_by_role("button", name=name, exact=True).click()


def test_producer_puts_a_guest_on_air_and_hangs_up(open_page: Any, desk: Any, server: Any) -> None:
    guest = join(open_page(invite(desk, "Anna")))
    assert guest.inner_text("#call-title") == "Waiting"
    wait_until(lambda: guest.inner_text("#call-advice").startswith("You are next."))
    desk.wait_for_selector(".caller")
    assert desk.inner_text(".caller-name") == "Anna"
    assert guest.evaluate(HEARD_DBFS) == pytest.approx(PROGRAMME_DBFS, abs=1.5)
    press(desk, "On air")
    wait_for_title(guest, "On air")
    assert guest.inner_text("#call-advice") == "Everybody hears you, Anna."
    desk.keyboard.press("m")
    desk.locator("[data-fader=gain]").focus()
    desk.keyboard.press("End")
    [call] = server.calls
    wait_until(lambda: (call.state, call.muted, call.gain) == ("on_air", True, 4.0))
    desk.keyboard.press("0")
    wait_until(lambda: call.gain == 1.0)
    press(desk, "Hang up")
    press(desk, "Confirm")
    wait_for_title(guest, "The call has ended")
    desk.wait_for_selector("#empty:visible")
    wait_until(lambda: server.calls == ())


def test_producer_talks_with_a_private_guest(open_page: Any, desk: Any, server: Any) -> None:
    """The guest no longer hears the programme, and the producer hears the guest."""
    guest = join(open_page(invite(desk, "Anna")))
    desk.wait_for_selector(".caller")
    press(desk, "Private")
    wait_for_title(guest, "Talking with the producer")
    wait_until(lambda: guest.evaluate(HEARD_DBFS) < -60.0)
    desk.click("#talk")
    desk.wait_for_function("() => document.getElementById('producer-title').textContent === 'Talking'", timeout=15_000)
    assert desk.inner_text("#producer-advice") == "Anna hears you."
    desk.wait_for_function("() => bassWebrtc.producer.stats?.heard?.packetsReceived > 50")
    desk.wait_for_function("() => bassWebrtc.link.lastDesk.desk.producer_connected")
    desk.click("#talk")
    wait_until(lambda: [peer.kind for peer in server.peers] == ["sendrecv"])


def test_two_desks_agree_within_300_ms(open_page: Any, desk: Any, server: Any) -> None:
    other = open_page(f"desk#token={TOKEN}")
    join(open_page(invite(desk, "Anna")))
    for page in (desk, other):
        page.wait_for_selector(".caller")
        page.evaluate(NOTE_CHANGES)
    for name in ("On air", "Private", "Hold") * 3:
        press(desk, name)
        desk.wait_for_timeout(500)
    changes, seen = desk.evaluate("noted"), other.evaluate("noted")
    assert [state for state, _ in seen] == [state for state, _ in changes] == ["On air", "Private", "Waiting"] * 3
    delays_ms = [there - here for (_, here), (_, there) in zip(changes, seen, strict=True)]
    assert max(delays_ms) < 300.0


def test_invitations_that_cannot_be_used_are_explained(open_page: Any, desk: Any, server: Any) -> None:
    """Wrong, used by somebody else, used up, revoked, and none where one is needed."""
    link = invite(desk, "Anna")
    guest = join(open_page(link))
    for url, title in (
        (link + "x", "This invitation is not valid"),
        ("call", "You need an invitation"),
        (link, "This invitation is in use"),
    ):
        other = open_page(url)
        other.click("#join")
        wait_for_title(other, title)
        assert len(other.inner_text("#call-advice")) > 10
        other.goto("about:blank")
    guest.click("#leave")
    wait_until(lambda: server.calls == ())
    guest.click("#join")
    wait_for_title(guest, "This invitation has ended")
    guest = join(open_page(invite(desk, "Ben", uses=5)))
    revoke = desk.locator(".invite", has_text="Ben").get_by_role("button", name="Revoke")
    revoke.click()
    desk.locator(".invite").get_by_role("button", name="Confirm").click()
    wait_for_title(guest, "The call has ended")
    guest.click("#join")
    wait_for_title(guest, "This invitation has ended")


def test_wrong_token_opens_no_desk(open_page: Any, server: Any) -> None:
    page = open_page("desk#token=wrong")
    page.wait_for_function("() => bassWebrtc.link.state === 'failed'")
    assert page.inner_text("#sign-in-problem") == "The token was rejected."
    assert not page.is_visible("#console")
