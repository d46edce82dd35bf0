"""How many copies ride along, by what the peer reports."""

from __future__ import annotations

import pytest

from bass_webrtc.peer.redundancy import RedundancyPolicy


@pytest.mark.parametrize(
    ("fraction", "level"), [(0.0, None), (0.009, None), (0.01, 1), (0.039, 1), (0.04, 2), (1.0, 2)]
)
def test_loss_turns_copies_on_at_once(fraction: float, level: int | None) -> None:
    assert RedundancyPolicy().update(fraction) == level


def test_copies_stay_a_while_and_go_one_by_one() -> None:
    policy = RedundancyPolicy()
    policy.update(0.2)
    assert [policy.update(0.0) for _ in range(9)] == [None, None, None, 1, None, None, None, 0, None]


def test_a_lossy_report_in_between_starts_the_wait_again() -> None:
    policy = RedundancyPolicy()
    policy.update(0.03)
    reports = [0.0, 0.0, 0.0, 0.03, 0.0, 0.0, 0.0, 0.0]
    assert [policy.update(fraction) for fraction in reports] == [None] * 7 + [0]
