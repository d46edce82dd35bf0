"""Pictures of trials: when packets arrived, how long receivers let them wait, and what was concealed."""

from __future__ import annotations

import importlib.util
import itertools
import re
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .comparison import CHROMIUM, SECONDS, STREAMS, Stream, Trial, calm
from .verdicts import delays_ms

_MS_PER_SAMPLE = 1 / 48
_START_S = 1.0
"""What happens before this does not determine the scale."""


def missing() -> str | None:
    """Return what this machine lacks for pictures; None if nothing."""
    return None if importlib.util.find_spec("matplotlib") else "pictures need matplotlib from PyPI"


def draw(folder: Path, name: str, trial: Trial, missed: Sequence[str], receiver: str) -> Path:
    """Draw one trial as PNG.

    Args:
        folder: Where to write it.
        name: The case; becomes the file's name.
        trial: The trial.
        missed: Goals to print above it.
        receiver: Which bass-webrtc receiver is drawn beside Chromium.

    Returns:
        The file.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(14, 12), layout="constrained")
    figure.suptitle(textwrap.fill(f"{name}. Missed: {'; '.join(missed)}", 150), fontsize=10)
    rows = figure.subplots(4, 1, sharex=True, height_ratios=[3, 3, 1, 1])
    arrivals = calm(trial.case).arrivals(SECONDS)
    lost = set(range(int(1000 * SECONDS / trial.case.frame_ms))) - {number for _, number in arrivals}
    lost_s = [number * trial.case.frame_ms / 1000 for number in sorted(lost)]
    transits = _transits(arrivals, trial.case.frame_ms)
    highest_ms = max(transit_ms for arrival_s, transit_ms in transits if arrival_s > _START_S)
    for axes, who in zip(rows, (receiver, CHROMIUM), strict=False):
        axes.plot(*zip(*transits, strict=True), ".", color="0.55", markersize=2.5, label="arrivals, above the fastest")
        axes.plot(lost_s, [-5] * len(lost_s), "|", color="black", label="lost")
        for stream, kind, color in zip(trial.streams[who], STREAMS, ("tab:orange", "tab:blue"), strict=True):
            highest_ms = max(highest_ms, _draw_delays(axes, stream, kind, color))
        axes.set_ylabel(f"{who}\nms")
        axes.legend(loc="upper right", ncols=6, fontsize=8)
    for axes in rows[:2]:
        axes.set_ylim(-10, 1.15 * highest_ms + 20)
    for axes, number, kind in zip(rows[2:], range(2), STREAMS, strict=True):
        for who, color, sign in ((receiver, "tab:green", 1), (CHROMIUM, "tab:red", -1)):
            _draw_concealed(axes, trial.streams[who][number], who, color, sign)
        axes.axhline(0, color="black", linewidth=0.8)
        axes.set_ylabel(f"{kind}\nconcealed, ms")
        axes.legend(loc="upper right", ncols=2, fontsize=8)
    rows[-1].set_xlabel("s")
    rows[-1].set_xlim(-0.5, SECONDS)
    path = folder / f"{re.sub('[^a-z0-9]+', '-', name.lower()).strip('-')}.png"
    figure.savefig(path, dpi=90)
    return path


def _transits(arrivals: Sequence[tuple[float, int]], frame_ms: int) -> list[tuple[float, float]]:
    """Return each packet's arrival time, and its transit above the fastest packet's in ms."""
    transits = [(arrival_s, 1000 * arrival_s - number * frame_ms) for arrival_s, number in arrivals]
    base_ms = min(transit_ms for _, transit_ms in transits)
    return [(arrival_s, transit_ms - base_ms) for arrival_s, transit_ms in transits]


def _draw_delays(axes: Any, stream: Stream, kind: str, color: str) -> float:
    """Draw delay and target; return the highest delay after the start."""
    delays = list(delays_ms(stream.moments))
    axes.plot(*zip(*delays, strict=True), color=color, linewidth=1.2, label=f"{kind}: delay")
    targets = [(moment.at_s, moment.target_ms) for moment in stream.moments]
    axes.plot(*zip(*targets, strict=True), color=color, linewidth=0.9, linestyle="--", label=f"{kind}: target")
    return max(delay_ms for at_s, delay_ms in delays if _START_S < at_s < SECONDS - 1)


def _draw_concealed(axes: Any, stream: Stream, who: str, color: str, sign: int) -> None:
    """Draw what was concealed between two moments, upwards or downwards."""
    found = [
        (after.at_s, sign * (after.concealed - before.concealed) * _MS_PER_SAMPLE)
        for before, after in itertools.pairwise(stream.moments)
        if after.at_s < SECONDS - 1
    ]
    axes.bar(*zip(*found, strict=True), width=0.1, color=color, label=who)
