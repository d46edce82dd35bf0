"""Input streams: played by BASS, pulled, mixed, and freed at awkward moments."""

from __future__ import annotations

import ctypes
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ctypes import c_uint32
from pathlib import Path

import numpy as np
import pytest

import bass_webrtc as bw
from support import pulse, tones
from support.bass_device import Bass
from support.fixtures import skip_for
from support.patience import wait_until
from support.publisher_desk import Desk
from support.publisher_farm import PublisherFarm
from support.publisher_recorder import Recorder, Samples, assert_tones, assert_tones_soon, is_silent
from support.pulse import PulseServer
from support.reruns import real_time_audio

pytestmark = real_time_audio

SAMPLE_FLOAT = 0x100
STREAM_DECODE = 0x200000
MIXER_NONSTOP = 0x20000
MIXER_CHAN_MATRIX = 0x10000
"""Without this, BASSmix 2.4.5.2 with BASS 2.4.16.7 crashes on sources with the mixer's rate and channels."""
ATTRIB_VOLUME = 2


@pytest.fixture
def publishers() -> Iterator[PublisherFarm]:
    with PublisherFarm() as farm:
        yield farm


@contextmanager
def serving(**config: object) -> Iterator[bw.Server]:
    settings = {"http_port": 0, "udp_port": 0, "max_peers_per_address": 5, **config}
    with bw.Server(None, bw.ServerConfig(**settings)) as server:  # type: ignore[arg-type]
        server.start()
        yield server


@pytest.fixture
def server() -> Iterator[bw.Server]:
    with serving() as server:
        yield server


def publish(publishers: PublisherFarm, server: bw.Server, left_hz: float, right_hz: float | None = None) -> None:
    """Connect another publisher, and wait until both sides are connected and it has a stream."""
    publishers.publish(f"{server.url}whip", left_hz, right_hz)
    wait_until(lambda: all(peer.state == "connected" for peer in server.peers))


def played(server: bw.Server, peer_id: int = 0) -> int:
    """Return the frames of one publisher that were played."""
    return {peer.id: peer.total_samples_received for peer in server.stats().peers}[peer_id]


def assert_plays(server: bw.Server, peer_id: int = 0) -> None:
    """Check that the stream is pulled in real time within some seconds, with the level of the tone."""
    pace, level_dbfs = 0.0, 0.0
    for _ in range(8):
        before, start_s = played(server, peer_id), time.monotonic()
        time.sleep(1.0)
        pace = (played(server, peer_id) - before) / 48_000 / (time.monotonic() - start_s)
        (level_dbfs,) = (peer.audio_level_dbfs for peer in server.stats().peers if peer.id == peer_id)
        if abs(pace - 1.0) < 0.1 and abs(level_dbfs + 15.0) < 1.0:
            return
    raise AssertionError(f"pulled with {pace:.2f} of the clock's pace, {level_dbfs} dBFS")


# -- BASS streams


def test_stream_handle_is_0_before_bass_init(bass: Bass, server: bw.Server) -> None:
    bass.free()
    assert server.input_stream == 0
    bass.init()
    assert bass.is_alive(server.input_stream)
    assert server.input_stream == server.input_stream


def test_playing_stream_is_pulled_by_bass_in_small_blocks(
    bass: Bass, server: bw.Server, publishers: PublisherFarm
) -> None:
    publish(publishers, server, 440.0)
    bass.library.call("BASS_ChannelPlay", server.input_stream, False)
    time.sleep(0.5)
    assert_plays(server)
    (peer,) = server.peers
    own = peer.input_stream
    bass.library.call("BASS_ChannelPlay", own, False)
    assert_plays(server)
    assert own != server.input_stream


def test_decoding_streams_are_pulled_by_the_program(bass: Bass, publishers: PublisherFarm) -> None:
    """``decode_stream``: mix and own stream through BASS_ChannelGetData."""
    with serving(decode_stream=True) as server:
        publish(publishers, server, 440.0, 880.0)
        with Recorder(bass.reader(server.input_stream)) as mix:
            assert_tones_soon(mix, 440.0, 880.0)
            with Recorder(bass.reader(server.peers[0].input_stream)) as own:
                assert_tones_soon(own, 440.0, 880.0)
                assert is_silent(mix.take(0.2))


