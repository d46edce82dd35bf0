"""Reruns of failed tests. A test has them only where it names the reason: conftest.py refuses a marker without one."""

from __future__ import annotations

import pytest


def rerun(reason: str, times: int = 2) -> pytest.MarkDecorator:
    """Runs a test again when it fails.

    Args:
        reason: What outside the product can fail it.
        times: How often at most.
    """
    return pytest.mark.flaky(reruns=times, reason=reason)


real_time_audio = rerun("judges uninterrupted audio in real time; a stall of the machine of 100 ms is a gap")
