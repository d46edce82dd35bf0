"""Captures the IP packets that a network host sends and receives. Requires root."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator

from .netns import Host

_EVERY_PACKET = 0x0003  # ETH_P_ALL.
_IPV4, _IPV6 = 0x0800, 0x86DD
_BUFFER_BYTES = 1 << 24
_POLL_S = 0.1
# From linux/if_packet.h and asm/socket.h; not in Python's socket module.
_SOL_PACKET, _PACKET_STATISTICS, _SO_RCVBUFFORCE = 263, 6, 33
_HOP_BY_HOP, _ICMPV6 = 0, 58


@contextlib.contextmanager
def captured(host: Host) -> Iterator[list[bytes]]:
    """Capture all IP packets on the host's interfaces during the ``with`` block, which fails if any was missed.

    ICMPv6 is ignored, because the system uses it for neighbour discovery by itself.
    """
    packets: list[bytes] = []
    ended = threading.Event()
    with host.entered():
        tap = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_EVERY_PACKET))
    with tap:
        tap.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_BYTES)
        tap.settimeout(_POLL_S)
        reader = threading.Thread(target=_read, args=(tap, packets, ended), name=f"capture on {host.name}")
        reader.start()
        try:
            yield packets
        finally:
            ended.set()
            reader.join()
        _, dropped = struct.unpack("II", tap.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8))
        assert dropped == 0, f"{dropped} packets were not captured"


def addresses(packet: bytes) -> tuple[str, str]:
    """Source and destination address of a packet."""
    if packet[0] >> 4 == 4:
        return socket.inet_ntoa(packet[12:16]), socket.inet_ntoa(packet[16:20])
    return socket.inet_ntop(socket.AF_INET6, packet[8:24]), socket.inet_ntop(socket.AF_INET6, packet[24:40])


def _read(tap: socket.socket, packets: list[bytes], ended: threading.Event) -> None:
    """Read until ``ended`` is set, then drain the socket."""
    while True:
        try:
            data, (interface, protocol, *_rest) = tap.recvfrom(65_536)
        except TimeoutError:
            pass
        except BlockingIOError:
            return
        else:
            if interface != "lo" and (protocol == _IPV4 or (protocol == _IPV6 and not _is_icmpv6(data))):
                packets.append(data)
        if ended.is_set():
            tap.setblocking(False)


def _is_icmpv6(packet: bytes) -> bool:
    first = packet[6]
    # Multicast listener reports have a hop-by-hop option in front (RFC 3810, 5).
    return first == _ICMPV6 or (first == _HOP_BY_HOP and packet[40] == _ICMPV6)
