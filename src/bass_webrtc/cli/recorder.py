"""Reads incoming audio in real time and writes it to a WAV file.

    Server.read_input, or the tap of a device ─► Recorder (own thread) ─► WavFile

The thread sleeps until absolute deadlines, so a recording does not drift: after a day it is a day long. It is not an
audio thread: if the interpreter is busy it wakes late and reads all blocks that are due, and no other thread waits.
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
from ..core import name_thread
from ..host_process import start_thread

Samples = NDArray[np.float32]
Read = Callable[[int], Samples]
"""Takes the number of frames due and returns float32 ``[frames, 2]``; the tap of a device may return any number."""

BLOCK_FRAMES = SAMPLE_RATE_HZ // 50
_BLOCK_S = BLOCK_FRAMES / SAMPLE_RATE_HZ
_BLOCKS_PER_FLUSH = round(1 / _BLOCK_S)

_BYTES_PER_FRAME = 2 * CHANNELS
_FULL_SCALE = 32767
_PCM = 1
_MAX_RIFF_BYTES = 0xFFFFFFFF
_HEADER_BYTES = 12 + (8 + 28) + (8 + 16) + 8  # RIFF, JUNK or ds64, fmt, data
_CHUNK_BEFORE_SIZE_BYTES = 8


class WavFile:
    """WAV file, 48 kHz, stereo, 16 bit, with a valid header after each ``flush``. Not thread-safe.

    If the process is killed, the audio since the last flush is lost but the file stays playable. Above 4 GiB (six
    hours) the header becomes RF64 (EBU Tech 3306); space for it is reserved from the start.
    """

    def __init__(self, path: Path) -> None:
        """Create or overwrite the file. Raises OSError."""
        self._file = path.open("wb", buffering=0)  # Unbuffered: after ``flush`` the data is in the file.
        self._pending: list[bytes] = []
        self._data_bytes = 0
        try:
            self._write_header()
        except OSError:  # For example a pipe, which cannot seek.
            self._file.close()
            raise

    def write(self, samples: Samples) -> None:
        """Queue samples, float32 ``[frames, 2]``; values beyond full scale are clipped."""
        self._pending.append(np.rint(np.clip(samples, -1, 1) * _FULL_SCALE).astype("<i2").tobytes())

    def flush(self) -> None:
        """Write the queued samples, then the header with the new size. Raises OSError."""
        data, self._pending = b"".join(self._pending), []
        self._write_all(data)
        self._data_bytes += len(data)
        self._write_header()

    def close(self) -> None:
        """Flush and close the file. Idempotent. Raises OSError."""
        if self._file.closed:
            return
        try:
            self.flush()
        finally:
            self._file.close()

    def abandon(self) -> None:
        """Close the file as the last successful ``flush`` left it. Idempotent."""
        self._file.close()

    def _write_header(self) -> None:
        self._file.seek(0)
        self._write_all(wav_header(self._data_bytes))
        self._file.seek(_HEADER_BYTES + self._data_bytes)

    def _write_all(self, data: bytes) -> None:
        """Write all bytes: an unbuffered file may write fewer, and reports a full disk on the next call."""
        rest = memoryview(data)
        while rest:
            rest = rest[self._file.write(rest) :]


def wav_header(data_bytes: int) -> bytes:
    """Return everything before the samples; its length does not depend on ``data_bytes``."""
    riff_bytes = _HEADER_BYTES - _CHUNK_BEFORE_SIZE_BYTES + data_bytes
    byte_rate = SAMPLE_RATE_HZ * _BYTES_PER_FRAME
    format_chunk = struct.pack(
        "<4sIHHIIHH", b"fmt ", 16, _PCM, CHANNELS, SAMPLE_RATE_HZ, byte_rate, _BYTES_PER_FRAME, 16
    )
    if riff_bytes <= _MAX_RIFF_BYTES:
        start = struct.pack("<4sI4s4sI28x", b"RIFF", riff_bytes, b"WAVE", b"JUNK", 28)
        return start + format_chunk + struct.pack("<4sI", b"data", data_bytes)
    # EBU Tech 3306, 4: the real sizes are in "ds64", and the 32-bit fields are all ones.
    start = struct.pack("<4sI4s", b"RF64", _MAX_RIFF_BYTES, b"WAVE")
    sizes = struct.pack("<4sIQQQI", b"ds64", 28, riff_bytes, data_bytes, data_bytes // _BYTES_PER_FRAME, 0)
    return start + sizes + format_chunk + struct.pack("<4sI", b"data", _MAX_RIFF_BYTES)


class Recorder:
    """Reads continuously until ``close``, with or without a file. A context manager; use it once.

    Without a file it still reads, because levels and jitter buffer statistics advance only when audio is read.
    """

    def __init__(self, read: Read, file: WavFile | None, on_error: Callable[[OSError], object]) -> None:
        """
        Args:
            read: Source of the samples, called from the recorder thread.
            file: Destination, which the recorder closes; None to discard the samples.
            on_error: Called once, from the recorder thread or from ``close``, when writing fails. Reading continues.
        """
        self._read = read
        self._file = file
        self._on_error = on_error
        self._start_s = 0.0
        self._blocks = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="bass-webrtc recorder", daemon=True)

    def start(self, now_s: float) -> None:
        """Start the clock: the first block is due after the duration of one block."""
        self._start_s = now_s

    def read_due(self, now_s: float) -> float:
        """Read and write the blocks that are due; return the seconds until the next one."""
        while (early_s := self._start_s + (self._blocks + 1) * _BLOCK_S - now_s) <= 0:
            samples = self._read(BLOCK_FRAMES)
            self._blocks += 1
            if self._file is not None:
                self._file.write(samples)
                if self._blocks % _BLOCKS_PER_FLUSH == 0:
                    self._report_errors(self._file, self._file.flush)
        return early_s

    def close(self) -> None:
        """Stop the thread and close the file. Idempotent."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        if self._file is not None:
            self._report_errors(self._file, self._file.close)

    def _run(self) -> None:
        name_thread("bw-record")
        while not self._stop.wait(self.read_due(time.perf_counter())):
            pass

    def _report_errors(self, file: WavFile, operation: Callable[[], None]) -> None:
        try:
            operation()
        except OSError as error:
            self._file = None
            file.abandon()
            self._on_error(error)

    def __enter__(self) -> Recorder:
        self.start(time.perf_counter())
        start_thread(self._thread)
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
