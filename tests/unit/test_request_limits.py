"""Rate limits, in virtual time."""

from __future__ import annotations

import dataclasses
import logging

import aiohttp
import pytest
from http_ends import QUICK, serving
from hypothesis import given
from hypothesis import strategies as st

from bass_webrtc.signaling.messages import Headers, Refused, Request
from bass_webrtc.signaling.server.auth import TokenPolicy
from bass_webrtc.signaling.server.endpoint import EndpointSettings
from bass_webrtc.signaling.server.limits import (
    Limits,
    Rate,
    RateLimiter,
    RequestLimiter,
    client_network,
    is_loopback_client,
)
from support.conformance import covers

LIMITS = Limits(
    all=Rate(per_s=10.0, burst=10),
    post=Rate(per_s=0.5, burst=2),
    patch=Rate(per_s=1.0, burst=3),
    delete=Rate(per_s=1.0, burst=4),
    unauthorized=Rate(per_s=1.0, burst=3),
)
CLIENT = "192.0.2.7"


def allowed(limiter: RequestLimiter, method: str = "POST", remote: str = CLIENT, now_s: float = 0.0) -> bool:
    try:
        limiter.check(method, remote, now_s)
    except Refused:
        return False
    return True


@covers("WS51")
def test_too_many_posts_are_refused_with_retry_after() -> None:
    """After that time, POST is accepted again."""
    limiter = RequestLimiter(LIMITS)
    assert [allowed(limiter) for _ in range(3)] == [True, True, False]
    with pytest.raises(Refused, match=r"more than 0\.5 POST requests per second") as caught:
        limiter.check("POST", CLIENT, 0.5)
    assert caught.value.status == 429
    assert caught.value.headers == (("Retry-After", "2"),)
    assert allowed(limiter, now_s=2.0)
    assert not allowed(limiter, now_s=2.0)
    assert limiter.refused == 3


@covers("WS51")
def test_each_method_has_its_own_limit() -> None:
    limiter = RequestLimiter(LIMITS)
    assert [allowed(limiter, "PATCH") for _ in range(4)] == [True] * 3 + [False]
    assert allowed(limiter, "DELETE")
    assert allowed(limiter, "POST")


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "BREW"])
def test_every_method_is_limited(method: str) -> None:
    limiter = RequestLimiter(LIMITS)
    assert [allowed(limiter, method) for _ in range(11)] == [True] * 10 + [False]


def test_an_office_behind_one_address_may_load_the_page_at_once() -> None:
    limiter = RequestLimiter()
    assert all(allowed(limiter, "GET") for _ in range(80 * 20))


@covers("WS50")
def test_tokens_cannot_be_guessed_at_the_rate_of_all_requests() -> None:
    limiter = RequestLimiter(LIMITS)
    for _ in range(3):
        assert allowed(limiter, "GET")
        limiter.count_unauthorized(CLIENT, 0.0)
    assert not allowed(limiter, "GET")
    assert allowed(limiter, "GET", remote="192.0.2.8")
    assert allowed(limiter, "GET", now_s=1.0)


def test_ipv4_addresses_do_not_share_a_limit() -> None:
    limiter = RequestLimiter(LIMITS)
    assert all(allowed(limiter, remote=f"192.0.2.{number}") for number in range(20))


def test_addresses_of_one_ipv6_network_share_a_limit() -> None:
    """A subscriber has a whole /64 and could use another address for each request."""
    limiter = RequestLimiter(LIMITS)
    assert [allowed(limiter, remote=f"2001:db8::{number}") for number in range(3)] == [True, True, False]
    assert allowed(limiter, remote="2001:db8:0:1::1")


@pytest.mark.parametrize("remote", ["127.0.0.1", "127.1.2.3", "::1"])
@pytest.mark.parametrize("limited", [False, True])
def test_loopback_is_limited_only_if_configured(remote: str, limited: bool) -> None:
    limiter = RequestLimiter(Limits(post=Rate(per_s=1.0, burst=2), limit_loopback=limited))
    assert [allowed(limiter, remote=remote) for _ in range(3)] == [True, True, not limited]


def test_unknown_address_is_limited() -> None:
    limiter = RequestLimiter(LIMITS)
    assert [allowed(limiter, remote="") for _ in range(3)] == [True, True, False]


