"""The page's channel selector against the real server: audio changes, sources end, channels are closed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import bass_webrtc as bw
from support.browsers import Chromium
from support.page_driver import listen, wait_for_state
from support.patience import wait_until
from support.reruns import real_time_audio

pytestmark = real_time_audio

LEVELS_DBFS = {"main": -12.0, "jazz": -24.0, "news": -36.0}
HAS_SELECTOR = "() => document.querySelectorAll('#channel option').length === 3"


def serve(**settings: Any) -> bw.Server:
    """A server with three channels of different levels."""
    server = bw.Server(
        bw.Tone(440.0, level_dbfs=LEVELS_DBFS["main"]),
        bw.ServerConfig(**{"http_port": 0, "udp_port": 0, "max_peers_per_address": 5, **settings}),
    )
    for name in ("jazz", "news"):
        server.add_channel(name, bw.Tone(440.0, level_dbfs=LEVELS_DBFS[name]))
    server.start()
    return server


@pytest.fixture
def server() -> Iterator[bw.Server]:
    with serve() as running:
        yield running


def open_page(chromium: Chromium, server: bw.Server, query: str = "") -> Any:
    page = chromium.open(server.url + query).page
    page.wait_for_function(HAS_SELECTOR)
    return page


def wait_for_channel(page: Any, name: str) -> None:
    """Wait until the page says that it plays a channel, and plays it."""
    page.wait_for_function(
        "([name, level]) => document.getElementById('listen-title').textContent === `Playing ${name}`"
        " && bassWebrtc.levels().every((peak) => Math.abs(peak - level) < 1)",
        arg=[name, LEVELS_DBFS[name]],
        timeout=20_000,
    )


def test_choice_while_listening_plays_the_other_channel(chromium: Chromium, server: bw.Server) -> None:
    page = open_page(chromium, server, "?channel=jazz")
    page.evaluate("() => { window.notReloaded = true }")
    listen(page)
    wait_for_channel(page, "jazz")
    for name in ("news", "main"):
        page.select_option("#channel", name)
        wait_for_channel(page, name)
        wait_until(lambda name=name: listeners(server) == {**dict.fromkeys(LEVELS_DBFS, 0), name: 1})  # type: ignore[misc]
    assert page.evaluate("notReloaded")
    page.wait_for_function("() => bassWebrtc.player.stats?.bitrateKbps > 0")
    assert page.inner_text("#figure-bitrate").endswith("kbit/s")
    page.close()


def listeners(server: bw.Server) -> dict[str, int]:
    return {name: channel.listeners for name, channel in server.channels.items()}


def test_listener_of_a_full_server_can_change_the_channel(chromium: Chromium) -> None:
    """Its own slot is free before it asks for the other channel."""
    with serve(max_peers=1, max_peers_per_address=1) as server:
        page = open_page(chromium, server)
        listen(page)
        page.evaluate(
            """() => {
              window.states = [];
              const { player } = bassWebrtc;
              player.addEventListener("change", () => states.push(player.state));
            }"""
        )
        for name in ("jazz", "news", "main"):
            page.select_option("#channel", name)
            wait_for_channel(page, name)
        page.focus("#channel")
        for key in ("ArrowDown", "ArrowDown", "ArrowUp"):
            page.keyboard.press(key)
        wait_for_channel(page, "jazz")
        assert set(page.evaluate("states")) == {"connecting", "live"}
        page.close()


def test_keyboard_can_run_through_the_channels(chromium: Chromium, server: bw.Server) -> None:
    """Each step is a choice; the last one is played."""
    page = open_page(chromium, server)
    listen(page)
    page.focus("#channel")
    for key in ("ArrowDown", "ArrowDown", "ArrowUp"):
        page.keyboard.press(key)
    wait_for_channel(page, "jazz")
    wait_until(lambda: listeners(server) == {"main": 0, "jazz": 1, "news": 0})
    page.close()


def test_page_says_that_the_source_has_ended_and_that_it_is_back(chromium: Chromium, server: bw.Server) -> None:
    source = bw.PcmSource()
    server.channels["news"].set_source(source)
    page = open_page(chromium, server, "?channel=news")
    listen(page)
    source.end()
    page.wait_for_function(
        "() => document.getElementById('listen-title').textContent === 'The programme has ended'", timeout=20_000
    )
    assert page.evaluate("[...document.querySelectorAll('#channel option')].map((option) => option.textContent)") == [
        *("main", "jazz", "news (ended)"),
    ]
    server.channels["news"].set_source(bw.Tone(440.0, level_dbfs=LEVELS_DBFS["news"]))
    wait_for_channel(page, "news")
    page.close()


def test_listener_of_a_closed_channel_gets_the_reason_and_the_list(chromium: Chromium, server: bw.Server) -> None:
    page = open_page(chromium, server, "?channel=jazz")
    listen(page)
    server.channels["jazz"].close("the concert is over")
    wait_for_state(page, "failed")
    page.wait_for_function("() => document.getElementById('channel').textContent === 'Choose a channelmainnews'")
    assert page.inner_text("#listen-title") == "There is no such channel"
    assert page.inner_text("#listen-advice") == "This server has no channel “jazz”; choose another one."
    page.select_option("#channel", "news")
    listen(page)
    wait_for_channel(page, "news")
    page.close()


def test_list_appears_when_the_token_was_entered(chromium: Chromium) -> None:
    with serve(play_token="sesame") as server:
        page = chromium.open(f"{server.url}?channel=jazz").page
        page.click("#listen")
        page.wait_for_selector("dialog[open]")
        assert not page.is_visible("#channel")
        page.fill("#token", "sesame")
        page.keyboard.press("Enter")
        wait_for_channel(page, "jazz")
        assert page.is_visible("#channel")
        page.close()


def test_token_in_the_link_gets_the_list(chromium: Chromium) -> None:
    with serve(play_token="sesame") as server:
        page = open_page(chromium, server, "?token=sesame&channel=jazz")
        listen(page)
        wait_for_channel(page, "jazz")
        page.close()


def test_single_channel_says_that_its_source_has_ended(chromium: Chromium) -> None:
    source = bw.PcmSource()
    with bw.Server(source, bw.ServerConfig(http_port=0, udp_port=0)) as server:
        server.start()
        page = chromium.open(server.url).page
        listen(page)
        source.end()
        page.wait_for_function(
            "() => document.getElementById('listen-title').textContent === 'The programme has ended'", timeout=20_000
        )
        assert not page.is_visible("#channel")
        page.close()
