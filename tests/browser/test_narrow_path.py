"""A browser behind a narrow link gets a lower encoding, and the higher one again once there is room."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

import bass_webrtc as bw
from support import tones
from support.listener import Listener
from support.patience import wait_until
from support.reruns import real_time_audio
from support.shaped_link import ShapedLink
from support.studio import Studio

pytestmark = [pytest.mark.alone, real_time_audio]

LEFT_HZ, RIGHT_HZ = 440.0, 880.0
CLICK_DBFS = -33.0
"""Of what is not the tone. Stretched audio has -39 dBFS, a tone that jumps has -25."""
EMPTYING_S = 2.0
"""For the audio in the link's queue and in the browser's buffer, with its gaps, to be played."""


@contextmanager
def listening(studio: Studio) -> Iterator[tuple[bw.Server, Listener, ShapedLink]]:
    """A server with encodings of 128 and 48 kbit/s, and its only listener, behind a link."""
    config = studio.config(bitrate_kbps=128, fallback_bitrates_kbps=(48,))
    with bw.Server(bw.Tone(LEFT_HZ, RIGHT_HZ), config) as server:
        studio.start(server)
        with ShapedLink(studio.address, server.udp_port, studio.host) as link:
            listener = studio.listener()
            assert listener.play(f"{server.url}whep", nack=True, link=link.address)["status"] == 201
            time.sleep(EMPTYING_S)
            yield server, listener, link
            listener.stop()
            listener.tab.close()


def wait_for_kbps(server: bw.Server, bitrate_kbps: int, timeout_s: float) -> float:
    """Wait until the listener gets this encoding; return the seconds it took."""
    return wait_until(lambda: server.peers[0].stats().bitrate_kbps == bitrate_kbps, timeout_s)


def record_clean(listener: Listener, seconds: float) -> None:
    """Check that the next seconds are played without concealment and without a click."""
    before = listener.stats()["inbound"]["concealedSamples"]
    samples = listener.record(seconds)
    assert listener.stats()["inbound"]["concealedSamples"] == before
    for side, tone_hz in enumerate((LEFT_HZ, RIGHT_HZ)):
        assert tones.phase_jumps(samples[:, side], tone_hz) == []
        assert max(tones.remainder_dbfs(samples[:, side], tone_hz)) < CLICK_DBFS


def record_clean_until(server: bw.Server, bitrate_kbps: int, listener: Listener, timeout_s: float) -> None:
    """Do so until the listener gets this encoding: the switch is recorded, too."""
    deadline_s = time.monotonic() + timeout_s
    while server.peers[0].stats().bitrate_kbps != bitrate_kbps:
        assert time.monotonic() < deadline_s, "the listener does not get the encoding"
        record_clean(listener, 6.0)


def assert_listener_follows_the_link(studio: Studio, notice_s: float) -> str:
    """Limit the link and release it; return the figures."""
    with listening(studio) as (server, listener, link):
        assert server.peers[0].stats().bitrate_kbps == 128
        link.shape(64)
        down_s = wait_for_kbps(server, 48, notice_s)
        time.sleep(EMPTYING_S)
        record_clean(listener, 6.0)  # A probe after 5 s finds no room.
        assert server.peers[0].stats().bitrate_kbps == 48
        link.shape()
        record_clean_until(server, 128, listener, 60.0)
    return f"{type(studio.browser).__name__}: 48 kbit/s after {down_s:.1f} s"


def test_chromium_behind_64_kbps_gets_48_and_later_128_again(
    chromium_studio: Studio, record_property: Callable[[str, object], None]
) -> None:
    """It requests lost packets again, so the limit is noticed at once."""
    record_property("summary", assert_listener_follows_the_link(chromium_studio, 5.0))


def test_firefox_behind_64_kbps_gets_48_and_later_128_again(
    firefox_studio: Studio, record_property: Callable[[str, object], None]
) -> None:
    """It sends no NACKs for audio: two reports show the limit, 2.5 to 7.5 s apart."""
    record_property("summary", assert_listener_follows_the_link(firefox_studio, 20.0))


def test_switches_of_encoding_are_inaudible(studio: Studio) -> None:
    with listening(studio) as (server, listener, _):
        run = server._run
        assert run is not None
        for at_s, encoding in ((1.0, 1), (2.0, 0), (3.0, 1)):
            threading.Timer(at_s, run.loop.call_soon, args=(run.engine.set_encoding, 0, encoding)).start()
        record_clean(listener, 4.0)
        assert server.peers[0].stats().bitrate_kbps == 48


def test_source_is_exchanged_without_a_click(studio: Studio) -> None:
    """The tones have the same frequencies: during the fade they only change in amplitude and phase, slowly."""
    with listening(studio) as (server, listener, _):
        before = listener.stats()["inbound"]["concealedSamples"]
        exchange = threading.Timer(1.0, server.channels["main"].set_source, args=(bw.Tone(LEFT_HZ, RIGHT_HZ), 1000))
        exchange.start()
        samples = listener.record(4.0)
        exchange.join()
        assert listener.stats()["inbound"]["concealedSamples"] == before
        for side, tone_hz in enumerate((LEFT_HZ, RIGHT_HZ)):
            assert max(tones.remainder_dbfs(samples[:, side], tone_hz)) < CLICK_DBFS
