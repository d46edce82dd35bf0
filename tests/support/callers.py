"""Callers with a tone each: peers of a second server, which offers ``sendrecv`` to ``/call`` of the first."""

from __future__ import annotations

import http.client
import itertools
import time
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import numpy as np

import bass_webrtc as bw

from .patience import wait_until
from .tones import Samples

CALLER_DBFS = -24.0
"""Some of them together stay below the limiter."""


@dataclass
class Answer:
    """Response to a request."""

    status: int
    body: str
    headers: dict[str, str] = field(default_factory=dict)


def request(url: str, method: str, body: str = "", headers: dict[str, str] | None = None) -> Answer:
    """Make an HTTP request."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=20)
    try:
        target = f"{parts.path}?{parts.query}" if parts.query else parts.path
        connection.request(method, target, body.encode(), headers or {})
        response = connection.getresponse()
        return Answer(response.status, response.read().decode(), dict(response.getheaders()))
    finally:
        connection.close()


@dataclass
class TestCaller:
    """One caller.

    Attributes:
        peer: The server under test, as a peer of the caller's side.
        session_url: URL of its session.
    """

    __test__ = False

    peer: bw.Peer
    session_url: str

    def hear(self, seconds: float) -> Samples:
        """Return what it hears for so many seconds, after the first half second: float32 [frames, 2]."""
        return read(self.peer, seconds)

    def hang_up(self) -> int:
        """Delete the session; return the status."""
        return request(self.session_url, "DELETE").status


class Callers:
    """Makes callers. A context manager; those that are left end with it."""

    def __init__(self, max_callers: int = 30) -> None:
        config = bw.ServerConfig(signaling_mode="callback", max_peers=max_callers, complexity=5, bitrate_kbps=64)
        self._side = bw.Server(None, config)
        self._names = itertools.count()

    def make_offer(self, sent: float | bw.PcmSource) -> tuple[bw.Peer, str]:
        """Return the peer that will answer, and the offer of a call with a tone of so many Hz or other audio."""
        name = f"tone-{sent:g}" if isinstance(sent, float) else f"caller-{next(self._names)}"
        if name not in self._side.channels:
            tone = bw.Tone(hz=sent, right_hz=sent, level_dbfs=CALLER_DBFS) if isinstance(sent, float) else sent
            self._side.add_channel(name, tone)
        return self._side.create_offer("sendrecv", name)

    def post(
        self, url: str, sent: float | bw.PcmSource, headers: dict[str, str] | None = None
    ) -> tuple[bw.Peer, Answer]:
        """Offer a call; return the caller's peer and the response."""
        peer, offer = self.make_offer(sent)
        answer = request(url, "POST", offer, {"Content-Type": "application/sdp", **(headers or {})})
        if answer.status != 201:
            peer.close()
        return peer, answer

    def call(self, url: str, sent: float | bw.PcmSource, headers: dict[str, str] | None = None) -> TestCaller:
        """Call this URL, and wait until the call is connected."""
        peer, answer = self.post(url, sent, headers)
        assert answer.status == 201, answer
        peer.set_answer(answer.body)
        wait_until(lambda: peer.state == "connected")
        location = answer.headers["Location"]
        parts = urlsplit(url)
        base = f"{parts.scheme}://{parts.netloc}/"
        return TestCaller(peer, location if location.startswith("http") else base + location.lstrip("/"))

    def __enter__(self) -> Callers:
        self._side.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._side.close()


def read(source: bw.Peer | bw.Call | bw.Server | bw.WhepClient, seconds: float) -> Samples:
    """Read in real time, without the first half second: float32 [frames, 2]."""
    block = source.read_input if isinstance(source, bw.Server) else source.read
    blocks, begin_s = [], time.perf_counter()
    for number in range(round((seconds + 0.5) * 50)):
        time.sleep(max(0.0, begin_s + number * 0.02 - time.perf_counter()))
        blocks.append(block(960))
    return np.concatenate(blocks)[24_000:]


def connected(server: bw.Server, count: int) -> tuple[bw.Call, ...]:
    """Return the calls of a server once there are so many: a caller may know earlier that it is connected."""
    wait_until(lambda: len(server.calls) == count)
    return server.calls
