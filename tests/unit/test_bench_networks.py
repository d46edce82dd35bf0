"""The benchmark's networks: the same seed gives the same trace, and nothing can be tuned to the judging set."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Mapping

import pytest
from bench.impairment import (
    JUDGING,
    OLD_CASES,
    TUNING,
    CrossTraffic,
    GilbertElliott,
    Kind,
    Network,
    Route,
    Spikes,
    Storm,
    Wander,
    cases,
    schedule,
)

FRAME_S = 0.02
TRACES_OF_VERSION_1 = {
    "clean": "f26e79454cdd6c2e",
    "1 % lost": "7b5bc659b65d5cce",
    "5 % lost": "fe79121f90dfd816",
    "10 % lost": "e8342d288af6d643",
    "1 % lost in bursts of 3": "16a9063c63e2b6f2",
    "5 % lost in bursts of 3": "c83e669d44d69302",
    "10 % lost in bursts of 3": "4c7aac77e8f5710e",
    "jitter 20 ms": "859d5b0a455ce1d9",
    "jitter 60 ms": "2b478edd02703073",
    "2 % out of order": "637fdf68f51358bd",
    "2 % duplicated": "1b90763a82ae585c",
    "5 % lost, jitter 40 ms": "8c4da0b3dcb70c3d",
    "5 % lost, RED": "fe79121f90dfd816",
}


def transits_ms(network: Network, packets: int = 2000, seed: int = 1) -> dict[int, float]:
    """Return the transit of each packet that arrives."""
    trace = schedule(network, packets, FRAME_S, seed)
    return {number: 1000 * (arrival_s - number * FRAME_S) for arrival_s, number in trace}


def lost(network: Network, packets: int = 2000, seed: int = 1) -> list[int]:
    """Return the numbers of the lost packets."""
    came = transits_ms(network, packets, seed)
    return [number for number in range(packets) if number not in came]


def test_traces_of_version_1_are_unchanged() -> None:
    traces = {name: repr(case.arrivals(23.0)).encode() for name, case in OLD_CASES.items()}
    assert {name: hashlib.sha256(trace).hexdigest()[:16] for name, trace in traces.items()} == TRACES_OF_VERSION_1


def test_every_old_case_is_judged_as_it_was() -> None:
    judging = cases(JUDGING)
    assert {name: judging[name] for name in OLD_CASES} == OLD_CASES


@pytest.mark.parametrize("kinds", [TUNING, JUDGING])
def test_same_seed_gives_same_trace(kinds: Mapping[str, Kind]) -> None:
    first, second = cases(kinds, 3), cases(kinds, 3)
    assert first == second
    assert all(first[name].arrivals(5.0) == second[name].arrivals(5.0) for name in first)


def test_other_seeds_give_other_traces_for_tuning_only() -> None:
    assert cases(JUDGING, 1) == cases(JUDGING, 2)
    first, second = cases(TUNING, 1), cases(TUNING, 2)
    assert all(first[name].seed != second[name].seed for name in TUNING)


def test_tuning_and_judging_are_disjoint() -> None:
    judging = cases(JUDGING).values()
    for seed in range(50):
        for case in cases(TUNING, seed).values():
            assert case.seed % 2 == 0
            assert all(case.network != judged.network for judged in judging)
    assert all(case.seed % 2 == 1 for case in judging)


def test_every_case_loses_less_than_a_fifth() -> None:
    for name, case in {**cases(JUDGING), **cases(TUNING, 4)}.items():
        frames = 23_000 // case.frame_ms
        came = {number for _, number in case.arrivals(23.0)}
        assert len(came) > 0.8 * frames, name
        assert came <= set(range(frames)), name


def test_gilbert_elliott_loses_the_share_of_its_states() -> None:
    network = Network(states=GilbertElliott(good_s=0.9, bad_s=0.1, bad_loss=0.5, good_loss=0.01))
    missing = lost(network, 10_000)
    assert len(missing) / 10_000 == pytest.approx(0.1 * 0.5 + 0.9 * 0.01, rel=0.15)
    after_a_loss = sum(later - earlier == 1 for earlier, later in itertools.pairwise(missing)) / len(missing)
    assert after_a_loss > 0.25


def test_wifi_delays_packets_in_the_bad_state_only() -> None:
    states = GilbertElliott(good_s=0.9, bad_s=0.1, bad_loss=0.0, bad_jitter_ms=50)
    transits = list(transits_ms(Network(states=states), 10_000).values())
    assert 40 < max(transits) <= 50.001
    assert sum(transit > 1 for transit in transits) / len(transits) == pytest.approx(0.1, rel=0.3)


def test_wander_is_slow_and_within_its_bounds_and_keeps_the_order() -> None:
    trace = schedule(Network(wander=Wander(40, over_s=2)), 10_000, FRAME_S, seed=1)
    assert [number for _, number in trace] == list(range(10_000))
    transits = [1000 * (arrival_s - number * FRAME_S) for arrival_s, number in trace]
    assert min(transits) > -0.001
    assert max(transits) < 80.001
    assert max(transits) - min(transits) > 70
    assert max(abs(later - earlier) for earlier, later in itertools.pairwise(transits)) < 25


def test_packets_in_a_spike_arrive_at_its_end() -> None:
    trace = schedule(Network(spikes=Spikes(5, 150, 250)), 1000, FRAME_S, seed=1)
    by_time = itertools.groupby(trace, key=lambda arrival: arrival[0])
    together = [count for _, group in by_time if (count := len(list(group))) > 1]
    assert 3 <= len(together) <= 4
    assert all(130 <= 1000 * count * FRAME_S <= 270 for count in together)
    assert [number for _, number in trace] == list(range(1000))


def test_packets_in_a_lost_spike_never_arrive_and_others_are_not_late() -> None:
    network = Network(spikes=Spikes(5, 200, 200, lost=True))
    assert len(lost(network, 1000)) == pytest.approx(4 * 10, abs=11)
    assert max(transits_ms(network, 1000).values()) < 0.001


def test_route_change_down_lets_packets_overtake() -> None:
    trace = schedule(Network(routes=(Route(5, 100), Route(10, 0))), 1000, FRAME_S, seed=1)
    numbers = [number for _, number in trace]
    assert numbers != sorted(numbers)
    assert sorted(numbers) == list(range(1000))
    transits = transits_ms(Network(routes=(Route(5, 100), Route(10, 0))), 1000)
    assert [round(transits[number]) for number in (249, 250, 499, 500)] == [0, 100, 100, 0]


def test_cross_traffic_fills_a_queue_that_drains() -> None:
    transits = list(transits_ms(Network(cross_traffic=CrossTraffic(3, 80, 0.2, 0.4)), 5000).values())
    assert 75 < max(transits) <= 240.001
    assert sum(transit < 1 for transit in transits) > 0.5 * len(transits)
    rises = [later - earlier for earlier, later in itertools.pairwise(transits)]
    assert max(rises) == pytest.approx(8, abs=0.01)
    assert min(rises) == pytest.approx(-4, abs=0.01)


def test_sender_ahead_of_its_clock_begins_with_a_burst() -> None:
    trace = schedule(Network(ahead_s=0.65), 200, FRAME_S, seed=1)
    assert [number for arrival_s, number in trace if arrival_s == 0] == list(range(33))
    assert [arrival_s for arrival_s, _ in trace[33:]] == pytest.approx(
        [number * FRAME_S - 0.65 for number in range(33, 200)]
    )


def test_drift_stretches_the_trace() -> None:
    assert transits_ms(Network(drift_ppm=200), 1000)[999] == pytest.approx(999 * 20 * 200e-6)


def test_storm_loses_its_share_during_its_time_only() -> None:
    assert lost(Network(storms=(Storm(10, 2),))) == list(range(500, 600))
    partly = lost(Network(storms=(Storm(10, 10, 0.3),)))
    assert set(partly) <= set(range(500, 1000))
    assert len(partly) == pytest.approx(150, rel=0.2)


def test_impairments_do_not_change_each_others_draws() -> None:
    loss, both = Network(loss=0.05), Network(loss=0.05, wander=Wander(40, 2), drift_ppm=50)
    assert lost(loss) == lost(both)


def test_nothing_is_lost_in_calm_periods_by_any_cause() -> None:
    calm_at_s = (6.0, 22.0)
    network = Network(
        loss=0.5,
        calm_at_s=calm_at_s,
        states=GilbertElliott(0.1, 0.5, 1.0),
        spikes=Spikes(1, 500, 500, lost=True),
        storms=(Storm(0, 40, 0.9),),
    )
    missing = lost(network)
    assert len(missing) > 1500
    assert not [number for number in missing if min(abs(number * FRAME_S - at_s) for at_s in calm_at_s) < 0.25]
