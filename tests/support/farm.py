"""Hundreds of lightweight WHEP players in a separate process, so that their load is not the server's."""

from __future__ import annotations

import collections
import dataclasses
import functools
import json
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .child import Child
from .netns import Host


@dataclass(frozen=True)
class Report:
    """Totals of all players since the last reset."""

    states: dict[str, int]
    """Number of players in each state."""
    reasons: dict[str, int]
    """Why players failed or were closed."""
    packets: list[int]
    """Of each player."""
    missing: list[int]
    """For each player: missing frames between its first and last."""
    duplicates: int
    longest_gap_ms: list[float]
    """For each player: the longest time between two packets."""
    silent_ms: list[float]
    """For each player: time since its last packet."""

    def __add__(self, other: Report) -> Report:
        return Report(
            *(_added(getattr(self, field.name), getattr(other, field.name)) for field in dataclasses.fields(Report))
        )


class PlayerFarm:
    """Players that complete ICE and DTLS, keep consent, send RTCP reports and count packets.

    Args:
        host: The network host they run on; None for this machine's own network.
        network: Where each player has an address of its own, as an IPv4 network; empty: the system chooses.
        workers: Number of processes that share the players. A second one goes on while a POST blocks the first.
    """

    def __init__(self, host: Host | None = None, *, network: str = "", workers: int = 1) -> None:
        numbers = [(network, str(number), str(workers)) if network else () for number in range(workers)]
        self._workers = [Child("support.farm_worker", *arguments, host=host) for arguments in numbers]
        self.pids = [worker.pid for worker in self._workers]

    def connect(self, url: str, count: int = 1, *, in_flight: int = 4, token: str | None = None) -> list[float]:
        """Connect more players; return for each the milliseconds from POST to its first packet.

        Raises:
            RuntimeError: Some failed; the message has the reasons.
        """
        waits, failures = self.try_connect(url, count, in_flight=in_flight, token=token)
        if failures:
            raise RuntimeError(f"players that did not connect: {failures}")
        return waits

    def try_connect(
        self, url: str, count: int = 1, *, in_flight: int = 4, token: str | None = None
    ) -> tuple[list[float], dict[str, int]]:
        """As ``connect``, but return the reasons of failures. ``in_flight`` counts per worker."""
        answers = self._ask_each("connect", count, url=url, in_flight=in_flight, token=token)
        failures: collections.Counter[str] = collections.Counter()
        for answer in answers:
            failures.update(answer["failures"])
        return [wait for answer in answers for wait in answer["first_packet_ms"]], dict(failures)

    def listen(self, host: str, port: int, count: int) -> list[tuple[str, int]]:
        """Add players that only count the RTP from this address; return their own addresses."""
        answers = self._ask_each("listen", count, host=host, port=port)
        return [(host, port) for answer in answers for host, port in answer["addresses"]]

    def reset(self) -> None:
        """Reset the counters."""
        self._ask("reset", [{}] * len(self._workers))

    def report(self) -> Report:
        """Return the totals since the last ``reset``."""
        answers = [Report(**answer) for answer in self._ask("report", [{}] * len(self._workers))]
        return functools.reduce(operator.add, answers)

    def disconnect(self, count: int = 1_000_000, how: str = "delete") -> dict[str, int]:
        """End the oldest players by ``"delete"`` or silently (``"vanish"``); return the DELETE statuses."""
        statuses: collections.Counter[str] = collections.Counter()
        for answer in self._ask_each("close", count, how=how):
            statuses.update(answer["statuses"])
        return dict(statuses)

    def _ask_each(self, do: str, count: int, **arguments: Any) -> list[dict[str, Any]]:
        """Divide ``count`` among the workers."""
        workers = len(self._workers)
        shares = [count // workers + (number < count % workers) for number in range(workers)]
        return self._ask(do, [{"count": share, **arguments} for share in shares])

    def _ask(self, do: str, arguments: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Send one command to each worker, then wait for all answers."""
        for worker, own in zip(self._workers, arguments, strict=True):
            worker.write_line(json.dumps({"do": do, **own}))
        return [json.loads(worker.read_line()) for worker in self._workers]

    def close(self) -> None:
        """End the remaining players silently."""
        for worker in self._workers:
            worker.close()

    def __enter__(self) -> PlayerFarm:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _added(one: Any, other: Any) -> Any:
    return dict(collections.Counter(one) + collections.Counter(other)) if isinstance(one, dict) else one + other
