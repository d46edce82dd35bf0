"""Which networks a server at one address may send its clients to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bass_webrtc.rtc.reach import Address, Scope, may_lead, parse_address, scope_of
from support.conformance import covers

PUBLIC = "8.8.8.8"
SCOPES = {
    Scope.PUBLIC: "8.8.8.8 2606:4700::1111 ::ffff:8.8.8.8 64:ff9b::8.8.8.8 64:ff9b:1::8.8.8.8 2002:808:808::1",
    Scope.PRIVATE: "10.1.2.3 172.31.0.1 192.168.1.5 100.64.0.1 198.18.0.1 fd00::1 fec0::1 ::ffff:10.0.0.1 "
    "64:ff9b::10.0.0.1 64:ff9b:1:fffe::10.0.0.1 2002:a00:1::1 203.0.113.5 2001:db8::1",
    Scope.LINK_LOCAL: "169.254.169.254 169.254.1.1 fe80::1 fe80::1%eth0 ::ffff:169.254.169.254 fd00:ec2::254 "
    "fd20:ce::254 100.100.100.200 168.63.129.16 192.0.0.192 64:ff9b::169.254.169.254",
    Scope.LOOPBACK: "127.0.0.1 127.0.0.3 127.255.255.254 0.0.0.0 :: ::1 ::1%lo ::ffff:127.0.0.3 ::ffff:0.0.0.0 "
    "::127.0.0.3 64:ff9b::127.0.0.1 2002:7f00:1::",
    Scope.NONE: "0.1.2.3 224.0.0.1 255.255.255.255 240.0.0.1 ff02::1 ff0e::1 ::ffff:0:127.0.0.1",
}


def address(text: str) -> Address:
    found = parse_address(text)
    assert found is not None, text
    return found


@covers("SE66")
@pytest.mark.parametrize(
    ("scope", "text"), [(scope, text) for scope, texts in SCOPES.items() for text in texts.split()]
)
def test_addresses_are_classified(scope: Scope, text: str) -> None:
    """Also IPv4 addresses inside IPv6 ones, metadata services, and those that the system replaces by loopback."""
    assert scope_of(address(text)) is scope


@covers("SE66")
@pytest.mark.parametrize(
    ("home", "allowed", "forbidden"),
    [
        (PUBLIC, (Scope.PUBLIC,), (Scope.PRIVATE, Scope.LINK_LOCAL, Scope.LOOPBACK, Scope.NONE)),
        ("192.168.7.7", (Scope.PUBLIC, Scope.PRIVATE), (Scope.LINK_LOCAL, Scope.LOOPBACK, Scope.NONE)),
        ("100.64.7.7", (Scope.PUBLIC, Scope.PRIVATE), (Scope.LINK_LOCAL, Scope.LOOPBACK, Scope.NONE)),
        ("fe80::7", (Scope.PUBLIC, Scope.PRIVATE), (Scope.LINK_LOCAL, Scope.LOOPBACK, Scope.NONE)),
        ("127.0.0.2", (Scope.PUBLIC, Scope.PRIVATE), (Scope.LINK_LOCAL, Scope.LOOPBACK, Scope.NONE)),
    ],
)
def test_home_decides_where_a_server_may_lead(
    home: str, allowed: tuple[Scope, ...], forbidden: tuple[Scope, ...]
) -> None:
    for scopes, expected in ((allowed, True), (forbidden, False)):
        for scope in scopes:
            for target in SCOPES[scope].split():
                assert may_lead(address(home), address(target)) is expected, target


@pytest.mark.parametrize("home", ["127.0.0.2", "169.254.169.254", "fe80::1", "10.0.0.1", PUBLIC])
def test_server_may_always_lead_to_its_own_address(home: str) -> None:
    assert may_lead(address(home), address(home))


@covers("SE66")
def test_loopback_addresses_of_this_machine_count_as_one() -> None:
    """Not so the others: a server at 127.0.0.2 does not lead to a service at 127.0.0.1 or 127.0.0.3."""
    both = ("127.0.0.1", "::1", "0.0.0.0", "::")
    assert all(may_lead(address(home), address(target)) for home in both for target in both)
    for home, target in (("127.0.0.1", "127.0.0.3"), ("127.0.0.2", "127.0.0.1"), ("127.0.0.2", "127.0.0.3")):
        assert not may_lead(address(home), address(target))


@covers("SE70")
@given(st.text() | st.ip_addresses().map(str))
def test_any_text_is_classified_or_a_name(text: str) -> None:
    found = parse_address(text)
    if found is not None:
        assert scope_of(found) in Scope
        assert may_lead(found, found)
