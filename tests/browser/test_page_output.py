"""The page says so when the browser has no sound output, and only then."""

from __future__ import annotations

import time
from typing import Any

import pytest

import bass_webrtc as bw
from support import browsers, netns
from support.browsers import Chromium, Tab
from support.fixtures import skip_for
from support.page_stub import PageStub
from support.reruns import real_time_audio
from support.studio import Studio, open_firefox

pytestmark = real_time_audio

TITLE = "document.getElementById('listen-title').textContent"
READINGS = "bassWebrtc.readings"
COUNT_READINGS = (
    "void (bassWebrtc.readings = 0, bassWebrtc.player.addEventListener('stats', () => bassWebrtc.readings++))"
)
PATIENCE_READINGS = 4
"""As in output.js."""


def listen(tab: Tab) -> None:
    """Press Listen, and count the readings of the player's statistics from then on."""
    tab.evaluate(COUNT_READINGS)
    tab.evaluate("document.getElementById('listen').click()")


def wait_for(tab: Tab, expression: str, timeout_s: float = 30.0) -> Any:
    """Wait until an expression is truthy; return its value."""
    deadline = time.monotonic() + timeout_s
    while not (value := tab.evaluate(expression)):
        assert time.monotonic() < deadline, f"{expression} is still false; the page says {tab.evaluate(TITLE)!r}"
        time.sleep(0.1)
    return value


def test_page_says_that_firefox_has_no_sound_device() -> None:
    """Firefox decodes and its media element plays, but nothing can be heard; the page must not say "Playing"."""
    skip_for(browsers.missing_firefox() or netns.missing())
    with open_firefox(sound_card=False) as studio, bw.Server(bw.Tone(440.0), studio.config()) as server:
        studio.start(server)
        tab = studio.browser.open(server.url)
        listen(tab)
        wait_for(tab, f"{TITLE} === 'No sound output'")
        assert tab.evaluate("bassWebrtc.player.state") == "live"
        assert "Connect speakers" in tab.evaluate("document.getElementById('listen-advice').textContent")
        tab.evaluate("document.getElementById('listen').click()")
        assert tab.evaluate(TITLE) == "Ready"


@pytest.mark.parametrize("sound", ["silent", "muted", "volume 0"])
def test_silence_is_no_missing_output(studio: Studio, sound: str) -> None:
    """A programme of digital silence, a muted media element, and the volume at 0."""
    source = bw.PcmSource(48_000, 2) if sound == "silent" else bw.Tone(440.0)
    with bw.Server(source, studio.config()) as server:
        studio.start(server)
        tab = studio.browser.open(server.url)
        listen(tab)
        if sound == "muted":
            tab.evaluate("void (document.getElementById('audio').muted = true)")
        elif sound == "volume 0":
            tab.evaluate("void (bassWebrtc.player.volume = 0)")
        wait_for(tab, f"{READINGS} > {2 * PATIENCE_READINGS}")
        assert tab.evaluate(TITLE) == "Playing"
        tab.close()


@pytest.mark.parametrize(
    ("packets", "samples", "is_stuck"),
    [(50, 48_000, False), (50, 0, True), (0, 0, False)],
    ids=["decodes", "decoder stands still", "nothing arrives"],
)
def test_decoder_that_stands_still_is_missing_output(
    chromium: Chromium, stub: PageStub, packets: int, samples: int, is_stuck: bool
) -> None:
    """As with a sound device that hangs. The counters grow by so many per reading, while the audio context runs."""
    tab = chromium.open(stub.url)
    watched = f"""(async () => {{
        const {{ OutputWatch }} = await import(new URL("output.js", document.baseURI));
        const watch = new OutputWatch();
        for (let count = 1; count <= {2 * PATIENCE_READINGS}; count++) {{
            const counters = {{ packetsReceived: 1 + count * {packets}, totalSamplesReceived: 1 + count * {samples} }};
            watch.read(counters);
            await new Promise((resolve) => setTimeout(resolve, 300));
        }}
        return watch.isStuck;
    }})()"""
    assert tab.evaluate(watched) == is_stuck
    tab.close()
