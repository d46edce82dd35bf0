"""Malformed and hostile publishers beside a good one: its audio must not break, and memory must not grow.

Each case ends in a counter. Parsers and jitter buffer have unit tests of their own.
"""

from __future__ import annotations

import gc
import os
import secrets
import struct
import time
from collections.abc import Callable, Iterator

import pytest
from bench.realtime import realtime

import bass_webrtc as bw
from support import tones, usage
from support.conformance import covers
from support.driving import drive
from support.patience import wait_until
from support.player import Certificate
from support.publisher import Publisher, ToneEncoder, rtp
from support.publisher_farm import PublisherFarm
from support.publisher_recorder import Recorder
from support.reruns import real_time_audio

pytestmark = real_time_audio

NEIGHBOUR_HZ = 700.0
MEMORY_GROWTH_KB = 10_000
BAD_HZ = 440.0
JITTER_BUFFER_MAX_MS = 500


class Scene:
    """A server with one good publisher, whose audio must not break, and the mix of the others."""

    def __init__(self, server: bw.Server, publishers: PublisherFarm, mix: Recorder) -> None:
        self.server, self.publishers, self.mix = server, publishers, mix
        (self.neighbour,) = server.peers
        self.own = Recorder(self.neighbour.read, keep_s=2.0)

    def forget_lateness(self) -> None:
        """Ignore stalls of the machine before this point."""
        self.publishers.worst_lateness_s()
        self.own.worst_late_s = 0.0

    def describe_lateness(self) -> str:
        """Return how long sender and reader waited for a processor."""
        late_ms = [1000 * late_s for late_s in (self.publishers.worst_lateness_s(), self.own.worst_late_s)]
        return "the neighbour is late by {:.0f} ms, who listens to him by {:.0f} ms".format(*late_ms)

    @property
    def bad(self) -> bw.Peer:
        """The other peer."""
        (peer,) = (peer for peer in self.server.peers if peer is not self.neighbour)
        return peer


@pytest.fixture(scope="module")
def stage() -> Iterator[Scene]:
    """Use real-time priority if allowed: the good publisher and its reader are judged, not the machine."""
    config = bw.ServerConfig(http_port=0, udp_port=0, max_peers_per_address=5)
    with realtime(), bw.Server(None, config) as server:
        server.start()
        with PublisherFarm() as publishers, Recorder(server.read_input, keep_s=2.0) as mix:
            publishers.publish(f"{server.url}whip", NEIGHBOUR_HZ)
            scene = Scene(server, publishers, mix)
            with scene.own:
                scene.own.wait_for_sound()
                scene.own.take(1.5)
                yield scene


@pytest.fixture
def scene(stage: Scene) -> Iterator[Scene]:
    """The good publisher is judged at the end of each test. If the machine was late the test is run again, as
    all tests of this module are, and fails if its audio broke each time.
    """
    gc.collect()
    stage.forget_lateness()
    before, memory_kb = stage.neighbour.stats(), usage.memory_kb(os.getpid())
    yield stage
    for peer in stage.server.peers:
        if peer is not stage.neighbour:
            peer.close()
    wait_until(lambda: stage.server.peers == (stage.neighbour,))
    after = stage.neighbour.stats()
    assert after.packets_lost == before.packets_lost
    assert after.packets_received > before.packets_received
    assert (after.srtp_errors, after.decode_errors) == (0, 0)
    lateness = stage.describe_lateness()
    assert after.concealed_samples == before.concealed_samples, lateness
    assert after.packets_discarded == before.packets_discarded, lateness
    assert_heard_while(stage.own, NEIGHBOUR_HZ, lambda: stage.own.take(0.5))
    assert usage.memory_kb(os.getpid()) - memory_kb < MEMORY_GROWTH_KB


@pytest.fixture
def publisher(scene: Scene) -> Publisher:
    """Wait until it is connected and heard."""
    found = Publisher(Certificate())
    found.connect(f"{scene.server.url}whip")
    assert drive([found], lambda: scene.bad.state == "connected")
    return found


def assert_still_heard(scene: Scene, publisher: Publisher, encoder: ToneEncoder) -> None:
    """The bad publisher now sends valid audio and must be heard."""
    assert_heard_while(scene.mix, BAD_HZ, lambda: publisher.play(encoder, 0.5))


def assert_heard_while(recorder: Recorder, tone_hz: float, play: Callable[[], object]) -> None:
    """Read repeatedly until the tone has its level; the machine may be slow."""
    for _ in range(16):
        play()
        level_dbfs = tones.tone_dbfs(recorder.last(0.3)[:, 0], tone_hz)
        if abs(level_dbfs + 12.0) < 1.0:
            return
    raise AssertionError(f"heard with {level_dbfs} dBFS")


# -- SRTP


@covers("SE9")
def test_packet_modified_at_any_byte_is_rejected_and_counted(scene: Scene, publisher: Publisher) -> None:
    """Authentication covers the whole packet; the original is still accepted afterwards."""
    encoder = ToneEncoder(BAD_HZ)
    publisher.play(encoder, 0.2)
    wait_until(lambda: scene.bad.stats().packets_received == 10)
    genuine = publisher.protect(publisher.next_rtp(encoder.packet()))
    before = scene.bad.stats()
    for index in range(len(genuine)):
        changed = bytearray(genuine)
        changed[index] ^= 0x10
        publisher.send(bytes(changed))
        if index % 32 == 31:
            drive([publisher], lambda: True)
            time.sleep(0.005)
    # A changed SSRC is another stream, which is announced to the loop.
    wait_until(lambda: scene.bad.stats().srtp_errors - before.srtp_errors >= len(genuine) - 8)
    assert scene.bad.stats().packets_received == before.packets_received
    publisher.send(genuine)
    wait_until(lambda: scene.bad.stats().packets_received == before.packets_received + 1)
    assert_still_heard(scene, publisher, encoder)


@covers("SE9")
def test_replayed_packets_are_rejected_and_counted(scene: Scene, publisher: Publisher) -> None:
    """RFC 3711, 3.3.2."""
    encoder = ToneEncoder(BAD_HZ)
    datagrams = [publisher.protect(publisher.next_rtp(encoder.packet())) for _ in range(5)]
    for datagram in datagrams * 20:
        publisher.send(datagram)
    wait_until(lambda: scene.bad.stats().srtp_errors >= 95)
    stats = scene.bad.stats()
    assert (stats.packets_received, stats.srtp_errors, stats.duplicate_packets) == (5, 95, 0)
    assert_still_heard(scene, publisher, encoder)


# -- Opus


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xff",
        b"\xff\x00",
        b"\xff\x3f",
        b"\xff\xff",
        b"\xff\xbf" + b"\xff" * 40,
        b"\xff\x7f" + b"\xff" * 300,
        b"\xfe\xff" + bytes(20),
        b"\xfd" + bytes(20),
    ],
    ids=["nothing", "code 3 without count", "no frames", "63 frames", "63 frames, all flags", "lengths past the end",
         "padding past the end", "two frames, one length", "two frames of odd length"],
)  # fmt: skip
def test_malformed_opus_is_rejected_and_counted(scene: Scene, publisher: Publisher, payload: bytes) -> None:
    """A malformed packet is treated as lost (RFC 6716, 3.4)."""
    encoder = ToneEncoder(BAD_HZ)
    publisher.play(encoder, 0.3)
    before = _refused(scene.bad.stats())
    for _ in range(20):
        publisher.send_audio(payload)
        publisher.play(encoder, 0.02)
    wait_until(lambda: _refused(scene.bad.stats()) - before >= 20)
    assert_still_heard(scene, publisher, encoder)


def _refused(stats: bw.PeerStats) -> int:
    return stats.decode_errors + stats.packets_discarded


