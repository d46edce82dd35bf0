"""URLs given by servers: parsing, redirects, where the token goes, and what is shown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bass_webrtc.signaling.client.errors import ErrorMaker
from bass_webrtc.signaling.client.urls import (
    MAX_REDIRECTS,
    Home,
    Redirects,
    Trust,
    UnsafeUrlError,
    Url,
    is_private_host,
)
from support.conformance import covers

FINAL = Url.parse("https://media.example/live/whip?stream=one")


@covers("CL3")
@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("https://other.example:444/s/1", "https://other.example:444/s/1"),
        ("/s/1", "https://media.example/s/1"),
        ("/live/whip/1?token=a%2Fb&c=+d", "https://media.example/live/whip/1?token=a%2Fb&c=+d"),
        ("p?id=1", "https://media.example/live/p?id=1"),
        ("?id=1", "https://media.example/live/whip?id=1"),
        ("//host.example/p", "https://host.example/p"),
        ("../x", "https://media.example/x"),
        ("s/1#part", "https://media.example/live/s/1"),
        (" /spaces around ", "https://media.example/spaces%20around"),
        ("/ünï", "https://media.example/%C3%BCn%C3%AF"),
        ("/\\evil.example/", "https://media.example/%5Cevil.example/"),
        ("https://user:secret@media.example/s", "https://media.example/s"),
        ("https://bücher.example/s", "https://xn--bcher-kva.example/s"),
        ("https://[2001:DB8::1]:8443/s", "https://[2001:db8::1]:8443/s"),
        ("HTTPS://MEDIA.example:443/s", "https://media.example/s"),
        ("http://media.example/s?a", "https://media.example/s?a"),  # TLS ends in a proxy.
        ("http://MEDIA.example:8080/s", "https://media.example/s"),
    ],
)
def test_location_is_resolved_against_the_final_url(location: str, expected: str) -> None:
    """RFC 9110, 10.2.2. go2rtc sends relative references with their own query, MediaMTX absolute paths with a query."""
    assert FINAL.resolve(location).text == expected


@covers("SE66", "CL3")
@pytest.mark.parametrize(
    "location",
    [
        "http://other.example/s",  # From https to http.
        "ftp://media.example/s",
        "javascript:alert(1)",
        "file:///etc/passwd",
        "https://[::1/s",
        "https://media.example:99999/s",
        "https://media.example:port/s",
        "https://ho st/s",
        "https://host%00/s",
        "/s\r\nX-Injected: yes",
        "/s\x00",
        "/\udcff",
        "/" + "a" * 9000,
        "https://" + "ü" * 300 + ".example/",
    ],
)
def test_unsafe_locations_are_not_followed(location: str) -> None:
    with pytest.raises(UnsafeUrlError):
        FINAL.resolve(location)


@pytest.mark.parametrize("text", ["", "https://", "https:///path", "/whip", "media.example/whip", "https://:443/"])
def test_endpoint_must_be_an_absolute_url(text: str) -> None:
    with pytest.raises(UnsafeUrlError):
        Url.parse(text)


@covers("SE66")
@pytest.mark.parametrize(
    "host",
    ["2130706433", "0x7f.1", "0x7f000001", "0177.0.0.1", "127.1", "127.0.0.1.", "127.0.0.0x1", "256.1.1.1", "0x"],
)
def test_ipv4_addresses_in_other_forms_are_refused(host: str) -> None:
    """The system would resolve them, most of them to loopback (URL standard, 3.5)."""
    with pytest.raises(UnsafeUrlError):
        FINAL.resolve(f"https://{host}/s")


@pytest.mark.parametrize(
    ("written", "zone"),
    [("%eth0", "%eth0"), ("%25eth0", "%eth0"), ("%253", "%3"), ("%3", "%3"), ("%25", "%25"), ("", "")],
)
def test_zone_of_a_link_local_address_is_read_in_both_spellings(written: str, zone: str) -> None:
    """RFC 6874, 2 escapes the percent sign; many programs and people do not."""
    assert Url.parse(f"http://[fe80::1{written}]:8080/whep").host == f"fe80::1{zone}"


@pytest.mark.parametrize("written", ["%", "%25 ", "%e/th"])
def test_malformed_zone_is_refused(written: str) -> None:
    with pytest.raises(UnsafeUrlError):
        Url.parse(f"http://[fe80::1{written}]:8080/whep")


@pytest.mark.parametrize("host", ["1.example", "127.0.0.1.example", "0x7f.example", "1and1", "[fe80::1%eth0]"])
def test_host_with_numbers_is_a_host(host: str) -> None:
    assert FINAL.resolve(f"https://{host}/s").host == host.strip("[]")


def test_http_may_lead_to_https() -> None:
    assert Url.parse("http://media.example/whip").resolve("https://media.example/s").scheme == "https"


@covers("SE62", "SE66")
@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://user:pass@Media.example/live/whip?token=abc#x", "https://media.example/live/whip"),
        ("https://media.example", "https://media.example/"),
        (
            "https://media.example/b236bde30eb07b9d01318940e5fc3eda/webRTC/publish",
            "https://media.example/…/webRTC/publish",
        ),
    ],
)
def test_secret_parts_of_a_url_are_not_shown(text: str, shown: str) -> None:
    """Cloudflare gives publishers a secret URL instead of a token."""
    url = Url.parse(text)
    assert url.shown == shown
    assert repr(url) == f"Url(shown={shown!r})"


@covers("SE62")
def test_only_the_origin_of_a_session_url_is_shown() -> None:
    """LiveKit's Location contains the stream key."""
    assert FINAL.resolve("/w/key").shown == "https://media.example/…"


