"""Rate limits, in virtual time."""

from __future__ import annotations

import offers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bass_webrtc.signaling.messages import Response
from bass_webrtc.signaling.server.endpoint import Endpoint, EndpointSettings
from bass_webrtc.signaling.server.limits import Limits, Rate, RateLimiter
from support.conformance import covers
from support.signaling import FakeSessions, ask, header, patch

LIMITS = Limits(post=Rate(per_s=0.5, burst=2), patch=Rate(per_s=1.0, burst=3), delete=Rate(per_s=1.0, burst=4))


def make_endpoint(limits: Limits = LIMITS) -> Endpoint:
    return Endpoint("player", EndpointSettings("/whep", limits=limits), FakeSessions())


async def post(endpoint: Endpoint, now_s: float = 0.0, remote: str = "192.0.2.7") -> Response:
    headers = {"Content-Type": "application/sdp"}
    return await ask(endpoint, "POST", body=offers.CHROME_RECVONLY, headers=headers, remote=remote, now_s=now_s)


@covers("WS51")
async def test_too_many_posts_are_refused_with_retry_after() -> None:
    """After that time, POST is accepted again."""
    endpoint = make_endpoint()
    assert [(await post(endpoint)).status for _ in range(3)] == [201, 201, 429]
    response = await post(endpoint, now_s=0.5)
    assert response.status == 429
    assert header(response, "Retry-After") == "2"
    assert header(response, "Cache-Control") == "no-store"
    assert (await post(endpoint, now_s=2.0)).status == 201
    assert (await post(endpoint, now_s=2.0)).status == 429


@covers("WS51")
async def test_each_method_has_its_own_limit() -> None:
    endpoint = make_endpoint()
    location = header(await post(endpoint), "Location")
    trickles = [(await patch(endpoint, location, offers.TRICKLE_FRAGMENT, "*")).status for _ in range(4)]
    assert trickles == [204, 204, 204, 429]
    assert (await ask(endpoint, "DELETE", location)).status == 200
    assert (await post(endpoint)).status == 201


async def test_options_get_and_head_are_not_limited() -> None:
    endpoint = make_endpoint()
    for method in ("OPTIONS", "GET", "HEAD"):
        assert {(await ask(endpoint, method)).status // 100 for _ in range(10)} == {2}


async def test_ipv4_addresses_do_not_share_a_limit() -> None:
    endpoint = make_endpoint()
    assert {(await post(endpoint, remote=f"192.0.2.{number}")).status for number in range(20)} == {201}


async def test_addresses_of_one_ipv6_network_share_a_limit() -> None:
    """A subscriber has a whole /64 and could use another address for each request."""
    endpoint = make_endpoint()
    statuses = [(await post(endpoint, remote=f"2001:db8::{number}")).status for number in range(3)]
    assert statuses == [201, 201, 429]
    assert (await post(endpoint, remote="2001:db8:0:1::1")).status == 201


@pytest.mark.parametrize("remote", ["127.0.0.1", "127.1.2.3", "::1"])
@pytest.mark.parametrize(("limited", "last"), [(False, 201), (True, 429)])
async def test_loopback_is_limited_only_if_configured(remote: str, limited: bool, last: int) -> None:
    endpoint = make_endpoint(Limits(post=Rate(per_s=1.0, burst=2), limit_loopback=limited))
    assert [(await post(endpoint, remote=remote)).status for _ in range(3)] == [201, 201, last]


async def test_unknown_address_is_limited() -> None:
    endpoint = make_endpoint()
    assert [(await post(endpoint, remote="")).status for _ in range(3)] == [201, 201, 429]


def test_limiter_forgets_the_key_not_seen_for_longest() -> None:
    """So its memory is bounded."""
    limiter = RateLimiter(Rate(per_s=1.0, burst=1), max_keys=2)
    assert limiter.wait_s("a", 0.0) == 0.0
    assert limiter.wait_s("b", 0.0) == 0.0
    assert limiter.wait_s("a", 0.0) == 1.0
    assert limiter.wait_s("c", 0.0) == 0.0  # b is forgotten, a was seen later.
    assert limiter.wait_s("a", 0.0) == 1.0
    assert limiter.wait_s("b", 0.0) == 0.0


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
