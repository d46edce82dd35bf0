"""BASS streams that play peers' audio. Their STREAMPROC is C code of the core: no Python runs on BASS's threads."""

from __future__ import annotations

import ctypes
import threading

from .library import BassLibrary, ChannelInfo
from .locate import find_bass, loaded_copies

SAMPLE_RATE_HZ = 48_000
CHANNELS = 2
SAMPLE_FLOAT = 0x100
STREAM_DECODE = 0x200000
ATTRIB_BUFFER = 13
_NO_DEVICE = 0xFFFFFFFF


class InputStream:
    """A stream that is created once the program has initialised BASS, and recreated if the program freed it.

    Any thread.
    """

    def __init__(self, procedure: int, user: int, *, decode: bool) -> None:
        """Store the parameters; the stream is created on first use of ``handle``.

        Args:
            procedure: Address of a STREAMPROC.
            user: Its user pointer.
            decode: Create a decoding channel, for mixers, instead of one that plays.
        """
        self._procedure = procedure
        self._user = user
        self._decode = decode
        self._lock = threading.Lock()
        self._handle = 0
        self._library: BassLibrary | None = None
        self._closed = False

    @property
    def handle(self) -> int:
        """HSTREAM, 48 kHz stereo float, to be played by the program. 0 until the program has called BASS_Init.

        Raises:
            BassError: BASS cannot create it.
        """
        with self._lock:
            if self._closed:
                return 0
            if self._library is None or not self._is_alive(self._library):
                self._handle = 0
                self._library = _initialised_library()
                if self._library is not None:
                    self._handle = self._create(self._library)
            return self._handle

    def close(self) -> None:
        """Free the stream; waits for a block that is being played. Idempotent."""
        with self._lock:
            self._closed = True
            if self._handle and self._library is not None:
                # Fails if the program has freed the stream or BASS, which is fine.
                self._library.try_call("BASS_StreamFree", self._handle)
            self._handle = 0

    def _is_alive(self, library: BassLibrary) -> bool:
        info = ChannelInfo()
        return bool(library.try_call("BASS_ChannelGetInfo", self._handle, ctypes.byref(info)))

    def _create(self, library: BassLibrary) -> int:
        flags = SAMPLE_FLOAT | (STREAM_DECODE if self._decode else 0)
        handle = library.call("BASS_StreamCreate", SAMPLE_RATE_HZ, CHANNELS, flags, self._procedure, self._user)
        if not self._decode:
            # Without a playback buffer, BASS requests 10 ms every 10 ms instead of 100 ms at once.
            library.try_call("BASS_ChannelSetAttribute", handle, ATTRIB_BUFFER, 0.0)
        return handle


def current_device() -> int | None:
    """Return the BASS device of the calling thread; None if BASS is not loaded or initialised. Never loads BASS."""
    library = _initialised_library()
    return library.try_call("BASS_GetDevice") if library is not None else None


def select_device(device: int | None) -> None:
    """Make a device that ``current_device`` returned on another thread the calling thread's; None changes nothing."""
    library = _initialised_library()
    if library is not None and device is not None:
        library.try_call("BASS_SetDevice", device)


def _initialised_library() -> BassLibrary | None:
    """Return the program's BASS; None if none is loaded or initialised. Never loads one."""
    if not loaded_copies():
        return None
    library = find_bass()
    return library if library.try_call("BASS_GetDevice") != _NO_DEVICE else None
