"""Local addresses, and one UDP port on all of them."""

from __future__ import annotations

import errno
import socket

import pytest

from bass_webrtc.errors import ConfigError, PortInUseError
from bass_webrtc.peer.ice.addresses import local_addresses, open_sockets


def test_local_addresses_end_with_loopback_and_have_no_link_local() -> None:
    addresses = local_addresses()
    assert "127.0.0.1" in addresses
    loopback = [address in ("::1",) or address.startswith("127.") for address in addresses]
    assert loopback == sorted(loopback)
    assert not any(address.lower().startswith("fe80") for address in addresses)


def test_free_port_is_same_on_every_address() -> None:
    sockets = open_sockets(["127.0.0.1", "127.0.0.2"], 0)
    names = [one.getsockname() for one in sockets]
    assert [host for host, _ in names] == ["127.0.0.1", "127.0.0.2"]
    assert names[0][1] == names[1][1] != 0
    assert not any(one.getblocking() for one in sockets)
    for one in sockets:
        one.close()


def test_port_in_use_is_reported_and_leaves_nothing_open() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.2", 0))
        port = other.getsockname()[1]
        with pytest.raises(PortInUseError, match=f"UDP port {port} is in use by another program; choose another"):
            open_sockets(["127.0.0.1", "127.0.0.2"], port)
    open_sockets(["127.0.0.1"], port)[0].close()


def test_forbidden_port_is_reported_and_leaves_nothing_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """A privileged port on Linux; on Windows, one that Hyper-V has reserved."""
    opened = []

    class Refused(socket.socket):
        def bind(self, _address: object) -> None:
            opened.append(self)
            raise PermissionError(errno.EACCES, "forbidden")

    monkeypatch.setattr(socket, "socket", Refused)
    with pytest.raises(ConfigError, match=r"udp_port is 500, which .*port"):
        open_sockets(["127.0.0.1"], 500)
    with pytest.raises(PortInUseError, match="20 UDP ports in a row"):
        open_sockets(["127.0.0.1"], 0)
    assert len(opened) == 21
    assert all(one.fileno() == -1 for one in opened)


def test_missing_address_is_skipped() -> None:
    sockets = open_sockets(["192.0.2.77", "127.0.0.1"], 0)
    assert [one.getsockname()[0] for one in sockets] == ["127.0.0.1"]
    sockets[0].close()
