"""URLs of ICE servers, and time-limited TURN credentials."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bass_webrtc.config import IceServer, IceServerAddress, IceUrl, StunServer, TurnServer, parse_ice_server
from bass_webrtc.errors import ConfigError
from bass_webrtc.rtc.turn_credentials import time_limited_credentials
from support.conformance import covers


@covers("CL4")
@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("stun:stun.example.org", StunServer("stun.example.org", 3478)),
        ("STUN:stun.example.org:19302", StunServer("stun.example.org", 19302)),
        ("stun:192.0.2.1:65535", StunServer("192.0.2.1", 65535)),
        ("stun:[2001:DB8::1]:3479", StunServer("2001:db8::1", 3479)),
        ("turn:t.example", TurnServer("t.example", 3478, "me", "pw")),
        ("turn:t.example?transport=udp", TurnServer("t.example", 3478, "me", "pw")),
        ("turn:t.example:443?transport=tcp", TurnServer("t.example", 443, "me", "pw", "tcp")),
        ("turn:t.example?Transport=TCP", TurnServer("t.example", 3478, "me", "pw", "tcp")),
        ("turn:[2001:db8::1]?transport=tcp", TurnServer("2001:db8::1", 3478, "me", "pw", "tcp")),
        ("turns:t.example", TurnServer("t.example", 5349, "me", "pw", "tcp", tls=True)),
        ("turns:t.example:443?transport=tcp", TurnServer("t.example", 443, "me", "pw", "tcp", tls=True)),
        ("turn:t.example%3Ftransport=tcp", TurnServer("t.example", 3478, "me", "pw", "tcp")),
    ],
)
def test_urls_of_rfc_7064_and_7065_are_parsed(url: str, expected: IceServerAddress) -> None:
    assert parse_ice_server(url, "me", "pw") == expected


@pytest.mark.parametrize(
    "url",
    [
        "",
        "stun:",
        "stun://stun.example.org",
        "http://stun.example.org",
        "stun:stun.example.org:0",
        "stun:stun.example.org:65536",
        "stun:[::1",
        "stun:[::g]",
        "stun:[1:2:3]",
        "stun:2001:db8::1",
        "stun:stun.example.org?transport=udp",
        "stuns:stun.example.org",
        "turn:t.example?transport=sctp",
        "turns:t.example?transport=udp",
        "turn:me@t.example",
        "turn:t.example\n",
        "turn:" + "a" * 600,
    ],
)
def test_unusable_urls_are_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="cannot be used: "):
        parse_ice_server(url, "me", "pw")


@pytest.mark.parametrize(
    ("url", "canonical"),
    [
        ("STUN:Stun.example.org", "stun:Stun.example.org"),
        ("stuns:stun.example.org:443", "stuns:stun.example.org:443"),
        ("TURN:[2001:DB8::1]:3478%3fTransport=TCP", "turn:[2001:DB8::1]:3478?transport=tcp"),
        ("turns:t.example?transport=udp", "turns:t.example?transport=udp"),
    ],
)
def test_urls_are_written_in_lower_case(url: str, canonical: str) -> None:
    """Except the host, which stays as it is."""
    assert str(IceUrl.parse(url)) == canonical
    assert str(IceUrl.parse(canonical)) == canonical


@pytest.mark.parametrize("url", ["TURN:t.example", "turn:t.example%3Ftransport=tcp", "turn:t.example?Transport=tcp"])
def test_only_canonical_urls_are_announced_to_clients(url: str) -> None:
    server = IceServer(url, "me", "pw")
    with pytest.raises(ConfigError, match=r"cannot be announced to clients; expected 'turn:t\.example"):
        server.check_for_visitors()
    assert server.is_turn


@pytest.mark.parametrize(("username", "credential"), [(None, None), ("me", None), (None, "pw"), ("", "pw"), ("me", "")])
def test_turn_server_needs_credentials(username: str | None, credential: str | None) -> None:
    with pytest.raises(ConfigError, match="needs a username and a credential"):
        parse_ice_server("turn:t.example", username, credential)
    assert parse_ice_server("stun:t.example", username, credential) == StunServer("t.example", 3478)


def test_credential_is_never_shown() -> None:
    server = parse_ice_server("turns:[2001:db8::1]", "me", "the secret one")
    assert str(server) == "turns:[2001:db8::1]:5349?transport=tcp"
    assert "secret" not in repr(server)
    with pytest.raises(ConfigError) as refusal:
        parse_ice_server("turn:t.example?transport=sctp", "me", "the secret one")
    assert "secret" not in str(refusal.value)


@covers("SE70")
@given(st.text() | st.from_regex(r"turns?:[\[\]:.a-z0-9]{0,40}(\?transport=[a-z]{0,5})?", fullmatch=True))
@example("stun:[" + ":" * 45 + "]")
def test_any_text_gives_a_server_or_a_config_error(url: str) -> None:
    try:
        server = parse_ice_server(url, "me", "pw")
    except ConfigError:
        return
    assert 0 < server.port < 65536
    assert parse_ice_server(str(server).removesuffix("?transport=udp"), "me", "pw") == server


@covers("SE50")
def test_time_limited_credentials_have_the_form_that_coturn_checks() -> None:
    """Vector made with: echo -n 1700003600:alice | openssl dgst -sha1 -hmac north-sea -binary | base64"""
    made = time_limited_credentials("north-sea", "alice", now_unix_s=1_700_000_000.9, lifetime_s=3600)
    assert made.username == "1700003600:alice"
    assert made.credential == "ABCZ9rm6PpoFJTL3dYwDZQdxxKI="
    assert made.credential not in repr(made)


@covers("SE50")
def test_time_limited_credentials_without_a_user_have_no_colon() -> None:
    assert time_limited_credentials("s", "", now_unix_s=0, lifetime_s=60).username == "60"


@covers("SE50")
@given(st.text(), st.text(min_size=1))
def test_time_limited_credentials_are_safe_in_link_headers(user: str, secret: str) -> None:
    try:
        made = time_limited_credentials(secret, user, now_unix_s=1.7e9, lifetime_s=60)
    except ConfigError:
        return
    assert not set(made.username + made.credential) & set(',;"\\ \r\n')


@pytest.mark.parametrize(
    ("secret", "user", "lifetime_s"),
    [("", "a", 60), ("s", "a,b", 60), ("s", 'a"', 60), ("s", "a;b", 60), ("s", "a", 0), ("s", "a", float("inf"))],
)
def test_time_limited_credentials_check_their_arguments(secret: str, user: str, lifetime_s: float) -> None:
    with pytest.raises(ConfigError):
        time_limited_credentials(secret, user, now_unix_s=1.7e9, lifetime_s=lifetime_s)
