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
