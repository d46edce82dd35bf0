"""Cost of callers beside that of publishers, and the delay from one guest's microphone to another one's ear."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack
from typing import Any

import bass_webrtc as bw
from support import usage
from support.browsers import missing_chromium
from support.child import Child
from support.studio import open_chromium

from .realtime import SENDER_PRIORITY, realtime
from .report import Report, quantile
from .stage import Stage

PROVES = """
Twenty callers on air hear each other at the cost of twenty publishers and twenty encoders. All send 64 kbit/s of stereo
from a process of their own and hear 128 kbit/s of complexity 10; measured is the server's process alone, all threads,
while BASS's "no sound" device plays its mix. The longest call of the mix's STREAMPROC is the time for which a program's
playing thread is held; the longest mix is that of the sending thread, which includes decoding.

The delay is measured by clicks from the microphone of one guest to the ear of another one, both in one page of
Chromium, on one clock: the frame's own length, both look-aheads of Opus, the jitter buffers of server and browser, and
the mix. Without the first 5 s, with frames of 20 ms.
"""

CALLERS = 20
SETTLE_S = 5.0
WINDOW_S = 15.0
WANTED_ENCODER_PERCENT = 1.6
WANTED_PLAYOUT_MS = 3.0
WANTED_P50_MS = 90.0
EAR_SETTLE_S, EAR_S = 5.0, 20.0


def run(stage: Stage) -> list[str]:
    """Measure and print; return the goals that were missed."""
    report = Report(f"calls: {CALLERS} callers, and from microphone to ear", PROVES)
    report.row("", "CPU", "each", "longest call", "longest mix", "late frames", "concealed")
    with realtime():
        publisher_percent, _ = _measure(stage, report, "publishers", None)
        caller_percent, stats = _measure(stage, report, "callers", "on_air")
    wanted = WANTED_ENCODER_PERCENT + publisher_percent
    report.goal(
        f"a caller at most {WANTED_ENCODER_PERCENT} % of a core more than a publisher: "
        f"{caller_percent - publisher_percent:.2f} %",
        caller_percent <= wanted,
    )
    playout_ms = stats["wall_us"] / 1000
    report.goal(f"playing thread under {WANTED_PLAYOUT_MS:.0f} ms: {playout_ms:.2f}", playout_ms < WANTED_PLAYOUT_MS)
    report.goal(f"nobody concealed: {stats['concealed']} samples", stats["concealed"] == 0)
    report.goal(f"no late frame: {stats['late']}", stats["late"] == 0)
    _measure_delay(report)
    return report.missed


def _measure(stage: Stage, report: Report, what: str, calls: str | None) -> tuple[float, dict[str, Any]]:
    """Return the percent of a core that each of the peers costs, and what was counted meanwhile."""
    config = {"max_peers": 2 * CALLERS, "http_host": stage.address}
    if calls is not None:
        config |= {"calls": calls, "max_calls": CALLERS}
    with ExitStack() as stack:
        with realtime(SENDER_PRIORITY):
            senders = stack.enter_context(Child("bench.caller_worker", host=stage.players))
        receiver = stack.enter_context(Child("bench.receiver_worker", json.dumps(config), "mix", host=stage.server))
        url = receiver.read_line()
        idle = _percent(receiver.pid)
        senders.ask("call", url=url if calls is None else url.removesuffix("whip") + "call", count=CALLERS)
        time.sleep(SETTLE_S)
        before, stats_before = receiver.ask("receivers"), receiver.ask("stats")
        heard_before = senders.ask("states")
        percent = (_percent(receiver.pid) - idle) / CALLERS
        after, stats_after = receiver.ask("receivers"), receiver.ask("stats")
        heard_after = senders.ask("states")
    concealed = sum(peer["concealed_samples"] for peer in after["peers"]) - sum(
        peer["concealed_samples"] for peer in before["peers"]
    )
    if calls is not None:
        concealed += sum(heard_after["concealed"]) - sum(heard_before["concealed"])
    late = stats_after["late_frames"] - stats_before["late_frames"]
    report.row(
        f"{CALLERS} {what}",
        f"{percent * CALLERS:.1f} %",
        f"{percent:.3f} %",
        f"{after['wall_us'] / 1000:.2f} ms",
        f"{stats_after['call_mix_max_us'] / 1000:.2f} ms" if calls is not None else "",
        late,
        concealed,
    )
    return percent, {"wall_us": after["wall_us"], "concealed": concealed, "late": late}


def _percent(pid: int) -> float:
    used_s, start_s = usage.cpu_s(pid), time.monotonic()
    time.sleep(WINDOW_S)
    return 100 * (usage.cpu_s(pid) - used_s) / (time.monotonic() - start_s)


def _measure_delay(report: Report) -> None:
    goal = f"p50 from microphone to ear at most {WANTED_P50_MS:.0f} ms"
    missing = missing_chromium()
    if missing is not None:
        report.skipped_goal(goal, missing)
        return
    with realtime(), open_chromium() as studio, bw.Server(None, studio.config(calls="on_air")) as server:
        server.start()
        tab = studio.browser.open(f"{studio.pages.origin}/call_pair.html")
        url = json.dumps(f"{server.url}call")
        found = tab.evaluate(f"pair.measure({url}, {EAR_SETTLE_S}, {EAR_S})")
        buffers_ms = [call.stats().peer.jitter_buffer_ms for call in server.calls]
    delays_ms = found["delaysMs"]
    report.row("", "p50", "p99", "max", "heard", "jitter buffer")
    report.row(
        "microphone to ear",
        *(f"{value:.1f} ms" for value in (quantile(delays_ms, 0.5), quantile(delays_ms, 0.99), max(delays_ms))),
        f"{len(delays_ms)}/{found['sent']}",
        f"{max(buffers_ms):.1f} ms",
    )
    p50_ms = quantile(delays_ms, 0.5)
    report.goal(f"{goal}: {p50_ms:.1f}", p50_ms <= WANTED_P50_MS and len(delays_ms) >= 0.95 * found["sent"])