@pytest.mark.parametrize(
    ("first", "second", "is_same"),
    [
        ("https://a.example/x", "https://A.example:443/y", True),
        ("http://a.example", "http://a.example:80", True),
        ("http://a.example", "https://a.example", False),
        ("https://a.example", "https://a.example:8443", False),
        ("https://a.example", "https://b.a.example", False),
    ],
)
def test_origins_are_compared_without_default_ports(first: str, second: str, is_same: bool) -> None:
    assert (Url.parse(first).origin == Url.parse(second).origin) is is_same


PRIVATE_ADDRESSES = ["127.0.0.1", "10.1.2.3", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1"]
PRIVATE_ADDRESSES += ["::1", "fe80::1", "fd00::1", "::ffff:192.168.0.1"]


@covers("SE66")
@pytest.mark.parametrize(
    "host", [*PRIVATE_ADDRESSES, "localhost", "localhost.", "a.localhost", "printer.local", "printer.local."]
)
def test_private_hosts_are_recognised(host: str) -> None:
    assert is_private_host(host)


@pytest.mark.parametrize("host", ["192.0.2.7.example", "8.8.8.8", "2606:4700::1111", "localhost.example"])
def test_public_hosts_are_not_private(host: str) -> None:
    assert not is_private_host(host)


@covers("SE70")
@given(st.text() | st.from_regex(r"(https?:)?//[^/]{0,20}(:[0-9]{1,6})?/.{0,20}", fullmatch=True))
def test_any_text_is_resolved_or_refused(text: str) -> None:
    try:
        url = FINAL.resolve(text)
    except UnsafeUrlError:
        return
    assert url.scheme == "https"
    assert url.text.isascii()
    assert not set(url.text) & set(' \r\n\t"<>\\')
    assert Url.parse(url.text).text == url.text


# Redirects

ENDPOINT = Url.parse("https://home.example/whip")
TRUST = Trust(ENDPOINT)


@covers("CL2")
@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_redirects_that_keep_the_method_are_followed(status: int) -> None:
    redirects = Redirects(TRUST, ENDPOINT)
    redirects.follow(status, "/b")
    redirects.follow(status, "c?d")
    assert redirects.url.text == "https://home.example/c?d"


@covers("CL2")
@pytest.mark.parametrize("status", [300, 303, 304, 305, 306, 309, 399])
def test_other_redirects_are_not_followed(status: int) -> None:
    """303 would turn POST into GET and lose the offer."""
    with pytest.raises(UnsafeUrlError, match="unsafe redirect"):
        Redirects(TRUST, ENDPOINT).follow(status, "/b")


@covers("SE66")
@pytest.mark.parametrize("location", [None, "", "http://home.example/whip", "gopher://home.example/", "https://[/"])
def test_redirect_to_unusable_location_is_not_followed(location: str | None) -> None:
    """Including from https to http."""
    with pytest.raises(UnsafeUrlError, match="unsafe redirect"):
        Redirects(TRUST, ENDPOINT).follow(307, location)


@covers("CL2", "SE66")
def test_redirect_loop_is_detected() -> None:
    """RFC 9110, 15.4."""
    redirects = Redirects(TRUST, ENDPOINT)
    redirects.follow(307, "/b")
    with pytest.raises(UnsafeUrlError, match="redirect loop"):
        redirects.follow(307, "/whip#again")


@covers("CL2", "SE66")
def test_at_most_ten_redirects_are_followed() -> None:
    redirects = Redirects(TRUST, ENDPOINT)
    for number in range(MAX_REDIRECTS):
        redirects.follow(307, f"/{number}")
    assert MAX_REDIRECTS == 10
    with pytest.raises(UnsafeUrlError, match="more than 10"):
        redirects.follow(307, "/end")


@covers("CL11", "SE66")
def test_token_is_not_sent_to_another_origin() -> None:
    """After one request without it, it is not sent again, even to its own origin."""
    redirects = Redirects(TRUST, ENDPOINT)
    assert redirects.gets_token
    redirects.follow(307, "/b")
    assert redirects.gets_token
    redirects.follow(307, "https://home.example:8443/c")
    assert not redirects.gets_token
    redirects.follow(307, "https://home.example/d")
    assert not redirects.gets_token


@covers("CL11", "SE66")
@pytest.mark.parametrize(
    ("endpoint", "target", "gets_token"),
    [
        ("http://home.example/whip", "https://home.example/whip", True),
        ("http://home.example/whip", "https://home.example:8443/whip", False),
        ("http://home.example:8080/whip", "https://home.example/whip", False),
        ("http://home.example/whip", "https://other.example/whip", False),
        ("https://home.example/whip", "https://home.example:444/whip", False),
        ("http://127.0.0.1:1/whip", "http://localhost:2/whip", True),
        ("http://localhost:1/whip", "http://[::1]:2/whip", True),
        ("http://192.168.1.5/whip", "http://127.0.0.1/whip", False),
        ("http://127.0.0.1/whip", "http://192.168.1.5/whip", False),
    ],
)
def test_token_follows_to_https_and_within_this_machine(endpoint: str, target: str, gets_token: bool) -> None:
    """A token that was sent over http may be sent over https; a program on this machine may name another port of it."""
    url = Url.parse(endpoint)
    redirects = Redirects(Trust(url), url)
    redirects.follow(308, target)
    assert redirects.gets_token is gets_token


@covers("CL11")
def test_token_is_sent_to_trusted_origins() -> None:
    redirects = Redirects(Trust(ENDPOINT, frozenset({"https://media.example"})), ENDPOINT)
    redirects.follow(307, "https://media.example/x")
    assert redirects.gets_token


@covers("SE66")
def test_private_networks_can_be_forbidden() -> None:
    """The host given by the user is always allowed."""
    endpoint = Url.parse("http://192.168.1.5/whip")
    Redirects(Trust(endpoint), endpoint).follow(307, "http://127.0.0.1/x")
    redirects = Redirects(Trust(endpoint, forbid_private=True), endpoint)
    redirects.follow(307, "http://192.168.1.5:81/x")
    with pytest.raises(UnsafeUrlError, match="private network"):
        redirects.follow(307, "http://169.254.169.254/latest")


def trust(home: str, forbid_private: bool | None = None, url: str = "http://home.example/whip") -> Trust:
    """Return the rules of a client that has reached its server at ``home``."""
    known = Home()
    known.reached(home)
    return Trust(Url.parse(url), forbid_private=forbid_private, home=known)


@covers("SE66")
@pytest.mark.parametrize("address", ["127.0.0.1", "10.1.2.3", "169.254.169.254", "::ffff:127.0.0.1", "fd00::1"])
def test_public_server_does_not_lead_into_private_networks(address: str) -> None:
    """The error says what helps, and is not truncated."""
    endpoint = Url.parse("http://home.example/whip")
    redirects = Redirects(trust("8.8.8.8"), endpoint)
    with pytest.raises(UnsafeUrlError, match="private network") as caught:
        redirects.follow(307, f"http://[{address}]/x" if ":" in address else f"http://{address}/x")
    error = ErrorMaker(()).make(307, endpoint, str(caught.value))
    assert "8.8.8.8" in error.detail
    assert error.detail.endswith("forbid_private=False or --allow-private allows this")


@covers("SE66")
def test_longest_refusal_is_not_truncated() -> None:
    home, target = "2001:4860:4860:1111:1111:1111:1111:1111", "fd11:1111:1111:1111:1111:1111:1111:1111"
    reason = f"unsafe redirect: {trust(home).refusal(target, target)}"
    assert ErrorMaker(()).make(307, FINAL, reason).detail == reason


@covers("SE66")
def test_private_server_may_lead_into_private_networks_but_not_to_this_machine() -> None:
    rules = trust("192.168.1.5")
    assert rules.resolve("http://10.0.0.9:8080/x", rules.endpoint).port == 8080
    for address in ("127.0.0.1", "169.254.169.254", "[::1]", "[fe80::1%25eth0]"):
        with pytest.raises(UnsafeUrlError, match="private network"):
            rules.resolve(f"http://{address}/x", rules.endpoint)


@covers("SE66")
def test_everything_can_be_allowed() -> None:
    assert trust("8.8.8.8", forbid_private=False).refusal("127.0.0.3", "127.0.0.3") is None


@covers("SE66")
def test_host_of_the_configured_url_is_exempt_from_forbid_private_only_where_it_was() -> None:
    """The name of a private server may lead to another private address, that of a public server may not."""
    assert trust("192.168.1.5", forbid_private=True).refusal("home.example", "192.168.1.6") is None
    assert trust("192.168.1.5", forbid_private=True).refusal("other.example", "192.168.1.6") is not None
    assert trust("8.8.8.8", forbid_private=True).refusal("home.example", "192.168.1.6") is not None


@covers("SE66")
def test_home_is_the_first_address_that_was_reached() -> None:
    home = Home()
    for host in ("::ffff:8.8.8.8", "10.0.0.1"):
        home.reached(host)
    assert str(home.address) == "8.8.8.8"


@covers("SE66")
@pytest.mark.parametrize(
    ("home", "candidate", "is_allowed"),
    [
        ("8.8.8.8", "127.0.0.1", False),
        ("8.8.8.8", "::ffff:127.0.0.1", False),
        ("8.8.8.8", "64:ff9b::127.0.0.1", False),
        ("8.8.8.8", "192.168.1.6", True),  # As in browsers.
        ("192.168.1.5", "127.0.0.1", False),
        ("127.0.0.1", "127.0.0.1", True),
        ("::1", "127.0.0.1", True),
        ("127.0.0.2", "127.0.0.1", True),  # Its host name may be at 127.0.1.1, and its sockets are not.
        ("127.0.0.2", "127.0.0.2", True),
        ("127.0.0.2", "127.0.0.3", False),
    ],
)
def test_candidates_on_this_machine_need_a_server_on_it(home: str, candidate: str, is_allowed: bool) -> None:
    assert trust(home).allows_candidate(candidate) is is_allowed
    assert trust(home, forbid_private=False).allows_candidate(candidate)


@covers("SE66")
def test_server_whose_address_is_not_known_leads_to_public_addresses_only() -> None:
    """As one that resets its first connection at once. The configured host itself is not known before either."""
    rules = Trust(Url.parse("http://home.example/whip"))
    assert rules.refusal("home.example", "10.0.0.1") is None
    assert rules.refusal("other.example", "8.8.8.8") is None
    assert rules.refusal("other.example", "10.0.0.1") is not None
    assert not rules.allows_candidate("127.0.0.1")
