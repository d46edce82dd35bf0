"""Network impairments, decided in advance: the same seed gives every receiver the same trace.

The sender itself sends late, twice, or not at all, so that no relay adds its own lateness. There are two disjoint sets
of cases: ``TUNING``, to develop the jitter buffer with, and ``JUDGING``, to measure the result.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class GilbertElliott:
    """Two states, each with its own loss, that alternate after random times (exponentially distributed)."""

    good_s: float
    """Mean length of the good state, in which the trace begins."""
    bad_s: float
    bad_loss: float
    good_loss: float = 0.0
    bad_jitter_ms: float = 0.0
    """In the bad state, retransmissions delay each packet by 0 to this, and all behind it (Wi-Fi)."""


@dataclass(frozen=True, slots=True)
class Wander:
    """Delay of a mobile network: a random walk between -``ms`` and ``ms`` around its mean."""

    ms: float
    over_s: float
    """After this time, a walk without bounds has a standard deviation of ``ms``."""


@dataclass(frozen=True, slots=True)
class Spikes:
    """From time to time nothing arrives; packets due meanwhile all arrive at the end, or never."""

    every_s: float
    shortest_ms: float
    longest_ms: float
    lost: bool = False


@dataclass(frozen=True, slots=True)
class CrossTraffic:
    """Bursts of other traffic fill the bottleneck's queue, which then drains."""

    every_s: float
    """Mean time between bursts, which are exponentially distributed."""
    ms: float
    """Delay by one burst. Bursts add up, to at most three."""
    fill_s: float
    drain_s: float


@dataclass(frozen=True, slots=True)
class Route:
    """From ``at_s`` on, packets take a path that is ``ms`` slower than the first one, and may overtake others."""

    at_s: float
    ms: float


@dataclass(frozen=True, slots=True)
class Storm:
    """This share of packets is lost for a while."""

    at_s: float
    seconds: float
    loss: float = 1.0

    def includes(self, at_s: float) -> bool:
        """Return whether a packet sent then is in the storm."""
        return self.at_s <= at_s < self.at_s + self.seconds


@dataclass(frozen=True, slots=True)
class Network:
    """Impairments of a network. Shares are of packets, 0 to 1."""

    loss: float = 0.0
    burst_packets: int = 1
    """This many consecutive packets are lost together; ``loss`` stays the share of all packets."""
    jitter_ms: float = 0.0
    """Each packet is delayed by 0 to this, uniformly distributed, and queues behind the one before it."""
    reorder: float = 0.0
    """These packets are ``reorder_ms`` late and are overtaken by others."""
    reorder_ms: float = 30.0
    duplicate: float = 0.0
    """These packets arrive twice, 5 ms apart."""
    calm_at_s: Sequence[float] = ()
    """Around these times nothing is lost, so that it does not matter when exactly counters are read."""
    states: GilbertElliott | None = None
    wander: Wander | None = None
    spikes: Spikes | None = None
    cross_traffic: CrossTraffic | None = None
    routes: Sequence[Route] = ()
    """In the order of their times."""
    storms: Sequence[Storm] = ()
    ahead_s: float = 0.0
    """The sender sends this much at once when it starts, and stays that far ahead of its clock (FFmpeg's ``-re``)."""
    drift_ppm: float = 0.0
    """The sender's clock is slower than the receiver's by this."""


@dataclass(frozen=True, slots=True)
class Case:
    """A network, and how the sender uses it."""

    network: Network
    copies: int = 0
    """RED copies in each packet."""
    frame_ms: int = 20
    dtx: bool = False
    """Speech has pauses, in which the sender sends nothing. The sine has none."""
    seed: int = 20_250_101

    def arrivals(self, seconds: float) -> list[tuple[float, int]]:
        """Return the trace of the packets of these ``seconds``; see ``schedule``."""
        return schedule(self.network, int(1000 * seconds / self.frame_ms), self.frame_ms / 1000, self.seed)


