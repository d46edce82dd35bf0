"""Which redirects are followed, and with what."""

from __future__ import annotations

import pytest

from bass_webrtc.signaling.client.redirects import MAX_REDIRECTS, Redirects, Trust
from bass_webrtc.signaling.client.urls import UnsafeUrlError, Url
from support.conformance import covers

HOME = Url.parse("https://home.example/whip")
TRUST = Trust(HOME)


@covers("CL2")
@pytest.mark.parametrize("status", [307, 308])
def test_redirects_that_keep_the_request_are_followed(status: int) -> None:
    redirects = Redirects(TRUST, HOME)
    redirects.follow(status, "/b")
    redirects.follow(status, "c?d")
    assert redirects.url.text == "https://home.example/c?d"


@covers("CL2")
@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 305, 306, 309, 399])
def test_redirects_that_lose_the_offer_are_not(status: int) -> None:
    """301, 302 and 303 would silently become GET."""
    with pytest.raises(UnsafeUrlError, match="unsafe redirect"):
        Redirects(TRUST, HOME).follow(status, "/b")


@covers("SE66")
@pytest.mark.parametrize("location", [None, "", "http://home.example/whip", "gopher://home.example/", "https://[/"])
def test_a_redirect_to_nowhere_is_not_followed(location: str | None) -> None:
    """Https to http, too."""
    with pytest.raises(UnsafeUrlError, match="unsafe redirect"):
        Redirects(TRUST, HOME).follow(307, location)


@covers("CL2", "SE66")
def test_a_circle_is_noticed() -> None:
    """CL2, SE66 (RFC 9110, 15.4)."""
    redirects = Redirects(TRUST, HOME)
    redirects.follow(307, "/b")
    with pytest.raises(UnsafeUrlError, match="circle"):
        redirects.follow(307, "/whip#again")


@covers("CL2", "SE66")
def test_ten_redirects_and_no_more() -> None:
    redirects = Redirects(TRUST, HOME)
    for number in range(MAX_REDIRECTS):
        redirects.follow(307, f"/{number}")
    assert MAX_REDIRECTS == 10
    with pytest.raises(UnsafeUrlError, match="more than 10"):
        redirects.follow(307, "/end")


@covers("CL11", "SE66")
def test_the_token_stays_with_its_origin() -> None:
    """Once it was left behind it does not come back."""
    redirects = Redirects(TRUST, HOME)
    assert redirects.gets_token
    redirects.follow(307, "/b")
    assert redirects.gets_token
    redirects.follow(307, "https://home.example:8443/c")
    assert not redirects.gets_token
    redirects.follow(307, "https://home.example/d")
    assert not redirects.gets_token


@covers("CL11")
def test_the_token_goes_to_origins_that_are_trusted() -> None:
    redirects = Redirects(Trust(HOME, frozenset({"https://media.example"})), HOME)
    redirects.follow(307, "https://media.example/x")
    assert redirects.gets_token


@covers("SE66")
def test_private_networks_can_be_forbidden() -> None:
    """An option. The host that the user named himself is always allowed."""
    home = Url.parse("http://192.168.1.5/whip")
    Redirects(Trust(home), home).follow(307, "http://127.0.0.1/x")
    redirects = Redirects(Trust(home, forbid_private=True), home)
    redirects.follow(307, "http://192.168.1.5:81/x")
    with pytest.raises(UnsafeUrlError, match="private network"):
        redirects.follow(307, "http://169.254.169.254/latest")
