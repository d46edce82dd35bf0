"""RTP and RTCP packets as an independent peer reads them: numbering, reports, retransmission, redundancy."""

from __future__ import annotations

import itertools
import struct
import time
from collections.abc import Iterator

import pytest

import bass_webrtc as bw
from bass_webrtc.peer.lite import LiteConnection
from support.conformance import covers
from support.driving import connect, drive
from support.player import Certificate, Player
from support.publisher import Publisher, ToneEncoder
from support.reruns import real_time_audio

pytestmark = real_time_audio

NTP_EPOCH_S = 2_208_988_800


@pytest.fixture(scope="module")
def server() -> Iterator[bw.Server]:
    config = bw.ServerConfig(http_port=0, udp_port=0, max_peers_per_address=5)
    with bw.Server(bw.Tone(440.0, 880.0), config) as server:
        server.start()
        yield server


@pytest.fixture(scope="module")
def certificate() -> Certificate:
    return Certificate()


class Recorder:
    """A connected player that keeps decrypted packets with their time of arrival."""

    def __init__(self, server: bw.Server, certificate: Certificate, **offer: str | tuple[str, ...]) -> None:
        self.player = Player(certificate, **offer)  # type: ignore[arg-type]
        self.raw: list[bytes] = []
        self.rtcp: list[tuple[float, bytes]] = []
        self.arrivals_s: list[float] = []
        self.player.on_rtp = self._keep
        self.player.on_rtcp = lambda compound: self.rtcp.append((time.time(), compound))
        connect(self.player, f"{server.url}whep")

    def _keep(self, packet: bytes) -> None:
        self.raw.append(packet)
        self.arrivals_s.append(time.time())

    def wait(self, packets: int) -> None:
        assert drive([self.player], lambda: len(self.raw) >= packets, 30.0)

    @property
    def packets(self) -> list[bytes]:
        """The RTP packets in the clear."""
        return self.player.decrypt(self.raw)


@covers("OP10", "OP11", "OP12")
def test_sequence_numbers_and_timestamps_follow_rtp(server: bw.Server, certificate: Certificate) -> None:
    """One Opus packet each, one SSRC, sequence +1, timestamp +960, random first values; sequence in the lower half."""
    starts = []
    for _ in range(3):
        recorder = Recorder(server, certificate)
        recorder.wait(30)
        headers = [struct.unpack("!BBHII", packet[:12]) for packet in recorder.packets]
        assert {first for first, *_ in headers} == {0x80}
        assert {kind & 0x7F for _, kind, *_ in headers} == {111}
        # The marker bit is set at the beginning of a talkspurt (RFC 3551, 4.1); the source has one.
        assert sum(kind >> 7 for _, kind, *_ in headers) <= 1
        assert len({ssrc for *_, ssrc in headers}) == 1
        steps = {(b[2] - a[2] & 0xFFFF, b[3] - a[3] & 0xFFFFFFFF) for a, b in itertools.pairwise(headers)}
        assert steps == {(1, 960)}
        assert headers[0][2] < 0x8000 + 100
        starts.append(headers[0][2:])
        assert recorder.player.delete() == 200
    assert len({sequence for sequence, *_ in starts}) == 3
    assert len({timestamp for _, timestamp, _ in starts}) == 3


def test_payload_is_stereo_opus_of_twenty_milliseconds(server: bw.Server, certificate: Certificate) -> None:
    """The TOC byte is CELT fullband, 20 ms, stereo, one frame (RFC 6716, 3.1), as for music at 128 kbit/s."""
    recorder = Recorder(server, certificate)
    recorder.wait(60)
    packets = recorder.packets
    assert {packet[12] for packet in packets} == {31 << 3 | 4}
    mean_bps = 8 * sum(len(packet) - 12 for packet in packets) / (0.02 * len(packets))
    # A sine needs less than the VBR target, so only the upper bound is checked.
    assert 20_000 < mean_bps < 140_000
    assert recorder.player.delete() == 200


