"""RTCP packets: parsing and serialization (RFC 3550, 6.4 to 6.6; RFC 4585, 6.2.1).

    V=2 P count | type | length in words - 1 | body …     a datagram holds one or more: a compound packet

Supports reports, CNAME, BYE and generic NACK. All other packets (XR, APP, REMB, TWCC …) are skipped. ``parse`` accepts
any bytes, never raises, and takes time linear in their length: it reads a bounded number of packets, items and NACKs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from struct import Struct

_SENDER_REPORT = 200
_RECEIVER_REPORT = 201
_SOURCE_DESCRIPTION = 202
_GOODBYE = 203
_TRANSPORT_FEEDBACK = 205
_GENERIC_NACK = 1
_CNAME = 1

MAX_PACKETS = 16
"""Packets read in one datagram; known senders put at most six into it."""
MAX_NACKED = 200
"""Sequence numbers read from the generic NACKs in one datagram: each item of 4 bytes requests up to 17 packets."""
_MAX_DESCRIPTION_ITEMS = 64

_header = Struct("!BBH")
_u32 = Struct("!I")
_sender = Struct("!QIII")
_block = Struct("!IIIIII")
_nack_item = Struct("!HH")


@dataclass(frozen=True, slots=True)
class ReportBlock:
    """A receiver's report on one stream (RFC 3550, 6.4.1)."""

    ssrc: int
    """SSRC of the stream."""
    fraction_lost: int
    """Fraction lost since the last report, in 1/256."""
    packets_lost: int
    """Cumulative, signed 24 bits; duplicates decrease it, also below zero."""
    highest_sequence: int
    """Extended highest sequence number, 32 bits: the number of wraps is in the upper half."""
    jitter: int
    """Interarrival jitter, in RTP ticks."""
    last_sr: int
    """Middle 32 bits of the NTP time in the last sender report; 0 if none was received."""
    delay_since_last_sr: int
    """In 1/65536 s."""


@dataclass(frozen=True, slots=True)
class SenderInfo:
    """A sender's information about its own stream (RFC 3550, 6.4.1)."""

    ntp_time: int
    """64-bit NTP time, see the function ``ntp_time``."""
    rtp_timestamp: int
    """The stream's RTP time at the same moment."""
    packets: int
    octets: int
    """RTP payload octets."""


@dataclass(frozen=True, slots=True)
class Report:
    """A sender report, or a receiver report when ``sender`` is None."""

    ssrc: int
    sender: SenderInfo | None
    blocks: tuple[ReportBlock, ...] = ()

    def to_bytes(self) -> bytes:
        """Serialize the packet."""
        body = _u32.pack(self.ssrc)
        kind = _RECEIVER_REPORT
        if self.sender is not None:
            kind = _SENDER_REPORT
            body += _sender.pack(
                self.sender.ntp_time, self.sender.rtp_timestamp, self.sender.packets, self.sender.octets
            )
        return _packet(len(self.blocks), kind, body + b"".join(map(_block_to_bytes, self.blocks)))


@dataclass(frozen=True, slots=True)
class SourceDescription:
    """The canonical name of a source (RFC 3550, 6.5.1)."""

    ssrc: int
    cname: str

    def to_bytes(self) -> bytes:
        """Serialize the packet."""
        name = self.cname.encode()
        chunk = _u32.pack(self.ssrc) + bytes((_CNAME, len(name))) + name
        # "each chunk is terminated by one or more null octets", up to the next 32-bit boundary.
        return _packet(1, _SOURCE_DESCRIPTION, chunk + bytes(4 - len(chunk) % 4))


@dataclass(frozen=True, slots=True)
class Goodbye:
    """BYE: sources that leave the session (RFC 3550, 6.6)."""

    ssrcs: tuple[int, ...]

    def to_bytes(self) -> bytes:
        """Serialize the packet."""
        return _packet(len(self.ssrcs), _GOODBYE, b"".join(map(_u32.pack, self.ssrcs)))


@dataclass(frozen=True, slots=True)
class Nack:
    """Generic NACK: packets that a receiver requests again (RFC 4585, 6.2.1)."""

    ssrc: int
    """SSRC of the requesting receiver."""
    media_ssrc: int
    """SSRC of the stream."""
    sequences: tuple[int, ...]

    def to_bytes(self) -> bytes:
        """Serialize the packet."""
        items = b"".join(_nack_item.pack(first, mask) for first, mask in _nack_items(self.sequences))
        return _packet(_GENERIC_NACK, _TRANSPORT_FEEDBACK, _u32.pack(self.ssrc) + _u32.pack(self.media_ssrc) + items)


Packet = Report | SourceDescription | Goodbye | Nack


@dataclass(frozen=True, slots=True)
class Compound:
    """Parsed packets of one datagram."""

    packets: tuple[Packet, ...]
    malformed: int
    """Number of malformed packets, and of packets with too many items. Unknown types are not counted."""
    ignored_nack_items: int = 0
    """Number of generic NACK items that were not read because ``max_nacked`` was reached."""


