"""Sources of audio: a BASS channel, a file, a tone, or PCM samples from the program."""

from __future__ import annotations

import math
import os
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING, TypeAlias

from .bass import BassSource, OwnedChannel, is_url, open_file, open_recording, open_source, reopen_recording
from .config import CHANNELS, MAIN, SAMPLE_BYTES, SAMPLE_RATE_HZ
from .core import SourceHandle, exit_simply_in_children
from .errors import ConfigError
from .host_process import parents_error

if TYPE_CHECKING:
    import numpy as np
    from _typeshed import ReadableBuffer
    from numpy.typing import ArrayLike, NDArray

_LOWEST_RATE_HZ, _HIGHEST_RATE_HZ = 8_000, 192_000
_MAX_CHANNELS = 8
_CREDENTIALS = re.compile(r"//[^/?#]*@")
_handles_in_use: dict[tuple[int, int], object] = {}
"""Handles of the program's own BASS channels that are sources, with the process: a forked child uses none of them."""
_LONGEST_WAIT_FOR_DEVICE_S = 3.0
"""To ask BASS for a device costs nothing outside this machine."""


@dataclass(frozen=True, slots=True)
class Tone:
    """A sine wave on each channel, for tests and line-up. Does not need BASS.

    Raises:
        ConfigError: A frequency or the level is out of range.
    """

    hz: float = 440.0
    """Frequency in Hz, 0 to below 24000."""
    right_hz: float | None = None
    """Frequency of the right channel in Hz; None uses ``hz``."""
    level_dbfs: float = -12.0
    """Peak level in dBFS; 0 is full scale."""

    def __post_init__(self) -> None:
        for hz in (self.hz, self.right_hz):
            if hz is not None and not 0 <= hz < SAMPLE_RATE_HZ / 2:
                raise ConfigError(f"frequency is {hz!r} Hz; expected 0 to below {SAMPLE_RATE_HZ // 2}")
        if not (self.level_dbfs <= 0 and math.isfinite(self.level_dbfs)):
            raise ConfigError(f"level_dbfs is {self.level_dbfs!r}; expected 0 or less")


@dataclass(frozen=True, slots=True)
class BassFile:
    """A file or URL that BASS decodes, in any format that BASS or a plugin next to its library can read."""

    path_or_url: str | PathLike[str]
    """Path of a file, or an ``http``, ``https`` or ``ftp`` URL. A URL whose connection ends or delivers nothing for
    some seconds is opened again, with growing waits of at most 30 s, until it is back."""
    loop: bool = False
    """Start again at the end. Otherwise silence follows, and the event ``source_ended`` is emitted. The end of a URL
    is that of its file, whose length the server has announced; a station has none."""


@dataclass(frozen=True, slots=True)
class BassInput:
    """An input of the sound card. If it is lost, it is opened again when it is back, even under another index.

    Raises:
        ConfigError: ``device`` is not an index.
    """

    device: int | None = None
    """Index of the input, as ``bass-webrtc devices`` lists it; None is the default input."""

    def __post_init__(self) -> None:
        if self.device is not None and (isinstance(self.device, bool) or not isinstance(self.device, int)):
            raise ConfigError(f"device is {self.device!r}; expected the index of an input, or None")


@dataclass(frozen=True, slots=True)
class SourceEnd:
    """Why a source has ended: the argument of the event ``source_ended``."""

    code: int
    """Error code of BASS; 45 is the regular end."""
    name: str
    """Its name: ``"BASS_ERROR_ENDED"``; ``"BASS_ERROR_HANDLE"``, the channel was freed; ``"BASS_ERROR_TIMEOUT"``, a
    URL or an input delivered nothing for some seconds; and what else BASS reports."""
    reopens: bool
    """Whether the source is opened again: a URL or a ``BassInput`` that was lost."""
    channel: str = MAIN
    """Name of the channel that played it."""


@dataclass(frozen=True, slots=True)
class SourceState:
    """What has become of a source."""

    has_ended: bool = False
    """It has ended, has no audio again yet and is not being opened again."""
    error: int = 0
    """BASS's error code of the last end; 0 before the first one."""
    ends: int = 0
    """How often it has ended."""


