"""Verdicts of the benchmarks: a goal that was not measured counts as missed."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from bench import __main__ as bench_main
from bench import quality
from bench.impairment import Network, schedule
from bench.quality import Verdict
from bench.report import Report
from bench.stage import Stage

from support import browsers

THEIRS = Verdict(concealed=(0.05, 0.01), removed=0.0, delay_ms=30.0, delay_p95_ms=40.0, clicks=0, pesq=3.5)


def judge(name: str = "5 % lost", **changes: Any) -> list[str]:
    """Return the goals missed by a receiver that differs from Chromium in these figures."""
    report = Report("test", "")
    quality._judge(report, name, dataclasses.replace(THEIRS, **changes), THEIRS)
    return report.missed


def test_results_equal_to_chromium_meet_every_goal() -> None:
    assert judge() == []


@pytest.mark.parametrize(
    ("changes", "missed"),
    [
        ({"delay_ms": 30.1}, "delay at most"),
        ({"delay_p95_ms": 40.1}, "delay p95 at most"),
        ({"concealed": (0.051, 0.0)}, "of the sine concealed"),
        ({"concealed": (0.0, 0.011)}, "of the speech concealed"),
    ],
)
def test_each_figure_is_judged_separately(changes: dict[str, Any], missed: str) -> None:
    (goal,) = judge(**changes)
    assert missed in goal


def test_clean_network_requires_30_percent_less_delay() -> None:
    assert judge("clean", delay_ms=21.0, delay_p95_ms=28.0) == []
    assert len(judge("clean", delay_ms=21.1, delay_p95_ms=28.1)) == 2


@pytest.mark.parametrize(("pesq", "clicks", "missed"), [(3.41, 0, 0), (3.39, 0, 1), (3.5, 1, 1)])
def test_loss_with_redundancy_must_be_inaudible(pesq: float, clicks: int, missed: int) -> None:
    report = Report("test", "")
    ours = dataclasses.replace(THEIRS, pesq=pesq, clicks=clicks)
    quality._judge_inaudible(report, "5 % lost, RED", ours, THEIRS)
    assert len(report.missed) == missed


def test_goals_count_as_missed_without_chromium(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(browsers, "missing_chromium", lambda: "needs Debian's chromium")
    missed = quality.run(Stage())
    assert len(missed) == 1
    assert "LEFT OUT" in capsys.readouterr().out
    assert bench_main._summary(missed).startswith("1 goal missed or left out")
    assert bench_main._summary([]) == "every goal met"


def test_losses_come_in_bursts_and_not_in_calm_periods() -> None:
    calm = Network(loss=0.1, burst_packets=3, calm_at_s=(4.0, 12.0))
    came = {number for _, number in schedule(calm, 1000, 0.02, seed=2)}
    lost = [number for number in range(1000) if number not in came]
    assert 70 < len(lost) < 140
    assert not [number for number in lost if min(abs(number * 0.02 - at_s) for at_s in calm.calm_at_s) < 0.25]
    without = {number for _, number in schedule(dataclasses.replace(calm, calm_at_s=()), 1000, 0.02, seed=2)}
    assert without < came
