"""Local addresses, and one UDP port on all of them."""

from __future__ import annotations

import errno
import socket

import pytest

from bass_webrtc.errors import ConfigError, PortInUseError
from bass_webrtc.peer.ice.addresses import (
    LocalAddress,
    has_address,
    link_local_addresses,
    local_addresses,
    open_sockets,
    socket_address,
)


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


def test_sockets_are_bound_in_the_zone_of_a_link_local_address() -> None:
    assert socket_address("fe80::1%3", 80) == ("fe80::1", 80, 0, 3)
    assert socket_address("192.0.2.1", 80) == ("192.0.2.1", 80)
    for host in link_local_addresses():
        [one] = open_sockets([host], 0)
        assert one.getsockname()[0] == host.partition("%")[0]
        one.close()


def test_deprecated_addresses_are_left_out_and_the_rest_is_ordered_and_limited() -> None:
    """Flags as Linux tells them in if_inet6: 0x20 deprecated, 0x01 temporary."""
    many = [LocalAddress.parse(f"198.18.0.{number}") for number in range(1, 40)]
    temporary, stable = LocalAddress.parse("2001:db8::1", 0x01), LocalAddress.parse("2001:db8::2")
    deprecated, link_local = LocalAddress.parse("2001:db8::3", 0x20), LocalAddress.parse("fe80::1%2")
    loopback = [LocalAddress.parse("::1"), LocalAddress.parse("127.0.0.1")]
    few = [temporary, deprecated, link_local, *loopback, stable, many[0]]
    assert local_addresses(few) == ["198.18.0.1", "2001:db8::2", "2001:db8::1", "127.0.0.1", "::1"]
    assert len(local_addresses([*few, *many])) == 16 + 2


def test_own_addresses_are_known_and_others_are_not() -> None:
    assert has_address("127.0.0.1")
    assert not has_address("192.0.2.77")
