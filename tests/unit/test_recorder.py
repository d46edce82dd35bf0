"""Recordings survive a kill, do not drift, and switch to RF64 above 4 GiB."""

from __future__ import annotations

import errno
import os
import struct
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile

from bass_webrtc.cli.recorder import BLOCK_FRAMES, Recorder, Samples, WavFile, wav_header

BLOCK_S = 0.02
SIX_HOURS_BYTES = 6 * 3600 * 48_000 * 4
TEN_HOURS_BYTES = 10 * 3600 * 48_000 * 4


def _ramp(frames: int) -> Samples:
    """A ramp, at half level and inverted on the right."""
    left = np.linspace(-1, 1, frames, dtype=np.float32)
    return np.stack([left, -left / 2], axis=1)


def _unexpected(error: OSError) -> None:
    raise AssertionError("writing failed") from error


class CountingMix:
    """A silent mix that records the size of each block read."""

    def __init__(self) -> None:
        self.blocks: list[int] = []

    def __call__(self, frames: int) -> Samples:
        self.blocks.append(frames)
        return np.zeros((frames, 2), np.float32)


def test_samples_survive_a_round_trip(tmp_path: Path) -> None:
    file = WavFile(tmp_path / "a.wav")
    samples = _ramp(1000)
    file.write(samples[:300])
    file.write(samples[300:])
    file.close()
    read, rate = soundfile.read(tmp_path / "a.wav", dtype="float32")
    assert (rate, read.shape) == (48_000, (1000, 2))
    assert np.abs(read - samples).max() < 2 / 32_768
    assert soundfile.info(tmp_path / "a.wav").subtype == "PCM_16"


def test_samples_beyond_full_scale_are_clipped(tmp_path: Path) -> None:
    file = WavFile(tmp_path / "a.wav")
    file.write(np.array([[1.5, -1.5], [1e9, -np.inf]], np.float32))
    file.close()
    read, _ = soundfile.read(tmp_path / "a.wav", dtype="int16")
    assert read.tolist() == [[32_767, -32_767]] * 2


def test_file_is_valid_after_each_flush(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    file = WavFile(path)
    assert soundfile.info(path).frames == 0
    for seconds in (1, 2):
        file.write(_ramp(48_000))
        file.flush()
        assert soundfile.info(path).frames == 48_000 * seconds
        assert path.stat().st_size == struct.unpack("<I", path.read_bytes()[4:8])[0] + 8
    file.close()
    file.close()


def test_existing_file_is_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(b"x" * 10_000)
    WavFile(path).close()
    assert path.stat().st_size == len(wav_header(0))


def test_file_that_cannot_seek_is_rejected() -> None:
    reading, writing = os.pipe()
    with pytest.raises(OSError, match="seek"):
        WavFile(Path(f"/dev/fd/{writing}"))
    os.close(reading)
    os.close(writing)


def test_header_above_4_gib_is_rf64() -> None:
    """EBU Tech 3306: a chunk with 64-bit sizes replaces "JUNK"."""
    short, long = wav_header(SIX_HOURS_BYTES), wav_header(TEN_HOURS_BYTES)
    assert len(short) == len(long)
    assert (short[:4], short[12:16]) == (b"RIFF", b"JUNK")
    assert struct.unpack("<I", short[4:8]) == (SIX_HOURS_BYTES + len(short) - 8,)
    assert (long[:8], long[8:16]) == (b"RF64\xff\xff\xff\xff", b"WAVEds64")
    riff_bytes, data_bytes, frames = struct.unpack("<QQQ", long[20:44])
    assert (riff_bytes, data_bytes, frames) == (TEN_HOURS_BYTES + len(long) - 8, TEN_HOURS_BYTES, 10 * 3600 * 48_000)
    assert long[-8:] == b"data\xff\xff\xff\xff"


@pytest.mark.parametrize(("data_bytes", "kind"), [(0xFFFFFFFC - 72, b"RIFF"), (0x100000000 - 72, b"RF64")])
def test_largest_32_bit_size_is_still_riff(data_bytes: int, kind: bytes) -> None:
    assert wav_header(data_bytes)[:4] == kind


def test_recording_above_4_gib_is_readable(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    with path.open("wb") as file:
        file.write(wav_header(TEN_HOURS_BYTES))
        file.truncate(len(wav_header(0)) + TEN_HOURS_BYTES)  # A sparse file.
    info = soundfile.info(path)
    assert (info.format, info.frames, info.channels) == ("RF64", 10 * 3600 * 48_000, 2)


def test_blocks_are_read_at_absolute_deadlines() -> None:
    mix = CountingMix()
    recorder = Recorder(mix, None, _unexpected)
    recorder.start(100.0)
    assert recorder.read_due(100.0) == pytest.approx(BLOCK_S)
    assert mix.blocks == []
    assert recorder.read_due(100.0211) == pytest.approx(0.0189)
    assert mix.blocks == [BLOCK_FRAMES]
    recorder.read_due(100.0405)
    # Waking 0.4 ms late a thousand times loses no block.
    for index in range(3, 1003):
        recorder.read_due(100.0004 + index * BLOCK_S)
    assert len(mix.blocks) == 1002
    recorder.close()


def test_blocks_missed_during_a_stall_are_read_afterwards() -> None:
    mix = CountingMix()
    recorder = Recorder(mix, None, _unexpected)
    recorder.start(0.0)
    recorder.read_due(3600.001)
    assert len(mix.blocks) == 180_000
    assert set(mix.blocks) == {BLOCK_FRAMES}
    recorder.close()


def test_file_is_flushed_every_second(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    recorder = Recorder(CountingMix(), WavFile(path), _unexpected)
    recorder.start(0.0)
    recorder.read_due(0.99)
    assert soundfile.info(path).frames == 0
    recorder.read_due(1.001)
    assert soundfile.info(path).frames == 48_000
    recorder.read_due(1.501)
    recorder.close()
    assert soundfile.info(path).frames == 72_000


def test_device_tap_decides_the_block_size(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    played = iter([np.zeros((frames, 2), np.float32) for frames in (0, 961, 2000)])
    recorder = Recorder(lambda _due: next(played), WavFile(path), _unexpected)
    recorder.start(0.0)
    recorder.read_due(3 * BLOCK_S + 0.001)
    recorder.close()
    assert soundfile.info(path).frames == 2961


def test_full_disk_is_reported_once_and_reading_continues(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.wav"
    mix, errors = CountingMix(), list[OSError]()
    file = WavFile(path)
    recorder = Recorder(mix, file, errors.append)
    recorder.start(0.0)
    recorder.read_due(1.001)

    def fill(_data: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(file, "_write_all", fill)
    recorder.read_due(3.001)
    recorder.close()
    assert [error.errno for error in errors] == [errno.ENOSPC]
    assert len(mix.blocks) == 150
    assert soundfile.info(path).frames == 48_000


def test_thread_reads_until_close(tmp_path: Path) -> None:
    enough_read = threading.Event()
    mix = CountingMix()

    def read(frames: int) -> Samples:
        if len(mix.blocks) == 3:
            enough_read.set()
        return mix(frames)

    with Recorder(read, WavFile(tmp_path / "a.wav"), _unexpected) as recorder:
        assert enough_read.wait(10)
    count = len(mix.blocks)
    recorder.close()
    assert "bass-webrtc recorder" not in {thread.name for thread in threading.enumerate()}
    assert len(mix.blocks) == count
    assert soundfile.info(tmp_path / "a.wav").frames == count * BLOCK_FRAMES
