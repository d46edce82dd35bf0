"""A lightweight WHIP publisher: ICE and DTLS of the lightweight player, and any RTP that a test sends.

    ToneEncoder ─► RTP header ─► SRTP (pylibsrtp) ─► the server

The test makes each packet, so it can be arbitrarily malformed.
"""

from __future__ import annotations

import secrets
import struct
import time
from collections.abc import Callable, Sequence

import av
import numpy as np
from numpy.typing import NDArray

from .driving import drive
from .player import Certificate, Player

SAMPLE_RATE_HZ = 48_000
OPUS = 111


class ToneEncoder:
    """A sine in each channel as consecutive Opus packets."""

    def __init__(
        self,
        left_hz: float,
        right_hz: float | None = None,
        *,
        level_dbfs: float = -12.0,
        frame_ms: int = 20,
        bitrate_bps: int = 128_000,
    ) -> None:
        self.frame_samples = SAMPLE_RATE_HZ * frame_ms // 1000
        self._tones_hz = np.array([left_hz, left_hz if right_hz is None else right_hz])
        self._amplitude = 10 ** (level_dbfs / 20)
        self._position = 0
        codec = av.CodecContext.create("libopus", "w")
        assert isinstance(codec, av.AudioCodecContext)
        codec.sample_rate, codec.bit_rate = SAMPLE_RATE_HZ, bitrate_bps
        codec.layout, codec.format = av.AudioLayout("stereo"), av.AudioFormat("flt")
        codec.options = {"frame_duration": str(frame_ms), "compression_level": "5"}
        self._codec = codec

    def packet(self) -> bytes:
        """Return the next packet."""
        while True:
            for packet in self._codec.encode(self._frame()):
                return bytes(packet)

    def _frame(self) -> av.AudioFrame:
        time_s = (self._position + np.arange(self.frame_samples))[:, np.newaxis] / SAMPLE_RATE_HZ
        samples: NDArray[np.float32] = (self._amplitude * np.sin(2 * np.pi * self._tones_hz * time_s)).astype(
            np.float32
        )
        frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="flt", layout="stereo")
        frame.sample_rate, frame.pts = SAMPLE_RATE_HZ, self._position
        self._position += self.frame_samples
        return frame


class Publisher(Player):
    """One publisher. ``declared`` puts its SSRC into the offer, as browsers do; RFC 8834 does not require it."""

    def __init__(self, certificate: Certificate, *, declared: bool = True, fingerprint: str | None = None) -> None:
        self.rtp_ssrc = secrets.randbits(32) | 1
        lines = (f"a=ssrc:{self.rtp_ssrc} cname:publisher",) if declared else ()
        super().__init__(certificate, fingerprint=fingerprint, more_lines=lines)
        self.reports = False
        self.sequence = secrets.randbits(16)
        self.timestamp = secrets.randbits(32)

    def offer(self, host: str, port: int) -> str:
        return super().offer(host, port).replace("a=recvonly", "a=sendonly")

    def connect(self, url: str, timeout_s: float = 10.0) -> None:
        """Connect, blocking; raise ``RuntimeError`` with the step that failed."""
        self.post(url, time.monotonic())
        drive([self], lambda: self.state in ("connected", "failed"), timeout_s)
        if self.state != "connected":
            raise RuntimeError(f"not connected: {self.state} {self.reason}")

    def protect(self, plain: bytes) -> bytes:
        """Encrypt an RTP packet."""
        assert self.tx is not None
        datagram: bytes = self.tx.protect(plain)
        return datagram

    def next_rtp(self, payload: bytes, samples: int = 960, ssrc: int | None = None) -> bytes:
        """Return the next RTP packet of the stream, unencrypted."""
        plain = rtp(payload, self.sequence, self.timestamp, self.rtp_ssrc if ssrc is None else ssrc)
        self.sequence = self.sequence + 1 & 0xFFFF
        self.timestamp = self.timestamp + samples & 0xFFFFFFFF
        return plain

    def send_audio(self, payload: bytes, samples: int = 960) -> None:
        """Send the next packet of the stream."""
        self.send(self.protect(self.next_rtp(payload, samples)))

    def play(self, encoder: ToneEncoder, seconds: float, then: Callable[[], None] | None = None) -> None:
        """Send encoded packets in real time, blocking; call ``then`` after each."""
        period_s = encoder.frame_samples / SAMPLE_RATE_HZ
        start_s = time.monotonic()
        for number in range(round(seconds / period_s)):
            drive([self], lambda due_s=start_s + number * period_s: time.monotonic() >= due_s)  # type: ignore[misc]
            self.send_audio(encoder.packet(), encoder.frame_samples)
            if then is not None:
                then()


def rtp(
    payload: bytes,
    sequence: int,
    timestamp: int,
    ssrc: int,
    *,
    payload_type: int = OPUS,
    csrcs: Sequence[int] = (),
    extension: bytes | None = None,
) -> bytes:
    """Return an RTP packet (RFC 3550, 5.1); ``extension`` includes its header."""
    first = 0x80 | (0x10 if extension is not None else 0) | len(csrcs)
    header = struct.pack("!BBHII", first, payload_type, sequence, timestamp, ssrc)
    return header + b"".join(struct.pack("!I", csrc) for csrc in csrcs) + (extension or b"") + payload
