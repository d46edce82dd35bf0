"""Verdicts of the benchmarks: a goal that was not measured counts as missed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bench import __main__ as bench_main
from bench import comparison, pictures, quality, signals
from bench.comparison import CHROMIUM, Moment, Stream, Trial
from bench.impairment import Case, Network, Route, Storm, schedule
from bench.report import Report
from bench.stage import Stage
from bench.verdicts import Verdict, normal_after_s, recovered_after_s

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


def test_concealed_share_beside_chromium_includes_joins_as_neteq_counts() -> None:
    names = ("removed_samples_for_acceleration", "total_samples_received", "jitter_buffer_delay_s")
    more = ("jitter_buffer_emitted_count", "jitter_buffer_target_ms", "late_packets")
    peer = dict.fromkeys((*names, *more), 1.0)
    moment = comparison._our_moment(0.0, peer | {"concealed_samples": 960, "join_delay_samples": -60})
    assert (moment.concealed, moment.concealed_w3c) == (900, 960)


def test_clean_network_requires_30_percent_less_delay() -> None:
    assert judge("clean", delay_ms=21.0, delay_p95_ms=28.0) == []
    assert len(judge("clean", delay_ms=21.1, delay_p95_ms=28.1)) == 2


@pytest.mark.parametrize(("pesq", "clicks", "missed"), [(3.41, 0, 0), (3.39, 0, 1), (3.5, 1, 1)])
def test_loss_with_redundancy_must_be_inaudible(pesq: float, clicks: int, missed: int) -> None:
    report = Report("test", "")
    ours = dataclasses.replace(THEIRS, pesq=pesq, clicks=clicks)
    quality._judge_inaudible(report, "5 % lost, RED", ours, THEIRS)
    assert len(report.missed) == missed


@pytest.mark.parametrize(
    ("changes", "missed"), [({"clicks": 1}, "clicks"), ({"pesq": 3.42}, "PESQ"), ({"pesq": 3.44}, None)]
)
def test_sound_must_be_as_good_as_chromiums(changes: dict[str, Any], missed: str | None) -> None:
    report = Report("test", "")
    quality._judge_sound(report, "jitter", dataclasses.replace(THEIRS, **changes), THEIRS)
    assert [missed in goal for goal in report.missed if missed] == ([True] if missed else [])
    assert len(report.missed) == (missed is not None)


@pytest.mark.parametrize(("pesq", "missed"), [(3.64, 1), (3.66, 0)])
def test_enhancement_must_be_audible(pesq: float, missed: int) -> None:
    report = Report("test", "")
    enhanced = dataclasses.replace(THEIRS, pesq=pesq)
    verdicts = {quality.PLAIN: THEIRS, quality.ENHANCED: enhanced, CHROMIUM: THEIRS}
    quality._judge_enhanced(report, "jitter", verdicts)
    assert len(report.missed) == missed


def stream_with(delays_ms: Callable[[float], float], concealed_until_s: float = 0.0) -> Stream:
    """Return a stream with this delay at each time, and a sine that is silent and concealed from 13 s on."""
    moments, delay_s = [], 0.0
    for number in range(231):
        at_s = number / 10
        delay_s += delays_ms(at_s) / 1000 * 4800
        concealed = 480 * max(0, min(number, round(10 * concealed_until_s)) - 130)
        moments.append(Moment(at_s, concealed, 0, 4800 * number, delay_s, 4800 * number, 20.0, 0))
    samples = np.repeat(signals.sine(23.0)[:, :1], 2, axis=1)
    samples[13 * 48_000 : max(13, round(concealed_until_s * 48_000))] = 0
    return Stream(moments, samples, recorded_from_s=0.0)


def test_packets_delivered_late_by_the_machine_are_noticed() -> None:
    case = Case(Network(duplicate=0.1))
    polls = [{"timestamp": 1000 * (100 + at_s), "packetsReceived": round(50 * at_s)} for at_s in range(1, 23)]
    assert comparison._stall_ms(polls, case, start_s=100.0) <= 0.01
    polls[11]["packetsReceived"] -= 15
    assert comparison._stall_ms(polls, case, start_s=100.0) == pytest.approx(300, abs=0.01)


def test_measurement_is_repeated_after_a_stall(monkeypatch: pytest.MonkeyPatch) -> None:
    stalls_ms = [400.0, 20.0]
    case = Case(Network())
    monkeypatch.setattr(quality, "compare", lambda cases, _: [Trial(one, {}, 1.0, stalls_ms.pop(0)) for one in cases])
    ((name, trial),) = quality._trials({"clean": case}, {})
    assert (name, trial.stall_ms, stalls_ms) == ("clean", 20.0, [])


def test_delay_is_normal_once_it_stays_near_the_last_seconds() -> None:
    stream = stream_with(lambda at_s: 120.0 if 15 < at_s < 17.05 else 30.0)
    assert normal_after_s(stream, 15.0) == pytest.approx(2.0)
    assert normal_after_s(stream_with(lambda _: 30.0), 15.0) == 0.0


def test_sound_has_recovered_once_nothing_is_concealed_or_silent() -> None:
    stream = stream_with(lambda _: 20.0, concealed_until_s=15.3)
    assert recovered_after_s(stream, 15.0) == pytest.approx(0.3, abs=0.011)
    only_silent = dataclasses.replace(stream, moments=stream_with(lambda _: 20.0).moments)
    assert recovered_after_s(only_silent, 15.0) == pytest.approx(0.3, abs=0.011)
    only_concealed = dataclasses.replace(stream, samples=stream_with(lambda _: 20.0).samples)
    assert recovered_after_s(only_concealed, 15.0) == pytest.approx(0.3, abs=0.011)
    assert recovered_after_s(stream_with(lambda _: 20.0), 15.0) == 0.0


def test_storm_burst_and_route_have_goals_of_their_own() -> None:
    slow = stream_with(lambda at_s: 120.0 if at_s < 1.5 or 15 < at_s < 19 else 30.0, concealed_until_s=15.3)
    network = Network(ahead_s=0.65, routes=(Route(9, 100), Route(15, 0)), storms=(Storm(13, 2),))
    pair = (slow, slow)
    trial = Trial(Case(network), {quality.PLAIN: pair, CHROMIUM: pair}, late_ms=1.0)
    report = Report("test", "")
    quality._judge_events(report, "all", trial)
    assert [goal.split(":")[1] for goal in report.missed] == [
        " normal delay 1 s after start-up burst",
        " normal delay 3 s after faster route",
        " sound 0.2 s after the storm",
    ]


def test_missed_goals_are_drawn(tmp_path: Path) -> None:
    pair = (stream_with(lambda _: 20.0), stream_with(lambda at_s: 20.0 + at_s, concealed_until_s=14.0))
    trial = Trial(Case(Network(loss=0.05)), {quality.PLAIN: pair, CHROMIUM: pair}, late_ms=1.0)
    path = pictures.draw(tmp_path, "5 % lost, jitter", trial, ["a goal"], receiver=quality.PLAIN)
    assert path == tmp_path / "5-lost-jitter.png"
    assert path.read_bytes().startswith(b"\x89PNG")


def test_silence_is_left_out_as_libopus_does() -> None:
    frames = 100
    samples = np.full((frames * 960, 1), 0.1, np.float32)
    samples[10 * 960 : 60 * 960] = 0
    sent = signals.leave_out_silence([b"\x58packet"] * frames, samples, signals.SPEECH)
    announcements = [number for number, packet in enumerate(sent) if packet == b"\x58"]
    left_out = [number for number, packet in enumerate(sent) if not packet]
    assert announcements == [20, 41]
    assert left_out == [*range(21, 40), *range(42, 60)]


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
