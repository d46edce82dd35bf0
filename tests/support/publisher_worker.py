"""The process that runs lightweight publishers in one thread, controlled by publisher_farm.py.

Commands and answers are JSON, one a line. Ends with standard input.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import select
import sys
import time
from dataclasses import dataclass
from typing import Any

from .player import Certificate
from .publisher import SAMPLE_RATE_HZ, Publisher, ToneEncoder

_CONNECT_TIMEOUT_S = 10.0


@dataclass
class _Station:
    publisher: Publisher
    encoder: ToneEncoder
    due_s: float


class Worker:
    """One loop over standard input, the publishers' sockets and their frames."""

    def __init__(self) -> None:
        self._certificate = Certificate()
        self._stations: list[_Station] = []
        self._input = b""
        self._running = True
        self._worst_late_s = 0.0
        os.set_blocking(0, False)

    def run(self) -> None:
        while self._running:
            self._turn(watch_input=True)
        self._do_close("vanish")

    def _turn(self, *, watch_input: bool) -> None:
        """Waits for datagrams, a command, or the time of the next frame."""
        now_s = time.monotonic()
        wait_s = min((station.due_s - now_s for station in self._stations), default=0.05)
        publishers = (station.publisher for station in self._stations)
        by_descriptor = {found.socket.fileno(): found for found in publishers if found.socket is not None}
        watched = [*by_descriptor, *([0] if watch_input else [])]
        for ready in select.select(watched, [], [], max(0.0, min(wait_s, 0.02)))[0]:
            if ready == 0:
                self._read_command()
            elif ready in by_descriptor:
                by_descriptor[ready].handle_readable(time.monotonic())
        for station in self._stations:
            self._serve(station, time.monotonic())

    def _serve(self, station: _Station, now_s: float) -> None:
        publisher = station.publisher
        if publisher.socket is None:
            return
        if publisher.due_s <= now_s:
            publisher.handle_timeout(now_s)
        if publisher.state != "connected":
            station.due_s = now_s
            return
        self._worst_late_s = max(self._worst_late_s, now_s - station.due_s)
        while station.due_s <= now_s:
            publisher.send_audio(station.encoder.packet(), station.encoder.frame_samples)
            station.due_s += station.encoder.frame_samples / SAMPLE_RATE_HZ

    def _read_command(self) -> None:
        data = os.read(0, 65_536)
        self._running = bool(data)
        *lines, self._input = (self._input + data).split(b"\n")
        for line in lines:
            command = json.loads(line)
            answer = getattr(self, f"_do_{command.pop('do')}")(**command)
            sys.stdout.write(json.dumps(answer) + "\n")
            sys.stdout.flush()

    def _do_publish(self, url: str, declared: bool, tone: dict[str, Any]) -> dict[str, Any]:
        publisher = Publisher(self._certificate, declared=declared)
        encoder = ToneEncoder(tone.pop("left_hz"), tone.pop("right_hz"), **tone)
        if publisher.post(url, time.monotonic()):
            self._stations.append(_Station(publisher, encoder, 0.0))
            deadline_s = time.monotonic() + _CONNECT_TIMEOUT_S
            while publisher.state not in ("connected", "failed") and time.monotonic() < deadline_s:
                self._turn(watch_input=False)
        return {"status": publisher.status, "state": publisher.state, "reason": publisher.reason}

    def _do_change_ssrc(self) -> dict[str, Any]:
        for station in self._stations:
            publisher = station.publisher
            publisher.rtp_ssrc = secrets.randbits(32) | 1
            publisher.sequence, publisher.timestamp = secrets.randbits(16), secrets.randbits(32)
        return {}

    def _do_states(self) -> dict[str, Any]:
        return {"states": [station.publisher.state for station in self._stations]}

    def _do_lateness(self) -> dict[str, Any]:
        worst_s, self._worst_late_s = self._worst_late_s, 0.0
        return {"worst_s": worst_s}

    def _do_close(self, how: str) -> dict[str, Any]:
        for station in self._stations:
            getattr(station.publisher, how)()
        self._stations.clear()
        return {}


if __name__ == "__main__":
    # Real-time priority, because a real publisher would have its own machine.
    with contextlib.suppress(PermissionError):
        os.nice(-10)
    Worker().run()
