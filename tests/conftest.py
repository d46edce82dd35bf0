"""``--forbid-skips-except TEXT`` for CI, where every test dependency is installed; reruns need a reason; test order.

On Windows, tests run on the loop of the product and those of ``support.windows_skips`` are skipped.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from support.reruns import measures_waits

pytest_plugins = ["support.fixtures"]

# The time that an example takes means nothing on a busy machine.
settings.register_profile("bass-webrtc", deadline=None)
settings.register_profile("few-examples", deadline=None, max_examples=10)
settings.load_profile("bass-webrtc")

if sys.platform == "win32":
    from bass_webrtc.loop_thread import new_event_loop
    from support.windows_skips import is_wine, reason_to_skip

    WINE = is_wine()

    class _LoopPolicy(asyncio.DefaultEventLoopPolicy):
        """asyncio's own default, the proactor, is for callers of ``aio``; everything else runs on the product's."""

        def new_event_loop(self) -> asyncio.AbstractEventLoop:
            return new_event_loop()

    asyncio.set_event_loop_policy(_LoopPolicy())


LONG_FILES, SHORT_FILES = ("core", "packages", "windows"), ("loopback", "support", "unit")
"""Folders whose files keep a processor busy for long, and folders whose files take seconds. The others mostly wait for
audio."""


def in_order(files: list[Path]) -> list[Path]:
    """Return the files in the order in which workers shall start them.

    Files that keep a processor busy are spread among those that wait, so that two workers seldom compete for it; the
    shortest are last, so that the workers finish at the same time.
    """
    busy = [file for file in files if file.parent.name in LONG_FILES]
    short = [file for file in files if file.parent.name in SHORT_FILES]
    waiting = [file for file in files if file not in {*busy, *short}]
    places = {file: index / len(group) for group in (busy, waiting) for index, file in enumerate(group)}
    return sorted(places, key=places.__getitem__) + short


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    place = {file: index for index, file in enumerate(in_order(list(dict.fromkeys(item.path for item in items))))}
    items.sort(key=lambda item: place[item.path])
    for item in items:
        if measures_waits.mark in item.iter_markers():
            item.add_marker(pytest.mark.alone)
        if sys.platform == "win32" and (why := reason_to_skip(item.nodeid, wine=WINE)):
            item.add_marker(pytest.mark.skip(why))
        marker = item.get_closest_marker("flaky")
        if marker is not None and not marker.kwargs.get("reason"):
            raise pytest.UsageError(f"{item.nodeid} has reruns without a reason; use support.reruns.rerun")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what tests have recorded as ``summary``: counts that are worth a look although the test passes."""
    reports = terminalreporter.stats.get("passed", []) + terminalreporter.stats.get("failed", [])
    recorded = [
        value for one in reports if one.when == "call" for name, value in one.user_properties if name == "summary"
    ]
    if recorded:
        terminalreporter.write_sep("-", "summaries")
        for line in recorded:
            terminalreporter.write_line(str(line))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--forbid-skips-except",
        metavar="TEXT",
        help="fail tests that skip, unless the reason contains TEXT (case-insensitive)",
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
        report.longrepr = f"{reason} (skips are forbidden here)"
