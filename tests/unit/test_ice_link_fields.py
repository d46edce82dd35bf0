"""``Link`` fields of ICE servers: those our server writes, and those of all kinds of servers."""

from __future__ import annotations

import base64
import hashlib
import hmac
import timeit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bass_webrtc.config import IceServer
from bass_webrtc.signaling import messages
from bass_webrtc.signaling.client.events import find_reconnect_events
from bass_webrtc.signaling.ice_servers import MAX_ICE_SERVERS, ice_server_link, ice_server_links, parse_ice_servers
from bass_webrtc.signaling.messages import parse_parameters, split_outside_quotes
from support.conformance import covers

TURN = IceServer("turn:turn.example:3478?transport=udp", "me", "pass")


def link(target: str, *parameters: str) -> str:
    return "; ".join([f"<{target}>", 'rel="ice-server"', *parameters])


WITH_CREDENTIALS = ('username="me"', 'credential="pass"')


@covers("CL4")
@pytest.mark.parametrize(
    "values",
    [
        [link("turn:turn.example:3478?transport=udp", *WITH_CREDENTIALS, 'credential-type="password"')],
        [link("turn:turn.example:3478?transport=udp", *WITH_CREDENTIALS)],
        [link("turn:turn.example:3478%3Ftransport=udp", *WITH_CREDENTIALS)],  # LiveKit
        ["<turn:turn.example:3478?transport=udp>;REL=Ice-Server;USERNAME=me;Credential=pass"],
        ['<TURN:turn.example:3478?transport=udp>;rel="next ice-server";username="m\\e";credential="pass"'],
        ['<x>; rel="next", ' + link("turn:turn.example:3478?transport=udp", *WITH_CREDENTIALS) + ", ,;"],
    ],
)
def test_all_forms_of_a_link_are_parsed(values: list[str]) -> None:
    assert parse_ice_servers(values) == (TURN,)


@covers("CL4")
def test_several_fields_and_entries_are_parsed() -> None:
    """Also joined by commas; in order, without duplicates."""
    values = [
        link("stun:a.example") + "," + link("stun:b.example:19302"),
        link("turns:[2001:db8::1]:443", *WITH_CREDENTIALS),
        link("stun:a.example"),
    ]
    assert [server.url for server in parse_ice_servers(values)] == [
        "stun:a.example",
        "stun:b.example:19302",
        "turns:[2001:db8::1]:443",
    ]


@covers("CL4")
def test_commas_and_semicolons_in_quotes_and_brackets_do_not_split() -> None:
    values = [
        '<https://x.example/a,b;c>; rel="next"; title="a, <b>; c", '
        + link("turn:t.example", 'username="a,b;c"', 'credential="d\\"e>"')
    ]
    assert parse_ice_servers(values) == (IceServer("turn:t.example", "a,b;c", 'd"e>'),)


@covers("CL4")
@pytest.mark.parametrize(
    "entry",
    [
        "",
        "<",
        '"',
        "stun:a.example; rel=ice-server",
        "<stun:a.example>",
        '<stun:a.example>; rel="urn:ietf:params:whip:ext:example"',
        link("http://a.example"),
        link("stun:"),
        link("stun:a b"),
        link("stun:a.example:0"),
        link("stun:a.example:65536"),
        link("stun:a.example?transport=tcp"),
        link("stuns:a.example"),  # Reports no UDP address.
        link("turn:a.example?transport=sctp"),
        link("turn:a.example/path", *WITH_CREDENTIALS),
        link("turn:a.example"),
        link("turn:a.example", 'username="alone"'),
        link("turn:a.example", 'credential="alone"'),
        link("turn:a.example", 'username=""', 'credential="x"'),
        link("turn:a.example", *WITH_CREDENTIALS, 'credential-type="oauth"'),
        link("turn:a.example", 'username="' + "u" * 2000 + '"', 'credential="x"'),
        link("turn:a.example", 'username="a\x07"', 'credential="x"'),
        link("stun:a.example%0d%0aX"),
    ],
)
def test_malformed_entries_are_skipped(entry: str) -> None:
    """The entries beside them are still used."""
    assert parse_ice_servers([entry, link("stun:good.example")]) == (IceServer("stun:good.example"),)


def test_number_of_servers_is_limited() -> None:
    values = [link(f"stun:s{number}.example") for number in range(100)]
    assert len(parse_ice_servers(values)) == MAX_ICE_SERVERS


@covers("CL4", "WS44")
def test_links_of_our_server_are_parsed() -> None:
    values = [ice_server_link("turn:t.example:3478?transport=tcp", "17:me", "c2Vj"), ice_server_link("stun:s.example")]
    assert parse_ice_servers(values) == (
        IceServer("turn:t.example:3478?transport=tcp", "17:me", "c2Vj"),
        IceServer("stun:s.example"),
    )


@covers("SE50")
def test_repr_shows_no_credential() -> None:
    assert "pass" not in repr(TURN)


