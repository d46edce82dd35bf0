"""Benchmarks with many listeners: the bare loop, the goals beside it, and the players' processes."""

from __future__ import annotations

import dataclasses
import socket
from pathlib import Path
from typing import Any

import pytest
from bench import __main__ as bench_main
from bench import limit, listeners
from bench.limit import FEW, MANY, MOST
from bench.listeners import BareLoop, Load, Table, Timing, our_server
from bench.report import Report
from bench.stage import Stage

from support import mediamtx
from support.farm import PlayerFarm
from support.patience import wait_until

TIMING = Timing({"p50": 3_000.0, "p99": 4_000.0, "max": 5_000.0}, late_frames=0)


def load(count: int, **changes: Any) -> Load:
    """Return the load of a server that uses 0.02 % of a core and 30 kB per listener."""
    made = Load(count, count, 0.02 * count, 60_000 + 30.0 * count, 10.0, 500 * count, 0, 10.0, 0, TIMING)
    return dataclasses.replace(made, **changes)


BARE = {count: load(count, cpu_percent=0.016 * count) for count in (FEW, MANY, MOST)}
THEIRS = {count: load(count, cpu_percent=0.06 * count) for count in (FEW, MANY)}


def judge(theirs: dict[int, Load] | None = THEIRS, count: int = MANY, **changes: Any) -> list[str]:
    """Return the goals missed by a server that differs with so many listeners."""
    report = Report("test", "")
    ours = {one: load(one) for one in (FEW, MANY, MOST)}
    limit.report_goals(report, BARE, ours | {count: load(count, **changes)}, theirs)
    return report.missed


def test_figures_at_the_goals_meet_them() -> None:
    assert judge() == []


@pytest.mark.parametrize(
    ("count", "changes", "missed"),
    [
        (MANY, {"cpu_percent": 10.1}, ["500 listeners: CPU at most 1.25 times", "500 listeners: CPU at most 1/3"]),
        (MANY, {"memory_kb": 75_100.0}, ["memory of each"]),
        (MANY, {"timing": Timing({"p99": 4_001.0}, 0)}, ["500 listeners: lateness p99 at most 4 ms: 4.00"]),
        (MOST, {"cpu_percent": 82.1}, ["82 % of a core"]),
        (MOST, {"timing": Timing({"p99": 12_001.0}, 0)}, ["2,000 listeners: lateness p99 at most 12 ms"]),
        (MOST, {"timing": Timing({"p99": 4_000.0}, 1)}, ["no late frame"]),
        (MOST, {"missing": 1}, ["no missing packet"]),
        (MOST, {"connect_s": 10.1}, ["connected within"]),
        (MOST, {"failed": 1}, ["no failed attempt"]),
    ],
)
def test_each_figure_beside_the_bare_loop_is_judged(count: int, changes: dict[str, Any], missed: list[str]) -> None:
    goals = judge(count=count, **changes)
    assert len(goals) == len(missed)
    assert all(part in goal for part, goal in zip(missed, goals, strict=True))


def test_server_that_lost_listeners_meets_no_goal_with_them() -> None:
    missed = judge(count=MOST, receiving=1_999)
    assert len(missed) == 6
    assert all("but 1 do not receive" in goal for goal in missed)


def test_goal_beside_mediamtx_counts_as_missed_without_its_binary(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(mediamtx, "binary", lambda: None)
    (goal,) = judge(theirs=None)
    assert "MediaMTX" in goal
    assert "LEFT OUT" in capsys.readouterr().out


def test_goal_beside_a_mediamtx_that_lost_listeners_counts_as_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mediamtx, "binary", lambda: "mediamtx")
    (goal,) = judge(THEIRS | {MANY: load(MANY, receiving=499)})
    assert "MediaMTX" in goal


def test_each_benchmark_is_named_in_the_documentation() -> None:
    page = (Path(__file__).parents[2] / "docs" / "internals" / "measurements.md").read_text(encoding="utf-8")
    assert [name for name in bench_main.BENCHMARKS if f"`{name}`" not in page] == []


def test_bare_loop_sends_packets_of_the_products_size() -> None:
    with BareLoop(Stage()) as loop, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(20.0)
        loop.connect(_Listening(receiver), 1)
        packets = [receiver.recv(2048) for _ in range(3)]
    assert [len(packet) for packet in packets] == 3 * [12 + 320 + 16]
    assert [packet[:4] for packet in packets] == [bytes((0x80, 111, 0, number)) for number in range(3)]
    assert len({packet[4:8] for packet in packets}) == 3
    assert len({packet[8:12] for packet in packets}) == 1
    assert len({packet[12:] for packet in packets}) == 3


class _Listening(PlayerFarm):
    """The one socket of a test in place of players."""

    def __init__(self, receiver: socket.socket) -> None:
        self._receiver = receiver

    def listen(self, host: str, port: int, count: int) -> list[tuple[str, int]]:
        return [self._receiver.getsockname()]


def test_senders_are_measured_beside_the_bare_loop(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(listeners, "SETTLE_S", 0.1)
    monkeypatch.setattr(listeners, "WINDOW_S", 0.5)
    table = Table(Stage(), Report("test", ""))
    bare = table.climb_bare((1, 3))
    ours = table.climb("ours", lambda: our_server(Stage(), 3), (1, 3))
    for loads in (bare, ours):
        assert all(load.packets > 0 and load.timing is not None for load in loads.values())
        assert [load.listeners for load in loads.values()] == [1, 3]
    assert {"bw-send", "bw-net", "bw-loop"} <= ours[3].threads.keys()
    assert "ours, 3 listeners" in capsys.readouterr().out


def test_players_of_two_processes_are_counted_together() -> None:
    with our_server(Stage(), 3) as server, PlayerFarm(network="127.0.1.0/24", workers=2) as farm:
        assert server.connect(farm, 3) == 0
        farm.reset()
        wait_until(lambda: min(farm.report().packets) > 0)
        report = farm.report()
        assert report.states == {"connected": 3}
        assert len(report.packets) == len(report.missing) == 3
        assert farm.disconnect() == {"200": 3}


def test_listener_that_cannot_connect_is_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(listeners, "SETTLE_S", 0.1)
    monkeypatch.setattr(listeners, "WINDOW_S", 0.5)
    table = Table(Stage(), Report("test", ""))
    loads = table.climb("ours", lambda: our_server(Stage(), 1, max_peers=1), (2,))
    assert (loads[2].receiving, loads[2].failed) == (1, listeners.TRIES)
    assert "1 receive" in capsys.readouterr().out
