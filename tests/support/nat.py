"""Home hosts behind NATs and an internet between them, made of network namespaces and nftables.

    home 10.1.0.2 ── NAT 10.1.0.1 | 203.0.113.2 ── internet ── 203.0.113.6 | 10.2.0.1 NAT ── home 10.2.0.2
                                              198.51.100.1: servers

The kinds of NAT (RFC 3489, 5), and where each is found:

    full-cone          any host can send to a port once it is mapped         a forwarded port
    port-restricted    only addresses that were sent to can reply              most homes
    symmetric          the same, with another port for each destination      companies, mobile networks
    no-udp             symmetric, and UDP is dropped                         hotels, strict companies
    tls-only           and TCP except to chosen ports is dropped too         stricter ones

Needs root, iproute2 and nftables.
"""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, Literal, TypeVar

from . import netns
from .netns import Host, Network

NatKind = Literal["full-cone", "port-restricted", "symmetric", "no-udp", "tls-only"]
T = TypeVar("T")

SERVERS = "198.51.100.1"
"""Address of the servers on the internet."""

CONES: tuple[NatKind, ...] = ("full-cone", "port-restricted", "symmetric")
"""Kinds that pass UDP."""
RELAYED = {("port-restricted", "symmetric"), ("symmetric", "port-restricted"), ("symmetric", "symmetric")}
"""Pairs that need a TURN server, because neither end can predict the port from which the other sends.

                       full-cone     port-restricted    symmetric
    full-cone          direct        direct             direct
    port-restricted    direct        direct             relayed
    symmetric          direct        relayed            relayed
"""

_RULES = """
flush ruleset
table ip nat {{
    chain prerouting {{
        type nat hook prerouting priority dstnat;
        {forwarding}
    }}
    chain postrouting {{
        type nat hook postrouting priority srcnat;
        ip saddr 10.0.0.0/8 masquerade {ports}
    }}
}}
table ip filter {{
    # Dropped before it is remembered: otherwise a packet from outside would take the port that the home needs.
    chain input {{
        type filter hook input priority filter;
        ip daddr {outside} drop
    }}
    chain forward {{
        type filter hook forward priority filter;
        {blocking}
    }}
}}
"""


def missing() -> str | None:
    """Return what is missing on this machine, for ``pytest.skip``; None if nothing is."""
    return netns.missing() or (None if shutil.which("nft") else "NATs need Debian's nftables")


class Internet:
    """The router between the NATs, and host of the servers."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._nats: dict[str, tuple[int, Host]] = {}
        self.servers = network.host("internet")
        self.servers.ip("address", "add", f"{SERVERS}/32", "dev", "lo")
        # Blackhole route for private addresses: coturn ends a session on an ICMP error.
        nowhere = network.host("nowhere")
        network.link(self.servers, "192.0.2.1/30", nowhere, "192.0.2.2/30")
        self.servers.ip("route", "add", "default", "via", "192.0.2.2")
        _forward(self.servers)

    def home(self, kind: NatKind, *open_ports: int) -> Host:
        """A host behind its own NAT.

        Args:
            kind: See above.
            open_ports: For ``"tls-only"``: the TCP ports it may reach.
        """
        number = len(self._nats) + 1
        nat, host = self._network.host(f"nat{number}"), self._network.host(f"home{number}")
        self._network.link(self.servers, f"203.0.113.{4 * number - 3}/30", nat, f"{_outside(number)}/30")
        self._network.link(nat, f"10.{number}.0.1/24", host, f"{_home(number)}/24")
        nat.ip("route", "add", "default", "via", f"203.0.113.{4 * number - 3}")
        host.ip("route", "add", "default", "via", f"10.{number}.0.1")
        _forward(nat)
        self._nats[host.name] = number, nat
        self.change(host, kind, *open_ports)
        return host

    def change(self, host: Host, kind: NatKind, *open_ports: int) -> None:
        """Replace the NAT in front of a home; new flows pass the new one."""
        number, nat = self._nats[host.name]
        home, outside = _home(number), _outside(number)
        ports = ", ".join(map(str, open_ports))
        rules = _RULES.format(
            home=home,
            outside=outside,
            forwarding=f"ip daddr {outside} meta l4proto udp dnat to {home}" if kind == "full-cone" else "",
            ports="" if kind in ("full-cone", "port-restricted") else "fully-random",
            blocking={
                "no-udp": "meta l4proto udp drop",
                "tls-only": f"ip saddr {home} tcp dport {{ {ports} }} accept; ip saddr {home} drop",
            }.get(kind, ""),
        )
        nat.run(["nft", "-f", "-"], input=rules, encoding="utf-8", check=True)


class LoopOn:
    """An asyncio loop in a thread inside a host's namespace: its sockets are opened there."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name=host.name)
        self._thread.start()

    def start(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Start a coroutine there."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def do(self, work: Coroutine[Any, Any, T], timeout_s: float = 60.0) -> T:
        """Run a coroutine there and wait for it."""
        return self.start(work).result(timeout_s)

    def close(self) -> None:
        """End the thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def __enter__(self) -> LoopOn:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self) -> None:
        with self._host.entered():
            try:
                self._loop.run_forever()
                self._loop.run_until_complete(self._loop.shutdown_default_executor())
            finally:
                self._loop.close()


def _home(number: int) -> str:
    return f"10.{number}.0.2"


def _outside(number: int) -> str:
    return f"203.0.113.{4 * number - 2}"


def _forward(host: Host) -> None:
    host.run(["sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"], check=True)
