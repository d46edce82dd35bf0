"""Log lines that remote hosts can cause."""

from __future__ import annotations

import logging

import pytest

from bass_webrtc.limited_log import LimitedLog


def test_one_line_a_second_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    log = LimitedLog(logging.getLogger("bass_webrtc"))
    for number in range(5):
        log.warning(f"100 % refused: {number}", 10.0 + number / 2)
    assert caplog.messages == ["100 % refused: 0", "100 % refused: 2", "100 % refused: 4"]


def test_burst_is_logged_and_the_rest_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    log = LimitedLog(logging.getLogger("bass_webrtc"), burst=3)
    for number in range(9):
        log.log(logging.INFO, f"peer {number}", 10.0)
    log.log(logging.DEBUG, "not shown, not counted", 10.0)
    log.log(logging.INFO, "late", 11.0)
    assert caplog.messages == ["peer 0", "peer 1", "peer 2", "late (6 lines left out before)"]
