"""The desk with the keyboard alone: the order of the controls, shortcuts, and where the focus goes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from support.browsers import Chromium
from support.desk_stub import TOKEN, DeskStub
from support.page_stub import refusal
from support.patience import wait_until

FOCUSED = """() => {
    const { activeElement: focused } = document;
    const group = focused.closest(".caller")?.querySelector(".caller-name").textContent ?? "";
    const name = focused.ariaLabel ?? focused.labels?.[0]?.textContent ?? focused.textContent;
    return [group, name.trim()];
}"""


@pytest.fixture
def stub() -> Iterator[DeskStub]:
    with DeskStub() as running:
        yield running


@pytest.fixture
def page(chromium: Chromium, stub: DeskStub) -> Iterator[Any]:
    """The desk with three callers, opened by typing the token."""
    for name in ("Anna", "Ben", "Chidi"):
        stub.add_call(name)
    tab = chromium.open(f"{stub.url}desk")
    page = tab.page
    page.set_viewport_size({"width": 1280, "height": 900})
    page.keyboard.press("Tab")
    page.keyboard.type(TOKEN)
    page.keyboard.press("Enter")
    page.wait_for_selector(".caller")
    yield page
    tab.close()


def press(page: Any, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def test_tab_reaches_all_controls_in_reading_order(page: Any) -> None:
    page.focus("#sign-out")
    reached = [page.evaluate(FOCUSED)]
    for _ in range(12):
        press(page, "Tab")
        reached.append(page.evaluate(FOCUSED))
    controls = ["Rename", "Fader of Anna", "On air", "Hold", "Private", "Talkback", "Mute", "Record", "Hang up"]
    assert reached[:2] == [["", "Sign out"], ["", "Record programme"]]
    assert reached[2:11] == [["Anna", name] for name in controls]
    assert [group for group, _ in reached[11:]] == ["Anna", "Ben"]


def test_digit_selects_a_caller_and_letters_press_its_buttons(page: Any, stub: DeskStub) -> None:
    press(page, "2")
    assert page.evaluate(FOCUSED)[0] == "Ben"
    assert page.evaluate("document.activeElement.ariaLabel") == "Ben"
    press(page, "o", "t", "m", "r")
    wait_until(lambda: {**stub.call(2), "seconds": 0}["recording"])
    assert [stub.call(2)[name] for name in ("state", "talkback", "muted")] == ["on_air", True, True]
    press(page, "P")
    wait_until(lambda: stub.call(2)["state"] == "private")
    press(page, "h", "t")
    wait_until(lambda: (stub.call(2)["state"], stub.call(2)["talkback"]) == ("waiting", False))
    assert {path for _, path, _ in stub.requests} == {"/api/calls/2"}


def test_fader_and_name_are_changed_with_keys(page: Any, stub: DeskStub) -> None:
    press(page, "1", "Tab", "Tab", "PageDown")
    wait_until(lambda: stub.call(1)["gain"] < 1)
    press(page, "0")
    wait_until(lambda: stub.call(1)["gain"] == 1)
    press(page, "n")
    page.keyboard.type("Omar 2")  # Its letters are no shortcuts.
    press(page, "Enter")
    wait_until(lambda: stub.call(1)["name"] == "Omar 2")
    assert page.evaluate(FOCUSED) == ["Omar 2", "Rename"]
    assert stub.call(1)["state"] == "waiting"


def test_hanging_up_takes_two_presses_and_the_focus_moves_on(page: Any, stub: DeskStub) -> None:
    press(page, "2", "x", "Escape", "x")
    page.wait_for_timeout(300)
    assert stub.changes("DELETE") == []
    press(page, "x")
    page.wait_for_function("() => document.querySelectorAll('.caller').length === 2")
    assert page.evaluate(FOCUSED)[0] == "Chidi"
    press(page, "x", "x")
    page.wait_for_function("() => document.querySelectorAll('.caller').length === 1")
    press(page, "x", "x")
    page.wait_for_selector("#empty:visible")
    assert page.evaluate("document.activeElement.id") == "callers-title"


def test_arrows_move_between_callers(page: Any) -> None:
    press(page, "1", "ArrowDown", "ArrowDown", "ArrowDown")
    assert page.evaluate(FOCUSED)[0] == "Chidi"
    press(page, "ArrowUp")
    assert page.evaluate(FOCUSED)[0] == "Ben"


def test_selected_caller_is_visible(page: Any) -> None:
    """Also after its own controls were used."""
    press(page, "2")
    outlines = "() => [...document.querySelectorAll('.strip')].map((strip) => getComputedStyle(strip).outlineStyle)"
    assert page.evaluate(outlines) == ["none", "solid", "none"]
    press(page, "o")
    assert page.evaluate(outlines) == ["none", "solid", "none"]
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_shortcuts_can_be_switched_off(page: Any, stub: DeskStub) -> None:
    """WCAG 2.1.4. The setting is remembered, and Tab still reaches everything."""
    assert page.is_visible(".keys-line")
    page.uncheck("#shortcuts")
    press(page, "2", "o")
    page.reload()
    page.wait_for_selector(".caller")
    press(page, "2", "o")
    page.wait_for_timeout(300)
    assert stub.requests == []
    assert not page.is_checked("#shortcuts")


def test_shortcuts_of_the_browser_are_left_alone(page: Any, stub: DeskStub) -> None:
    press(page, "1", "Control+m", "Alt+o")
    page.wait_for_timeout(300)
    assert stub.requests == []


def test_key_connects_the_microphone_of_the_producer(page: Any, stub: DeskStub) -> None:
    stub.sessions.posts = [refusal(503, "later", ("Retry-After", "30"))]
    press(page, "k")
    page.wait_for_function("() => bassWebrtc.producer.state === 'waiting'")
    press(page, "k")
    assert page.get_attribute("#mute", "aria-pressed") == "true"
    press(page, "k")
    assert page.get_attribute("#mute", "aria-pressed") == "false"


def test_invitation_is_made_with_keys(page: Any, stub: DeskStub) -> None:
    page.focus("#invite-name")
    page.keyboard.type("Tom")
    press(page, "Enter")
    page.wait_for_selector("#new-invite:visible")
    assert stub.changes("POST")[0]["name"] == "Tom"
    assert page.evaluate("document.activeElement.id") == "invite-copy"