_CALM_S = 0.25
_DUPLICATE_LATER_S = 0.005
_GRID_S = 0.01
"""Slow processes change this often."""
_QUEUED_BURSTS = 3


def schedule(network: Network, packets: int, frame_s: float, seed: int) -> list[tuple[float, int]]:
    """Decide when which packet arrives.

    Args:
        network: The impairments.
        packets: How many frames there are, one per ``frame_s``. A sender with discontinuous transmission leaves some
            out; the others keep their numbers and times.
        frame_s: Length of a frame.
        seed: Determines the trace.

    Returns:
        Seconds after the first frame's time and the packet's number, ordered by time, without lost packets.
    """
    draws = random.Random(seed)
    path = _Path(network, packets * frame_s, seed)
    arrivals: list[tuple[float, int]] = []
    queue_free_s = 0.0
    to_lose = 0
    for number in range(packets):
        late_s = 1e-3 * network.jitter_ms * draws.random()
        overtaken = draws.random() < network.reorder
        doubled = draws.random() < network.duplicate
        if to_lose == 0 and draws.random() < network.loss / network.burst_packets:
            to_lose = network.burst_packets
        is_lost, to_lose = to_lose > 0, max(0, to_lose - 1)
        sent_s = max(0.0, number * frame_s - network.ahead_s) * (1 + 1e-6 * network.drift_ppm)
        late_s += path.late_s(sent_s)
        is_lost = path.loses(sent_s) or is_lost
        if is_lost and not any(abs(number * frame_s - at_s) < _CALM_S for at_s in network.calm_at_s):
            continue
        queue_free_s = max(queue_free_s, sent_s + late_s)
        arrival_s = queue_free_s + path.route_s(sent_s) + (1e-3 * network.reorder_ms if overtaken else 0.0)
        arrivals.append((arrival_s, number))
        if doubled:
            arrivals.append((arrival_s + _DUPLICATE_LATER_S, number))
    return sorted(arrivals)


class _Path:
    """The impairments that have a state. Each draws from a generator of its own, so that none changes another's."""

    def __init__(self, network: Network, seconds: float, seed: int) -> None:
        self._network = network
        self._draws = random.Random(f"{seed} packets")
        self._bad = _bad_spans(network.states, seconds, random.Random(f"{seed} states"))
        self._spikes = _spike_spans(network.spikes, seconds, random.Random(f"{seed} spikes"))
        self._slow_s = [
            walked_s + queued_s
            for walked_s, queued_s in zip(
                _walk_s(network.wander, seconds, random.Random(f"{seed} wander")),
                _queue_s(network.cross_traffic, seconds, random.Random(f"{seed} cross traffic")),
                strict=True,
            )
        ]

    def late_s(self, sent_s: float) -> float:
        """Return the delay that keeps the order. Call once per packet."""
        late_s = self._slow_s[min(len(self._slow_s) - 1, round(sent_s / _GRID_S))]
        states, spikes = self._network.states, self._network.spikes
        retransmitting = self._draws.random()
        if states and _containing(self._bad, sent_s):
            late_s += 1e-3 * states.bad_jitter_ms * retransmitting
        if spikes and not spikes.lost and (spike := _containing(self._spikes, sent_s)):
            late_s = max(late_s, spike[1] - sent_s)
        return late_s

    def loses(self, sent_s: float) -> bool:
        """Return whether the packet is lost. Call once per packet."""
        network, draw = self._network, self._draws.random()
        shares = [storm.loss for storm in network.storms if storm.includes(sent_s)]
        if network.states:
            shares.append(network.states.bad_loss if _containing(self._bad, sent_s) else network.states.good_loss)
        if network.spikes and network.spikes.lost and _containing(self._spikes, sent_s):
            shares.append(1.0)
        return draw < max(shares, default=0.0)

    def route_s(self, sent_s: float) -> float:
        """Return the delay of the route, compared with the first one."""
        return 1e-3 * next((route.ms for route in reversed(self._network.routes) if route.at_s <= sent_s), 0.0)


