"""When a sender must stop: circuit breakers of one RTP stream (RFC 8083, which RFC 8834, 7.1 demands).

Three things say that sending on does harm or no good: nobody reports, reports say that nothing arrives, or a TCP
connection on the same path would get less than a tenth of what we take. None of them trips on a path that a person
would listen through; they are the last line, not congestion control.
"""

from __future__ import annotations

from collections import deque
from math import sqrt

from .rtcp_packets import ReportBlock

REPORT_INTERVAL_S = 5.0
"""Td of RFC 8083: what RTCP's timing rules give for two members at our rates (RFC 3550, 6.3.1)."""

_RTCP_TIMEOUT_S = 3 * REPORT_INTERVAL_S  # RFC 8083, 4.1.
_STUCK_REPORTS = 5  # "k" of RFC 8083, 4.2.
_CONGESTION_WINDOW_S = 3 * REPORT_INTERVAL_S  # RFC 8083, 4.3: CB_INTERVAL is 3 reports at this interval.
_CONGESTION_REPORTS = 3
_TCP_FACTOR = 10.0
_SAMPLE_S = 1.0
"""The rate is measured over this long at least; DTX leaves 0.4 s between two packets."""


class CircuitBreaker:
    """Watches one stream that we send.

    Attributes:
        tripped: Why it tripped; empty as long as it did not.
    """

    __slots__ = (
        "_active_since_s",
        "_highest_sequence",
        "_losses",
        "_packets",
        "_packets_per_s",
        "_reported_s",
        "_sampled_s",
        "_stuck_reports",
        "_stuck_since_s",
        "tripped",
    )

    def __init__(self, now_s: float) -> None:
        self._packets = 0
        self._packets_per_s = 0.0
        self._sampled_s = now_s
        self._active_since_s: float | None = None
        self._reported_s = now_s
        self._highest_sequence: int | None = None
        self._stuck_reports = 0
        self._stuck_since_s = now_s
        self._losses: deque[tuple[float, float]] = deque()
        self.tripped = ""

    def update(self, packets: int, now_s: float) -> None:
        """Tells how many packets were sent so far. Silence on our side is nobody's fault: time does not count then."""
        if now_s >= self._sampled_s + _SAMPLE_S:
            if packets == self._packets:
                self._active_since_s = None
                self._stuck_reports = 0
            elif self._active_since_s is None:
                self._active_since_s = self._sampled_s
            self._packets_per_s = (packets - self._packets) / (now_s - self._sampled_s)
            self._packets, self._sampled_s = packets, now_s
        deadline_s = self.deadline_s()
        if deadline_s is not None and now_s >= deadline_s:
            self._trip("nobody reports what arrives (RFC 8083, 4.1)")

    def deadline_s(self) -> float | None:
        """When the lack of reports will trip it, if nothing changes."""
        if self._active_since_s is None or self.tripped:
            return None
        return max(self._active_since_s, self._reported_s) + _RTCP_TIMEOUT_S

    def note_report(self, block: ReportBlock, round_trip_time_s: float | None, now_s: float) -> None:
        """Takes what the peer reports of our stream."""
        self._reported_s = now_s
        self._check_progress(block.highest_sequence, now_s)
        self._check_congestion(block.fraction_lost / 256, round_trip_time_s, now_s)

    def _check_progress(self, highest_sequence: int, now_s: float) -> None:
        before, self._highest_sequence = self._highest_sequence, highest_sequence
        if before is None or self._active_since_s is None or highest_sequence > before:
            self._stuck_reports = 0
            self._stuck_since_s = now_s
            return
        self._stuck_reports += 1
        # A peer that reports all the time is not cut off by a short outage.
        if self._stuck_reports >= _STUCK_REPORTS and now_s - self._stuck_since_s >= REPORT_INTERVAL_S:
            self._trip("nothing arrives (RFC 8083, 4.2)")

    def _check_congestion(self, fraction_lost: float, round_trip_time_s: float | None, now_s: float) -> None:
        """TCP would send 1 / (Tr × sqrt(2p / 3)) packets a second, in the simple form of its throughput equation."""
        self._losses.append((now_s, fraction_lost))
        while self._losses[0][0] <= now_s - _CONGESTION_WINDOW_S:
            self._losses.popleft()
        if round_trip_time_s is None or len(self._losses) < _CONGESTION_REPORTS:
            return
        mean = sum(fraction for _, fraction in self._losses) / len(self._losses)
        if self._packets_per_s * round_trip_time_s * sqrt(2 * mean / 3) > _TCP_FACTOR:
            self._trip("the path is congested (RFC 8083, 4.3)")

    def _trip(self, reason: str) -> None:
        self.tripped = self.tripped or reason
