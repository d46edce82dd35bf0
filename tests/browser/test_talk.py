"""Browsers publish, and the audio of their BASS streams is analysed."""

from __future__ import annotations

import os
import time
from typing import NamedTuple

import numpy as np
import pytest

import bass_webrtc as bw
from support.bass_device import Bass
from support.browsers import FIREFOX_MICROPHONE_DBFS, FIREFOX_MICROPHONE_HZ
from support.conformance import covers
from support.patience import wait_until
from support.publisher_page import Talker
from support.publisher_recorder import Recorder, Samples, assert_tones, assert_tones_soon, is_silent
from support.reruns import real_time_audio
from support.studio import Studio

pytestmark = real_time_audio

DUPLEX_S = float(os.environ.get("BASS_WEBRTC_DUPLEX_S", "60"))
MACHINE_LATE_S = 0.01
"""Duration of the shortest block that a browser or our reader processes."""
LATE_JITTER_MS = 0.6
"""A packet that is 10 ms late raises the jitter by a sixteenth of that (RFC 3550, 6.4.1)."""


def settled(recorder: Recorder) -> Samples:
    """Two seconds of audio, once the jitter buffer has settled."""
    recorder.wait_for_sound()
    recorder.take(1.0)
    return recorder.take(2.0)


@covers("OP5", "WS1")
def test_chromium_microphone_plays_in_the_mix_or_in_its_own_stream(
    bass: Bass, chromium_with_microphone: Studio
) -> None:
    """Correct tone, level and channel, in one stream at a time; receiver reports reach the browser."""
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
            # A report that was sent before a sender report arrived has no round-trip time.
            wait_until(lambda: "roundTripTime" in talker.publish_stats().get("remote", {}))
            report = talker.publish_stats()["remote"]
        assert report["packetsLost"] == 0
        assert 0 <= report["roundTripTime"] < 1.0
        assert server.stats().srtp_errors == 0
        talker.hang_up()
        wait_until(lambda: server.peers == ())
        talker.tab.close()


@covers("WS1")
def test_firefox_microphone_plays_in_the_mix_or_in_its_own_stream(bass: Bass, firefox_studio: Studio) -> None:
    """A mono microphone plays on both channels at its level."""
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
def test_browser_plays_and_talks_without_concealment(bass: Bass, chromium_with_microphone: Studio) -> None:
    """Both directions over one port for 60 s, or BASS_WEBRTC_DUPLEX_S: no loss, no concealment.

    A busy machine delays audio as it delays timers, so seconds with concealment in which a timer was late are replaced,
    up to twice the duration. On an idle machine there are none.
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
        # If the machine was late, the jitter buffer stretches time for a while to catch up. The phase of the tone is no
        # proof: the browser's fake microphone jumps a few times a minute by itself.
        if len(in_time) == len(seconds):
            assert stretched == 0
        assert_tones(both.record(1.0), 600.0, 1500.0)
        lost = [peer.packets_lost for peer in server.stats().peers]
        assert lost == [0, 0]
        both.tab.close()


class Second(NamedTuple):
    """One second of audio from a browser."""

    samples: Samples
    concealed: tuple[int, int]
    """Samples concealed meanwhile by the server and by the browser."""
    was_late: bool
    """Whether our reader, a timer of the browser, or its packets were late."""

    @property
    def is_whole(self) -> bool:
        """True if nothing was concealed."""
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
    """Seconds in which the machine was not late, nor in the one before or after, which lateness affects as well."""
    late = [second.was_late for second in seconds]
    return [second for number, second in enumerate(seconds) if not any(late[max(0, number - 1) : number + 2])]


def _stretched(server: bw.Server) -> int:
    """Samples inserted or removed by the server's time stretching."""
    publisher = _publisher(server)
    return publisher.inserted_samples_for_deceleration + publisher.removed_samples_for_acceleration


def _concealed(server: bw.Server, both: Talker) -> tuple[int, int]:
    """Samples concealed by the server and by the browser."""
    return _publisher(server).concealed_samples, int(both.stats()["inbound"]["concealedSamples"])


def _publisher(server: bw.Server) -> bw.PeerStats:
    (publisher,) = (peer for peer in server.stats().peers if peer.kind == "publisher")
    return publisher


@covers("WS55")
def test_closed_publisher_connection_ends_the_session(chromium_with_microphone: Studio) -> None:
    """Closing a connection sends close_notify, which ends the session without DELETE; the mix falls silent."""
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