_Span = tuple[float, float]


def _containing(spans: Sequence[_Span], at_s: float) -> _Span | None:
    return next((span for span in spans if span[0] <= at_s < span[1]), None)


def _bad_spans(states: GilbertElliott | None, seconds: float, draws: random.Random) -> list[_Span]:
    spans: list[_Span] = []
    at_s = 0.0
    while states and at_s < seconds:
        begins_s = at_s + draws.expovariate(1 / states.good_s)
        at_s = begins_s + draws.expovariate(1 / states.bad_s)
        spans.append((begins_s, at_s))
    return spans


def _spike_spans(spikes: Spikes | None, seconds: float, draws: random.Random) -> list[_Span]:
    if spikes is None:
        return []
    first_s = draws.uniform(0.3, 1.0) * spikes.every_s
    starts_s = itertools.takewhile(lambda at_s: at_s < seconds, itertools.count(first_s, spikes.every_s))
    return [(at_s, at_s + 1e-3 * draws.uniform(spikes.shortest_ms, spikes.longest_ms)) for at_s in starts_s]


def _walk_s(wander: Wander | None, seconds: float, draws: random.Random) -> list[float]:
    """Return the delay in each interval of the grid, from 0 to twice ``wander.ms``."""
    steps = math.ceil(seconds / _GRID_S) + 1
    if wander is None:
        return [0.0] * steps
    bound_s, at_s, walk = 1e-3 * wander.ms, 0.0, []
    for _ in range(steps):
        walk.append(bound_s + at_s)
        at_s += draws.gauss(0.0, bound_s * math.sqrt(_GRID_S / wander.over_s))
        if abs(at_s) > bound_s:
            at_s = math.copysign(2 * bound_s, at_s) - at_s
    return walk


def _queue_s(traffic: CrossTraffic | None, seconds: float, draws: random.Random) -> list[float]:
    """Return the delay in each interval of the grid."""
    steps = math.ceil(seconds / _GRID_S) + 1
    if traffic is None:
        return [0.0] * steps
    burst_s, queued_s, queue = 1e-3 * traffic.ms, 0.0, []
    next_s = draws.expovariate(1 / traffic.every_s)
    for step in range(steps):
        queue.append(queued_s)
        is_filling = next_s <= step * _GRID_S < next_s + traffic.fill_s
        queued_s += burst_s * (_GRID_S / traffic.fill_s if is_filling else -_GRID_S / traffic.drain_s)
        queued_s = max(0.0, min(_QUEUED_BURSTS * burst_s, queued_s))
        if step * _GRID_S >= next_s + traffic.fill_s:
            next_s += traffic.fill_s + draws.expovariate(1 / traffic.every_s)
    return queue


# ---------------------------------------------------------------------- the two sets

Kind = Callable[[random.Random], Case]
"""Draws the parameters of a case."""


def cases(kinds: Mapping[str, Kind], seed: int = 0) -> dict[str, Case]:
    """Return a case of each kind of ``TUNING`` or ``JUDGING``.

    Args:
        kinds: Which set.
        seed: Determines the parameters and traces of ``TUNING``, any number. ``JUDGING`` has only one of each.
    """
    return {name: kind(random.Random(f"{seed} {name}")) for name, kind in kinds.items()}


def _tuning(draw: Callable[[random.Random], Case]) -> Kind:
    """Give a case an even seed: those of ``JUDGING`` are odd."""

    def kind(draws: random.Random) -> Case:
        case = draw(draws)
        return replace(case, seed=2 * draws.getrandbits(30))

    return kind


