"""The page in Chromium and Firefox: it plays, talks, shows both, and notices when the server ends the session."""

from __future__ import annotations

import time
from typing import Any

import pytest

import bass_webrtc as bw
from support.browsers import FIREFOX_MICROPHONE_DBFS, FIREFOX_MICROPHONE_HZ, Tab
from support.conformance import covers
from support.patience import wait_until
from support.publisher_recorder import Recorder, assert_tones_soon, is_silent
from support.reruns import real_time_audio
from support.studio import Studio

pytestmark = real_time_audio

LEVEL_DBFS = -12.0
PLAYS_AT = "((audio) => audio.paused || audio.muted ? 0 : audio.volume)(document.getElementById('audio'))"


@pytest.fixture
def talking_studio(request: pytest.FixtureRequest) -> Studio:
    """A browser with a microphone; the parameter is the name of its fixture."""
    found: Studio = request.getfixturevalue(request.param)
    return found


def wait_for(tab: Tab, expression: str, timeout_s: float = 20.0) -> Any:
    """Wait until an expression is truthy; return its value."""
    deadline = time.monotonic() + timeout_s
    while not (value := tab.evaluate(expression)):
        assert time.monotonic() < deadline, (
            f"{expression} is still false; player: {tab.evaluate('bassWebrtc.player.state')}"
        )
        time.sleep(0.1)
    return value


@covers("WS54")
def test_page_plays_and_detects_the_end_of_the_session(studio: Studio) -> None:
    """The server's close_notify is noticed within seconds, long before an ICE timeout."""
    tone = bw.Tone(hz=440.0, right_hz=880.0, level_dbfs=LEVEL_DBFS)
    with bw.Server(tone, studio.config()) as server:
        studio.start(server)
        tab = studio.browser.open(server.url)
        tab.evaluate("document.getElementById('listen').click()")
        wait_for(tab, f"bassWebrtc.levels().every((level) => Math.abs(level - {LEVEL_DBFS}) < 1)")
        stats = wait_for(tab, "bassWebrtc.player.stats?.bitrateKbps > 0 && bassWebrtc.player.stats")
        assert stats["codec"] == "opus"
        assert stats["roundTripMs"] is not None
        assert tab.evaluate("document.getElementById('figure-codec').textContent") == "Opus stereo"
        assert tab.evaluate("document.getElementById('listen-title').textContent") == "Playing"
    wait_for(tab, "bassWebrtc.player.state !== 'live'", timeout_s=3.0)
    tab.close()


def test_page_changes_the_channel(studio: Studio) -> None:
    """The media element goes on with the other channel, without another click."""
    with bw.Server(bw.Tone(440.0, level_dbfs=LEVEL_DBFS), studio.config()) as server:
        server.add_channel("quiet", bw.Tone(440.0, level_dbfs=2 * LEVEL_DBFS))
        studio.start(server)
        tab = studio.browser.open(server.url)
        wait_for(tab, "document.querySelectorAll('#channel option').length === 2")
        tab.evaluate("document.getElementById('listen').click()")
        wait_for(tab, f"bassWebrtc.levels().every((level) => Math.abs(level - {LEVEL_DBFS}) < 1)")
        tab.evaluate("document.getElementById('channel').value = 'quiet'")
        tab.evaluate("document.getElementById('channel').dispatchEvent(new Event('change')) && null")
        wait_for(tab, f"bassWebrtc.levels().every((level) => Math.abs(level - {2 * LEVEL_DBFS}) < 1)")
        assert tab.evaluate(PLAYS_AT) == 1
        assert tab.evaluate("document.getElementById('listen-title').textContent") == "Playing quiet"
        assert tab.evaluate("location.search") == "?channel=quiet"
        wait_until(lambda: [channel.listeners for channel in server.channels.values()] == [0, 1])
    tab.close()


@covers("WS1")
@pytest.mark.parametrize(
    ("talking_studio", "left_hz", "right_hz", "level_dbfs"),
    [
        ("chromium_with_microphone", 440.0, 880.0, -12.0),
        ("firefox_studio", FIREFOX_MICROPHONE_HZ, FIREFOX_MICROPHONE_HZ, FIREFOX_MICROPHONE_DBFS),
    ],
    indirect=["talking_studio"],
)
def test_page_sends_the_microphone_unprocessed_with_the_music_preset(
    talking_studio: Studio, left_hz: float, right_hz: float, level_dbfs: float
) -> None:
    """The server receives the tone of the microphone, at its level, in its channel."""
    studio = talking_studio
    with bw.Server(None, studio.config()) as server:
        studio.start(server)
        tab = studio.browser.open(server.url)
        wait_for(tab, "bassWebrtc.publisher !== undefined")
        tab.evaluate("document.querySelector('input[value=music]').click()")
        tab.evaluate("document.getElementById('talk').click()")
        wait_for(tab, "bassWebrtc.publisher.state === 'live'")
        with Recorder(server.read_input) as mix:
            assert_tones_soon(mix, left_hz, right_hz, level_dbfs)
            wait_for(tab, f"Math.abs(bassWebrtc.microphoneLevels()[0] - {level_dbfs}) < 1")
            wait_for(tab, "bassWebrtc.publisher.stats?.bitrateKbps > 0")
            assert tab.evaluate("document.getElementById('talk-title').textContent") == "You are on air"
            tab.evaluate("document.getElementById('talk').click()")
            wait_for(tab, "bassWebrtc.publisher.state === 'idle'")
            while server.peers:
                mix.take(0.05)
            assert is_silent(mix.take(0.3)[4_800:])
    tab.close()


