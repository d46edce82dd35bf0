"""The demo programme, checked by signal analysis."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from numpy.typing import NDArray

from bass_webrtc.cli import demo

Audio = NDArray[np.float32]


@pytest.fixture(scope="module")
def loop() -> Audio:
    return demo.render()


class FakeSource:
    """Accepts the given numbers of frames, then none."""

    def __init__(self, takes: list[int]) -> None:
        self.takes = takes
        self.heard: list[Audio] = []
        self.full = threading.Event()

    def write(self, block: Audio) -> int:
        if not self.takes:
            self.full.set()
            return 0
        taken = min(self.takes.pop(0), len(block))
        self.heard.append(block[:taken].copy())
        return taken


def _dbfs(power: float) -> float:
    return float(10 * np.log10(power))


def _loudness_lufs(sound: Audio) -> float:
    """K-weighted power (ITU-R BS.1770) without the gate, which a steady sound does not need."""
    spectrum = np.fft.rfft(sound, axis=0)
    z = np.exp(-2j * np.pi * np.arange(len(spectrum)) / len(sound))
    shelf = (1.53512485958697 - 2.69169618940638 * z + 1.19839281085285 * z**2) / (
        1 - 1.69065929318241 * z + 0.73248077421585 * z**2
    )
    high_pass = (1 - 2 * z + z**2) / (1 - 1.99004745483398 * z + 0.99007225036621 * z**2)
    weight = np.square(np.abs(shelf * high_pass))[:, np.newaxis]
    return _dbfs(float(np.sum(np.square(np.abs(spectrum)) * weight)) * 2 / len(sound) ** 2) - 0.691


def test_loudness_is_minus_20_lufs_and_never_clips(loop: Audio) -> None:
    assert loop.shape == (demo.LOOP_SAMPLES, 2)
    assert loop.dtype == np.float32
    assert _loudness_lufs(loop) == pytest.approx(-20.0, abs=1.0)
    assert np.max(np.abs(loop)) < 10 ** (-3 / 20)


def test_level_is_steady(loop: Audio) -> None:
    quarter_seconds = loop[: len(loop) // 12_000 * 12_000].reshape(-1, 12_000, 2)
    levels = [_dbfs(float(np.mean(np.square(part)))) for part in quarter_seconds]
    assert min(levels) > -30
    assert max(levels) < -15


def test_channels_are_equally_loud_but_different(loop: Audio) -> None:
    left, right = (_dbfs(float(np.mean(np.square(loop[:, channel])))) for channel in range(2))
    assert left == pytest.approx(right, abs=0.5)
    assert np.mean(loop[:, 0] * loop[:, 1]) < 0.5 * np.mean(np.square(loop))


def test_spectrum_is_balanced(loop: Audio) -> None:
    power = np.square(np.abs(np.fft.rfft(loop.mean(axis=1))))
    hz = np.fft.rfftfreq(len(loop), 1 / 48_000)
    bands = [(60, 250), (250, 1000), (1000, 4000), (4000, 12_000)]
    shares = [_dbfs(float(power[(hz >= low) & (hz < high)].sum() / power.sum())) for low, high in bands]
    assert shares == pytest.approx([-4, -3, -13, -38], abs=3)
    assert _dbfs(float(power[hz < 20].sum() / power.sum())) < -50


def test_loop_repeats_without_a_click(loop: Audio) -> None:
    # A click shows as a jump in the second difference; at the seam it is no larger than elsewhere.
    around = np.concatenate([loop[-480:], loop[:480]])
    jumps = np.abs(np.diff(loop, n=2, axis=0))
    assert np.abs(np.diff(around, n=2, axis=0))[476:484].max() < np.percentile(jumps, 99.9)


def test_rendering_is_deterministic(loop: Audio) -> None:
    assert np.array_equal(loop, demo.render())


def test_loop_is_written_without_lost_or_repeated_samples(loop: Audio) -> None:
    short = loop[:12_000]
    source = FakeSource([4800, 1234, 0, *[4800] * 5])
    programme = demo.DemoProgramme(source, short)
    programme.start()
    assert source.full.wait(timeout=30)
    programme.close()
    heard = np.concatenate(source.heard)
    assert len(heard) > len(short) + 4800
    assert np.array_equal(heard, np.concatenate([short, short, short])[: len(heard)])


def test_close_ends_the_thread_while_the_source_is_full(loop: Audio) -> None:
    source = FakeSource([])
    programme = demo.DemoProgramme(source, loop)
    programme.start()
    assert source.full.wait(timeout=30)
    programme.close()
    programme.close()
    assert not programme._thread.is_alive()
