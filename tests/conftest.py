"""``--forbid-skips-except TEXT`` for CI, where everything a test could want is installed; reruns in real time."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest
from hypothesis import settings

pytest_plugins = ["support.fixtures"]

# How long an example takes says nothing on a machine that does other things as well.
settings.register_profile("bass-webrtc", deadline=None)
settings.load_profile("bass-webrtc")


_REAL_TIME = ("browser", "interop", "capi")
"""Folders whose tests run against the clock: a machine that stands still for a second fails them. Those that fail three
times in a row are not the machine's fault; reruns are counted in the closing line. A module that wants fewer says so by
``pytestmark = pytest.mark.flaky(reruns=1)``."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent.name in _REAL_TIME and item.get_closest_marker("flaky") is None:
            item.add_marker(pytest.mark.flaky(reruns=2))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--forbid-skips-except",
        metavar="TEXT",
        help="a test that skips fails, unless its reason contains TEXT (letter case does not count)",
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _fail_if_skipped(report, item.config)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _fail_if_skipped(report, collector.config)
    return report


def _fail_if_skipped(report: Any, config: pytest.Config) -> None:
    allowed = config.getoption("--forbid-skips-except")
    if allowed is None or not report.skipped or hasattr(report, "wasxfail"):
        return
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    if allowed.lower() not in reason.lower():
        report.outcome = "failed"
        report.longrepr = f"{reason}. Skips are forbidden here."
