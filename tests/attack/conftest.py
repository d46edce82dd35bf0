"""Fixtures of the attack tests, and the table of what they measured, printed at the end.

make attack
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from support.attacks import Measured

_PROPERTY = "attack"


@pytest.fixture
def measured(record_property: Callable[[str, object], None]) -> Measured:
    """A function that adds a row to the table: attack, bound, measured value."""

    def add(attack: str, bound: str, value: object) -> None:
        record_property(_PROPERTY, f"{attack} | {bound} | {value}")

    return add


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    rows = [
        value
        for report in terminalreporter.stats.get("passed", []) + terminalreporter.stats.get("failed", [])
        for name, value in report.user_properties
        if name == _PROPERTY and report.when == "call"
    ]
    if rows:
        terminalreporter.write_sep("-", "attack | bound | measured")
        for row in rows:
            terminalreporter.write_line(str(row))
