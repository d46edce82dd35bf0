"""BASS streams that play what peers send. Their STREAMPROC is C code of the core: no Python runs on BASS's threads."""

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
    """One stream, made as soon as the program has initialised BASS and made anew when the program freed it.

    Any thread.
    """

    def __init__(self, procedure: int, user: int, *, decode: bool) -> None:
        """Nothing is made yet.

        Args:
            procedure: Address of a STREAMPROC.
            user: Its user pointer.
            decode: Make a decoding channel, for mixers, and not one that plays.
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
        """HSTREAM, 48 kHz stereo float; the program plays it. 0 until the program has called BASS_Init.

        Raises:
            BassError: BASS cannot make it.
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
        """Frees the stream; waits for a block that is just being played. Idempotent."""
        with self._lock:
            self._closed = True
            if self._handle and self._library is not None:
                # It fails where the program freed it, or BASS, before: that is as good.
                self._library.try_call("BASS_StreamFree", self._handle)
            self._handle = 0

    def _is_alive(self, library: BassLibrary) -> bool:
        info = ChannelInfo()
        return bool(library.try_call("BASS_ChannelGetInfo", self._handle, ctypes.byref(info)))

    def _create(self, library: BassLibrary) -> int:
        flags = SAMPLE_FLOAT | (STREAM_DECODE if self._decode else 0)
        handle = library.call("BASS_StreamCreate", SAMPLE_RATE_HZ, CHANNELS, flags, self._procedure, self._user)
        if not self._decode:
            # Without a playback buffer BASS asks for 10 ms each 10 ms, and not for 100 ms at once.
            library.try_call("BASS_ChannelSetAttribute", handle, ATTRIB_BUFFER, 0.0)
        return handle


def _initialised_library() -> BassLibrary | None:
    """The program's BASS; None when it has none, or has not initialised it. Never loads one."""
    if not loaded_copies():
        return None
    library = find_bass()
    return library if library.try_call("BASS_GetDevice") != _NO_DEVICE else None
