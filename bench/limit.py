"""Distance of the server from the least that a sender can cost, with up to 2,000 listeners; or its endurance."""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping

from support import mediamtx, usage

from .listeners import (
    FARM_WORKERS,
    IN_FLIGHT,
    SETTLE_S,
    Load,
    Table,
    Timing,
    added_memory_kb,
    aiortc_server,
    mediamtx_server,
    our_server,
    player_farm,
)
from .report import Report
from .stage import Stage

PROVES = f"""
A listener costs little more than it must. The bare loop encrypts and sends the same packets in the same batches at the
same deadlines and does nothing else: no encoder, no ICE, no RTCP, one thread. Its receivers are read as often as the
players, because a sender pays for waking its receivers. All figures beside it are multiples of it, of the same number
of listeners: the processor time of the process alone, all threads, user and system time. MediaMTX relays one stream and
aiortc sends pre-encoded packets: neither encodes. Lateness is the time from a frame's deadline until its last packet
was passed to the system, over 10 s; a late frame is over 20 ms late. Memory is per listener added since the line
before. Each player has an IP address of its own, and {FARM_WORKERS * IN_FLIGHT} connect at a time.

With --minutes, 2,000 listeners stay for so long, of whom 500 leave and come back every minute.
"""

PEER_COUNTS = FEW, MANY, MOST = (50, 500, 2_000)
WANTED_MULTIPLE = 1.25
WANTED_SHARE_OF_MEDIAMTX = 1 / 3
WANTED_MEMORY_KB = 30.0
WANTED_P99_MS = 4.0
WANTED_MOST_PERCENT = 82.0
WANTED_MOST_P99_MS = 12.0
WANTED_CONNECT_S = 10.0
LEAVERS = 500
MINUTE_S = 60.0

Loads = Mapping[int, Load]


def run(stage: Stage, minutes: float = 0.0) -> list[str]:
    """Measure and print; return the goals that were missed.

    Args:
        stage: Where the processes run.
        minutes: How long listeners stay while some of them leave and come back; 0 leaves this out.
    """
    report = Report("limit: bass-webrtc beside a bare loop in C", PROVES)
    table = Table(stage, report)
    bare = table.climb_bare(PEER_COUNTS)
    ours = table.climb("bass-webrtc", lambda: our_server(stage, MOST), PEER_COUNTS)
    theirs: Loads | None = None
    if mediamtx.missing() is None:
        theirs = table.climb("MediaMTX, relays", lambda: mediamtx_server(stage), PEER_COUNTS)
    if stage.server is not None:
        table.climb("aiortc, pre-encoded", lambda: aiortc_server(stage), (FEW,))
    _report_threads(report, ours)
    report_goals(report, bare, ours, theirs)
    if minutes > 0:
        _endure(stage, report, minutes)
    return report.missed


def _report_threads(report: Report, ours: Loads) -> None:
    """Print where the server's time goes."""
    threads = ours[MANY].threads
    names = sorted((name for name in threads if threads[name] > 0), key=lambda name: -threads[name])
    report.row("bass-webrtc, by thread", *names)
    for load in ours.values():
        report.row(f"{load.listeners:,} listeners", *(f"{load.threads.get(name, 0.0):.2f} %" for name in names))


