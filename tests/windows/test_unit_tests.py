"""The unit and loopback tests under Wine, with the Windows wheel, but for those of ``support.windows_skips``."""

from __future__ import annotations

import contextlib
import faulthandler
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from support import netns, wine, wine_lab
from support.fixtures import skip_for
from support.reruns import rerun
from support.windows_skips import ON_WINDOWS, UNDER_WINE, covers, reason_to_skip

ROOT = Path(__file__).parents[2]
_PROCESSES = 3
_TIMEOUT_S = 900.0
_POLL_S = 2.0
_PATIENCE = "--timeout=300"
"""For one test: pytest-timeout cannot end just that test on Windows, but ends the run."""
_OPTIONS = (
    *("-v", "-p", "no:cacheprovider", "--hypothesis-profile=few-examples", "--tb=short", _PATIENCE),
    *("--log-level=DEBUG", "-o", "junit_logging=all"),  # What a failed test logged and wrote is in the report.
)


@dataclass(frozen=True)
class Result:
    """What became of one test."""

    test: str
    outcome: str
    """``"passed"``, ``"skipped"``, ``"failure"`` or ``"error"``."""
    message: str = ""


@pytest.mark.alone  # It starts several processes, whose wineserver competes with tests of audio.
@rerun("under Wine, in one of about a hundred runs, a program that a test has started does not end", times=1)
@pytest.mark.timeout(2 * (_TIMEOUT_S + 60))
def test_unit_and_loopback_tests_pass_on_windows(tmp_path: Path) -> None:
    skip_for(wine.missing() or netns.missing())
    faulthandler.cancel_dump_traceback_later()  # It takes longer than pytest waits before it dumps them.
    results = run_tests(tmp_path)
    bad = [one for one in results if one.outcome in ("failure", "error")]
    assert not bad, "\n\n".join(f"{one.outcome}: {one.test}\n{one.message}" for one in bad)
    skipped = {one.test for one in results if one.outcome == "skipped"}
    assert skipped == {one.test for one in results if reason_to_skip(one.test, wine=True)}
    tests = [one.test for one in results]
    entries = [entry for named in (ON_WINDOWS | UNDER_WINE).values() for entry in named]
    unused = [entry for entry in entries if not any(covers(entry, one) for one in tests)]
    assert not unused, "these entries of windows_skips.py name no test"


def test_only_reasons_about_wine_are_for_wine_only() -> None:
    assert all("Wine" in reason for reason in UNDER_WINE)
    assert not [reason for reason in ON_WINDOWS if "Wine" in reason]
    for test in (entry for named in UNDER_WINE.values() for entry in named):
        assert reason_to_skip(test, wine=True) is not None
        assert reason_to_skip(test, wine=False) is None


def test_output_of_all_processes_is_read_at_the_same_time(tmp_path: Path) -> None:
    programs = (
        f"import os, time\nwhile not os.path.exists({str(tmp_path / 'written')!r}): time.sleep(0.01)\nprint('end')",
        f"print('x' * 200_000, flush=True)\nopen({str(tmp_path / 'written')!r}, 'w')",
        "import sys, time\nprint('begin', flush=True)\nprint('note', file=sys.stderr, flush=True)\ntime.sleep(60)",
    )
    pipes = subprocess.PIPE
    with contextlib.ExitStack() as stack:
        processes = []
        for program in programs:
            command = [sys.executable, "-c", program]
            process = stack.enter_context(subprocess.Popen(command, stdout=pipes, stderr=pipes, encoding="utf-8"))
            stack.callback(process.kill)
            processes.append(process)
        assert _outputs(processes, 5.0) == [("end\n", ""), ("x" * 200_000 + "\n", ""), ("begin\n", "note\n")]
        assert [process.poll() for process in processes] == [0, 0, None]


def test_program_that_outlives_its_process_is_not_waited_for(tmp_path: Path) -> None:
    released = tmp_path / "released"
    child = f"import os, time\nwhile not os.path.exists({str(released)!r}): time.sleep(0.01)"
    parent = f"import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', {child!r}])\nprint('end')"
    pipes = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", parent], stdout=pipes, stderr=pipes, encoding="utf-8") as process:
        try:
            start_s = time.monotonic()
            assert _outputs([process], 60.0) == [("end\n", "")]
            assert time.monotonic() - start_s < 30.0
        finally:
            released.touch()


def run_tests(folder: Path) -> list[Result]:
    """Run all tests in several processes on one machine that has one IPv4 address; ``folder`` gets the reports.

    Raises:
        AssertionError: pytest did not run to its end.
    """
    files = sorted(path for kind in ("unit", "loopback") for path in (ROOT / "tests" / kind).glob("test_*.py"))
    with wine_lab.open_lab(niced=True) as lab, contextlib.ExitStack() as stack:
        running = []
        for number in range(_PROCESSES):
            report = folder / f"report{number}.xml"
            reporting = f"--junitxml={wine.windows_path(report)}"
            paths: list[Path | str] = ["-c", ROOT / "pyproject.toml", "--rootdir", ROOT, *files[number::_PROCESSES]]
            process = lab.windows.start(
                *(wine.python(), "-m", "pytest", *_OPTIONS, reporting, *paths),
                PYTHONPATH=wine.windows_path(wine.package()),
                PYTHONDONTWRITEBYTECODE="1",
            )
            running.append((stack.enter_context(process), report))
        outputs = _outputs([process.popen for process, _ in running], _TIMEOUT_S)
        found: list[Result] = []
        for (process, report), (output, errors) in zip(running, outputs, strict=True):
            ended = process.popen.poll() in (0, 1) and report.exists()  # pytest-timeout ends it without a report.
            ends = f"the output ends with:\n{output[-6000:]}\nthe errors end with:\n{errors[-6000:]}"
            assert ended, f"exit code {process.popen.returncode}; {ends}"
            found += _read(report)
        return found


def _outputs(processes: Sequence[subprocess.Popen[str]], timeout_s: float) -> list[tuple[str, str]]:
    """Return the output and the errors of the processes until they ended, or within this time.

    They are read at the same time, because a full pipe would stop a process. A program that one of them has started,
    and that has not ended with it, may keep its pipes open: it is not waited for.
    """
    end_s = time.monotonic() + timeout_s

    def read(process: subprocess.Popen[str]) -> tuple[str, str]:
        while True:
            is_last = process.poll() is not None or time.monotonic() + _POLL_S > end_s
            try:
                return process.communicate(timeout=_POLL_S)
            except subprocess.TimeoutExpired as expired:
                if is_last:
                    output, errors = (part or b"" for part in (expired.output, expired.stderr))
                    return output.decode(errors="replace"), errors.decode(errors="replace")

    with ThreadPoolExecutor(len(processes)) as threads:
        return list(threads.map(read, processes))


def _read(report: Path) -> Iterator[Result]:
    for case in ElementTree.parse(report).iter("testcase"):
        test = f"{case.get('classname', '').replace('.', '/')}.py::{case.get('name')}"
        outcome = next((one for one in case if one.tag in ("failure", "error", "skipped")), None)
        if outcome is None:
            yield Result(test, "passed")
        elif outcome.tag == "skipped":
            yield Result(test, "skipped", outcome.get("message") or "")
        else:
            captured = (case.findtext(tag, "") for tag in ("system-out", "system-err"))
            yield Result(test, outcome.tag, "\n".join((outcome.text or "", *captured)))