TUNING: Mapping[str, Kind] = {
    name: _tuning(draw)
    for name, draw in {
        "clean": lambda _: Case(Network(drift_ppm=20)),
        "loss": lambda r: Case(Network(loss=r.choice((0.02, 0.03, 0.07, 0.08)))),
        "heavy loss": lambda r: Case(Network(loss=r.uniform(0.11, 0.15))),
        "loss in bursts": lambda r: Case(Network(loss=r.uniform(0.02, 0.08), burst_packets=r.choice((2, 4)))),
        "small jitter": lambda r: Case(Network(jitter_ms=r.uniform(5, 15))),
        "jitter": lambda r: Case(Network(jitter_ms=r.uniform(25, 55), loss=0.003)),
        "large jitter": lambda r: Case(Network(jitter_ms=r.uniform(70, 120))),
        "out of order": lambda r: Case(Network(reorder=r.uniform(0.03, 0.06), reorder_ms=r.uniform(35, 70))),
        "duplicates": lambda r: Case(Network(duplicate=r.uniform(0.03, 0.06))),
        "loss and jitter": lambda r: Case(Network(loss=r.uniform(0.02, 0.04), jitter_ms=r.uniform(20, 35))),
        "RED": lambda r: Case(Network(loss=r.uniform(0.06, 0.09)), copies=1),
        "RED, bursts": lambda r: Case(Network(loss=r.uniform(0.03, 0.05), burst_packets=3), copies=1),
        "Gilbert-Elliott": lambda r: Case(
            Network(states=GilbertElliott(r.uniform(0.7, 1.6), r.uniform(0.04, 0.09), r.uniform(0.5, 0.7), 0.002))
        ),
        "Wi-Fi": lambda r: Case(
            Network(
                jitter_ms=r.uniform(3, 8),
                states=GilbertElliott(
                    r.uniform(1.5, 3.5), r.uniform(0.1, 0.25), r.uniform(0.05, 0.12), 0.001, r.uniform(50, 75)
                ),
            )
        ),
        "wander, fast": lambda r: Case(Network(loss=0.005, wander=Wander(r.uniform(45, 60), r.uniform(2.5, 4)))),
        "wander, slow": lambda r: Case(Network(loss=0.005, wander=Wander(r.uniform(28, 36), r.uniform(5, 7)))),
        "spikes": lambda r: Case(Network(spikes=Spikes(4, 180, 180))),
        "rare spikes": lambda r: Case(Network(spikes=Spikes(7, 120, 120), jitter_ms=r.uniform(4, 10))),
        "spikes, lost": lambda r: Case(Network(spikes=Spikes(r.uniform(3.5, 4.5), 100, 140, lost=True))),
        "route changes": lambda r: Case(
            Network(routes=(Route(r.uniform(7, 8), r.uniform(60, 85)), Route(r.uniform(12, 13.5), 0)))
        ),
        "route changes, jitter": lambda r: Case(
            Network(jitter_ms=r.uniform(8, 16), routes=(Route(r.uniform(7, 8), 130), Route(r.uniform(12, 13.5), 30)))
        ),
        "cross traffic": lambda r: Case(
            Network(cross_traffic=CrossTraffic(r.uniform(2, 3), r.uniform(40, 70), r.uniform(0.1, 0.25), 0.4))
        ),
        "start-up burst": lambda r: Case(Network(ahead_s=r.uniform(0.35, 0.45))),
        "start-up burst, jitter": lambda r: Case(Network(ahead_s=r.uniform(0.75, 0.9), jitter_ms=r.uniform(8, 16))),
        "drift, jitter": lambda r: Case(
            Network(drift_ppm=r.choice((-1, 1)) * r.uniform(60, 150), jitter_ms=r.uniform(15, 28))
        ),
        "storm": lambda r: Case(Network(storms=(Storm(r.uniform(8, 12), r.uniform(0.6, 1.6)),))),
        "storm, part": lambda r: Case(
            Network(storms=(Storm(r.uniform(8, 12), r.uniform(2, 2.8), r.uniform(0.35, 0.45)),))
        ),
        "DTX": lambda r: Case(Network(jitter_ms=r.uniform(8, 16), loss=0.005), dtx=True),
        "10 ms packets": lambda r: Case(Network(jitter_ms=r.uniform(12, 25), loss=0.01), frame_ms=10),
        "60 ms packets": lambda r: Case(Network(jitter_ms=r.uniform(12, 25), loss=0.01), frame_ms=60),
    }.items()
}
"""Kinds of networks to develop the jitter buffer with. No value is one of ``JUDGING``."""