@pytest.mark.parametrize("talking_studio", ["chromium_with_microphone", "firefox_studio"], indirect=True)
def test_page_ducks_the_programme_while_it_talks(talking_studio: Studio) -> None:
    """With the voice preset the media element plays 14 dB lower while talking, and only then.

    Acoustic feedback in a real room is not tested.
    """
    studio = talking_studio
    with bw.Server(bw.Tone(440.0, level_dbfs=LEVEL_DBFS), studio.config()) as server:
        studio.start(server)
        tab = studio.browser.open(server.url)
        wait_for(tab, "bassWebrtc.publisher !== undefined")
        tab.evaluate("document.getElementById('listen').click()")
        wait_for(tab, f"bassWebrtc.levels().every((level) => Math.abs(level - {LEVEL_DBFS}) < 1)")
        assert tab.evaluate(PLAYS_AT) == 1
        tab.evaluate("document.getElementById('talk').click()")
        wait_for(tab, "bassWebrtc.publisher.onAir")
        wait_until(lambda: any(peer.kind == "publisher" and peer.packets_received for peer in server.stats().peers))
        assert tab.evaluate(PLAYS_AT) == pytest.approx(0.2)
        assert tab.evaluate("bassWebrtc.player.state") == "live"
        assert tab.evaluate("bassWebrtc.publisher.settings.echoCancellation")
        tab.evaluate("document.getElementById('talk').click()")
        wait_for(tab, "bassWebrtc.publisher.state === 'idle'")
        assert tab.evaluate(PLAYS_AT) == 1
    tab.close()


@covers("SE61")
def test_page_reports_a_full_server_and_connects_when_a_slot_is_free(studio: Studio) -> None:
    """The page explains the 503 of the real server and retries by itself."""
    with bw.Server(bw.Tone(), studio.config(max_peers=1)) as server:
        studio.start(server)
        first, second = (studio.browser.open(server.url) for _ in range(2))
        first.evaluate("document.getElementById('listen').click()")
        wait_for(first, "bassWebrtc.player.state === 'live'")
        second.evaluate("document.getElementById('listen').click()")
        wait_for(second, "bassWebrtc.player.state === 'waiting'")
        assert second.evaluate("bassWebrtc.player.problem.status") == 503
        assert second.evaluate("document.getElementById('listen-title').textContent") == "The server is full"
        advice = second.evaluate("document.getElementById('listen-advice').textContent")
        assert advice == "1 listener is connected; no slots are free."
        first.evaluate("document.getElementById('listen').click()")
        wait_for(second, "bassWebrtc.player.state === 'live'")
    first.close()
    second.close()


@covers("WS43", "CL4")
def test_page_uses_turn_servers(studio: Studio) -> None:
    """As the Link header names them. Rejected and unreachable servers do not delay the connection."""
    urls = ["stun:127.0.0.1:3478", "turn:127.0.0.1:3478?transport=tcp", "turns:[::1]:5349"]
    blocked = "stun:127.0.0.1:9"  # Firefox throws for this port.
    config = studio.config(visitor_ice_servers=tuple(map(bw.IceServer, [blocked, *urls])), turn_secret="shared")
    with bw.Server(bw.Tone(), config) as server:
        studio.start(server)
        tab = studio.browser.open(server.url)
        wait_for(tab, "bassWebrtc.player.iceServers.length === 4")
        tab.evaluate("document.getElementById('listen').click()")
        wait_for(tab, "bassWebrtc.player.state === 'live'", timeout_s=8.0)
        configured = tab.evaluate("bassWebrtc.player.pc.getConfiguration().iceServers")
        accepted = [server for server in configured if server["urls"] not in (blocked, [blocked])]
        assert [server["urls"] for server in accepted] in (urls, [[url] for url in urls])
        assert all(server["credential"] for server in accepted[1:])
    tab.close()