@covers("RT1", "RT4")
def test_sender_reports_relate_rtp_time_to_wall_clock(server: bw.Server, certificate: Certificate) -> None:
    """SR first, SDES with the CNAME of the answer, current NTP time, and RTP time that matches the packets."""
    recorder = Recorder(server, certificate)
    assert drive([recorder.player], lambda: len(recorder.rtcp) >= 2, 20.0), "no sender report in 20 s"
    recorder.wait(len(recorder.raw) + 1)
    last_packet, last_arrival_s = recorder.packets[-1], recorder.arrivals_s[-1]
    sizes = [len(packet) - 12 for packet in recorder.packets]
    ssrc = recorder.player.media_ssrc
    for arrival_s, compound in recorder.rtcp:
        first, kind, _, sender = struct.unpack_from("!BBHI", compound)
        assert (first & 0xE0, kind, sender) == (0x80, 200, ssrc)
        seconds, fraction, timestamp, packets, octets = struct.unpack_from("!IIIII", compound, 8)
        wall_s = seconds - NTP_EPOCH_S + fraction / 2**32
        assert wall_s == pytest.approx(arrival_s, abs=0.1)
        elapsed_ticks = (int.from_bytes(last_packet[4:8], "big") - timestamp + 2**31) % 2**32 - 2**31
        assert wall_s + elapsed_ticks / 48_000 == pytest.approx(last_arrival_s, abs=0.1)
        earlier = [size for size, at_s in zip(sizes, recorder.arrivals_s, strict=True) if at_s < arrival_s]
        assert packets == pytest.approx(len(earlier), abs=2)
        assert octets == pytest.approx(sum(earlier), abs=800)
        assert 202 in compound[28:]
    assert recorder.player.delete() == 200


def test_nack_resends_the_identical_packet(server: bw.Server, certificate: Certificate) -> None:
    """PID and BLP (RFC 4585, 6.2.1); the same sequence number and SSRC, byte for byte, so SRTP accepts it."""
    recorder = Recorder(server, certificate, more_lines=("a=rtcp-fb:111 nack",))
    recorder.wait(20)
    wanted = [int.from_bytes(packet[2:4], "big") for packet in recorder.raw[10:14]]
    mask = sum(1 << (sequence - wanted[0] & 0xFFFF) - 1 for sequence in wanted[1:])
    nack = struct.pack("!BBHIIHH", 0x81, 205, 3, recorder.player.ssrc, recorder.player.media_ssrc, wanted[0], mask)
    originals = recorder.raw[10:14]
    recorder.player.send_report(feedback=nack)
    drive([recorder.player], lambda: sum(packet in originals for packet in recorder.raw) == 8, 3.0)
    assert sorted(packet for packet in recorder.raw if packet in originals) == sorted(originals * 2)
    assert server.stats().peers[0].packets_lost == 0
    assert recorder.player.delete() == 200


def test_reported_loss_enables_redundancy_for_that_player_only(server: bw.Server, certificate: Certificate) -> None:
    """Later packets to the player that reports loss carry earlier frames (RFC 2198); others get plain packets."""
    red = ("a=rtpmap:63 red/48000/2", "a=fmtp:63 111/111")
    lossy = Recorder(server, certificate, payload_types="111 63", more_lines=red)
    steady = Recorder(server, certificate, payload_types="111 63", more_lines=red)
    players = [lossy.player, steady.player]
    for _ in range(20):
        lossy.player.send_report(fraction_lost=0.1)
        drive(players, lambda: lossy.raw[-1][1] & 0x7F == 63, 0.3)
    lossy.raw.clear()
    start = len(steady.raw)
    assert drive(players, lambda: len(lossy.raw) >= 12)
    frames: dict[int, bytes] = {}
    copies = 0
    for packet in lossy.packets:
        assert packet[1] & 0x7F == 63
        timestamp = int.from_bytes(packet[4:8], "big")
        blocks, primary = read_red(packet[12:])
        frames[timestamp] = primary
        for kind, offset, payload in blocks:
            assert kind == 111
            assert payload == frames.get(timestamp - offset & 0xFFFFFFFF, payload)
            copies += 1
    assert copies >= 10
    assert {packet[1] & 0x7F for packet in steady.raw[start:]} == {111}
    for player in players:
        assert player.delete() == 200


