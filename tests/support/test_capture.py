from __future__ import annotations

import socket

from . import netns
from .capture import addresses, captured

BURST = 4000
"""More than a socket's buffer holds by default."""


def test_every_packet_of_both_families_is_captured(hosts: tuple[netns.Host, netns.Host]) -> None:
    one, other = hosts
    for host, address in ((one, "fd00::1"), (other, "fd00::2")):
        host.ip("address", "add", f"{address}/64", "dev", "wire0", "nodad")
    ways = [("10.77.0.1", "10.77.0.2"), ("fd00::1", "fd00::2")]
    with captured(one) as packets:
        for family, (_, destination) in zip((socket.AF_INET, socket.AF_INET6), ways, strict=True):
            with one.entered(), socket.socket(family, socket.SOCK_DGRAM) as sender:
                for number in range(BURST):
                    sender.sendto(b"%d" % number, (destination, 9))
    for header_bytes, way in zip((28, 48), ways, strict=True):
        sent = [int(packet[header_bytes:]) for packet in packets if addresses(packet) == way]
        assert sent == list(range(BURST))
