"""X-Forwarded-For, Host and the request target, which clients control (SE64, SE67, SE70)."""

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
CLIENTS = ADDRESSES.filter(lambda text: plain_address(text) == text and not is_proxy(text))
NOISE = st.text(max_size=60)
LINES = st.lists(st.one_of(NOISE, st.lists(ADDRESSES, max_size=4).map(", ".join)), max_size=4)
LABEL = st.from_regex(r"[a-z]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True)
NAMES = st.lists(LABEL, min_size=2, max_size=4).map(".".join)
PORTS = st.one_of(st.just(""), st.integers(0, 70_000).map(lambda port: f":{port}"), NOISE.map(lambda text: f":{text}"))


def is_proxy(text: str) -> bool:
    return any(ipaddress.ip_address(text) in network for network in PROXIES)


# X-Forwarded-For


@given(NOISE, LINES)
def test_client_address_is_the_peer_or_a_forwarded_address(peer: str, lines: list[str]) -> None:
    found = client_address(peer, lines, PROXIES)
    assert found == peer or ipaddress.ip_address(found)


@given(CLIENTS, LINES)
def test_forwarded_addresses_of_untrusted_clients_are_ignored(client: str, lines: list[str]) -> None:
    assert client_address(client, lines, PROXIES) == client
    assert client_address(client, lines, ()) == client


@given(CLIENTS, LINES, st.lists(st.sampled_from(["10.0.0.1", "10.9.9.9", "2001:db8:1::5"]), min_size=1, max_size=5))
def test_trusted_proxies_give_the_address_of_their_client(client: str, forged: list[str], chain: list[str]) -> None:
    """Anything to the left of the client's address may be forged."""
    *before, peer = chain
    lines = [*forged, ", ".join([client, *before])]
    assert client_address(peer, lines, PROXIES) == client
    assert client_address(f"::ffff:{peer}" if "." in peer else peer, lines, PROXIES) == client


@given(NOISE)
def test_plain_address_returns_other_text_unchanged(text: str) -> None:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        assert plain_address(text) == text


@given(st.lists(NOISE, max_size=3))
def test_networks_are_parsed_or_refused(texts: list[str]) -> None:
    with contextlib.suppress(ConfigError):
        assert len(parse_networks(texts)) == len(texts)


# Host


@given(st.one_of(st.none(), st.text(max_size=100)), st.frozensets(NAMES, max_size=2))
@example("[", frozenset())
@example("[::1", frozenset())
@example(":80", frozenset())
def test_any_host_can_be_checked(host: str | None, allowed: frozenset[str]) -> None:
    assert is_allowed_host(host, allowed) in (True, False)


@given(NAMES, PORTS, st.frozensets(NAMES, max_size=3))
def test_only_configured_names_are_allowed(name: str, port: str, allowed: frozenset[str]) -> None:
    assert is_allowed_host(name + port, allowed) is (name in allowed)
    assert is_allowed_host(name.upper() + port, allowed | {name})


@given(st.ip_addresses(), PORTS)
def test_ip_addresses_are_always_allowed(address: ipaddress.IPv4Address | ipaddress.IPv6Address, port: str) -> None:
    """DNS rebinding works with names only."""
    assert is_allowed_host(f"[{address}]{port}" if address.version == 6 else f"{address}{port}", ())


# The request target


@given(st.text(max_size=100))
@example("http://")
@example("https://host")
@example("http://host?x=1")
def test_any_target_is_split_into_path_and_query(target: str) -> None:
    path, query = _split_target(target)
    assert "?" not in path
    if not target.startswith(("http://", "https://")):
        assert path + ("?" if "?" in target else "") + query == target


@given(NAMES, PORTS, st.text(max_size=60))
def test_absolute_form_gives_the_same_path(name: str, port: str, rest: str) -> None:
    """RFC 9112, 3.2.2."""
    if "/" not in port and "?" not in port:
        assert _split_target(f"http://{name}{port}/{rest}") == _split_target(f"/{rest}")


@pytest.mark.parametrize(("target", "expected"), [("http://host", ("/", "")), ("https://host/a?b", ("/a", "b"))])
def test_absolute_form_without_a_path_is_the_root(target: str, expected: tuple[str, str]) -> None:
    assert _split_target(target) == expected
