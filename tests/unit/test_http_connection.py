"""What strangers write into X-Forwarded-For, Host, entity tags and the request target (SE64, SE67, SE70)."""

from __future__ import annotations

import contextlib
import ipaddress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bass_webrtc.errors import ConfigError
from bass_webrtc.signaling.server.http_connection import (
    client_address,
    is_allowed_host,
    parse_networks,
    plain_address,
)
from bass_webrtc.signaling.server.http_server import _split_target

PROXIES = parse_networks(["10.0.0.0/8", "2001:db8:1::/48"])
ADDRESSES = st.ip_addresses().map(str)
STRANGERS = ADDRESSES.filter(lambda text: plain_address(text) == text and not is_proxy(text))
NOISE = st.text(max_size=60)
LINES = st.lists(st.one_of(NOISE, st.lists(ADDRESSES, max_size=4).map(", ".join)), max_size=4)
LABEL = st.from_regex(r"[a-z]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True)
NAMES = st.lists(LABEL, min_size=2, max_size=4).map(".".join)
PORTS = st.one_of(st.just(""), st.integers(0, 70_000).map(lambda port: f":{port}"), NOISE.map(lambda text: f":{text}"))


def is_proxy(text: str) -> bool:
    return any(ipaddress.ip_address(text) in network for network in PROXIES)


# X-Forwarded-For


@given(NOISE, LINES)
def test_whatever_is_forwarded_somebody_asks(peer: str, lines: list[str]) -> None:
    """The peer itself, or an address that the peer, being a proxy, has written."""
    found = client_address(peer, lines, PROXIES)
    assert found == peer or ipaddress.ip_address(found)


@given(STRANGERS, LINES)
def test_a_stranger_says_nothing_of_himself(stranger: str, lines: list[str]) -> None:
    assert client_address(stranger, lines, PROXIES) == stranger
    assert client_address(stranger, lines, ()) == stranger


@given(STRANGERS, LINES, st.lists(st.sampled_from(["10.0.0.1", "10.9.9.9", "2001:db8:1::5"]), min_size=1, max_size=5))
def test_proxies_say_who_came_to_the_first_of_them(stranger: str, invented: list[str], chain: list[str]) -> None:
    """What stands left of the stranger's address is his own invention."""
    *before, peer = chain
    lines = [*invented, ", ".join([stranger, *before])]
    assert client_address(peer, lines, PROXIES) == stranger
    assert client_address(f"::ffff:{peer}" if "." in peer else peer, lines, PROXIES) == stranger


@given(NOISE)
def test_other_text_is_left_alone(text: str) -> None:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        assert plain_address(text) == text


@given(st.lists(NOISE, max_size=3))
def test_networks_are_read_or_refused(texts: list[str]) -> None:
    with contextlib.suppress(ConfigError):
        assert len(parse_networks(texts)) == len(texts)


# Host


@given(st.one_of(st.none(), st.text(max_size=100)), st.frozensets(NAMES, max_size=2))
@example("[", frozenset())
@example("[::1", frozenset())
@example(":80", frozenset())
def test_any_host_is_allowed_or_not(host: str | None, allowed: frozenset[str]) -> None:
    assert is_allowed_host(host, allowed) in (True, False)


@given(NAMES, PORTS, st.frozensets(NAMES, max_size=3))
def test_a_name_is_allowed_if_it_is_ours(name: str, port: str, allowed: frozenset[str]) -> None:
    assert is_allowed_host(name + port, allowed) is (name in allowed)
    assert is_allowed_host(name.upper() + port, allowed | {name})


@given(st.ip_addresses(), PORTS)
def test_addresses_are_always_allowed(address: ipaddress.IPv4Address | ipaddress.IPv6Address, port: str) -> None:
    """A name can be made to mean our address; an address cannot."""
    assert is_allowed_host(f"[{address}]{port}" if address.version == 6 else f"{address}{port}", ())


# The request target


@given(st.text(max_size=100))
@example("http://")
@example("https://host")
@example("http://host?x=1")
def test_any_target_has_a_path_and_a_query(target: str) -> None:
    path, query = _split_target(target)
    assert "?" not in path
    if not target.startswith(("http://", "https://")):
        assert path + ("?" if "?" in target else "") + query == target


@given(NAMES, PORTS, st.text(max_size=60))
def test_the_absolute_form_means_the_same(name: str, port: str, rest: str) -> None:
    """RFC 9112, 3.2.2."""
    if "/" not in port and "?" not in port:
        assert _split_target(f"http://{name}{port}/{rest}") == _split_target(f"/{rest}")


@pytest.mark.parametrize(("target", "expected"), [("http://host", ("/", "")), ("https://host/a?b", ("/a", "b"))])
def test_an_absolute_target_without_a_path_is_the_root(target: str, expected: tuple[str, str]) -> None:
    assert _split_target(target) == expected
