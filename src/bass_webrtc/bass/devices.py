"""Lists the outputs and inputs that BASS sees."""

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
    """An output or input, as BASS describes it."""

    index: int
    """What BASS_Init or BASS_RecordInit takes. Output 0 is "No sound"."""
    name: str
    driver: str
    """The system's name of it: an ALSA PCM, a WASAPI or CoreAudio identifier. Empty when it has none."""
    is_default: bool
    is_enabled: bool
    """Unplugged and switched-off devices are listed, too."""


def outputs(library: BassLibrary | None = None) -> tuple[Device, ...]:
    """Outputs, in BASS's order. Needs no BASS_Init; any thread. Raises BassNotFoundError when there is no BASS."""
    return tuple(_devices(library or find_bass(), "BASS_GetDeviceInfo"))


def inputs(library: BassLibrary | None = None) -> tuple[Device, ...]:
    """Inputs, in BASS's order. Needs no BASS_RecordInit; any thread. Raises BassNotFoundError when there is no BASS."""
    return tuple(_devices(library or find_bass(), "BASS_RecordGetDeviceInfo"))


def default_input(library: BassLibrary) -> int:
    """Index of the default input; -1, which BASS refuses with its reason, when there is none."""
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
