"""RTP circuit breaker of one stream: decides when a sender must stop (RFC 8083, required by RFC 8834, 7.1).

It trips on either of two conditions: reports say that no packets arrive; or a TCP connection on the same path would get
less than a tenth of our rate. Neither is met on a path that is good enough to listen through: the circuit breaker is a
last resort, not congestion control.

Missing reports do not trip it, unlike RFC 8083, 4.1: some players send no RTCP at all, and ICE consent (RFC 7675)
proves every few seconds that the peer still wants what we send. RTP without ICE has no such proof.
"""

from __future__ import annotations

from math import sqrt

from .rtcp_packets import ReportBlock

REPORT_INTERVAL_S = 5.0
"""Td of RFC 8083: the RTCP interval for two members at our rates (RFC 3550, 6.3.1)."""

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
        "_highest_sequence",
        "_is_active",
        "_losses",
        "_packets",
        "_packets_per_s",
        "_sampled_s",
        "_stuck_reports",
        "_stuck_since_s",
        "tripped",
    )

    def __init__(self, now_s: float) -> None:
        self._packets = 0
        self._packets_per_s = 0.0
        self._sampled_s = now_s
        self._is_active = False
        self._highest_sequence: int | None = None
        self._stuck_reports = 0
        self._stuck_since_s = now_s
        self._losses: tuple[tuple[float, float], ...] = ()
        """Time and loss of the latest reports. An empty deque would hold 624 bytes."""
        self.tripped = ""

    def update(self, packets: int, now_s: float) -> None:
        """Record the number of packets sent so far."""
        if now_s >= self._sampled_s + _SAMPLE_S:
            self._is_active = packets != self._packets
            if not self._is_active:
                self._stuck_reports = 0
            self._packets_per_s = (packets - self._packets) / (now_s - self._sampled_s)
            self._packets, self._sampled_s = packets, now_s

    def note_report(self, block: ReportBlock, round_trip_time_s: float | None, now_s: float) -> None:
        """Process the peer's report block about our stream."""
        self._check_progress(block.highest_sequence, now_s)
        self._check_congestion(block.fraction_lost / 256, round_trip_time_s, now_s)

    def note_lossless_reports(self, count: int, highest_sequence: int, since_s: float, now_s: float) -> None:
        """Process reports without loss, each of which showed new packets, of which only the last one is known.

        Args:
            count: Number of reports.
            highest_sequence: Of the last one.
            since_s: When the report before them arrived. The others are taken to be evenly spaced.
            now_s: When the last one arrived.
        """
        self._check_progress(highest_sequence, now_s)
        newest_first = range(min(count, _MAX_CONGESTION_REPORTS))
        lossless = [(now_s - ago * (now_s - since_s) / count, 0.0) for ago in reversed(newest_first)]
        self._losses = (*self._losses, *lossless)[-_MAX_CONGESTION_REPORTS:]

    @property
    def is_calm(self) -> bool:
        """Whether the reports of the last seconds show neither loss nor a standstill."""
        return self._stuck_reports == 0 and not any(fraction for _, fraction in self._losses)

    def _check_progress(self, highest_sequence: int, now_s: float) -> None:
        before, self._highest_sequence = self._highest_sequence, highest_sequence
        if before is None or not self._is_active or highest_sequence > before:
            self._stuck_reports = 0
            self._stuck_since_s = now_s
            return
        self._stuck_reports += 1
        # A peer that reports very often must not be cut off by a short outage.
        if self._stuck_reports >= _STUCK_REPORTS and now_s - self._stuck_since_s >= REPORT_INTERVAL_S:
            self._trip("the peer receives no packets (RFC 8083, 4.2)")

    def _check_congestion(self, fraction_lost: float, round_trip_time_s: float | None, now_s: float) -> None:
        """Compare our rate with TCP's: 1 / (Tr × sqrt(2p / 3)) packets/s, its simplified throughput equation."""
        recent = [one for one in self._losses if one[0] > now_s - _CONGESTION_WINDOW_S]
        self._losses = (*recent, (now_s, fraction_lost))[-_MAX_CONGESTION_REPORTS:]
        if round_trip_time_s is None or len(self._losses) < _CONGESTION_REPORTS:
            return
        mean = sum(fraction for _, fraction in self._losses) / len(self._losses)
        if self._packets_per_s * round_trip_time_s * sqrt(2 * mean / 3) > _TCP_FACTOR:
            self._trip("the path is congested (RFC 8083, 4.3)")

    def _trip(self, reason: str) -> None:
        self.tripped = self.tripped or reason
