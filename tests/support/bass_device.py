"""BASS on device 0, which needs no hardware, with streams pulled by BASS_ChannelGetData."""

from __future__ import annotations

import ctypes
from collections.abc import Callable

import numpy as np

from bass_webrtc.bass import BassLibrary, find_bass
from bass_webrtc.bass.library import ChannelInfo

from .publisher_recorder import Samples

_DATA_FLOAT = 0x40000000


class Bass:
    """BASS on device 0."""

    def __init__(self) -> None:
        self.library: BassLibrary = find_bass()
        self._native = ctypes.CDLL(str(self.library.path))
        self.free()
        self.init()

    def init(self) -> None:
        self.library.call("BASS_Init", 0, 48_000, 0, None, None)

    def free(self) -> None:
        """Free all devices and their streams."""
        while self._native.BASS_Free():
            pass

    def is_alive(self, handle: int) -> bool:
        return bool(self.library.try_call("BASS_ChannelGetInfo", handle, ctypes.byref(ChannelInfo())))

    def reader(self, handle: int) -> Callable[[int], Samples]:
        """Pull so many frames from a decoding channel: float32 ``[frames, 2]``."""

        def read(frames: int) -> Samples:
            block = np.zeros((frames, 2), np.float32)
            got = self.library.call("BASS_ChannelGetData", handle, block.ctypes.data, block.nbytes | _DATA_FLOAT)
            assert got == block.nbytes
            return block

        return read
