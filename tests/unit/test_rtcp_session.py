"""RTCP sessions in virtual time, alone and connected to each other."""

from __future__ import annotations

import random
import statistics
import struct
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bass_webrtc.rtc.rtcp import (
    MAX_SOURCES,
    ByeReceived,
    CircuitBreakerTripped,
    LosslessReports,
    LossReported,
    NackReceived,
    ReceivedCounters,
    RtcpEvent,
    RtcpSession,
    RtcpSnapshot,
    SentCounters,
    SourceTimedOut,
    SsrcCollision,
)
from bass_webrtc.rtc.rtcp_packets import (
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
from support.conformance import covers

OURS, THEIRS = 0x0000AAAA, 0x0000BBBB
WALL_S = 1_760_000_000.0
"""The wall clock at ``now_s`` 0."""
SENDER_REPORT_OF_OURS = Report(OURS, SenderInfo(1 << 32, 0, 1, 1)).to_bytes()


def session(
    *, sends: bool = True, rsize: bool = False, seed: int = 0, ssrc: int = OURS, now_s: float = 0.0
) -> RtcpSession:
    return RtcpSession(ssrc, "our cname", sends=sends, rsize=rsize, now_s=now_s, random=random.Random(seed))


def sent(now_s: float, packets_per_s: int = 50) -> SentCounters:
    packets = int(now_s * packets_per_s)
    return SentCounters(packets, packets * 320, 1000 + int(now_s * 48000))


Counters = Callable[[float], SentCounters]


def nothing_sent(now_s: float) -> SentCounters:
    return SentCounters(0, 0, 0)


def run(
    rtcp: RtcpSession, until_s: float, now_s: float = 0.0, counters: Counters | None = sent
) -> list[tuple[float, bytes]]:
    """Call ``handle_timeout`` whenever due, and return the packets sent with their times."""
    packets: list[tuple[float, bytes]] = []
    while (due_s := rtcp.timeout_s()) is not None and due_s <= until_s:
        now_s = max(due_s, now_s)
        rtcp.handle_timeout(now_s, WALL_S + now_s, counters(now_s) if counters else None)
        packets += [(now_s, data) for data in rtcp.to_send()]
    return packets


def block(
    *, ssrc: int = OURS, lost: float = 0.0, highest: int = 0, last_sr: int = 0, delay: int = 0, total: int = 0
) -> ReportBlock:
    return ReportBlock(ssrc, int(lost * 256), total, highest, 480, last_sr, delay)


def report(*blocks: ReportBlock, ssrc: int = THEIRS) -> bytes:
    return Report(ssrc, None, blocks).to_bytes()


def receive(rtcp: RtcpSession, data: bytes, now_s: float) -> list[RtcpEvent]:
    rtcp.receive(data, now_s, WALL_S + now_s)
    return rtcp.events()


def read(data: bytes) -> tuple[Packet, ...]:
    compound = parse(data)
    assert compound.malformed == 0
    return compound.packets


def lossless(count: int, now_s: float, *, highest: int = 0, last_sr: int = 0, delay: int = 0) -> LosslessReports:
    """Reports that were received elsewhere, every 5 s, the last one now."""
    return LosslessReports(count, THEIRS, block(highest=highest, last_sr=last_sr, delay=delay), now_s)


class TestLosslessReports:
    """What the network thread keeps."""

    def test_they_count_like_received_ones(self) -> None:
        rtcp = session()
        [(at_s, _data), *_] = run(rtcp, 4.0)
        last_sr = ntp_middle(ntp_time(WALL_S + at_s))
        receive(rtcp, report(block(lost=0.0, highest=100, total=3)), 5.0)
        reports = lossless(2, 15.0, highest=600, last_sr=last_sr, delay=int((15.0 - at_s - 0.25) * 65536))
        expected = rtcp.snapshot(reports, WALL_S + 15.0)
        assert expected.round_trip_time_ms == pytest.approx(250.0, abs=0.1)
        assert expected == RtcpSnapshot(0, 0.0, 10.0, expected.round_trip_time_ms, 3)
        assert rtcp.snapshot().reports_received == 1
        for _ in range(2):  # The second time, they are known.
            rtcp.note_lossless(reports, WALL_S + 15.0)
        assert rtcp.snapshot() == rtcp.snapshot(reports, WALL_S + 15.0) == expected
        receive(rtcp, report(block(highest=900)), 20.0)
        assert rtcp.snapshot(reports, WALL_S + 15.0).reports_received == 4
        assert rtcp.events() == []

    def test_reporter_does_not_time_out(self) -> None:
        rtcp = session()
        receive(rtcp, report(block()), 1.0)
        for second in range(5, 100, 5):
            rtcp.note_lossless(lossless(second // 5, float(second), highest=second), WALL_S + second)
            run(rtcp, float(second), float(second))
        assert rtcp.events() == []

    def test_they_are_enough_without_loss_and_while_packets_arrive(self) -> None:
        rtcp = session()
        assert not rtcp.needs_no_lossless_reports
        assert not session(sends=False).needs_no_lossless_reports
        receive(rtcp, report(block(highest=10)), 1.0)
        assert rtcp.needs_no_lossless_reports
        receive(rtcp, report(block(lost=0.1, highest=20)), 2.0)
        assert not rtcp.needs_no_lossless_reports
        receive(rtcp, report(block(highest=30)), 7.0)
        receive(rtcp, report(block(highest=40)), 12.0)
        assert not rtcp.needs_no_lossless_reports
        receive(rtcp, report(block(highest=50)), 17.1)
        assert rtcp.needs_no_lossless_reports
        rtcp.handle_timeout(18.0, WALL_S + 18.0, sent(18.0))
        receive(rtcp, report(block(highest=50)), 22.0)
        assert not rtcp.needs_no_lossless_reports
        rtcp.close()
        assert not rtcp.needs_no_lossless_reports

    @pytest.mark.parametrize("kept", [False, True])
    def test_circuit_breaker_trips_at_the_same_report(self, kept: bool) -> None:
        """It averages the loss of the last 15 s, with the reports without loss before it."""
        rtcp = session()
        last_sr = ntp_middle(ntp_time(WALL_S + run(rtcp, 4.0)[0][0]))
        receive(rtcp, report(block(highest=1)), 5.0)
        if kept:
            rtcp.note_lossless(lossless(3, 20.0, highest=500, last_sr=last_sr), WALL_S + 20.0)
        else:
            for second in (10, 15, 20):
                receive(rtcp, report(block(highest=25 * second, last_sr=last_sr)), float(second))
        tripped = []
        for second in range(25, 60, 5):
            now_s, elapsed = float(second), int((second - 20.0) * 65536)
            rtcp.handle_timeout(now_s, WALL_S + now_s, sent(now_s))
            lossy = block(lost=0.9, highest=25 * second, last_sr=last_sr, delay=elapsed)
            if any(isinstance(event, CircuitBreakerTripped) for event in receive(rtcp, report(lossy), now_s)):
                tripped.append(second)
        assert tripped == [25]

    @pytest.mark.parametrize("kept", [False, True])
    def test_standstill_after_them_is_counted_from_the_last_one(self, kept: bool) -> None:
        rtcp = session()
        receive(rtcp, report(block(highest=1)), 5.0)
        if kept:
            rtcp.note_lossless(lossless(1, 10.0, highest=500), WALL_S + 10.0)
        else:
            receive(rtcp, report(block(highest=500)), 10.0)
        tripped = []
        for second in range(15, 60, 5):
            rtcp.handle_timeout(float(second), WALL_S + second, sent(float(second)))
            if any(
                isinstance(event, CircuitBreakerTripped)
                for event in receive(rtcp, report(block(highest=500)), float(second))
            ):
                tripped.append(second)
        assert tripped == [35]


class TestReportsOfTheCaller:
    """The network thread sends the reports."""

    def silent(self) -> RtcpSession:
        return RtcpSession(
            OURS, "our cname", sends=True, rsize=False, now_s=0.0, random=random.Random(0), reports=False
        )

    def test_session_sends_nothing_but_its_bye(self) -> None:
        rtcp = self.silent()
        assert rtcp.timeout_s() is None
        for second in range(100):
            rtcp.handle_timeout(float(second), WALL_S + second, sent(float(second)))
        assert rtcp.to_send() == []
        assert read(rtcp.description) == (SourceDescription(OURS, "our cname"),)
        rtcp.close()
        [data] = rtcp.to_send()
        assert read(data)[-1] == Goodbye((OURS,))

    def test_round_trip_time_refers_to_reports_that_the_session_has_not_sent(self) -> None:
        rtcp = self.silent()
        last_sr = ntp_middle(ntp_time(WALL_S + 4.0))
        receive(rtcp, report(block(last_sr=last_sr, delay=65536)), 5.1)
        assert rtcp.snapshot().round_trip_time_ms == pytest.approx(100.0, abs=0.1)
        receive(rtcp, report(block(last_sr=0, delay=0)), 6.0)
        receive(rtcp, report(block(last_sr=last_sr ^ 0x55555555, delay=0)), 7.0)
        assert rtcp.snapshot().round_trip_time_ms == pytest.approx(100.0, abs=0.1)

    def test_circuit_breaker_knows_the_rate(self) -> None:
        rtcp = self.silent()
        tripped = []
        for second in range(5, 60, 5):
            now_s = float(second)
            rtcp.handle_timeout(now_s, WALL_S + now_s, sent(now_s))
            lossy = block(lost=0.9, highest=second, last_sr=ntp_middle(ntp_time(WALL_S + now_s - 0.5)))
            if any(isinstance(event, CircuitBreakerTripped) for event in receive(rtcp, report(lossy), now_s)):
                tripped.append(second)
        assert tripped == [15]


class TestReports:
    @covers("RT1", "RT4")
    def test_sender_sends_sr_and_cname(self) -> None:
        rtcp = session()
        [(at_s, data), *_] = run(rtcp, 10.0)
        report, description = read(data)
        counters = sent(at_s)
        info = SenderInfo(ntp_time(WALL_S + at_s), counters.rtp_timestamp, counters.packets, counters.octets)
        assert report == Report(OURS, info)
        assert description == SourceDescription(OURS, "our cname")

    @covers("RT1")
    def test_non_sender_sends_rr_and_cname(self) -> None:
        for rtcp, counters in ((session(sends=False), None), (session(), nothing_sent)):
            [(_, data), *_] = run(rtcp, 10.0, counters=counters)
            assert read(data) == (Report(OURS, None), SourceDescription(OURS, "our cname"))

    @covers("RT1")
    def test_stopped_sender_sends_one_more_sr(self) -> None:
        """RFC 3550, 6.4: "since issuing the last report or the previous one"."""
        kinds = []
        for at_s, data in run(session(), 60.0, counters=lambda now_s: sent(min(now_s, 8.0))):
            [report, _] = read(data)
            assert isinstance(report, Report)
            if at_s > 8.0:
                kinds.append(report.sender is not None)
        assert kinds[:2] == [True, True]
        assert len(kinds) > 5
        assert not any(kinds[2:])

    @covers("RT4")
    def test_counters_wrap_at_32_bits(self) -> None:
        rtcp = session()
        [(_, data)] = run(rtcp, 4.0, counters=lambda _: SentCounters(2**32 + 1, 2**32 + 2, 2**32 + 3))
        [report, _] = read(data)
        assert isinstance(report, Report)
        assert report.sender is not None
        assert (report.sender.packets, report.sender.octets, report.sender.rtp_timestamp) == (1, 2, 3)

    @covers("RT2")
    def test_interval_is_randomized_around_5_s_and_the_first_is_half(self) -> None:
        firsts, others = [], []
        for seed in range(200):
            times = [at_s for at_s, _ in run(session(sends=False, seed=seed), 60.0, counters=None)]
            firsts.append(times[0])
            others += [later - earlier for earlier, later in pairwise(times)]
        assert min(firsts) >= 2.5 * 0.5 / 1.21828
        assert max(firsts) <= 2 * 2.5 * 1.5 / 1.21828
        assert min(others) >= 5.0 * 0.5 / 1.21828
        assert max(others) <= 2 * 5.0 * 1.5 / 1.21828
        assert statistics.mean(others) == pytest.approx(5.0, rel=0.05)

    def test_early_calls_do_nothing(self) -> None:
        rtcp = session()
        for tick in range(60):
            rtcp.handle_timeout(tick / 60, WALL_S, sent(0.0))
        assert rtcp.to_send() == []


class TestReceptionReports:
    """Report blocks that we send, from the caller's counters."""

    def counters(self, received: int, lost: int, highest: int = 70_000, jitter: int = 96) -> ReceivedCounters:
        return ReceivedCounters(THEIRS, highest, received, lost, jitter)

    def report_at(self, rtcp: RtcpSession, now_s: float, *counters: ReceivedCounters) -> Report:
        rtcp.handle_timeout(now_s, WALL_S + now_s, None, counters)
        [data] = rtcp.to_send()
        [report, _] = read(data)
        assert isinstance(report, Report)
        return report

    @covers("RT4")
    def test_report_contains_interval_and_cumulative_loss(self) -> None:
        rtcp = session(sends=False)
        [first] = self.report_at(rtcp, 10.0, self.counters(75, 25)).blocks
        assert (first.ssrc, first.fraction_lost, first.packets_lost) == (THEIRS, 64, 25)
        assert (first.highest_sequence, first.jitter) == (70_000, 96)
        [second] = self.report_at(rtcp, 30.0, self.counters(165, 35)).blocks
        assert (second.fraction_lost, second.packets_lost) == (25, 35)

    @covers("RT4")
    @pytest.mark.parametrize(("received", "lost", "fraction"), [(110, -10, 0), (10, 0, 0), (1, 10_000, 255)])
    def test_fraction_lost_is_clamped_to_8_bits(self, received: int, lost: int, fraction: int) -> None:
        """Duplicates make the loss negative, which is reported as none."""
        [made] = self.report_at(session(sends=False), 10.0, self.counters(received, lost)).blocks
        assert (made.fraction_lost, made.packets_lost) == (fraction, lost)

    @covers("RT4")
    def test_report_contains_last_sender_report_and_its_age(self) -> None:
        rtcp = session(sends=False)
        sender_report = Report(THEIRS, SenderInfo(0x11112222_33334444, 0, 1, 1)).to_bytes()
        receive(rtcp, sender_report, 9.5)
        [made] = self.report_at(rtcp, 10.0, self.counters(10, 0)).blocks
        assert (made.last_sr, made.delay_since_last_sr) == (0x22223333, 32768)

    def test_report_omits_stream_without_new_packets(self) -> None:
        rtcp = session(sends=False)
        assert len(self.report_at(rtcp, 10.0, self.counters(10, 0)).blocks) == 1
        assert self.report_at(rtcp, 30.0, self.counters(10, 0)).blocks == ()
        assert len(self.report_at(rtcp, 50.0, self.counters(11, 0)).blocks) == 1

    def test_highest_sequence_is_truncated_to_32_bits(self) -> None:
        [made] = self.report_at(session(sends=False), 10.0, self.counters(1, 0, highest=2**32 + 5)).blocks
        assert made.highest_sequence == 5


class TestPeerReports:
    @covers("RT4")
    def test_loss_and_jitter_are_reported_as_event_and_snapshot(self) -> None:
        rtcp = session()
        assert rtcp.snapshot() == RtcpSnapshot()
        [event] = receive(rtcp, report(block(lost=0.25, total=7)), 1.0)
        assert event == LossReported(0.25, 7, 10.0, None)
        assert rtcp.snapshot() == RtcpSnapshot(7, 0.25, 10.0, None, 1)

    def test_blocks_about_other_streams_are_ignored(self) -> None:
        rtcp = session()
        assert receive(rtcp, report(block(ssrc=5, lost=0.5)), 1.0) == []
        assert rtcp.snapshot() == RtcpSnapshot()

    @covers("RT4")
    @given(st.floats(0.0, 2.0), st.floats(0.0, 8.0))
    def test_round_trip_time_is_measured(self, there_and_back_s: float, held_s: float) -> None:
        rtcp = session()
        [(at_s, data), *_] = run(rtcp, 4.0)
        [sender_report, _] = read(data)
        assert isinstance(sender_report, Report)
        assert sender_report.sender is not None
        answer = block(last_sr=ntp_middle(sender_report.sender.ntp_time), delay=int(held_s * 65536))
        receive(rtcp, report(answer), at_s + there_and_back_s + held_s)
        measured_ms = rtcp.snapshot().round_trip_time_ms
        assert measured_ms == pytest.approx(there_and_back_s * 1000, abs=0.1)

    @pytest.mark.parametrize("last_sr", [0, 1, 0xFFFFFFFF, ntp_middle(ntp_time(WALL_S + 4.9))])
    def test_round_trip_time_is_unknown_for_a_report_we_did_not_send(self, last_sr: int) -> None:
        rtcp = session()
        run(rtcp, 4.0)
        receive(rtcp, report(block(last_sr=last_sr)), 5.0)
        assert rtcp.snapshot().round_trip_time_ms is None

    @pytest.mark.parametrize("step_s", [-3600.0, 3600.0])
    def test_setting_the_wall_clock_does_not_affect_round_trip_time(self, step_s: float) -> None:
        rtcp = session()
        [(at_s, data), *_] = run(rtcp, 4.0)
        [sender_report, _] = read(data)
        assert isinstance(sender_report, Report)
        assert sender_report.sender is not None
        answer = report(block(last_sr=ntp_middle(sender_report.sender.ntp_time)))
        rtcp.receive(answer, at_s + 0.05, WALL_S + at_s + 0.05)
        rtcp.receive(answer, at_s + 0.06, WALL_S + at_s + step_s)
        assert rtcp.snapshot().round_trip_time_ms == pytest.approx(50.0, abs=0.1)

    @covers("RT4")
    def test_two_sessions_measure_each_other(self) -> None:
        """One sends, one receives; 20 ms each way; the receiver loses a tenth."""
        sender, receiver = session(seed=1), session(sends=False, seed=2, ssrc=THEIRS)
        in_flight: list[tuple[float, RtcpSession, bytes]] = []
        for tick in range(3_000):
            now_s = tick / 100
            got = ReceivedCounters(OURS, int(now_s * 50), int(now_s * 45), int(now_s * 50) - int(now_s * 45), 144)
            sender.handle_timeout(now_s, WALL_S + now_s, sent(now_s))
            receiver.handle_timeout(now_s, WALL_S + now_s, None, [got])
            in_flight += [(now_s + 0.02, receiver, data) for data in sender.to_send()]
            in_flight += [(now_s + 0.02, sender, data) for data in receiver.to_send()]
            for arrival in [arrival for arrival in in_flight if arrival[0] <= now_s]:
                in_flight.remove(arrival)
                arrival[1].receive(arrival[2], now_s, WALL_S + now_s)
        snapshot = sender.snapshot()
        assert snapshot.round_trip_time_ms == pytest.approx(40.0, abs=11.0)
        assert snapshot.fraction_lost == pytest.approx(0.1, abs=0.02)
        assert snapshot.packets_lost == pytest.approx(150, abs=40)
        assert snapshot.jitter_ms == 3.0
        assert all(isinstance(event, LossReported) for event in sender.events())


class TestNack:
    def nack(self, *sequences: int, media_ssrc: int = OURS) -> bytes:
        return Nack(THEIRS, media_ssrc, sequences).to_bytes()

    def test_nack_for_our_packets_becomes_an_event(self) -> None:
        assert receive(session(), self.nack(65535, 0, 7), 1.0) == [NackReceived((65535, 0, 7))]

    @covers("RT3")
    def test_reduced_size_nack_is_always_accepted(self) -> None:
        for rsize in (True, False):
            assert receive(session(rsize=rsize), self.nack(5), 1.0) == [NackReceived((5,))]

    def test_nack_for_another_stream_is_ignored(self) -> None:
        assert receive(session(), self.nack(5, media_ssrc=9), 1.0) == []

    def test_nacks_cannot_cause_a_flood(self) -> None:
        rtcp = session()
        requested = 0
        for tick in range(1_000):
            for event in receive(rtcp, self.nack(*range(0, 17 * 20, 17)), tick / 100):
                assert isinstance(event, NackReceived)
                requested += len(event.sequences)
        assert 1000 <= requested <= 1200

    def test_repeated_request_in_one_datagram_is_one_resend(self) -> None:
        assert receive(session(), self.nack(5, 4, 5) * 20, 1.0) == [NackReceived((5, 4))]

    def test_nacks_beyond_the_limit_are_not_read_and_counted(self) -> None:
        """What they request, and about which stream, makes no difference."""
        largest = struct.pack("!BBHII", 0x81, 205, 282, THEIRS, 9) + b"\x00\x01\xff\xff" * 280
        rtcp = session()
        assert receive(rtcp, largest, 1.0) == []
        assert rtcp.ignored_nack_items == 280 - 12
        assert receive(rtcp, largest + self.nack(5), 1.0) == []
        assert rtcp.ignored_nack_items == 280 - 12 + 281
        assert receive(rtcp, self.nack(5), 1.05) == [NackReceived((5,))]

    @covers("RT3")
    def test_our_nack_is_reduced_size_only_if_negotiated(self) -> None:
        reduced, compound = session(rsize=True), session(rsize=False)
        for rtcp in (reduced, compound):
            rtcp.request_resend(THEIRS, [])
            rtcp.request_resend(THEIRS, [1, 2])
        nack = Nack(OURS, THEIRS, (1, 2))
        [data] = reduced.to_send()
        assert read(data) == (nack,)
        [data] = compound.to_send()
        assert read(data) == (Report(OURS, None), SourceDescription(OURS, "our cname"), nack)


class TestSources:
    @covers("RT6")
    def test_close_sends_bye_once(self) -> None:
        rtcp = session()
        rtcp.close()
        rtcp.close()
        [data] = rtcp.to_send()
        assert read(data) == (Report(OURS, None), SourceDescription(OURS, "our cname"), Goodbye((OURS,)))
        assert rtcp.timeout_s() is None
        assert receive(rtcp, report(block()), 1.0) == []
        rtcp.handle_timeout(10.0, WALL_S, sent(10.0))
        rtcp.request_resend(THEIRS, [1])
        assert rtcp.to_send() == []

    @covers("RT6")
    def test_received_bye_ends_source_but_not_session(self) -> None:
        rtcp = session()
        assert receive(rtcp, report() + Goodbye((THEIRS, 7)).to_bytes(), 1.0) == [ByeReceived((THEIRS, 7))]
        assert rtcp.timeout_s() is not None

    def test_bye_with_our_ssrc_is_ignored(self) -> None:
        assert receive(session(), Goodbye((OURS,)).to_bytes(), 1.0) == []

    @covers("RT8")
    def test_source_times_out_after_five_intervals(self) -> None:
        rtcp = session(sends=False)
        receive(rtcp, report(), 1.0)
        run(rtcp, 25.9, counters=None)
        assert rtcp.events() == []
        run(rtcp, 40.0, counters=None)
        assert rtcp.events() == [SourceTimedOut(THEIRS)]

    @covers("RT8")
    def test_active_stream_keeps_its_source(self) -> None:
        rtcp = session(sends=False)
        receive(rtcp, report(), 1.0)
        for second in range(2, 120):
            counters = ReceivedCounters(THEIRS, second * 50, second * 50, 0, 0)
            rtcp.handle_timeout(float(second), WALL_S, None, [counters])
        assert rtcp.events() == []

    def test_number_of_sources_is_bounded(self) -> None:
        rtcp = session(sends=False)
        for ssrc in range(100_000, 101_000):
            receive(rtcp, report(ssrc=ssrc), 1.0)
        run(rtcp, 60.0, counters=None)
        assert len(rtcp.events()) == MAX_SOURCES

    def test_datagram_reports_once_on_our_stream(self) -> None:
        rtcp = session()
        datagram = report(*[block(lost=0.5)] * 31) + report(block(lost=0.25), ssrc=7)
        assert receive(rtcp, datagram, 1.0) == [LossReported(0.5, 0, 10.0, None)]

    @covers("RT8")
    @pytest.mark.parametrize("media", ["sender report", "RTP"])
    def test_media_with_our_ssrc_causes_bye_and_new_ssrc(self, media: str) -> None:
        rtcp = session()
        if media == "sender report":
            rtcp.receive(SENDER_REPORT_OF_OURS, 1.0, WALL_S)
        else:
            rtcp.handle_timeout(10.0, WALL_S, None, [ReceivedCounters(OURS, 99, 100, 0, 0)])
        assert rtcp.events() == [SsrcCollision(OURS, rtcp.ssrc)]
        assert rtcp.ssrc != OURS
        goodbye, *_ = rtcp.to_send()
        assert read(goodbye)[-1] == Goodbye((OURS,))
        [(_, data), *_] = run(rtcp, 20.0)
        [later, _] = read(data)
        assert later.to_bytes()[4:8] == rtcp.ssrc.to_bytes(4)

    def test_repeated_collision_in_one_datagram_causes_one_bye(self) -> None:
        rtcp = session()
        assert len(receive(rtcp, SENDER_REPORT_OF_OURS * 32, 1.0)) == 1
        assert len(rtcp.to_send()) == 1

    @covers("RT8")
    def test_receiver_that_reports_with_our_ssrc_is_no_collision(self) -> None:
        """As libdatachannel's players do: they have no SSRC of their own."""
        rtcp = session()
        events: list[RtcpEvent] = []
        for second in range(1, 60):
            run(rtcp, float(second))
            packets = report(block(highest=second * 50, lost=0.25), ssrc=OURS) + SourceDescription(OURS, "x").to_bytes()
            events += receive(rtcp, packets + Nack(OURS, OURS, (second,)).to_bytes(), float(second))
        assert rtcp.ssrc == OURS
        assert len([event for event in events if isinstance(event, LossReported)]) == 59
        assert len([event for event in events if isinstance(event, NackReceived)]) == 59
        assert len(events) == 2 * 59

    def test_streams_and_reporters_with_ssrc_0_are_like_any_other(self) -> None:
        rtcp = session(sends=False)
        assert receive(rtcp, Report(0, SenderInfo(1 << 32, 0, 1, 1)).to_bytes(), 1.0) == []
        rtcp.handle_timeout(10.0, WALL_S, None, [ReceivedCounters(0, 99, 100, 0, 0)])
        [data] = rtcp.to_send()
        sent_report = read(data)[0]
        assert isinstance(sent_report, Report)
        [sent_block] = sent_report.blocks
        assert (sent_block.ssrc, sent_block.last_sr, sent_block.delay_since_last_sr) == (0, 1 << 16, 9 * 65536)
        assert receive(rtcp, Goodbye((0,)).to_bytes(), 11.0) == [ByeReceived((0,))]


class TestCircuitBreaker:
    """RFC 8083."""

    def trips(
        self, rtcp: RtcpSession, until_s: float, counters: Counters | None = sent, now_s: float = 0.0
    ) -> list[RtcpEvent]:
        run(rtcp, until_s, now_s, counters)
        return [event for event in rtcp.events() if isinstance(event, CircuitBreakerTripped)]

    def reported(
        self, rtcp: RtcpSession, every_s: float, count: int, make: Callable[[float], ReportBlock]
    ) -> float | None:
        """Return when it trips while the peer reports regularly; None if it does not."""
        for number in range(1, count + 1):
            now_s = number * every_s
            rtcp.handle_timeout(now_s, WALL_S + now_s, sent(now_s))
            rtcp.receive(report(make(now_s)), now_s, WALL_S + now_s)
            if any(isinstance(event, CircuitBreakerTripped) for event in rtcp.events()):
                return now_s
        return None

    @covers("RT7")
    def test_missing_reports_do_not_trip(self) -> None:
        """Players without RTCP live as long as they answer ICE checks (RFC 7675); also one whose reports stop."""
        rtcp = session()
        assert self.trips(rtcp, 1_000.0) == []
        assert rtcp.snapshot().reports_received == 0
        receive(rtcp, report(block(highest=500)), 1_000.0)
        assert self.trips(rtcp, 2_000.0, now_s=1_000.0) == []
        assert rtcp.snapshot().reports_received == 1

    @covers("RT7")
    def test_trips_once(self) -> None:
        rtcp = session()
        assert self.reported(rtcp, 5.0, 20, lambda now_s: block(highest=7)) is not None
        assert self.reported(rtcp, 5.0, 20, lambda now_s: block(highest=7)) is None

    @covers("RT7")
    def test_pause_in_our_stream_does_not_count(self) -> None:
        """We send nothing, so reports show no progress."""
        rtcp = session()
        for number in range(1, 20):
            now_s = number * 5.0
            rtcp.handle_timeout(now_s, WALL_S + now_s, sent(5.0))
            rtcp.receive(report(block(highest=250)), now_s, WALL_S + now_s)
        assert not any(isinstance(event, CircuitBreakerTripped) for event in rtcp.events())

    @covers("RT7")
    def test_frequent_calls_do_not_affect_it(self) -> None:
        """One timer serves several protocols, so calls may occur every few milliseconds, between two packets."""
        rtcp = session()
        tripped_s = None
        for tick in range(40_000):
            now_s = tick / 1000
            rtcp.handle_timeout(now_s, WALL_S + now_s, sent(now_s))
            if tick % 5_000 == 4_999:
                rtcp.receive(report(block(highest=7)), now_s, WALL_S + now_s)
            if any(isinstance(event, CircuitBreakerTripped) for event in rtcp.events()):
                tripped_s = now_s
                break
        assert tripped_s == pytest.approx(30.0, abs=0.1)

    @covers("RT7")
    def test_five_reports_without_progress_trip(self) -> None:
        assert self.reported(session(), 5.0, 20, lambda now_s: block(highest=7, lost=0)) == 30.0

    @covers("RT7")
    def test_frequent_reports_without_progress_trip_after_a_whole_interval(self) -> None:
        tripped_s = self.reported(session(), 0.25, 100, lambda now_s: block(highest=7))
        assert tripped_s is not None
        assert 5.0 <= tripped_s <= 7.0

    @covers("RT7")
    def test_one_report_of_progress_prevents_tripping(self) -> None:
        """Every fifth report shows progress."""
        assert self.reported(session(), 5.0, 40, lambda now_s: block(highest=int(now_s) // 25)) is None

    @covers("RT7")
    @pytest.mark.parametrize(
        ("round_trip_s", "lost", "trips"),
        [
            (0.05, 0.9, False),
            (0.3, 0.5, False),
            (0.3, 0.9, True),
            (1.0, 0.05, False),
            (1.0, 0.1, True),
            (None, 0.9, False),
        ],
    )
    def test_congestion_trips_if_tcp_would_get_less_than_a_tenth(
        self, round_trip_s: float | None, lost: float, trips: bool
    ) -> None:
        """50 packets/s > 10 / (Tr × sqrt(2p / 3)), that is, p > 0.06 / Tr²."""
        rtcp = session()
        last_sr = 0
        tripped = False
        for number in range(1, 15):
            now_s = number * 5.0
            rtcp.handle_timeout(now_s, WALL_S + now_s, sent(now_s))
            for data in rtcp.to_send():
                [made, _] = read(data)
                assert isinstance(made, Report)
                assert made.sender is not None
                last_sr = ntp_middle(made.sender.ntp_time)
                sent_s = now_s
            if round_trip_s is None:
                answer = block(highest=int(now_s * 50), lost=lost)
            else:
                held = int((now_s + 1.0 - sent_s - round_trip_s) * 65536)
                answer = block(highest=int(now_s * 50), lost=lost, last_sr=last_sr, delay=held)
            rtcp.receive(report(answer), now_s + 1.0, WALL_S + now_s + 1.0)
            tripped = tripped or any(isinstance(event, CircuitBreakerTripped) for event in rtcp.events())
        assert tripped == trips


class TestAnyBytes:
    @covers("SE70")
    @given(st.lists(st.binary(max_size=120)))
    def test_never_raises(self, datagrams: list[bytes]) -> None:
        rtcp = session()
        for data in datagrams:
            rtcp.receive(data, 1.0, WALL_S)
        run(rtcp, 20.0)

    @covers("RT5", "SE70")
    def test_malformed_packets_are_counted(self) -> None:
        rtcp = session()
        receive(rtcp, b"\x80", 1.0)
        receive(rtcp, report(block())[:-4], 1.0)
        assert rtcp.malformed == 2
