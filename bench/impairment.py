"""Network impairments, decided in advance: the same seed gives every receiver the same trace.

The sender itself sends late, twice, or not at all, so that no relay adds its own lateness.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass


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


_CALM_S = 0.25
_DUPLICATE_LATER_S = 0.005


def schedule(network: Network, packets: int, frame_s: float, seed: int) -> list[tuple[float, int]]:
    """Decide when which packet arrives.

    Args:
        network: The impairments.
        packets: How many are sent, one per ``frame_s``.
        frame_s: Length of a frame.
        seed: Determines the trace.

    Returns:
        Seconds after the first frame's time and the packet's number, ordered by time, without lost packets.
    """
    draws = random.Random(seed)
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
        if is_lost and not any(abs(number * frame_s - at_s) < _CALM_S for at_s in network.calm_at_s):
            continue
        queue_free_s = max(queue_free_s, number * frame_s + late_s)
        arrival_s = queue_free_s + (1e-3 * network.reorder_ms if overtaken else 0.0)
        arrivals.append((arrival_s, number))
        if doubled:
            arrivals.append((arrival_s + _DUPLICATE_LATER_S, number))
    return sorted(arrivals)
