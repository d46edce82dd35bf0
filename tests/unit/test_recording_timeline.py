"""Where the packets of a recording are placed, in virtual time."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bass_webrtc.core import TapPacket
from bass_webrtc.recording.timeline import (
    CONCEALED_SAMPLES,
    DTX_SAMPLES,
    HOLD_SAMPLES,
    Timeline,
)
from bass_webrtc.rtc.ogg_opus import concealed, silent

FRAME = 960
MS_NS = 1_000_000
START_NS = 1_000_000_000_000
DELAY_MS = 40
"""Of a jitter buffer."""
SPEECH = b"\xfcspeech"


def packet(
    number: int,
    arrival_ms: float,
    *,
    stream: int = 1,
    first: int = 5_000,
    sequence: int | None = None,
    copy: bool = False,
) -> TapPacket:
    """A packet of 20 ms whose content is its number."""
    return TapPacket(
        START_NS + round(arrival_ms * MS_NS),
        first + number * FRAME,
        100 + number if sequence is None else sequence,
        stream,
        FRAME,
        copy,
        SPEECH + b"%d" % number,
    )


class Player:
    """Feeds a timeline every 100 ms and keeps what it makes."""

    def __init__(self, timeline: Timeline | None = None) -> None:
        self.timeline = timeline or Timeline(START_NS)
        self.made: list[tuple[bytes, int]] = []

    def run(
        self, packets: Iterable[TapPacket], until_ms: int, played: Callable[[int], int | None] = lambda _: None
    ) -> None:
        """Deliver packets at their arrivals; `played`: when RTP time 0 is played (ns), by the time in ms."""
        waiting = sorted(packets, key=lambda one: one.time_ns)
        for now_ms in range(0, until_ms + 1, 100):
            now_ns = START_NS + now_ms * MS_NS
            while waiting and waiting[0].time_ns <= now_ns:
                self.timeline.add(waiting.pop(0))
            if (played_ns := played(now_ms)) is not None:
                self.timeline.played(played_ns)
            self.made += self.timeline.due(now_ns)
            assert sum(samples for _, samples in self.made) == self.timeline.position <= now_ms * 48 + FRAME // 2

    def finish(self, now_ms: int) -> None:
        self.made += self.timeline.finish(START_NS + now_ms * MS_NS)

    def places(self) -> dict[int, int]:
        """Where each packet begins, in samples."""
        found, at = {}, 0
        for payload, samples in self.made:
            if payload.startswith(SPEECH):
                found[int(payload[len(SPEECH) :])] = at
            at += samples
        return found

    def between(self, first: int, last: int) -> list[bytes]:
        """What lies between two packets."""
        payloads = [payload for payload, _ in self.made]
        return payloads[payloads.index(SPEECH + b"%d" % first) + 1 : payloads.index(SPEECH + b"%d" % last)]


def spoken(count: int, lost: Iterable[int] = (), late_ms: Callable[[int], float] = lambda _: 0.0) -> list[TapPacket]:
    """Packets that were recorded from 0 ms on and arrive when they are complete."""
    missing = set(lost)
    return [packet(n, 20 * (n + 1) + late_ms(n)) for n in range(count) if n not in missing]


def assert_close(place: int, expected: float, tolerance: float = 60) -> None:
    assert abs(place - expected) <= tolerance


def expected(number: int) -> int:
    """Where a packet is placed that nothing plays: 40 ms after its arrival."""
    return (20 * (number + 1) + DELAY_MS) * 48


def test_packets_are_placed_40_ms_after_their_arrival_on_the_fastest_path() -> None:
    player = Player()
    player.run(spoken(100, late_ms=lambda n: 0 if n == 0 else n * 7 % 30), 3_000)
    places = player.places()
    assert list(places) == list(range(100))
    for number, place in places.items():
        assert_close(place, expected(number))
    assert player.timeline.lost_packets == 0


def test_jitter_buffer_decides_when_it_plays() -> None:
    player = Player()
    delay_ms = 130
    player.run(spoken(100), 3_000, played=lambda _: START_NS + (20 + delay_ms) * MS_NS - 5_000 * MS_NS // 48)
    for number, place in player.places().items():
        assert_close(place, (20 * (number + 1) + delay_ms) * 48)


def test_turns_of_32_bits_are_counted_from_different_packets() -> None:
    player = Player()
    turn_ns = (1 << 32) * 1_000_000_000 // 48_000
    player.run(spoken(50), 2_000, played=lambda _: START_NS + 150 * MS_NS - 5_000 * MS_NS // 48 - turn_ns)
    assert_close(player.places()[10], (20 * 10 + 150) * 48)


@pytest.mark.parametrize("order", ["forward", "reordered"])
def test_lost_packets_are_concealed_at_their_place(order: str) -> None:
    lost = {10, 20, 21, 22, 50}
    player = Player()
    late = (lambda n: 35 if n % 5 == 1 else 0) if order == "reordered" else (lambda _: 0)
    player.run(spoken(100, lost, late_ms=late), 3_000)
    places = player.places()
    assert list(places) == [number for number in range(100) if number not in lost]
    for number, place in places.items():
        assert_close(place, expected(number))
    assert player.between(9, 11) == [b"\xfc"]
    assert player.between(19, 23) == [b"\xff\x03"]
    assert player.timeline.lost_packets == len(lost)


def test_packet_that_arrives_after_a_later_one_was_due_is_waited_for() -> None:
    player = Player()
    player.run([*spoken(50, {20}), packet(20, 20 * 21 + DELAY_MS + HOLD_SAMPLES / 48 - 120)], 2_000)
    assert list(player.places()) == list(range(50))
    assert player.timeline.lost_packets == 0


def test_packet_that_arrives_too_late_is_left_out() -> None:
    player = Player()
    player.run([*spoken(50, {20}), packet(20, 20 * 21 + DELAY_MS + HOLD_SAMPLES / 48 + 120)], 2_000)
    assert 20 not in player.places()
    assert player.timeline.lost_packets == 1
    assert_close(player.places()[49], expected(49))


def test_copy_stands_for_a_lost_packet_and_duplicates_are_left_out() -> None:
    copies = [packet(n, 20 * (n + 2), copy=True) for n in range(49)]
    player = Player()
    player.run([*spoken(50, {7, 30}), *copies, packet(12, 300), packet(12, 900)], 2_000)
    assert list(player.places()) == list(range(50))
    assert player.timeline.lost_packets == 0
    assert sum(samples for _, samples in player.made) == player.timeline.position


def test_silence_of_the_sender_is_not_a_loss_and_is_not_waited_for() -> None:
    """RFC 7587, 3.1.3: the sequence numbers continue."""
    first, second = spoken(10), [packet(n, 20 * (n + 1), sequence=100 + n - 20) for n in range(30, 40)]
    player = Player()
    player.run([*first, *second], 2_000)
    assert_close(player.places()[30], expected(30))
    assert set(player.between(9, 30)) <= {b"\xff\x06", b"\xff\x02", b"\xff\x05", b"\xff\x03", b"\xff\x04", b"\xfc"}
    assert player.timeline.lost_packets == 0


def test_long_outage_is_concealed_briefly_and_then_silent() -> None:
    player = Player()
    player.run([*spoken(10), *(packet(n, 20 * (n + 1)) for n in range(150, 160))], 5_000)
    between = player.between(9, 150)
    content = [payload for payload in between if len(payload) > 2]
    hollow = [payload for payload in between if len(payload) <= 2]
    assert between == [*hollow, *content]
    assert sum(FRAME * (payload[1] if len(payload) == 2 else 1) for payload in hollow) == CONCEALED_SAMPLES
    assert all(
        payload in {one for one, _ in [*silent(5_760), *silent(FRAME)]} or payload[2:4] == b"\xff\xfe"
        for payload in content
    )
    assert_close(player.places()[150], expected(150))
    assert player.timeline.lost_packets == 140


def test_time_goes_on_while_nothing_arrives() -> None:
    player = Player()
    player.run([], 10_000)
    assert 10_000 * 48 - HOLD_SAMPLES - 5_760 <= player.timeline.position <= 10_000 * 48


def test_recording_is_as_long_as_it_lasted() -> None:
    player = Player()
    player.run(spoken(100, {3, 98, 99}), 2_000)
    player.finish(2_033)
    end = player.timeline.samples_until(START_NS + 2_033 * MS_NS)
    assert 0 <= player.timeline.position - end < player.made[-1][1]


def test_new_stream_is_placed_by_its_own_clock() -> None:
    """The peer has sent another track, or begun anew."""
    second = [packet(n, 20 * (n + 1), stream=2, first=-77_000_000, sequence=5 + n) for n in range(50, 100)]
    player = Player()
    player.run([*spoken(50), *second], 3_000)
    places = player.places()
    assert list(places) == list(range(100))
    assert_close(places[49], expected(49))
    assert_close(places[99], expected(99))


@pytest.mark.parametrize("ppm", [-200, 200])
def test_drift_of_clocks_is_corrected_by_whole_packets(ppm: int) -> None:
    """Two minutes at 200 ppm are 24 ms."""
    count = 6_000
    rate = 1 + ppm * 1e-6
    packets = [packet(n, 20 * rate * (n + 1)) for n in range(count)]

    def played(now_ms: int) -> int:
        timestamp = now_ms / rate * 48 + 5_000
        return START_NS + round((now_ms + 60 - timestamp / 48) * MS_NS)

    player = Player()
    player.run(packets, 121_000, played)
    places = player.places()
    for number, place in places.items():
        if number > 100:
            assert_close(place, (20 * rate * number + 60) * 48, FRAME * 0.6)
    assert count - len(places) in ((0,) if ppm > 0 else (1, 2, 3))
    assert player.timeline.lost_packets == 0


def test_longer_path_is_placed_anew_after_a_second() -> None:
    """Nothing plays the peer, so that only the arrivals tell."""
    player = Player()
    player.run(spoken(300, late_ms=lambda n: 0 if n < 100 else 900), 8_000)
    places = player.places()
    assert_close(places[299], expected(299) + 900 * 48, 5 * 48)
    assert player.timeline.lost_packets <= 60


def test_frames_of_a_channel_are_placed_by_their_number() -> None:
    player = Player(Timeline(START_NS, is_channel=True, lookahead_samples=312))
    frames = [packet(n, 7 + 20 * n) for n in range(-3, 100) if not 40 <= n < 60]
    player.run([one._replace(payload=SPEECH + b"0") if one.timestamp < 5_000 else one for one in frames], 3_000)
    places = player.places()
    for number in (2, 39, 60, 99):
        assert_close(places[number], (7 + 20 * number) * 48 - 312)
    assert player.timeline.lost_packets == 0


@given(st.integers(0, 2**32), st.floats(0, 0.4), st.floats(0, 150), st.integers(10, 300))
@settings(deadline=None, max_examples=60)
def test_packets_are_in_order_and_at_their_time_whatever_the_network_does(
    seed: int, loss: float, jitter_ms: float, count: int
) -> None:
    chance = random.Random(seed)
    sent = [one for one in spoken(count, late_ms=lambda n: 0 if n == 0 else chance.uniform(0, jitter_ms))]
    arrived = [one for n, one in enumerate(sent) if n == 0 or chance.random() >= loss]
    arrived += [one for one in arrived if chance.random() < 0.1]
    player = Player()
    player.run(arrived, 20 * count + 1_000)
    player.finish(20 * count + 1_000)
    places = player.places()
    assert list(places) == sorted({(one.timestamp - 5_000) // FRAME for one in arrived})
    for number, place in places.items():
        assert_close(place, expected(number))
    lost_inside = max(places) + 1 - len(places)
    assert player.timeline.lost_packets == lost_inside


def test_comfort_noise_ends_after_two_seconds() -> None:
    timeline = Timeline(START_NS, is_channel=True)
    player = Player(timeline)
    player.run([packet(0, 0), packet(300, 6_000)], 7_000)
    hollow = [payload for payload in player.between(0, 300) if len(payload) <= 2]
    assert sum(FRAME * (payload[1] if len(payload) == 2 else 1) for payload in hollow) <= DTX_SAMPLES
    assert list(concealed(FRAME, 0xFC)) == [(b"\xfc", FRAME)]