def test_random_payloads_are_harmless(scene: Scene, publisher: Publisher) -> None:
    """Authentic packets of every length; some are valid Opus by chance."""
    for size in range(1, 1_200, 7):
        publisher.send_audio(os.urandom(size))
        if size % 20 == 0:
            time.sleep(0.01)
    wait_until(lambda: scene.bad.stats().packets_received == len(range(1, 1_200, 7)))
    assert_still_heard(scene, publisher, ToneEncoder(BAD_HZ))


@covers("OP2")
def test_longest_opus_packet_is_heard(scene: Scene, publisher: Publisher) -> None:
    """120 ms in one packet (RFC 6716, 3.2.5)."""
    encoder = ToneEncoder(BAD_HZ, frame_ms=120, bitrate_bps=64_000)
    assert_heard_while(scene.mix, BAD_HZ, lambda: publisher.play(encoder, 0.96))
    assert scene.bad.stats().decode_errors == 0


# -- RTP


@covers("OP17")
@pytest.mark.parametrize(
    "header",
    [
        {"csrcs": tuple(range(1, 16))},
        {"extension": struct.pack("!HHBBBB", 0xBEDE, 1, 0x10, 0xAA, 0x00, 0xF0)},
        {"extension": struct.pack("!HHBBBB", 0x1000, 1, 1, 2, 3, 4)},
        {"extension": struct.pack("!HH", 0xBEDE, 0)},
        {"csrcs": (7,), "extension": struct.pack("!HH", 0x4242, 50) + bytes(200)},
    ],
    ids=["15 CSRCs", "one-byte extension", "two-byte extension", "empty extension", "long unknown extension"],
)
def test_csrcs_extensions_and_padding_are_skipped(
    scene: Scene, publisher: Publisher, header: dict[str, tuple[int, ...] | bytes]
) -> None:
    """RFC 3550, 5.3.1, and RFC 8285."""
    encoder = ToneEncoder(BAD_HZ)

    def play() -> None:
        start_s = time.monotonic()
        for number in range(25):
            time.sleep(max(0.0, start_s + 0.02 * number - time.monotonic()))
            plain = rtp(encoder.packet(), publisher.sequence, publisher.timestamp, publisher.rtp_ssrc, **header)  # type: ignore[arg-type]
            publisher.next_rtp(b"")  # The next sequence number.
            publisher.send(publisher.protect(plain))

    assert_heard_while(scene.mix, BAD_HZ, play)
    assert (scene.bad.stats().srtp_errors, scene.bad.stats().decode_errors) == (0, 0)


@covers("OP17")
def test_headers_past_the_end_are_rejected_and_counted(scene: Scene, publisher: Publisher) -> None:
    """CSRC counts, extensions and padding longer than the packet; none is authentic."""
    encoder = ToneEncoder(BAD_HZ)
    publisher.play(encoder, 0.2)
    wait_until(lambda: scene.bad.stats().packets_received == 10)
    before = scene.bad.stats()
    cases = [
        rtp(bytes(20), 1, 2, publisher.rtp_ssrc, extension=struct.pack("!HH", 0xBEDE, 0xFFFF)),
        rtp(b"", 1, 2, publisher.rtp_ssrc, extension=struct.pack("!HH", 0xBEDE, 6)),
        rtp(b"", 1, 2, publisher.rtp_ssrc, extension=b"\xbe"),
        b"\x8f" + rtp(bytes(30), 1, 2, publisher.rtp_ssrc)[1:],
        b"\xa0" + rtp(b"\xff" * 30, 1, 2, publisher.rtp_ssrc)[1:],
        rtp(b"", 1, 2, publisher.rtp_ssrc),
        rtp(b"", 1, 2, publisher.rtp_ssrc)[:11],
    ]
    for case in cases * 10:
        publisher.send(case)
    wait_until(lambda: scene.bad.stats().srtp_errors - before.srtp_errors >= 10 * (len(cases) - 1))
    assert scene.bad.stats().packets_received == before.packets_received
    assert_still_heard(scene, publisher, encoder)


