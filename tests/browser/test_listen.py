"""Browsers play the WHEP endpoint, and their audio output is analysed."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import bass_webrtc as bw
from support import media, tones
from support.conformance import covers
from support.listener import Listener
from support.reruns import real_time_audio
from support.studio import Studio

pytestmark = real_time_audio

STEREO_TONE = bw.Tone(hz=440.0, right_hz=880.0, level_dbfs=-12.0)
MACHINE_LATE_S = 0.01
"""Duration of the shortest block that a browser processes."""


def settle() -> None:
    """Wait until the browser's jitter buffer and audio output have settled."""
    time.sleep(1.5)


def assert_tone(samples: NDArray[np.float32], own_hz: float, other_hz: float, level_dbfs: float = -12.0) -> None:
    """Check that a channel contains its own tone at its level, and at most the crosstalk of Opus."""
    assert tones.frequency_hz(samples) == pytest.approx(own_hz, abs=1.0)
    assert tones.tone_dbfs(samples, own_hz) == pytest.approx(level_dbfs, abs=1.0)
    assert tones.tone_dbfs(samples, other_hz) < level_dbfs - 40.0


def difference(before: dict[str, Any], after: dict[str, Any], name: str) -> float:
    """Growth of a counter of ``inbound-rtp``."""
    return float(after["inbound"][name] - before["inbound"][name])


def whole_seconds(listener: Listener, wanted: int) -> list[NDArray[np.float32]]:
    """Record the given number of seconds without concealment.

    On an idle machine these are consecutive. On a busy one the browser is starved at times and conceals packets that
    arrived in time, so a second with concealment is skipped if a timer of the browser was late in it or the one before.
    """
    found: list[NDArray[np.float32]] = []
    lateness_s = [listener.worst_lateness_s()]
    while len(found) < wanted:
        before = listener.stats()
        samples = listener.record(1.0)
        concealed = difference(before, listener.stats(), "concealedSamples")
        lateness_s.append(listener.worst_lateness_s())
        if concealed == 0:
            found.append(samples)
        else:
            assert max(lateness_s[-2:]) > MACHINE_LATE_S, f"{concealed} samples were concealed"
        assert len(lateness_s) <= 3 * wanted, "the machine is too busy for this test"
    return found


@covers("OP1", "OP5")
def test_browser_plays_each_tone_in_its_channel_without_concealment(studio: Studio) -> None:
    """440 Hz left, 880 Hz right, level within 1 dB, no loss or concealment in 10 s."""
    with bw.Server(STEREO_TONE, studio.config()) as server:
        studio.start(server)
        listener = studio.listener()
        assert listener.play(f"{server.url}whep")["status"] == 201
        settle()
        first = listener.stats()
        samples = np.concatenate(whole_seconds(listener, 10))
        last = listener.stats()
        listener.stop()
        listener.tab.close()
    assert_tone(samples[:, 0], 440.0, 880.0)
    assert_tone(samples[:, 1], 880.0, 440.0)
    assert difference(first, last, "packetsLost") == 0
    assert difference(first, last, "totalSamplesReceived") > 9 * 48_000
    assert last["codec"]["channels"] == 2


@covers("SE61")
def test_sixth_browser_is_refused_until_a_slot_is_free(chromium_studio: Studio) -> None:
    """Five peers by default; the sixth gets 503 with Retry-After until one leaves."""
    studio = chromium_studio
    with bw.Server(STEREO_TONE, studio.config()) as server:
        studio.start(server)
        listeners = [studio.listener() for _ in range(6)]
        for listener in listeners[:5]:
            assert listener.play(f"{server.url}whep")["status"] == 201
        refused = listeners[5].play(f"{server.url}whep")
        assert refused["status"] == 503
        assert int(refused["retryAfter"]) > 0
        settle()
        for listener in listeners[:5]:
            samples = listener.record(1.0)
            assert_tone(samples[:, 0], 440.0, 880.0)
            assert_tone(samples[:, 1], 880.0, 440.0)
        assert server.stats().active_peers == 5
        listeners[0].stop()
        assert listeners[5].play(f"{server.url}whep")["status"] == 201
        settle()
        assert_tone(listeners[5].record(1.0)[:, 1], 880.0, 440.0)
        for listener in listeners:
            listener.tab.close()


@covers("OP5")
def test_mono_and_stereo_players_share_one_encoding(chromium_studio: Studio) -> None:
    """Chromium without stereo=1 decodes mono: both tones, 6 dB lower, in both channels."""
    studio = chromium_studio
    with bw.Server(STEREO_TONE, studio.config()) as server:
        studio.start(server)
        stereo, mono = studio.listener(), studio.listener()
        assert stereo.play(f"{server.url}whep")["status"] == 201
        assert mono.play(f"{server.url}whep", stereo=False)["status"] == 201
        settle()
        both, each = mono.record(2.0), stereo.record(2.0)
        stereo.tab.close()
        mono.tab.close()
    for channel in (0, 1):
        for tone_hz in (440.0, 880.0):
            assert tones.tone_dbfs(both[:, channel], tone_hz) == pytest.approx(-18.0, abs=1.5)
    assert_tone(each[:, 0], 440.0, 880.0)
    assert_tone(each[:, 1], 880.0, 440.0)


@pytest.mark.parametrize("suffix", [".mp3", ".ogg", ".wav"])
@pytest.mark.parametrize("channels", [1, 2])
def test_file_decoded_by_bass_plays(chromium_studio: Studio, tmp_path: Path, suffix: str, channels: int) -> None:
    """44.1 kHz, mono and stereo: correct pitch, level and channel, across the loop seam."""
    studio = chromium_studio
    right_hz = 880.0 if channels == 2 else None
    path = media.write_tone(tmp_path / f"tone{suffix}", 440.0, right_hz, seconds=3.0)
    with bw.Server(bw.BassFile(str(path), loop=True), studio.config()) as server:
        studio.start(server)
        listener = studio.listener()
        assert listener.play(f"{server.url}whep")["status"] == 201
        settle()
        samples = listener.record(4.0)
        listener.tab.close()
        stats = server.stats()
    assert tones.tone_dbfs(samples[:, 0], 440.0) == pytest.approx(-12.0, abs=1.0)
    assert tones.frequency_hz(samples[:, 0]) == pytest.approx(440.0, abs=2.0)
    expected_right_hz = right_hz or 440.0
    assert tones.tone_dbfs(samples[:, 1], expected_right_hz) == pytest.approx(-12.0, abs=1.0)
    assert tones.frequency_hz(samples[:, 1]) == pytest.approx(expected_right_hz, abs=2.0)
    assert stats.source_underruns == 0
    assert not stats.source_ended


@covers("WS55")
def test_closed_browser_connection_ends_the_session(studio: Studio) -> None:
    """Closing a connection sends close_notify, which ends the session without DELETE."""
    with bw.Server(STEREO_TONE, studio.config()) as server:
        studio.start(server)
        listener = studio.listener()
        assert listener.play(f"{server.url}whep")["status"] == 201
        listener.vanish()
        deadline_s = time.monotonic() + 5.0
        while server.peers and time.monotonic() < deadline_s:
            time.sleep(0.05)
        listener.tab.close()
        assert server.peers == ()
