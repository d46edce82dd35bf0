"""Tests that cannot run on Windows, or under Wine, with the reason. ``tests/conftest.py`` skips them there."""

from __future__ import annotations

SKIPS: dict[str, tuple[str, ...]] = {}
"""Reason to the tests: beginnings of their ids, each up to a ``::``, a ``[`` or the end."""


def reason_to_skip(test: str) -> str | None:
    """Return why a test is skipped on Windows; None if it runs."""
    return next((reason for reason, named in SKIPS.items() if any(covers(one, test) for one in named)), None)


def covers(entry: str, test: str) -> bool:
    """Return whether an entry of the table names a test."""
    return test == entry or test.startswith((f"{entry}::", f"{entry}["))
