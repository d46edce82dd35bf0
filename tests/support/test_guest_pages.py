"""The level of a tone does not depend on the speed at which a buffer plays it."""

from __future__ import annotations

import numpy as np
import pytest

from support.guest_pages import level_dbfs
from support.tones import SAMPLE_RATE_HZ, Samples, sine


def sweep(hz: float, seconds: float, slew: float) -> Samples:
    """Return a sine of full scale whose speed changes by this share per second."""
    time_s = np.arange(round(seconds * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    return np.sin(2 * np.pi * hz * (time_s + slew * time_s**2 / 2)).astype(np.float32)


@pytest.mark.parametrize("speed", [0.99, 0.9963, 1.0, 1.005, 1.01])
def test_tone_has_its_level_at_each_speed(speed: float) -> None:
    blocks = [sine(4300.0 * speed, 0.68, level_dbfs=-18.0)] * 4
    assert level_dbfs(blocks, 4300.0) == pytest.approx(-18.0, abs=0.5)
    assert level_dbfs(blocks, 3700.0) < -100.0


def test_tone_has_its_level_while_its_speed_changes() -> None:
    """As fast as drift control changes it: by 0.1 % per second."""
    assert level_dbfs([sweep(4300.0, 3.0, 0.001)], 4300.0) == pytest.approx(0.0, abs=1.0)