def test_parameters_are_parsed() -> None:
    value, parameters = parse_parameters('application/sdp ; Valid-Until="a;b" ; charset=utf-8; charset=x')
    assert (value, parameters) == ("application/sdp", {"valid-until": "a;b", "charset": "utf-8"})


@covers("SE70")
@given(st.lists(st.text(st.sampled_from('<>",;=\\ reliceservstun:turn%3F?') | st.characters()), max_size=4))
def test_any_text_can_be_parsed(values: list[str]) -> None:
    for server in parse_ice_servers(values):
        assert server.url.startswith(("stun:", "turn:", "turns:"))


PIECES = [
    "<",
    '"',
    '"\\',
    '\\"',
    ",",
    ", ",
    ";",
    ";=",
    "<>;",
    "<a>,",
    '<stun:a>;rel="ice-server",',
    "%3F",
    ' ;rel="a b c d"',
    "é",
]


@covers("SE70")
@pytest.mark.parametrize("piece", PIECES)
def test_parsing_takes_linear_time(piece: str) -> None:
    """Twice the text takes about twice the time: four times if it was quadratic."""

    def seconds(size: int) -> float:
        text = piece * (size // len(piece))
        return min(timeit.repeat(lambda: (split_outside_quotes(text, ","), parse_parameters(text)), repeat=5, number=1))

    assert any(seconds(400_000) < 3 * seconds(200_000) for _ in range(3))


@covers("SE70")
@pytest.mark.parametrize("piece", PIECES)
def test_amount_of_parsed_text_is_limited(piece: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fields of 800 kB cost no more than the first 64 kB, and at most 100 links are read."""
    split, parsed = [0], [0]

    def counting_split(text: str, separator: str) -> list[str]:
        split[0] += len(text)
        return split_outside_quotes(text, separator)

    def counting_parse(text: str) -> tuple[str, dict[str, str]]:
        parsed[0] += 1
        return parse_parameters(text)

    monkeypatch.setattr(messages, "split_outside_quotes", counting_split)
    monkeypatch.setattr(messages, "parse_parameters", counting_parse)
    field = piece * (8000 // len(piece))
    for values in ([field] * 100, [field * 100], [link("stun:a.example"), *[field] * 100]):
        split[0] = parsed[0] = 0
        servers = parse_ice_servers(values)
        find_reconnect_events(values)
        assert split[0] <= 2 * 2 * messages.MAX_LINK_CHARACTERS
        assert parsed[0] <= 2 * messages.MAX_LINKS
    assert servers[0].url == "stun:a.example"


def test_number_of_parameters_is_limited() -> None:
    """The first ones count."""
    _, parameters = parse_parameters('a; rel="x"' + "".join(f"; p{number}=1" for number in range(1000)))
    assert parameters["rel"] == "x"
    assert len(parameters) == messages.MAX_PARAMETERS


@covers("SE70")
@given(st.text(st.sampled_from('<>",;\\ab\n')))
def test_text_is_split_outside_quotes_and_brackets(text: str) -> None:
    """The parts are the text; a separator is where neither a quoted string nor a bracket is open."""
    parts = split_outside_quotes(text, ",")
    assert ",".join(parts) == text
    closing, is_escaped, count = "", False, 1
    for character in text:
        if is_escaped:
            is_escaped = False
        elif closing:
            is_escaped = character == "\\" and closing == '"'
            closing = "" if character == closing else closing
        else:
            closing = {'"': '"', "<": ">"}.get(character, "")
            count += character == ","
    assert len(parts) == count


NOW_S = 1_700_000_000.5


@covers("SE50")
def test_time_limited_credentials_are_those_the_turn_server_expects() -> None:
    """They work for a day, and no two clients share a user name."""
    servers = (IceServer("turn:h?transport=udp"), IceServer("turns:h:443?transport=tcp"))
    announced = [parse_ice_servers(ice_server_links(servers, "north-sea", NOW_S)) for _ in range(2)]
    users = [server.username for links in announced for server in links]
    assert [server.url for server in announced[0]] == [server.url for server in servers]
    assert users[0] == users[1] != users[2] == users[3]
    for links in announced:
        expiry, _, user = str(links[0].username).partition(":")
        assert int(expiry) == 1_700_000_000 + 86_400
        assert len(user) >= 8
        digest = hmac.new(b"north-sea", str(links[0].username).encode(), hashlib.sha1).digest()
        assert links[0].credential == base64.b64encode(digest).decode()


def test_static_credentials_and_stun_servers_are_unchanged() -> None:
    servers = (IceServer("stun:h"), IceServer("turn:h", "ann", "sesame"))
    assert parse_ice_servers(ice_server_links(servers, "north-sea", NOW_S)) == servers


@pytest.mark.parametrize("secret", ["\udcff", "søster", "a" * 1000])
def test_any_secret_gives_credentials(secret: str) -> None:
    """Environment variables may contain bytes that are not UTF-8."""
    [server] = parse_ice_servers(ice_server_links((IceServer("turn:h"),), secret, NOW_S))
    assert server.credential
    assert secret not in str(server)
