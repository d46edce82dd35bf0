"""Lightweight players that request lost packets again and report their losses, as Chromium does."""

from __future__ import annotations

import random
import select
import struct
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from .player import Certificate, Player

_RED_AND_NACK = ("a=rtcp-fb:111 nack", "a=rtpmap:63 red/48000/2", "a=fmtp:63 111/111")
_TICK_S = 0.02
_REPEAT_S = 0.1
_REQUESTS = 10
_FORGOTTEN = 250
"""Packets this far behind are not requested any more."""


class NackingPlayer(Player):
    """A player behind a ``ShapedLink``, or with ``link`` empty directly at the server.

    Attributes:
        lost: Packets that never came, so far.
        redundant: Packets that came with redundancy (RFC 2198).
        nacks: NACKs that it has sent.
        report_s: Shortest and longest time between two reports.
    """

    def __init__(self, certificate: Certificate, url: str, link: str = "") -> None:
        super().__init__(certificate, payload_types="111 63", more_lines=_RED_AND_NACK)
        self.reports = False  # Those of ``Player`` know no losses.
        self.on_rtp = self._receive
        self.lost = self.redundant = self.nacks = 0
        self.report_s = (2.5, 7.5)
        self._missing: dict[int, tuple[float, int]] = {}
        self._highest = -1
        self._expected = self._received = 0
        self._reported = (0, 0)
        self._tick_s = self._report_due_s = 0.0
        assert self.post(url, time.monotonic()), self.reason
        assert self.socket is not None
        if link:
            host, port = link.split(":")
            self.socket.connect((host, int(port)))

    def handle_timeout(self, now_s: float) -> None:
        super().handle_timeout(now_s)
        if self.state == "connected":
            if self.tx is not None and now_s >= self._report_due_s:
                self._report(now_s)
            self._request_missing(now_s)
            self.due_s = min(self.due_s, now_s + _TICK_S)

    def _receive(self, packet: bytes) -> None:
        sequence, now_s = int.from_bytes(packet[2:4], "big"), time.monotonic()
        if self._highest < 0:
            self._highest = sequence - 1
        ahead = ((sequence - self._highest + 0x8000) & 0xFFFF) - 0x8000
        for missed in range(self._highest + 1, self._highest + ahead):
            self._missing[missed] = (now_s + _TICK_S, 0)
        is_new = ahead > 0 or self._missing.pop(self._highest + ahead, None) is not None
        self.redundant += packet[1] & 0x7F == 63
        self._expected += max(0, ahead)
        self._received += is_new
        self._highest += max(0, ahead)

    def _request_missing(self, now_s: float) -> None:
        due = []
        for sequence, (due_s, times) in list(self._missing.items()):
            if sequence < self._highest - _FORGOTTEN:
                del self._missing[sequence]
                self.lost += 1
            elif now_s >= due_s and times < _REQUESTS:
                self._missing[sequence] = (now_s + _REPEAT_S, times + 1)
                due.append(sequence & 0xFFFF)
        if due:
            self.nacks += 1
            items = b"".join(struct.pack("!HH", sequence, 0) for sequence in due)
            feedback = struct.pack("!BBHII", 0x81, 205, 2 + len(due), self.ssrc, self.media_ssrc)
            self.send(self._protect(feedback + items))

    def _report(self, now_s: float) -> None:
        self._report_due_s = now_s + random.uniform(*self.report_s)
        expected, received = (now - before for now, before in zip(self._totals, self._reported, strict=True))
        self._reported = self._totals
        self.send_report(max(0.0, 1 - received / expected) if expected else 0.0, now_s=now_s)

    @property
    def _totals(self) -> tuple[int, int]:
        return self._expected, self._received

    def _protect(self, packet: bytes) -> bytes:
        assert self.tx is not None
        report = struct.pack("!BBHI", 0x80, 201, 1, self.ssrc)
        datagram: bytes = self.tx.protect_rtcp(report + packet)
        return datagram


@contextmanager
def running(players: Sequence[NackingPlayer]) -> Iterator[None]:
    """Run the players in a thread."""
    stopped = threading.Event()

    def run() -> None:
        by_descriptor = {player.socket.fileno(): player for player in players if player.socket is not None}
        while not stopped.is_set():
            readable, _, _ = select.select(list(by_descriptor), [], [], _TICK_S / 4)
            now_s = time.monotonic()
            for descriptor in readable:
                by_descriptor[descriptor].handle_readable(now_s)
            for player in players:
                if player.due_s <= now_s:
                    player.handle_timeout(now_s)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()
        for player in players:
            player.vanish()
