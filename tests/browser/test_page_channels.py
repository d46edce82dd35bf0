"""The page's channel selector. The server is a stub whose channels and answers each test sets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from support.browsers import Chromium
from support.page_driver import listen, wait_for_state
from support.page_stub import PageStub, refusal
from support.patience import wait_until

NAMES = "() => [...document.querySelectorAll('#channel option')].map((option) => option.textContent)"
LONGEST_NAME = "W" * 64


@pytest.fixture
def open_page(chromium: Chromium, stub: PageStub) -> Iterator[Any]:
    """Opens the page with a query, and waits until it has the list of channels."""
    tabs = []

    def opened(query: str = "") -> Any:
        tab = chromium.open(stub.url + query)
        tabs.append(tab)
        tab.page.wait_for_function("() => bassWebrtc.channels.list.length > 0")
        return tab.page

    yield opened
    for tab in tabs:
        tab.close()


def posted(stub: PageStub) -> list[str]:
    return [request.path for request in stub.endpoint.of("POST")]


def test_single_channel_has_no_selector(open_page: Any) -> None:
    page = open_page()
    assert not page.is_visible("#channel")
    assert page.title() == "bass-webrtc"


def test_selector_lists_the_channels(open_page: Any, stub: PageStub) -> None:
    stub.channels.set("main", "jazz", "news", ended="news")
    page = open_page()
    assert page.is_visible("#channel")
    assert page.evaluate(NAMES) == ["main", "jazz", "news (ended)"]
    assert page.input_value("#channel") == "main"
    assert page.title() == "main – bass-webrtc"


def test_choice_changes_the_link_and_keeps_the_rest_of_it(open_page: Any, stub: PageStub) -> None:
    stub.channels.set("main", "jazz")
    page = open_page("?token=a%20b&x=1")
    page.select_option("#channel", "jazz")
    assert page.url == stub.url + "?token=a+b&x=1&channel=jazz"
    assert page.title() == "jazz – bass-webrtc"
    page.select_option("#channel", "main")
    assert page.url == stub.url + "?token=a+b&x=1"


def test_link_chooses_the_channel(open_page: Any, stub: PageStub) -> None:
    stub.channels.set("main", "jazz")
    stub.endpoint.posts = [refusal(403, "enough")]
    page = open_page("?token=sesame&channel=jazz")
    assert page.input_value("#channel") == "jazz"
    listen(page, until="failed")
    [post] = stub.endpoint.of("POST")
    assert (post.path, post.headers.get("Authorization")) == ("/whep/jazz", "Bearer sesame")
    assert {request.headers.get("Authorization") for request in stub.channels.requests} == {"Bearer sesame"}


def test_keyboard_chooses_a_channel(open_page: Any, stub: PageStub) -> None:
    stub.channels.set("main", "jazz", "news")
    page = open_page()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "channel"
    page.keyboard.press("ArrowDown")
    assert page.input_value("#channel") == "jazz"
    assert page.evaluate("bassWebrtc.channels.chosen") == "jazz"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "listen"


@pytest.mark.parametrize("name", ["rock", "../whip", "..", "%3Cb%3E"])
def test_unknown_channel_in_the_link_is_reported_with_the_list(open_page: Any, stub: PageStub, name: str) -> None:
    """No request is made to an address with that name."""
    stub.channels.set("main", "jazz")
    stub.endpoint.posts = [refusal(403, "enough")]
    page = open_page(f"?channel={name}")
    shown = "<b>" if name == "%3Cb%3E" else name
    assert page.inner_text("#listen-title") == "There is no such channel"
    assert page.inner_text("#listen-advice") == f"This server has no channel “{shown}”; choose another one."
    assert page.evaluate(NAMES) == ["Choose a channel", "main", "jazz"]
    listen(page, until="failed")
    assert posted(stub) == []
    page.select_option("#channel", "jazz")
    wait_for_state(page, "idle")
    assert page.inner_text("#listen-title") == "Ready"
    assert page.evaluate(NAMES) == ["main", "jazz"]
    listen(page, until="failed")
    assert posted(stub) == ["/whep/jazz"]


def test_empty_channel_in_the_link_is_main(open_page: Any, stub: PageStub) -> None:
    stub.channels.set("main", "jazz")
    stub.endpoint.posts = [refusal(403, "enough")]
    page = open_page("?channel=")
    listen(page, until="failed")
    assert posted(stub) == ["/whep"]


def test_channel_of_a_server_without_a_list_is_tried(chromium: Chromium, stub: PageStub) -> None:
    """The list may require a token that the user has not entered yet."""
    stub.channels.list = None  # type: ignore[assignment]
    stub.endpoint.posts = [refusal(404, "there is no channel 'jazz'; expected main or news")]
    tab = chromium.open(stub.url + "?channel=jazz")
    listen(tab.page, until="failed")
    assert tab.page.inner_text("#listen-title") == "No programme at this address"
    assert tab.page.inner_text("#listen-advice") == "There is no channel 'jazz'; expected main or news."
    tab.close()
    assert posted(stub) == ["/whep/jazz"]


def test_channel_that_is_gone_brings_the_new_list(open_page: Any, stub: PageStub) -> None:
    stub.channels.set("main", "jazz")
    page = open_page("?channel=jazz")
    stub.channels.set("main", "news")
    stub.endpoint.posts = [refusal(404, "there is no channel 'jazz'; expected main or news")]
    listen(page, until="failed")
    page.wait_for_function("() => bassWebrtc.channels.problem !== null")
    assert page.evaluate(NAMES) == ["Choose a channel", "main", "news"]


def test_choice_while_the_page_retries_connects_to_the_other_channel(open_page: Any, stub: PageStub) -> None:
    stub.channels.set("main", "jazz")
    stub.endpoint.posts = [refusal(409, "no source", ("Retry-After", "60")), refusal(403, "enough")]
    page = open_page()
    listen(page, until="waiting")
    page.select_option("#channel", "jazz")
    wait_for_state(page, "failed")
    assert posted(stub) == ["/whep", "/whep/jazz"]


def test_choice_does_not_start_the_page(open_page: Any, stub: PageStub) -> None:
    stub.channels.set("main", "jazz")
    page = open_page()
    page.select_option("#channel", "jazz")
    assert page.evaluate("bassWebrtc.player.state") == "idle"
    assert posted(stub) == []


def test_selector_asks_for_the_list_when_it_gets_the_focus(open_page: Any, stub: PageStub) -> None:
    stub.channels.set("main", "jazz")
    page = open_page()
    stub.channels.set("main", "jazz", "news")
    page.focus("#channel")
    page.wait_for_function("() => document.querySelectorAll('#channel option').length === 3")
    assert page.evaluate("document.activeElement.id") == "channel"


@pytest.mark.parametrize("width_px", [320, 390, 768, 1280])
def test_longest_name_fits(open_page: Any, stub: PageStub, width_px: int) -> None:
    stub.channels.set("main", LONGEST_NAME)
    page = open_page(f"?channel={LONGEST_NAME}")
    page.evaluate("(name) => { document.getElementById('listen-title').textContent = `Playing ${name}` }", LONGEST_NAME)
    page.set_viewport_size({"width": width_px, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") == width_px
    assert page.locator("#channel").bounding_box()["height"] >= 44


def test_listen_button_stays_visible_on_a_phone(open_page: Any, stub: PageStub) -> None:
    stub.channels.set("main", "jazz")
    page = open_page()
    page.set_viewport_size({"width": 390, "height": 844})
    box = page.locator("#listen").bounding_box()
    assert box["y"] + box["height"] <= 844


@pytest.mark.parametrize("answer", [{"name": "main"}, "main", None])
def test_list_that_is_no_list_is_ignored(chromium: Chromium, stub: PageStub, answer: Any) -> None:
    stub.channels.list = answer
    tab = chromium.open(stub.url)
    wait_until(lambda: len(stub.channels.requests) == 1)
    tab.page.wait_for_load_state("networkidle")
    assert not tab.page.is_visible("#channel")
    assert tab.page.inner_text("#listen-title") == "Ready"
    tab.close()
