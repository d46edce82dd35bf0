"""Cheap senders based on the tests' player: a WHIP publisher, and a sender for a browser.

Both send pre-encoded packets, so that hundreds of them cost little, and several can send the same packets at the same
time to different receivers.
"""

from __future__ import annotations

import random
import socket
import struct

from support import stun
from support.player import Answer, Certificate, Player

from .signals import OPUS_PAYLOAD_TYPE, RED_PAYLOAD_TYPE


class Publisher(Player):
    """Sends to a WHIP endpoint. Not for use with ``drive`` and ``connect`` of support.driving: it receives no media."""

    def __init__(self, certificate: Certificate, *, red: bool = False) -> None:
        super().__init__(certificate, payload_types=f"{OPUS_PAYLOAD_TYPE} {RED_PAYLOAD_TYPE}" if red else "111")
        self.reports = False
        self._red = red
        self._sequence = random.getrandbits(15)
        self._timestamp = random.getrandbits(32)

    def offer(self, host: str, port: int) -> str:
        red = (f"a=rtpmap:{RED_PAYLOAD_TYPE} red/48000/2", f"a=fmtp:{RED_PAYLOAD_TYPE} 111/111") if self._red else ()
        sends = super().offer(host, port).replace("a=recvonly", "a=sendonly")
        return sends + "".join(f"{line}\r\n" for line in (*red, f"a=ssrc:{self.ssrc} cname:bench"))

    def protect(self, number: int, start_samples: int, payload: bytes) -> bytes:
        """Return the SRTP packet of one frame, which may be sent several times. Call once per packet, in order.

        Args:
            number: Packets before this one.
            start_samples: Samples before the frame, including those for which no packet is sent.
            payload: Its RTP payload.
        """
        assert self.tx is not None
        payload_type = RED_PAYLOAD_TYPE if self._red else OPUS_PAYLOAD_TYPE
        sequence = self._sequence + number & 0xFFFF
        timestamp = self._timestamp + start_samples & 0xFFFFFFFF
        datagram: bytes = self.tx.protect(
            struct.pack("!BBHII", 0x80, payload_type, sequence, timestamp, self.ssrc) + payload
        )
        return datagram

    def continue_after(self, packets: int, samples: int) -> None:
        """Continue the RTP stream after these packets and samples when numbers restart at 0."""
        self._sequence += packets
        self._timestamp += samples


class BrowserFeed(Publisher):
    """Sends to a browser that answers ``open`` with ``take_answer``: ICE-lite, DTLS server."""

    def open(self) -> str:
        """Return the offer, with a candidate on loopback."""
        self.keeps_consent = False
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.setblocking(False)
        lite = "t=0 0\r\na=ice-lite\r\n"
        return self.offer(*self.socket.getsockname()).replace("t=0 0\r\n", lite)

    def take_answer(self, sdp: str) -> None:
        """Accept the browser's answer. It checks the path and starts DTLS; ``handle_readable`` does the rest."""
        self.answer = Answer.read(sdp)
        self._dtls.set_accept_state()
        self.state = "handshake"

    def handle_readable(self, now_s: float) -> None:
        assert self.socket is not None
        try:
            data, source = self.socket.recvfrom(2048)
        except (BlockingIOError, ConnectionRefusedError):
            return
        if data and data[0] < 4 and stun.is_authentic(data, self._password):
            self.socket.connect(source)
        self.handle_datagram(data, now_s)
