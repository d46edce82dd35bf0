"""A listener behind a narrow link, in virtual time: a peer, the link, and the sender that obeys ``Adaptation``.

Sizes are UDP payloads. A packet is dropped if it would have to wait longer than the queue lasts.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count

from bass_webrtc.rtc.adaptation import OVERHEAD_BYTES, Adaptation, SendCheck, SendProbe, SetEncoding, SetRedundancy

CHECK_BYTES = 100
REPORT_BYTES = 80


@dataclass(frozen=True)
class Path:
    """A path to a peer. It is narrow from ``narrow_from_s`` to ``narrow_until_s``."""

    rate_kbps: float = 64
    queue_s: float = 0.2
    narrow_from_s: float = float("inf")
    narrow_until_s: float = float("inf")
    rtt_s: float = 0.05
    jitter_s: float = 0.0
    """Delays beyond the link are up to that much longer."""
    loss: float = 0.0
    """Random, in both directions."""
    burst_s: float = 0.0
    """The link lets through at once what it carries in this time, if it was idle before."""
    outages: tuple[tuple[float, float], ...] = ()
    """Start and duration in seconds."""


@dataclass(frozen=True)
class Habits:
    """What a peer does."""

    report_s: tuple[float, float] | None = (2.5, 7.5)
    sends_nacks: bool = True
    answers_checks: bool = True
    has_red: bool = True


CHROMIUM = Habits()
FREQUENT = Habits(report_s=(0.8, 1.2), sends_nacks=False)
FREQUENT_NACK = Habits(report_s=(0.8, 1.2))
RARE = Habits(sends_nacks=False)
FIREFOX = Habits(sends_nacks=False, has_red=False)
SILENT = Habits(report_s=None, sends_nacks=False)
UNCHECKED = Habits(report_s=(0.8, 1.2), answers_checks=False)


@dataclass
class History:
    """What happened. Times are in seconds."""

    encodings: list[tuple[float, int]] = field(default_factory=list)
    levels: list[tuple[float, int]] = field(default_factory=list)
    checks: list[float] = field(default_factory=list)
    probes: list[float] = field(default_factory=list)
    wake_ups: list[float] = field(default_factory=list)
    dropped: list[float] = field(default_factory=list)
    """Audio packets that the full queue dropped."""
    gaps: list[float] = field(default_factory=list)
    """Frames that the peer had to conceal: no packet with them arrived."""
    queued: list[tuple[float, float]] = field(default_factory=list)
    """When an audio packet was sent, and how long it waited in the queue."""


class Listener:
    """The simulation. ``run`` returns the history."""

    def __init__(
        self,
        path: Path,
        habits: Habits = CHROMIUM,
        *,
        bitrates_kbps: tuple[int, ...] = (128, 48),
        frame_ms: float = 20,
        top: int = 0,
        encoding: int | None = None,
        seed: int = 1,
    ) -> None:
        self.history = History()
        self._path = path
        self._habits = habits
        self._random = random.Random(seed)
        self._now_s = 0.0
        self._order = count()
        self._calls: list[tuple[float, int, Callable[[], None]]] = []
        self._bitrates_bps = tuple(1000 * kbps for kbps in bitrates_kbps)
        self._frame_s = frame_ms / 1000
        self.adaptation = Adaptation(
            self._bitrates_bps, frame_ms, has_red=habits.has_red, now_s=0.0, top=top, encoding=encoding
        )
        self._encoding = self.adaptation.encoding
        self._level = 0
        self._sequence = 0
        self._sizes: dict[int, tuple[int, int]] = {}
        self._probe = (0, 0)
        self._timer_s: float | None = None
        # The link and what is beyond it.
        self._free_s = 0.0
        self._arrived_s = 0.0
        # The peer.
        self._received: set[int] = set()
        self._concealed_until = 0
        self._highest = -1
        self._packets = 0
        self._reported = (0, 0)
        self._missing: dict[int, tuple[float, int]] = {}
        self._sender_report: tuple[float, float] | None = None

    def run(self, until_s: float) -> History:
        self._at(0.003, self._send_frame)
        self._at(2.0, self._send_sender_report)
        if self._habits.report_s is not None:
            self._at(self._random.uniform(*self._habits.report_s), self._report)
        self._obey()
        while self._calls and self._calls[0][0] <= until_s:
            self._now_s, _, call = heapq.heappop(self._calls)
            call()
        return self.history

    def _at(self, when_s: float, call: Callable[[], None]) -> None:
        heapq.heappush(self._calls, (when_s, next(self._order), call))

    # -- the sender

    def _send_frame(self) -> None:
        size = int(self._bitrates_bps[self._encoding] * self._frame_s / 8)
        size += self._level * (size + 4) + (self._level > 0) + OVERHEAD_BYTES
        sequence, self._sequence = self._sequence, self._sequence + 1
        self._sizes[sequence] = (size, self._level)
        self._sizes.pop(sequence - 200, None)
        wait_s = self._wait_s()
        self.history.queued.append((self._now_s, wait_s))
        if not self._send_packet(sequence) and self._is_full(wait_s):
            self.history.dropped.append(self._now_s)
        self._send_copies()
        self._conceal(sequence - int(3 / self._frame_s))
        self._at(self._now_s + self._frame_s, self._send_frame)

    def _send_copies(self) -> None:
        copies, frames = self._probe
        if frames == 0:
            return
        now = copies // frames
        for back in range(now):
            self._send_packet(self._sequence - 1 - back)
        self._probe = (copies - now, frames - 1)
        if frames == 1:
            self._at(self._now_s + self._random.uniform(0.0005, 0.004), self._send_check)

    def _send_packet(self, sequence: int) -> bool:
        size, level = self._sizes[sequence]
        return self._forward(size, lambda: self._receive(sequence, level))

    def _send_check(self) -> None:
        self.history.checks.append(self._now_s)
        sent_s = self._now_s
        if self._habits.answers_checks:
            self._forward(CHECK_BYTES, lambda: self._backward(lambda: self._answered(sent_s)))

    def _send_sender_report(self) -> None:
        sent_s = self._now_s

        def arrive() -> None:
            self._sender_report = (sent_s, self._now_s)

        self._forward(REPORT_BYTES, arrive)
        self._at(self._now_s + self._random.uniform(2.05, 6.15), self._send_sender_report)

    def _answered(self, sent_s: float) -> None:
        self.adaptation.on_round_trip(self._now_s - sent_s, self._now_s)
        self._obey()

    def _obey(self) -> None:
        for decision in self.adaptation.decisions():
            if isinstance(decision, SetEncoding):
                self._encoding = decision.index
                self.history.encodings.append((self._now_s, decision.index))
            elif isinstance(decision, SetRedundancy):
                self._level = decision.level
                self.history.levels.append((self._now_s, decision.level))
            elif isinstance(decision, SendProbe):
                self._probe = (decision.copies, decision.frames)
                self.history.probes.append(self._now_s)
            else:
                assert isinstance(decision, SendCheck)
                self._send_check()
        timeout_s = self.adaptation.timeout_s()
        if timeout_s is not None and timeout_s != self._timer_s:
            # As a timer of a real loop, a little late.
            self._at(max(timeout_s, self._now_s) + 0.0005, self._wake_up)
        self._timer_s = timeout_s

    def _wake_up(self) -> None:
        if self._timer_s is not None and self._now_s >= self._timer_s:
            self._timer_s = None
            self.history.wake_ups.append(self._now_s)
            self.adaptation.on_time(self._now_s)
            self._obey()

    # -- the path

    @property
    def _is_narrow(self) -> bool:
        return self._path.narrow_from_s <= self._now_s < self._path.narrow_until_s

    def _wait_s(self) -> float:
        return max(0.0, self._free_s - self._now_s - self._path.burst_s)

    def _is_full(self, wait_s: float) -> bool:
        return self._is_narrow and wait_s > self._path.queue_s

    def _is_lost(self) -> bool:
        is_out = any(start_s <= self._now_s < start_s + s for start_s, s in self._path.outages)
        return is_out or self._random.random() < self._path.loss

    def _forward(self, size: int, arrive: Callable[[], None]) -> bool:
        wait_s = self._wait_s()
        if self._is_full(wait_s):
            return False
        if self._is_narrow:
            self._free_s = max(self._free_s, self._now_s) + size * 8 / (self._path.rate_kbps * 1000)
            wait_s = self._wait_s()
        if self._is_lost():
            return False
        delay_s = wait_s + self._path.rtt_s / 2 + self._random.uniform(0, self._path.jitter_s)
        self._arrived_s = max(self._arrived_s, self._now_s + delay_s)
        self._at(self._arrived_s, arrive)
        return True

    def _backward(self, arrive: Callable[[], None]) -> None:
        if not self._is_lost():
            self._at(self._now_s + self._path.rtt_s / 2 + self._random.uniform(0, self._path.jitter_s), arrive)

    # -- the peer

    def _receive(self, sequence: int, level: int) -> None:
        if sequence in self._missing:
            del self._missing[sequence]
        elif sequence <= self._highest:
            return  # SRTP drops replayed packets.
        self._packets += 1
        self._received.update(range(sequence - level, sequence + 1))
        if self._habits.sends_nacks and not self._missing and sequence > self._highest + 1:
            self._at(self._now_s + 0.02, self._request_missing)
        for missed in range(self._highest + 1, sequence):
            self._missing[missed] = (self._now_s, 0)
        self._highest = max(self._highest, sequence)

    def _request_missing(self) -> None:
        """NACK every 20 ms what is missing for 20 ms, again after a round trip, ten times at most."""
        requested = []
        for sequence, (due_s, times) in list(self._missing.items()):
            if sequence < self._highest - 200 or times == 10:
                del self._missing[sequence]
            elif self._now_s >= due_s + (self._path.rtt_s if times else 0.02):
                self._missing[sequence] = (self._now_s, times + 1)
                requested.append(sequence)
        if requested:
            self._backward(lambda: self._requested(requested))
        if self._missing:
            self._at(self._now_s + 0.02, self._request_missing)

    def _requested(self, sequences: list[int]) -> None:
        again = self.adaptation.on_nack([sequence & 0xFFFF for sequence in sequences], self._now_s)
        self._obey()
        for sequence in sequences:
            if sequence & 0xFFFF in again and sequence in self._sizes:
                self._send_packet(sequence)

    def _report(self) -> None:
        assert self._habits.report_s is not None
        expected, lost = self._highest + 1, self._highest + 1 - self._packets
        before, lost_before = self._reported
        self._reported = (expected, lost)
        fraction = max(0.0, (lost - lost_before) / max(1, expected - before))
        answers = self._sender_report
        delay_s = self._now_s - answers[1] if answers else 0.0

        def arrive() -> None:
            rtt_s = self._now_s - answers[0] - delay_s if answers else None
            self.adaptation.on_report(int(fraction * 256) / 256, lost, rtt_s, self._now_s)
            self._obey()

        self._backward(arrive)
        self._at(self._now_s + self._random.uniform(*self._habits.report_s), self._report)

    def _conceal(self, sequence: int) -> None:
        """Judge a frame that must have arrived by now."""
        if sequence >= 0 and sequence not in self._received:
            self.history.gaps.append(self._now_s - 3)
        self._received.discard(sequence)
