"""RTCP session with one peer: reports, CNAME, BYE, NACK, circuit breaker (RFC 3550, RFC 4585, RFC 5506, RFC 8083).

Sans-I/O: call from one thread at a time, except ``snapshot``, which any thread may call. ``now_s`` is any monotonic
clock, in seconds; ``wall_s`` is in seconds since 1970. Packets are plaintext; the caller applies SRTCP. After every
call, send the packets from ``to_send`` and process ``events``; call ``handle_timeout`` at the time given by
``timeout_s``.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from random import Random

from .circuit_breaker import REPORT_INTERVAL_S, CircuitBreaker
from .rtcp_packets import (
    MAX_NACKED,
    Goodbye,
    Nack,
    Packet,
    Report,
    ReportBlock,
    SenderInfo,
    SourceDescription,
    ntp_middle,
    ntp_time,
    parse,
)

CLOCK_HZ = 48_000
"""RTP clock rate of Opus (RFC 7587, 4.1)."""

MAX_SOURCES = 8
"""Maximum number of sources tracked per peer."""

_SOURCE_TIMEOUT_S = 5 * REPORT_INTERVAL_S  # RFC 3550, 6.3.5.
_MAX_SENDER_REPORTS = 8
_MAX_ROUND_TRIP_S = 30.0
_RESENDS_PER_S = 100.0
_RESEND_BURST = float(MAX_NACKED)
"""Burst limit of resent packets; with ``_RESENDS_PER_S`` (twice the normal rate) it bounds what a peer can request.
Checked before a NACK is read, so a peer that requests more costs no time."""


@dataclass(frozen=True, slots=True)
class SentCounters:
    """Counters of the stream that we send, at one moment."""

    packets: int
    octets: int
    """RTP payload octets, without headers and padding."""
    rtp_timestamp: int
    """The stream's RTP time at that moment; reported together with the wall clock of the same moment."""


@dataclass(frozen=True, slots=True)
class ReceivedCounters:
    """Counters of one received stream since its first packet (RFC 3550, 6.4.1 and A.3)."""

    ssrc: int
    highest_sequence: int
    """Extended highest sequence number: the number of wraps is in the upper bits."""
    packets_received: int
    """Includes duplicates and late packets."""
    packets_lost: int
    """Expected minus received; may be negative."""
    jitter: int
    """Interarrival jitter, in RTP ticks."""


@dataclass(frozen=True, slots=True)
class LosslessReports:
    """Reports about our stream that were received without this session: each without loss, and with new packets."""

    count: int
    """Since the start of the session."""
    reporter: int
    """SSRC of the last one's sender."""
    block: ReportBlock
    """Of the last one."""
    received_s: float
    """When the last one arrived."""


@dataclass(frozen=True, slots=True)
class NackReceived:
    """The peer requests retransmission of these packets of our stream."""

    sequences: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class LossReported:
    """The peer reported on the reception of our stream."""

    fraction_lost: float
    """Fraction lost since the peer's previous report, 0 to 1."""
    packets_lost: int
    """Cumulative since the start of the stream."""
    jitter_ms: float
    round_trip_time_ms: float | None
    """By this report; None if it does not tell."""


@dataclass(frozen=True, slots=True)
class ByeReceived:
    """These sources have ended. The session continues until consent expires (RFC 7675, 5.2)."""

    ssrcs: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class SourceTimedOut:
    """Nothing was received from this source for five reporting intervals (RFC 3550, 6.3.5)."""

    ssrc: int


@dataclass(frozen=True, slots=True)
class CircuitBreakerTripped:
    """The circuit breaker tripped: stop sending, or send a tenth of the rate (RFC 8083, 4.5)."""

    reason: str


@dataclass(frozen=True, slots=True)
class SsrcCollision:
    """The peer sends media with our SSRC. A BYE is queued; the caller must use ``new_ssrc`` (RFC 3550, 8.2).

    A peer that sends no media collides with nothing: libdatachannel's players report with the SSRC that they receive.
    """

    old_ssrc: int
    new_ssrc: int


