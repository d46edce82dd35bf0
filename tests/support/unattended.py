"""A station that nobody watches: its surroundings change all the time, and nobody may stay silent.

    clients 10.78.0.2 ──────────── media ──────────── 10.78.0.1 host ── its source, a station's URL
            10.79.0.2 ── HTTP ── 10.79.0.1 proxy 10.80.0.2 ── 10.80.0.1

``python -m support.unattended 60`` runs it for an hour and prints what it measured; tests/interop/test_unattended.py
for two minutes. Needs root, iproute2, nginx and BASS.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import socket
import socketserver
import struct
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

import numpy as np

from . import netns, nginx
from .child import Child
from .netns import Host, Network
from .unattended_worker import HTTP_PORT, PROGRAMME_HZ

PLAYERS, PUBLISHERS = 20, 5
HOST, PROXY_INSIDE, PROXY = "10.80.0.1", "10.80.0.2", "10.79.0.1"
OUTAGE_S = 2.0
"""How long something is away or stopped."""
SETTLING_S = 10.0
"""After the last disturbance, before the resources are compared."""
_FIRST_SOUND_S = 1.0
_STATION_RATE_HZ = 44_100
_WAV_HEADER = b"RIFF\xff\xff\xff\x7fWAVE" + struct.pack(
    "<4sIHHIIHH4sI", b"fmt ", 16, 1, 1, _STATION_RATE_HZ, 2 * _STATION_RATE_HZ, 2, 16, b"data", 0x7FFFFFFF
)
_BURST_S = 5.0
"""What a station sends at once to a new listener, as Icecast does, in seconds of audio."""

_NGINX = """
master_process off;
events {{}}
http {{
    access_log off;
    server {{
        listen {proxy}:{port};
        location /radio/ {{
            proxy_pass http://{host}:{port}/;
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_buffering off;
        }}
    }}
}}
"""


def missing() -> str | None:
    """Return what is missing on this machine, for ``pytest.skip``; None if nothing is."""
    return netns.missing() or nginx.missing()


class Station:
    """An internet radio: endless WAV over HTTP, in real time after a burst. ``interrupt`` takes it away for a while."""

    def __init__(self, host: Host) -> None:
        self._host, self._port = host, 0
        time_s = np.arange(_STATION_RATE_HZ) / _STATION_RATE_HZ
        self._second = (9_000 * np.sin(2 * np.pi * PROGRAMME_HZ * time_s)).astype("<i2").tobytes()
        self._open()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/live.wav"

    def interrupt(self) -> None:
        """Close every connection, refuse new ones for some time, and return on the same port."""
        self.close()
        time.sleep(OUTAGE_S)
        self._open()

    def close(self) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _open(self) -> None:
        self._closing = threading.Event()
        station = self

        class Listener(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                with contextlib.suppress(OSError):
                    station._play(self.request, station._closing)

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = True

        with self._host.entered():
            self._server = Server(("127.0.0.1", self._port), Listener)
            self._port = self._server.server_address[1]
            self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
            self._thread.start()

    def _play(self, listener: socket.socket, closing: threading.Event) -> None:
        listener.recv(65_536)
        listener.sendall(b"HTTP/1.0 200 OK\r\nContent-Type: audio/wav\r\n\r\n")
        listener.sendall(_WAV_HEADER)
        start_s = time.monotonic()
        for second in itertools.count(1):
            listener.sendall(self._second)
            if closing.wait(max(0.0, start_s + second - _BURST_S - time.monotonic())):
                return


@dataclass
class Report:
    """What a run measured."""

    disturbances: list[str] = field(default_factory=list)
    """In their order."""
    silences_s: dict[str, float] = field(default_factory=dict)
    """By kind of disturbance, the longest silence that somebody heard, in seconds."""
    children: list[int] = field(default_factory=list)
    """Exit status of each forked child."""
    before: dict[str, dict[str, int]] = field(default_factory=dict)
    """Resources of the host and of the clients after the first round, when everything has happened once."""
    after: dict[str, dict[str, int]] = field(default_factory=dict)
    """The same at the end."""

    def __str__(self) -> str:
        lines = [f"{len(self.disturbances)} disturbances; longest silences:"]
        lines += [f"  {kind:<24} {silence_s:5.2f} s" for kind, silence_s in self.silences_s.items()]
        for name in self.before:
            changes = (f"{what} {self.before[name][what]} to {self.after[name][what]}" for what in self.before[name])
            lines.append(f"{name}: {', '.join(changes)}")
        return "\n".join(lines)


class Unattended:
    """The station, its proxy and its clients, each on a host of its own. A context manager."""

    def __init__(self) -> None:
        self.report = Report()
        self._stack = contextlib.ExitStack()
        self._suffixes = {"server": 1, "clients": 2}
        self._links: dict[str, Host] = {}

    def __enter__(self) -> Unattended:
        with self._stack:
            self._set_up()
            self._stack = self._stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()

    def _set_up(self) -> None:
        network = self._stack.enter_context(Network())
        host, proxy, clients = (network.host(label) for label in ("server", "proxy", "clients"))
        network.link(host, "10.78.0.1/24", clients, "10.78.0.2/24")  # wire0
        network.link(proxy, f"{PROXY}/24", clients, "10.79.0.2/24")
        network.link(proxy, f"{PROXY_INSIDE}/24", host, f"{HOST}/24")
        self._hosts = {"server": host, "clients": clients}
        self._proxy_host = proxy
        self._station = self._stack.enter_context(contextlib.closing(Station(host)))
        self._folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        module = "support.unattended_worker"
        self._server = self._stack.enter_context(
            Child(module, "host", self._station.url, PROXY, PROXY_INSIDE, str(PUBLISHERS), host=host)
        )
        assert self._server.read_line() == "ready"
        self._start_proxy()
        self._stack.callback(self._stop_proxy)
        url = f"http://{PROXY}:{HTTP_PORT}/radio/"
        self._clients = self._stack.enter_context(
            Child(module, "clients", url, str(PLAYERS), str(PUBLISHERS), host=clients)
        )
        assert self._clients.read_line() == "ready"
        time.sleep(_FIRST_SOUND_S)
        self._silences()  # Before everybody was connected.

    def _start_proxy(self) -> None:
        configuration = _NGINX.format(proxy=PROXY, host=HOST, port=HTTP_PORT)
        command = nginx.command(self._folder, configuration)
        self._proxy = self._proxy_host.popen(command)
        while True:
            with contextlib.suppress(ConnectionRefusedError):
                self._hosts["clients"].connect(PROXY, HTTP_PORT).close()
                return
            assert self._proxy.poll() is None, "nginx ended"
            time.sleep(0.05)

    def _stop_proxy(self) -> None:
        self._proxy.terminate()
        self._proxy.wait()

    # What happens

    def change_address(self, side: str) -> None:
        """Give one end of the media link another address; the former one is gone."""
        old = self._suffixes[side]
        self._suffixes[side] = new = old + 2 if old < 200 else old % 2 + (2 if side == "clients" else 1)
        host = self._hosts[side]
        host.ip("address", "delete", f"10.78.0.{old}/24", "dev", "wire0")
        host.ip("address", "add", f"10.78.0.{new}/24", "dev", "wire0")

    def restart_proxy(self) -> None:
        self._stop_proxy()
        time.sleep(OUTAGE_S)
        self._start_proxy()

    def fork(self) -> None:
        self.report.children.append(self._server.ask("fork")["status"])

    def pause(self, child: Child) -> None:
        """Stop a process for a while, as a debugger or a suspended virtual machine does."""
        os.kill(child.pid, signal.SIGSTOP)
        time.sleep(OUTAGE_S)
        os.kill(child.pid, signal.SIGCONT)

    def _disturbances(self) -> dict[str, Callable[[], None]]:
        return {
            "source lost": self._station.interrupt,
            "server's address": lambda: self.change_address("server"),
            "proxy restarted": self.restart_proxy,
            "clients' address": lambda: self.change_address("clients"),
            "fork in the host": self.fork,
            "server stopped": lambda: self.pause(self._server),
            "clients stopped": lambda: self.pause(self._clients),
        }

    def run(self, minutes: float, every_s: float) -> Report:
        """Disturb in turn; note the longest silence of each kind and what resources have changed."""
        disturbances = self._disturbances()
        until_s = time.monotonic() + 60 * minutes - SETTLING_S
        for number, (kind, disturb) in enumerate(itertools.cycle(disturbances.items())):
            if time.monotonic() >= until_s:
                break
            if number == len(disturbances):
                self.report.before = self._resources()
            next_s = time.monotonic() + every_s
            disturb()
            self.report.disturbances.append(kind)
            time.sleep(max(0.0, next_s - time.monotonic()))
            self._note_silences(kind)
        time.sleep(SETTLING_S)
        self.report.after = self._resources()
        return self.report

    def _note_silences(self, kind: str) -> None:
        silences = self._silences()
        longest = self.report.silences_s
        longest[kind] = max(longest.get(kind, 0.0), *silences.values())

    def _silences(self) -> dict[str, float]:
        return {**self._server.ask("silences"), **self._clients.ask("silences")}

    def _resources(self) -> dict[str, dict[str, int]]:
        return {"host": self._server.ask("resources"), "clients": self._clients.ask("resources")}


if __name__ == "__main__":
    with Unattended() as station:
        print(station.run(float(sys.argv[1]), every_s=30.0))  # noqa: T201 - a program
