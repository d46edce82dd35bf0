"""Where what publishers send is heard: on an output device of BASS, in a WAV file, in both, or in the levels alone.

    device alone       mix ─► device
    file alone         mix ─► recorder's thread ─► file
    both               mix ─► BASSmix's splitter ─┬─► device
                                                  └─► recorder's thread ─► file
    neither            mix ─► recorder's thread, for the levels

The mix has one reader. So with both, the device reads it and sets the pace, and the file gets what the device got.
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
    """As much of a ``Server`` as is needed."""

    @property
    def input_stream(self) -> int:
        """HSTREAM."""

    def read_input(self, frames: int, /) -> Samples:
        """The same without BASS."""


class Hearing:
    """One choice of these. ``open`` before the source is opened, ``hear`` when the server runs; one thread."""

    def __init__(self, device: str, recording: Path | None) -> None:
        """
        Args:
            device: ``"none"``, ``"default"`` or the index of an output, as ``devices.outputs()`` has it.
            recording: The WAV file; None for none. It is written over when ``hear`` is called.

        Raises:
            ConfigError: There is no such choice, or both are wanted and there is no BASSmix.
            BassNotFoundError: Both are wanted and there is no BASS.
        """
        self._device = _device(device)
        self._recording = recording
        self.decode_stream = self._device is not None and recording is not None
        """What ``ServerConfig.decode_stream`` must be."""
        self._output: Output | None = None
        if self.decode_stream:
            find_splitter()

    @contextmanager
    def open(self) -> Iterator[None]:
        """Initialises the device, if any, and frees it in the end.

        Before the source, for a thread that never chose a device gets the first one that is initialised.

        Raises:
            BassError: There is no such device, or it cannot be opened.
            BassNotFoundError: There is no BASS.
        """
        if self._device is None:
            yield
            return
        with open_output(self._device) as self._output:
            yield

    @contextmanager
    def hear(self, mix: Mix, on_error: Callable[[OSError], object]) -> Iterator[None]:
        """Plays, records, or both, until it is left.

        Args:
            mix: Of a server that runs.
            on_error: Called when the file takes no more; all else goes on.

        Raises:
            BassError: BASS refuses to play.
            OSError: The file cannot be written.
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


def _device(text: str) -> int | None:
    if text in ("none", "default"):
        return DEFAULT_OUTPUT if text == "default" else None
    if text.isascii() and text.isdecimal():
        return int(text)
    raise ConfigError(f"{text!r} is no output; expected none, default, or a number that bass-webrtc devices lists")
