"""What is known about the path to one listener: its losses and its round-trip times.

Used by ``adaptation.py``, which decides. ``now_s`` is any monotonic clock, in seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_KEPT_S = 12.0
_REPORT_MERGE_S = 0.2
_NACK_MERGE_S = 0.05
"""What comes sooner after the last one is added to it, so that a peer that sends very often costs no memory."""
_MIN_MARGIN_S = 0.04
_MAX_MARGIN_S = 0.15
_BASE_LIFETIME_S = 300.0
_MIN_DENSITY_LOST = 8


@dataclass(frozen=True, slots=True)
class Loss:
    """Packets that the peer missed."""

    packets: float
    share: float
    """Of the packets sent meanwhile, 0 to 1."""


@dataclass(frozen=True, slots=True)
class _Reported:
    since_s: float
    until_s: float
    lost: float


@dataclass(frozen=True, slots=True)
class _Requested:
    at_s: float
    count: int
    highest: int


class LossMeter:
    """Counts losses from receiver reports (RFC 3550, 6.4.1) and NACKs (RFC 4585, 6.2.1).

    A NACK comes at once, a report every 1 to 8 s. Both count the same losses, except that resent packets reduce what
    reports say; so the larger count is right.
    """

    __slots__ = ("_cumulative", "_frame_s", "_highest", "_ignored_until_s", "_reported", "_reported_s", "_requested")

    def __init__(self, frame_s: float, now_s: float) -> None:
        self._frame_s = frame_s
        self._reported_s = now_s
        self._cumulative: int | None = None
        self._highest = 0
        self._ignored_until_s = float("-inf")
        self._reported: list[_Reported] = []
        self._requested: list[_Requested] = []

    def note_report(self, fraction_lost: float, packets_lost: int, now_s: float) -> Loss:
        """Record a report.

        Args:
            fraction_lost: Since the peer's previous report, 0 to 1.
            packets_lost: Since the start of the stream. Reports may be lost, so the difference is preferred.
            now_s: Current time.

        Returns:
            What the peer lost since the last report that arrived; nothing if that is ignored.
        """
        sent = max(1.0, (now_s - self._reported_s) / self._frame_s)
        lost = fraction_lost * sent if self._cumulative is None else float(packets_lost - self._cumulative)
        lost = min(max(lost, 0.0), sent)
        report = _Reported(self._reported_s, now_s, lost)
        self._cumulative, self._reported_s = packets_lost, now_s
        self._forget(now_s)
        if self._reported and now_s < self._reported[-1].since_s + _REPORT_MERGE_S:
            last = self._reported.pop()
            report = _Reported(last.since_s, now_s, last.lost + lost)
        self._reported.append(report)
        return Loss(lost, lost / sent) if self._counts(report) else Loss(0.0, 0.0)

    def note_nack(self, sequences: Sequence[int], now_s: float) -> list[int]:
        """Record a NACK and return the packets in it that were not requested before; only these count.

        Peers request a packet again and again until it arrives.
        """
        self._forget(now_s)
        new: list[int] = []
        for sequence in sequences:
            ahead = (sequence - self._highest) & 0xFFFF
            if (not self._requested and not new) or 0 < ahead < 0x8000:
                self._highest = sequence
                new.append(sequence)
        if new:
            self._add_request(now_s, len(new))
        return new

    def _add_request(self, now_s: float, count: int) -> None:
        at_s = now_s
        if self._requested and now_s < self._requested[-1].at_s + _NACK_MERGE_S:
            last = self._requested.pop()
            at_s, count = last.at_s, last.count + count
        self._requested.append(_Requested(at_s, count, self._highest))

    def ignore_until(self, ignored_until_s: float) -> None:
        """Let ``within`` ignore losses up to this time: they belong to a load that was taken away."""
        self._ignored_until_s = ignored_until_s

    def within(self, window_s: float, now_s: float) -> Loss:
        """Return the loss in the last ``window_s``, or in the last report's time if that is longer."""
        since_s = now_s - window_s
        reports = [report for report in self._reported if report.until_s > since_s and self._counts(report)]
        span_s = max(window_s, reports[-1].until_s - reports[0].since_s) if reports else window_s
        by_reports = self._loss(sum(report.lost for report in reports), span_s)
        since_s = max(since_s, self._ignored_until_s)
        by_nacks = self._loss(sum(nack.count for nack in self._requested if nack.at_s > since_s), window_s)
        return max(by_reports, by_nacks, key=lambda loss: loss.share)

    def since(self, since_s: float, now_s: float) -> Loss | None:
        """Return the loss of packets sent after ``since_s``; None if nothing came that tells it."""
        since_s = max(since_s, now_s - _KEPT_S)
        reports = [report for report in self._reported if report.since_s >= since_s]
        nacks = [nack for nack in self._requested if nack.at_s > since_s]
        losses = []
        if reports:
            span_s = reports[-1].until_s - reports[0].since_s
            losses.append(self._loss(sum(report.lost for report in reports), span_s))
        if nacks:
            losses.append(self._loss(sum(nack.count for nack in nacks), now_s - since_s))
        return max(losses, key=lambda loss: loss.share) if losses else None

    def density(self, since_s: float) -> float | None:
        """Return the share lost between the first and the last packet requested since then; None if unknown.

        Unlike ``within`` it does not depend on delays.
        """
        nacks = [nack for nack in self._requested if nack.at_s >= since_s]
        lost = sum(nack.count for nack in nacks[1:])
        if lost < _MIN_DENSITY_LOST:
            return None
        return lost / max(1, (nacks[-1].highest - nacks[0].highest) & 0xFFFF)

    def _counts(self, report: _Reported) -> bool:
        return report.since_s >= self._ignored_until_s

    def _loss(self, lost: float, span_s: float) -> Loss:
        return Loss(lost, lost * self._frame_s / max(span_s, self._frame_s))  # Reports may arrive at the same time.

    def _forget(self, now_s: float) -> None:
        while self._reported and self._reported[0].until_s < now_s - _KEPT_S:
            del self._reported[0]
        while self._requested and self._requested[0].at_s < now_s - _KEPT_S:
            del self._requested[0]


