"""Audio files with known tones: MP3, Ogg Vorbis, FLAC, WAV, MOD.

libsndfile encodes, because FFmpeg's own Vorbis encoder supports stereo only.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

_FORMATS = {
    ".mp3": ("MP3", "MPEG_LAYER_III"),
    ".ogg": ("OGG", "VORBIS"),
    ".opus": ("OGG", "OPUS"),
    ".flac": ("FLAC", "PCM_16"),
    ".wav": ("WAV", "PCM_16"),
}
_BLOCK_FRAMES = 4096

MODULE_TONE_HZ = 7_093_789.2 / (2 * 428) / 16
"""Of ``write_module``: a PAL Amiga plays a note of period 428 at 8287 samples a second, and 16 of them are one sine."""


def write_tone(
    path: Path,
    left_hz: float = 440.0,
    right_hz: float | None = 880.0,
    *,
    seconds: float = 2.0,
    sample_rate_hz: int = 44_100,
    level_dbfs: float = -12.0,
) -> Path:
    """Encode sines into ``path``; the suffix selects the format.

    Args:
        path: Ends in .mp3, .ogg, .opus (48 kHz only), .flac or .wav.
        left_hz: Frequency of the left, or only, channel.
        right_hz: Frequency of the right channel; None makes a mono file.
        seconds: Length.
        sample_rate_hz: Of the file.
        level_dbfs: Of each sine: its peak.

    Returns:
        ``path``.
    """
    tones_hz = [left_hz] if right_hz is None else [left_hz, right_hz]
    time_s = np.arange(round(seconds * sample_rate_hz))[:, np.newaxis] / sample_rate_hz
    samples = 10 ** (level_dbfs / 20) * np.sin(2 * np.pi * np.array(tones_hz) * time_s)
    container, codec = _FORMATS[path.suffix]
    with soundfile.SoundFile(path, "w", sample_rate_hz, len(tones_hz), codec, format=container) as file:
        # In blocks: libsndfile's Vorbis encoder keeps a whole write on its stack.
        for start in range(0, len(samples), _BLOCK_FRAMES):
            file.write(samples[start : start + _BLOCK_FRAMES])
    return path


def write_module(path: Path) -> Path:
    """Write a ProTracker module: two of its four channels play a sine of ``MODULE_TONE_HZ``, one left, one right."""
    sine = (64 * np.sin(2 * np.pi * np.arange(32) / 16)).astype(np.int8).tobytes()
    words = (len(sine) // 2).to_bytes(2, "big")
    sample = b"sine".ljust(22, b"\0") + words + bytes([0, 64]) + bytes(2) + words  # Full volume, looped from 0.
    no_samples = (bytes(28) + b"\0\1") * 30
    order = bytes([1, 127]) + bytes(128)
    note = bytes([428 >> 8, 428 & 0xFF, 0x10, 0])  # Sample 1, without effect.
    pattern = note + note + bytes(8) + bytes(16) * 63
    path.write_bytes(b"tone".ljust(20, b"\0") + sample + no_samples + order + b"M.K." + pattern + sine)
    return path
