"""What a program gets of people who talk: real browsers publish, and the sound of their BASS streams is judged."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest

import bass_webrtc as bw
from support.bass_device import Bass
from support.browsers import FIREFOX_MICROPHONE_DBFS, FIREFOX_MICROPHONE_HZ
from support.conformance import covers
from support.publisher_page import Talker
from support.publisher_recorder import Recorder, Samples, assert_tones, assert_tones_soon, is_silent
from support.studio import Studio

DUPLEX_S = float(os.environ.get("BASS_WEBRTC_DUPLEX_S", "60"))
MACHINE_LATE_S = 0.01
"""As long as the shortest block that a browser or our reader handles."""
LATE_JITTER_MS = 0.6
"""One packet that comes 10 ms late makes a sixteenth of that of it (RFC 3550, 6.4.1)."""


def wait_until(holds: Callable[[], object], timeout_s: float = 10.0) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline_s, "it did not happen in time"
        time.sleep(0.05)


def settled(recorder: Recorder) -> Samples:
    """Two seconds of sound, once it comes and the jitter buffer has come to rest."""
    recorder.wait_for_sound()
    recorder.take(1.0)
    return recorder.take(2.0)


@covers("OP5", "WS1")
def test_chromiums_microphone_is_heard_in_stereo_in_the_mix_and_on_its_own(
    bass: Bass, chromium_with_microphone: Studio
) -> None:
    """Right tone, level and channel; one place at a time; our receiver reports reach the browser."""
    studio = chromium_with_microphone
    with bw.Server(None, studio.config(decode_stream=True)) as server:
        studio.start(server)
        talker = Talker(studio)
        published = talker.publish(f"{server.url}whip")
        assert published["status"] == 201
        assert published["settings"]["channelCount"] == 2
        with Recorder(bass.reader(server.input_stream)) as mix:
            assert_tones_soon(mix, 440.0, 880.0)
            (peer,) = server.peers
            with Recorder(bass.reader(peer.input_stream)) as own:
                assert_tones_soon(own, 440.0, 880.0)
                assert is_silent(mix.take(0.2))
            peer.return_to_mix()
            assert_tones_soon(mix, 440.0, 880.0)
            wait_until(lambda: "remote" in talker.publish_stats())
            report = talker.publish_stats()["remote"]
        assert report["packetsLost"] == 0
        assert 0 <= report["roundTripTime"] < 1.0
        assert server.stats().srtp_errors == 0
        talker.hang_up()
        wait_until(lambda: server.peers == ())
        talker.tab.close()


@covers("WS1")
def test_firefoxs_microphone_is_heard_in_the_mix_and_on_its_own(bass: Bass, firefox_studio: Studio) -> None:
    """One channel comes out on both sides, at its level."""
    studio = firefox_studio
    with bw.Server(None, studio.config(decode_stream=True)) as server:
        studio.start(server)
        talker = Talker(studio)
        assert talker.publish(f"{server.url}whip")["status"] == 201
        with Recorder(bass.reader(server.input_stream)) as mix:
            assert_tones_soon(mix, FIREFOX_MICROPHONE_HZ, FIREFOX_MICROPHONE_HZ, FIREFOX_MICROPHONE_DBFS)
            (peer,) = server.peers
            with Recorder(bass.reader(peer.input_stream)) as own:
                assert_tones_soon(own, FIREFOX_MICROPHONE_HZ, FIREFOX_MICROPHONE_HZ, FIREFOX_MICROPHONE_DBFS)
                samples = own.last(1.0)
                assert np.allclose(samples[:, 0], samples[:, 1], atol=0.01)
                assert is_silent(mix.take(0.2))
        talker.hang_up()
        wait_until(lambda: server.peers == ())
        talker.tab.close()


@pytest.mark.timeout(60 + 3 * DUPLEX_S)
def test_a_browser_plays_and_talks_at_once_and_nothing_is_concealed(
    bass: Bass, chromium_with_microphone: Studio
) -> None:
    """Both directions over one port for 60 s, or BASS_WEBRTC_DUPLEX_S: no packet lost, nothing concealed.

    Seconds with concealment are made up for, up to twice the time, where the machine was late: what takes the processor
    away from a timer takes it away from sound, too. On a machine that does nothing else there are none.
    """
    studio = chromium_with_microphone
    source = bw.Tone(hz=600.0, right_hz=1500.0, level_dbfs=-12.0)
    with bw.Server(source, studio.config(decode_stream=True)) as server:
        studio.start(server)
        both = Talker(studio)
        assert both.play(f"{server.url}whep")["status"] == 201
        assert both.publish(f"{server.url}whip")["status"] == 201
        with Recorder(bass.reader(server.input_stream)) as mix:
            settled(mix)
            time.sleep(2.0)
            stretched = _stretched(server)
            seconds = [_second(server, both, mix)]
            while sum(second.is_whole for second in seconds) < DUPLEX_S and len(seconds) < 2 * DUPLEX_S:
                seconds.append(_second(server, both, mix))
            stretched = _stretched(server) - stretched
        in_time = _in_time(seconds)
        assert [second.concealed for second in in_time if not second.is_whole] == []
        assert sum(second.is_whole for second in seconds) >= DUPLEX_S, f"only {len(in_time)} s were in time"
        assert_tones(np.concatenate([second.samples for second in seconds if second.is_whole]), 440.0, 880.0)
        # Where the machine was late, time is stretched for a while to catch up. The phase of the tone proves nothing:
        # the browser's microphone of a file leaps a few times a minute by itself.
        if len(in_time) == len(seconds):
            assert stretched == 0
        assert_tones(both.record(1.0), 600.0, 1500.0)
        lost = [peer.packets_lost for peer in server.stats().peers]
        assert lost == [0, 0]
        both.tab.close()


class Second(NamedTuple):
    """A second of what a browser says."""

    samples: Samples
    concealed: tuple[int, int]
    """Samples that were made up meanwhile: by us, by the browser, which plays at the same time."""
    was_late: bool
    """Whether the machine was: our reader, or a timer of the browser, or what its microphone sent."""

    @property
    def is_whole(self) -> bool:
        """Whether nothing was concealed."""
        return self.concealed == (0, 0)


def _second(server: bw.Server, both: Talker, mix: Recorder) -> Second:
    both.worst_lateness_s()
    mix.worst_late_s = 0.0
    before, parts, jitters_ms = _concealed(server, both), [], []
    for _ in range(5):
        parts.append(mix.take(0.2))
        jitters_ms.append(_publisher(server).jitter_ms)
    after = _concealed(server, both)
    was_late = max(mix.worst_late_s, both.worst_lateness_s()) > MACHINE_LATE_S or max(jitters_ms) > LATE_JITTER_MS
    return Second(np.concatenate(parts), (after[0] - before[0], after[1] - before[1]), was_late)


def _in_time(seconds: list[Second]) -> list[Second]:
    """Those in which the machine was not late, nor in the one before or after: what is late here is heard there."""
    late = [second.was_late for second in seconds]
    return [second for number, second in enumerate(seconds) if not any(late[max(0, number - 1) : number + 2])]


def _stretched(server: bw.Server) -> int:
    """Samples by which we changed the time of what the browser says."""
    publisher = _publisher(server)
    return publisher.inserted_samples_for_deceleration + publisher.removed_samples_for_acceleration


def _concealed(server: bw.Server, both: Talker) -> tuple[int, int]:
    """Samples that were made up: by us, by the browser."""
    return _publisher(server).concealed_samples, int(both.stats()["inbound"]["concealedSamples"])


def _publisher(server: bw.Server) -> bw.PeerStats:
    (publisher,) = (peer for peer in server.stats().peers if peer.kind == "publisher")
    return publisher


@covers("WS55")
def test_a_publisher_that_vanishes_is_noticed_by_its_close(chromium_with_microphone: Studio) -> None:
    """A closed connection says close_notify; the session ends without DELETE, and the mix is silent."""
    studio = chromium_with_microphone
    with bw.Server(None, studio.config()) as server:
        studio.start(server)
        talker = Talker(studio)
        assert talker.publish(f"{server.url}whip")["status"] == 201
        with Recorder(server.read_input) as mix:
            mix.wait_for_sound()
            talker.tab.evaluate("talker.vanish()")
            wait_until(lambda: server.peers == (), 5.0)
            assert is_silent(mix.take(0.3)[4_800:])
        talker.tab.close()
