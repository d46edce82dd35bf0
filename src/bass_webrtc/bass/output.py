"""Plays a stream on a device, and optionally provides what it plays to a recorder. No Python runs on BASS's threads.

stream ─► device                                    play
stream ─► splitter ─┬─► device                      play_and_tap: both branches belong to BASSmix, so the device sets
                    └─► Tap.read, at any time       the pace and a stalled reader causes no gap
"""

from __future__ import annotations

import ctypes
import logging
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from ..errors import ConfigError
from ..host_process import start_thread
from .library import DWORD, FAILED_DWORD, BassLibrary
from .locate import LIBRARY_NAME, find_bass
from .source import STREAM_DECODE
from .streams import ATTRIB_BUFFER, CHANNELS, SAMPLE_RATE_HZ

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DEFAULT_OUTPUT = -1
DEVICE_REINIT = 0x80
DATA_FLOAT = 0x40000000
CHECK_S = 0.5
MAX_WAIT_S = 4.0
"""Longest wait between two attempts to start a device that was lost."""
CLOSE_TIMEOUT_S = 2.0
"""How long closing waits for BASS to open a device that was lost."""
SPLIT_SLAVE = 0x1000
"""A splitter that receives only what another one has already taken from the source."""

LAST_CRASHING_VERSION = 0x02040502
"""BASSmix 2.4.5.2 for Windows x64, of 2011, which sound-lib contains: reading a splitter calls a null pointer."""

_log = logging.getLogger(__name__)

Split = Callable[[int, int], int]
"""Creates a splitter of a stream, with flags; returns 0 on failure."""


class Output:
    """An output device that this package initialised. A context manager; use it from the thread that opened it.

    BASS stops a device that vanishes. Once something plays, a thread looks for that and starts it again when it is
    back; its streams continue then.
    """

    def __init__(self, library: BassLibrary) -> None:
        """Use the calling thread's device. Created by ``open_output``."""
        self._library = library
        self._device = library.call("BASS_GetDevice")
        self._closing = threading.Event()
        self._watching: threading.Thread | None = None

    def play(self, stream: int) -> None:
        """Play a stream that is not a decoding channel.

        Raises:
            BassError: BASS cannot play it.
        """
        self._library.call("BASS_ChannelPlay", stream, False)
        if self._watching is None:
            self._watching = threading.Thread(target=self._watch, name="bass-webrtc output", daemon=True)
            start_thread(self._watching)

    def play_and_tap(self, stream: int) -> Tap:
        """Play a decoding channel (float, stereo) and return a tap of what is played.

        Raises:
            ConfigError: BASSmix was not found, or its splitters crash.
            BassError: BASS returned an error.
        """
        split = find_splitter(self._library)
        heard = self._split(split, stream, 0)
        tap = Tap(self._library, self._split(split, stream, STREAM_DECODE | SPLIT_SLAVE))
        # As for all streams here: 10 ms every 10 ms, not 100 ms at once.
        self._library.call("BASS_ChannelSetAttribute", heard, ATTRIB_BUFFER, 0.0)
        self.play(heard)
        return tap

    def _split(self, split: Split, stream: int, flags: int) -> int:
        handle = split(stream, flags)
        if not handle:
            raise self._library.last_error("BASS_Split_StreamCreate")
        return handle

    def close(self) -> None:
        """Free the device and everything that plays on it. Idempotent."""
        self._closing.set()
        if self._watching is not None:
            self._watching.join(CLOSE_TIMEOUT_S)
        if self._library.try_call("BASS_SetDevice", self._device):
            self._library.try_call("BASS_Free")

    def _watch(self) -> None:
        self._library.try_call("BASS_SetDevice", self._device)  # Of this thread.
        wait_s = CHECK_S
        while not self._closing.wait(wait_s):
            if self._is_started():
                continue
            _log.warning("the output device was lost; starting it again")
            while not self._restart():
                wait_s = min(2 * wait_s, MAX_WAIT_S)
                if self._closing.wait(wait_s):
                    return
            _log.info("the output device is back")
            wait_s = CHECK_S

    def _is_started(self) -> bool:
        return self._library.try_call("BASS_IsStarted") != 0

    def _restart(self) -> bool:
        # It is opened anew, which keeps its streams: BASS_Start returns TRUE even if what it was opened on is gone.
        opened = self._library.try_call("BASS_Init", self._device, SAMPLE_RATE_HZ, DEVICE_REINIT, None, None)
        return opened != 0 and self._library.try_call("BASS_Start") != 0

    def __enter__(self) -> Output:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Tap:
    """A second reader of what a device plays. BASSmix buffers two seconds. One reading thread."""

    def __init__(self, library: BassLibrary, handle: int) -> None:
        self._library = library
        self._handle = handle
        import numpy as np

        self._block = np.zeros((SAMPLE_RATE_HZ, CHANNELS), np.float32)

    def read(self) -> NDArray[np.float32]:
        """Return what was played since the last call, at most one second: float32 ``[frames, 2]``.

        Empty when the stream has been freed.
        """
        length = self._block.nbytes | DATA_FLOAT
        got = self._library.try_call("BASS_ChannelGetData", self._handle, self._block.ctypes.data, length)
        frames = 0 if got == FAILED_DWORD else got // self._block.strides[0]
        return self._block[:frames].copy()


def open_output(device: int = DEFAULT_OUTPUT, *, library: BassLibrary | None = None) -> Output:
    """Initialise an output device and make it the calling thread's device.

    Args:
        device: Index as in ``devices.outputs()``.
        library: Default: the BASS library of this process.

    Raises:
        BassError: The device does not exist or cannot be opened.
        BassNotFoundError: No BASS library was found.
    """
    library = library or find_bass()
    library.call("BASS_Init", device, SAMPLE_RATE_HZ, 0, None, None, hint="bass-webrtc devices lists the outputs")
    return Output(library)


def find_splitter(library: BassLibrary | None = None) -> Split:
    """Return BASS_Split_StreamCreate of the BASSmix in the folder of this process's BASS.

    Raises:
        ConfigError: BASSmix was not found, or its splitters crash.
        BassNotFoundError: No BASS library was found.
    """
    library = library or find_bass()
    path = library.path.with_name(LIBRARY_NAME.replace("bass", "bassmix"))
    advice = f"put {path.name} from https://www.un4seen.com into {path.parent}, or leave one of the two out"
    try:
        bassmix = _load(path)
        function, version = bassmix["BASS_Split_StreamCreate"], bassmix["BASS_Mixer_GetVersion"]
    except (OSError, AttributeError):
        raise ConfigError(f"playing and recording at once needs BASSmix: {advice}") from None
    if sys.platform == "win32" and version() <= LAST_CRASHING_VERSION:
        raise ConfigError(f"playing and recording at once needs BASSmix newer than 2.4.5.2: {advice}")
    function.restype = DWORD
    function.argtypes = (DWORD, DWORD, ctypes.c_void_p)
    return lambda stream, flags: int(function(stream, flags, None))


def _load(path: Path) -> ctypes.CDLL:
    # BASSmix is not linked to BASS, so it must be loaded after it and finds its functions in the process.
    if sys.platform == "win32":
        return ctypes.WinDLL(str(path))
    return ctypes.CDLL(str(path))
