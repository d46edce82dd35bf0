"""Cost of an additional publisher, compared with unmodified aiortc; and how long BASS's thread is held."""

from __future__ import annotations

import dataclasses
import json
import time
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np

from bass_webrtc.core.libraries import libraries
from support import tones, usage
from support.child import Child

from . import signals
from .impairment import Case, Network
from .realtime import SENDER_PRIORITY, realtime
from .report import Report
from .stage import Stage

PROVES = """
A publisher costs little, and BASS never waits. Publishers send 128 kbit/s of stereo from a process of their own;
measured is the receiving process alone, all threads, user and system time. bass-webrtc decodes, mixes and plays on
BASS's "no sound" device; aiortc, in the same run, decodes and discards. Then five publishers send while threads of pure
Python run in the receiver. Measured are the longest call of the mix's STREAMPROC, in wall-clock time and in CPU time of
its thread, and the device's mix, recorded by a DSP in C: five equal sines add up to one sine, and each gap would be a
phase jump. Everything but the busy threads runs at real-time priority, so that other work on the machine is not
measured. For comparison: the worst lateness of a real-time thread that works half a millisecond every 20 ms. When a
call takes longer in wall-clock time than in CPU time, its thread waited for the processor, because bass-webrtc never
waits there. When a call takes over 1 ms, or the machine is over 1 ms late, the case is measured again, at most three
times, and the best counts: other work on the machine and its host can only add time.

With a libopus that enhances speech, twenty publishers then speak over a network that loses every tenth packet, with the
enhancement off, automatic and always on. With --minutes, the automatic one continues for as long. A block is late when
its call takes longer than the block lasts.
"""

PEER_COUNTS = (5, 20)
MEASURE_S = 10.0
ROUND_S = 30.0
FRAME_S = 0.02
SETTLE_S = 5.0
BUSY_THREADS = (0, 4)
BUSY_PEERS = 5
WANTED_SHARE = 1 / 3
WANTED_CALLBACK_US = 1_000
MACHINE_LATE_US = 1_000
TRIES = 3
SPEAKERS = 20
SPEAKERS_PER_NETWORK = 4
"""They lose the same packets at the same time, others lose others."""
SPEECH_LOSS = 0.1
WANTED_SPEECH_CALLBACK_US = 3_000


@dataclass(frozen=True)
class Callback:
    """One measurement of BASS's thread."""

    wall_us: float
    """The longest call in wall-clock time."""
    cpu_us: float
    """The longest call in CPU time of the thread."""
    calls_per_s: float
    jumps: int
    concealed: int
    machine_us: float
    """Worst lateness of a separate real-time thread during the same seconds."""


def run(stage: Stage, minutes: float = 0.0) -> list[str]:
    """Measure and print; return the goals that were missed.

    Args:
        stage: Where the processes run.
        minutes: How long to measure automatic enhancement; 0 for as long as everything else.
    """
    report = Report("receive: what one more publisher costs", PROVES)
    report.row("", "CPU", "per publisher", "decoded")
    config = json.dumps({"max_peers": max(PEER_COUNTS), "http_host": stage.address})
    with realtime(), Child("bench.receiver_worker", config, "mix", host=stage.server) as receiver:
        ours = _climb("bass-webrtc", receiver, lambda url: _our_frames(receiver), stage, report)
    if stage.server is not None and stage.players is not None:
        with ExitStack() as stack:
            stack.enter_context(realtime())
            baseline = stack.enter_context(Child("bench.aiortc_receiver", stage.address, host=stage.server))
            stack.enter_context(stage.players.entered())
            theirs = _climb("aiortc", baseline, _their_frames, stage, report)
        report.goal(f"at most 1/3 of aiortc per publisher: 1/{theirs / ours:.1f}", ours <= WANTED_SHARE * theirs)
    else:
        report.skipped_goal("at most 1/3 of aiortc per publisher", stage.missing)
    _measure_callbacks(stage, report)
    _measure_enhancement(stage, report, max(MEASURE_S, 60 * minutes))
    return report.missed


def _climb(name: str, receiver: Child, count_frames: Callable[[str], int], stage: Stage, report: Report) -> float:
    """Add publishers in steps; return the percent of a core per publisher."""
    url = receiver.read_line()
    idle = last = _cpu_percent(receiver.pid)
    report.row(f"{name}, 0 publishers", f"{idle:.2f} %", "", "")
    targets: list[int] = []
    with Child("bench.publisher_worker", host=stage.players) as sender:
        for count in PEER_COUNTS:
            targets += sender.ask("publish", url=url, count=count - len(targets))["targets"]
            _start(sender, targets, MEASURE_S + 2)
            time.sleep(1.0)
            before = count_frames(url)
            last = _cpu_percent(receiver.pid)
            decoded = (count_frames(url) - before) * FRAME_S / (MEASURE_S - 1) / count
            sender.ask("wait")
            cells = (f"{last:.2f} %", f"{(last - idle) / count:.3f} %", f"{decoded:.0%}")
            report.row(f"{name}, {count} publishers", *cells)
        sender.ask("close")
    return (last - idle) / PEER_COUNTS[-1]