def test_reports_without_loss_do_not_reach_the_loop(
    server: bw.Server, certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The network thread keeps them for the statistics, until a report shows loss."""
    seen: list[bytes] = []
    receive_rtcp = LiteConnection.receive_rtcp

    def note(connection: LiteConnection, packet: bytes, now_s: float) -> None:
        seen.append(packet)
        receive_rtcp(connection, packet, now_s)

    def reports() -> int:
        return server.stats().peers[0].reports_received

    monkeypatch.setattr(LiteConnection, "receive_rtcp", note)
    player = Player(certificate)
    player.reports = False
    connect(player, f"{server.url}whep")
    for count in range(1, 6):
        packets = player.counters.packets
        assert drive([player], lambda packets=packets: player.counters.packets > packets)  # type: ignore[misc]
        player.send_report()
        assert drive([player], lambda count=count: reports() == count)  # type: ignore[misc]
    assert len(seen) == 1
    for count, fraction_lost in ((6, 0.5), (7, 0.0)):
        player.send_report(fraction_lost=fraction_lost)
        assert drive([player], lambda count=count: reports() == count)  # type: ignore[misc]
        assert len(seen) == count - 4
        assert server.stats().peers[0].fraction_lost == fraction_lost
    assert player.delete() == 200


@covers("RT4")
def test_receiver_reports_contain_the_loss_of_a_publisher(server: bw.Server, certificate: Certificate) -> None:
    """One packet in ten is not sent; the report has its SSRC, one tenth and the count."""
    publisher = Publisher(certificate)
    reports: list[bytes] = []
    publisher.on_rtcp = reports.append
    publisher.connect(f"{server.url}whip")
    encoder = ToneEncoder(440.0)
    start_s, number, skipped = time.monotonic(), 0, 0
    while len(blocks := [block for report in reports for block in report_blocks(report)]) < 3:
        assert time.monotonic() - start_s < 40.0, "no three receiver reports in 40 s"
        drive([publisher], lambda due_s=start_s + 0.02 * number: time.monotonic() >= due_s)  # type: ignore[misc]
        number += 1
        if number % 10 == 0:
            publisher.next_rtp(encoder.packet())
            skipped += 1
        else:
            publisher.send_audio(encoder.packet())
    ssrc, fraction_lost, lost, highest = blocks[-1]
    assert ssrc == publisher.rtp_ssrc
    # An interval of at least 2.5 s has over 100 packets, so one skipped packet is about 2 of 256.
    assert fraction_lost == pytest.approx(256 / 10, abs=3)
    assert lost == pytest.approx(skipped, abs=1)
    assert publisher.sequence - (highest & 0xFFFF) & 0xFFFF in range(1, 5)
    stats = next(peer for peer in server.stats().peers if peer.kind == "publisher")
    assert stats.packets_lost == pytest.approx(skipped, abs=1)
    assert publisher.delete() == 200


def report_blocks(compound: bytes) -> list[tuple[int, int, int, int]]:
    """Return SSRC, fraction lost (of 256), packets lost and highest sequence number of a report (RFC 3550, 6.4.2)."""
    count, kind = compound[0] & 0x1F, compound[1]
    if kind != 201:
        return []
    return [
        (ssrc, lost >> 24, lost & 0xFFFFFF, highest)
        for ssrc, lost, highest in (struct.unpack_from("!III", compound, 8 + 24 * index) for index in range(count))
    ]


def read_red(payload: bytes) -> tuple[list[tuple[int, int, bytes]], bytes]:
    """Return the redundant blocks (payload type, timestamp offset, data) and the primary block (RFC 2198, 3)."""
    headers = []
    while payload[0] & 0x80:
        header = int.from_bytes(payload[:4], "big")
        headers.append((header >> 24 & 0x7F, header >> 10 & 0x3FFF, header & 0x3FF))
        payload = payload[4:]
    payload = payload[1:]
    blocks = []
    for kind, offset, length in headers:
        blocks.append((kind, offset, payload[:length]))
        payload = payload[length:]
    return blocks, payload
