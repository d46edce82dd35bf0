"""Punctuality of many channels on one server."""

from __future__ import annotations

import time

from support import usage
from support.server_process import ServerProcess

from .listeners import IN_FLIGHT, SETTLE_S, WINDOW_S, player_farm
from .report import Report
from .stage import Stage

PROVES = """
A server with many stations sends each of them as punctually as one: every channel has a thread and a phase of its own
within the frame time, so that their encoders do not run at the same moment. Lateness is the time from a frame's
deadline until its last packet was passed to the system, over 10 s.
"""

CHANNELS = 20
LISTENERS = 10
WANTED_P99_MS = 2.0


def run(stage: Stage) -> list[str]:
    """Measure and print; return the goals that were missed."""
    report = Report(f"channels: {CHANNELS} of them, {LISTENERS} listeners each", PROVES)
    peers = CHANNELS * LISTENERS
    config = {"http_host": stage.address, "max_peers": 2 * peers}
    with ServerProcess(stage.server, **config) as server, player_farm(stage) as farm:
        names = ["main", *server.add_channels(CHANNELS - 1)]
        for name in names:
            farm.connect(f"{server.whep_url}/{name}", LISTENERS, in_flight=IN_FLIGHT)
        time.sleep(SETTLE_S)
        before = {channel["name"]: channel["late_frames"] for channel in server.stats()["channels"]}
        farm.reset()
        used_s, start_s = usage.cpu_s(server.pid), time.monotonic()
        time.sleep(WINDOW_S)
        percent = 100 * (usage.cpu_s(server.pid) - used_s) / (time.monotonic() - start_s)
        received, channels = farm.report(), server.stats()["channels"]
    late = sum(channel["late_frames"] - before[channel["name"]] for channel in channels)
    p99_ms, max_ms = (max(channel["send_lateness_us"][key] for channel in channels) / 1000 for key in ("p99", "max"))
    receiving = sum(packets > 0 for packets in received.packets)
    report.row("", "CPU", "p99 at worst", "max", "late frames", "missing")
    report.row(
        f"{CHANNELS} channels, {peers} listeners",
        f"{percent:.1f} %",
        f"{p99_ms:.2f} ms",
        f"{max_ms:.2f} ms",
        late,
        f"{sum(received.missing)}/{sum(received.packets)}",
    )
    report.goal(f"p99 of each channel at most {WANTED_P99_MS:.0f} ms: {p99_ms:.2f}", p99_ms <= WANTED_P99_MS)
    report.goal(f"no late frame: {late}", late == 0)
    report.goal(f"nothing missing at {receiving} of {peers}", sum(received.missing) == 0 and receiving == peers)
    return report.missed
