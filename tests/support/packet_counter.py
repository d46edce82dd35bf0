"""packet_counter.c for Python: compiled on first use, called through ctypes."""

from __future__ import annotations

import ctypes
from pathlib import Path

from .compiled import compiled

MAX_DESCRIPTORS = 4096
_CAPACITY = 256
_SOURCE = Path(__file__).with_name("packet_counter.c")


class Counter(ctypes.Structure):
    """The packets of one player, with arrival times in nanoseconds of ``time.monotonic_ns``."""

    _fields_ = (
        ("packets", ctypes.c_uint64),
        ("duplicates", ctypes.c_uint64),
        ("first_sequence", ctypes.c_int64),
        ("highest", ctypes.c_int64),
        ("first_ns", ctypes.c_int64),
        ("last_ns", ctypes.c_int64),
        ("longest_gap_ns", ctypes.c_int64),
        ("ssrc", ctypes.c_uint32.__ctype_be__),
    )

    packets: int
    duplicates: int
    first_sequence: int
    highest: int
    first_ns: int
    last_ns: int
    longest_gap_ns: int
    ssrc: int

    @property
    def missing(self) -> int:
        """Frames missing between the first and the last."""
        return self.highest - self.first_sequence + 1 - (self.packets - self.duplicates) if self.packets else 0


class _Other(ctypes.Structure):
    _fields_ = (("descriptor", ctypes.c_int32), ("length", ctypes.c_int32), ("data", ctypes.c_uint8 * 2048))

    descriptor: int
    length: int

    def bytes(self) -> bytes | None:
        return ctypes.string_at(ctypes.addressof(self) + _Other.data.offset, self.length) if self.length >= 0 else None


class PacketCounter:
    """Counts RTP on all sockets of an epoll descriptor and returns other datagrams."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(str(compiled(_SOURCE, "-shared", "-fPIC")))
        self._counters = (Counter * MAX_DESCRIPTORS)()
        self._own = (ctypes.c_uint8 * MAX_DESCRIPTORS)()
        self._others = (_Other * _CAPACITY)()

    def __getitem__(self, descriptor: int) -> Counter:
        return self._counters[descriptor]

    def reset(self, descriptor: int) -> None:
        """Reset the counters of one player."""
        ctypes.memset(ctypes.byref(self._counters[descriptor]), 0, ctypes.sizeof(Counter))

    def set_own(self, descriptor: int, is_own: bool) -> None:
        """Choose whether a descriptor is the caller's own or, as all others, a player's socket."""
        self._own[descriptor] = is_own

    def wait(self, epoll: int, timeout_s: float) -> list[tuple[int, bytes | None]]:
        """Wait and count; return other datagrams with their descriptor, and None for a readable one of the caller."""
        milliseconds = max(0, round(1000 * timeout_s))
        found = self._library.count_packets(epoll, milliseconds, self._counters, self._own, self._others, _CAPACITY)
        return [(other.descriptor, other.bytes()) for other in self._others[:found]]
