"""Runs lightweight players in the thread of the test."""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Sequence

from .player import Player


def drive(players: Sequence[Player], until: Callable[[], bool], timeout_s: float = 10.0) -> bool:
    """Pass datagrams and timeouts to the players until the condition is true; return False on timeout."""
    deadline_s = time.monotonic() + timeout_s
    while not until():
        now_s = time.monotonic()
        if now_s > deadline_s:
            return False
        by_socket = {player.socket: player for player in players if player.socket is not None}
        for ready in select.select(list(by_socket), [], [], 0.01)[0]:
            by_socket[ready].handle_readable(time.monotonic())
        for player in players:
            if player.socket is not None and player.due_s <= now_s:
                player.handle_timeout(now_s)
    return True


def connect(player: Player, url: str, timeout_s: float = 10.0) -> None:
    """Connect a player and wait for its first packet. Raises ``RuntimeError`` with the state it stopped in."""
    player.post(url, time.monotonic())
    drive([player], lambda: player.state == "failed" or player.first_packet_s > 0, timeout_s)
    if not player.first_packet_s:
        raise RuntimeError(f"not connected: {player.state} {player.reason}")
