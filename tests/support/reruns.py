"""Reruns of failed tests. A test has them only where it names the reason: conftest.py refuses a marker without one."""

from __future__ import annotations

import pytest


def rerun(reason: str, times: int = 2) -> pytest.MarkDecorator:
    """Return a marker that runs a failed test again.

    Args:
        reason: What outside the product can make it fail.
        times: Maximum number of reruns.
    """
    return pytest.mark.flaky(reruns=times, reason=reason)


real_time_audio = rerun("judges uninterrupted audio in real time; a stall of the machine of 100 ms is a gap")
measures_waits = rerun("asserts that nobody waits over 100 ms; a stall of the machine is a wait, too")
"""Tests with this marker also run alone (conftest.py)."""