RtcpEvent = NackReceived | LossReported | ByeReceived | SourceTimedOut | CircuitBreakerTripped | SsrcCollision


@dataclass(frozen=True, slots=True)
class RtcpSnapshot:
    """The peer's last report about our stream."""

    packets_lost: int = 0
    fraction_lost: float = 0.0
    """0 to 1."""
    jitter_ms: float = 0.0
    round_trip_time_ms: float | None = None
    reports_received: int = 0
    """Reports about our stream so far, with this one."""


@dataclass(frozen=True, slots=True)
class _Reported:
    """What the peer has reported so far; replaced as a whole, because any thread reads it."""

    snapshot: RtcpSnapshot = RtcpSnapshot()
    lossless: int = 0
    """How many of the reports are ``LosslessReports``."""
    received_s: float = 0.0


@dataclass(slots=True)
class _Source:
    """State of one of the peer's sources."""

    heard_s: float
    last_sr: int = 0
    last_sr_s: float = 0.0
    expected: int = 0
    """As of our last report, like ``received`` and ``lost``."""
    received: int = 0
    lost: int = 0


class RtcpSession:
    """RTCP session with one peer.

    Attributes:
        ssrc: Our SSRC.
        malformed: Number of malformed RTCP packets received.
        ignored_nack_items: Number of NACK items (up to 17 packets each) that exceeded the peer's limit.
    """

    __slots__ = (
        "_breaker",
        "_cname",
        "_events",
        "_is_closed",
        "_is_first",
        "_next_s",
        "_out",
        "_previous_s",
        "_random",
        "_reported",
        "_reports",
        "_resends_left",
        "_resends_s",
        "_rsize",
        "_sender_reports",
        "_sent_before",
        "_sources",
        "ignored_nack_items",
        "malformed",
        "ssrc",
    )

    def __init__(
        self, ssrc: int, cname: str, *, sends: bool, rsize: bool, now_s: float, random: Random, reports: bool = True
    ) -> None:
        """
        Args:
            ssrc: Our SSRC.
            cname: Our CNAME; random, the same for all sources of the session (RFC 7022).
            sends: Whether we send a stream.
            rsize: Whether reduced-size RTCP was negotiated (RFC 5506).
            now_s: Current time.
            random: Randomizes report intervals and a new SSRC after a collision.
            reports: Whether to send reports. False: the caller sends sender reports by itself, with ``description``
                and the same wall clock; ``handle_timeout`` is never due.
        """
        self.ssrc = ssrc
        self.malformed = 0
        self.ignored_nack_items = 0
        self._cname = cname
        self._rsize = rsize
        self._random = random
        self._reports = reports
        self._breaker = CircuitBreaker(now_s) if sends else None
        self._is_first = True
        self._is_closed = False
        self._previous_s = now_s
        self._next_s = now_s + self._random_interval_s()
        self._sent_before = (0, 0)
        self._sender_reports: dict[int, None] = {}
        self._sources: dict[int, _Source] = {}
        self._resends_left = _RESEND_BURST
        self._resends_s = now_s
        self._reported = _Reported(received_s=now_s)
        self._out: list[bytes] = []
        self._events: list[RtcpEvent] = []

    def receive(self, packet: bytes, now_s: float, wall_s: float) -> None:
        """Process one authenticated, decrypted RTCP datagram. Never raises, whatever the bytes are."""
        if self._is_closed:
            return
        refilled = self._resends_left + (now_s - self._resends_s) * _RESENDS_PER_S
        self._resends_left, self._resends_s = min(refilled, _RESEND_BURST), now_s
        compound = parse(packet, int(self._resends_left))
        self.malformed += compound.malformed
        self.ignored_nack_items += compound.ignored_nack_items
        for part in compound.packets:
            self._receive_packet(part, now_s)
        self._receive_blocks([part for part in compound.packets if isinstance(part, Report)], now_s, wall_s)
        self._receive_nacks([part for part in compound.packets if isinstance(part, Nack)])

    def handle_timeout(
        self, now_s: float, wall_s: float, sent: SentCounters | None, received: Iterable[ReceivedCounters] = ()
    ) -> None:
        """Send a report if one is due, and update the circuit breaker.

        Call at ``timeout_s``; calls at other times are harmless.

        Args:
            now_s: Current time.
            wall_s: Wall clock at the same moment.
            sent: Counters of our stream; None if we send none.
            received: Counters of each of the peer's streams.
        """
        if self._is_closed:
            return
        if self._breaker is not None and sent is not None:
            self._breaker.update(sent.packets, now_s)
        if now_s < self._next_s or not self._reports:
            return
        # Timer reconsideration: the interval is drawn again (RFC 3550, 6.3.6).
        self._next_s = self._previous_s + self._random_interval_s()
        if now_s >= self._next_s:
            self._report(now_s, wall_s, sent, received)

    def timeout_s(self) -> float | None:
        """Return when ``handle_timeout`` is due, on the clock of ``now_s``; None if never, and after ``close``."""
        return self._next_s if self._reports and not self._is_closed else None

    def to_send(self) -> list[bytes]:
        """Return and clear the plaintext packets to send."""
        out, self._out = self._out, []
        return out

    def events(self) -> list[RtcpEvent]:
        """Return and clear the events since the last call, in order."""
        events, self._events = self._events, []
        return events

    def note_lossless(self, reports: LosslessReports, wall_s: float) -> None:
        """Process reports that were received elsewhere. Before ``receive`` and ``handle_timeout``.

        Args:
            reports: All of the session so far.
            wall_s: Wall clock when the last one arrived.
        """
        before, after = self._reported, self._with_lossless(reports, wall_s)
        if after is before or self._is_closed:
            return
        self._reported = after
        self._touch_source(reports.reporter, reports.received_s)
        if self._breaker is not None:
            count = after.lossless - before.lossless
            highest = reports.block.highest_sequence
            self._breaker.note_lossless_reports(count, highest, before.received_s, reports.received_s)

    @property
    def needs_no_lossless_reports(self) -> bool:
        """Whether further reports without loss would change nothing but the snapshot."""
        is_calm = self._breaker is not None and self._breaker.is_calm
        return is_calm and self._reported.snapshot.reports_received > 0 and not self._is_closed

    @property
    def description(self) -> bytes:
        """The SDES packet that follows each report."""
        return self._description().to_bytes()

    def snapshot(self, reports: LosslessReports | None = None, wall_s: float = 0.0) -> RtcpSnapshot:
        """Return the peer's last report, with those of ``note_lossless`` if they are given. Any thread."""
        return (self._reported if reports is None else self._with_lossless(reports, wall_s)).snapshot

    def _with_lossless(self, reports: LosslessReports, wall_s: float) -> _Reported:
        reported = self._reported
        if reports.count <= reported.lossless:
            return reported
        new = reports.count - reported.lossless
        snapshot = self._snapshot_of(
            reported.snapshot, reports.block, self._round_trip_time_s(reports.block, wall_s), new
        )
        return _Reported(snapshot, reports.count, reports.received_s)

    def request_resend(self, media_ssrc: int, sequences: Sequence[int]) -> None:
        """Send a NACK for packets of the peer's stream, without delay: two members need not wait (RFC 4585, 3.5.2)."""
        if sequences and not self._is_closed:
            nack = Nack(self.ssrc, media_ssrc, tuple(sequences))
            # On its own only if reduced-size RTCP was negotiated; otherwise in a compound packet (RFC 8834, 4.6).
            self._send((nack,) if self._rsize else (Report(self.ssrc, None), self._description(), nack))

    def close(self) -> None:
        """Queue a BYE and end the session. Idempotent."""
        if not self._is_closed:
            self._send_bye()
            self._is_closed = True

    def _random_interval_s(self) -> float:
        """Draw a report interval (RFC 3550, 6.3.1).

        Two members at our rates never exceed the RTCP share of 5 %, so the minimum interval applies.
        """
        interval_s = REPORT_INTERVAL_S / 2 if self._is_first else REPORT_INTERVAL_S
        return interval_s * self._random.uniform(0.5, 1.5) / 1.21828

    def _receive_packet(self, packet: Packet, now_s: float) -> None:
        if isinstance(packet, Goodbye):
            self._receive_bye(packet)
            return
        sender = packet.sender if isinstance(packet, Report) else None
        if sender is not None and packet.ssrc == self.ssrc:
            self._change_ssrc()
            return
        source = self._touch_source(packet.ssrc, now_s)
        if sender is not None:
            source.last_sr, source.last_sr_s = ntp_middle(sender.ntp_time), now_s

    def _receive_blocks(self, reports: Sequence[Report], now_s: float, wall_s: float) -> None:
        """Process the first block about our stream: one reporter has one (RFC 3550, 6.4.1)."""
        ours = (block for report in reports for block in report.blocks if block.ssrc == self.ssrc)
        if (block := next(ours, None)) is not None:
            self._receive_block(block, now_s, wall_s)

    def _receive_block(self, block: ReportBlock, now_s: float, wall_s: float) -> None:
        round_trip_time_s = self._round_trip_time_s(block, wall_s)
        now = self._snapshot_of(self._reported.snapshot, block, round_trip_time_s, 1)
        self._reported = _Reported(now, self._reported.lossless, now_s)
        round_trip_time_ms = None if round_trip_time_s is None else round_trip_time_s * 1000
        self._events.append(LossReported(now.fraction_lost, now.packets_lost, now.jitter_ms, round_trip_time_ms))
        if self._breaker is not None:
            self._breaker.note_report(block, round_trip_time_s, now_s)
            self._check_breaker()

    @staticmethod
    def _snapshot_of(
        before: RtcpSnapshot, block: ReportBlock, round_trip_time_s: float | None, reports: int
    ) -> RtcpSnapshot:
        known_ms = before.round_trip_time_ms if round_trip_time_s is None else round_trip_time_s * 1000
        count, jitter_ms = before.reports_received + reports, block.jitter * 1000 / CLOCK_HZ
        return RtcpSnapshot(block.packets_lost, block.fraction_lost / 256, jitter_ms, known_ms, count)

    def _round_trip_time_s(self, block: ReportBlock, wall_s: float) -> float | None:
        """Compute the round-trip time (RFC 3550, 6.4.1).

        Returns:
            The time, or None if the block refers to none of our sender reports, or the wall clock was set.
        """
        if block.last_sr not in self._sender_reports and (self._reports or not block.last_sr):
            return None
        elapsed = (ntp_middle(ntp_time(wall_s)) - block.last_sr - block.delay_since_last_sr) & 0xFFFFFFFF
        # Slightly negative values are rounding errors.
        round_trip_time_s = ((elapsed ^ 0x80000000) - 0x80000000) / 65536
        return max(0.0, round_trip_time_s) if -0.1 < round_trip_time_s < _MAX_ROUND_TRIP_S else None

    def _receive_nacks(self, nacks: Sequence[Nack]) -> None:
        self._resends_left -= sum(len(nack.sequences) for nack in nacks)
        ours = (nack.sequences for nack in nacks if nack.media_ssrc == self.ssrc)
        requested = dict.fromkeys(itertools.chain.from_iterable(ours))
        if requested:
            self._events.append(NackReceived(tuple(requested)))

    def _receive_bye(self, goodbye: Goodbye) -> None:
        ssrcs = tuple(ssrc for ssrc in goodbye.ssrcs if ssrc != self.ssrc)
        for ssrc in ssrcs:
            self._sources.pop(ssrc, None)
        if ssrcs:
            self._events.append(ByeReceived(ssrcs))

    def _touch_source(self, ssrc: int, now_s: float) -> _Source:
        source = self._sources.get(ssrc)
        if source is None:
            if len(self._sources) >= MAX_SOURCES:
                del self._sources[min(self._sources, key=lambda other: self._sources[other].heard_s)]
            source = self._sources[ssrc] = _Source(now_s)
        source.heard_s = now_s
        return source

    def _change_ssrc(self) -> None:
        """Resolve an SSRC collision: BYE for the old SSRC, then a new one (RFC 3550, 8.2)."""
        self._send_bye()
        old, self.ssrc = self.ssrc, self._random.randrange(1, 1 << 32)
        self._sender_reports.clear()
        self._events.append(SsrcCollision(old, self.ssrc))

    def _check_breaker(self) -> None:
        if self._breaker is not None and self._breaker.tripped:
            self._events.append(CircuitBreakerTripped(self._breaker.tripped))
            self._breaker = None

    def _report(
        self, now_s: float, wall_s: float, sent: SentCounters | None, received: Iterable[ReceivedCounters]
    ) -> None:
        sender, received = self._sender_info(sent, wall_s), tuple(received)
        if any(counters.ssrc == self.ssrc for counters in received):
            self._change_ssrc()
        blocks = [block for counters in received if (block := self._report_block(counters, now_s))]
        self._send((Report(self.ssrc, sender, tuple(blocks[:31])), self._description()))
        self._is_first = False
        self._previous_s = now_s
        self._next_s = now_s + self._random_interval_s()
        self._drop_silent_sources(now_s)

    def _sender_info(self, sent: SentCounters | None, wall_s: float) -> SenderInfo | None:
        """Return the sender info, or None if we sent nothing since the report before the last one (RFC 3550, 6.4)."""
        if sent is None:
            return None
        is_sender = sent.packets != self._sent_before[0]
        self._sent_before = (self._sent_before[1], sent.packets)
        if not is_sender:
            return None
        ntp = ntp_time(wall_s)
        self._sender_reports[ntp_middle(ntp)] = None
        if len(self._sender_reports) > _MAX_SENDER_REPORTS:
            del self._sender_reports[next(iter(self._sender_reports))]
        return SenderInfo(ntp, sent.rtp_timestamp & 0xFFFFFFFF, sent.packets & 0xFFFFFFFF, sent.octets & 0xFFFFFFFF)

    def _report_block(self, counters: ReceivedCounters, now_s: float) -> ReportBlock | None:
        """Return the report block, or None if nothing was received since the last report (RFC 3550, 6.4)."""
        source = self._sources.get(counters.ssrc)
        if counters.packets_received == (source.received if source else 0):
            return None
        source = self._touch_source(counters.ssrc, now_s)
        expected_now = counters.packets_received + counters.packets_lost
        expected, lost = expected_now - source.expected, counters.packets_lost - source.lost
        source.expected, source.received, source.lost = expected_now, counters.packets_received, counters.packets_lost
        fraction_lost = min(255, lost * 256 // expected) if expected > 0 and lost > 0 else 0
        delay = int((now_s - source.last_sr_s) * 65536) & 0xFFFFFFFF if source.last_sr else 0
        highest_sequence = counters.highest_sequence & 0xFFFFFFFF
        return ReportBlock(
            counters.ssrc,
            fraction_lost,
            counters.packets_lost,
            highest_sequence,
            counters.jitter,
            source.last_sr,
            delay,
        )

    def _drop_silent_sources(self, now_s: float) -> None:
        for ssrc in [ssrc for ssrc, source in self._sources.items() if source.heard_s <= now_s - _SOURCE_TIMEOUT_S]:
            del self._sources[ssrc]
            self._events.append(SourceTimedOut(ssrc))

    def _send_bye(self) -> None:
        self._send((Report(self.ssrc, None), self._description(), Goodbye((self.ssrc,))))

    def _description(self) -> SourceDescription:
        return SourceDescription(self.ssrc, self._cname)

    def _send(self, packets: Iterable[Packet]) -> None:
        self._out.append(b"".join(packet.to_bytes() for packet in packets))
