"""The sending process: publishers, senders for browsers, and the clock that paces packets.

Commands and answers are JSON, one per line; the process ends when standard input closes:

    publish  url, count, red     connect publishers to a WHIP endpoint; returns their numbers
    offer    red                 create a sender for a browser; returns its number and its offer
    answer   target, sdp         connect it
    prepare  runs, seconds       encode; each run is a trace, the length of its frames, and its jobs: signals, each with
                                 its copies, whether its silence is left out, and the numbers of its targets
    start                        send what was prepared
    live     target, frame_ms, seconds, every_s     encode bursts at the pace of a microphone and send them
    wait                         wait for the end of start or live; returns the start time and the worst lateness
"""

from __future__ import annotations

import gc
import select
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from support.child import serve_commands
from support.player import Certificate

from . import signals
from .publisher import BrowserFeed, Publisher

_CONNECT_TIMEOUT_S = 15.0
_LEAD_S = 0.3
"""From the command to the first packet."""


_Packet = tuple[Publisher, bytes]
_Departure = tuple[float, list[_Packet]]
"""When which packets are sent together."""
_Route = tuple[Publisher, list[bytes]]
"""A sender and its packets, by frame; empty where a frame is not sent."""


class Worker:
    """Executes the commands. Sockets belong to the command thread while connecting, then to the clock's thread."""

    def __init__(self) -> None:
        self._certificate = Certificate()
        self._targets: list[Publisher] = []
        self._encoded: dict[tuple[str, float, int, bool], list[bytes]] = {}
        self._departures: list[_Departure] = []
        self._thread: threading.Thread | None = None
        self._answer: dict[str, Any] = {}
        self._stopping = False

    def publish(self, url: str, count: int = 1, red: bool = False) -> dict[str, Any]:
        first = len(self._targets)
        for _ in range(count):
            publisher = Publisher(self._certificate, red=red)
            self._targets.append(publisher)
            while not publisher.post(url, time.monotonic()):
                if publisher.status != 429:
                    raise RuntimeError(publisher.reason)
                time.sleep(publisher.retry_after_s)
            self._connect(publisher)
        return {"targets": list(range(first, len(self._targets)))}

    def offer(self, red: bool = False) -> dict[str, Any]:
        feed = BrowserFeed(self._certificate, red=red)
        self._targets.append(feed)
        return {"target": len(self._targets) - 1, "sdp": feed.open()}

    def answer(self, target: int, sdp: str) -> dict[str, Any]:
        feed = self._targets[target]
        assert isinstance(feed, BrowserFeed)
        feed.take_answer(sdp)
        self._connect(feed)
        return {}

    def _connect(self, publisher: Publisher) -> None:
        deadline_s = time.monotonic() + _CONNECT_TIMEOUT_S
        while publisher.state != "connected":
            if publisher.state == "failed" or time.monotonic() > deadline_s:
                raise RuntimeError(f"not connected: {publisher.state} {publisher.reason}")
            self._serve_sockets(time.monotonic() + 0.005)

    def prepare(self, runs: list[dict[str, Any]], seconds: float) -> dict[str, Any]:
        departures: list[_Departure] = []
        for run in runs:
            frame_ms, jobs = run["frame_ms"], run["jobs"]
            routes = [route for job in jobs for route in self._protect(frame_ms=frame_ms, seconds=seconds, **job)]
            for arrival_s, number in run["arrivals"]:
                packets = [(publisher, datagrams[number]) for publisher, datagrams in routes if datagrams[number]]
                departures.append((arrival_s, packets))
        departures.sort(key=lambda departure: departure[0])
        self._departures = departures
        gc.freeze()  # A garbage collection that visits all packets would make some late.
        return {}

    def start(self) -> dict[str, Any]:
        departures, self._departures = self._departures, []
        return self._begin(lambda: self._send_all(departures))

    def _protect(
        self, signal: str, targets: list[int], copies: int, frame_ms: int, seconds: float, dtx: bool = False
    ) -> list[_Route]:
        packets, samples = self._encode(signal, seconds, frame_ms, dtx), signals.SAMPLE_RATE_HZ * frame_ms // 1000
        payloads = [
            signals.red_payload(packets, number, copies, samples) if copies else packet
            for number, packet in enumerate(packets)
        ]
        sent = [number for number, payload in enumerate(payloads) if payload]
        routes: list[_Route] = []
        for publisher in (self._targets[target] for target in targets):
            datagrams = [b""] * len(payloads)
            for count, number in enumerate(sent):
                datagrams[number] = publisher.protect(count, number * samples, payloads[number])
            routes.append((publisher, datagrams))
            publisher.continue_after(len(sent), len(payloads) * samples)
        return routes

    def _encode(self, signal: str, seconds: float, frame_ms: int, dtx: bool) -> list[bytes]:
        key = (signal, seconds, frame_ms, dtx)
        if key not in self._encoded:
            if signal == "sine":
                samples, encoding = signals.sine(seconds), signals.MUSIC
            else:
                samples, encoding = signals.speech(seconds, dtx), signals.SPEECH
            encoding = replace(encoding, frame_ms=frame_ms)
            packets = signals.encode(samples, encoding)
            self._encoded[key] = signals.leave_out_silence(packets, samples, encoding) if dtx else packets
        return self._encoded[key]

    def _send_all(self, departures: list[_Departure]) -> dict[str, Any]:
        start_s, latest_s = time.monotonic() + _LEAD_S, 0.0
        for departure_s, packets in departures:
            self._serve_sockets(start_s + departure_s)
            for publisher, datagram in packets:
                publisher.send(datagram)
            latest_s = max(latest_s, time.monotonic() - start_s - departure_s)
        return {"start_s": start_s, "latest_ms": 1000 * latest_s}

    def live(self, target: int, frame_ms: int, seconds: float, every_s: float) -> dict[str, Any]:
        encoding = signals.Encoding(2, 128_000, "audio", frame_ms)
        return self._begin(lambda: self._send_live(self._targets[target], encoding, signals.bursts(seconds, every_s)))

    def _send_live(self, publisher: Publisher, encoding: signals.Encoding, samples: signals.Samples) -> dict[str, Any]:
        """Encode each frame once its last sample is available, as with a sound card."""
        encoder, step = signals.Encoder(encoding), encoding.frame_samples
        start_s, latest_s, frames = time.monotonic() + _LEAD_S, 0.0, len(samples) // step
        for number in range(frames):
            due_s = start_s + (number + 1) * step / signals.SAMPLE_RATE_HZ
            self._serve_sockets(due_s)
            for packet in encoder.encode(samples[number * step : (number + 1) * step]):
                publisher.send(publisher.protect(number, number * step, packet))
            latest_s = max(latest_s, time.monotonic() - due_s)
        publisher.continue_after(frames, frames * step)
        return {"start_s": start_s, "latest_ms": 1000 * latest_s}

    def _begin(self, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        def run() -> None:
            self._answer = work()

        self._thread = threading.Thread(target=run, daemon=True)
        self._thread.start()
        return {}

    def wait(self) -> dict[str, Any]:
        assert self._thread is not None
        self._thread.join()
        return self._answer

    def _serve_sockets(self, until_s: float) -> None:
        """Answer STUN checks and keep consent until then."""
        while (left_s := until_s - time.monotonic()) > 0:
            self._handle_timeouts()
            by_socket = {target.socket: target for target in self._targets if target.socket is not None}
            for readable in select.select(list(by_socket), [], [], left_s)[0]:
                by_socket[readable].handle_readable(time.monotonic())

    def _handle_timeouts(self) -> None:
        now_s = time.monotonic()
        for target in self._targets:
            if target.socket is not None and target.state != "new" and target.due_s <= now_s:
                target.handle_timeout(now_s)

    def close(self) -> dict[str, Any]:
        """Disconnect all targets."""
        for target in self._targets:
            if target.session_url:
                target.delete()
            target.vanish()
        self._targets.clear()
        return {}


def main(lines: Iterator[str]) -> None:
    worker = Worker()
    names = ("publish", "offer", "answer", "prepare", "start", "live", "wait", "close")
    serve_commands(lines, {name: getattr(worker, name) for name in names})


if __name__ == "__main__":
    main(sys.stdin)