def test_bassmix_mixes_two_publishers_with_its_own_volumes(bass: Bass, publishers: PublisherFarm) -> None:
    """Mixers need ``decode_stream``: one publisher at full level, the other 12 dB lower."""
    path = bass.library.path.with_name(bass.library.path.name.replace("bass", "bassmix", 1))
    if not path.exists():
        pytest.skip(f"needs BASSmix beside {bass.library.path}")
    bassmix = ctypes.CDLL(str(path))
    bassmix.BASS_Mixer_StreamCreate.restype = c_uint32
    with serving(decode_stream=True) as server:
        publish(publishers, server, 440.0)
        publish(publishers, server, 1000.0)
        mixer = bassmix.BASS_Mixer_StreamCreate(48_000, 2, SAMPLE_FLOAT | STREAM_DECODE | MIXER_NONSTOP)
        assert mixer
        for peer, volume in zip(server.peers, (1.0, 0.25), strict=True):
            stream = peer.input_stream
            assert bassmix.BASS_Mixer_StreamAddChannel(c_uint32(mixer), c_uint32(stream), c_uint32(MIXER_CHAN_MATRIX))
            bass.library.call("BASS_ChannelSetAttribute", stream, ATTRIB_VOLUME, volume)
        with Recorder(bass.reader(mixer)) as desk:
            desk.wait_for_sound()
            desk.take(0.5)
            samples = desk.take(1.0)[:, 0]
    assert tones.tone_dbfs(samples, 440.0) == pytest.approx(-12.0, abs=1.0)
    assert tones.tone_dbfs(samples, 1000.0) == pytest.approx(-24.0, abs=1.0)


# -- awkward moments


def test_stream_freed_by_the_program_is_recreated(bass: Bass, server: bw.Server, publishers: PublisherFarm) -> None:
    """While it plays, for the mix and for a peer's own stream."""
    publish(publishers, server, 440.0)
    (peer,) = server.peers
    streams: tuple[Callable[[], int], ...] = (lambda: server.input_stream, lambda: peer.input_stream)
    for stream in streams:
        first = stream()
        bass.library.call("BASS_ChannelPlay", first, False)
        time.sleep(0.5)
        bass.library.call("BASS_StreamFree", first)
        second = stream()
        assert second not in (0, first)
        bass.library.call("BASS_ChannelPlay", second, False)
        assert_plays(server)


def test_bass_free_while_streams_play_is_harmless(bass: Bass, server: bw.Server, publishers: PublisherFarm) -> None:
    """No stream without BASS, new ones after the next BASS_Init; ``stop`` without BASS works."""
    publish(publishers, server, 440.0)
    publish(publishers, server, 880.0)
    first, second = server.peers
    for handle in (server.input_stream, second.input_stream):
        bass.library.call("BASS_ChannelPlay", handle, False)
    time.sleep(0.5)
    bass.free()
    assert (server.input_stream, second.input_stream) == (0, 0)
    bass.init()
    for handle in (server.input_stream, second.input_stream):
        bass.library.call("BASS_ChannelPlay", handle, False)
    assert_plays(server, first.id)
    assert_plays(server, second.id)
    bass.free()
    server.stop()
    assert server.input_stream == 0


def test_stream_of_a_leaving_peer_is_freed_while_it_plays(
    bass: Bass, server: bw.Server, publishers: PublisherFarm
) -> None:
    """Five times: connect, play, leave, while the mix plays."""
    mix = server.input_stream
    bass.library.call("BASS_ChannelPlay", mix, False)
    for _ in range(5):
        publish(publishers, server, 440.0)
        (peer,) = server.peers
        own = peer.input_stream
        bass.library.call("BASS_ChannelPlay", own, False)
        time.sleep(0.2)
        publishers.disconnect()
        wait_until(lambda: server.peers == ())
        wait_until(lambda own=own: not bass.is_alive(own))  # type: ignore[misc]
        assert peer.input_stream == 0
    assert bass.is_alive(mix)
    publish(publishers, server, 440.0)
    assert_plays(server, server.peers[0].id)


def test_delay_recovers_after_a_pause_in_reading(server: bw.Server, publishers: PublisherFarm) -> None:
    """Audio received during the pause is not kept, and the delay afterwards is as before."""
    publish(publishers, server, 440.0, 880.0)
    with Recorder(server.read_input) as mix:
        mix.wait_for_sound()
    time.sleep(4.0)
    with Recorder(server.read_input) as mix:
        assert_tones_soon(mix, 440.0, 880.0)
    (stats,) = server.stats().peers
    assert stats.jitter_buffer_ms < 300.0
    assert stats.packets_discarded > 100
    assert stats.packets_lost == 0


