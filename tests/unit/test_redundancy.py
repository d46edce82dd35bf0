"""Number of redundant copies for the loss that the peer reports."""

from __future__ import annotations

import pytest

from bass_webrtc.peer.media import RedundancyPolicy


@pytest.mark.parametrize(
    ("fraction", "level"), [(0.0, None), (0.009, None), (0.01, 1), (0.039, 1), (0.04, 2), (1.0, 2)]
)
def test_loss_adds_copies_immediately(fraction: float, level: int | None) -> None:
    assert RedundancyPolicy().update(fraction) == level


def test_copies_are_removed_one_by_one_after_clean_reports() -> None:
    policy = RedundancyPolicy()
    policy.update(0.2)
    assert [policy.update(0.0) for _ in range(9)] == [None, None, None, 1, None, None, None, 0, None]


def test_report_of_loss_restarts_count_of_clean_reports() -> None:
    policy = RedundancyPolicy()
    policy.update(0.03)
    reports = [0.0, 0.0, 0.0, 0.03, 0.0, 0.0, 0.0, 0.0]
    assert [policy.update(fraction) for fraction in reports] == [None] * 7 + [0]