def parse(data: bytes, max_nacked: int = MAX_NACKED) -> Compound:
    """Parse one decrypted datagram, compound or reduced-size (RFC 5506: any packet type may come first).

    A malformed packet is skipped and parsing continues; it stops at a length field that exceeds the datagram, and
    after ``MAX_PACKETS``.

    Args:
        data: The datagram.
        max_nacked: Number of sequence numbers to read from its generic NACKs.
    """
    packets: list[Packet] = []
    malformed = ignored_nack_items = 0
    at, end = 0, len(data)
    for _ in range(MAX_PACKETS):
        if end - at < 4:
            break
        first, kind, words = _header.unpack_from(data, at)
        following = at + 4 * (words + 1)
        if first >> 6 != 2 or following > end:
            break
        body_end = following - (data[following - 1] if first & 0x20 else 0)
        count, body = first & 0x1F, data[at + 4 : max(body_end, at + 4)]
        try:
            if kind == _TRANSPORT_FEEDBACK and count == _GENERIC_NACK:
                nack, ignored = _parse_nack(body, max_nacked)
                max_nacked -= len(nack.sequences)
                ignored_nack_items += ignored
                packets.append(nack)
            else:
                packets += _parse_packet(kind, count, body)
        except ValueError:
            malformed += 1
        at = following
    return Compound(tuple(packets), malformed + (at < end), ignored_nack_items)


def ntp_time(wall_s: float) -> int:
    """Convert seconds since 1970 to a 64-bit NTP time: seconds since 1900 and fraction (RFC 3550, 4)."""
    return int((wall_s + 2_208_988_800) * 2**32) & 0xFFFFFFFFFFFFFFFF


def ntp_middle(ntp: int) -> int:
    """Return the middle 32 bits of an NTP time, in 1/65536 s: the format of ``last_sr``."""
    return (ntp >> 16) & 0xFFFFFFFF


def _parse_packet(kind: int, count: int, body: bytes) -> Sequence[Packet]:
    """Parse one packet body; raises ``ValueError`` if it is shorter than its header says."""
    if kind in (_SENDER_REPORT, _RECEIVER_REPORT):
        return (_parse_report(kind, count, body),)
    if kind == _SOURCE_DESCRIPTION:
        return _parse_source_description(count, body)
    if kind == _GOODBYE:
        _require(4 * count <= len(body))
        return (Goodbye(tuple(_u32.unpack_from(body, 4 * at)[0] for at in range(count))),)
    return ()


def _parse_report(kind: int, count: int, body: bytes) -> Report:
    blocks_at = 4 + (_sender.size if kind == _SENDER_REPORT else 0)
    # Profile-specific extensions may follow the blocks (RFC 3550, 6.4.3).
    _require(blocks_at + count * _block.size <= len(body))
    sender = SenderInfo(*_sender.unpack_from(body, 4)) if kind == _SENDER_REPORT else None
    blocks = tuple(_parse_block(body, blocks_at + at * _block.size) for at in range(count))
    return Report(_u32.unpack_from(body)[0], sender, blocks)


def _parse_block(body: bytes, at: int) -> ReportBlock:
    ssrc, lost, highest_sequence, jitter, last_sr, delay = _block.unpack_from(body, at)
    packets_lost = ((lost & 0xFFFFFF) ^ 0x800000) - 0x800000  # Sign extension from 24 bits.
    return ReportBlock(ssrc, lost >> 24, packets_lost, highest_sequence, jitter, last_sr, delay)


def _block_to_bytes(block: ReportBlock) -> bytes:
    lost = (block.fraction_lost << 24) | (max(-0x800000, min(block.packets_lost, 0x7FFFFF)) & 0xFFFFFF)
    return _block.pack(block.ssrc, lost, block.highest_sequence, block.jitter, block.last_sr, block.delay_since_last_sr)


def _parse_source_description(count: int, body: bytes) -> list[SourceDescription]:
    found: list[SourceDescription] = []
    at = items = 0
    for _ in range(count):
        _require(at + 4 < len(body))
        (ssrc,) = _u32.unpack_from(body, at)
        at += 4
        while at < len(body) and body[at]:
            items += 1
            _require(items <= _MAX_DESCRIPTION_ITEMS and at + 2 <= len(body) and at + 2 + body[at + 1] <= len(body))
            text = body[at + 2 : at + 2 + body[at + 1]]
            if body[at] == _CNAME:
                found.append(SourceDescription(ssrc, text.decode(errors="replace")))
            at += 2 + len(text)
        at += 4 - at % 4
    return found


def _parse_nack(body: bytes, limit: int) -> tuple[Nack, int]:
    """Parse a generic NACK up to ``limit`` sequence numbers; return also the number of items that exceed it."""
    _require(len(body) >= 8 and len(body) % 4 == 0)
    sequences: list[int] = []
    at = 8
    while at < len(body) and len(sequences) < limit:
        first, mask = _nack_item.unpack_from(body, at)
        sequences.append(first)
        sequences += [(first + bit + 1) & 0xFFFF for bit in range(16) if mask >> bit & 1]
        at += _nack_item.size
    nack = Nack(_u32.unpack_from(body)[0], _u32.unpack_from(body, 4)[0], tuple(sequences[:limit]))
    return nack, (len(body) - at) // _nack_item.size


def _nack_items(sequences: Sequence[int]) -> list[tuple[int, int]]:
    """Return pairs of a sequence number and a bit mask of the 16 that follow it."""
    items: list[tuple[int, int]] = []
    for sequence in sequences:
        distance = (sequence - items[-1][0]) & 0xFFFF if items else 0
        if 1 <= distance <= 16:
            items[-1] = (items[-1][0], items[-1][1] | 1 << (distance - 1))
        else:
            items.append((sequence, 0))
    return items


def _packet(count: int, kind: int, body: bytes) -> bytes:
    return _header.pack(0x80 | count, kind, len(body) // 4) + body


def _require(holds: bool) -> None:
    if not holds:
        raise ValueError("the RTCP packet is shorter than its header says, or has too many items")
