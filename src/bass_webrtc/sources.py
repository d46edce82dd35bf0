"""Where the audio comes from: a BASS channel, a file, a tone, or PCM of the program itself."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass
from os import PathLike
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .bass import open_file, open_source
from .config import CHANNELS, SAMPLE_RATE_HZ
from .core import SourceHandle
from .errors import ConfigError

_LOWEST_RATE_HZ, _HIGHEST_RATE_HZ = 8_000, 192_000
_MAX_CHANNELS = 8


@dataclass(frozen=True, slots=True)
class Tone:
    """A sine on each channel, for tests and line-up. Needs no BASS.

    Raises:
        ConfigError: A frequency is not between 0 and 24000 Hz, or the level is above 0 dBFS.
    """

    hz: float = 440.0
    right_hz: float | None = None
    """Of the right channel; None is the same as left."""
    level_dbfs: float = -12.0
    """Peak; 0 is full scale."""

    def __post_init__(self) -> None:
        for hz in (self.hz, self.right_hz):
            if hz is not None and not 0 <= hz < SAMPLE_RATE_HZ / 2:
                raise ConfigError(f"a tone of {hz!r} Hz cannot be made; expected 0 to {SAMPLE_RATE_HZ // 2}")
        if not (self.level_dbfs <= 0 and math.isfinite(self.level_dbfs)):
            raise ConfigError(f"a tone of {self.level_dbfs!r} dBFS cannot be made; expected 0 or less")


@dataclass(frozen=True, slots=True)
class BassFile:
    """A file or URL, decoded by BASS: any format that it, or a plugin beside its library, reads."""

    path_or_url: str | PathLike[str]
    loop: bool = False
    """Start again at the end. Otherwise silence follows and ``source_ended`` says so."""


class PcmSource:
    """Audio that the program makes itself. Holds half a second; needs no BASS.

    ``write`` belongs to one thread at a time. One server at a time may use it.
    """

    def __init__(self, sample_rate: int = SAMPLE_RATE_HZ, channels: int = CHANNELS) -> None:
        """
        Args:
            sample_rate: Hz, 8000 to 192000; converted to 48000.
            channels: 1 to 8, in BASS's order; mixed to stereo.

        Raises:
            ConfigError: One of them is out of its range.
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

    @property
    def space(self) -> int:
        """Frames that ``write`` would take now. Any thread."""
        return self._handle.space()

    def write(self, samples: ArrayLike) -> int:
        """Gives audio to the sender. Never waits for it.

        Args:
            samples: float32 ``[frames, channels]``, full scale 1.0; ``[frames]`` with one channel. What is not
                a number is played as silence.

        Returns:
            Frames taken, from the start; fewer than given when half a second is waiting already.

        Raises:
            ConfigError: The array has another shape.
        """
        block = self._as_block(samples)
        with self._writing:
            return self._handle.write(block) if len(block) else 0

    def end(self) -> None:
        """What was written still plays, then ``source_ended`` comes."""
        self._handle.end()

    def _as_block(self, samples: ArrayLike) -> NDArray[np.float32]:
        block = np.ascontiguousarray(samples, dtype=np.float32)
        if block.ndim == 1 and self.channels == 1:
            block = block[:, np.newaxis]
        if block.ndim != 2 or block.shape[1] != self.channels:
            raise ConfigError(f"the array has shape {block.shape}; expected [frames, {self.channels}]")
        return block


Source: TypeAlias = int | BassFile | Tone | PcmSource | None
"""What a ``Server`` sends. An int is a BASS handle, from any wrapper."""


@dataclass(frozen=True, slots=True)
class OpenSource:
    """A source that the core can read, until ``close``."""

    handle: SourceHandle | None
    close: Callable[[], None]


def check_source(source: object) -> None:
    """Finds the mistake where it was made: before anything is opened.

    Raises:
        ConfigError: It is none of the kinds of source.
    """
    if isinstance(source, bool) or not isinstance(source, int | BassFile | Tone | PcmSource | None):
        kinds = "a BASS handle, BassFile, Tone, PcmSource or None"
        raise ConfigError(f"{source!r} is no source; expected {kinds}")


def open_for_core(source: Source) -> OpenSource:
    """Opens a source for the sender thread.

    Raises:
        ConfigError: It cannot be read: a missing file, a playing channel, a PcmSource that another server uses.
        BassError: BASS cannot open it.
        BassNotFoundError: It needs BASS and there is none.
    """
    if source is None:
        return OpenSource(None, _nothing)
    if isinstance(source, Tone):
        right_hz = source.hz if source.right_hz is None else source.right_hz
        return OpenSource(SourceHandle.tone(source.hz, right_hz, source.level_dbfs), _nothing)
    if isinstance(source, PcmSource):
        if not source._in_use.acquire(blocking=False):
            raise ConfigError("this PcmSource is used by another server; each needs one of its own")
        return OpenSource(source._handle, source._in_use.release)
    if isinstance(source, BassFile):
        channel = open_file(source.path_or_url, source.loop)
        return OpenSource(_bass_handle(channel.handle), channel.close)
    return OpenSource(_bass_handle(source), _nothing)


def _bass_handle(handle: int) -> SourceHandle:
    channel = open_source(handle)
    return SourceHandle.bass(
        channel.get_data_address, channel.handle, channel.sample_rate_hz, channel.channels, live=channel.live
    )


def _nothing() -> None:
    pass
