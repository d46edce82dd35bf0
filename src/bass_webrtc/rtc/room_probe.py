"""Finds out whether a path carries more than it does now, without a gap in the audio.

    3 checks ──► 1 copy and a check ──► 2 copies ──► 4 … ──► copies for 1.2 s ──► there is room
                            │
                            └──► checks are late or lost, twice ──► there is none

A copy is a packet that was sent already, sent again: SRTP's replay protection drops it at the peer (RFC 3711, 3.3.2).

Copies directly after an audio packet cannot displace the next one: whatever a full queue accepts of them leaves before
the next packet comes, or it would not carry the audio alone. So copies are lost instead, and so is the check that
follows them directly. They do delay audio, by their bits / capacity. The bits of a train at most double while the delay
that the train before added is below 20 ms; so a train adds 40 ms, or that of one copy if that takes longer.

Used by ``adaptation.py``. ``now_s`` is any monotonic clock, in seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from math import ceil

from .path_measures import CheckSeries

HEADROOM = 1.1
"""The last trains have this load, relative to the wanted one, so that what passed is not congested at once."""

_REFERENCE_CHECKS = 3
_REFERENCE_GAP_S = 0.4
"""A check of 100 bytes takes 12 ms at 64 kbit/s; audio that uses 92 % of that link leaves 30 ms free in this time."""
_LONGEST_TRAIN_S = 1.2
_BURST_S = 0.1
_GROWTH_OF_ONE_S = 0.01
_GROWTH_S = 0.02
"""Growth of the round-trip time that shows a queue. One copy of 148 bytes takes 18.5 ms at 64 kbit/s."""
_MAX_DEVIATION_S = 0.015
_PATIENCE_S = 0.15
_DRAIN_S = 0.6
"""Before a short train is tried again. A copy and its check drain in 0.4 s from such a link."""


@dataclass(frozen=True, slots=True)
class SendProbe:
    """Send copies of recent audio packets, and a connectivity check within a few ms after the last one."""

    copies: int
    """May be 0: then the check alone follows the next audio packet."""
    frames: int
    """Spread the copies over so many audio packets, beginning with the next one, most of them at the end. Send each
    directly after an audio packet, never before one."""


class Room(Enum):
    """Verdict of a probe."""

    FOUND = auto()
    NONE = auto()
    QUEUE = auto()
    """There is a queue already, so nothing was sent."""


class RoomProbe:
    """One probe.

    Attributes:
        verdict: None until it is known.
        reference_s: Round-trip time without copies.
    """

    __slots__ = (
        "_answered",
        "_bursts",
        "_copies",
        "_copies_left",
        "_copies_per_frame",
        "_deviation_s",
        "_frame_s",
        "_frames_left",
        "_is_second",
        "_late_s",
        "_next_s",
        "_series",
        "_train_s",
        "reference_s",
        "verdict",
    )

    def __init__(self, load: float, frame_s: float, *, late_s: float, deviation_s: float, now_s: float) -> None:
        """
        Args:
            load: The load to test, relative to the present one.
            frame_s: Duration of a frame.
            late_s: Round-trip time from which there is a queue.
            deviation_s: Mean deviation of the round-trip times.
            now_s: Current time.
        """
        self.verdict: Room | None = None
        self.reference_s = 0.0
        self._copies_per_frame = load * HEADROOM - 1
        self._frame_s = frame_s
        self._late_s = late_s
        self._deviation_s = min(deviation_s, _MAX_DEVIATION_S)
        self._series: CheckSeries | None = CheckSeries(_REFERENCE_CHECKS, _REFERENCE_GAP_S, now_s)
        self._copies = 0
        self._is_second = False
        self._begin_train(now_s)

    def on_round_trip(self, rtt_s: float, now_s: float) -> None:
        """Process the answer to a check."""
        if self._series is not None:
            self._series.note(rtt_s, now_s)
        elif now_s - rtt_s >= self._train_s - 0.001:
            self._answered += 1
            if rtt_s > self.reference_s + self._growth_s:
                self._fail(now_s, is_repeated=self._bursts == 1)
            elif self._frames_left == 0 and self._answered >= self._bursts:
                self._pass(now_s)

    def on_time(self, now_s: float) -> SendProbe | None:
        """Return what to send now. Call at ``timeout_s`` until there is a verdict."""
        if self._series is not None:
            if self._series.take_check(now_s):
                return SendProbe(0, 1)
            if self._series.is_over(self._answer_s, now_s):
                self._end_reference(self._series.round_trips_s, now_s)
        elif now_s >= self._next_s and self.verdict is None:
            if self._frames_left:
                return self._next_burst(now_s)
            self._end_train(now_s)
        return None

    def timeout_s(self) -> float:
        """Return when ``on_time`` is due."""
        return self._next_s if self._series is None else self._series.timeout_s(self._answer_s)

    @property
    def _answer_s(self) -> float:
        """How long to wait for an answer."""
        return max(self._late_s, self.reference_s + self._growth_s) + _PATIENCE_S

    @property
    def _growth_s(self) -> float:
        if self._copies <= 1:
            return max(_GROWTH_OF_ONE_S, self._deviation_s)
        return max(_GROWTH_S, 2 * self._deviation_s)

    @property
    def _most_copies(self) -> int:
        return max(1, ceil(self._copies_per_frame * _LONGEST_TRAIN_S / self._frame_s))

    def _end_reference(self, round_trips_s: list[float], now_s: float) -> None:
        if len(round_trips_s) < _REFERENCE_CHECKS - 1:
            self.verdict = Room.NONE
            return
        self.reference_s = min(round_trips_s)
        if self.reference_s > self._late_s:
            self.verdict = Room.QUEUE
            return
        self._series = None
        self._copies = 1
        self._begin_train(now_s)

    def _begin_train(self, now_s: float) -> None:
        self._train_s = self._next_s = now_s
        self._bursts = self._answered = 0
        self._copies_left = self._copies
        self._frames_left = max(1, round(self._copies / self._copies_per_frame))

    def _next_burst(self, now_s: float) -> SendProbe:
        """Return the next 100 ms of a train: a check follows each."""
        frames = min(self._frames_left, max(1, round(_BURST_S / self._frame_s)))
        copies = ceil(self._copies_left * frames / self._frames_left)
        self._frames_left -= frames
        self._copies_left -= copies
        self._bursts += 1
        self._next_s += frames * self._frame_s
        if self._frames_left == 0:
            self._next_s += self._frame_s + self._answer_s
        return SendProbe(copies, frames)

    def _end_train(self, now_s: float) -> None:
        """All answers that came in time are here: the checks that are lost decide."""
        lost = self._bursts - self._answered
        if lost == self._bursts or (lost > 1 and 3 * lost > self._bursts):
            self._fail(now_s, is_repeated=True)
        else:
            self._pass(now_s)

    def _pass(self, now_s: float) -> None:
        if self._copies >= self._most_copies:
            self.verdict = Room.FOUND
            return
        self._copies = min(2 * self._copies, self._most_copies)
        self._is_second = False
        self._begin_train(now_s)

    def _fail(self, now_s: float, *, is_repeated: bool) -> None:
        """Repeat the train if its checks may have been lost or late by chance, but only once."""
        if self._is_second or not is_repeated:
            self.verdict = Room.NONE
            return
        self._is_second = True
        self._begin_train(now_s)
        self._next_s = self._train_s = now_s + _DRAIN_S
