"""A program's own BASS channels as sources of a real server: any rate and layout, and freed while it plays."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import soundfile

import bass_webrtc as bw
from bass_webrtc.bass import BassLibrary, find_bass
from support import media, tones
from support.driving import connect, drive
from support.opus import decode
from support.player import Certificate, Counters, Player
from support.reruns import real_time_audio

pytestmark = real_time_audio

STREAM_DECODE = 0x200000
SAMPLE_LOOP = 4
LEVEL_DBFS = -12.0
SILENT_DBFS = -80.0
FRONT_SHARE_DB = 20 * np.log10(1 / (1 + 2 * 0.7071))
"""A front channel beside a centre and a rear one, mixed to stereo so that nothing clips."""


@pytest.fixture(scope="module")
def bass() -> BassLibrary:
    library = find_bass()
    library.try_call("BASS_Init", 0, 48_000, 0, None, None)
    return library


class Ear:
    """A player of a server."""

    def __init__(self, server: bw.Server) -> None:
        self.player = Player(Certificate())
        connect(self.player, f"{server.url}whep")

    def listen(self, seconds: float) -> tones.Samples:
        """Return the next seconds of audio, without a missing packet."""
        packets: list[bytes] = []
        self.player.counters, self.player.on_rtp = Counters(), packets.append
        drive([self.player], lambda: False, seconds)
        assert self.player.counters.packets > 40 * seconds
        assert self.player.counters.missing == 0
        samples = decode(packet[12:] for packet in self.player.decrypt(packets))
        return samples[4800:]  # The decoder begins in the middle of the stream.


@contextmanager
def serving(handle: int) -> Iterator[bw.Server]:
    with bw.Server(handle, bw.ServerConfig(http_port=0, udp_port=0)) as server:
        server.start()
        yield server


def open_stream(bass: BassLibrary, path: Path) -> int:
    return bass.call("BASS_StreamCreateFile", False, str(path).encode(), 0, 0, STREAM_DECODE | SAMPLE_LOOP)


def write_channels(path: Path, sample_rate_hz: int, channels: int) -> Path:
    """Return a loopable second of 440 Hz left, 880 Hz right, and silence on other channels."""
    time_s = np.arange(sample_rate_hz) / sample_rate_hz
    samples = np.zeros((sample_rate_hz, channels))
    for channel, hz in list(enumerate((440.0, 880.0)))[:channels]:
        samples[:, channel] = 10 ** (LEVEL_DBFS / 20) * np.sin(2 * np.pi * hz * time_s)
    soundfile.write(path, samples, sample_rate_hz, "FLOAT")
    return path


@pytest.mark.parametrize(
    ("sample_rate_hz", "channels", "right_hz", "level_dbfs"),
    [
        (8_000, 1, 440.0, LEVEL_DBFS),
        (44_100, 2, 880.0, LEVEL_DBFS),
        (96_000, 6, 880.0, LEVEL_DBFS + FRONT_SHARE_DB),
    ],
)
def test_stream_of_any_rate_and_layout_is_heard_in_stereo(
    bass: BassLibrary, tmp_path: Path, sample_rate_hz: int, channels: int, right_hz: float, level_dbfs: float
) -> None:
    handle = open_stream(bass, write_channels(tmp_path / "tone.wav", sample_rate_hz, channels))
    with serving(handle) as server:
        samples = Ear(server).listen(1.5)
        stats = server.stats()
    assert bass.try_call("BASS_StreamFree", handle), "the handle stays the program's own"
    for channel, hz in ((0, 440.0), (1, right_hz)):
        assert tones.frequency_hz(samples[:, channel]) == pytest.approx(hz, abs=0.5)
        assert tones.tone_dbfs(samples[:, channel], hz) == pytest.approx(level_dbfs, abs=0.5)
        assert tones.phase_jumps(samples[:, channel], hz) == []
    assert (stats.source_underruns, stats.source_ended) == (0, False)


def make_stream(bass: BassLibrary, folder: Path) -> int:
    return open_stream(bass, media.write_tone(folder / "tone.wav", 440.0, 440.0, seconds=1.0))


def make_module(bass: BassLibrary, folder: Path) -> int:
    path = str(media.write_module(folder / "tone.mod")).encode()
    return bass.call("BASS_MusicLoad", False, path, 0, 0, STREAM_DECODE | SAMPLE_LOOP, 48_000)


@pytest.mark.parametrize(
    ("make", "free", "tone_hz"),
    [
        (make_stream, "BASS_StreamFree", 440.0),
        (make_module, "BASS_MusicFree", media.MODULE_TONE_HZ),
    ],
    ids=["HSTREAM", "HMUSIC"],
)
def test_channel_freed_while_playing_ends_once_and_silence_follows(
    bass: BassLibrary, tmp_path: Path, make: Callable[[BassLibrary, Path], int], free: str, tone_hz: float
) -> None:
    handle = make(bass, tmp_path)
    ended = threading.Semaphore(0)
    with serving(handle) as server:
        server.on("source_ended", ended.release)
        ear = Ear(server)
        samples = ear.listen(1.0)
        assert tones.frequency_hz(samples[:, 0]) == pytest.approx(tone_hz, abs=1.0)
        assert tones.tone_dbfs(samples[:, 0], tone_hz) > -30.0
        assert not server.stats().source_ended
        bass.call(free, handle)
        assert ended.acquire(timeout=10)
        ear.listen(0.5)  # Packets in flight.
        assert tones.rms_dbfs(ear.listen(1.0)) < SILENT_DBFS
        stats = server.stats()
    assert not ended.acquire(blocking=False), "the event came twice"
    assert (stats.source_ended, stats.source_underruns, stats.active_peers) == (True, 0, 1)
