"""Plays a stream of ours on a device, and lets a recorder have what it plays. No Python runs on BASS's threads.

stream ─► device                                    play
stream ─► splitter ─┬─► device                      play_and_tap: both halves are BASSmix's, so the device sets
                    └─► Tap.read, when it likes     the pace and a reader that stalls makes no gap
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError
from .library import DWORD, FAILED_DWORD, BassLibrary
from .locate import LIBRARY_NAME, find_bass
from .source import STREAM_DECODE
from .streams import ATTRIB_BUFFER, CHANNELS, SAMPLE_RATE_HZ

DEFAULT_OUTPUT = -1
DATA_FLOAT = 0x40000000
SPLIT_SLAVE = 0x1000
"""A splitter that gets only what another one has taken from the source already."""

Split = Callable[[int, int], int]
"""Makes a splitter of a stream, with flags; 0 is failure."""


class Output:
    """An output device that this package initialised. A context manager; one thread, whose device it becomes."""

    def __init__(self, library: BassLibrary) -> None:
        """Takes the device of the calling thread. ``open_output`` makes one."""
        self._library = library
        self._device = library.call("BASS_GetDevice")

    def play(self, stream: int) -> None:
        """Plays a stream that is no decoding channel. Raises BassError."""
        self._library.call("BASS_ChannelPlay", stream, False)

    def play_and_tap(self, stream: int) -> Tap:
        """Plays a decoding channel, float and stereo, and gives what is played.

        Raises:
            ConfigError: There is no BASSmix.
            BassError: BASS refuses.
        """
        split = find_splitter(self._library)
        heard = self._split(split, stream, 0)
        tap = Tap(self._library, self._split(split, stream, STREAM_DECODE | SPLIT_SLAVE))
        # As for every stream of ours: 10 ms each 10 ms, and not 100 ms at once.
        self._library.call("BASS_ChannelSetAttribute", heard, ATTRIB_BUFFER, 0.0)
        self.play(heard)
        return tap

    def _split(self, split: Split, stream: int, flags: int) -> int:
        handle = split(stream, flags)
        if not handle:
            raise self._library.last_error("BASS_Split_StreamCreate")
        return handle

    def close(self) -> None:
        """Frees the device and what plays on it. Idempotent."""
        if self._library.try_call("BASS_SetDevice", self._device):
            self._library.try_call("BASS_Free")

    def __enter__(self) -> Output:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Tap:
    """What a device plays, a second time. BASSmix keeps two seconds of it. One reading thread."""

    def __init__(self, library: BassLibrary, handle: int) -> None:
        self._library = library
        self._handle = handle
        self._block = np.zeros((SAMPLE_RATE_HZ, CHANNELS), np.float32)

    def read(self) -> NDArray[np.float32]:
        """What was played since the last time, a second at most: float32 ``[frames, 2]``, none when it is gone."""
        length = self._block.nbytes | DATA_FLOAT
        got = self._library.try_call("BASS_ChannelGetData", self._handle, self._block.ctypes.data, length)
        frames = 0 if got == FAILED_DWORD else got // self._block.strides[0]
        return self._block[:frames].copy()


def open_output(device: int = DEFAULT_OUTPUT, *, library: BassLibrary | None = None) -> Output:
    """Initialises an output device, which becomes the calling thread's.

    Args:
        device: Index as ``devices.outputs()`` has it.
        library: The BASS of this process by default.

    Raises:
        BassError: There is no such device, or it cannot be opened.
        BassNotFoundError: There is no BASS.
    """
    library = library or find_bass()
    library.call("BASS_Init", device, SAMPLE_RATE_HZ, 0, None, None, hint="bass-webrtc devices lists the outputs")
    return Output(library)


def find_splitter(library: BassLibrary | None = None) -> Split:
    """BASSmix's BASS_Split_StreamCreate, from the BASSmix beside the BASS of this process.

    Raises:
        ConfigError: There is none.
        BassNotFoundError: There is no BASS.
    """
    library = library or find_bass()
    path = library.path.with_name(LIBRARY_NAME.replace("bass", "bassmix"))
    try:
        function = _load(path)["BASS_Split_StreamCreate"]
    except (OSError, AttributeError):
        raise ConfigError(
            f"playing and recording at once needs BASSmix: put {path.name} from https://www.un4seen.com into "
            f"{path.parent}, or leave one of the two out"
        ) from None
    function.restype = DWORD
    function.argtypes = (DWORD, DWORD, ctypes.c_void_p)
    return lambda stream, flags: int(function(stream, flags, None))


def _load(path: Path) -> ctypes.CDLL:
    # It is linked to no BASS, so it comes after it and finds its functions in the process.
    if sys.platform == "win32":
        return ctypes.WinDLL(str(path))
    return ctypes.CDLL(str(path))
