"""Peers for client tests: a server that can be killed, and clients in separate processes."""

from __future__ import annotations

import json
import os
import signal
import socket
from typing import Any

import bass_webrtc as bw

from .child import Child
from .netns import Host

Client = bw.WhipClient | bw.WhepClient


class KillableServer:
    """A ``Server`` in a separate process, always on the same ports: a tone of 440 Hz left, 880 Hz right.

    Args:
        host: The network host it lives on.
        config: Fields of ``ServerConfig``.
    """

    def __init__(self, host: Host | None = None, **config: Any) -> None:
        self._host = host
        self._config = {"http_port": free_port(), "udp_port": free_port(), **config}
        self._warm: Child | None = None
        self.start()

    def warm_up(self) -> None:
        """Start the process of the next ``start`` with all imports done, so that it listens at once."""
        self._warm = self._spawn("warm")
        self._warm.read_line()

    def start(self) -> None:
        """Start it again; return when it answers."""
        child, self._warm = self._warm, None
        if child is not None:
            child.write_line("listen")
        self._child = child or self._spawn()
        self.url = self._child.read_line()

    def _spawn(self, *how: str) -> Child:
        tone = {"hz": 440.0, "right_hz": 880.0}
        return Child("support.server_worker", json.dumps(self._config), json.dumps(tone), *how, host=self._host)

    def kill(self) -> None:
        """Kill it with SIGKILL, without any message to its peers."""
        os.kill(self._child.pid, signal.SIGKILL)
        self._child.close()

    def peers(self) -> list[dict[str, Any]]:
        """Return ``PeerStats`` of all peers as dicts."""
        found: list[dict[str, Any]] = self._child.ask("stats")["peers"]
        return found

    def __enter__(self) -> KillableServer:
        return self

    def __exit__(self, *_: object) -> None:
        self._child.close()
        if self._warm is not None:
            self._warm.close()


class ClientProcess:
    """A ``"push"`` of 500 and 700 Hz or a ``"pull"``, connected. A context manager."""

    def __init__(self, kind: str, url: str, host: Host | None = None) -> None:
        self._child = Child("support.client_worker", kind, url, host=host)
        assert self._child.read_line() == "connected"

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        """One of the commands of client_worker.py."""
        return self._child.ask(do, **arguments)

    def cycle(self, times: int) -> list[float]:
        """Stop and start it so many times; return the milliseconds from each start to connected."""
        waits_ms: list[float] = []
        while len(waits_ms) < times:
            waits_ms += self.ask("cycle", times=min(100, times - len(waits_ms)))["waits_ms"]
            self.ask("resources")  # Collect garbage first: uncollected objects are no leak.
        return waits_ms

    def __enter__(self) -> ClientProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self._child.close()


def connect(client: Client) -> None:
    """Start it and wait until it is connected."""
    client.start()
    assert client.wait_connected(20.0)
    assert client.connected


def free_port() -> int:
    """Return a free TCP port outside the ephemeral range, in a range of the process's own if there is one."""
    for port in range(20_000 + os.getpid() * 100 % 10_000, 30_000):
        with socket.socket() as tcp, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            try:
                tcp.bind(("127.0.0.1", port))
                udp.bind(("127.0.0.1", port))
            except OSError:
                continue
            if port not in _given:
                _given.add(port)
                return port
    raise AssertionError("no port is free")


_given: set[int] = set()
