"""A recording channel as source, for ten minutes."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from support import pulse, sound_card, tones
from support.child import Child
from support.driving import connect, drive
from support.opus import decode
from support.player import Certificate, Counters, Player

from .report import Report
from .stage import Stage

PROVES = """
A recorded sound card is heard without a gap for any length of time. Another program plays 440 Hz left and 880 Hz right,
12 dB below full scale, on a null sink of PulseAudio; `serve device` records it, and a player counts and decodes. Card
and server run at real-time priority. The first seconds, in which the source adapts to this machine's lateness, are
counted separately. Drift is the resampler's correction of two clocks, measured as pitch: over the whole time, and in
the 10 s with the largest deviation. For comparison, as in timing: the lateness of a real-time thread with half a
millisecond's work. While a virtual machine's host takes the processors away, nothing can record, so errors within 5 s
of more than 40 ms of such lateness are counted separately. BW_RECORDING_S sets the duration in seconds, default 600.
"""

SECONDS = float(os.environ.get("BW_RECORDING_S", "600"))
LEARNING_S = 10.0
BLOCK_S = 0.1
"""Contains whole periods of both tones."""
DRIFT_BLOCKS = 100
WINDOW_S = 5.0
MACHINE_STALL_MS = 40.0
"""Initial reserve of a live source, beyond one frame."""


@dataclass(frozen=True)
class Window:
    """Some seconds of the measurement."""

    underruns: int
    machine_ms: float
    """The machine's worst lateness."""


@dataclass(frozen=True)
class ChannelResult:
    """One channel as received by the player."""

    level_dbfs: float
    drift_ppm: float
    worst_drift_ppm: float
    clicks_s: list[float]


def run(_stage: Stage) -> list[str]:
    """Measure and print; return the goals that were missed."""
    report = Report(f"recording: {SECONDS:.0f} s of a sound card", PROVES)
    if (reason := pulse.missing()) is not None:
        print(f"  not measured: {reason}")
        return report.missed
    player = Player(Certificate())
    packets: list[bytes] = []
    with (
        Child("bench.machine_clock") as clock,
        sound_card.playing_tones() as environment,
        sound_card.serving(environment) as url,
    ):
        connect(player, f"{url}whep")
        drive([player], lambda: False, LEARNING_S)
        report.row("underruns while adapting", sound_card.stats(url)["source_underruns"])
        player.counters, player.on_rtp = Counters(), packets.append
        windows = list(_listen(player, url, clock))
    _report_counts(report, windows, player.counters)
    _report_audio(report, windows, decode(packet[12:] for packet in player.decrypt(packets)))
    return report.missed


def _listen(player: Player, url: str, clock: Child) -> Iterator[Window]:
    underruns = sound_card.stats(url)["source_underruns"]
    for _ in range(math.ceil(SECONDS / WINDOW_S)):
        clock.ask("reset")
        drive([player], lambda: False, WINDOW_S)
        before, underruns = underruns, sound_card.stats(url)["source_underruns"]
        yield Window(underruns - before, clock.ask("report")["max"] / 1000)


def _is_excused(windows: Sequence[Window], number: int) -> bool:
    """Return whether the machine stalled in this window or a neighbouring one: effects may appear a little later."""
    return any(one.machine_ms > MACHINE_STALL_MS for one in windows[max(0, number - 1) : number + 2])


def _report_counts(report: Report, windows: Sequence[Window], counters: Counters) -> None:
    excused = sum(one.underruns for number, one in enumerate(windows) if _is_excused(windows, number))
    underruns = sum(one.underruns for one in windows) - excused
    worst_ms = max(one.machine_ms for one in windows)
    stalled = sum(one.machine_ms > MACHINE_STALL_MS for one in windows)
    report.row("machine stalled", f"in {stalled} of", f"{len(windows)} windows", f"{worst_ms:.0f} ms")
    report.row("underruns near stalls", excused)
    report.row("underruns", underruns)
    report.row("frames", counters.packets)
    report.row("frames missing", counters.missing)
    report.row("longest gap", f"{1000 * counters.longest_gap_s:.0f} ms")
    report.goal(f"no underrun without a machine stall: {underruns}", underruns == 0)
    report.goal(f"no frame missing: {counters.missing}", counters.missing == 0)


def _report_audio(report: Report, windows: Sequence[Window], samples: NDArray[np.float32]) -> None:
    report.row("", "level", "frequency", "drift", "worst 10 s", "clicks", "near stalls")
    for name, channel, tone_hz in (("left", 0, sound_card.LEFT_HZ), ("right", 1, sound_card.RIGHT_HZ)):
        heard = _judge(samples[9600:, channel], tone_hz)
        ours = [at_s for at_s in heard.clicks_s if not _is_excused(windows, int(at_s / WINDOW_S))]
        hz = tone_hz * (1 + heard.drift_ppm / 1e6)
        drifts = (f"{heard.drift_ppm:+.1f} ppm", f"{heard.worst_drift_ppm:+.1f} ppm")
        clicks = (len(ours), len(heard.clicks_s) - len(ours))
        report.row(name, f"{heard.level_dbfs:.1f} dBFS", f"{hz:.4f} Hz", *drifts, *clicks)
        is_right = abs(heard.level_dbfs - sound_card.LEVEL_DBFS) < 1.0 and not ours
        report.goal(f"{tone_hz:.0f} Hz, {sound_card.LEVEL_DBFS:.0f} dBFS, no click without a machine stall", is_right)


def _judge(samples: NDArray[np.float32], tone_hz: float) -> ChannelResult:
    """Measure one channel. A phase that changes from block to block is a frequency offset from the tone."""
    size = round(BLOCK_S * tones.SAMPLE_RATE_HZ)
    blocks = samples[: len(samples) // size * size].reshape(-1, size)
    carrier = np.exp(-2j * np.pi * tone_hz * np.arange(size) / tones.SAMPLE_RATE_HZ)
    phases = np.unwrap(np.angle((blocks * np.hanning(size)) @ carrier))
    ppm_per_rad = 1e6 / (2 * np.pi * tone_hz * BLOCK_S)
    window = min(DRIFT_BLOCKS, len(phases) - 1)
    moved = (phases[window:] - phases[:-window]) / window * ppm_per_rad
    drift_ppm = float(phases[-1] - phases[0]) / (len(phases) - 1) * ppm_per_rad
    return ChannelResult(
        level_dbfs=tones.tone_dbfs(samples, tone_hz * (1 + drift_ppm / 1e6)),
        drift_ppm=drift_ppm,
        worst_drift_ppm=float(moved[np.argmax(np.abs(moved))]),
        clicks_s=tones.phase_jumps(samples, tone_hz),
    )