@covers("OP16")
def test_packets_of_another_payload_type_are_counted_and_not_played(scene: Scene, publisher: Publisher) -> None:
    """Only Opus and RED were negotiated."""
    encoder = ToneEncoder(BAD_HZ)
    publisher.play(encoder, 0.3)
    for number in range(50):
        plain = rtp(
            os.urandom(160), publisher.sequence, publisher.timestamp, publisher.rtp_ssrc, payload_type=number % 35
        )
        publisher.next_rtp(b"", 160)
        publisher.send(publisher.protect(plain))
        time.sleep(0.002)
    wait_until(lambda: scene.bad.stats().packets_not_negotiated == 50)
    assert _refused(scene.bad.stats()) == 0
    assert_still_heard(scene, publisher, encoder)


@covers("SE9")
def test_sequence_numbers_that_begin_anew_are_named(
    scene: Scene, publisher: Publisher, caplog: pytest.LogCaptureFixture
) -> None:
    """Under the same keys they are those of recorded packets, so these are refused; newer ones are played."""
    encoder = ToneEncoder(BAD_HZ)
    publisher.play(encoder, 0.3)
    recorded = [publisher.protect(publisher.next_rtp(encoder.packet())) for _ in range(100)]
    for datagram in (*recorded, *recorded):
        publisher.send(datagram)
    publisher.play(encoder, 0.1)
    wait_until(lambda: scene.bad.stats().srtp_errors >= 100)
    assert scene.bad.stats().sequence_restarts == 1
    assert_still_heard(scene, publisher, encoder)
    wait_until(lambda: "began its RTP sequence numbers anew" in caplog.text)


@covers("OP16")
def test_number_of_ssrcs_is_limited(scene: Scene, publisher: Publisher) -> None:
    """Only a few streams are kept; the signaled one stays audible."""
    encoder = ToneEncoder(BAD_HZ)
    publisher.play(encoder, 0.5)

    def add_forged() -> None:
        for _ in range(20):
            ssrc = secrets.randbits(32)
            publisher.send(publisher.protect(rtp(bytes(40), 1, 2, ssrc)))

    publisher.play(encoder, 1.0, add_forged)
    assert scene.bad.state == "connected"
    # The others were announced to the loop, one at a time while a stream was free.
    assert scene.bad.stats().srtp_errors > 500
    assert_still_heard(scene, publisher, encoder)


# -- time


def test_publisher_that_sends_ten_times_too_fast_is_bounded(scene: Scene, publisher: Publisher) -> None:
    """For 3 s, 500 packets a second: the queue stays within its limit; at the right pace it is heard again."""
    encoder = ToneEncoder(BAD_HZ)
    waiting_ms = []
    start_s = time.monotonic()
    for number in range(1_500):
        time.sleep(max(0.0, start_s + 0.002 * number - time.monotonic()))
        publisher.send_audio(encoder.packet())
        if number % 50 == 0:
            waiting_ms.append(scene.bad.stats().jitter_buffer_ms)
    assert max(waiting_ms) < JITTER_BUFFER_MAX_MS + 50
    assert scene.bad.stats().packets_discarded > 500
    assert_still_heard(scene, publisher, encoder)
    assert scene.bad.stats().jitter_buffer_ms < JITTER_BUFFER_MAX_MS + 50


@covers("SE30")
def test_publisher_that_vanishes_is_silent_and_then_removed(scene: Scene, publisher: Publisher) -> None:
    """Without BYE, close_notify and checks: silence at once, removal after 30 s without consent."""
    reasons: list[str] = []
    unsubscribe = scene.server.on("peer_disconnected", lambda peer, reason: reasons.append(reason))
    publisher.play(ToneEncoder(BAD_HZ), 1.0)
    publisher.vanish()
    stopped_s = time.monotonic()
    scene.mix.take(0.7)
    assert tones.tone_dbfs(scene.mix.last(0.2)[:, 0], BAD_HZ) < -60.0
    assert scene.bad.stats().underruns >= 1
    wait_until(lambda: reasons, 40.0)
    unsubscribe()
    assert 25.0 < time.monotonic() - stopped_s < 36.0
    assert "consent" in reasons[0]
