"""What a network host really sends and receives: its IP packets, taken off its interfaces. Needs root."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

from .netns import Host

_EVERY_PACKET = 0x0003  # ETH_P_ALL.
_IPV4 = 0x0800


@contextlib.contextmanager
def captured(host: Host) -> Iterator[list[bytes]]:
    """The IP packets that pass the host's interfaces meanwhile."""
    packets: list[bytes] = []
    with host.entered():
        tap = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_EVERY_PACKET))
    with tap:
        tap.setblocking(False)
        yield packets
        with contextlib.suppress(BlockingIOError):
            while True:
                data, (interface, protocol, *_rest) = tap.recvfrom(65_536)
                if protocol == _IPV4 and interface != "lo":
                    packets.append(data)


def addresses(packet: bytes) -> tuple[str, str]:
    """Where an IPv4 packet comes from and goes to."""
    return socket.inet_ntoa(packet[12:16]), socket.inet_ntoa(packet[16:20])
