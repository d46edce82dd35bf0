"""Lists of outputs and inputs."""

from __future__ import annotations

from bass_webrtc.bass import devices


def test_output_0_is_no_sound() -> None:
    first = devices.outputs()[0]
    assert (first.index, first.name, first.is_default, first.is_enabled) == (0, "No sound", False, True)


def test_device_indices_are_consecutive() -> None:
    for found in (devices.outputs(), devices.inputs()):
        assert [device.index for device in found] == list(range(len(found)))
        assert sum(device.is_default for device in found) <= 1
