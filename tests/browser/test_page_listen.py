"""The page against the real server: audio, figures, ICE restarts and reconnects."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import bass_webrtc as bw
from support.browsers import Chromium
from support.conformance import covers
from support.page_driver import listen, wait_for_state
from support.patience import wait_until
from support.reruns import real_time_audio

pytestmark = real_time_audio

LEVEL_DBFS = -12.0


def serve(**settings: Any) -> bw.Server:
    tone = bw.Tone(hz=440.0, right_hz=880.0, level_dbfs=LEVEL_DBFS)
    server = bw.Server(tone, bw.ServerConfig(**{"http_port": 0, "udp_port": 0, "max_peers_per_address": 5, **settings}))
    server.start()
    return server


@pytest.fixture(scope="module")
def server() -> Iterator[bw.Server]:
    running = serve()
    yield running
    running.close()


@pytest.fixture
def page(chromium: Chromium, server: bw.Server) -> Iterator[Any]:
    tab = chromium.open(server.url)
    yield tab.page
    tab.page.goto("about:blank")
    wait_until(lambda: server.stats().active_peers == 0)
    tab.close()


def wait_for_level(page: Any) -> None:
    page.wait_for_function(
        f"() => bassWebrtc.levels().every((level) => Math.abs(level - {LEVEL_DBFS}) < 1)", timeout=10_000
    )


def test_both_channels_play_at_their_level(page: Any) -> None:
    listen(page)
    wait_for_level(page)
    assert page.inner_text("#listen-title") == "Playing"
    assert page.evaluate("bassWebrtc.player.stereo") is True
    shown = [float(text.replace("–", "-")) for text in page.locator("#listen-dial .figure").all_inner_texts()]
    assert shown == pytest.approx([LEVEL_DBFS] * 2, abs=1)


def test_figures_show_the_connection_statistics(page: Any) -> None:
    listen(page)
    page.wait_for_function("() => bassWebrtc.player.stats?.bitrateKbps > 0", timeout=10_000)
    stats = page.evaluate("bassWebrtc.player.stats")
    assert stats["codec"] == "opus"
    assert stats["lossPercent"] == 0
    assert 0 < stats["jitterBufferMs"] < 1000
    assert page.inner_text("#figure-codec") == "Opus stereo"
    assert page.inner_text("#figure-loss") == "0.0 %"


def test_delay_sets_the_jitter_buffer(page: Any) -> None:
    listen(page)
    page.evaluate("bassWebrtc.player.delayMs = 400")
    page.wait_for_function("() => bassWebrtc.player.stats?.jitterBufferMs > 350", timeout=20_000)


@covers("CL10")
def test_stop_ends_the_session_on_the_server(page: Any, server: bw.Server) -> None:
    listen(page)
    # The page can see the end of the handshake before the server has noted it.
    wait_until(lambda: server.stats().active_peers == 1)
    page.click("#listen")
    wait_until(lambda: server.stats().active_peers == 0)
    assert page.evaluate("bassWebrtc.levels().every((level) => level === -120)")


@covers("CL10")
def test_leaving_the_page_ends_the_session_on_the_server(page: Any, server: bw.Server) -> None:
    """The DELETE request outlives the page."""
    listen(page)
    page.goto("about:blank")
    wait_until(lambda: server.stats().active_peers == 0)


@covers("CL9", "WS24")
def test_interruption_is_repaired_by_an_ice_restart(page: Any, server: bw.Server) -> None:
    """The session and its packet stream continue on a new path."""
    listen(page)
    [peer] = server.peers
    before = page.evaluate("bassWebrtc.player.pc.localDescription.sdp.match(/ice-ufrag:(.*)/)[1]")
    page.evaluate(
        """() => {
          const { pc } = bassWebrtc.player;
          window.originalPc = pc;
          Object.defineProperty(pc, "connectionState", { value: "disconnected", configurable: true });
          pc.dispatchEvent(new Event("connectionstatechange"));
        }"""
    )
    wait_for_state(page, "interrupted")
    assert page.inner_text("#listen-title") == "Reconnecting…"
    page.wait_for_function(f"() => !bassWebrtc.player.pc.currentLocalDescription.sdp.includes('ice-ufrag:{before}')")
    page.evaluate(
        "() => { delete originalPc.connectionState; originalPc.dispatchEvent(new Event('connectionstatechange')) }"
    )
    wait_for_state(page, "live")
    assert page.evaluate("bassWebrtc.player.pc === originalPc")
    assert [other.id for other in server.peers] == [peer.id]
    received = page.evaluate("bassWebrtc.player.stats?.packetsReceived ?? 0")
    page.wait_for_function(f"() => bassWebrtc.player.stats?.packetsReceived > {received + 100}", timeout=10_000)


def test_page_reconnects_after_a_server_restart(chromium: Chromium) -> None:
    first = serve()
    port = int(first.url.rstrip("/").rpartition(":")[2])
    tab = chromium.open(first.url)
    try:
        listen(tab.page)
        first.close()
        wait_for_state(tab.page, "waiting", timeout_s=15)
        second = serve(http_port=port)
        try:
            wait_for_state(tab.page, "live", timeout_s=30)
            wait_for_level(tab.page)
        finally:
            second.close()
    finally:
        first.close()
        tab.close()


def test_sixth_listener_sees_that_the_server_is_full(chromium: Chromium) -> None:
    server = serve()
    tabs = [chromium.open(server.url) for _ in range(6)]
    try:
        for tab in tabs[:5]:
            listen(tab.page)
        late = tabs[5].page
        late.click("#listen")
        wait_for_state(late, "waiting")
        assert late.inner_text("#listen-title") == "The server is full"
        assert late.inner_text("#listen-advice") == "5 listeners are connected; no slots are free."
        tabs[0].page.click("#listen")
        wait_for_state(late, "live", timeout_s=20)
    finally:
        for tab in tabs:
            tab.close()
        server.close()


@covers("ES2", "CL22")
def test_page_waits_while_the_server_has_no_source(chromium: Chromium) -> None:
    server = bw.Server(None, bw.ServerConfig(http_port=0, udp_port=0))
    server.start()
    tab = chromium.open(server.url)
    try:
        tab.page.click("#listen")
        wait_for_state(tab.page, "waiting")
        assert tab.page.inner_text("#listen-title") == "Nothing is on air"
    finally:
        tab.close()
        server.close()
