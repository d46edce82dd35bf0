"""Copies of the Opus packets of a peer or channel, for a recorder. ``core.h`` documents each call."""

from __future__ import annotations

from typing import NamedTuple

from ..errors import BassWebRtcError
from .compiled import ffi, lib

_CAPACITY = 256
"""Packets: 5 s of 20 ms each, 2.5 s of a channel with frames of 10 ms."""
_BATCH = 64


class TapPacket(NamedTuple):
    """One Opus packet; see ``bw_tap_packet`` in ``core.h``."""

    time_ns: int
    """Of ``time.perf_counter_ns``: arrival of a peer's packet; a channel's frame is due by the engine's start."""
    timestamp: int
    """In samples at 48 kHz: RTP time of a peer, unwrapped; of a channel since the engine's start."""
    sequence: int
    stream: int
    """Numbers of different streams do not compare."""
    samples: int
    is_copy: bool
    """A RED copy of a packet that had not arrived by then."""
    payload: bytes


class Tap:
    """A bounded buffer between the engine and one reader thread. Any thread, except ``read``.

    ``Engine.add_peer_tap`` or ``Engine.add_channel_tap`` starts it; it can be started once.
    """

    def __init__(self) -> None:
        pointer = lib.bw_tap_new(_CAPACITY)
        if not pointer:
            raise BassWebRtcError("out of memory for a recording")
        self.pointer = ffi.gc(pointer, lib.bw_tap_free)
        self._batch = ffi.new("bw_tap_packet[]", _BATCH)

    def read(self) -> list[TapPacket]:
        """Take what has arrived. One thread."""
        packets: list[TapPacket] = []
        batch = self._batch
        while count := lib.bw_tap_read(self.pointer, batch, _BATCH):
            for index in range(count):
                packet = batch[index]
                packets.append(
                    TapPacket(
                        packet.time_ns,
                        packet.timestamp,
                        packet.sequence,
                        packet.stream,
                        packet.samples,
                        bool(packet.is_copy),
                        ffi.buffer(packet.payload, packet.bytes)[:],
                    )
                )
            if count < _BATCH:
                break
        return packets

    @property
    def dropped(self) -> int:
        """Packets that the engine dropped, because the reader was more than seconds late."""
        return lib.bw_tap_dropped(self.pointer)

    @property
    def is_released(self) -> bool:
        """Whether the engine has stopped using it: after ``close``, or when its peer or channel was removed."""
        return bool(lib.bw_tap_is_released(self.pointer))

    def close(self) -> None:
        """End it with the next packet. Idempotent."""
        lib.bw_tap_close(self.pointer)