def _our_frames(receiver: Child) -> int:
    peers = receiver.ask("receivers")["peers"]
    return int(sum(peer["jitter_buffer_emitted_count"] for peer in peers)) // signals.MUSIC.frame_samples


def _their_frames(url: str) -> int:
    with urllib.request.urlopen(url.removesuffix("whip") + "frames", timeout=10) as response:
        return int(response.read())


def _cpu_percent(pid: int) -> float:
    before_s, start_s = usage.cpu_s(pid), time.monotonic()
    time.sleep(MEASURE_S - 1)
    return 100 * (usage.cpu_s(pid) - before_s) / (time.monotonic() - start_s)


def _start(sender: Child, targets: list[int], seconds: float) -> None:
    _prepare(sender, "sine", targets, Case(Network()), seconds)
    sender.ask("start")


def _prepare(sender: Child, signal: str, targets: list[int], case: Case, seconds: float) -> None:
    jobs = [{"signal": signal, "targets": targets, "copies": case.copies}]
    run = {"arrivals": case.arrivals(seconds), "frame_ms": case.frame_ms, "jobs": jobs}
    sender.ask("prepare", runs=[run], seconds=seconds)


def _measure_callbacks(stage: Stage, report: Report) -> None:
    report.row("", "longest call", "CPU time", "calls", "phase jumps", "concealed", "machine max")
    cases = [_measure_when_quiet(stage, threads, report) for threads in BUSY_THREADS]
    wall_us, cpu_us = max(case.wall_us for case in cases), max(case.cpu_us for case in cases)
    report.goal(f"no call over 1 ms of wall-clock time: at worst {wall_us:.0f} us", wall_us < WANTED_CALLBACK_US)
    report.goal(f"no call over 1 ms of CPU time: at worst {cpu_us:.0f} us", cpu_us < WANTED_CALLBACK_US)
    jumps = sum(case.jumps for case in cases)
    report.goal(f"no gap in the mix: {jumps}", jumps == 0)


def _measure_when_quiet(stage: Stage, threads: int, report: Report) -> Callback:
    """Repeat the case until the machine was in time; return the one whose longest call is shortest."""
    cases: list[Callback] = []
    for _ in range(TRIES):
        with realtime():
            cases.append(_measure_callback(stage, threads))
        report.row(
            f"{BUSY_PEERS} publishers, {threads} busy threads",
            f"{cases[-1].wall_us:.0f} us",
            f"{cases[-1].cpu_us:.0f} us",
            f"{cases[-1].calls_per_s:.1f}/s",
            cases[-1].jumps,
            cases[-1].concealed,
            f"{cases[-1].machine_us:.0f} us",
        )
        if cases[-1].machine_us <= MACHINE_LATE_US and cases[-1].wall_us < WANTED_CALLBACK_US:
            break
    best = min(cases, key=lambda case: case.wall_us)
    return dataclasses.replace(best, jumps=sum(case.jumps for case in cases))


def _measure_callback(stage: Stage, threads: int) -> Callback:
    config = json.dumps({"http_host": stage.address})
    with ExitStack() as stack:
        with realtime(SENDER_PRIORITY):
            sender = stack.enter_context(Child("bench.publisher_worker", host=stage.players))
        receiver = stack.enter_context(Child("bench.receiver_worker", config, "mix", host=stage.server))
        clock = stack.enter_context(Child("bench.machine_clock"))
        targets = sender.ask("publish", url=receiver.read_line(), count=BUSY_PEERS)["targets"]
        receiver.ask("busy", threads=threads)
        _start(sender, targets, SETTLE_S + MEASURE_S + 2)
        time.sleep(SETTLE_S)
        receiver.ask("record", seconds=2 * MEASURE_S)
        before = receiver.ask("receivers")
        clock.ask("reset")
        time.sleep(MEASURE_S)
        after, machine = receiver.ask("receivers"), clock.ask("report")
        (file,) = receiver.ask("stop")["files"]
        # Only until the publishers stop; afterwards audio is expected to be missing.
        mix = np.load(file)["samples"][: round((MEASURE_S - 1) * signals.SAMPLE_RATE_HZ)]
        receiver.ask("busy", threads=0)
        sender.ask("wait")
    return _callback(before, after, machine["max"], len(tones.phase_jumps(mix[:, 0], signals.SINE_HZ[0])))