class PcmSource:
    """Audio that the program writes. Buffers half a second; does not need BASS.

    Only one server or client at a time may use it.
    """

    def __init__(self, sample_rate: int = SAMPLE_RATE_HZ, channels: int = CHANNELS) -> None:
        """
        Args:
            sample_rate: Sample rate in Hz, 8000 to 192000; converted to 48000.
            channels: Number of channels, 1 to 8, in the order of BASS; mixed down to stereo.

        Raises:
            ConfigError: An argument is out of range.
        """
        if not (isinstance(sample_rate, int) and _LOWEST_RATE_HZ <= sample_rate <= _HIGHEST_RATE_HZ):
            raise ConfigError(f"sample_rate is {sample_rate!r}; expected {_LOWEST_RATE_HZ} to {_HIGHEST_RATE_HZ} Hz")
        if not (isinstance(channels, int) and 1 <= channels <= _MAX_CHANNELS):
            raise ConfigError(f"channels is {channels!r}; expected 1 to {_MAX_CHANNELS}")
        self.sample_rate = sample_rate
        self.channels = channels
        self._handle = SourceHandle.pcm(sample_rate, channels)
        self._writing = threading.Lock()
        self._in_use = threading.Lock()
        self._is_parents = False

    @property
    def space(self) -> int:
        """Number of frames that ``write`` can accept now. Any thread."""
        self._check_process()
        return self._handle.space()

    def write(self, samples: ArrayLike) -> int:
        """Append audio to the buffer. Never waits for the sender. Any thread.

        Args:
            samples: float32 ``[frames, channels]``, full scale 1.0, or ``[frames]`` for one channel. NaN is sent as
                silence.

        Returns:
            Number of frames accepted, from the start; fewer than given if the buffer is full.

        Raises:
            ConfigError: The array has another shape.
            ClosedError: A server or client of the parent process sends it.
        """
        return self._write_buffer(self._as_block(samples).data)

    def _write_buffer(self, samples: ReadableBuffer) -> int:
        """Do what ``write`` does, without NumPy: take a C-contiguous buffer of float32 ``[frames, channels]``."""
        self._check_process()
        with self._writing:
            return self._handle.write(samples, memoryview(samples).nbytes // (self.channels * SAMPLE_BYTES))

    def end(self) -> None:
        """Mark the end: the buffered audio is still sent, then the event ``source_ended`` is emitted. Any thread.

        What is written later is sent, too.
        """
        self._check_process()
        with self._writing:
            self._handle.end()

    def _forget(self) -> None:
        """In a forked child: the parent's sender reads it."""
        self._is_parents = True

    def _check_process(self) -> None:
        if self._is_parents:
            raise parents_error()

    def _as_block(self, samples: ArrayLike) -> NDArray[np.float32]:
        import numpy as np

        block = np.ascontiguousarray(samples, dtype=np.float32)
        if block.ndim == 1 and self.channels == 1:
            block = block[:, np.newaxis]
        if block.ndim != 2 or block.shape[1] != self.channels:
            raise ConfigError(f"samples has shape {block.shape}; expected [frames, {self.channels}]")
        return block


Source: TypeAlias = int | BassFile | BassInput | Tone | PcmSource | None
"""What a ``Server`` or ``WhipClient`` sends. An int is a BASS handle, from any wrapper of BASS; None sends nothing."""


@dataclass(frozen=True, slots=True)
class OpenSource:
    """A source that the core can read until ``close`` is called."""

    handle: SourceHandle | None
    close: Callable[[], None]
    name: str = "source"
    """For log messages."""
    open_again: Callable[[], OpenSource] | None = None
    """Opens it again after a loss; may block. None: it cannot be lost, or belongs to the program."""
    is_complete: Callable[[], bool] = lambda: False
    """Whether it has ended because all of it has been played."""
    position: Callable[[], int] = lambda: -1
    """How much has been read."""
    max_wait_s: float = 30.0
    """Longest wait between two attempts to open it again, in seconds."""


def check_source(source: object) -> None:
    """Check the type of a source, so that a mistake shows where it was made and not in ``start``.

    Raises:
        ConfigError: It is not a source.
    """
    if isinstance(source, bool) or not isinstance(source, int | BassFile | BassInput | Tone | PcmSource | None):
        kinds = "a BASS handle, BassFile, BassInput, Tone, PcmSource or None"
        raise ConfigError(f"source is {source!r}; expected {kinds}")


def open_for_core(source: Source) -> OpenSource:
    """Open a source for the sending thread. May block while BASS opens a file, a URL or a device.

    Raises:
        ConfigError: The source cannot be used: a missing file, a channel that is playing, a ``PcmSource`` in use.
        BassError: BASS cannot open it.
        BassNotFoundError: The source needs BASS, which was not found.
    """
    if source is None:
        return OpenSource(None, _nothing)
    if isinstance(source, Tone):
        right_hz = source.hz if source.right_hz is None else source.right_hz
        return OpenSource(SourceHandle.tone(source.hz, right_hz, source.level_dbfs), _nothing)
    if isinstance(source, PcmSource):
        if not source._in_use.acquire(blocking=False):
            raise ConfigError("the PcmSource is already in use; create one for each channel and client")
        return OpenSource(source._handle, source._in_use.release)
    if isinstance(source, BassFile | BassInput):
        exit_simply_in_children()  # Opening it may start BASS.
    if isinstance(source, BassFile):
        return _open_file(source)
    if isinstance(source, BassInput):
        channel = open_recording(source.device)
        return _open_input(channel, lambda: reopen_recording(channel))
    return _open_handle(source)


def _open_handle(source: int) -> OpenSource:
    channel = open_source(source)
    handle = _bass_handle(channel)
    key, use = (os.getpid(), channel.handle), object()
    if _handles_in_use.setdefault(key, use) is not use:
        raise ConfigError(
            f"the BASS handle {channel.handle:#x} is already in use: two readers would get a part of the audio each; "
            "create one for each channel and client, or splitters (BASS_Split_StreamCreate)"
        )

    def release() -> None:
        _handles_in_use.pop(key, None)

    return OpenSource(handle, release)


def _open_file(source: BassFile) -> OpenSource:
    channel = open_file(source.path_or_url, source.loop)
    handle = _bass_handle(channel.source)
    name = str(source.path_or_url)
    if not is_url(name):
        return OpenSource(handle, channel.close, name)
    return OpenSource(
        handle,
        channel.close,
        _CREDENTIALS.sub("//", name),
        open_again=lambda: _open_file(source),
        is_complete=lambda: not source.loop and channel.is_complete(),
        position=channel.position,
    )


def _open_input(channel: OwnedChannel, open_again: Callable[[], OwnedChannel]) -> OpenSource:
    return OpenSource(
        _bass_handle(channel.source),
        channel.close,
        "input",
        open_again=lambda: _open_input(open_again(), open_again),
        position=channel.position,
        max_wait_s=_LONGEST_WAIT_FOR_DEVICE_S,
    )


def _bass_handle(channel: BassSource) -> SourceHandle:
    return SourceHandle.bass(
        channel.get_data_address,
        channel.get_error_address,
        channel.handle,
        channel.sample_rate_hz,
        channel.channels,
        live=channel.live,
    )


def _nothing() -> None:
    pass
