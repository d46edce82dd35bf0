"""Layout and accessibility of the page: no horizontal scrolling, labelled controls, touch targets, keyboard order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from support.browsers import Chromium
from support.page_stub import PageStub

SMALLEST_TARGET_PX = 44

LONGEST_FIGURES = """() => {
    const words = { buffer: "1000 ms", "round-trip": "1000 ms", bitrate: "256 kbit/s", codec: "Opus stereo" };
    for (const [name, text] of Object.entries({ loss: "100.0 %", ...words })) {
        for (const side of ["", "talk-"]) {
            const shown = document.getElementById(`${side}figure-${name}`);
            if (shown) shown.textContent = text;
        }
    }
    document.getElementById("talk-panel").hidden = false;
    document.querySelectorAll(".bar .figure").forEach((level) => (level.textContent = "–48.8"));
}"""
OUTSIDE_THE_DISPLAY = """() => [...document.querySelectorAll(".dial")].flatMap((dial) => {
    const display = dial.getBoundingClientRect();
    const shown = [...dial.querySelectorAll("dd, dt, .figure, .unit, .title, .advice, li")];
    const isOutside = ({ left, right }) => left < display.left + 8 || right > display.right - 8;
    return shown.filter((e) => isOutside(e.getBoundingClientRect())).map((e) => e.id || e.className || e.textContent);
})"""


@pytest.fixture(scope="module")
def stub() -> Iterator[PageStub]:
    with PageStub() as running:
        yield running


@pytest.fixture(scope="module")
def page(chromium: Chromium, stub: PageStub) -> Any:
    return chromium.open(stub.url).page


@pytest.mark.parametrize("width_px", [320, 390, 768, 1280, 2560])
def test_page_is_not_wider_than_the_screen(page: Any, width_px: int) -> None:
    page.set_viewport_size({"width": width_px, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") == width_px


@pytest.mark.parametrize("width_px", [320, 360, 390, 768])
def test_longest_figures_fit(page: Any, width_px: int) -> None:
    """The longest possible figures stay inside the display, and levels stay on one line."""
    page.set_viewport_size({"width": width_px, "height": 800})
    page.evaluate(LONGEST_FIGURES)
    assert page.evaluate("document.documentElement.scrollWidth") == width_px
    assert page.evaluate(OUTSIDE_THE_DISPLAY) == []
    assert page.evaluate("[...document.querySelectorAll('.bar .figure')].map((e) => e.offsetHeight < 30)") == [True] * 4


def test_listen_button_is_visible_on_a_phone_without_scrolling(page: Any) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    box = page.locator("#listen").bounding_box()
    assert box["y"] + box["height"] <= 844


def test_controls_have_labels_and_touch_size(page: Any) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.evaluate("document.getElementById('talk-panel').hidden = false")
    for control in page.locator("button:visible, input:visible, select:visible").all():
        assert control.evaluate("node => (node.labels?.[0] ?? node).textContent.trim()")
        assert control.bounding_box()["height"] >= SMALLEST_TARGET_PX


def test_keyboard_reaches_every_control_in_reading_order(page: Any) -> None:
    page.set_viewport_size({"width": 1280, "height": 800})
    page.evaluate("document.activeElement.blur()")
    reached = []
    for _ in range(3):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id"))
    assert reached == ["listen", "volume", "delay"]


def test_faders_are_remembered(page: Any, stub: PageStub) -> None:
    page.focus("#volume")
    page.keyboard.press("ArrowLeft")
    page.focus("#delay")
    page.keyboard.press("ArrowRight")
    page.goto(stub.url)
    assert page.inner_text("#volume-value") == "99 %"
    assert page.inner_text("#delay-value") == "at least 20 ms"
    assert page.evaluate("[bassWebrtc.player.volume, bassWebrtc.player.delayMs]") == [0.99, 20]


def test_page_complies_with_its_content_security_policy(chromium: Chromium, stub: PageStub) -> None:
    messages: list[str] = []
    page = chromium.open("about:blank").page
    page.on("console", lambda message: messages.append(f"{message.text} {message.location['url']}"))
    page.on("pageerror", lambda error: messages.append(str(error)))
    page.goto(stub.url)
    page.wait_for_load_state("networkidle")
    assert page.title() == "bass-webrtc"
    # The stub has no WHIP endpoint; the page finds out by asking, which logs an error.
    assert [text for text in messages if not text.endswith("/whip")] == []