def _measure_enhancement(stage: Stage, report: Report, auto_s: float) -> None:
    goals = f"no call over {WANTED_SPEECH_CALLBACK_US} us with {SPEAKERS} speakers, enhancement auto", "no late block"
    if not libraries().osce:
        for goal in goals:
            report.skipped_goal(goal, "this libopus has no models")
        return
    report.row("speech, 10 % lost", "longest call", "CPU time", "calls", "enhanced", "CPU per publisher")
    for mode, seconds in (("off", MEASURE_S), ("on", MEASURE_S), ("auto", auto_s)):
        with realtime():
            case, cpu_percent, enhanced = _measure_speakers(stage, mode, seconds)
        report.row(
            f"{SPEAKERS} speakers, {mode}, {seconds:.0f} s",
            f"{case.wall_us:.0f} us",
            f"{case.cpu_us:.0f} us",
            f"{case.calls_per_s:.1f}/s",
            f"{enhanced:.1f}",
            f"{cpu_percent:.3f} %",
        )
    block_us = 1e6 / case.calls_per_s
    report.goal(f"{goals[0]}: {case.wall_us:.0f} us", case.wall_us < WANTED_SPEECH_CALLBACK_US)
    report.goal(f"{goals[1]}: {case.wall_us:.0f} of {block_us:.0f} us", case.wall_us < block_us)


def _measure_speakers(stage: Stage, mode: str, seconds: float) -> tuple[Callback, float, float]:
    """Return the calls, the percent of a core per publisher, and how many publishers were enhanced on average."""
    config = json.dumps({"max_peers": SPEAKERS, "http_host": stage.address, "receive_enhancement": mode})
    with ExitStack() as stack:
        with realtime(SENDER_PRIORITY):
            workers = [
                Child("bench.publisher_worker", host=stage.players) for _ in range(0, SPEAKERS, SPEAKERS_PER_NETWORK)
            ]
            senders = [stack.enter_context(worker) for worker in workers]
        receiver = stack.enter_context(Child("bench.receiver_worker", config, "mix", host=stage.server))
        url = receiver.read_line()
        targets = [sender.ask("publish", url=url, count=SPEAKERS_PER_NETWORK)["targets"] for sender in senders]
        idle = _cpu_percent(receiver.pid)
        rounds = range(max(1, round(seconds / ROUND_S)))
        results = [_speech_round(receiver, senders, targets, number, min(seconds, ROUND_S)) for number in rounds]
    calls, cpu_percent, enhanced = zip(*results, strict=True)
    longest = max(calls, key=lambda one: one.wall_us)
    return longest, (float(np.mean(cpu_percent)) - idle) / SPEAKERS, float(np.mean(enhanced))


def _speech_round(
    receiver: Child, senders: list[Child], targets: list[list[int]], number: int, seconds: float
) -> tuple[Callback, float, float]:
    """Let all publishers speak for as long as can be encoded before they would be thought lost.

    Returns:
        The calls, the percent of a core, and how many publishers were enhanced on average.
    """
    for seed, sender in enumerate(senders):
        case = Case(Network(loss=SPEECH_LOSS), seed=len(senders) * number + seed)
        _prepare(sender, "speech", targets[seed], case, 2 * SETTLE_S + seconds)
    for sender in senders:
        sender.ask("start")
    time.sleep(SETTLE_S)
    before, cpu_s = receiver.ask("receivers"), usage.cpu_s(receiver.pid)
    time.sleep(seconds)
    after, cpu_s = receiver.ask("receivers"), usage.cpu_s(receiver.pid) - cpu_s
    for sender in senders:
        sender.ask("wait")
    elapsed_s = after["time_s"] - before["time_s"]
    decoded, enhanced = (
        sum(peer[name] for peer in after["peers"]) - sum(peer[name] for peer in before["peers"])
        for name in ("jitter_buffer_emitted_count", "enhanced_samples")
    )
    heard = decoded / signals.SAMPLE_RATE_HZ / elapsed_s / SPEAKERS
    assert heard > 1 - 2 * SPEECH_LOSS, f"only {heard:.0%} of the speech was decoded"
    return (
        _callback(before, after, 0.0, 0),
        100 * cpu_s / elapsed_s,
        enhanced / signals.SAMPLE_RATE_HZ / elapsed_s,
    )


def _callback(before: dict[str, Any], after: dict[str, Any], machine_us: float, jumps: int) -> Callback:
    calls = after["calls"] - before["calls"]
    concealed = sum(
        late["concealed_samples"] - early["concealed_samples"]
        for early, late in zip(before["peers"], after["peers"], strict=True)
    )
    seconds = after["time_s"] - before["time_s"]
    return Callback(after["wall_us"], after["cpu_us"], calls / seconds, jumps, concealed, machine_us)
