"""Decodes Opus from RTP packets with FFmpeg's libopus."""

from __future__ import annotations

from collections.abc import Iterable

import av
import numpy as np
from numpy.typing import NDArray


def decode(payloads: Iterable[bytes]) -> NDArray[np.float32]:
    """Return the samples of stereo Opus packets, shape [frames, 2]."""
    decoder = av.CodecContext.create("libopus", "r")
    assert isinstance(decoder, av.AudioCodecContext)
    decoder.sample_rate, decoder.layout = 48_000, "stereo"
    frames = [frame for payload in payloads for frame in decoder.decode(av.Packet(payload))]
    samples = np.concatenate([frame.to_ndarray().reshape(-1, 2) for frame in frames])
    return samples.astype(np.float32) / np.float32(32_768)
