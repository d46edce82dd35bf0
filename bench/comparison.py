"""Sends the same packets at the same times to bass-webrtc and to Chromium, and records what both make of them.

Several networks are measured at once, each with connections of its own to the same receivers.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from support.browsers import Chromium
from support.child import Child
from support.page_server import PageServer

from .chromium_receiver import ChromiumReceiver
from .impairment import Case
from .realtime import SENDER_PRIORITY, realtime

SECONDS = 23.0
SETTLE_S = 6.0
SECONDS_JUDGED = range(round(SETTLE_S), round(SECONDS))
POLL_S = 0.1
CHROMIUM_POLL_S = 0.2
STREAMS = ("sine", "speech")
CHROMIUM = "Chromium"


@dataclass(frozen=True)
class Moment:
    """Counters of one stream that both receivers have."""

    at_s: float
    """Since the trace's start."""
    concealed: float
    """As NetEq counts them."""
    removed: float
    total: float
    delay_s: float
    emitted: float
    target_ms: float
    late: float
    concealed_w3c: float | None = None
    """As W3C webrtc-stats defines them; None: unknown."""


@dataclass(frozen=True)
class Stream:
    """What one receiver made of one stream."""

    moments: list[Moment]
    samples: NDArray[np.float32]
    """``[frames, 2]`` at 48 kHz."""
    recorded_from_s: float | None = None
    """Since the trace's start; None for Chromium, whose recording has no times."""


@dataclass(frozen=True)
class Trial:
    """One network."""

    case: Case
    streams: Mapping[str, tuple[Stream, Stream]]
    """Sine and speech of each receiver, by name."""
    late_ms: float
    """Largest deviation of a sent packet from its trace."""
    stall_ms: float = 0.0
    """Longest time that a packet was seen missing after it was sent: the machine delivered it late."""


def calm(case: Case) -> Case:
    """Return the case without losses around the times at which counting starts and ends."""
    return replace(case, network=replace(case.network, calm_at_s=(SECONDS_JUDGED[0], SECONDS_JUDGED[-1])))


def compare(cases: Sequence[Case], ours: Mapping[str, Mapping[str, Any]]) -> list[Trial]:
    """Measure these cases at once.

    Args:
        cases: What to measure.
        ours: Settings of each bass-webrtc receiver, by name.

    Returns:
        A trial for each case.
    """
    with realtime(), _receivers(cases, ours) as (sender, servers, tabs):
        runs = [_run(calm(case), number, len(cases), len(ours) + 1) for number, case in enumerate(cases)]
        sender.ask("prepare", runs=runs, seconds=SECONDS)
        for server in servers.values():
            server.ask("record", seconds=SECONDS + 10)
        for tab in tabs:
            tab.record(SECONDS + 2, CHROMIUM_POLL_S)
        sender.ask("start")
        histories = _watch(servers)
        sent = sender.ask("wait")
        files = {name: server.ask("stop")["files"] for name, server in servers.items()}
        found = {name: _our_streams(histories[name], files[name], sent["start_s"]) for name in servers}
        sounds, entries = [tab.recording() for tab in tabs], [tab.history() for tab in tabs]
    start_s = time.time() - time.monotonic() + sent["start_s"]
    found[CHROMIUM] = [
        Stream(_their_moments(polls, start_s), samples) for polls, samples in zip(entries, sounds, strict=True)
    ]
    stalls_ms = [_stall_ms(entries[2 * i], case, start_s) for i, case in enumerate(cases)]
    pairs = [{name: (streams[2 * i], streams[2 * i + 1]) for name, streams in found.items()} for i in range(len(cases))]
    return [
        Trial(case, pair, sent["latest_ms"], stall_ms)
        for case, pair, stall_ms in zip(cases, pairs, stalls_ms, strict=True)
    ]


def _run(case: Case, number: int, count: int, receivers: int) -> dict[str, Any]:
    """Return the sender's run of one case: each receiver has a sine and a speech target of each case, in order."""
    firsts = [2 * (receiver * count + number) for receiver in range(receivers)]
    jobs = [
        {"signal": "sine", "targets": firsts, "copies": case.copies},
        {"signal": "speech", "targets": [first + 1 for first in firsts], "copies": case.copies, "dtx": case.dtx},
    ]
    return {"arrivals": case.arrivals(SECONDS), "frame_ms": case.frame_ms, "jobs": jobs}


