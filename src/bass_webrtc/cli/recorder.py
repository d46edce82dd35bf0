"""Reads what publishers say at the pace of a clock, and writes it into a WAV file.

    Server.read_input, or a device's tap ─► Recorder (a thread of its own) ─► WavFile

The thread sleeps until an absolute deadline, so that a day's recording is a day long. It is no audio thread: when the
interpreter is busy it comes late, reads what is due in one go, and nobody else waits.
"""

from __future__ import annotations

import struct
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..config import CHANNELS, SAMPLE_RATE_HZ

Samples = NDArray[np.float32]
Read = Callable[[int], Samples]
"""Given how many frames are due by the clock, returns some: float32 ``[frames, 2]``. A device's tap gives its own."""

BLOCK_FRAMES = SAMPLE_RATE_HZ // 50
_BLOCK_S = BLOCK_FRAMES / SAMPLE_RATE_HZ
_BLOCKS_PER_FLUSH = round(1 / _BLOCK_S)

_BYTES_PER_FRAME = 2 * CHANNELS
_FULL_SCALE = 32767
_PCM = 1
_LONGEST_RIFF_BYTES = 0xFFFFFFFF
_HEADER_BYTES = 12 + (8 + 28) + (8 + 16) + 8  # RIFF, JUNK or ds64, fmt, data
_CHUNK_BEFORE_SIZE_BYTES = 8


class WavFile:
    """A recording: 48 kHz stereo, 16 bits. Its header is right after each ``flush``. One thread.

    A process that is killed loses what came since then, and leaves a file that every player opens. Above 4 GiB, six
    hours, the header becomes that of RF64 (EBU Tech 3306), for which it has kept the place.
    """

    def __init__(self, path: Path) -> None:
        """Writes over what is there. Raises OSError."""
        self._file = path.open("wb", buffering=0)  # Two buffers would be two truths of what is on disk.
        self._waiting: list[bytes] = []
        self._data_bytes = 0
        try:
            self._write_header()
        except OSError:  # A pipe, for example: its start cannot be written again.
            self._file.close()
            raise

    def write(self, samples: Samples) -> None:
        """Takes float32 ``[frames, 2]``; what is beyond full scale is clipped."""
        self._waiting.append(np.rint(np.clip(samples, -1, 1) * _FULL_SCALE).astype("<i2").tobytes())

    def flush(self) -> None:
        """Hands over to the system what was taken, then the header that counts it. Raises OSError."""
        data, self._waiting = b"".join(self._waiting), []
        self._write_all(data)
        self._data_bytes += len(data)
        self._write_header()

    def close(self) -> None:
        """Flushes. Idempotent. Raises OSError."""
        if self._file.closed:
            return
        try:
            self.flush()
        finally:
            self._file.close()

    def abandon(self) -> None:
        """Closes the file as the last good ``flush`` left it. Idempotent."""
        self._file.close()

    def _write_header(self) -> None:
        self._file.seek(0)
        self._write_all(wav_header(self._data_bytes))
        self._file.seek(_HEADER_BYTES + self._data_bytes)

    def _write_all(self, data: bytes) -> None:
        """An unbuffered file may take less than it is given; a full disk shows with the next call."""
        rest = memoryview(data)
        while rest:
            rest = rest[self._file.write(rest) :]


def wav_header(data_bytes: int) -> bytes:
    """Everything before the samples, always of the same length."""
    riff_bytes = _HEADER_BYTES - _CHUNK_BEFORE_SIZE_BYTES + data_bytes
    byte_rate = SAMPLE_RATE_HZ * _BYTES_PER_FRAME
    format_chunk = struct.pack(
        "<4sIHHIIHH", b"fmt ", 16, _PCM, CHANNELS, SAMPLE_RATE_HZ, byte_rate, _BYTES_PER_FRAME, 16
    )
    if riff_bytes <= _LONGEST_RIFF_BYTES:
        start = struct.pack("<4sI4s4sI28x", b"RIFF", riff_bytes, b"WAVE", b"JUNK", 28)
        return start + format_chunk + struct.pack("<4sI", b"data", data_bytes)
    # EBU Tech 3306, 4: the true sizes stand in "ds64", and those of 32 bits are all ones.
    start = struct.pack("<4sI4s", b"RF64", _LONGEST_RIFF_BYTES, b"WAVE")
    sizes = struct.pack("<4sIQQQI", b"ds64", 28, riff_bytes, data_bytes, data_bytes // _BYTES_PER_FRAME, 0)
    return start + sizes + format_chunk + struct.pack("<4sI", b"data", _LONGEST_RIFF_BYTES)


class Recorder:
    """Reads on, with a file or without one, until ``close``. A context manager, used once.

    Without a file it only sees to it that what publishers send is played, so that their levels and the decisions of
    their jitter buffers show in the statistics.
    """

    def __init__(self, read: Read, file: WavFile | None, on_error: Callable[[OSError], object]) -> None:
        """
        Args:
            read: Called from this recorder's thread.
            file: Closed by the recorder.
            on_error: Called once, from its thread or from ``close``, when the file takes no more. Reading goes on.
        """
        self._read = read
        self._file = file
        self._on_error = on_error
        self._start_s = 0.0
        self._blocks = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="bass-webrtc recorder", daemon=True)

    def start(self, now_s: float) -> None:
        """The first block is due one block's time from now."""
        self._start_s = now_s

    def read_due(self, now_s: float) -> float:
        """Reads and writes what is due, and returns the seconds until the next block is."""
        while (early_s := self._start_s + (self._blocks + 1) * _BLOCK_S - now_s) <= 0:
            samples = self._read(BLOCK_FRAMES)
            self._blocks += 1
            if self._file is not None:
                self._file.write(samples)
                if self._blocks % _BLOCKS_PER_FLUSH == 0:
                    self._try(self._file, self._file.flush)
        return early_s

    def close(self) -> None:
        """Ends the thread and closes the file. Idempotent."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        if self._file is not None:
            self._try(self._file, self._file.close)

    def _run(self) -> None:
        while not self._stop.wait(self.read_due(time.monotonic())):
            pass

    def _try(self, file: WavFile, act: Callable[[], None]) -> None:
        try:
            act()
        except OSError as error:
            self._file = None
            file.abandon()
            self._on_error(error)

    def __enter__(self) -> Recorder:
        self.start(time.monotonic())
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
