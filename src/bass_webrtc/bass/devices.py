"""Lists the output and input devices known to BASS."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from dataclasses import dataclass

from .library import BassLibrary, DeviceInfo, text_result
from .locate import find_bass

DEVICE_ENABLED = 1
DEVICE_DEFAULT = 2
DEFAULT_INPUT = -1


@dataclass(frozen=True, slots=True)
class Device:
    """An output or input, as described by BASS."""

    index: int
    """Argument for BASS_Init or BASS_RecordInit. Output 0 is "No sound"."""
    name: str
    driver: str
    """The system's name of the device: an ALSA PCM, a WASAPI or CoreAudio identifier. May be empty."""
    is_default: bool
    is_enabled: bool
    """False for unplugged and disabled devices, which are listed as well."""


def outputs(library: BassLibrary | None = None) -> tuple[Device, ...]:
    """Return the outputs in BASS's order. Needs no BASS_Init; any thread.

    Raises:
        BassNotFoundError: No BASS library was found.
    """
    return tuple(_devices(library or find_bass(), "BASS_GetDeviceInfo"))


def inputs(library: BassLibrary | None = None) -> tuple[Device, ...]:
    """Return the inputs in BASS's order. Needs no BASS_RecordInit; any thread.

    Raises:
        BassNotFoundError: No BASS library was found.
    """
    return tuple(_devices(library or find_bass(), "BASS_RecordGetDeviceInfo"))


def default_input(library: BassLibrary) -> int:
    """Return the index of the default input; -1 if there is none, for which BASS returns an error with the reason."""
    return next((device.index for device in inputs(library) if device.is_default), DEFAULT_INPUT)


def _devices(library: BassLibrary, function: str) -> Iterator[Device]:
    index, info = 0, DeviceInfo()
    while library.try_call(function, index, ctypes.byref(info)):
        yield Device(
            index=index,
            name=text_result(info.name),
            driver=text_result(info.driver),
            is_default=bool(info.flags & DEVICE_DEFAULT),
            is_enabled=bool(info.flags & DEVICE_ENABLED),
        )
        index += 1