@contextmanager
def _receivers(
    cases: Sequence[Case], ours: Mapping[str, Mapping[str, Any]]
) -> Iterator[tuple[Child, dict[str, Child], list[ChromiumReceiver]]]:
    """Connect the sender to all receivers: for each case a sine first and speech second."""
    with ExitStack() as stack:
        with realtime(SENDER_PRIORITY):
            sender = stack.enter_context(Child("bench.publisher_worker"))
        servers: dict[str, Child] = {}
        for name, settings in ours.items():
            config = {"max_peers": 2 * len(cases), **settings}
            servers[name] = stack.enter_context(Child("bench.receiver_worker", json.dumps(config), "own"))
            url = servers[name].read_line()
            for case in cases:
                sender.ask("publish", url=url, count=len(STREAMS), red=case.copies > 0)
        chromium, pages = stack.enter_context(Chromium()), stack.enter_context(PageServer())
        tabs = []
        for case in cases:
            for _ in STREAMS:
                feed = sender.ask("offer", red=case.copies > 0)
                tabs.append(ChromiumReceiver(chromium, pages.listen_url))
                sender.ask("answer", target=feed["target"], sdp=tabs[-1].answer(feed["sdp"]))
                tabs[-1].listen()
        for server in servers.values():
            server.ask("play")
        yield sender, servers, tabs


_Poll = tuple[float, Mapping[str, Any]]


def _watch(servers: Mapping[str, Child]) -> dict[str, list[list[_Poll]]]:
    """Return the counters of all streams of each bass-webrtc receiver until the end."""
    history: dict[str, list[list[_Poll]]] = {name: [] for name in servers}
    until_s = time.monotonic() + SECONDS
    while time.monotonic() < until_s:
        for name, server in servers.items():
            found = server.ask("receivers")
            history[name].append([(found["time_s"], peer) for peer in found["peers"]])
        time.sleep(POLL_S)
    return {name: [list(stream) for stream in zip(*polls, strict=True)] for name, polls in history.items()}


def _our_streams(history: Sequence[Sequence[_Poll]], files: Sequence[str], start_s: float) -> list[Stream]:
    streams = []
    for polls, file in zip(history, files, strict=True):
        recording = np.load(file)
        moments = [_our_moment(at_s - start_s, peer) for at_s, peer in polls]
        streams.append(Stream(moments, recording["samples"], float(recording["block_s"][0]) - start_s))
    return streams


def _our_moment(at_s: float, peer: Mapping[str, Any]) -> Moment:
    return Moment(
        at_s,
        concealed=peer["concealed_samples"] + peer["join_delay_samples"],
        removed=peer["removed_samples_for_acceleration"],
        total=peer["total_samples_received"],
        delay_s=peer["jitter_buffer_delay_s"],
        emitted=peer["jitter_buffer_emitted_count"],
        target_ms=peer["jitter_buffer_target_ms"],
        late=peer["late_packets"],
        concealed_w3c=peer["concealed_samples"],
    )


def _their_moments(entries: Sequence[Mapping[str, Any]], start_s: float) -> list[Moment]:
    moments: list[Moment] = []
    for before, entry in itertools.pairwise(({}, *entries)):
        target_s, emitted = (
            entry[name] - before.get(name, 0) for name in ("jitterBufferTargetDelay", "jitterBufferEmittedCount")
        )
        moments.append(
            Moment(
                at_s=entry["timestamp"] / 1000 - start_s,
                concealed=entry["concealedSamples"],
                removed=entry["removedSamplesForAcceleration"],
                total=entry["totalSamplesReceived"],
                delay_s=entry["jitterBufferDelay"],
                emitted=entry["jitterBufferEmittedCount"],
                target_ms=1000 * target_s / emitted if emitted > 0 else float("nan"),
                late=entry.get("packetsDiscarded", 0),
            )
        )
    return moments


def _stall_ms(entries: Sequence[Mapping[str, Any]], case: Case, start_s: float) -> float:
    """Return how late the first packet was that Chromium had not received yet, at worst."""
    first_s: dict[int, float] = {}
    for arrival_s, number in calm(case).arrivals(SECONDS):
        first_s.setdefault(number, arrival_s)  # SRTP drops duplicates.
    due_s = list(first_s.values())
    late_s: list[float] = [
        entry["timestamp"] / 1000 - start_s - due_s[entry["packetsReceived"]]
        for entry in entries
        if entry["packetsReceived"] < len(due_s)
    ]
    return 1000 * max((0.0, *late_s))
