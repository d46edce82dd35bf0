"""Reads audio in real time, as a sound card does, keeps it and analyses it."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from . import tones

SAMPLE_RATE_HZ = 48_000
_BLOCK_FRAMES = 480
_MACHINE_LATE_S = 0.02
_BENT = 0.005
"""Maximum change of speed while the jitter buffer settles."""

Samples = NDArray[np.float32]


class Recorder:
    """A thread that reads 10 ms every 10 ms from its creation. A context manager; leaving it ends the thread.

    Args:
        read: For example ``server.read_input`` or ``peer.read``: number of frames to float32 ``[frames, 2]``.
        keep_s: How much sound is kept.

    Attributes:
        worst_late_s: Worst lateness of a read, caused by load.
    """

    def __init__(self, read: Callable[[int], Samples], keep_s: float = 90.0) -> None:
        self._read = read
        self._blocks: deque[Samples] = deque(maxlen=_blocks(keep_s))
        self._count = 0
        self._lock = threading.Lock()
        self.worst_late_s = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._thread.start()

    def take(self, seconds: float) -> Samples:
        """Wait for and return the next seconds of audio: float32 ``[frames, 2]``."""
        end = self._count + _blocks(seconds)
        deadline_s = time.perf_counter() + seconds + 10.0
        while self._count < end:
            assert time.perf_counter() < deadline_s, "the recorder stands still"
            time.sleep(0.01)
        return self._take(end, _blocks(seconds))

    def last(self, seconds: float) -> Samples:
        """Return the last seconds of audio."""
        return self._take(self._count, _blocks(seconds))

    def wait_for_sound(self, timeout_s: float = 10.0) -> None:
        """Wait until something louder than -60 dBFS is heard."""
        deadline_s = time.perf_counter() + timeout_s
        while np.abs(self.take(0.05)).max() < 0.001:
            assert time.perf_counter() < deadline_s, "no sound came"

    def close(self) -> None:
        self._stop.set()
        self._thread.join()

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _take(self, end: int, blocks: int) -> Samples:
        with self._lock:
            newest = list(self._blocks)
            later = self._count - end
        return np.concatenate(newest[len(newest) - later - blocks : len(newest) - later])

    def _run(self) -> None:
        start_s = time.perf_counter()
        while not self._stop.is_set():
            block = self._read(_BLOCK_FRAMES)
            with self._lock:
                self._blocks.append(block)
                self._count += 1
            ahead_s = start_s + self._count * _BLOCK_FRAMES / SAMPLE_RATE_HZ - time.perf_counter()
            self.worst_late_s = max(self.worst_late_s, -ahead_s)
            time.sleep(max(0.0, ahead_s))


def _blocks(seconds: float) -> int:
    return round(seconds * SAMPLE_RATE_HZ / _BLOCK_FRAMES)


def assert_tones(
    samples: Samples, left_hz: float, right_hz: float, level_dbfs: float = -12.0, *, bent: float = 0.0
) -> None:
    """Check that each channel has its tone at its level within 1 dB, and no more crosstalk than Opus causes.

    ``bent`` is the tolerated relative change of speed, besides 1 Hz.
    """
    for channel, own_hz, other_hz in ((0, left_hz, right_hz), (1, right_hz, left_hz)):
        found_hz = steady_hz(samples[:, channel], own_hz)
        assert found_hz == pytest.approx(own_hz, abs=max(1.0, bent * own_hz))
        assert tones.tone_dbfs(samples[:, channel], found_hz) == pytest.approx(level_dbfs, abs=1.0)
        if own_hz != other_hz:
            assert tones.tone_dbfs(samples[:, channel], other_hz) < level_dbfs - 40.0


def assert_tones_soon(
    recorder: Recorder, left_hz: float, right_hz: float, level_dbfs: float = -12.0, attempts: int = 4
) -> None:
    """Wait until ``assert_tones`` holds for a second of audio and for the second after it.

    A second in which the reader was late is repeated: a busy machine also delays a
    publisher, too.
    """
    recorder.wait_for_sound()
    for _ in range(attempts):
        with contextlib.suppress(AssertionError):
            assert_tones(recorder.take(1.0), left_hz, right_hz, level_dbfs)
            break
    recorder.worst_late_s = 0.0
    samples = recorder.take(1.0)
    if recorder.worst_late_s > _MACHINE_LATE_S:
        samples = recorder.take(1.0)
    assert_tones(samples, left_hz, right_hz, level_dbfs, bent=_BENT)


def assert_tones_settling(
    record: Callable[[float], Samples], left_hz: float, right_hz: float, attempts: int = 5
) -> None:
    """Wait until ``assert_tones`` holds for a second, in which a jitter buffer may still change the speed."""
    for _ in range(attempts):
        samples = record(1.0)
        with contextlib.suppress(AssertionError):
            assert_tones(samples, left_hz, right_hz, bent=_BENT)
            return
    assert_tones(samples, left_hz, right_hz, bent=_BENT)


def end_of_sound(path: Path, seconds: float) -> Samples:
    """Return the last seconds of a recording, up to 0.25 s before the sound ends."""
    samples, rate_hz = soundfile.read(path, dtype="float32")
    assert rate_hz == SAMPLE_RATE_HZ
    loud = np.flatnonzero(np.abs(samples).max(axis=1) > 0.01)
    assert len(loud) > 0, "silence"
    end = int(loud[-1]) - SAMPLE_RATE_HZ // 4
    return np.asarray(samples[end - round(seconds * SAMPLE_RATE_HZ) : end])


def steady_hz(samples: Samples, near_hz: float, hop: int = 480) -> float:
    """Return the frequency of a tone within 50 Hz of ``near_hz``: the median over 10 ms, so gaps do not count."""
    blocks = samples[: len(samples) // hop * hop].reshape(-1, hop)
    time_s = np.arange(blocks.size).reshape(blocks.shape) / SAMPLE_RATE_HZ
    values = (blocks * np.hanning(hop) * np.exp(-2j * np.pi * near_hz * time_s)).sum(axis=1)
    steps = np.angle(values[1:] * np.conj(values[:-1]))
    return near_hz + float(np.median(steps)) * SAMPLE_RATE_HZ / (2 * np.pi * hop)


def is_silent(samples: Samples) -> bool:
    """Whether the audio is below -80 dBFS."""
    return bool(np.abs(samples).max() < 0.0001)
