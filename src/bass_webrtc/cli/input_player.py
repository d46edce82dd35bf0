"""Plays incoming audio on a BASS output, records it to a WAV file, or both.

    device only        mix ─► device
    file only          mix ─► recorder thread ─► file
    both               mix ─► BASSmix splitter ─┬─► device
                                                └─► recorder thread ─► file
    neither            mix ─► recorder thread, which keeps the level statistics alive

The mix has a single reader. With both, the device reads it and sets the pace, and the file gets what was played.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from ..bass import DEFAULT_OUTPUT, Output, find_splitter, open_output
from ..errors import ConfigError
from .recorder import Recorder, Samples, WavFile


class Mix(Protocol):
    """The part of ``Server`` that this module needs."""

    @property
    def input_stream(self) -> int:
        """HSTREAM of the incoming audio."""

    def read_input(self, frames: int, /) -> Samples:
        """Read the same audio without BASS."""


class InputPlayer:
    """Plays or records one mix. Call ``open_device`` before opening the source, ``play`` once the server runs.

    Not thread-safe.
    """

    def __init__(self, device: str, recording: Path | None) -> None:
        """
        Args:
            device: ``"none"``, ``"default"`` or the index of an output in ``devices.outputs()``.
            recording: WAV file, or None. ``play`` overwrites it.

        Raises:
            ConfigError: ``device`` is invalid, or both are given and BASSmix is missing.
            BassNotFoundError: Both are given and BASS is missing.
        """
        self._device = _parse_device(device)
        self._recording = recording
        self.decode_stream = self._device is not None and recording is not None
        """The required value of ``ServerConfig.decode_stream``."""
        self._output: Output | None = None
        if self.decode_stream:
            find_splitter()

    @contextmanager
    def open_device(self) -> Iterator[None]:
        """Initialise the device, if any, and free it at the end.

        Enter it before the source is opened: BASS gives a thread that has chosen no device the first one initialised.

        Raises:
            BassError: The device does not exist or cannot be opened.
            BassNotFoundError: BASS is missing.
        """
        if self._device is None:
            yield
            return
        with open_output(self._device) as self._output:
            yield

    @contextmanager
    def play(self, mix: Mix, on_error: Callable[[OSError], object]) -> Iterator[None]:
        """Play or record inside the context.

        Args:
            mix: A running server, or equivalent.
            on_error: Called when writing the file fails; playback continues.

        Raises:
            BassError: BASS cannot play the stream.
            OSError: The file cannot be created.
        """
        if self._output is not None and self._recording is None:
            self._output.play(mix.input_stream)
            yield
            return
        file = None if self._recording is None else WavFile(self._recording)
        with Recorder(self._reader(mix), file, on_error):
            yield

    def _reader(self, mix: Mix) -> Callable[[int], Samples]:
        if self._output is None:
            return mix.read_input
        tap = self._output.play_and_tap(mix.input_stream)
        return lambda _frames: tap.read()


def _parse_device(text: str) -> int | None:
    if text in ("none", "default"):
        return DEFAULT_OUTPUT if text == "default" else None
    if text.isascii() and text.isdecimal():
        return int(text)
    raise ConfigError(f"no output device {text!r}; expected none, default or a number from 'bass-webrtc devices'")
