"""The header fields of reverse proxies: what they say, and whom the server believes."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from urllib.parse import urljoin

import pytest

import bass_webrtc as bw
from bass_webrtc.signaling.messages import Forwarded, Headers
from bass_webrtc.signaling.server.forwarded import forwarded_for, read_forwarded
from support import http_asking

ORIGIN = "https://radio.example"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, Forwarded()),
        ({"X-Forwarded-Prefix": "/radio/"}, Forwarded("/radio")),
        ({"X-Forwarded-Prefix": "/a/b.c"}, Forwarded("/a/b.c")),
        ({"X-Forwarded-Prefix": "//evil.example"}, Forwarded()),
        ({"X-Forwarded-Prefix": "https://evil.example"}, Forwarded()),
        ({"X-Forwarded-Prefix": "radio"}, Forwarded()),
        ({"X-Forwarded-Prefix": "/"}, Forwarded()),
        ({"X-Forwarded-Prefix": '/a"b'}, Forwarded()),
        ({"X-Forwarded-Host": "radio.example:8443, inner"}, Forwarded("", "radio.example:8443")),
        ({"Forwarded": 'for=192.0.2.7;host="radio.example:81";proto=https, for=x'}, Forwarded("", "radio.example:81")),
        ({"Forwarded": "for=192.0.2.7"}, Forwarded()),
        ({"Forwarded": ",;=;host=;"}, Forwarded()),
    ],
)
def test_prefix_and_host_are_read(fields: dict[str, str], expected: Forwarded) -> None:
    """Malformed ones are ignored: a Location never leads to another host."""
    assert read_forwarded(Headers(fields.items())) == expected


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ([("X-Forwarded-For", "192.0.2.1"), ("X-Forwarded-For", "::1, 2")], ["192.0.2.1", "::1", "2"]),
        ([("X-Forwarded-For", "192.0.2.1"), ("Forwarded", "for=192.0.2.9")], ["192.0.2.1"]),
        ([("Forwarded", 'for=192.0.2.1, for="[2001:db8::1]:47011"')], ["192.0.2.1", "2001:db8::1"]),
        ([("Forwarded", 'for="192.0.2.1:80";by=x'), ("Forwarded", "for=unknown")], ["192.0.2.1", "unknown"]),
        ([], [""]),
    ],
)
def test_addresses_are_read(fields: list[tuple[str, str]], expected: list[str]) -> None:
    assert forwarded_for(Headers(fields)) == expected


def test_few_elements_of_a_long_field_are_read() -> None:
    """Each costs more than it weighs, and a client may send a header full of commas through the proxy."""
    found = forwarded_for(Headers([("Forwarded", "," * 16_000), ("Forwarded", "for=192.0.2.1")]))
    assert len(found) < 100
    assert found[-1] == "192.0.2.1"


@pytest.fixture(scope="module", params=["127.0.0.1", "127.0.0.99"])
def server(request: pytest.FixtureRequest) -> Iterator[bw.Server]:
    """One that trusts the proxy, which is at 127.0.0.1, and one that does not."""
    config = bw.ServerConfig(
        http_port=0, udp_port=0, trusted_proxies=(request.param,), allowed_hosts=("radio.example",), max_peers=50
    )
    with bw.Server(bw.Tone(), config) as running:
        running.start()
        yield running


def test_only_a_trusted_proxy_is_believed(server: bw.Server) -> None:
    """About the client's address, the prefix, and the origin of the page."""
    is_trusted = "127.0.0.1" in server.config.trusted_proxies
    asked: list[bw.PeerRequest] = []
    server.admit = lambda request: asked.append(request) or True  # type: ignore[func-returns-value]

    def post(**fields: str) -> http_asking.Reply:
        return http_asking.post(server.url, headers={name.replace("_", "-"): value for name, value in fields.items()})

    made = post(X_Forwarded_Prefix="/radio", Forwarded="for=192.0.2.77")
    location = made.headers["Location"]
    assert made.status == http.client.CREATED
    assert location.startswith("/radio/whep/" if is_trusted else "whep/")
    assert asked[-1].address == ("192.0.2.77" if is_trusted else "127.0.0.1")
    assert http_asking.ask(server.url, "DELETE", urljoin("/", location.removeprefix("/radio"))).status == 200
    own = post(Origin=ORIGIN, X_Forwarded_Host="radio.example")
    assert own.status == (201 if is_trusted else 403)
    # DNS rebinding through a proxy that replaces Host: the name is not one of this server.
    assert post(Origin="https://evil.example", X_Forwarded_Host="evil.example").status == 403


def test_public_url_is_a_name_and_an_origin_of_the_server() -> None:
    config = bw.ServerConfig(http_port=0, udp_port=0, public_url=f"{ORIGIN}/radio/")
    with bw.Server(bw.Tone(), config) as server:
        server.start()
        proxied = http_asking.post(server.url, headers={"Host": "radio.example", "Origin": ORIGIN})
        direct = http_asking.post(server.url, headers={"Origin": ORIGIN})
        assert proxied.headers["Location"].startswith(f"{ORIGIN}/radio/whep/")
        assert direct.headers["Location"].startswith("whep/")


@pytest.mark.parametrize(
    "url", ["radio.example", "ftp://a.example/", "https://a.example/?q", "https://u@a.example/", 5]
)
def test_public_url_must_be_the_url_of_a_folder(url: str) -> None:
    with pytest.raises(bw.ConfigError, match="public_url"):
        bw.ServerConfig(public_url=url)
