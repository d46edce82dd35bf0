"""CPU and memory per additional peer, compared with unmodified aiortc."""

from __future__ import annotations

import time
from dataclasses import dataclass

from support import usage
from support.child import Child
from support.farm import PlayerFarm
from support.server_process import ServerProcess

from .report import Report
from .stage import Stage

PROVES = """
An additional listener costs next to nothing: Opus runs once per frame for any number of peers, and a peer adds a
header, a cipher and its share of a system call. Players complete ICE and DTLS and count 128 kbit/s of packets in a
process of their own; measured is the server process alone, all threads, user and system time. aiortc, in the same run,
sends pre-encoded packets: what it would spend on encoding once per peer does not count against it.
"""

PEER_COUNTS = (50, 200, 500)
AIORTC_PEERS = 50
MEASURE_S = 10.0


@dataclass(frozen=True)
class Load:
    """Resources that a server process uses with some peers."""

    peers: int
    cpu_percent: float
    """Percent of one core."""
    memory_kb: float


def run(stage: Stage) -> list[str]:
    """Measure and print; return the goals that were missed."""
    report = Report("fan-out: what one more listener costs", PROVES)
    report.row("", "CPU", "per peer", "memory/peer", "missing")
    ours = _measure_ours(stage, report)
    # From the first step on: one-time allocations of the process are not a cost per peer.
    more = _per_peer(ours[1], ours[-1])
    report.goal(f"at most 0.05 % of a core per additional peer: {more.cpu_percent:.4f} %", more.cpu_percent <= 0.05)
    report.goal(f"at most 60 kB of memory per additional peer: {more.memory_kb:.1f} kB", more.memory_kb <= 60)
    if stage.server is not None:
        theirs = _measure_aiortc(stage, report)
        share = _per_peer(ours[0], ours[1]).cpu_percent / _per_peer(*theirs).cpu_percent
        report.goal(f"at most 1/5 of aiortc per peer, both with {AIORTC_PEERS}: 1/{1 / share:.1f}", share <= 0.2)
    else:
        report.skipped_goal("at most 1/5 of aiortc per peer", stage.missing)
    return report.missed


def _measure_ours(stage: Stage, report: Report) -> list[Load]:
    config = {"http_host": stage.address, "max_peers": max(PEER_COUNTS)}
    with ServerProcess(stage.server, **config) as server, PlayerFarm(stage.players) as farm:
        return _climb("bass-webrtc", server.pid, farm, server.whep_url, PEER_COUNTS, report)


def _measure_aiortc(stage: Stage, report: Report) -> list[Load]:
    with Child("bench.aiortc_server", stage.address, host=stage.server) as server, PlayerFarm(stage.players) as farm:
        url = f"http://{stage.address}:{server.read_line()}/whep"
        return _climb("aiortc, pre-encoded", server.pid, farm, url, (AIORTC_PEERS,), report)


def _climb(name: str, pid: int, farm: PlayerFarm, url: str, counts: tuple[int, ...], report: Report) -> list[Load]:
    """Add peers in steps, starting with one, so that starting the encoder does not count as a cost per peer."""
    farm.connect(url)
    loads = [_load(pid, 1)]
    report.row(f"{name}, 1 peer", f"{loads[0].cpu_percent:.2f} %", "", "", "")
    for count in counts:
        farm.connect(url, count - loads[-1].peers)
        farm.reset()
        loads.append(_load(pid, count))
        received = farm.report()
        added = _per_peer(loads[-2], loads[-1])
        report.row(
            f"{name}, {count} peers",
            f"{loads[-1].cpu_percent:.2f} %",
            f"{added.cpu_percent:.4f} %",
            f"{added.memory_kb:.1f} kB",
            f"{sum(received.missing)}/{sum(received.packets)}",
        )
    return loads


def _load(pid: int, peers: int) -> Load:
    before_s, start_s = usage.cpu_s(pid), time.monotonic()
    time.sleep(MEASURE_S)
    used_s, seconds = usage.cpu_s(pid) - before_s, time.monotonic() - start_s
    return Load(peers, 100 * used_s / seconds, usage.memory_kb(pid))


def _per_peer(less: Load, more: Load) -> Load:
    added = more.peers - less.peers
    return Load(1, (more.cpu_percent - less.cpu_percent) / added, max(0.0, (more.memory_kb - less.memory_kb) / added))
