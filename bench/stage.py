"""Network environment of the benchmarks: two isolated hosts joined by a virtual link; no packet leaves the machine.

Server and players are separate processes; only the server's CPU time is counted. aiortc requires this environment,
because it never uses a loopback address.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from support import netns

SERVER_ADDRESS = "10.77.0.1"
PLAYERS_ADDRESS = "10.77.0.2"
PLAYERS_NETWORK = "10.78.0.0/16"


@dataclass(frozen=True)
class Stage:
    """The two hosts and the server's address; without root, both are this machine on loopback."""

    server: netns.Host | None = None
    players: netns.Host | None = None
    address: str = "127.0.0.1"
    network: str = ""
    """Where each player can have an address of its own, because servers limit the requests of one address."""
    missing: str = ""
    """Why there are no two hosts."""


@contextmanager
def open_stage() -> Iterator[Stage]:
    """Create two linked hosts if possible; otherwise use loopback and print why."""
    reason = netns.missing()
    if reason is not None:
        print(f"on loopback and without the comparison with aiortc: {reason}", flush=True)
        yield Stage(missing=reason)
        return
    with netns.Network() as network:
        server, players = network.host("server"), network.host("players")
        network.link(server, f"{SERVER_ADDRESS}/24", players, f"{PLAYERS_ADDRESS}/24")
        players.ip("route", "add", "local", PLAYERS_NETWORK, "dev", "lo")
        server.ip("route", "add", PLAYERS_NETWORK, "via", PLAYERS_ADDRESS)
        yield Stage(server, players, SERVER_ADDRESS, PLAYERS_NETWORK)
