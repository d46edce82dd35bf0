"""Network namespaces linked by veth pairs: a small network for one test.

Firefox never pairs a loopback candidate, and a NAT needs hosts on both sides, so such tests create hosts:

    with Network() as network:
        server, browser = network.host("server"), network.host("browser")
        network.link(server, "10.77.0.1/24", browser, "10.77.0.2/24")
        with server.entered():
            ...                     # sockets and threads made here live on "server"
        browser.popen(["firefox-esr", ...])

Needs root and iproute2. Everything is removed when the ``with`` block ends, also after a failure.
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

_CLONE_NEWNET = 0x40000000
_numbers = itertools.count()


def missing() -> str | None:
    """Return what is missing on this machine, for ``pytest.skip``; None if nothing is."""
    if shutil.which("ip") is None:
        return "network namespaces need Debian's iproute2"
    if os.geteuid() != 0:
        return "network namespaces need root"
    probe = f"bw{os.getpid()}probe"
    if subprocess.run(["ip", "netns", "add", probe], capture_output=True, check=False).returncode != 0:
        return "network namespaces are not allowed here"
    _ip("netns", "delete", probe)
    return None


class Host:
    """One network namespace: its own interfaces, addresses, routes and ports. Made by ``Network.host``."""

    def __init__(self, name: str) -> None:
        self.name = name
        _ip("netns", "add", name)
        self.ip("link", "set", "lo", "up")

    def ip(self, *arguments: str) -> str:
        """Run iproute2's ``ip`` here and return its output."""
        return _ip("-n", self.name, *arguments)

    def run(self, command: Sequence[str], **options: Any) -> subprocess.CompletedProcess[Any]:
        """``subprocess.run`` inside the namespace."""
        return subprocess.run(["ip", "netns", "exec", self.name, *command], **options)

    def popen(self, command: Sequence[str], **options: Any) -> subprocess.Popen[Any]:
        """``subprocess.Popen`` inside the namespace; the process ends before the namespace does."""
        return subprocess.Popen(["ip", "netns", "exec", self.name, *command], **options)

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Move the calling thread into the namespace for the block.

        A socket stays where it was made, and a thread starts where its parent is, so what is made in the
        block stays in the namespace after it.
        """
        with open("/proc/thread-self/ns/net", "rb") as home, open(Path("/run/netns", self.name), "rb") as here:
            _set_namespace(here.fileno())
            try:
                yield
            finally:
                _set_namespace(home.fileno())

    def connect(self, address: str, port: int, timeout_s: float = 10.0) -> socket.socket:
        """Return a TCP connection made from here, usable anywhere."""
        with self.entered():
            return socket.create_connection((address, port), timeout_s)

    def close(self) -> None:
        """Remove the namespace and its interfaces."""
        _ip("netns", "delete", self.name)


class Network:
    """Hosts and their links, removed together."""

    def __init__(self) -> None:
        self._hosts: list[Host] = []
        self._links = itertools.count()

    def host(self, label: str) -> Host:
        """Create a host with loopback only."""
        host = Host(f"bw{os.getpid()}-{next(_numbers)}-{label}")
        self._hosts.append(host)
        return host

    def link(self, first: Host, first_address: str, second: Host, second_address: str) -> None:
        """Link two hosts; addresses have a prefix length, such as ``"10.77.0.1/24"``."""
        name = f"wire{next(self._links)}"
        first.ip("link", "add", name, "type", "veth", "peer", "name", name, "netns", second.name)
        for host, address in ((first, first_address), (second, second_address)):
            # No duplicate address detection: an IPv6 address is usable at once.
            nodad = ("nodad",) if ":" in address else ()
            host.ip("address", "add", address, "dev", name, *nodad)
            host.ip("link", "set", name, "up")

    def close(self) -> None:
        """Remove every host."""
        while self._hosts:
            self._hosts.pop().close()

    def __enter__(self) -> Network:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _ip(*arguments: str) -> str:
    done = subprocess.run(["ip", *arguments], capture_output=True, encoding="utf-8", check=False)
    if done.returncode != 0:
        raise OSError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def _set_namespace(descriptor: int) -> None:
    if ctypes.CDLL(None, use_errno=True).setns(descriptor, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")
