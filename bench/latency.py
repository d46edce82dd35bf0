"""Latency from a sample at the publisher's encoder to the same sample out of BASS's mixer."""

from __future__ import annotations

import json
from contextlib import ExitStack

import numpy as np

from support.child import Child

from . import signals
from .mix_probe import Recording
from .realtime import SENDER_PRIORITY, realtime
from .report import Report, quantile
from .stage import Stage

PROVES = """
A publisher is heard immediately. A publisher in a process of its own gets bursts of tone as from a sound card: each
frame is encoded once its last sample is available. The clock starts when the sample reaches the encoder and stops when
BASS's device mix contains it. This includes the frame's own length, Opus's look-ahead of 6.5 ms, WebRTC, the jitter
buffer and half of BASS's 10 ms blocks. "Heard" adds the sample's position in its block: 5 ms on average. Measured on
loopback, at real-time priority, without the first 5 s.
"""

WANTED_P50_MS = {20: 45.0, 10: 30.0}
WANTED_FOUND = 0.95
SECONDS = 20.0
SETTLE_S = 5.0
EVERY_S = 0.137
"""Not a multiple of any frame length."""


def run(stage: Stage) -> list[str]:
    """Measure and print; return the goals that were missed."""
    report = Report("latency: from the publisher's encoder to BASS's mix", PROVES)
    report.row("", "p50", "p99", "max", "heard p50", "found", "jitter buffer", "target", "sender late")
    for frame_ms, wanted_ms in WANTED_P50_MS.items():
        with realtime():
            p50_ms, found = _measure(frame_ms, report)
        report.goal(
            f"p50 at most {wanted_ms:.0f} ms with frames of {frame_ms} ms: {p50_ms:.1f} ms", p50_ms <= wanted_ms
        )
        report.goal(f"of {frame_ms} ms: at least {WANTED_FOUND:.0%} of the bursts: {found:.0%}", found >= WANTED_FOUND)
    return report.missed


def _measure(frame_ms: int, report: Report) -> tuple[float, float]:
    """Return the median latency, and the share of the bursts that were found and thus contribute to it."""
    with ExitStack() as stack:
        with realtime(SENDER_PRIORITY):
            sender = stack.enter_context(Child("bench.publisher_worker"))
        receiver = stack.enter_context(Child("bench.receiver_worker", json.dumps({}), "mix"))
        url = receiver.read_line()
        (target,) = sender.ask("publish", url=url)["targets"]
        receiver.ask("record", seconds=SECONDS + 5)
        sender.ask("live", target=target, frame_ms=frame_ms, seconds=SECONDS, every_s=EVERY_S)
        sent = sender.ask("wait")
        found = receiver.ask("receivers")["peers"][0]
        recording = Recording(**np.load(receiver.ask("stop")["files"][0]))
    out_ms, heard_ms, expected = _delays_ms(recording, sent["start_s"])
    report.row(
        f"frames of {frame_ms} ms",
        *(f"{figure:.1f} ms" for figure in (quantile(out_ms, 0.5), quantile(out_ms, 0.99), max(out_ms))),
        f"{quantile(heard_ms, 0.5):.1f} ms",
        f"{len(out_ms)}/{expected}",
        *(f"{found[name]:.1f} ms" for name in ("jitter_buffer_ms", "jitter_buffer_target_ms")),
        f"{sent['latest_ms']:.1f} ms",
    )
    return quantile(out_ms, 0.5), len(out_ms) / expected


def _delays_ms(recording: Recording, start_s: float) -> tuple[list[float], list[float], int]:
    """Return the latencies of all bursts found before the next one: out of the mixer, heard; and how many were sent."""
    likeness = np.convolve(recording.samples[:, 0], signals.burst()[::-1], "valid")
    loud = 0.5 * float(np.abs(likeness).max())
    out_ms: list[float] = []
    heard_ms: list[float] = []
    numbers = range(int(SETTLE_S / EVERY_S), int(SECONDS / EVERY_S))
    for number in numbers:
        sent_s = start_s + number * EVERY_S
        first = recording.frame_at(sent_s)
        window = likeness[first : first + round(EVERY_S * signals.SAMPLE_RATE_HZ)]
        if len(window) and float(window.max()) > loud:
            frame = first + int(window.argmax())
            out_ms.append(1000 * (recording.block_time_s(frame) - sent_s))
            heard_ms.append(1000 * (recording.time_s(frame) - sent_s))
    return out_ms, heard_ms, len(numbers)
