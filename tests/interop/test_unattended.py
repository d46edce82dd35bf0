"""Two minutes of a station whose surroundings change all the time: nobody is silent for long, and nothing leaks."""

from __future__ import annotations

import pytest

from support import unattended
from support.fixtures import skip_for
from support.reruns import rerun
from support.unattended import Unattended

pytestmark = [pytest.mark.alone, pytest.mark.timeout(300)]

LONGEST_SILENCE_S = 5.0
OPEN_NOW = 5
"""HTTP connections that happen to be open, far fewer than the clients that have just reconnected."""
MORE_MEMORY = 1.1
"""Ratio to the start: pages that the allocator keeps."""


@rerun("twenty-five clients recover in real time; a stall of the machine prolongs that", times=1)
def test_everybody_hears_again_within_five_seconds_whatever_happens() -> None:
    skip_for(unattended.missing())
    with Unattended() as station:
        report = station.run(minutes=2.0, every_s=12.0)
    print(report)  # noqa: T201 - shown when it fails
    assert max(report.silences_s.values()) <= LONGEST_SILENCE_S
    assert report.children
    assert not any(report.children)
    for name, before in report.before.items():
        after = report.after[name]
        for what in ("threads", "descriptors", "tasks"):
            assert after[what] <= before[what] + OPEN_NOW, f"{what} of the {name}"
        assert after["memory_kb"] <= MORE_MEMORY * before["memory_kb"], f"memory of the {name}"
