"""What the terminal shows, from two snapshots."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from bass_webrtc.cli import live_table
from bass_webrtc.stats import Lateness, PeerStats, ServerStats


def _shown(now: ServerStats, before: ServerStats | None = None, passed_s: float = 1.0, max_peers: int = 5) -> list[str]:
    terminal = io.StringIO()
    Console(file=terminal, width=200).print(live_table.render(now, before or ServerStats(), passed_s, max_peers))
    return terminal.getvalue().splitlines()


def _peer(**changes: Any) -> PeerStats:
    return replace(PeerStats(id=3, kind="player", state="connected", connected_s=3725.0), **changes)


def _cells(row: str) -> list[str]:
    return [cell.strip() for cell in row.split("  ") if cell.strip()]


def test_without_peers_one_line_says_how_the_server_is() -> None:
    lines = _shown(ServerStats(frames_sent=500, send_lateness_us=Lateness(p99=340), realtime_priority=True))
    assert lines == ["0 of 5 peers   500 frames   late by 0.3 ms (p99)"]


def test_trouble_is_named_and_its_absence_is_not() -> None:
    stats = ServerStats(source_underruns=2, send_drops=3, source_ended=True, realtime_priority=False)
    (line,) = _shown(stats)
    assert "2 underruns" in line
    assert "3 packets not taken by the system" in line
    assert "source ended" in line
    assert "no real-time priority" in line


def test_each_peer_has_a_row_with_the_rate_since_the_last_snapshot() -> None:
    before = ServerStats(peers=(_peer(bytes_sent=100_000),))
    after = _peer(
        bytes_sent=108_000,
        remote_address="192.0.2.7:50000",
        fraction_lost=0.031,
        round_trip_time_ms=23.4,
        jitter_ms=1.6,
    )
    row = _shown(ServerStats(active_peers=1, peers=(after,)), before, passed_s=0.5)[-1]
    assert _cells(row) == [
        "3 player",
        "connected",
        "192.0.2.7:50000",
        "1:02:05",
        "↑ 128",
        "3.1%",
        "23 ms",
        "2 ms",
    ]


def test_what_is_not_known_yet_is_a_dash() -> None:
    new = _peer(state="connecting", connected_s=0.0, bytes_sent=500)
    row = _shown(ServerStats(peers=(new,)))[-1]
    assert _cells(row) == [
        "3 player",
        "connecting",
        "-",
        "0:00:00",
        "-",
        "0.0%",
        "-",
        "0 ms",
    ]


def test_who_talks_and_listens_has_both_rates_and_the_greater_loss() -> None:
    before = _peer(kind="sendrecv", packets_received=100)
    after = replace(before, bytes_sent=16_000, bytes_received=8000, packets_received=200, fraction_lost=0.03)
    row = _cells(_shown(ServerStats(peers=(after,)), ServerStats(peers=(before,)))[-1])
    assert row[0] == "3 sendrecv"
    assert row[4:6] == ["↑ 128 ↓ 64", "3.0%"]


def _publisher(**changes: Any) -> PeerStats:
    return replace(_peer(kind="publisher"), **changes)


def test_a_publisher_has_the_rate_that_it_sends_its_loss_since_the_last_snapshot_its_buffer_and_its_level() -> None:
    before = _publisher(bytes_received=1000, packets_received=100, packets_lost=50)
    after = _publisher(
        bytes_received=9000,
        bytes_sent=100_000,
        packets_received=195,
        packets_lost=55,
        jitter_ms=4.0,
        jitter_buffer_ms=41.6,
        audio_level_dbfs=-24.2,
    )
    row = _shown(ServerStats(peers=(after,)), ServerStats(peers=(before,)), passed_s=1.0)[-1]
    assert _cells(row) == [
        "3 publisher",
        "connected",
        "-",
        "1:02:05",
        "↓ 64",
        "5.0%",
        "-",
        "4 ms",
        "42 ms",
        "━━━━━━──── -24 dB",
    ]


@pytest.mark.parametrize(
    ("level_dbfs", "meter"),
    [
        (-127.0, "──────────  silent"),
        (-60.0, "────────── -60 dB"),
        (-54.0, "━───────── -54 dB"),
        (0.0, "━━━━━━━━━━ 0 dB"),
        (3.0, "━━━━━━━━━━ 3 dB"),
    ],
)
def test_the_meter_ends_where_the_scale_does(level_dbfs: float, meter: str) -> None:
    row = _shown(ServerStats(peers=(_publisher(audio_level_dbfs=level_dbfs),)))[-1]
    assert row.rstrip().endswith("0 ms  " + meter)


@pytest.mark.parametrize(("lost", "received"), [(0, 0), (-3, 10), (-3, 3)])
def test_duplicates_and_silence_are_no_loss(lost: int, received: int) -> None:
    row = _shown(ServerStats(peers=(_publisher(packets_lost=lost, packets_received=received),)))[-1]
    assert "0.0%" in _cells(row)
