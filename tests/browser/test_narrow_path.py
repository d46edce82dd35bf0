"""A browser behind a narrow link gets a lower encoding, and the higher one again once there is room."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import bass_webrtc as bw
from support import tones
from support.listener import Listener
from support.patience import wait_until
from support.reruns import real_time_audio
from support.shaped_link import ShapedLink
from support.studio import Studio

pytestmark = real_time_audio

LEFT_HZ, RIGHT_HZ = 440.0, 880.0
EMPTYING_S = 1.5
"""For the audio in the link's queue and in the browser's buffer, with its gaps, to be played."""


@contextmanager
def listening(studio: Studio, *, nack: bool) -> Iterator[tuple[bw.Server, Listener, ShapedLink]]:
    """A server with encodings of 128 and 48 kbit/s, and its only listener, behind a link."""
    config = studio.config(bitrate_kbps=128, fallback_bitrates_kbps=(48,))
    with bw.Server(bw.Tone(LEFT_HZ, RIGHT_HZ), config) as server:
        studio.start(server)
        with ShapedLink(studio.address, server.udp_port, studio.host) as link:
            listener = studio.listener()
            assert listener.play(f"{server.url}whep", nack=nack, link=link.address)["status"] == 201
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


def record_clean_until(server: bw.Server, bitrate_kbps: int, listener: Listener, timeout_s: float) -> None:
    """Do so until the listener gets this encoding: the switch is recorded, too."""
    deadline_s = time.monotonic() + timeout_s
    while server.peers[0].stats().bitrate_kbps != bitrate_kbps:
        assert time.monotonic() < deadline_s, "the listener does not get the encoding"
        record_clean(listener, 12.0)


def test_chromium_behind_64_kbps_gets_48_and_later_128_again(
    chromium_studio: Studio, record_property: Callable[[str, object], None]
) -> None:
    with listening(chromium_studio, nack=True) as (server, listener, link):
        assert server.peers[0].stats().bitrate_kbps == 128
        link.shape(64)
        down_s = wait_for_kbps(server, 48, 5.0)
        time.sleep(EMPTYING_S)
        record_clean(listener, 6.0)  # A probe after 5 s finds no room.
        assert server.peers[0].stats().bitrate_kbps == 48
        link.shape()
        record_clean_until(server, 128, listener, 60.0)
        record_property("summary", f"48 kbit/s after {down_s:.1f} s")
