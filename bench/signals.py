"""Test signals and their Opus packets: sines for clicks, speech for PESQ, bursts for latency."""

from __future__ import annotations

import fractions
import functools
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE_HZ = 48_000
OPUS_PAYLOAD_TYPE = 111
RED_PAYLOAD_TYPE = 63
SINE_HZ = (450.0, 900.0)
SINE_LEVEL = 0.15
"""The sum of five sines stays below full scale."""

Samples = NDArray[np.float32]

_TEXT = """
The birch canoe slid on the smooth planks. Glue the sheet to the dark blue background. It is easy to tell the depth of
a well. These days a chicken leg is a rare dish. Rice is often served in round bowls. The juice of lemons makes fine
punch. The box was thrown beside the parked truck. The hogs were fed chopped corn and garbage. Four hours of steady work
faced us. A large size in stockings is hard to sell. The boy was there when the sun rose. A rod is used to catch salmon.
"""
"""Harvard sentences, list 1 and the first of list 2 (IEEE 297-1969)."""

_PAUSE_MS = 1200
_QUIET = 1e-4
_BEFORE_DTX_MS, _LONGEST_DTX_MS = 200, 400
"""libopus's: discontinuous transmission begins after this much silence, and sends a frame after at most this time."""


@dataclass(frozen=True, slots=True)
class Encoding:
    """Settings of an Opus encoder."""

    channels: int
    bitrate_bps: int
    application: str
    frame_ms: int = 20
    in_band_fec: bool = False

    @property
    def frame_samples(self) -> int:
        """Samples per channel."""
        return SAMPLE_RATE_HZ * self.frame_ms // 1000


MUSIC = Encoding(2, 128_000, "audio")
SPEECH = Encoding(1, 32_000, "voip", in_band_fec=True)


class Encoder:
    """libopus encoder, one frame at a time."""

    def __init__(self, encoding: Encoding) -> None:
        options = {"application": encoding.application, "frame_duration": str(encoding.frame_ms)}
        if encoding.in_band_fec:
            options |= {"fec": "1", "packet_loss": "10"}
        self._layout = "stereo" if encoding.channels == 2 else "mono"
        self._codec: Any = av.CodecContext.create("libopus", "w")
        self._codec.sample_rate, self._codec.layout, self._codec.format = SAMPLE_RATE_HZ, self._layout, "flt"
        self._codec.bit_rate, self._codec.options = encoding.bitrate_bps, options
        self._codec.open()
        self._samples = 0

    def encode(self, samples: Samples) -> list[bytes]:
        """Encode one frame, ``[frames, channels]``; return its packet in a list."""
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples).reshape(1, -1), "flt", self._layout)
        frame.sample_rate, frame.pts = SAMPLE_RATE_HZ, self._samples
        frame.time_base = fractions.Fraction(1, SAMPLE_RATE_HZ)
        self._samples += len(samples)
        return [bytes(packet) for packet in self._codec.encode(frame)]


def encode(samples: Samples, encoding: Encoding) -> list[bytes]:
    """Encode each whole frame of ``[frames, channels]`` into one packet."""
    encoder, step = Encoder(encoding), encoding.frame_samples
    starts = range(0, len(samples) - step + 1, step)
    return [packet for start in starts for packet in encoder.encode(samples[start : start + step])]


def leave_out_silence(packets: Sequence[bytes], samples: Samples, encoding: Encoding) -> list[bytes]:
    """Apply discontinuous transmission: packets that are not sent become empty.

    The choice is libopus's, made here because FFmpeg's encoder does not offer it. As in WebRTC, a packet without
    content announces each silence.
    """
    sent: list[bytes] = []
    quiet_ms, was_silent = 0, False
    for number, packet in enumerate(packets):
        frame = samples[number * encoding.frame_samples : (number + 1) * encoding.frame_samples]
        quiet_ms = quiet_ms + encoding.frame_ms if np.abs(frame).max() < _QUIET else 0
        within_ms = (quiet_ms - _BEFORE_DTX_MS) % (_LONGEST_DTX_MS + encoding.frame_ms)
        is_silent = quiet_ms > _BEFORE_DTX_MS and within_ms > 0
        announcement = b"" if was_silent else bytes([packet[0] & 0xFC])
        sent.append(announcement if is_silent else packet)
        was_silent = is_silent
    return sent


def sine(seconds: float) -> Samples:
    """Return a stereo sine, 450 Hz left and 900 Hz right."""
    time_s = np.arange(round(seconds * SAMPLE_RATE_HZ))[:, np.newaxis] / SAMPLE_RATE_HZ
    return (SINE_LEVEL * np.sin(2 * np.pi * np.array(SINE_HZ) * time_s)).astype(np.float32)


def missing_speech() -> str | None:
    """Return what this machine lacks for speech; None if nothing."""
    return None if shutil.which("espeak-ng") else "speech needs espeak-ng (Debian package espeak-ng)"


@functools.cache
def speech(seconds: float, pauses: bool = False) -> Samples:
    """Return mono speech, sentences read by espeak-ng, repeated as needed; with pauses of about a second on request."""
    text = _TEXT.replace(".", f'. <break time="{_PAUSE_MS}ms"/>') if pauses else _TEXT
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "speech.wav")
        markup = ("-m",) if pauses else ()
        subprocess.run(["espeak-ng", *markup, "-v", "en-gb", "-s", "150", "-w", path, text], check=True)
        read = _read_wav(path)
    repeats = int(seconds * SAMPLE_RATE_HZ) // len(read) + 1
    return np.tile(read, repeats)[: round(seconds * SAMPLE_RATE_HZ), np.newaxis]


def _read_wav(path: Path) -> Samples:
    resampler = av.AudioResampler("flt", "mono", SAMPLE_RATE_HZ)
    with av.open(str(path)) as container:
        decoded = [part for frame in container.decode(audio=0) for part in resampler.resample(frame)]
    return np.concatenate([part.to_ndarray()[0] for part in (*decoded, *resampler.resample(None))]).astype(np.float32)


def burst() -> Samples:
    """Return 4 ms of a 2 kHz tone with a Hann window: sharp in time, and preserved by Opus."""
    at = np.arange(192)
    return (0.5 * np.hanning(192) * np.sin(2 * np.pi * 2000 * at / SAMPLE_RATE_HZ)).astype(np.float32)


def bursts(seconds: float, every_s: float) -> Samples:
    """Return stereo silence with ``burst`` at each multiple of ``every_s``."""
    samples = np.zeros((round(seconds * SAMPLE_RATE_HZ), 2), np.float32)
    shape = burst()[:, np.newaxis]
    for number in range(1, int(seconds / every_s)):
        start = round(number * every_s * SAMPLE_RATE_HZ)
        samples[start : start + len(shape)] = shape
    return samples


def red_payload(packets: Sequence[bytes], number: int, copies: int, frame_samples: int) -> bytes:
    """Return a frame's RED payload with copies of the previous frames (RFC 2198, 3)."""
    ages = [age for age in range(copies, 0, -1) if age <= number]
    headers = b"".join(
        struct.pack("!I", 1 << 31 | OPUS_PAYLOAD_TYPE << 24 | age * frame_samples << 10 | len(packets[number - age]))
        for age in ages
    )
    return headers + bytes([OPUS_PAYLOAD_TYPE]) + b"".join(packets[number - age] for age in (*ages, 0))
