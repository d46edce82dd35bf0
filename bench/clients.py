"""Time from start to connected of a client, and resources left behind by 500 of them."""

from __future__ import annotations

from support.client_peers import ClientProcess
from support.server_process import ServerProcess

from .report import Report, quantile
from .stage import Stage

PROVES = """
A program may start and stop clients all day: one client connects and leaves 500 times. Its process then has the same
number of threads, descriptors and tasks as before, and less than 2 MB more memory than after the first 200. The clock
runs from start to connected: gathering, POST, full ICE, DTLS.
"""

CYCLES = 500
WARM_UP_CYCLES = 200
WANTED_MEMORY_KB = 2_000


def run(_stage: Stage) -> list[str]:
    """Measure and print; return the goals that were missed. Always runs on loopback."""
    report = Report("clients: start, connected, stop, 500 times", PROVES)
    report.row("", "p50", "p99", "max", "threads", "descriptors", "memory")
    for kind, path in (("push", "whip"), ("pull", "whep")):
        with ServerProcess() as server, ClientProcess(kind, server.url + path) as client:
            client.cycle(WARM_UP_CYCLES)
            before = client.ask("resources")
            waits = client.cycle(CYCLES)
            after = client.ask("resources")
            left = server.stats()["active_peers"]
        more = {name: after[name] - before[name] for name in ("threads", "descriptors", "tasks", "memory_kb")}
        figures = (quantile(waits, 0.5), quantile(waits, 0.99), max(waits))
        counts = (f"{more['threads']:+d}", f"{more['descriptors']:+d}", f"{more['memory_kb']:+d} kB")
        report.row(kind, *(f"{figure:.0f} ms" for figure in figures), *counts)
        names = ("threads", "descriptors", "tasks")
        report.goal(f"{kind}: no additional thread, descriptor or task", not any(more[name] for name in names))
        report.goal(f"{kind}: less than 2 MB of additional memory", more["memory_kb"] < WANTED_MEMORY_KB)
        report.goal(f"{kind}: only the last session is left on the server: {left}", left == 1)
    return report.missed
