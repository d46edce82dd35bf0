"""Which encoding and how much redundancy a listener gets, in virtual time."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable

import pytest

from bass_webrtc.rtc.adaptation import Adaptation, SendProbe, SetEncoding, SetRedundancy
from bass_webrtc.rtc.path_measures import LossMeter
from support.narrow_link import (
    CHROMIUM,
    FIREFOX,
    FREQUENT,
    FREQUENT_NACK,
    RARE,
    SILENT,
    UNCHECKED,
    Habits,
    History,
    Listener,
    Path,
)

Changes = list[tuple[float, str]]
"""Times in seconds, and what the listener gets from then on."""


class Script:
    """An ``Adaptation`` whose checks are answered, and what happens at given times.

    Attributes:
        changes: What it has decided so far, without checks and probes.
        sent: Times of checks and of probes.
        wake_ups: Times of calls of ``on_time``.
    """

    def __init__(self, *, rtt_s: Callable[[float], float | None] = lambda now_s: 0.05, has_red: bool = True) -> None:
        self.adaptation = Adaptation((128_000, 48_000), 20, has_red=has_red, now_s=0.0)
        self.changes: Changes = []
        self.sent: list[float] = []
        self.wake_ups: list[float] = []
        self._rtt_s = rtt_s
        self._lost = 0
        self._sequence = 0
        self._answers: list[tuple[float, float]] = []

    def report(self, now_s: float, share: float, since_s: float) -> None:
        """The peer reports this loss of the packets since ``since_s``."""
        self.advance(now_s)
        self._lost += round(share * (now_s - since_s) / 0.02)
        self.adaptation.on_report(share, self._lost, None, now_s)
        self._obey(now_s)

    def reports(self, shares: Iterable[float], *, start_s: float, interval_s: float) -> None:
        for number, share in enumerate(shares, 1):
            self.report(start_s + number * interval_s, share, start_s + (number - 1) * interval_s)

    def nack(self, now_s: float, count: int) -> list[int]:
        """The peer requests that many packets for the first time. Returns which ones are sent again."""
        self.advance(now_s)
        first = int(now_s / 0.02) & 0xFFFF
        again = self.adaptation.on_nack([(first + number) & 0xFFFF for number in range(count)], now_s)
        self._obey(now_s)
        return list(again)

    def advance(self, until_s: float) -> None:
        """Let time pass."""
        while True:
            due_s = self.adaptation.timeout_s()
            timer_s = float("inf") if due_s is None else due_s
            answer_s = self._answers[0][0] if self._answers else float("inf")
            if min(timer_s, answer_s) > until_s:
                return
            if answer_s <= timer_s:
                now_s, rtt_s = self._answers.pop(0)
                self.adaptation.on_round_trip(rtt_s, now_s)
            else:
                now_s = timer_s
                self.wake_ups.append(now_s)
                self.adaptation.on_time(now_s)
                assert len(self.wake_ups) < 100_000
            self._obey(now_s)

    def _obey(self, now_s: float) -> None:
        for decision in self.adaptation.decisions():
            if isinstance(decision, SetEncoding):
                self.changes.append((round(now_s, 1), f"encoding {decision.index}"))
            elif isinstance(decision, SetRedundancy):
                self.changes.append((round(now_s, 1), f"redundancy {decision.level}"))
            else:
                self.sent.append(now_s)
                self._answer(now_s + (decision.frames * 0.02 if isinstance(decision, SendProbe) else 0.0))

    def _answer(self, sent_s: float) -> None:
        rtt_s = self._rtt_s(sent_s)
        if rtt_s is not None:
            self._answers.append((sent_s + rtt_s, rtt_s))
            self._answers.sort()


# -- situation -> decisions over time

REPORTS_EVERY_5_S: dict[str, tuple[list[float], Changes]] = {
    # Losses from 10 s on, one report every 5 s; an examination of 1 s comes first.
    "no loss": ([0.0] * 20, []),
    "0.9 % is not audible": ([0.009] * 20, []),
    "1 % brings one copy": ([0.012], [(15.8, "redundancy 1")]),
    "3.9 % brings one copy": ([0.039], [(15.8, "redundancy 1")]),
    "4 % brings two copies": ([0.04], [(15.8, "redundancy 2")]),
    "14 % is loss, not congestion": ([0.14] * 3, [(15.8, "redundancy 2")]),
    "more loss brings another copy": ([0.02, 0.06], [(15.8, "redundancy 1"), (20.8, "redundancy 2")]),
    "copies go one by one, 20 s after the last loss": (
        [0.2 * 0.5] + [0.0] * 10,
        [(15.8, "redundancy 2"), (35.8, "redundancy 1"), (55.8, "redundancy 0")],
    ),
    "less loss keeps one copy": (
        [0.05] + [0.02] * 10,
        [(15.8, "redundancy 2"), (35.8, "redundancy 1")],
    ),
    "one report of heavy loss is an outage": ([0.3] + [0.0] * 2, [(16.5, "redundancy 2")]),
    "two reports of heavy loss are congestion": (
        [0.0, 0.3, 0.3],
        [(21.5, "redundancy 2"), (25.0, "encoding 1"), (25.0, "redundancy 0")],
    ),
}


@pytest.mark.parametrize(("shares", "expected"), REPORTS_EVERY_5_S.values(), ids=REPORTS_EVERY_5_S)
def test_reports(shares: list[float], expected: Changes) -> None:
    script = Script()
    script.reports(shares, start_s=10.0, interval_s=5.0)
    script.advance(10.0 + 5 * len(shares) + 4)
    assert script.changes == expected


def test_nacks_bring_redundancy_without_a_report() -> None:
    script = Script()
    for number in range(5):
        script.nack(10.0 + number / 2, 2)
    script.advance(14.0)
    assert script.changes == [(11.3, "redundancy 1"), (12.8, "redundancy 2")]


def test_few_packets_are_not_heavy_loss() -> None:
    script = Script()
    script.reports([0.0] * 20 + [0.2, 0.2], start_s=10.0, interval_s=0.3)
    script.advance(19.0)
    assert script.changes == [(17.1, "redundancy 1")]


def test_encoding_changes_at_most_once_in_5_s() -> None:
    script = Script()
    script.reports([0.3, 0.3], start_s=10.0, interval_s=1.0)
    for now_s in range(13, 60):
        was_raised = script.changes[-1][1] == "encoding 0"
        script.report(float(now_s), 0.3 if was_raised else 0.0, now_s - 1.0)
    times_s = [at_s for at_s, change in script.changes if change.startswith("encoding")]
    assert len(times_s) >= 3
    assert all(after_s - before_s >= 5 for before_s, after_s in itertools.pairwise(times_s))


def test_repeated_nacks_count_once() -> None:
    adaptation = Adaptation((128_000, 48_000), 20, has_red=True, now_s=0.0)
    for number in range(100):
        assert list(adaptation.on_nack([65_535, 0], 10.0 + number / 100)) == [65_535, 0]
    adaptation.on_time(20.0)
    assert not any(isinstance(decision, SetRedundancy) for decision in adaptation.decisions())


def test_peer_without_red_gets_no_redundancy() -> None:
    script = Script(has_red=False)
    script.reports([0.05] * 5, start_s=10.0, interval_s=5.0)
    assert script.changes == []


def test_late_round_trips_alone_are_congestion() -> None:
    script = Script(rtt_s=lambda now_s: 0.05 if now_s < 20 else 0.15)
    script.advance(20.0)
    script.adaptation.on_report(0.0, 0, 0.15, 20.0)
    script.advance(23.0)
    assert script.changes == [(20.7, "encoding 1")]


def test_one_late_round_trip_is_not_congestion() -> None:
    script = Script()
    script.report(10.0, 0.0, 0.0)
    script.advance(20.0)
    script.adaptation.on_report(0.0, 0, 1.0, 20.0)
    script.advance(30.0)
    assert len(script.sent) == 3 + 5  # The first checks, and those of the examination.
    assert script.changes == []


def test_path_that_has_become_longer_does_not_keep_the_lower_encoding() -> None:
    script = Script(rtt_s=lambda now_s: 0.05 if now_s < 20 else 0.25)
    for now_s in range(1, 120):
        script.advance(float(now_s))
        script.adaptation.on_report(0.0, 0, 0.05 if now_s < 20 else 0.25, float(now_s))
        script.advance(float(now_s))
    assert [change for _, change in script.changes] == ["encoding 1", "encoding 0"]


def test_requested_packets_are_not_sent_into_a_full_queue() -> None:
    script = Script()
    assert script.nack(9.0, 1) != []
    script.reports([0.0, 0.0, 0.3, 0.3], start_s=10.0, interval_s=1.0)
    assert script.adaptation.is_limited
    assert script.nack(15.0, 1) == []


def test_limited_listener_gets_requested_packets_once() -> None:
    adaptation = Adaptation((128_000,), 20, has_red=True, now_s=0.0)
    adaptation.on_round_trip(0.05, 0.1)
    for number in range(2):  # Heavy loss before there is redundancy: it will need a probe.
        adaptation.on_report(0.3, 300 * (number + 1), None, 5.0 + 5 * number)
        adaptation.on_time(5.0 + 5 * number)
    assert adaptation.is_limited
    assert list(adaptation.on_nack([1], 60.0)) == [1]
    assert list(adaptation.on_nack([1, 2], 60.1)) == [2]
    assert list(adaptation.on_nack([5, 7, 9], 60.2)) == []  # This loss may be of our own making.


@pytest.mark.parametrize(
    ("bitrates_bps", "top", "message"),
    [((128_000,), 1, "expected 0 to 0, top first"), ((48_000, 128_000), 0, "expected the highest first"), ((), 0, "0")],
)
def test_impossible_encodings_are_refused(bitrates_bps: tuple[int, ...], top: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Adaptation(bitrates_bps, 20, has_red=True, now_s=0.0, top=top)


def test_peer_that_reports_and_requests_all_the_time_costs_no_memory() -> None:
    meter = LossMeter(0.02, 0.0)
    for number in range(20_000):
        now_s = number / 1000
        meter.note_nack([number & 0xFFFF], now_s)
        meter.note_report(0.5, number * 7 % 1000 - 500, now_s)
    assert len(meter._requested) < 300
    assert len(meter._reported) < 100


# -- behind a narrow link

NARROW_FROM_S = 20.0
NARROW_UNTIL_S = 140.0


def _narrow(rate_kbps: float, queue_s: float, rtt_s: float = 0.05, loss: float = 0.0) -> Path:
    return Path(rate_kbps, queue_s, NARROW_FROM_S, NARROW_UNTIL_S, rtt_s, loss=loss)


def _switches(history: History, since_s: float = 0.0, until_s: float = float("inf")) -> list[int]:
    return [encoding for at_s, encoding in history.encodings if since_s <= at_s < until_s]


def _first_switch_s(history: History) -> float:
    return history.encodings[0][0] - NARROW_FROM_S


PEERS = {
    # A peer, and how long it takes at most to step down.
    "Chromium": (CHROMIUM, 5.0),
    "a report every second": (FREQUENT, 5.0),
    "NACKs and a report every second": (FREQUENT_NACK, 5.0),
    "a report every 2.5 to 7.5 s": (RARE, 7.5 + 1.5),
    "Firefox": (FIREFOX, 7.5 + 1.5),
}


@pytest.mark.parametrize(("habits", "most_s"), PEERS.values(), ids=PEERS)
@pytest.mark.parametrize(("queue_s", "rtt_s"), [(0.02, 0.05), (0.05, 0.005), (0.2, 0.3), (1.0, 0.05)])
def test_listener_steps_down_once_and_comes_back(habits: Habits, most_s: float, queue_s: float, rtt_s: float) -> None:
    history = Listener(_narrow(64, queue_s, rtt_s), habits, seed=3).run(NARROW_UNTIL_S + 60)
    assert _switches(history) == [1, 0]
    assert _first_switch_s(history) < most_s
    # A check beside a sender report fills a queue of 20 ms, which is less than two packets.
    settled_s = NARROW_FROM_S + _first_switch_s(history) + 0.5
    assert sum(at_s > settled_s for at_s in history.dropped) <= (2 if queue_s < 0.05 else 0)
    assert sum(at_s > settled_s for at_s in history.gaps) <= (2 if queue_s < 0.05 else 0)
    # What probes add to the delay; by then the queue of 1 s is empty, too.
    assert max(wait_s for at_s, wait_s in history.queued if 60 < at_s < NARROW_UNTIL_S) < 0.055


@pytest.mark.parametrize("habits", [CHROMIUM, FIREFOX, SILENT], ids=["Chromium", "Firefox", "silent"])
def test_listener_on_a_path_known_to_be_narrow_begins_low_and_rises_after_a_probe(habits: Habits) -> None:
    """As after a move from another channel."""
    history = Listener(Path(64, 0.2, 0.0, 60.0), habits, encoding=1).run(120.0)
    assert history.dropped == history.gaps == []
    assert _switches(history) == [0]
    assert history.encodings[0][0] > 60.0


@pytest.mark.parametrize("seed", [13, 32, 58])
def test_first_report_of_a_limit_suffices_without_red(seed: int) -> None:
    """It shows 4 to 15 % of loss here, since the limit began shortly before it."""
    history = Listener(_narrow(64, 0.2), FIREFOX, seed=seed).run(NARROW_FROM_S + 20)
    assert _first_switch_s(history) < 4.0


@pytest.mark.parametrize(("rate_kbps", "queue_s"), [(64, 0.2), (136, 0.05)])
def test_limit_that_lasts_ten_minutes_causes_one_switch(rate_kbps: float, queue_s: float) -> None:
    history = Listener(Path(rate_kbps, queue_s, NARROW_FROM_S), seed=2).run(NARROW_FROM_S + 600)
    assert _switches(history) == [1]
    assert not [at_s for at_s in history.dropped if at_s > NARROW_FROM_S + 10]
    assert not [at_s for at_s in history.gaps if at_s > NARROW_FROM_S + 10]


def test_link_that_carries_bursts_is_not_taken_for_a_wide_one() -> None:
    history = Listener(Path(64, 0.5, NARROW_FROM_S, burst_s=0.5), seed=1).run(NARROW_FROM_S + 200)
    assert _switches(history) == [1]
    assert not [at_s for at_s in history.dropped if at_s > NARROW_FROM_S + 10]


@pytest.mark.parametrize(("habits", "rtt_s"), [(CHROMIUM, 0.005), (FREQUENT, 0.29), (RARE, 0.1)])
def test_random_loss_causes_redundancy_but_no_switch(habits: Habits, rtt_s: float) -> None:
    history = Listener(Path(rtt_s=rtt_s, loss=0.03, jitter_s=0.01), habits, seed=4).run(600)
    assert history.encodings == []
    first_s, first = history.levels[0]
    assert first_s < 12
    assert first >= 1
    assert all(level >= 1 for _, level in history.levels)


@pytest.mark.parametrize("loss", [0.03, 0.08])
def test_random_loss_causes_no_switch_without_red(loss: float) -> None:
    history = Listener(Path(loss=loss, jitter_s=0.01), FIREFOX, seed=4).run(600)
    assert history.encodings == []
    assert len(history.wake_ups) < 15 * 10


@pytest.mark.parametrize(("habits", "queue_s"), [(CHROMIUM, 0.05), (FREQUENT, 0.2), (CHROMIUM, 1.0)])
def test_narrow_link_takes_redundancy_away_in_spite_of_random_loss(habits: Habits, queue_s: float) -> None:
    history = Listener(_narrow(64, queue_s, loss=0.03), habits, seed=5).run(NARROW_UNTIL_S + 60)
    assert _switches(history) == [1, 0]
    assert _first_switch_s(history) < 5
    narrow = [level for at_s, level in history.levels if NARROW_FROM_S + 5 < at_s < NARROW_UNTIL_S]
    assert narrow == []
    assert (history.encodings[0][0], 0) in history.levels
    assert history.levels[-1][1] >= 1
    assert not [at_s for at_s in history.dropped if at_s > NARROW_FROM_S + 10]


@pytest.mark.parametrize("habits", [CHROMIUM, FREQUENT, RARE], ids=["Chromium", "frequent", "rare"])
def test_heavy_loss_that_does_not_fall_with_the_load_is_no_congestion(habits: Habits) -> None:
    listener = Listener(Path(loss=0.2), habits, seed=1)
    history = listener.run(120)
    # Redundancy goes first; it and the encoding are back when the loss has stayed.
    assert (listener.adaptation.encoding, listener.adaptation.redundancy) == (0, 2)
    assert len(history.encodings) <= 4
    assert max(at_s for at_s, _ in history.encodings + history.levels) < 60


def test_short_outages_are_no_congestion() -> None:
    history = Listener(Path(outages=((30, 0.4), (90, 0.6), (150, 2.0))), seed=1).run(250)
    assert history.encodings == []


@pytest.mark.parametrize(("rate_kbps", "expected"), [(45, 3), (66, 3), (90, 2), (200, 1)], ids=lambda value: f"{value}")
def test_capacity_that_nacks_tell_leads_to_the_encoding_at_once(rate_kbps: float, expected: int) -> None:
    listener = Listener(_narrow(rate_kbps, 0.2), bitrates_kbps=(256, 128, 64, 32), seed=1)
    history = listener.run(NARROW_UNTIL_S + 60)
    assert _switches(history, until_s=NARROW_UNTIL_S) == [expected]
    assert _first_switch_s(history) < 5
    assert _switches(history, NARROW_UNTIL_S) == list(range(expected - 1, -1, -1))


@pytest.mark.parametrize("habits", [FREQUENT, RARE], ids=["frequent", "rare"])
def test_unknown_capacity_is_found_one_encoding_after_the_other(habits: Habits) -> None:
    history = Listener(_narrow(90, 0.2), habits, bitrates_kbps=(256, 128, 64, 32), seed=1).run(NARROW_UNTIL_S)
    assert _switches(history) == [1, 2]
    assert history.encodings[1][0] - history.encodings[0][0] >= 5


def test_listener_never_gets_more_than_its_description_allows() -> None:
    listener = Listener(_narrow(64, 0.2), bitrates_kbps=(256, 128, 48), top=1, seed=1)
    assert _switches(listener.run(NARROW_UNTIL_S + 100)) == [2, 1]


@pytest.mark.parametrize(("frame_ms", "rate_kbps"), [(60, 56), (10, 76)])
def test_other_frame_durations(frame_ms: float, rate_kbps: float) -> None:
    history = Listener(_narrow(rate_kbps, 0.2), frame_ms=frame_ms, seed=1).run(NARROW_UNTIL_S + 60)
    assert _switches(history) == [1, 0]
    assert _first_switch_s(history) < 5
    assert not [at_s for at_s in history.gaps if at_s > NARROW_FROM_S + 10]


def test_single_encoding_loses_its_redundancy_on_a_narrow_link() -> None:
    listener = Listener(_narrow(160, 0.2, loss=0.03), bitrates_kbps=(128,), seed=1)
    history = listener.run(NARROW_UNTIL_S + 60)
    assert [level for at_s, level in history.levels if NARROW_FROM_S < at_s < NARROW_UNTIL_S] == [0]
    assert listener.adaptation.redundancy >= 1
    assert history.encodings == []


def test_link_below_the_lowest_encoding_is_left_alone() -> None:
    history = Listener(_narrow(40, 0.2), seed=1).run(NARROW_UNTIL_S + 60)
    assert _switches(history) == [1, 0]


def test_peer_without_rtcp_steps_down_by_checks() -> None:
    history = Listener(_narrow(64, 0.2), SILENT, seed=1).run(NARROW_UNTIL_S + 60)
    assert _switches(history) == [1, 0]
    assert _first_switch_s(history) < 16


def test_peer_without_answers_to_checks_is_tried_ever_more_rarely() -> None:
    history = Listener(Path(64, 0.2, NARROW_FROM_S), UNCHECKED, seed=1).run(NARROW_FROM_S + 600)
    raised_s = [at_s for at_s, encoding in history.encodings if encoding == 0]
    assert _first_switch_s(history) < 5
    assert 2 <= len(raised_s) <= 5
    pauses_s = [after_s - before_s for before_s, after_s in itertools.pairwise(raised_s)]
    assert pauses_s == sorted(pauses_s)
    assert not history.probes


# -- what it costs


def test_quiet_listener_causes_no_timers() -> None:
    history = Listener(Path(), seed=1).run(600)
    assert len(history.wake_ups) == 3  # The first checks.


def test_peer_without_rtcp_costs_a_check_every_5_s() -> None:
    history = Listener(Path(), SILENT, seed=1).run(600)
    assert len(history.wake_ups) == 3 + (600 - 15) // 5


def test_limited_listener_costs_less_than_one_wake_up_per_second() -> None:
    history = Listener(Path(64, 0.2, 0.0), seed=1).run(600)
    assert len(history.wake_ups) < 300
    assert len(history.probes) < 200


def test_nothing_is_measured_where_nothing_can_change() -> None:
    adaptation = Adaptation((128_000,), 20, has_red=False, now_s=0.0)
    adaptation.on_nack(list(range(500)), 1.0)
    adaptation.on_report(0.9, 500, 0.5, 1.0)
    assert adaptation.timeout_s() is None
    assert adaptation.decisions() == []


def test_reports_that_arrive_at_the_same_time_are_counted() -> None:
    adaptation = Adaptation((128_000, 48_000), 20, has_red=True, now_s=0.0)
    adaptation.on_report(0.0, 0, None, 5.0)
    adaptation.on_nack(list(range(100, 104)), 10.0)
    for _ in range(2):
        adaptation.on_report(0.5, 40, None, 10.7)
    for tenth in range(110, 250):
        adaptation.on_time(tenth / 10)