def test_refusals_are_logged_once_per_second(caplog: pytest.LogCaptureFixture) -> None:
    limiter = RequestLimiter(LIMITS)
    with caplog.at_level(logging.WARNING):
        for now_s in (0.0, 0.0, 0.0, 0.1, 0.9, 1.1):
            allowed(limiter, now_s=now_s)
    assert caplog.messages == ["refused: more than 0.5 POST requests per second from 192.0.2.7"] * 2


@pytest.mark.parametrize(
    ("remote", "fields", "is_loopback"),
    [
        ("127.0.0.1", {}, True),
        ("::1", {"Accept": "*/*"}, True),
        ("192.0.2.7", {}, False),
        ("", {}, False),
        ("127.0.0.1", {"X-Forwarded-For": "127.0.0.1"}, False),
        ("127.0.0.1", {"X-Forwarded-Proto": "https"}, False),
        ("127.0.0.1", {"Forwarded": "for=127.0.0.1"}, False),
        ("127.0.0.1", {"Via": "1.1 proxy"}, False),
        ("127.0.0.1", {"X-Real-IP": "127.0.0.1"}, False),
    ],
)
def test_client_of_a_proxy_on_this_machine_is_not_on_this_machine(
    remote: str, fields: dict[str, str], is_loopback: bool
) -> None:
    assert is_loopback_client(Request("GET", "/", Headers(fields.items()), remote=remote)) is is_loopback


@pytest.mark.parametrize(
    ("remote", "network"),
    [("127.0.0.2", "127.0.0.2"), ("::1", "::/64"), ("2001:db8::7%eth0", "2001:db8::/64"), ("unix", "unix")],
)
def test_network_of_a_client_is_its_ipv4_address_or_its_ipv6_64(remote: str, network: str) -> None:
    assert client_network(remote) == network


def test_limiter_forgets_the_key_not_seen_for_longest() -> None:
    """So its memory is bounded."""
    limiter = RateLimiter(Rate(per_s=1.0, burst=1), max_keys=2)
    assert limiter.wait_s("a", 0.0) == 0.0
    assert limiter.wait_s("b", 0.0) == 0.0
    assert limiter.wait_s("a", 0.0) == 1.0
    assert limiter.wait_s("c", 0.0) == 0.0  # b is forgotten, a was seen later.
    assert limiter.wait_s("a", 0.0) == 1.0
    assert limiter.wait_s("b", 0.0) == 0.0


@pytest.mark.parametrize(
    ("path", "statuses"), [("/nothing", [404, 404, 429]), ("/whep", [200, 200, 429]), ("/whep/x", [404, 404, 429])]
)
async def test_server_limits_every_path_before_it_reads_the_body(path: str, statuses: list[int]) -> None:
    settings = dataclasses.replace(QUICK, limits=Limits(all=Rate(per_s=0.1, burst=2), limit_loopback=True))
    async with serving(settings) as (server, _, _), aiohttp.ClientSession(server.url) as client:
        found = []
        for _ in range(3):
            async with client.get(path) as response:
                found.append(response.status)
        assert found == statuses
        assert server.requests_limited == 1


async def test_server_counts_requests_that_get_401() -> None:
    settings = dataclasses.replace(QUICK, limits=Limits(unauthorized=Rate(per_s=0.1, burst=2), limit_loopback=True))
    endpoint = EndpointSettings("/whep", tokens=TokenPolicy("sesame"))
    async with serving(settings, endpoint) as (server, _, _), aiohttp.ClientSession(server.url) as client:
        found = []
        for token in ("a", "b", "sesame"):
            async with client.post("/whep", data="v=0", headers={"Authorization": f"Bearer {token}"}) as response:
                found.append(response.status)
        assert found == [401, 401, 429]


@covers("WS51")
@given(
    st.lists(st.floats(0.0, 0.5), min_size=1, max_size=200),
    st.integers(1, 10),
    st.sampled_from([0.5, 1.0, 10.0]),
)
def test_no_pattern_exceeds_burst_and_rate(gaps_s: list[float], burst: int, per_s: float) -> None:
    limiter = RateLimiter(Rate(per_s, burst))
    now_s, taken = 0.0, 0
    for gap_s in gaps_s:
        now_s += gap_s
        wait_s = limiter.wait_s("a", now_s)
        assert 0.0 <= wait_s <= 1.0 / per_s + 1e-9
        taken += wait_s == 0.0
    assert taken <= burst + now_s * per_s + 1e-6