class RoundTripMeter:
    """The lowest round-trip time, and which ones are unusual.

    Attributes:
        base_s: Lowest value of the last 5 to 10 minutes; None before the first one.
    """

    __slots__ = ("_base_until_s", "_deviation_s", "_next_base_s", "_smoothed_s", "base_s")

    def __init__(self) -> None:
        self.base_s: float | None = None
        self._next_base_s = float("inf")
        self._base_until_s = 0.0
        self._smoothed_s = 0.0
        self._deviation_s = 0.0

    def note(self, rtt_s: float, now_s: float, *, is_usual: bool) -> None:
        """Record a value; unusual ones can lower the base, but do not count as jitter."""
        if self.base_s is None:
            self.base_s, self._smoothed_s, self._base_until_s = rtt_s, rtt_s, now_s + _BASE_LIFETIME_S
        if now_s >= self._base_until_s:
            self.base_s, self._next_base_s = min(self._next_base_s, rtt_s), rtt_s
            self._base_until_s = now_s + _BASE_LIFETIME_S
        self.base_s = min(self.base_s, rtt_s)
        self._next_base_s = min(self._next_base_s, rtt_s)
        if is_usual:  # RFC 6298, 2.3.
            self._deviation_s += (abs(self._smoothed_s - rtt_s) - self._deviation_s) / 4
            self._smoothed_s += (rtt_s - self._smoothed_s) / 8

    def restart(self, rtt_s: float, now_s: float) -> None:
        """Begin again with this value: the path has become a longer one."""
        self.base_s = None
        self.note(rtt_s, now_s, is_usual=True)

    @property
    def deviation_s(self) -> float:
        """Mean deviation of the usual values."""
        return self._deviation_s

    @property
    def late_s(self) -> float:
        """The value from which a round trip has met a queue or unusual jitter; infinite before the first value."""
        if self.base_s is None:
            return float("inf")
        usual_s = min(self._smoothed_s + 4 * self._deviation_s, self.base_s + _MAX_MARGIN_S)
        return max(self.base_s + _MIN_MARGIN_S, usual_s)


class CheckSeries:
    """Connectivity checks of our own at equal distances, and their round-trip times.

    Attributes:
        round_trips_s: Of the checks that were answered.
        started_s: When the first check was due.
    """

    __slots__ = ("_gap_s", "_left", "_sent_s", "round_trips_s", "started_s")

    def __init__(self, count: int, gap_s: float, now_s: float) -> None:
        self._gap_s = gap_s
        self.started_s = now_s
        self.round_trips_s: list[float] = []
        self._left = count
        self._sent_s: list[float] = []

    def take_check(self, now_s: float) -> bool:
        """Return whether a check is to be sent now."""
        if self._left == 0 or now_s < self._next_s:
            return False
        self._left -= 1
        self._sent_s.append(now_s)
        return True

    def note(self, rtt_s: float, now_s: float) -> None:
        """Record the answer to a check; ignored if that was sent before the series."""
        if now_s - rtt_s >= self.started_s - 0.001:
            self.round_trips_s.append(rtt_s)

    def late(self, limit_s: float, now_s: float) -> int:
        """Return how many checks were not answered within ``limit_s``."""
        due = sum(sent_s + limit_s <= now_s for sent_s in self._sent_s)
        return max(0, due - sum(rtt_s <= limit_s for rtt_s in self.round_trips_s))

    def is_over(self, limit_s: float, now_s: float) -> bool:
        """Return whether all checks were answered, or should have been."""
        if self._left:
            return False
        return len(self.round_trips_s) >= len(self._sent_s) or now_s >= self._sent_s[-1] + limit_s

    def timeout_s(self, limit_s: float) -> float:
        """Return when the next check or the last answer is due."""
        return self._next_s if self._left else self._sent_s[-1] + limit_s

    @property
    def _next_s(self) -> float:
        return self._sent_s[-1] + self._gap_s if self._sent_s else self.started_s