def report_goals(report: Report, bare: Loads, ours: Loads, theirs: Loads | None) -> None:
    """Print the goals; ``theirs`` are MediaMTX's loads, if it was measured."""
    many, most = ours[MANY], ours[MOST]
    multiple = many.cpu_percent / bare[MANY].cpu_percent
    _report_goal(report, many, f"CPU at most {WANTED_MULTIPLE} times the bare loop's", multiple, WANTED_MULTIPLE)
    of_mediamtx = "CPU at most 1/3 of MediaMTX's"
    if theirs is None or theirs[MANY].receiving < MANY:
        report.skipped_goal(f"{MANY} listeners: {of_mediamtx}", mediamtx.missing() or "it did not serve all of them")
    else:
        share = many.cpu_percent / theirs[MANY].cpu_percent
        _report_goal(report, many, of_mediamtx, share, WANTED_SHARE_OF_MEDIAMTX)
    memory_kb = added_memory_kb(ours[FEW], many)
    _report_goal(report, many, f"memory of each at most {WANTED_MEMORY_KB:.0f} kB", memory_kb, WANTED_MEMORY_KB)
    _report_p99(report, many, WANTED_P99_MS)
    _report_goal(report, most, f"at most {WANTED_MOST_PERCENT:.0f} % of a core", most.cpu_percent, WANTED_MOST_PERCENT)
    late_frames = _report_p99(report, most, WANTED_MOST_P99_MS).late_frames
    _report_goal(report, most, "no late frame", late_frames, 0)
    _report_goal(report, most, "no missing packet", most.missing, 0)
    _report_goal(report, most, f"connected within {WANTED_CONNECT_S:.0f} s", most.connect_s, WANTED_CONNECT_S)
    _report_goal(report, most, "no failed attempt to connect", most.failed, 0)


def _report_p99(report: Report, load: Load, wanted_ms: float) -> Timing:
    assert load.timing is not None
    p99_ms = load.timing.lateness_us["p99"] / 1000
    _report_goal(report, load, f"lateness p99 at most {wanted_ms:.0f} ms", p99_ms, wanted_ms)
    return load.timing


def _report_goal(report: Report, load: Load, what: str, figure: float, at_most: float) -> None:
    """Print a goal, which is missed if not all listeners receive, because that is cheaper."""
    lost = load.listeners - load.receiving
    found = f"{figure:.2f}" if isinstance(figure, float) else str(figure)
    report.goal(
        f"{load.listeners:,} listeners: {what}: {found}{f', but {lost:,} do not receive' if lost else ''}",
        figure <= at_most and not lost,
    )


def _endure(stage: Stage, report: Report, minutes: float) -> None:
    """Let some of the most listeners leave and come back every minute; print what it did to all."""
    report.row("endurance", "CPU", "memory", "late frames", "skipped", "missing", "came back in", "receiving")
    missing = late_frames = lost = 0
    with our_server(stage, MOST) as server, player_farm(stage) as farm:
        server.connect(farm, MOST)
        time.sleep(SETTLE_S)
        server.timing()
        farm.reset()
        memory_kb = [usage.memory_kb(server.pid)]
        end_s = time.monotonic() + MINUTE_S * minutes
        for minute in itertools.count(1):
            start_s, used_s = time.monotonic(), usage.cpu_s(server.pid)
            farm.disconnect(LEAVERS)
            connect_s = time.monotonic()
            server.connect(farm, LEAVERS)
            connect_s = time.monotonic() - connect_s
            time.sleep(max(0.0, min(end_s, start_s + MINUTE_S) - time.monotonic()))
            received, timing = farm.report(), server.timing()
            farm.reset()
            missed = sum(received.missing) + timing.skipped * MOST
            missing, late_frames = missing + missed, late_frames + timing.late_frames
            receiving = sum(packets > 0 for packets in received.packets)
            lost = max(lost, MOST - receiving)
            memory_kb.append(usage.memory_kb(server.pid))
            report.row(
                f"minute {minute}, {LEAVERS} left and came back",
                f"{100 * (usage.cpu_s(server.pid) - used_s) / (time.monotonic() - start_s):.1f} %",
                f"{memory_kb[-1]:,} kB",
                timing.late_frames,
                timing.skipped,
                f"{missed}/{sum(received.packets)}",
                f"{connect_s:.1f} s",
                f"{receiving:,}",
            )
            if time.monotonic() >= end_s:
                break
    report.row("memory at start and end", "", f"{memory_kb[0]:,} kB", f"{memory_kb[-1]:,} kB")
    report.goal(f"no late frame in {minutes:g} minutes: {late_frames}", late_frames == 0)
    report.goal(f"no missing packet in {minutes:g} minutes: {missing}", missing == 0)
    report.goal(f"no listener lost in {minutes:g} minutes: at most {lost:,} at once", lost == 0)
