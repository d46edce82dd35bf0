"""URLs of ICE servers, and time-limited TURN credentials."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bass_webrtc.config import (
    IceServer,
    IceServerAddress,
    IceUrl,
    ServerConfig,
    StunServer,
    TurnServer,
    parse_ice_server,
    usable_ice_servers,
)
from bass_webrtc.errors import ConfigError
from bass_webrtc.rtc.turn_credentials import time_limited_credentials
from bass_webrtc.signaling.ice_servers import parse_ice_servers
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
        "http://stun.example.org",
        "stun:stun.example.org:0",
        "stun:stun.example.org:65536",
        "stun:[::1",
        "stun:[::g]",
        "stun:[1:2:3]",
        "stun:stun.example.org?transport=tcp",
        "stuns:stun.example.org?transport=udp",
        "stuns:stun.example.org",
        "turn:t.example?transport=sctp",
        "turns:t.example?transport=udp",
        "turn:t.example/path",
        "turn:t.example?transport=udp&transport=tcp",
        "turn:t.example#fragment",
        "turn:t.exa\nmple",
        "turn:t example",
        "turn:t.example%0d%0aX",
        "turn:[fe80::1%]",
        "turn:2001:db8::1:3478",
        "turn:me:pw2@t.example",
        "turn:you@t.example",
        "turn:%ff:pw@t.example",
        "turn:me:p%00w@t.example",
        "turn:\u2028.example",
        "turn:.example",
        "t.example:3478",
        "turn:" + "a" * 600,
        "turn:" + "a." * 2000,
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


AS_MEANT = [
    ("turn://me:pw@t.example", IceServer("turn:t.example", "me", "pw")),
    ("TURN://me:pw@t.example:443/?Transport=TCP", IceServer("turn:t.example:443?transport=tcp", "me", "pw")),
    ("turns:17:me:a/b+c==@t.example", IceServer("turns:t.example", "17:me", "a/b+c==")),
    ("turn:me%40home:p%3Aw%25@t.example", IceServer("turn:t.example", "me@home", "p:w%")),
    ("turn:me:100%@t.example", IceServer("turn:t.example", "me", "100%")),
    ("turn:me:p@w@t.example", IceServer("turn:t.example", "me", "p@w")),
    ("turn:me:p%C3%A4ss@t.example", IceServer("turn:t.example", "me", "päss")),
    ("turn:me@t.example", IceServer("turn:t.example", "me")),
    ("turn:@t.example", IceServer("turn:t.example")),
    ("turn:t.example%3Ftransport=tcp", IceServer("turn:t.example?transport=tcp")),
    ("turn:t.example?", IceServer("turn:t.example")),
    ("turn:t.example?transport=", IceServer("turn:t.example")),
    ("turn:t.example?ttl=86400&transport=udp", IceServer("turn:t.example?transport=udp")),
    ("turns:t.example:443?transport=udp", IceServer("turns:t.example:443?transport=udp")),
    ("  stun:s.example\n", IceServer("stun:s.example")),
    ("stun:s.example:", IceServer("stun:s.example")),
    ("stun:s.example:3478/", IceServer("stun:s.example:3478")),
    ("stun:s.example.", IceServer("stun:s.example.")),
    ("stun:s.example?transport=udp", IceServer("stun:s.example")),
    ("stuns:s.example?transport=tcp", IceServer("stuns:s.example")),
    ("STUN:s.example?foo", IceServer("stun:s.example")),
    ("stun:müller.example", IceServer("stun:xn--mller-kva.example")),
    ("stun:m%C3%BCller.example:1", IceServer("stun:xn--mller-kva.example:1")),
    ("stun:2001:db8::1", IceServer("stun:[2001:db8::1]")),
    ("stun://2001:db8::1/", IceServer("stun:[2001:db8::1]")),
    ("stun:::1", IceServer("stun:[::1]")),
    ("stun:::1:19302", IceServer("stun:[::1]:19302")),
    ("turn:1:2:3:4:5:6:7:8:3478?transport=tcp", IceServer("turn:[1:2:3:4:5:6:7:8]:3478?transport=tcp")),
    ("turn:fe80::1%eth0:443", IceServer("turn:[fe80::1%eth0]:443")),
    ("turn:[fe80::1%25eth0]:443", IceServer("turn:[fe80::1%eth0]:443")),
    ("turn:[fe80::1%12]", IceServer("turn:[fe80::1%12]")),
    ("turn:[fe80::1%2512]", IceServer("turn:[fe80::1%12]")),
]
"""Forms outside RFC 7064 and RFC 7065 that have one meaning."""


@pytest.mark.parametrize(("url", "meant"), AS_MEANT)
def test_urls_are_read_as_meant(url: str, meant: IceServer) -> None:
    """And announced to clients in the form of the RFCs."""
    assert IceServer(url) == meant
    assert (IceServer(meant.url, meant.username, meant.credential), meant.is_turn) == (meant, "turn" in url.lower())
    assert IceServer.read_all(url) == (meant,)
    link = f'<{url.strip()}>; rel="ice-server"; username="{meant.username}"; credential="{meant.credential}"'
    if meant.username and meant.credential and not url.startswith(" "):
        assert parse_ice_servers([link]) == (meant,)


def test_zone_id_reaches_the_address_that_is_connected_to() -> None:
    server = parse_ice_server("turn:FE80::1%eth0", "me", "pw")
    assert server.host == "fe80::1%eth0"


A, B, C = IceServer("stun:a.example"), IceServer("turn:b.example", "me", "pw"), IceServer("turns:b.example", "me", "pw")
LISTS = [
    ("stun:a.example", (A,)),
    ("stun:a.example,turn:me:pw@b.example", (A, B)),
    (" stun:a.example , turn:me:pw@b.example\nturns:me:pw@b.example,", (A, B, C)),
    ("turn:me:p,w@b.example", (IceServer("turn:b.example", "me", "p,w"),)),
    (["stun:a.example", B], (A, B)),
    (A, (A,)),
    ((), ()),
    ({"urls": "stun:a.example"}, (A,)),
    ({"urls": ["turn:b.example", "turns:b.example"], "username": "me", "credential": "pw"}, (B, C)),
    ({"url": "turn:b.example", "username": "me", "credential": "pw"}, (B,)),
    ({"url": "stun:a.example", "urls": "stun:a.example"}, (A,)),
    ({"urls": "turn:b.example,turns:b.example", "username": "me", "credential": "pw"}, (B, C)),
    ([{"urls": "stun:a.example"}, {"urls": ("turn:me:pw@b.example",), "credentialType": "password"}], (A, B)),
    ({"iceServers": [{"urls": "stun:a.example"}, B]}, (A, B)),
    ({"iceServers": {"urls": ["stun:a.example"]}}, (A,)),
]


@pytest.mark.parametrize(("given", "expected"), LISTS)
def test_lists_and_dicts_of_browsers_are_read(given: Any, expected: tuple[IceServer, ...]) -> None:
    assert IceServer.read_all(given) == expected
    assert ServerConfig(ice_servers=given, visitor_ice_servers=()).ice_servers == expected


@pytest.mark.parametrize(
    "given",
    [
        *(None, 5, b"stun:a.example", "", " ", "a.example", "stun:", [None], [["stun:a.example"]], {}),
        *({"urls": None}, {"urls": 5}, {"urls": [5]}, {"urls": []}, {"urls": [["stun:a"]]}, {"username": "me"}),
        *({"iceServers": None}, {"urls": "turn:b", "credential": 5}, {"iceServers": {"iceServers": []}}),
    ],
)
def test_what_is_no_list_of_ice_servers_is_refused(given: Any) -> None:
    with pytest.raises(ConfigError, match=r"ICE server.*expected"):
        IceServer.read_all(given)


SKIPPED = "skipped 2 of the ICE servers, the first because: ICE server"


def test_unusable_entry_spoils_only_itself(caplog: pytest.LogCaptureFixture) -> None:
    """One log line says how many and why; if nothing else is left, that is the error."""
    listed = {"urls": ["turn:b.example?transport=sctp", "turns:b.example", "http://b"], "username": "me"}
    assert IceServer.read_all({**listed, "credential": "pw"}) == (C,)
    (line,) = caplog.messages
    assert line.startswith(
        "skipped 2 of the ICE servers, the first because: ICE server 'turn:b.example?transport=sctp'"
    )
    caplog.clear()
    servers = (IceServer("turns:b.example?transport=udp", "me", "pw"), IceServer("stuns:a.example"), A)
    assert usable_ice_servers(servers) == (StunServer("a.example", 3478),)
    (line,) = caplog.messages
    assert line.startswith(
        "skipped 2 of the ICE servers, the first because: ICE server 'turns:b.example?transport=udp'"
    )
    with pytest.raises(ConfigError, match="TURN over DTLS"):
        usable_ice_servers(servers[:2])
    assert usable_ice_servers(()) == ()


@pytest.mark.parametrize(
    "url", ["turn:me:s3cr3t@t.example?transport=sctp", "turn://x@y:s3cr3t@t/x", "http://me:s3cr3t@t"]
)
def test_errors_show_the_url_without_its_password(url: str) -> None:
    for make in (lambda: IceServer(url, "other"), lambda: IceServer.read_all([url, 5]), lambda: IceUrl.parse(url)):
        with pytest.raises(ConfigError, match="t") as refusal:
            make()
        assert "s3cr3t" not in str(refusal.value)


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
