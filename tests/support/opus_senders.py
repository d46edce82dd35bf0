"""Peers of an engine that send Opus over loopback: each in its own time, with losses where a test wants them.

clicks of a sender ─► Opus ─► RTP ─► SRTP (pylibsrtp) ─► UDP ─► Engine
"""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable, Sequence
from fractions import Fraction

import av
import numpy as np
from numpy.typing import NDArray
from pylibsrtp import Policy, Session

from bass_webrtc.config import ServerConfig
from bass_webrtc.core import CallSettings, ChannelSettings, Engine, PeerKeys, ReceivingStream

FRAME_SAMPLES = 960
FRAME_S = FRAME_SAMPLES / 48_000
OPUS, RED = 111, 63
_AES_128_GCM = 7


def click_track(seconds: float, clicks: Sequence[int], tone_hz: float = 440.0) -> NDArray[np.float32]:
    """Return a quiet tone with clicks of 2 ms that begin at these samples; shape [samples, 2]."""
    time_s = np.arange(round(seconds * 48_000)) / 48_000
    mono = 0.05 * np.sin(2 * np.pi * tone_hz * time_s)
    for click in clicks:
        mono[click : click + 96] = 0.9
    return np.repeat(mono[:, np.newaxis], 2, axis=1).astype(np.float32)


def encode(track: NDArray[np.float32], bitrate_bps: int = 96_000, application: str = "audio") -> list[bytes]:
    """Return consecutive packets of 20 ms."""
    codec = av.CodecContext.create("libopus", "w")
    assert isinstance(codec, av.AudioCodecContext)
    codec.sample_rate, codec.bit_rate, codec.time_base = 48_000, bitrate_bps, Fraction(1, 48_000)
    codec.layout, codec.format = av.AudioLayout("stereo"), av.AudioFormat("flt")
    codec.options = {"application": application}
    packets = []
    for start in range(0, len(track) - FRAME_SAMPLES + 1, FRAME_SAMPLES):
        block = np.ascontiguousarray(track[start : start + FRAME_SAMPLES].reshape(1, -1))
        frame = av.AudioFrame.from_ndarray(block, format="flt", layout="stereo")
        frame.sample_rate, frame.pts = 48_000, start
        packets += [bytes(packet) for packet in codec.encode(frame)]
    return packets


class Receiver:
    """An engine with one socket, to which senders can be added. A context manager that closes both."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.setblocking(False)
        self._index = engine.add_socket(self._socket.fileno())
        self.address = self._socket.getsockname()

    def admit(self, peer: int, address: tuple[str, int], key: bytes, *, calls: bool) -> None:
        """Let a peer send from this address, as a caller on air or a publisher."""
        if calls:
            self.engine.add_call(peer, ChannelSettings.of(ServerConfig()), CallSettings("on_air"))
        keys = PeerKeys(_AES_128_GCM, bytes(28), key)
        self.engine.map_address(peer, self._index, *address)
        self.engine.add_peer(peer, keys, None, ReceivingStream(OPUS, RED))

    def __enter__(self) -> Receiver:
        self.engine.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.engine.close()
        self._socket.close()


class OpusSender:
    """One peer that sends these packets, each when its last sample would have been recorded."""

    def __init__(
        self,
        receiver: Receiver,
        peer: int,
        packets: Sequence[bytes],
        first_timestamp: int = 0,
        *,
        calls: bool = False,
    ) -> None:
        self.peer = peer
        self._packets = packets
        self._timestamp = first_timestamp
        self._receiver = receiver
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        key = bytes(range(peer, peer + 28))
        policy = Policy(key=key, ssrc_type=Policy.SSRC_ANY_OUTBOUND, srtp_profile=Policy.SRTP_PROFILE_AEAD_AES_128_GCM)
        self._srtp = Session(policy)
        receiver.admit(peer, self._socket.getsockname(), key, calls=calls)

    def send(self, number: int, *, red: int = 0) -> None:
        """Send one packet, with copies of so many before."""
        payload, payload_type = self._packets[number], OPUS
        if red:
            blocks = range(max(0, number - red), number)
            headers = [
                struct.pack("!I", (0x80 | OPUS) << 24 | (number - k) * FRAME_SAMPLES << 10 | len(self._packets[k]))
                for k in blocks
            ]
            payload = b"".join([*headers, bytes((OPUS,)), *(self._packets[k] for k in blocks), payload])
            payload_type = RED
        timestamp = (self._timestamp + number * FRAME_SAMPLES) & 0xFFFFFFFF
        header = struct.pack("!BBHII", 0x80, payload_type, (1_000 + number) & 0xFFFF, timestamp, 0x1234 + self.peer)
        self._socket.sendto(self._srtp.protect(header + payload), self._receiver.address)

    def close(self) -> None:
        self._socket.close()


def send_in_real_time(
    senders: Sequence[OpusSender],
    count: int,
    start_s: float,
    *,
    delays_s: Sequence[float] = (),
    lost: Callable[[int, int], bool] = lambda sender, number: False,
    red: int = 0,
) -> threading.Thread:
    """Start a thread that sends the packets of all senders at their times, and return it.

    Args:
        senders: They record at the same time.
        count: Packets of each.
        start_s: Time of ``time.perf_counter`` at which they begin to record.
        delays_s: Of the path of each sender.
        lost: Whether a packet is lost, by index of the sender and number of the packet.
        red: Copies in each packet.
    """
    due = sorted(
        (start_s + (number + 1) * FRAME_S + (delays_s[index] if delays_s else 0.0), number, index)
        for number in range(count)
        for index in range(len(senders))
    )

    def run() -> None:
        for due_s, number, index in due:
            if lost(index, number):
                continue
            time.sleep(max(0.0, due_s - time.perf_counter()))
            senders[index].send(number, red=red)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread
