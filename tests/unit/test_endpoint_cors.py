"""OPTIONS, CORS and ``Link`` fields."""

from __future__ import annotations

import offers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bass_webrtc.errors import ConfigError
from bass_webrtc.signaling.ice_servers import ice_server_link
from bass_webrtc.signaling.messages import Response
from bass_webrtc.signaling.server.auth import TokenPolicy
from bass_webrtc.signaling.server.cors import Cors
from bass_webrtc.signaling.server.endpoint import Endpoint, EndpointSettings
from support.conformance import covers
from support.signaling import FakeSessions, ask, header, post

ORIGIN = "https://radio.example"
STUN = ice_server_link("stun:192.0.2.1:3478")
TURN = ice_server_link("turn:turn.example:3478?transport=udp", "1700000000:ann", "c2VjcmV0")


def make_endpoint(*allow_origins: str, token: str | None = None, links: tuple[str, ...] = ()) -> Endpoint:
    settings = EndpointSettings("/whep", TokenPolicy(token), allow_origins=allow_origins, ice_links=lambda: links)
    return Endpoint("player", settings, FakeSessions())


async def preflight(endpoint: Endpoint, path: str = "/whep", origin: str = ORIGIN) -> Response:
    headers = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    return await ask(endpoint, "OPTIONS", path, headers=headers)


def words(value: str) -> set[str]:
    return set(value.lower().split(", "))


@covers("WS40")
@pytest.mark.parametrize("path", ["/whep", "/whep/some-session"])
async def test_preflight_needs_neither_token_nor_session(path: str) -> None:
    """A page that is not allowed cannot read the 404 anyway."""
    response = await preflight(make_endpoint(ORIGIN, token="sesame"), path)
    assert response.status == 204
    assert header(response, "Access-Control-Allow-Origin") == ORIGIN
    assert words(header(response, "Access-Control-Allow-Methods")) >= {"post", "patch", "delete", "options"}
    fields = {"authorization", "content-type", "if-match", "etag"}
    assert words(header(response, "Access-Control-Allow-Headers")) == fields
    assert int(header(response, "Access-Control-Max-Age")) > 0


@covers("WS41")
async def test_options_lists_methods_and_types() -> None:
    """Accept-Post on every OPTIONS, Accept-Patch on session URLs."""
    endpoint = make_endpoint()
    for response in (await ask(endpoint, "OPTIONS"), await preflight(endpoint)):
        assert header(response, "Accept-Post") == "application/sdp"
        assert response.header("Accept-Patch") is None
        assert header(response, "Allow") == "OPTIONS, GET, HEAD, POST"
    session = await ask(endpoint, "OPTIONS", "/whep/x")
    assert header(session, "Accept-Patch") == "application/trickle-ice-sdpfrag"
    assert header(session, "Allow") == "OPTIONS, GET, HEAD, PATCH, DELETE"


async def test_methods_are_listed_without_an_origin() -> None:
    """MediaMTX trickles only if Access-Control-Allow-Methods lists PATCH."""
    response = await ask(make_endpoint(), "OPTIONS")
    assert "PATCH" in header(response, "Access-Control-Allow-Methods")


@covers("WS42")
@pytest.mark.parametrize("body", [offers.CHROME_RECVONLY, "hello"])
async def test_allowed_pages_can_read_every_response(body: str) -> None:
    """CORS fields are also on errors, and the fields that a page needs are exposed."""
    response = await post(make_endpoint(ORIGIN), body, Origin=ORIGIN)
    assert header(response, "Access-Control-Allow-Origin") == ORIGIN
    assert words(header(response, "Access-Control-Expose-Headers")) == {
        "location",
        "etag",
        "link",
        "accept-patch",
        "accept-post",
        "retry-after",
        "warning",
        "www-authenticate",
    }
    assert header(response, "Vary") == "Origin"


@covers("SE64")
@pytest.mark.parametrize("origin", ["https://evil.example", "null", "https://radio.example.evil.example", ORIGIN + "/"])
async def test_other_origins_are_not_allowed(origin: str) -> None:
    """Including ``null``, which all sandboxed frames share."""
    endpoint = make_endpoint(ORIGIN)
    for response in (await preflight(endpoint, origin=origin), await post(endpoint, "hello", Origin=origin)):
        assert response.header("Access-Control-Allow-Origin") is None
        assert response.header("Access-Control-Allow-Headers") is None
        assert header(response, "Vary") == "Origin"


