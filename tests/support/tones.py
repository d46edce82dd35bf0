"""Analyses recorded audio: frequency, level and discontinuities.

All functions take float samples of one channel at 48 kHz, full scale 1.0. Levels are dBFS of the peak of a sine,
so a sine of amplitude 1.0 is 0 dBFS: what ``Tone(level_dbfs=...)`` means.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE_HZ = 48_000
Samples = NDArray[np.float32]


def sine(frequency_hz: float, seconds: float, level_dbfs: float = -12.0, phase: float = 0.0) -> Samples:
    """A sine to compare with."""
    time_s = np.arange(round(seconds * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    return (10 ** (level_dbfs / 20) * np.sin(2 * np.pi * frequency_hz * time_s + phase)).astype(np.float32)


def frequency_hz(samples: Samples) -> float:
    """Return the strongest frequency, to about 0.1 Hz for one second (parabola through the peak of the spectrum)."""
    spectrum = np.log(np.abs(np.fft.rfft(samples * np.hanning(len(samples)))) + 1e-12)
    peak = int(np.clip(np.argmax(spectrum), 1, len(spectrum) - 2))
    below, at, above = spectrum[peak - 1 : peak + 2]
    offset = 0.5 * (below - above) / (below - 2 * at + above)
    return float((peak + offset) * SAMPLE_RATE_HZ / len(samples))


def tone_dbfs(samples: Samples, tone_hz: float) -> float:
    """Return the level of one frequency: the median over blocks of 100 ms, so a click does not count."""
    hop = SAMPLE_RATE_HZ // 10
    window = np.hanning(hop)
    blocks = samples[: len(samples) // hop * hop].reshape(-1, hop)
    carrier = np.exp(-2j * np.pi * tone_hz * np.arange(hop) / SAMPLE_RATE_HZ)
    amplitudes = 2 * np.abs((blocks * window) @ carrier) / window.sum()
    return float(20 * np.log10(np.median(amplitudes) + 1e-9))


def rms_dbfs(samples: Samples) -> float:
    """Return the total level on the same scale: a sine of amplitude 1.0 is 0 dBFS."""
    return float(20 * np.log10(np.sqrt(2 * np.mean(np.square(samples, dtype=np.float64))) + 1e-9))


def phase_jumps(samples: Samples, tone_hz: float, threshold_rad: float = 0.35, hop: int = 480) -> list[float]:
    """Return the times (s) at which a sine changes phase or level: a click, a gap or concealment.

    The phase of each 10 ms is compared with the prediction from the block before, less the slow drift of the receiver's
    clock (the median). Lost, repeated, stretched or concealed audio shows as a jump; coding noise does not.
    """
    frames = len(samples) // hop
    blocks = samples[: frames * hop].reshape(frames, hop)
    time = np.arange(frames * hop).reshape(frames, hop) / SAMPLE_RATE_HZ
    window = np.hanning(hop)
    values = ((blocks * window) * np.exp(-2j * np.pi * tone_hz * time)).sum(axis=1)
    steps = np.angle(values[1:] * np.conj(values[:-1]))
    steps = np.abs(np.angle(np.exp(1j * (steps - np.median(steps)))))
    quiet = np.abs(values) < 0.5 * np.median(np.abs(values))
    broken = np.flatnonzero((steps > threshold_rad) | quiet[1:])
    return [float((index + 1) * hop / SAMPLE_RATE_HZ) for index in broken]


def remainder_dbfs(samples: Samples, tone_hz: float, hop: int = 480) -> list[float]:
    """Return for each 10 ms the level of what is left without the tone. A click is loud there, a fade is not."""
    blocks = samples[: len(samples) // hop * hop].reshape(-1, hop).astype(np.float64)
    turns = 2 * np.pi * tone_hz * np.arange(hop) / SAMPLE_RATE_HZ
    ramp = np.linspace(-1.0, 1.0, hop)
    basis = np.stack((np.sin(turns), np.cos(turns), ramp * np.sin(turns), ramp * np.cos(turns)), axis=1)
    fitted, *_ = np.linalg.lstsq(basis, blocks.T, rcond=None)
    return [rms_dbfs(rest) for rest in (blocks.T - basis @ fitted).T]
