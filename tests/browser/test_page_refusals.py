"""What the page shows and does when it cannot play. The server is a stub whose answers each test sets."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from support.browsers import Chromium
from support.conformance import covers
from support.page_driver import listen, wait_for_state
from support.page_stub import PageStub, refusal, success
from support.patience import wait_until


@pytest.fixture
def page(chromium: Chromium, stub: PageStub) -> Iterator[Any]:
    tab = chromium.open(stub.url)
    yield tab.page
    tab.close()


def test_full_server_shows_the_number_of_listeners_and_is_retried(page: Any, stub: PageStub) -> None:
    stub.listeners = 5
    stub.endpoint.posts = [refusal(503, "all taken", ("Retry-After", "30"))]
    listen(page, until="waiting")
    assert page.inner_text("#listen-title") == "The server is full"
    assert page.inner_text("#listen-advice") == "5 listeners are connected; no slots are free."
    assert page.inner_text("#listen-countdown").startswith("Retrying in 3")
    assert page.inner_text("#listen-label") == "Stop"


@covers("CL12")
def test_retry_after_is_respected(page: Any, stub: PageStub) -> None:
    stub.endpoint.posts = [refusal(409, "no source", ("Retry-After", "1"))]
    started = time.monotonic()
    listen(page, until="waiting")
    assert page.inner_text("#listen-title") == "Nothing is on air"
    wait_until(lambda: len(stub.endpoint.of("POST")) == 2)
    assert time.monotonic() - started >= 1.0


def test_stop_cancels_the_retry(page: Any, stub: PageStub) -> None:
    stub.endpoint.posts = [refusal(503, "all taken", ("Retry-After", "1"))]
    listen(page, until="waiting")
    page.click("#listen")
    wait_for_state(page, "idle")
    page.wait_for_timeout(1500)
    assert len(stub.endpoint.of("POST")) == 1
    assert page.inner_text("#listen-countdown") == ""


@covers("CL12")
def test_server_error_is_retried_with_backoff(page: Any, stub: PageStub) -> None:
    """Without Retry-After."""
    stub.endpoint.posts = [refusal(500, "oops")]
    listen(page, until="waiting")
    assert page.inner_text("#listen-title") == "Internal server error"
    arrivals: list[float] = []
    for count in (1, 2, 3):
        wait_until(lambda count=count: len(stub.endpoint.of("POST")) > count)  # type: ignore[misc]
        arrivals.append(time.monotonic())
    assert arrivals[2] - arrivals[1] > arrivals[1] - arrivals[0] + 0.3


@covers("CL12")
def test_reason_of_a_refusal_is_shown(page: Any, stub: PageStub) -> None:
    """And 403 is not retried."""
    stub.endpoint.posts = [refusal(403, "only listeners from the office")]
    listen(page, until="failed")
    assert page.inner_text("#listen-title") == "Access denied"
    assert page.inner_text("#listen-advice") == "Only listeners from the office."
    assert page.inner_text("#listen-label") == "Listen"
    page.wait_for_timeout(1500)
    assert len(stub.endpoint.of("POST")) == 1


@covers("CL1")
def test_unknown_status_is_treated_by_its_class(page: Any, stub: PageStub) -> None:
    stub.endpoint.posts = [refusal(451, "for legal reasons"), refusal(599, "")]
    listen(page, until="failed")
    assert page.inner_text("#listen-title") == "The server refused the connection"
    listen(page, until="waiting")
    assert page.inner_text("#listen-title") == "Internal server error"


def test_unreachable_server_is_reported_and_retried(page: Any, stub: PageStub) -> None:
    stub.shut()
    listen(page, until="waiting")
    assert page.inner_text("#listen-title") == "The server does not answer"


@covers("CL10")
def test_invalid_answer_is_reported_and_its_session_ended(page: Any, stub: PageStub) -> None:
    """An unusable session is deleted."""
    stub.endpoint.posts = [success(201, "hello", ("Location", "/whep/abc"), ("Content-Type", "application/sdp"))]
    listen(page, until="failed")
    assert page.inner_text("#listen-title") == "Invalid answer from the server"
    wait_until(lambda: [request.path for request in stub.endpoint.of("DELETE")] == ["/whep/abc"])


@covers("CL10")
def test_session_created_after_stop_is_ended(page: Any, stub: PageStub) -> None:
    stub.endpoint.posts = [success(201, "v=0\r\n", ("Location", "/whep/late"))]
    stub.endpoint.post_delay_s = 3
    page.click("#listen")
    wait_until(lambda: len(stub.endpoint.of("POST")) == 1)
    page.click("#listen")
    wait_until(lambda: [request.path for request in stub.endpoint.of("DELETE")] == ["/whep/late"])
    assert page.evaluate("bassWebrtc.player.state") == "idle"


@covers("CL11")
def test_user_is_asked_for_the_token(page: Any, stub: PageStub) -> None:
    """Without a token no Authorization header is sent."""
    stub.endpoint.posts = [refusal(401, "no token"), refusal(401, "wrong token"), refusal(403, "enough")]
    page.click("#listen")
    page.wait_for_selector("dialog[open]")
    assert not page.is_visible("#token-wrong")
    page.fill("#token", "wrong")
    page.keyboard.press("Enter")
    page.wait_for_selector("#token-wrong:visible")
    page.fill("#token", "right")
    page.click("dialog .primary")
    wait_for_state(page, "failed")
    wait_until(lambda: len(stub.endpoint.of("POST")) == 3)
    sent = [request.headers.get("Authorization") for request in stub.endpoint.of("POST")]
    assert sent == [None, "Bearer wrong", "Bearer right"]


def test_token_dialog_can_be_cancelled(page: Any, stub: PageStub) -> None:
    stub.endpoint.posts = [refusal(401, "no token")]
    page.click("#listen")
    page.wait_for_selector("dialog[open]")
    page.click("#token-cancel")
    page.wait_for_selector("dialog[open]", state="hidden")
    assert page.inner_text("#listen-title") == "This server requires a token"


def test_token_in_the_url_is_sent(chromium: Chromium, stub: PageStub) -> None:
    stub.endpoint.posts = [refusal(403, "enough")]
    tab = chromium.open(stub.url + "?token=sesame")
    listen(tab.page, until="failed")
    tab.close()
    sent = [(request.method, request.headers.get("Authorization")) for request in stub.endpoint.requests]
    assert set(sent) == {("OPTIONS", "Bearer sesame"), ("POST", "Bearer sesame")}


@covers("ES1")
def test_offer_requests_one_stereo_stream(page: Any, stub: PageStub) -> None:
    """Chromium decodes mono unless its own offer contains stereo=1, and sends no NACKs unless it contains nack."""
    stub.endpoint.posts = [refusal(403, "enough")]
    listen(page, until="failed")
    [post] = stub.endpoint.of("POST")
    lines = post.body.decode().split("\r\n")
    assert post.headers.get("Content-Type") == "application/sdp"
    assert [line.split()[0] for line in lines if line.startswith("m=")] == ["m=audio"]
    assert "a=recvonly" in lines
    assert any(line.startswith("a=fmtp:111 ") and "stereo=1" in line for line in lines)
    assert "a=rtcp-fb:111 nack" in lines


@covers("CL4", "CL5")
def test_ice_servers_of_the_endpoint_are_used(chromium: Chromium, stub: PageStub) -> None:
    """Requested with OPTIONS before the offer is created."""
    stub.endpoint.links = (
        ("Link", '<stun:stun.invalid:3478>; rel="ice-server"'),
        ("Link", '<turn:turn.invalid?transport=udp>; rel="ice-server"; username="a, b"; credential="c;d"'),
    )
    stub.endpoint.post_delay_s = 5
    tab = chromium.open(stub.url)
    tab.page.wait_for_load_state("networkidle")
    tab.page.click("#listen")
    servers = tab.page.evaluate("bassWebrtc.player.pc.getConfiguration().iceServers")
    tab.close()
    assert [server["urls"] for server in servers] == [
        ["stun:stun.invalid:3478"],
        ["turn:turn.invalid?transport=udp"],
    ]
    assert (servers[1]["username"], servers[1]["credential"]) == ("a, b", "c;d")


def test_browser_without_webrtc_is_reported(chromium: Chromium, stub: PageStub) -> None:
    tab = chromium.open("about:blank")
    tab.page.add_init_script("delete window.RTCPeerConnection")
    tab.page.goto(stub.url)
    listen(tab.page, until="failed")
    assert tab.page.inner_text("#listen-title") == "WebRTC is not available"
    tab.close()
