"""The process that runs hundreds of lightweight players in one thread, controlled by farm.py.

Commands and answers are JSON, one a line: {"do": "connect", "url": ..., "count": 50, "in_flight": 4},
{"do": "listen", "host": ..., "port": ..., "count": 50}, {"do": "reset"}, {"do": "report"},
{"do": "close", "count": 10, "how": "delete"}. Ends with standard input.

    python -m support.farm_worker [NETWORK FIRST STEP]      each player has an address of its own: every STEP-th
"""

from __future__ import annotations

import collections
import contextlib
import http
import ipaddress
import itertools
import json
import os
import select
import socket
import sys
import time
from collections.abc import Iterator
from typing import Any

from .packet_counter import Counter, PacketCounter
from .player import Certificate, Player

_SWEEP_S = 0.02
_CONNECT_TIMEOUT_S = 20.0
_SO_RCVBUFFORCE = 33
_RECEIVE_BUFFER_BYTES = 2_000_000
"""More than 20 s of audio. A request to a slow server blocks the process; what is lost then would not be its fault."""


class Worker:
    """One epoll loop over standard input and all players' sockets.

    Args:
        sources: The players' addresses; an empty one is chosen by the system.
    """

    def __init__(self, sources: Iterator[str]) -> None:
        self._sources = sources
        self._certificate = Certificate()
        self._poll = select.epoll()
        self._counter = PacketCounter()
        self._players: dict[int, Player] = {}
        self._asking: dict[int, Player] = {}
        """By descriptor of their HTTP connection: players whose POST has no response yet."""
        self._failures: list[str] = []
        self._input = b""
        self._not_before_s = 0.0
        self._sweep_s = 0.0
        self._running = True
        os.set_blocking(0, False)
        self._wait_for(0)

    def run(self) -> None:
        while self._running:
            self._turn()
        for player in self._players.values():
            player.vanish()

    def _turn(self) -> None:
        """Wait for datagrams, a response or a command; every 20 ms look at the players' timers."""
        self._receive(max(0.0, self._sweep_s - time.monotonic()))
        now_s = time.monotonic()
        if now_s < self._sweep_s:
            return
        self._sweep_s = now_s + _SWEEP_S
        for descriptor, player in self._players.items():
            if player.due_s <= now_s:
                # The player reports what was counted for it.
                player.counters.highest = self._counter[descriptor].highest
                player.handle_timeout(now_s)

    def _receive(self, wait_s: float) -> None:
        for descriptor, data in self._counter.wait(self._poll.fileno(), wait_s):
            if data is not None:
                if descriptor in self._players:
                    self._players[descriptor].handle_datagram(data, time.monotonic())
            elif descriptor in self._asking:
                self._read_response(descriptor)
            else:
                self._read_command()

    def _wait_for(self, descriptor: int) -> None:
        self._counter.set_own(descriptor, True)
        self._poll.register(descriptor, select.EPOLLIN)

    def _leave(self, descriptor: int) -> None:
        self._poll.unregister(descriptor)
        self._counter.set_own(descriptor, False)

    def _read_command(self) -> None:
        data = os.read(0, 65_536)
        self._running = bool(data)
        *lines, self._input = (self._input + data).split(b"\n")
        for line in lines:
            command = json.loads(line)
            answer = getattr(self, f"_do_{command.pop('do')}")(**command)
            sys.stdout.write(json.dumps(answer) + "\n")
            sys.stdout.flush()

    def _do_connect(self, url: str, count: int, in_flight: int, token: str | None = None) -> dict[str, Any]:
        """Connect players, at most ``in_flight`` at a time; answer when all are connected or failed."""
        pending: list[Player] = []
        started: list[Player] = []
        failures: collections.Counter[str] = collections.Counter()
        # Other commands wait until this one is done.
        self._leave(0)
        while len(started) < count:
            while len(pending) < min(in_flight, count - len(started)) and time.monotonic() >= self._not_before_s:
                pending.append(self._request(url, token))
            self._turn()
            done = [player for player in pending if not self._is_on_its_way(player)]
            pending = [player for player in pending if player not in done]
            started += [player for player in done if player.status != http.HTTPStatus.TOO_MANY_REQUESTS]
        self._wait_for(0)
        for player in started:
            if player.state == "failed":
                failures[player.reason] += 1
                self._drop(player)
        waits = [1000 * (player.first_packet_s - player.posted_s) for player in started if player.first_packet_s]
        return {"first_packet_ms": waits, "failures": dict(failures)}

    def _request(self, url: str, token: str | None) -> Player:
        player = self._create()
        descriptor = player.request(url, time.monotonic(), token)
        self._asking[descriptor] = player
        self._wait_for(descriptor)
        return player

    def _read_response(self, descriptor: int) -> None:
        player = self._asking.pop(descriptor)
        self._leave(descriptor)
        now_s = time.monotonic()
        if player.read_response(now_s):
            self._add(player)
            player.handle_timeout(now_s)
        elif player.status == http.HTTPStatus.TOO_MANY_REQUESTS:
            self._not_before_s = now_s + player.retry_after_s

    def _create(self) -> Player:
        player = Player(self._certificate)
        player.source = next(self._sources)
        return player

    def _add(self, player: Player) -> None:
        assert player.socket is not None
        with contextlib.suppress(PermissionError):  # The system's maximum is not enough, and exceeding it needs root.
            player.socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _RECEIVE_BUFFER_BYTES)
        self._counter.reset(player.socket.fileno())
        self._players[player.socket.fileno()] = player
        self._poll.register(player.socket.fileno(), select.EPOLLIN)

    def _do_listen(self, host: str, port: int, count: int) -> dict[str, Any]:
        """Count what comes from this address on as many sockets; answer with their addresses."""
        players = [self._create() for _ in range(count)]
        addresses = [player.listen(host, port) for player in players]
        for player in players:
            self._add(player)
        return {"addresses": addresses}

    def _is_on_its_way(self, player: Player) -> bool:
        if player.state in ("failed", "closed") or player.socket is None:
            return False
        counter = self._counter[player.socket.fileno()]
        if counter.packets and player.state == "connected":
            player.first_packet_s, player.media_ssrc = counter.first_ns / 1e9, counter.ssrc
            return False
        if time.monotonic() - player.posted_s > _CONNECT_TIMEOUT_S:
            player.reason, player.state = f"no packet in {_CONNECT_TIMEOUT_S:.0f} s, {player.state}", "failed"
        return player.state != "failed"

    def _drop(self, player: Player) -> None:
        for descriptor in [descriptor for descriptor, asking in self._asking.items() if asking is player]:
            del self._asking[descriptor]
            self._leave(descriptor)
        if player.socket is not None:
            self._players.pop(player.socket.fileno(), None)
        player.vanish()

    def _do_reset(self) -> dict[str, Any]:
        """Reset the counters."""
        for descriptor in self._players:
            self._counter.reset(descriptor)
        return {}

    def _do_report(self) -> dict[str, Any]:
        now_ns = time.monotonic_ns()
        players = self._players.values()
        counters: list[Counter] = [self._counter[descriptor] for descriptor in self._players]
        return {
            "states": dict(collections.Counter(player.state for player in players)),
            "reasons": dict(collections.Counter(player.reason for player in players if player.reason)),
            "packets": [counter.packets for counter in counters],
            "missing": [counter.missing for counter in counters],
            "duplicates": sum(counter.duplicates for counter in counters),
            "longest_gap_ms": [counter.longest_gap_ns / 1e6 for counter in counters],
            "silent_ms": [(now_ns - counter.last_ns) / 1e6 for counter in counters],
        }

    def _do_close(self, count: int, how: str) -> dict[str, Any]:
        statuses: collections.Counter[int] = collections.Counter()
        for player in list(self._players.values())[:count]:
            descriptor = -1 if player.socket is None else player.socket.fileno()
            del self._players[descriptor]
            if how == "delete":
                statuses[player.delete()] += 1
                self._receive(0.0)
            else:
                player.vanish()
        return {"statuses": dict(statuses)}


def _sources(network: str = "", first: str = "0", step: str = "1") -> Iterator[str]:
    if not network:
        return itertools.repeat("")
    return itertools.cycle(
        map(str, itertools.islice(ipaddress.ip_network(network).hosts(), int(first), None, int(step)))
    )


if __name__ == "__main__":
    Worker(_sources(*sys.argv[1:])).run()
