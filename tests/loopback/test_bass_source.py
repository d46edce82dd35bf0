"""Files, URLs and a recording device, decoded by BASS and read the way the core reads them."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import bass_webrtc as bw
from bass_webrtc.bass import BassSource, find_bass, open_file
from support import bass_reader, media, pulse, tones
from support.media_server import MediaServer
from support.pulse import PulseServer

LEVEL_DBFS = -12.0
TESTS = Path(__file__).parents[1]


def _check_tone(samples: bass_reader.Samples, tone_hz: float, sample_rate_hz: int) -> None:
    """Check the middle, because encoders fade the edges. The analysis assumes 48 kHz, so the pitch is scaled."""
    middle = samples[len(samples) // 4 : -len(samples) // 4]
    at_48_khz = tone_hz * tones.SAMPLE_RATE_HZ / sample_rate_hz
    assert tones.frequency_hz(middle) == pytest.approx(at_48_khz, abs=0.5)
    assert tones.tone_dbfs(middle, at_48_khz) == pytest.approx(LEVEL_DBFS, abs=0.3)
    assert tones.phase_jumps(middle, at_48_khz) == []


@pytest.mark.parametrize("suffix", [".wav", ".mp3", ".ogg", ".flac"])
@pytest.mark.parametrize("right_hz", [880.0, None])
def test_file_plays_its_tones_and_ends(tmp_path: Path, suffix: str, right_hz: float | None) -> None:
    path = media.write_tone(tmp_path / f"tone{suffix}", 440.0, right_hz, seconds=1.0, level_dbfs=LEVEL_DBFS)
    with open_file(path) as channel:
        assert not channel.source.live
        samples = bass_reader.read_to_end(channel.source)
        assert samples.shape == (44_100, 1 if right_hz is None else 2)
        _check_tone(samples[:, 0], 440.0, 44_100)
        if right_hz is not None:
            _check_tone(samples[:, 1], right_hz, 44_100)
        with pytest.raises(bass_reader.EndedError):
            bass_reader.read(channel.source, 1)
        assert find_bass().last_error_code() == 45


def test_looped_file_repeats_without_a_gap(tmp_path: Path) -> None:
    path = media.write_tone(tmp_path / "tone.wav", 440.0, None, seconds=0.5, level_dbfs=LEVEL_DBFS)
    with open_file(path, loop=True) as channel:
        samples = np.concatenate([bass_reader.read(channel.source, 882) for _ in range(100)])
    assert len(samples) == 88_200
    _check_tone(samples[:, 0], 440.0, 44_100)


@pytest.mark.parametrize("loop", [True, False])
def test_tracker_module_plays(tmp_path: Path, loop: bool) -> None:
    with open_file(media.write_module(tmp_path / "tone.mod"), loop=loop) as channel:
        assert (channel.source.sample_rate_hz, channel.source.channels) == (48_000, 2)
        samples = np.concatenate([bass_reader.read(channel.source, 960) for _ in range(100)])
    assert tones.frequency_hz(samples[9600:, 0]) == pytest.approx(media.MODULE_TONE_HZ, abs=1.0)


def test_url_gives_the_same_samples_as_the_file(tmp_path: Path) -> None:
    path = media.write_tone(tmp_path / "tone.ogg", seconds=1.0)
    with open_file(path) as channel:
        from_file = bass_reader.read_to_end(channel.source)
    with MediaServer(tmp_path) as server, open_file(f"{server.origin}/{path.name}") as channel:
        from_url = bass_reader.read_to_end(channel.source)
    assert np.array_equal(from_url, from_file)


def test_stalled_url_never_blocks(tmp_path: Path) -> None:
    """The server holds the rest back until ``resume``, so a blocking read would never return."""
    path = media.write_tone(tmp_path / "tone.wav", seconds=2.0)
    with MediaServer(tmp_path, stall_at_bytes=200_000) as server, open_file(f"{server.origin}/{path.name}") as channel:
        got = 0
        while len(block := bass_reader.read(channel.source, 882)) > 0:
            got += len(block)
        assert 0 < got <= 200_000 // 4
        assert len(bass_reader.read(channel.source, 882)) == 0
        assert find_bass().last_error_code() == 0
        server.resume()
        got += len(bass_reader.read_to_end(channel.source))
    assert got == 88_200


@pytest.mark.parametrize("name", ["tone.mp3", "tone.ogg", "tone.mod"])
def test_channel_freed_during_a_read_ends(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name == "tone.mod":
        media.write_module(path)
    else:
        media.write_tone(path, seconds=0.5)
    for _ in range(50):
        channel = open_file(path, loop=True)
        started = threading.Event()
        reader = threading.Thread(target=_read_until_freed, args=(channel.source, started))
        reader.start()
        started.wait()
        channel.close()
        reader.join(timeout=10)
        assert not reader.is_alive()


def _read_until_freed(source: BassSource, started: threading.Event) -> None:
    try:
        while True:
            bass_reader.read(source, 48_000)
            started.set()
    except bass_reader.EndedError:
        assert find_bass().last_error_code() == 5


def test_handle_is_the_source_of_one_channel_at_a_time(tmp_path: Path) -> None:
    """Two readers would get a part of the audio each."""
    with open_file(media.write_tone(tmp_path / "tone.wav", seconds=5.0), loop=True) as channel:
        handle = channel.source.handle
        with bw.Server(handle, bw.ServerConfig(http_port=0, udp_port=0)) as server:
            server.start()
            with pytest.raises(bw.ConfigError, match=r"channel 'jazz': the BASS handle .* already in use"):
                server.add_channel("jazz", handle)
            with pytest.raises(bw.ConfigError, match="already in use"):
                server.channels["main"].set_source(handle)
            server.channels["main"].set_source(None, fade_ms=0)
            jazz = server.add_channel("jazz", handle)
            jazz.close()
            server.channels["main"].set_source(handle, fade_ms=0)


# ---- the sound card


@pytest.fixture
def sound_card() -> Iterator[PulseServer]:
    if (reason := pulse.missing()) is not None:
        pytest.skip(reason)
    with tempfile.TemporaryDirectory() as folder, PulseServer(Path(folder)) as server:
        yield server


def test_bass_records_its_default_input(sound_card: PulseServer, tmp_path: Path) -> None:
    """Audio that another program plays to the null sink is recorded from its monitor, with the channels in order."""
    tone = media.write_tone(tmp_path / "tone.wav", seconds=20.0, sample_rate_hz=48_000, level_dbfs=LEVEL_DBFS)
    environment = os.environ | sound_card.environment
    # A long buffer avoids gaps in the player's output on a busy machine.
    player = subprocess.Popen(["paplay", "--latency-msec=1000", str(tone)], env=environment)
    try:
        recorded = tmp_path / "recorded.npy"
        command = [sys.executable, "-m", "support.bass_reader", str(recorded), "2.0"]
        subprocess.run(command, env=environment, cwd=TESTS, check=True, timeout=60)
    finally:
        player.terminate()
        player.wait()
    samples = np.load(recorded)
    _check_tone(samples[:, 0], 440.0, 48_000)
    _check_tone(samples[:, 1], 880.0, 48_000)