# -- gain and mute


def test_gain_and_mute_do_not_click(server: bw.Server, publishers: PublisherFarm) -> None:
    """A step of 12 dB, mute and unmute: the level is right, and the waveform has no jump."""
    publish(publishers, server, 440.0)
    (peer,) = server.peers
    with Recorder(server.read_input) as mix:
        mix.wait_for_sound()
        mix.take(2.0)
        usual = roughness(mix.take(0.5))
        for gain, muted, level_dbfs in (
            (0.25, False, -24.0),
            (1.0, False, -12.0),
            (1.0, True, None),
            (2.0, False, -6.0),
        ):
            peer.gain, peer.muted = gain, muted
            change = mix.take(0.3)
            assert roughness(change) < 3 * max(1.0, gain) * usual + 0.002
            assert settles(mix, level_dbfs)


def settles(mix: Recorder, level_dbfs: float | None) -> bool:
    """Wait until the tone has this level, or is silent, for half a second; the machine may be slow."""
    for _ in range(8):
        samples = mix.take(0.5)
        if level_dbfs is None and is_silent(samples):
            return True
        if level_dbfs is not None and abs(tones.tone_dbfs(samples[:, 0], 440.0) - level_dbfs) < 0.5:
            return True
    return False


def roughness(samples: Samples) -> float:
    """Return the largest second difference: x for a jump by x, 0.0033 x for a 440 Hz sine of amplitude x."""
    return float(np.abs(np.diff(samples[:, 0], 2)).max())


# -- a sound card


@pytest.fixture
def sound_card() -> Iterator[PulseServer]:
    skip_for(pulse.missing())
    with tempfile.TemporaryDirectory(prefix="bw-pulse-") as folder, PulseServer(Path(folder)) as card:
        yield card


def monitor(card: PulseServer, seconds: float) -> Samples:
    """A recorder of the card's output."""
    command = ["pacat", "--record", "--raw", "--device=speaker.monitor", "--format=float32le", "--rate=48000"]
    command += ["--channels=2", "--latency-msec=50"]
    wanted = round(seconds * 48_000) * 8
    with subprocess.Popen(command, env=os.environ | card.environment, stdout=subprocess.PIPE) as recording:
        assert recording.stdout is not None
        data = recording.stdout.read(wanted)
        recording.terminate()
    return np.frombuffer(data, np.float32).reshape(-1, 2)


def test_mix_is_unchanged_on_the_sound_card(sound_card: PulseServer, publishers: PublisherFarm) -> None:
    """Played by BASS on a null sink: its monitor has both tones at their level, without a gap."""
    with Desk(sound_card) as desk:
        publishers.publish(desk.whip_url, 440.0, 880.0)
        monitor(sound_card, 2.0)
        samples = monitor(sound_card, 3.0)
        assert_tones(samples, 440.0, 880.0)
        assert tones.phase_jumps(samples[:, 0], 440.0) == []
        assert desk.stats()["peers"][0]["packets_lost"] == 0


@pytest.mark.alone
def test_bass_never_waits_for_busy_python_threads(sound_card: PulseServer, publishers: PublisherFarm) -> None:
    """Four threads hold the GIL in turns: the mix has no gap, and no callback takes 1 ms."""
    samples, worst_us = _played_beside_busy_threads(sound_card, publishers)
    assert tones.phase_jumps(samples[:, 0], 440.0) == []
    assert 0 < worst_us < 1000
    assert_tones(samples, 440.0, 880.0)


def _played_beside_busy_threads(card: PulseServer, publishers: PublisherFarm) -> tuple[Samples, int]:
    """Return the card's output and the longest callback time."""
    with Desk(card) as desk:
        publishers.publish(desk.whip_url, 440.0, 880.0)
        desk.set_busy_threads(4)
        monitor(card, 2.0)
        samples = monitor(card, 4.0)
        stats = desk.stats()
        publishers.disconnect("vanish")
    assert stats["peers"][0]["packets_lost"] == 0
    return samples, stats["playout_max_us"]
