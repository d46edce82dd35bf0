"""Hundreds of cheap WHEP players in a process of their own, so that their work is not the server's."""

from __future__ import annotations

from dataclasses import dataclass

from .child import Child
from .netns import Host


@dataclass(frozen=True)
class Report:
    """What all players together got since the last reset."""

    states: dict[str, int]
    """How many players are in which state."""
    reasons: dict[str, int]
    """Why players failed or were closed."""
    packets: list[int]
    """Of each player."""
    missing: list[int]
    """Of each player: frames between its first and its last that never came."""
    duplicates: int
    longest_gap_ms: list[float]
    """Of each player: the longest time between two packets."""
    silent_ms: list[float]
    """Of each player: since its last packet."""


class PlayerFarm:
    """Players that complete ICE and DTLS, keep consent alive, report by RTCP and count what they get.

    Args:
        host: The network host they live on; None is this machine's own network.
    """

    def __init__(self, host: Host | None = None) -> None:
        self._worker = Child("support.farm_worker", host=host)

    def connect(self, url: str, count: int = 1, *, in_flight: int = 4, token: str | None = None) -> list[float]:
        """Connects more players and returns for each the milliseconds from POST to its first packet.

        Raises:
            RuntimeError: Some gave up, and why.
        """
        waits, failures = self.try_connect(url, count, in_flight=in_flight, token=token)
        if failures:
            raise RuntimeError(f"players that did not connect: {failures}")
        return waits

    def try_connect(
        self, url: str, count: int = 1, *, in_flight: int = 4, token: str | None = None
    ) -> tuple[list[float], dict[str, int]]:
        """As ``connect``, but returns the reasons of those that failed."""
        answer = self._worker.ask("connect", url=url, count=count, in_flight=in_flight, token=token)
        return answer["first_packet_ms"], answer["failures"]

    def reset(self) -> None:
        """Counts from here on."""
        self._worker.ask("reset")

    def report(self) -> Report:
        """What came in since the last ``reset``."""
        return Report(**self._worker.ask("report"))

    def disconnect(self, count: int = 1_000_000, how: str = "delete") -> dict[str, int]:
        """Ends the oldest players by ``"delete"``, or without a word (``"vanish"``); the DELETEs' statuses."""
        statuses: dict[str, int] = self._worker.ask("close", count=count, how=how)["statuses"]
        return statuses

    def close(self) -> None:
        """Players that are still there vanish without a word."""
        self._worker.close()

    def __enter__(self) -> PlayerFarm:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
