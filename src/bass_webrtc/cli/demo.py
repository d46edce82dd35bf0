"""The demo programme: a quiet synthesised piece of music, so that ``bass-webrtc serve`` needs no file.

Eight chords of two bars each: a pad, a bass and an arpeggio that moves between the channels. All parts, including
echo and reverberation, are added to the loop with wrap-around, so it repeats seamlessly.
"""

from __future__ import annotations

import threading
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..config import SAMPLE_RATE_HZ
from ..core import name_thread
from ..host_process import start_thread

Audio = NDArray[np.float32]

BEAT_SAMPLES = 38_400
"""0.8 s: 75 beats per minute."""
BARS = 16
LOOP_SAMPLES = BEAT_SAMPLES * 4 * BARS
"""51.2 s; the number has small prime factors, so its Fourier transforms are fast."""
RMS_DBFS = -22.0
"""RMS level of the whole loop: about -20 LUFS, with peaks below -6 dBFS."""

# MIDI note numbers, root first: Fmaj9, Em7, Am9, Gsus4, Fmaj9, Dm9, G13sus4, Cmaj9.
_CHORDS = (
    (41, 57, 60, 64, 67),
    (40, 55, 59, 62, 64),
    (45, 55, 59, 60, 64),
    (43, 55, 60, 62, 67),
    (41, 57, 60, 64, 67),
    (38, 53, 57, 60, 64),
    (43, 53, 57, 60, 64),
    (36, 52, 55, 59, 62),
)
_CHORD_SAMPLES = LOOP_SAMPLES // len(_CHORDS)
# Arpeggio over two bars in eighths: index into the chord without its root, 4 and up an octave higher; None: a rest.
_PATTERN = (0, 2, 4, 3, 5, 3, 6, None, 1, 2, 4, 7, 6, None, 5, 3)
_BLOCK_SAMPLES = SAMPLE_RATE_HZ // 10


def render() -> Audio:
    """Render the loop, float32 ``[LOOP_SAMPLES, 2]``. Deterministic; takes about a second."""
    random = np.random.default_rng(75)
    arpeggio = _arpeggio()
    _echo(arpeggio)
    mix = 0.9 * _pad(random) + 0.8 * _bass() + 0.55 * arpeggio + 0.02 * _air(random)
    mix += 0.3 * _reverberation(arpeggio, random)
    mix *= 10 ** (RMS_DBFS / 20) / np.sqrt(np.mean(np.square(mix)))
    return np.ascontiguousarray(mix.T, dtype=np.float32)


class Writable(Protocol):
    """The part of ``PcmSource`` that this module needs."""

    def write(self, block: Audio, /) -> int:
        """Write as many frames as fit; return their number."""


