"""A link in front of a server's UDP port that can become narrow and lossy while it is used.

    server ◄──► one socket per address of the listener ◄── link ──► one socket ◄──► listener

The listener gets ``address`` instead of the server's candidates. Towards it the link has a rate, measured in UDP
payload, and a queue that drops its newest packets; in both directions it can lose packets at random. It runs in a
process of its own, so that the test's work delays no packet.

    python -m support.shaped_link HOST PORT
"""

from __future__ import annotations

import heapq
import itertools
import random
import selectors
import socket
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .child import Child, serve_commands
from .netns import Host

_DELAY_S = 0.01
_Address = tuple[str, int]


class ShapedLink:
    """A link to the server's UDP port on this host and address. At first it passes everything."""

    def __init__(self, address: str, port: int, host: Host | None = None) -> None:
        self._child = Child("support.shaped_link", address, str(port), host=host)
        self.address = f"{address}:{self._child.read_line()}"
        """Where the listener sends."""

    def shape(
        self, rate_kbps: float | None = None, *, queue_s: float = 0.2, loss: float = 0.0, delay_s: float = _DELAY_S
    ) -> None:
        """Change what the link carries from now on.

        Args:
            rate_kbps: Towards the listener; None: unlimited.
            queue_s: Longest time that a packet waits at this rate; those that would wait longer are dropped.
            loss: Share of the packets that is lost in each direction.
            delay_s: Towards the listener, apart from the queue.
        """
        self._child.ask("shape", rate_kbps=rate_kbps, queue_s=queue_s, loss=loss, delay_s=delay_s)

    def counters(self) -> dict[str, int]:
        """Return the packets that were ``passed``, ``dropped`` (by the queue) and ``lost`` so far."""
        return self._child.ask("counters")

    def close(self) -> None:
        self._child.close()

    def __enter__(self) -> ShapedLink:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclass(frozen=True)
class _Shape:
    """As the arguments of ``ShapedLink.shape``."""

    rate_kbps: float | None = None
    queue_s: float = 0.0
    loss: float = 0.0
    delay_s: float = _DELAY_S


class _Link:
    """The link's side. ``run`` is a thread's; the commands only set attributes that it reads."""

    def __init__(self, server: _Address) -> None:
        self._server = server
        self._front = _udp_socket((server[0], 0))
        self._backs: dict[_Address, socket.socket] = {}
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._front, selectors.EVENT_READ, self._from_listener)
        self._random = random.Random(1)
        self._order = itertools.count()
        self._under_way: list[tuple[float, int, Callable[[], object]]] = []
        self._free_s = 0.0
        self._shape = _Shape()
        self._arrived_s = 0.0
        self._counters = {"passed": 0, "dropped": 0, "lost": 0}
        self.port: int = self._front.getsockname()[1]

    def shape(self, **settings: Any) -> dict[str, Any]:
        self._shape = _Shape(**settings)
        return {}

    def counters(self) -> dict[str, Any]:
        return dict(self._counters)

    def run(self) -> None:
        while True:
            wait_s = self._under_way[0][0] - time.monotonic() if self._under_way else None
            for key, _ in self._selector.select(wait_s if wait_s is None else max(0.0, wait_s)):
                key.data()
            while self._under_way and self._under_way[0][0] <= time.monotonic():
                heapq.heappop(self._under_way)[2]()

    def _from_listener(self) -> None:
        data, listener = self._front.recvfrom(2048)
        back = self._backs.get(listener) or self._add_back(listener)
        if not self._is_lost():
            self._send_at(time.monotonic() + _DELAY_S, lambda: back.sendto(data, self._server))

    def _add_back(self, listener: _Address) -> socket.socket:
        back = self._backs[listener] = _udp_socket((self._server[0], 0))
        self._selector.register(back, selectors.EVENT_READ, lambda: self._from_server(back, listener))
        return back

    def _from_server(self, back: socket.socket, listener: _Address) -> None:
        data = back.recv(2048)
        now_s = time.monotonic()
        shape = self._shape
        if shape.rate_kbps is not None:
            if self._free_s > now_s + shape.queue_s:
                self._counters["dropped"] += 1
                return
            self._free_s = max(self._free_s, now_s) + len(data) * 8 / (1000 * shape.rate_kbps)
        if not self._is_lost():
            self._counters["passed"] += 1
            # No packet overtakes another one when the link changes.
            self._arrived_s = max(self._arrived_s, max(now_s, self._free_s) + shape.delay_s)
            self._send_at(self._arrived_s, lambda: self._front.sendto(data, listener))

    def _is_lost(self) -> bool:
        is_lost = self._random.random() < self._shape.loss
        self._counters["lost"] += is_lost
        return is_lost

    def _send_at(self, time_s: float, send: Callable[[], object]) -> None:
        heapq.heappush(self._under_way, (time_s, next(self._order), send))


def _udp_socket(address: _Address) -> socket.socket:
    found = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    found.bind(address)
    return found


if __name__ == "__main__":
    link = _Link((sys.argv[1], int(sys.argv[2])))
    threading.Thread(target=link.run, daemon=True).start()
    sys.stdout.write(f"{link.port}\n")
    sys.stdout.flush()
    serve_commands(sys.stdin, {"shape": link.shape, "counters": link.counters})
