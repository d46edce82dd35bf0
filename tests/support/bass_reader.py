"""Reads a ``BassSource`` as the core does: through the address of ``BASS_ChannelGetData``, without BASS's wrapper.

    python -m support.bass_reader OUT.npy SECONDS

records SECONDS of the default input, beginning with the first sound.
"""

from __future__ import annotations

import ctypes
import sys
import time

import numpy as np
from numpy.typing import NDArray

from bass_webrtc.bass import BassSource, open_recording

_DATA_FLOAT = 0x40000000
_FAILED = 0xFFFFFFFF
_FUNCTION = getattr(ctypes, "WINFUNCTYPE", ctypes.CFUNCTYPE)
_SILENCE_TIMEOUT_S = 20.0

Samples = NDArray[np.float32]


class EndedError(Exception):
    """BASS_ChannelGetData failed: the channel has ended, or was freed."""


def read(source: BassSource, frames: int) -> Samples:
    """Return what BASS gives for one call: float32 [frames or fewer, channels]. Raises EndedError."""
    get_data = _FUNCTION(ctypes.c_uint32, ctypes.c_uint32, ctypes.c_void_p, ctypes.c_uint32)(source.get_data_address)
    samples = np.zeros((frames, source.channels), np.float32)
    got = get_data(source.handle, samples.ctypes.data, samples.nbytes | _DATA_FLOAT)
    if got == _FAILED:
        raise EndedError
    return samples[: got // samples.strides[0]]


def read_to_end(source: BassSource, block_frames: int = 882) -> Samples:
    """Read until BASS reports the end."""
    blocks = []
    try:
        while True:
            blocks.append(read(source, block_frames))
    except EndedError:
        return np.concatenate(blocks)


def record(source: BassSource, seconds: float) -> Samples:
    """Read a live source at its own pace, from its first sound on."""
    wanted = round(seconds * source.sample_rate_hz)
    blocks: list[Samples] = []
    give_up_s = time.monotonic() + _SILENCE_TIMEOUT_S
    while sum(len(block) for block in blocks) < wanted:
        assert time.monotonic() < give_up_s, "no sound came"
        block = read(source, 480)
        if blocks or block.any():
            blocks.append(block.copy())
        time.sleep(0.005)  # The sound card's clock decides when more samples are available.
    return np.concatenate(blocks)[:wanted]


if __name__ == "__main__":
    with open_recording() as recording:
        np.save(sys.argv[1], record(recording.source, float(sys.argv[2])))