class DemoProgramme:
    """Writes a loop to a source from a daemon thread until ``close``."""

    def __init__(self, source: Writable, loop: Audio) -> None:
        """
        Args:
            source: A 48 kHz stereo source.
            loop: Float32 ``[frames, 2]``, as ``render`` returns it.
        """
        self._source = source
        self._loop = loop
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="bass-webrtc demo", daemon=True)

    def start(self) -> None:
        """Start the thread. Call it once."""
        start_thread(self._thread)

    def close(self) -> None:
        """Stop and join the thread. Idempotent; may be called from any thread."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        name_thread("bw-demo")
        position = 0
        while not self._stop.is_set():
            block = self._loop[position : position + _BLOCK_SAMPLES]
            taken = self._source.write(block)
            position = (position + taken) % len(self._loop)
            if taken < len(block):
                # The source is full; its buffer holds five of these waits.
                self._stop.wait(_BLOCK_SAMPLES / SAMPLE_RATE_HZ)


def _pad(random: np.random.Generator) -> Audio:
    """The chords, each cross-faded into the next."""
    fade = BEAT_SAMPLES * 2
    length = _CHORD_SAMPLES + fade
    ramp = np.sin(np.linspace(0, np.pi / 2, fade, dtype=np.float32))
    envelope = np.ones(length, np.float32)
    envelope[:fade] = ramp
    envelope[-fade:] = ramp[::-1]
    pad = np.zeros((2, LOOP_SAMPLES), np.float32)
    for index, chord in enumerate(_CHORDS):
        for channel in pad:
            _add(channel, index * _CHORD_SAMPLES, envelope * _ensemble(chord[1:], length, random))
    return pad


def _ensemble(notes: tuple[int, ...], length: int, random: np.random.Generator) -> Audio:
    """Notes whose partials are narrow bands of noise: sounds like an ensemble, and differs in the two channels."""
    magnitude = np.zeros(length // 2 + 1, np.float32)
    hz_per_bin = SAMPLE_RATE_HZ / length
    for note in notes:
        for partial in range(1, 13):
            hz = _hz(note) * partial
            width_hz = 0.0025 * hz + 0.3
            low, high = int((hz - 3 * width_hz) / hz_per_bin), int((hz + 3 * width_hz) / hz_per_bin) + 2
            distance = (np.arange(low, high) * hz_per_bin - hz) / width_hz
            magnitude[low:high] += np.exp(-np.square(distance)) / np.sqrt(width_hz) / partial**1.5
    return _noise(magnitude, length, random)


def _bass() -> Audio:
    """The root of each chord, once per bar."""
    length = BEAT_SAMPLES * 4
    time_s = np.arange(length) / SAMPLE_RATE_HZ
    # Fades out within the bar, before the next note.
    envelope = (1 - np.exp(-time_s / 0.02)) * np.exp(-time_s / 1.8) * np.minimum(1, (time_s[-1] - time_s) / 0.3)
    bass = np.zeros(LOOP_SAMPLES, np.float32)
    for index, chord in enumerate(_CHORDS):
        radians = 2 * np.pi * _hz(chord[0]) * time_s
        sound = (envelope * (np.sin(radians) + 0.3 * np.sin(2 * radians))).astype(np.float32)
        for bar in range(2):
            _add(bass, index * _CHORD_SAMPLES + bar * length, sound)
    return np.stack([bass, bass])


def _arpeggio() -> Audio:
    """Bells in eighths that follow the chords and pan slowly from side to side."""
    eighth = BEAT_SAMPLES // 2
    arpeggio = np.zeros((2, LOOP_SAMPLES), np.float32)
    bells: dict[int, Audio] = {}
    for step in range(LOOP_SAMPLES // eighth):
        degree = _PATTERN[step % len(_PATTERN)]
        if degree is None:
            continue
        octave, index = divmod(degree, 4)
        note = _CHORDS[step // len(_PATTERN)][1 + index] + 12 * (1 + octave)
        if note not in bells:
            bells[note] = _bell(note)
        angle = np.pi / 4 * (1 + 0.8 * np.sin(2 * np.pi * step * 3 / 64))
        loudness = 1.0 if step % 4 == 0 else 0.7
        for channel, gain in zip(arpeggio, (np.cos(angle), np.sin(angle)), strict=True):
            _add(channel, step * eighth, np.float32(gain * loudness) * bells[note])
    return arpeggio


def _bell(note: int) -> Audio:
    """One bell note; higher partials decay faster."""
    time_s = np.arange(SAMPLE_RATE_HZ * 2) / SAMPLE_RATE_HZ
    sound = np.zeros(len(time_s))
    for partial, gain, decay_s in ((1, 1.0, 0.7), (2, 0.35, 0.4), (3, 0.15, 0.25), (5, 0.08, 0.12), (8, 0.04, 0.06)):
        sound += gain * np.exp(-time_s / decay_s) * np.sin(2 * np.pi * _hz(note) * partial * time_s)
    attack_and_end = np.minimum(1, time_s / 0.004) * np.minimum(1, (time_s[-1] - time_s) / 0.2)
    return np.asarray(sound * attack_and_end, np.float32)


def _echo(sound: Audio) -> None:
    """Add two echoes, three eighths apart, the first on the opposite side."""
    dry = sound.copy()
    for count, gain in ((1, 0.4), (2, 0.18)):
        sound += np.float32(gain) * np.roll(dry[::-1] if count % 2 else dry, count * BEAT_SAMPLES * 3 // 2, axis=1)


def _reverberation(sound: Audio, random: np.random.Generator) -> Audio:
    """Hall reverberation: circular convolution with noise that decays in 2.5 s."""
    length = SAMPLE_RATE_HZ * 5 // 2
    decay = np.exp(-np.linspace(0, 7, length, dtype=np.float32))
    result = np.empty_like(sound)
    for index, channel in enumerate(sound):
        response = random.standard_normal(length, np.float32) * decay
        response = np.convolve(response / np.sqrt(np.sum(np.square(response))), np.full(6, 1 / 6, np.float32))
        result[index] = np.fft.irfft(np.fft.rfft(channel) * np.fft.rfft(response, LOOP_SAMPLES), LOOP_SAMPLES)
    return result


def _air(random: np.random.Generator) -> Audio:
    """Soft noise that swells and fades with each pair of chords."""
    length = LOOP_SAMPLES // 4
    hz = np.linspace(0, SAMPLE_RATE_HZ / 2, length // 2 + 1, dtype=np.float32)
    shape = hz / (200 + hz) / (1 + np.square(hz / 3000))
    swell = 0.6 - 0.4 * np.cos(np.linspace(0, 2 * np.pi, length, endpoint=False, dtype=np.float32))
    return np.stack([np.tile(swell * _noise(shape, length, random), 4) for _ in range(2)])


def _noise(magnitude: Audio, length: int, random: np.random.Generator) -> Audio:
    """Noise with this magnitude spectrum and an RMS of 1, periodic in ``length``."""
    phase = np.float32(2 * np.pi) * random.random(len(magnitude), np.float32)
    noise = np.fft.irfft(magnitude * np.exp(1j * phase), length).astype(np.float32)
    return np.asarray(noise / np.sqrt(np.mean(np.square(noise))), np.float32)


def _add(loop: Audio, start: int, sound: Audio) -> None:
    """Add ``sound`` to ``loop`` from ``start`` on, wrapping around at the end."""
    until_end = min(len(sound), len(loop) - start)
    loop[start : start + until_end] += sound[:until_end]
    loop[: len(sound) - until_end] += sound[until_end:]


def _hz(note: int) -> float:
    """Frequency of a MIDI note number in equal temperament."""
    return float(440.0 * 2.0 ** ((note - 69) / 12))
