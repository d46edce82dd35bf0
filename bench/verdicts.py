"""Figures of a trial: what W3C's counters and the recordings say about one receiver."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from support import tones

from . import signals
from .comparison import SECONDS, SECONDS_JUDGED, SETTLE_S, Moment, Stream
from .report import quantile

CLICK_RAD = 0.35
NORMAL_MS = 15.0
"""A delay within this of the final one is normal."""
FINAL_S = 3.0
SILENT_S = 0.01


@dataclass(frozen=True)
class Verdict:
    """Results of one receiver on one network."""

    concealed: tuple[float, float]
    """Shares of the sine and of the speech, as NetEq counts."""
    removed: float
    """Share of both streams."""
    delay_ms: float
    delay_p95_ms: float
    clicks: int
    pesq: float
    concealed_w3c: tuple[float, ...] = ()
    """The same shares as W3C webrtc-stats defines them; empty: unknown."""


def verdict_on(streams: tuple[Stream, Stream], dtx: bool = False) -> Verdict:
    """Return the figures of one receiver; ``dtx``: its speech has pauses."""
    history = [_each_second(stream.moments) for stream in streams]
    spans = [(moments[0], moments[-1]) for moments in history]
    concealed = [(last.concealed - first.concealed) / (last.total - first.total) for first, last in spans]
    concealed_w3c = tuple(
        (last.concealed_w3c - first.concealed_w3c) / (last.total - first.total)
        for first, last in spans
        if first.concealed_w3c is not None and last.concealed_w3c is not None
    )
    delay_s, emitted, removed, total = (
        sum(getattr(last, name) - getattr(first, name) for first, last in spans)
        for name in ("delay_s", "emitted", "removed", "total")
    )
    means_ms = [delay_ms for moments in history for _, delay_ms in delays_ms(moments)]
    return Verdict(
        (concealed[0], concealed[1]),
        removed / total,
        1000 * delay_s / emitted,
        quantile(means_ms, 0.95),
        _clicks(streams[0].samples),
        _pesq(streams[1].samples, signals.speech(SECONDS, dtx)),
        concealed_w3c,
    )


def delays_ms(moments: Sequence[Moment]) -> Iterator[tuple[float, float]]:
    """Yield time and mean delay (jitterBufferDelay / jitterBufferEmittedCount) between consecutive moments."""
    for before, after in itertools.pairwise(moments):
        if after.emitted > before.emitted:
            yield after.at_s, 1000 * (after.delay_s - before.delay_s) / (after.emitted - before.emitted)


def normal_after_s(stream: Stream, event_s: float) -> float:
    """Return how long after an event the delay stays more than ``NORMAL_MS`` above that of the last seconds."""
    delays = [(at_s, delay_ms) for at_s, delay_ms in delays_ms(stream.moments) if at_s < SECONDS - 1]
    normal_ms = NORMAL_MS + float(np.median([delay_ms for at_s, delay_ms in delays if at_s > SECONDS - 1 - FINAL_S]))
    return max((at_s - event_s for at_s, delay_ms in delays if at_s > event_s and delay_ms > normal_ms), default=0.0)


def recovered_after_s(stream: Stream, event_s: float) -> float:
    """Return how long after an event samples of the sine are still concealed, or it is silent."""
    concealed_s = [
        after.at_s - event_s
        for before, after in itertools.pairwise(stream.moments)
        if event_s < after.at_s < SECONDS - 1 and after.concealed > before.concealed
    ]
    return max((*concealed_s, *_silences_s(stream, event_s)), default=0.0)


def _silences_s(stream: Stream, from_s: float) -> list[float]:
    """Return the end of each silent moment of a sine, in seconds after ``from_s``."""
    if stream.recorded_from_s is None:
        return []
    size = round(SILENT_S * signals.SAMPLE_RATE_HZ)
    first, end = (round((at_s - stream.recorded_from_s) * signals.SAMPLE_RATE_HZ) for at_s in (from_s, SECONDS - 1))
    sound = stream.samples[first:end, 0]
    levels = np.abs(sound[: len(sound) // size * size]).reshape(-1, size).max(axis=1)
    return [SILENT_S * (index + 1) for index in np.flatnonzero(levels < signals.SINE_LEVEL / 2)]


def _each_second(moments: Sequence[Moment]) -> list[Moment]:
    """Return one moment per second, from the end of the settling time to the last second."""
    return [min(moments, key=lambda moment: abs(moment.at_s - second)) for second in SECONDS_JUDGED]


def _settled(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the samples from ``SETTLE_S`` after the sound starts to one second before it ends."""
    begins = int(np.argmax(np.abs(samples[:, 0]) > 0.01))
    start = begins + round(SETTLE_S * signals.SAMPLE_RATE_HZ)
    return samples[start : begins + round((SECONDS - 1) * signals.SAMPLE_RATE_HZ)]


def _clicks(samples: NDArray[np.float32]) -> int:
    """Count the clicks of the worse channel."""
    settled = _settled(samples)
    return max(len(tones.phase_jumps(settled[:, side], signals.SINE_HZ[side], CLICK_RAD)) for side in (0, 1))


def _pesq(samples: NDArray[np.float32], sent: NDArray[np.float32]) -> float:
    """Return wideband PESQ averaged over both halves, because it was designed for short pieces."""
    import pesq

    heard, sent = (_at_16_khz(sound) for sound in (_settled(samples)[:, 0], _settled(sent)[:, 0]))
    shift = _shift(heard, sent)
    heard, sent = heard[max(0, shift) :], sent[max(0, -shift) :]
    half = min(len(heard), len(sent)) // 2
    parts = [slice(0, half), slice(half, 2 * half)]
    return float(np.mean([pesq.pesq(16_000, sent[part], heard[part], "wb") for part in parts]))


def _shift(heard: NDArray[np.float32], sent: NDArray[np.float32]) -> int:
    """Return by how many samples the one lags behind the other."""
    size = len(heard) + len(sent)
    likeness = np.fft.irfft(np.fft.rfft(heard, size) * np.conj(np.fft.rfft(sent, size)), size)
    return int((np.argmax(likeness) + size // 2) % size - size // 2)


def _at_16_khz(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    taps = np.sinc(np.arange(-48, 49) / 3) * np.hamming(97) / 3
    return np.convolve(samples, taps, "same")[::3].astype(np.float32)
