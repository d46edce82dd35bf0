"""A flood of HTTP requests in a process of its own.

    python -m support.http_flood 8080 127.0.0.1

The arguments are the server's port on 127.0.0.1, and the flood's own addresses. Answers the command ``start``, which
keeps one request or more outstanding on each of several connections, and ``stop``, which returns the number of
responses by status.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import selectors
import socket
import sys
import threading
import time
from collections import Counter
from typing import Any

from .child import Child, serve_commands

_RECONNECT_S = 0.02


class HttpFlood:
    """Floods a server from another process. A context manager; the flood runs inside it.

    Args:
        port: The server's port.
        requests: Complete requests, sent in turn; ``{0}`` stands for the location of the last session.
        connections: Number of connections, each of which sends the next request after the response.
        keep: Send further requests on the same connection; otherwise open a new one for each.
        pipelined: Requests sent at once on a connection.
        sources: Its own addresses, on loopback, used in turn.
    """

    def __init__(
        self,
        port: int,
        requests: list[str],
        *,
        connections: int = 20,
        keep: bool = True,
        pipelined: int = 1,
        sources: tuple[str, ...] = ("127.0.0.1",),
    ) -> None:
        self._options = {"requests": requests, "connections": connections, "keep": keep, "pipelined": pipelined}
        self._child = Child("support.http_flood", str(port), *sources)
        self.statuses: dict[str, int] = {}
        """Number of responses by status, after the flood."""

    def __enter__(self) -> HttpFlood:
        self._child.ask("start", **self._options)
        return self

    def __exit__(self, *_: object) -> None:
        with self._child:
            self.statuses = self._child.ask("stop")


def request(method: str, path: str, body: str = "", **fields: str) -> str:
    """Return one request as text; underscores in the names of header fields are hyphens."""
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in fields.items()]
    if body:
        lines.append(f"Content-Length: {len(body.encode())}")
    return "\r\n".join([*lines, "", body])


class _Worker:
    def __init__(self, port: int, sources: list[str]) -> None:
        self._server = ("127.0.0.1", port)
        self._sources = itertools.cycle(sources)
        self._selector = selectors.DefaultSelector()
        self._statuses: Counter[str] = Counter()
        self._received: dict[socket.socket, bytes] = {}
        self._stop = threading.Event()
        self._next = 0
        self._location = "none"

    def start(self, requests: list[str], connections: int, keep: bool, pipelined: int) -> dict[str, Any]:
        self._requests, self._connections, self._keep, self._pipelined = requests, connections, keep, pipelined
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        return {}

    def stop(self) -> dict[str, Any]:
        self._stop.set()
        self._thread.join()
        return dict(self._statuses)

    def _run(self) -> None:
        connect_at_s = 0.0
        while not self._stop.is_set():
            now_s = time.monotonic()
            if len(self._received) < self._connections and now_s >= connect_at_s and not self._connect():
                connect_at_s = now_s + _RECONNECT_S
            for key, _ in self._selector.select(0.0 if len(self._received) < self._connections else 0.05):
                self._receive(key.fileobj)
        for sock in tuple(self._received):
            self._close(sock)

    def _connect(self) -> bool:
        try:
            sock = socket.create_connection(self._server, 2.0, source_address=(next(self._sources), 0))
        except OSError as error:
            self._statuses[type(error).__name__] += 1
            return False
        self._received[sock] = b""
        self._selector.register(sock, selectors.EVENT_READ)
        self._send(sock)
        return True

    def _send(self, sock: socket.socket) -> None:
        text = ""
        for _ in range(self._pipelined):
            text += self._requests[self._next % len(self._requests)].replace("{0}", self._location)
            self._next += 1
        try:
            sock.sendall(text.encode())
        except OSError:
            self._statuses["closed"] += 1
            self._close(sock)

    def _receive(self, sock: Any) -> None:
        try:
            data = sock.recv(1 << 18)
        except OSError:
            data = b""
        if not data:
            self._close(sock)
            return
        self._received[sock] += data
        answered = 0
        while (end := self._response_end(self._received[sock])) > 0:
            response, self._received[sock] = self._received[sock][:end], self._received[sock][end:]
            self._statuses[response.split(b" ", 2)[1].decode()] += 1
            answered += 1
            _, found, rest = response.partition(b"Location: ")
            if found:
                self._location = "/" + rest.partition(b"\r\n")[0].decode()
        if answered and not self._received[sock]:
            self._send(sock) if self._keep else self._close(sock)

    @staticmethod
    def _response_end(data: bytes) -> int:
        """Return the length of the first response if it is complete, otherwise 0."""
        head, found, body = data.partition(b"\r\n\r\n")
        if not found:
            return 0
        length = int((head.lower() + b"\r\n").partition(b"content-length: ")[2].partition(b"\r\n")[0] or b"0")
        return len(head) + 4 + length if len(body) >= length else 0

    def _close(self, sock: socket.socket) -> None:
        with contextlib.suppress(KeyError):
            self._selector.unregister(sock)
        self._received.pop(sock, None)
        sock.close()


def main() -> None:
    os.nice(10)  # A flood from elsewhere would take no CPU time of the server's machine.
    worker = _Worker(int(sys.argv[1]), sys.argv[2:])
    serve_commands(sys.stdin, {"start": worker.start, "stop": worker.stop})


if __name__ == "__main__":
    main()
