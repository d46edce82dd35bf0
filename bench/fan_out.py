"""CPU and memory per additional peer, compared with a bare loop in C and with unmodified aiortc."""

from __future__ import annotations

from .listeners import Table, added_cpu_percent, added_memory_kb, aiortc_server, our_server
from .report import Report
from .stage import Stage

PROVES = """
An additional listener costs next to nothing: Opus runs once per frame for any number of peers, and a peer adds a
header, a cipher and its share of a system call. Players complete ICE and DTLS and count 128 kbit/s of packets in
processes of their own; measured is the server process alone, all threads, user and system time. A bare loop in C, in
the same run, encrypts and sends the same packets and does nothing else; its receivers are read as the others. aiortc
sends pre-encoded packets: what it would spend on encoding once per peer does not count against it. Memory is per
listener added since the line before.
"""

PEER_COUNTS = (1, 50, 200, 500)
AIORTC_PEERS = 50


def run(stage: Stage) -> list[str]:
    """Measure and print; return the goals that were missed."""
    report = Report("fan-out: what one more listener costs", PROVES)
    table = Table(stage, report)
    table.climb_bare(PEER_COUNTS)
    ours = table.climb("bass-webrtc", lambda: our_server(stage, PEER_COUNTS[-1]), PEER_COUNTS)
    # From the second step on: one-time allocations of the process are not a cost per peer.
    fewer, more = ours[PEER_COUNTS[1]], ours[PEER_COUNTS[-1]]
    cpu_percent, memory_kb = added_cpu_percent(fewer, more), added_memory_kb(fewer, more)
    report.goal(f"at most 0.05 % of a core per additional peer: {cpu_percent:.4f} %", cpu_percent <= 0.05)
    report.goal(f"at most 60 kB of memory per additional peer: {memory_kb:.1f} kB", memory_kb <= 60)
    if stage.server is not None:
        theirs = table.climb("aiortc, pre-encoded", lambda: aiortc_server(stage), (1, AIORTC_PEERS))
        share = added_cpu_percent(ours[1], ours[AIORTC_PEERS]) / added_cpu_percent(theirs[1], theirs[AIORTC_PEERS])
        report.goal(f"at most 1/5 of aiortc per peer, both with {AIORTC_PEERS}: 1/{1 / share:.1f}", share <= 0.2)
    else:
        report.skipped_goal("at most 1/5 of aiortc per peer", stage.missing)
    return report.missed
