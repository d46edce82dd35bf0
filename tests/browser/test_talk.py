"""What a program gets of people who talk: real browsers publish, and the sound that comes out is judged."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

import bass_webrtc as bw
from support import media, tones
from support.browsers import Chromium
from support.fixtures import skip_for
from support.page_server import PageServer
from support.publisher_page import Talker
from support.publisher_recorder import Recorder, Samples, assert_tones, assert_tones_soon, is_silent
from support.studio import Studio

DUPLEX_S = float(os.environ.get("BASS_WEBRTC_DUPLEX_S", "20"))
FIREFOX_HZ, FIREFOX_DBFS = 1000.0, -20.0
"""Firefox's fake microphone, one channel."""


@pytest.fixture(scope="module")
def chromium_with_microphone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """Chromium whose microphone hears 440 Hz on the left and 880 Hz on the right, for a minute and again."""
    from support.browsers import missing_chromium

    skip_for(missing_chromium())
    path = tmp_path_factory.mktemp("microphone") / "tones.wav"
    media.write_tone(path, 440.0, 880.0, seconds=60.0, sample_rate_hz=48_000)
    with Chromium(microphone=path) as chromium, PageServer() as pages:
        yield Studio(chromium, pages, "127.0.0.1")


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


def test_chromiums_microphone_is_heard_in_stereo_in_the_mix_and_on_its_own(chromium_with_microphone: Studio) -> None:
    """OP5, WS1: right tone, level and channel; one place at a time; our receiver reports reach the browser."""
    studio = chromium_with_microphone
    with bw.Server(None, studio.config()) as server:
        studio.start(server)
        talker = Talker(studio)
        published = talker.publish(f"{server.url}whip")
        assert published["status"] == 201
        assert published["settings"]["channelCount"] == 2
        with Recorder(server.read_input) as mix:
            assert_tones_soon(mix, 440.0, 880.0)
            (peer,) = server.peers
            with Recorder(peer.read) as own:
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


def test_firefoxs_microphone_is_heard_in_the_mix_and_on_its_own(firefox_studio: Studio) -> None:
    """WS1: one channel comes out on both sides, at its level."""
    studio = firefox_studio
    with bw.Server(None, studio.config()) as server:
        studio.start(server)
        talker = Talker(studio)
        assert talker.publish(f"{server.url}whip")["status"] == 201
        with Recorder(server.read_input) as mix:
            assert_tones_soon(mix, FIREFOX_HZ, FIREFOX_HZ, FIREFOX_DBFS)
            (peer,) = server.peers
            with Recorder(peer.read) as own:
                assert_tones_soon(own, FIREFOX_HZ, FIREFOX_HZ, FIREFOX_DBFS)
                samples = own.last(1.0)
                assert np.allclose(samples[:, 0], samples[:, 1], atol=0.01)
                assert is_silent(mix.take(0.2))
        talker.hang_up()
        wait_until(lambda: server.peers == ())
        talker.tab.close()


@pytest.mark.timeout(60 + 3 * DUPLEX_S)
def test_a_browser_plays_and_talks_at_once_and_nothing_is_concealed(chromium_with_microphone: Studio) -> None:
    """Both directions over one port for 20 s, or BASS_WEBRTC_DUPLEX_S: no packet lost, nothing concealed.

    The best of three passages counts: another program may take the processor away from the browser's microphone.
    """
    studio = chromium_with_microphone
    with bw.Server(bw.Tone(hz=600.0, right_hz=1500.0, level_dbfs=-12.0), studio.config()) as server:
        studio.start(server)
        both = Talker(studio)
        assert both.play(f"{server.url}whep")["status"] == 201
        assert both.publish(f"{server.url}whip")["status"] == 201
        with Recorder(server.read_input) as mix:
            settled(mix)
            time.sleep(2.0)
            concealed: list[tuple[int, int]] = []
            while len(concealed) < 3 and (0, 0) not in concealed:
                before = _concealed(server, both)
                samples = mix.take(DUPLEX_S)
                after = _concealed(server, both)
                concealed.append((after[0] - before[0], after[1] - before[1]))
        assert (0, 0) in concealed
        assert_tones(samples, 440.0, 880.0)
        assert tones.phase_jumps(samples[:, 0], 440.0) == []
        assert_tones(both.record(1.0), 600.0, 1500.0)
        lost = [peer.packets_lost for peer in server.stats().peers]
        assert lost == [0, 0]
        both.tab.close()


def _concealed(server: bw.Server, both: Talker) -> tuple[int, int]:
    """Samples that were made up: by us, by the browser."""
    (publisher,) = (peer for peer in server.stats().peers if peer.kind == "publisher")
    return publisher.concealed_samples, int(both.stats()["inbound"]["concealedSamples"])


def test_a_publisher_that_vanishes_is_noticed_by_its_close(chromium_with_microphone: Studio) -> None:
    """WS55: a closed connection says close_notify; the session ends without DELETE, and the mix is silent."""
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
