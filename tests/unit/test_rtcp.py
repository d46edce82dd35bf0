"""Parsing and serialization of RTCP packets, also of malformed ones."""

from __future__ import annotations

import struct
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bass_webrtc.rtc.rtcp_packets import (
    MAX_PACKETS,
    Compound,
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

u16 = st.integers(0, 2**16 - 1)
u32 = st.integers(0, 2**32 - 1)
blocks = st.builds(ReportBlock, u32, st.integers(0, 255), st.integers(-(2**23), 2**23 - 1), u32, u32, u32, u32)
senders = st.builds(SenderInfo, st.integers(0, 2**64 - 1), u32, u32, u32)
packets: st.SearchStrategy[Packet] = st.one_of(
    st.builds(Report, u32, st.none() | senders, st.lists(blocks, max_size=4).map(tuple)),
    st.builds(SourceDescription, u32, st.text(max_size=60)),
    st.builds(Goodbye, st.lists(u32, min_size=1, max_size=31).map(tuple)),
    st.builds(Nack, u32, u32, st.sets(u16, min_size=1, max_size=40).map(lambda found: tuple(sorted(found)))),
)

# A receiver report from Chrome with one block.
RECEIVER_REPORT = bytes.fromhex(
    "81c90007 00000001 11223344 40fffffe 0001abcd 00000030 12345678 00010000".replace(" ", "")
)
SENDER_REPORT = bytes.fromhex("80c80006 aabbccdd e8fe6f80 80000000 00000bb8 00000064 00002710".replace(" ", ""))
CNAME = bytes.fromhex("81ca0003 aabbccdd 0103414243000000".replace(" ", ""))


def header(kind: int, body: bytes, count: int = 0, words: int | None = None) -> bytes:
    return struct.pack("!BBH", 0x80 | count, kind, len(body) // 4 if words is None else words) + body


class TestParse:
    @covers("RT4")
    def test_receiver_report(self) -> None:
        [packet] = parse(RECEIVER_REPORT).packets
        block = ReportBlock(0x11223344, 0x40, -2, 0x1ABCD, 48, 0x12345678, 65536)
        assert packet == Report(1, None, (block,))

    @covers("RT1")
    def test_compound_of_sender_report_and_cname(self) -> None:
        sender = SenderInfo(0xE8FE6F80_80000000, 3000, 100, 10000)
        expected = (Report(0xAABBCCDD, sender), SourceDescription(0xAABBCCDD, "ABC"))
        assert parse(SENDER_REPORT + CNAME) == Compound(expected, 0)

    @covers("RT3")
    def test_reduced_size_packet_of_any_type_is_parsed(self) -> None:
        nack = header(205, struct.pack("!IIHH", 1, 2, 65534, 0b1000000000000111), count=1)
        [packet] = parse(nack).packets
        assert packet == Nack(1, 2, (65534, 65535, 0, 1, 14))

    @covers("RT5")
    @pytest.mark.parametrize(
        "ignored",
        [
            pytest.param(header(207, bytes(4) + struct.pack("!BBH", 4, 0, 2) + bytes(8)), id="XR"),
            pytest.param(header(204, bytes(4) + b"name" + bytes(8)), id="APP"),
            pytest.param(header(206, bytes(8) + b"REMB" + bytes(8), count=15), id="REMB"),
            pytest.param(header(205, bytes(16), count=15), id="transport-wide-cc"),
            pytest.param(header(206, bytes(8), count=1), id="PLI"),
            pytest.param(header(199, bytes(8)), id="unknown"),
        ],
    )
    def test_unknown_packets_are_skipped(self, ignored: bytes) -> None:
        assert parse(ignored) == Compound((), 0)
        assert parse(RECEIVER_REPORT + ignored + CNAME).packets == parse(RECEIVER_REPORT + CNAME).packets

    @covers("RT5")
    @pytest.mark.parametrize(
        "broken",
        [
            pytest.param(header(201, bytes(4) + bytes(24), count=2), id="more-blocks-than-data"),
            pytest.param(header(200, bytes(20), count=0), id="sender-report-too-short"),
            pytest.param(header(201, b""), id="no-ssrc"),
            pytest.param(header(203, bytes(4), count=2), id="bye-too-short"),
            pytest.param(header(205, bytes(4), count=1), id="nack-too-short"),
            pytest.param(header(202, bytes(4) + b"\x01\xffab", count=1), id="cname-too-long"),
            pytest.param(header(202, bytes(8), count=2), id="chunk-missing"),
        ],
    )
    def test_malformed_packet_is_skipped(self, broken: bytes) -> None:
        compound = parse(RECEIVER_REPORT + broken + CNAME)
        assert compound.packets == parse(RECEIVER_REPORT + CNAME).packets
        assert compound.malformed == 1

    @covers("RT5")
    @pytest.mark.parametrize(
        "end",
        [b"\x80", b"\x80\xc9\x00", header(201, bytes(4), words=9), b"\x41" + RECEIVER_REPORT[1:]],
        ids=["one-byte", "three-bytes", "length-beyond-the-datagram", "version-1"],
    )
    def test_parsing_stops_if_next_packet_cannot_be_located(self, end: bytes) -> None:
        compound = parse(RECEIVER_REPORT + end)
        assert compound.packets == parse(RECEIVER_REPORT).packets
        assert compound.malformed == 1

    def test_padding_is_not_parsed(self) -> None:
        padded = b"\xa0" + header(203, bytes(4) + b"\x00\x00\x00\x04")[1:]
        assert parse(padded) == Compound((Goodbye(()),), 0)
        assert parse(b"\xa1" + padded[1:]).packets == (Goodbye((0,)),)
        too_much = padded[:-1] + b"\xff"
        assert parse(b"\xa1" + too_much[1:]).malformed == 1
        more_than_all = b"\xa1" + header(203, b"\x00\x00\x00\xff")[1:]
        assert parse(more_than_all + RECEIVER_REPORT * 10).malformed == 1

    def test_profile_extension_after_blocks_is_ignored(self) -> None:
        extended = header(201, RECEIVER_REPORT[4:] + bytes(12), count=1)
        assert parse(extended) == parse(RECEIVER_REPORT)


class TestSerialize:
    @covers("RT4")
    def test_parsed_samples_serialize_to_the_same_bytes(self) -> None:
        for data in (RECEIVER_REPORT, SENDER_REPORT, CNAME):
            [packet] = parse(data).packets
            assert packet.to_bytes() == data

    def test_report_can_hold_31_blocks(self) -> None:
        report = Report(1, None, tuple(ReportBlock(ssrc, 0, 0, 0, 0, 0, 0) for ssrc in range(31)))
        assert parse(report.to_bytes()).packets == (report,)

    @given(st.lists(packets, max_size=3))
    def test_serialized_packets_are_parsed_back(self, written: list[Packet]) -> None:
        data = b"".join(packet.to_bytes() for packet in written)
        assert len(data) % 4 == 0
        assert parse(data) == Compound(tuple(written), 0)

    @covers("RT4")
    @pytest.mark.parametrize("lost", [2**23, 10**9, -(2**23) - 1, -(10**9)])
    def test_cumulative_loss_is_clamped_to_24_bits(self, lost: int) -> None:
        block = ReportBlock(1, 0, lost, 0, 0, 0, 0)
        [report] = parse(Report(1, None, (block,)).to_bytes()).packets
        assert isinstance(report, Report)
        assert report.blocks[0].packets_lost == (2**23 - 1 if lost > 0 else -(2**23))

    def test_nack_across_sequence_wrap_is_one_item(self) -> None:
        assert len(Nack(1, 2, (65535, 0, 15)).to_bytes()) == 16
        assert len(Nack(1, 2, (65535, 0, 16)).to_bytes()) == 20


class TestNtp:
    def test_counts_from_1900(self) -> None:
        assert ntp_time(0.5) == (2_208_988_800 << 32) + 2**31
        assert ntp_middle(0x1122334455667788) == 0x33445566

    def test_wraps_in_2036(self) -> None:
        assert ntp_time(2_085_978_496.0) == 0


class TestBounds:
    def test_packets_of_one_datagram_are_limited(self) -> None:
        whole = parse(Goodbye((1,)).to_bytes() * MAX_PACKETS)
        assert (len(whole.packets), whole.malformed) == (MAX_PACKETS, 0)
        longer = parse(Goodbye((1,)).to_bytes() * 500)
        assert (len(longer.packets), longer.malformed) == (MAX_PACKETS, 1)

    def test_description_items_are_limited(self) -> None:
        def items(count: int) -> bytes:
            return header(202, bytes(4) + b"\x02\x00" * count + bytes(2 if count % 2 else 4), count=1)

        assert parse(items(64)).malformed == 0
        assert parse(items(65)).malformed == 1

    def test_nacked_sequences_are_limited_over_the_whole_datagram(self) -> None:
        nack = Nack(1, 2, tuple(range(17))).to_bytes()
        compound = parse(nack * 3, max_nacked=20)
        assert [len(packet.sequences) for packet in compound.packets if isinstance(packet, Nack)] == [17, 3, 0]
        assert compound.ignored_nack_items == 1


class TestAnyBytes:
    @covers("SE70")
    @given(st.binary(max_size=400))
    def test_any_bytes_are_parsed_without_exception(self, data: bytes) -> None:
        parse(data)

    @covers("SE70")
    @given(st.lists(st.tuples(st.integers(198, 208), st.integers(0, 63), st.binary(max_size=80)), max_size=5))
    def test_any_body_with_valid_header_is_parsed_without_exception(self, parts: list[tuple[int, int, bytes]]) -> None:
        made = [header(kind, body + bytes(-len(body) % 4), count) for kind, count, body in parts]
        parse(b"".join(made))

    @covers("SE70")
    def test_time_is_linear_in_the_length(self) -> None:
        worst = [
            header(203, b"") * 32768,
            header(202, bytes(4) + b"\x01\x00" * 32000 + bytes(4), count=1) * 2,
            header(205, bytes(8) + b"\x00\x00\xff\xff" * 16000, count=1) * 2,
            b"\x80\x00\x00\x00" * 32768,
        ]
        for data in worst:
            started = time.process_time()
            parse(data)
            assert time.process_time() - started < 1.0
