"""Which ICE servers visitors are told of."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest

from bass_webrtc import IceServer
from bass_webrtc.signaling.client.links import parse_ice_servers
from bass_webrtc.signaling.ice_servers import visitor_links
from support.conformance import covers

NOW_S = 1_700_000_000.5


@covers("SE50")
def test_credentials_are_what_a_turn_server_with_the_secret_expects() -> None:
    """For a day, under a name that no two visitors share."""
    servers = (IceServer("turn:h?transport=udp"), IceServer("turns:h:443?transport=tcp"))
    told = [parse_ice_servers(visitor_links(servers, "north-sea", NOW_S)) for _ in range(2)]
    users = [server.username for visitor in told for server in visitor]
    assert [server.url for server in told[0]] == [server.url for server in servers]
    assert users[0] == users[1] != users[2] == users[3]
    for visitor in told:
        expiry, _, user = str(visitor[0].username).partition(":")
        assert int(expiry) == 1_700_000_000 + 86_400
        assert len(user) >= 8
        digest = hmac.new(b"north-sea", str(visitor[0].username).encode(), hashlib.sha1).digest()
        assert visitor[0].credential == base64.b64encode(digest).decode()


def test_static_credentials_and_stun_servers_stay_as_they_are() -> None:
    servers = (IceServer("stun:h"), IceServer("turn:h", "ann", "sesame"))
    assert parse_ice_servers(visitor_links(servers, "north-sea", NOW_S)) == servers


@pytest.mark.parametrize("secret", ["\udcff", "søster", "a" * 1000])
def test_any_secret_gives_credentials(secret: str) -> None:
    """Environment variables may hold bytes that are no text."""
    [server] = parse_ice_servers(visitor_links((IceServer("turn:h"),), secret, NOW_S))
    assert server.credential
    assert secret not in str(server)