@covers("SE64")
async def test_no_origin_is_allowed_by_default() -> None:
    response = await preflight(make_endpoint())
    assert response.status == 204
    assert response.header("Access-Control-Allow-Origin") is None


@covers("SE64")
async def test_wildcard_never_allows_credentials() -> None:
    endpoint = make_endpoint("*", ORIGIN)
    for response in (await preflight(endpoint), await post(endpoint, offers.CHROME_RECVONLY, Origin=ORIGIN)):
        assert header(response, "Access-Control-Allow-Origin") == "*"
        assert response.header("Access-Control-Allow-Credentials") is None
        assert response.header("Vary") is None


@pytest.mark.parametrize("origin", ["null", "radio.example", "https://radio.example/", "https://*", "", "a b://c"])
def test_setting_that_is_not_an_origin_is_refused(origin: str) -> None:
    with pytest.raises(ConfigError, match="allow_origins"):
        Cors([origin])


@pytest.mark.parametrize("origin", ["http://localhost:8000", "https://[2001:db8::1]:8443", "HTTPS://Radio.Example"])
def test_setting_that_is_an_origin_is_accepted(origin: str) -> None:
    Cors([origin])


# Link


def links(response: Response) -> list[str]:
    return [value for name, value in response.headers if name == "Link"]


@covers("WS43", "WS44", "WS45", "WS46")
async def test_ice_servers_are_in_the_answer_and_in_options() -> None:
    """One line per server, in 201 and OPTIONS but not in a preflight, and no other links."""
    endpoint = make_endpoint(ORIGIN, links=(STUN, TURN))
    assert links(await post(endpoint, offers.CHROME_RECVONLY)) == [STUN, TURN]
    assert links(await ask(endpoint, "OPTIONS")) == [STUN, TURN]
    assert links(await preflight(endpoint)) == []
    assert links(await ask(endpoint, "OPTIONS", "/whep/x")) == []


@covers("WS43")
async def test_turn_credentials_require_the_token() -> None:
    endpoint = make_endpoint(links=(TURN,), token="sesame")
    assert links(await ask(endpoint, "OPTIONS")) == []
    assert links(await ask(endpoint, "OPTIONS", headers={"Authorization": "Bearer wrong"})) == []
    assert links(await ask(endpoint, "OPTIONS", headers={"Authorization": "Bearer sesame"})) == [TURN]
    assert links(await post(endpoint, offers.CHROME_RECVONLY)) == []


async def test_no_links_by_default() -> None:
    endpoint = make_endpoint()
    assert links(await post(endpoint, offers.CHROME_RECVONLY)) == []


@covers("WS44")
def test_form_of_a_link() -> None:
    """With the credential type that MediaMTX requires."""
    assert STUN == '<stun:192.0.2.1:3478>; rel="ice-server"'
    assert TURN == (
        '<turn:turn.example:3478?transport=udp>; rel="ice-server"; '
        'username="1700000000:ann"; credential="c2VjcmV0"; credential-type="password"'
    )


@covers("WS44", "SE50", "SE65")
@pytest.mark.parametrize(
    ("url", "username", "credential"),
    [
        ("http://h", None, None),
        ("stun:", None, None),
        ("stun:h>,<x", None, None),
        ("stun:h\r\nX: y", None, None),
        ("turn:h", "u", None),
        ("turn:h", "u,v", "c"),
        ("turn:h", "u", 'c"'),
        ("turn:h", "u;", "c"),
        ("turn:h", "u", "c\r\nX: y"),
    ],
)
def test_unsafe_values_in_a_link_are_refused(url: str, username: str | None, credential: str | None) -> None:
    """Commas, semicolons and quotes, which some clients cannot parse, and line breaks, which would inject a field."""
    with pytest.raises(ConfigError):
        ice_server_link(url, username, credential)


@covers("SE65", "SE70")
@given(st.text(max_size=100), st.text(max_size=50), st.text(max_size=50))
def test_link_is_one_line_or_an_error(url: str, username: str, credential: str) -> None:
    try:
        link = ice_server_link(url, username, credential)
    except ConfigError:
        return
    assert link.isprintable()
    assert link.count('"') == 8