def _judging(seed: int, case: Case) -> Kind:
    return lambda _: replace(case, seed=seed)


OLD_CASES: Mapping[str, Case] = {
    "clean": Case(Network()),
    "1 % lost": Case(Network(loss=0.01)),
    "5 % lost": Case(Network(loss=0.05)),
    "10 % lost": Case(Network(loss=0.10)),
    "1 % lost in bursts of 3": Case(Network(loss=0.01, burst_packets=3)),
    "5 % lost in bursts of 3": Case(Network(loss=0.05, burst_packets=3)),
    "10 % lost in bursts of 3": Case(Network(loss=0.10, burst_packets=3)),
    "jitter 20 ms": Case(Network(jitter_ms=20)),
    "jitter 60 ms": Case(Network(jitter_ms=60)),
    "2 % out of order": Case(Network(reorder=0.02)),
    "2 % duplicated": Case(Network(duplicate=0.02)),
    "5 % lost, jitter 40 ms": Case(Network(loss=0.05, jitter_ms=40)),
    "5 % lost, RED": Case(Network(loss=0.05), copies=1),
}
"""The cases that the jitter buffer was developed with until version 1; part of ``JUDGING``."""

JUDGING: Mapping[str, Kind] = {
    **{name: _judging(case.seed, case) for name, case in OLD_CASES.items()},
    "RED, bursts of 2": _judging(31_415_927, Case(Network(loss=0.02, burst_packets=2), copies=1)),
    "Gilbert-Elliott": _judging(31_415_929, Case(Network(states=GilbertElliott(2.5, 0.12, 0.8)))),
    "Wi-Fi": _judging(31_415_931, Case(Network(jitter_ms=10, states=GilbertElliott(1.0, 0.07, 0.15, 0.003, 40)))),
    "wander of 40 ms": _judging(31_415_933, Case(Network(loss=0.01, wander=Wander(40, 2)))),
    "wander of 20 ms, jitter": _judging(31_415_935, Case(Network(jitter_ms=10, wander=Wander(20, 9)))),
    "spikes every 5 s": _judging(31_415_937, Case(Network(spikes=Spikes(5, 150, 250)))),
    "spikes every 9 s": _judging(31_415_939, Case(Network(spikes=Spikes(9, 300, 300)))),
    "spikes, lost": _judging(31_415_941, Case(Network(spikes=Spikes(6, 160, 200, lost=True)))),
    "route changes": _judging(31_415_943, Case(Network(routes=(Route(9, 100), Route(15, 0))))),
    "cross traffic": _judging(31_415_945, Case(Network(cross_traffic=CrossTraffic(3.5, 90, 0.3, 0.6)))),
    "start-up burst": _judging(31_415_947, Case(Network(ahead_s=0.65))),
    "drift, jitter 30 ms": _judging(31_415_949, Case(Network(drift_ppm=200, jitter_ms=30))),
    "storm, all lost": _judging(31_415_951, Case(Network(storms=(Storm(13, 2),)))),
    "storm, 30 % lost": _judging(31_415_953, Case(Network(storms=(Storm(13, 3, 0.3),)))),
    "DTX": _judging(31_415_955, Case(Network(jitter_ms=20, loss=0.01), dtx=True)),
    "10 ms packets": _judging(31_415_957, Case(Network(jitter_ms=30, loss=0.02), frame_ms=10)),
    "60 ms packets": _judging(31_415_959, Case(Network(jitter_ms=30, loss=0.02), frame_ms=60)),
}
"""The networks of ``bench quality``. Nothing may be tuned to them."""
