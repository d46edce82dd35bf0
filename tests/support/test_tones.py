"""Tests of the audio analysis: each function finds its fault, and none in clean audio."""

from __future__ import annotations

import numpy as np
import pytest

from support import tones


@pytest.mark.parametrize("hz", [100.0, 440.0, 997.3, 12_000.0])
def test_frequency_is_found(hz: float) -> None:
    assert tones.frequency_hz(tones.sine(hz, 1.0)) == pytest.approx(hz, abs=0.1)


@pytest.mark.parametrize("level_dbfs", [0.0, -12.0, -40.0])
def test_level_is_found(level_dbfs: float) -> None:
    samples = tones.sine(440.0, 1.0, level_dbfs)
    assert tones.tone_dbfs(samples, 440.0) == pytest.approx(level_dbfs, abs=0.05)
    assert tones.rms_dbfs(samples) == pytest.approx(level_dbfs, abs=0.05)


def test_another_tone_does_not_change_the_level() -> None:
    both = tones.sine(440.0, 1.0, -6.0) + tones.sine(880.0, 1.0, -26.0)
    assert tones.tone_dbfs(both, 880.0) == pytest.approx(-26.0, abs=0.1)
    assert tones.tone_dbfs(both, 660.0) < -80.0


def test_continuous_sine_has_no_jumps_even_slightly_off_pitch() -> None:
    noise = np.random.default_rng(1).normal(0.0, 0.003, 3 * 48_000).astype(np.float32)
    assert tones.phase_jumps(tones.sine(440.2, 3.0) + noise, 440.0) == []


@pytest.mark.parametrize("lost", [48, 240, 960])
def test_lost_samples_are_a_jump(lost: int) -> None:
    samples = tones.sine(440.0, 2.0)
    cut = np.concatenate([samples[:48_000], samples[48_000 + lost :]])
    (jump, *_) = tones.phase_jumps(cut, 440.0)
    assert jump == pytest.approx(1.0, abs=0.02)


def test_gap_of_silence_is_a_jump() -> None:
    samples = tones.sine(440.0, 2.0).copy()
    samples[48_000 : 48_000 + 960] = 0.0
    assert tones.phase_jumps(samples, 440.0)


def test_remainder_shows_a_click_and_no_fade() -> None:
    tone = tones.sine(440.0, 0.5)
    fade = np.linspace(1.0, 0.0, len(tone), dtype=np.float32)
    other = tones.sine(440.0, 0.5, phase=2.0)
    assert max(tones.remainder_dbfs(tone * fade + other * (1 - fade), 440.0)) < -60
    clicked = np.concatenate((tone[:10_001], other[10_001:]))
    loud = [index for index, level in enumerate(tones.remainder_dbfs(clicked, 440.0)) if level > -40]
    assert loud == [20]
