"""Hundreds of lightweight WHEP players in a separate process, so that their load is not the server's."""

from __future__ import annotations

from dataclasses import dataclass

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


class PlayerFarm:
    """Players that complete ICE and DTLS, keep consent, send RTCP reports and count packets.

    Args:
        host: The network host they run on; None for this machine's own network.
    """

    def __init__(self, host: Host | None = None) -> None:
        self._worker = Child("support.farm_worker", host=host)

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
        """As ``connect``, but return the reasons of failures."""
        answer = self._worker.ask("connect", url=url, count=count, in_flight=in_flight, token=token)
        return answer["first_packet_ms"], answer["failures"]

    def reset(self) -> None:
        """Reset the counters."""
        self._worker.ask("reset")

    def report(self) -> Report:
        """Return the totals since the last ``reset``."""
        return Report(**self._worker.ask("report"))

    def disconnect(self, count: int = 1_000_000, how: str = "delete") -> dict[str, int]:
        """End the oldest players by ``"delete"`` or silently (``"vanish"``); return the DELETE statuses."""
        statuses: dict[str, int] = self._worker.ask("close", count=count, how=how)["statuses"]
        return statuses

    def close(self) -> None:
        """End the remaining players silently."""
        self._worker.close()

    def __enter__(self) -> PlayerFarm:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
