"""What a network does to packets, decided beforehand: the same seed gives the same trace to every receiver.

The sender itself sends late, twice, or not at all, so no relay adds its own lateness to what is measured.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Network:
    """One kind of weather. Shares are of packets, 0 to 1."""

    loss: float = 0.0
    burst_packets: int = 1
    """So many in a row are lost at once; ``loss`` stays the share of all."""
    jitter_ms: float = 0.0
    """Each packet is late by 0 to this, evenly, and waits behind the one before it, as in a queue."""
    reorder: float = 0.0
    """These are ``reorder_ms`` late and let others pass."""
    reorder_ms: float = 30.0
    duplicate: float = 0.0
    """These come twice, 5 ms apart."""
    calm_at_s: Sequence[float] = ()
    """Around these moments nothing is lost, so that it does not matter when exactly a receiver is asked."""


_CALM_S = 0.25
_DUPLICATE_LATER_S = 0.005


def schedule(network: Network, packets: int, frame_s: float, seed: int) -> list[tuple[float, int]]:
    """When which packet arrives.

    Args:
        network: The weather.
        packets: How many are sent, one each ``frame_s``.
        frame_s: Length of a frame.
        seed: Decides everything.

    Returns:
        Seconds after the first frame's time and the packet's number, by time. Lost ones are not there.
    """
    weather = random.Random(seed)
    arrivals: list[tuple[float, int]] = []
    queue_free_s = 0.0
    to_lose = 0
    for number in range(packets):
        late_s = 1e-3 * network.jitter_ms * weather.random()
        overtaken = weather.random() < network.reorder
        doubled = weather.random() < network.duplicate
        if to_lose == 0 and weather.random() < network.loss / network.burst_packets:
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
