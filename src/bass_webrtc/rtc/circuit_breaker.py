"""RTP circuit breaker of one stream: decides when a sender must stop (RFC 8083, required by RFC 8834, 7.1).

It trips on any of three conditions: no reports arrive; reports say that no packets arrive; or a TCP connection on the
same path would get less than a tenth of our rate. No condition is met on a path that is good enough to listen
through: the circuit breaker is a last resort, not congestion control.
"""

from __future__ import annotations

from collections import deque
from math import sqrt

from .rtcp_packets import ReportBlock

REPORT_INTERVAL_S = 5.0
"""Td of RFC 8083: the RTCP interval for two members at our rates (RFC 3550, 6.3.1)."""

_RTCP_TIMEOUT_S = 3 * REPORT_INTERVAL_S  # RFC 8083, 4.1.
_STUCK_REPORTS = 5  # "k" of RFC 8083, 4.2.
_CONGESTION_WINDOW_S = 3 * REPORT_INTERVAL_S  # RFC 8083, 4.3: CB_INTERVAL is 3 reports at this interval.
_CONGESTION_REPORTS = 3
_MAX_CONGESTION_REPORTS = 64
"""Reports that are averaged, the latest ones, of a peer that reports more often than 4 times per second."""
_TCP_FACTOR = 10.0
_SAMPLE_S = 1.0
"""Minimum time over which the packet rate is measured; with DTX, packets are 0.4 s apart."""


class CircuitBreaker:
    """Circuit breaker of one stream that we send.

    Attributes:
        tripped: The reason it tripped; empty until then.
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
        self._losses: deque[tuple[float, float]] = deque(maxlen=_MAX_CONGESTION_REPORTS)
        self.tripped = ""

    def update(self, packets: int, now_s: float) -> None:
        """Record the number of packets sent so far, and trip if reports are missing.

        Time during which we send nothing does not count: no reports are due then.
        """
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
            self._trip(f"no RTCP reports about our stream for {_RTCP_TIMEOUT_S:g} s (RFC 8083, 4.1)")

    def deadline_s(self) -> float | None:
        """Return when missing reports will trip it; None while we send nothing, or once it has tripped."""
        if self._active_since_s is None or self.tripped:
            return None
        return max(self._active_since_s, self._reported_s) + _RTCP_TIMEOUT_S

    def note_report(self, block: ReportBlock, round_trip_time_s: float | None, now_s: float) -> None:
        """Process the peer's report block about our stream."""
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
        # A peer that reports very often must not be cut off by a short outage.
        if self._stuck_reports >= _STUCK_REPORTS and now_s - self._stuck_since_s >= REPORT_INTERVAL_S:
            self._trip("the peer receives no packets (RFC 8083, 4.2)")

    def _check_congestion(self, fraction_lost: float, round_trip_time_s: float | None, now_s: float) -> None:
        """Compare our rate with TCP's: 1 / (Tr × sqrt(2p / 3)) packets/s, its simplified throughput equation."""
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
