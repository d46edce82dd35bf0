"""The live table, rendered from two snapshots."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from bass_webrtc.cli import live_table
from bass_webrtc.stats import ChannelStats, Lateness, PeerStats, ServerStats


def _shown(
    now: ServerStats, before: ServerStats | None = None, elapsed_s: float = 1.0, max_peers: int = 5
) -> list[str]:
    terminal = io.StringIO()
    Console(file=terminal, width=200).print(live_table.render(now, before or ServerStats(), elapsed_s, max_peers))
    return terminal.getvalue().splitlines()


def _peer(**changes: Any) -> PeerStats:
    return replace(PeerStats(id=3, kind="player", state="connected", connected_s=3725.0), **changes)


def _cells(row: str) -> list[str]:
    return [cell.strip() for cell in row.split("  ") if cell.strip()]


def test_summary_is_one_line_without_peers() -> None:
    lines = _shown(ServerStats(frames_sent=500, send_lateness_us=Lateness(p99=340), realtime_priority=True))
    assert lines == ["0 of 5 peers   500 frames   lateness 0.3 ms (p99)"]


def test_summary_lists_problems() -> None:
    stats = ServerStats(source_underruns=2, send_drops=3, source_ended=True, realtime_priority=False)
    (line,) = _shown(stats)
    assert "2 underruns" in line
    assert "3 packets dropped by the system" in line
    assert "source ended" in line
    assert "no real-time priority" in line


def test_single_channel_has_no_row() -> None:
    stats = ServerStats(channels=(ChannelStats("main", listeners=1),), peers=(_peer(channel="main"),))
    assert not any("main" in line for line in _shown(stats))


def test_several_channels_have_a_row_each_and_a_column_of_the_peers() -> None:
    jazz = ChannelStats("jazz", (128, 48), listeners=12, source_ended=True, send_lateness_us=Lateness(p99=2600))
    main = ChannelStats("main", (128,), listeners=1)
    shown = _shown(ServerStats(channels=(main, jazz), source_ended=True, peers=(_peer(channel="jazz"),)))
    assert "source ended" not in shown[0]  # The row of the channel says so.
    assert [_cells(line) for line in shown[2:5]] == [
        ["channel", "listeners", "kbit/s", "lateness", "source"],
        ["main", "1", "128", "0.0 ms"],
        ["jazz", "12", "128 48", "2.6 ms", "ended, sending silence"],
    ]
    assert _cells(shown[6])[-1] == "channel"
    assert _cells(shown[7])[-1] == "jazz"


def test_long_name_of_a_channel_is_cut_rather_than_the_figures() -> None:
    channels = (ChannelStats("main"), ChannelStats("x" * 64, (128, 48), listeners=12))
    terminal = io.StringIO()
    Console(file=terminal, width=80).print(live_table.render(ServerStats(channels=channels), ServerStats(), 1.0, 5))
    assert _cells(terminal.getvalue().splitlines()[4])[1:] == ["12", "128 48", "0.0 ms"]


def test_player_row_shows_the_rate_since_the_last_snapshot() -> None:
    before = ServerStats(peers=(_peer(bytes_sent=100_000),))
    after = _peer(
        bytes_sent=108_000,
        remote_address="192.0.2.7:50000",
        reports_received=7,
        fraction_lost=0.031,
        round_trip_time_ms=23.4,
        jitter_ms=1.6,
    )
    row = _shown(ServerStats(active_peers=1, peers=(after,)), before, elapsed_s=0.5)[-1]
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


def test_unknown_values_are_dashes() -> None:
    new = _peer(state="connecting", connected_s=0.0, bytes_sent=500)
    row = _shown(ServerStats(peers=(new,)))[-1]
    assert _cells(row) == [
        "3 player",
        "connecting",
        "-",
        "0:00:00",
        "-",
        "-",
        "-",
        "-",
    ]


def test_caller_row_shows_both_rates_and_the_higher_loss() -> None:
    before = _peer(kind="sendrecv", packets_received=100)
    after = replace(before, bytes_sent=16_000, bytes_received=8000, packets_received=200, fraction_lost=0.03)
    row = _cells(_shown(ServerStats(peers=(after,)), ServerStats(peers=(before,)))[-1])
    assert row[0] == "3 sendrecv"
    assert row[4:6] == ["↑ 128 ↓ 64", "3.0%"]


def _publisher(**changes: Any) -> PeerStats:
    return replace(_peer(kind="publisher"), **changes)


def test_publisher_row_shows_rate_loss_buffer_and_level() -> None:
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
    row = _shown(ServerStats(peers=(after,)), ServerStats(peers=(before,)), elapsed_s=1.0)[-1]
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
def test_meter_is_clamped_to_its_scale(level_dbfs: float, meter: str) -> None:
    row = _shown(ServerStats(peers=(_publisher(audio_level_dbfs=level_dbfs),)))[-1]
    assert row.rstrip().endswith("0 ms  " + meter)


@pytest.mark.parametrize(("lost", "received"), [(0, 0), (-3, 10), (-3, 3)])
def test_duplicates_and_silence_count_as_no_loss(lost: int, received: int) -> None:
    row = _shown(ServerStats(peers=(_publisher(packets_lost=lost, packets_received=received),)))[-1]
    assert "0.0%" in _cells(row)
