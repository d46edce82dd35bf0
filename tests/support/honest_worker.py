"""An honest listener and HTTP client in a process of its own, beside an attack; controlled by attacks.py.

    python -m support.honest_worker http://127.0.0.1:8080/ 127.0.0.1

It plays the server's audio, sends an ICE check every 100 ms and requests /healthz every 100 ms, each on a new
connection, and measures how long it waits for the answers. Prints a line when it is connected, then answers ``begin``
and ``end``, which returns the figures.
"""

from __future__ import annotations

import http.client
import select
import sys
import threading
import time
import urllib.parse
from typing import Any

from . import stun
from .child import serve_commands
from .driving import connect
from .player import Certificate, Counters, Player

_INTERVAL_S = 0.1
_TIMEOUT_S = 2.0


class Listener:
    """Receives audio, and measures the wait for the answer to an ICE check. One thread."""

    def __init__(self, url: str, source: str) -> None:
        self._player = Player(Certificate())
        self._player.source = source
        connect(self._player, url + "whep")
        self._pending: dict[bytes, float] = {}
        self.begin()

    def begin(self) -> None:
        self.waits_s: list[float] = []
        self.unanswered = 0
        self._pending.clear()
        self._player.counters = Counters()

    def packets(self) -> dict[str, int | float]:
        counters = self._player.counters
        return {
            "packets": counters.packets,
            "missing": counters.missing,
            "longest_gap_ms": round(counters.longest_gap_s * 1000, 1),
        }

    def run(self, stop: threading.Event) -> None:
        player, due_s = self._player, time.monotonic()
        assert player.socket is not None
        while not stop.is_set():
            now_s = time.monotonic()
            if now_s >= due_s:
                due_s += _INTERVAL_S
                self._check(now_s)
            if select.select([player.socket], [], [], max(0.0, min(due_s, player.due_s) - now_s))[0]:
                self._receive(time.monotonic())
            if player.due_s <= time.monotonic():
                player.handle_timeout(time.monotonic())

    def _check(self, now_s: float) -> None:
        for transaction_id in [one for one, sent_s in self._pending.items() if sent_s < now_s - _TIMEOUT_S]:
            del self._pending[transaction_id]
            self.unanswered += 1
        check = self._player.check()
        self._pending[check[8:20]] = now_s
        self._player.send(check)

    def _receive(self, now_s: float) -> None:
        assert self._player.socket is not None
        try:
            data = self._player.socket.recv(2048)
        except (BlockingIOError, ConnectionRefusedError):
            return
        if data[:2] == stun.BINDING_SUCCESS.to_bytes(2) and data[8:20] in self._pending:
            self.waits_s.append(now_s - self._pending.pop(data[8:20]))
        self._player.handle_datagram(data, now_s)

    def close(self) -> None:
        self._player.delete()


class Client:
    """Sends requests, and measures the wait for each response. One thread."""

    def __init__(self, url: str, source: str) -> None:
        self._parts = urllib.parse.urlsplit(url)
        self._source = source
        self.begin()

    def begin(self) -> None:
        self.waits_s: list[float] = []
        self.failures: list[str] = []

    def run(self, stop: threading.Event) -> None:
        while not stop.wait(_INTERVAL_S):
            began_s = time.monotonic()
            try:
                status = self._get()
            except OSError as error:
                self.failures.append(type(error).__name__)
                continue
            self.waits_s.append(time.monotonic() - began_s)
            if status != 200:
                self.failures.append(f"HTTP {status}")

    def _get(self) -> int:
        connection = http.client.HTTPConnection(
            self._parts.hostname or "", self._parts.port, timeout=_TIMEOUT_S, source_address=(self._source, 0)
        )
        try:
            connection.request("GET", "/healthz")
            response = connection.getresponse()
            response.read()
            return response.status
        finally:
            connection.close()


def main() -> None:
    url, source = sys.argv[1:3]
    listener, client, stop = Listener(url, source), Client(url, source), threading.Event()
    threads = [threading.Thread(target=one.run, args=(stop,)) for one in (listener, client)]

    def begin() -> dict[str, Any]:
        listener.begin()
        client.begin()
        return {}

    def end() -> dict[str, Any]:
        return {
            **listener.packets(),
            "checks": len(listener.waits_s),
            "unanswered": listener.unanswered,
            "longest_check_ms": round(max(listener.waits_s, default=0.0) * 1000, 1),
            "requests": len(client.waits_s),
            "failures": client.failures,
            "longest_request_ms": round(max(client.waits_s, default=0.0) * 1000, 1),
        }

    for thread in threads:
        thread.start()
    print("connected", flush=True)  # noqa: T201 - what the parent process waits for
    serve_commands(sys.stdin, {"begin": begin, "end": end})
    stop.set()
    for thread in threads:
        thread.join()
    listener.close()


if __name__ == "__main__":
    main()
