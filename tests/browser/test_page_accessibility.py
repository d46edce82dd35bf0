"""axe-core finds no violation on any page, in light and dark, on a phone and on a desktop."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from bass_webrtc.signaling.messages import Request, Response
from support import axe
from support.browsers import Chromium
from support.desk_stub import NETWORK, TOKEN, DeskStub
from support.fixtures import skip_for
from support.page_stub import PageStub, refusal

SCHEMES = ("light", "dark")
SIZES = {"desktop": (1280, 900), "phone": (375, 812)}
HIDDEN_PARTS = """() => {
    for (const id of ["talk", "talk-panel", "channel-field"]) document.getElementById(id).hidden = false;
    document.getElementById("channel").append(new Option("main"));
}"""


@pytest.fixture(params=[f"{scheme} {size}" for scheme in SCHEMES for size in SIZES])
def page(request: pytest.FixtureRequest, chromium: Chromium) -> Iterator[Any]:
    skip_for(axe.missing())
    scheme, size = request.param.split()
    tab = chromium.open("about:blank")
    tab.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # Colors in transition are no colors.
    width_px, height_px = SIZES[size]
    tab.page.set_viewport_size({"width": width_px, "height": height_px})
    yield tab.page
    tab.close()


@pytest.fixture
def desk_stub() -> Iterator[DeskStub]:
    with DeskStub() as running:
        yield running


def test_axe_finds_a_violation(chromium: Chromium, desk_stub: DeskStub) -> None:
    """Otherwise the other tests show nothing."""
    skip_for(axe.missing())
    page = chromium.open(f"{desk_stub.url}desk").page
    assert axe.violations(page) == []
    page.evaluate("() => document.querySelector('label[for=token]').remove()")
    assert any(found.startswith("label: <input") for found in axe.violations(page))
    page.close()


def test_listener_page_has_no_violation(page: Any, stub: PageStub) -> None:
    stub.endpoint.posts = [refusal(503, "all taken", ("Retry-After", "30"))]
    page.goto(stub.url)
    assert axe.violations(page) == []
    page.evaluate(HIDDEN_PARTS)
    page.click("#listen")
    page.wait_for_function("() => bassWebrtc.player.state === 'waiting'")
    assert axe.violations(page) == []


def test_token_dialog_has_no_violation(page: Any, stub: PageStub) -> None:
    stub.endpoint.posts = [refusal(401, "no token")]
    page.goto(stub.url)
    page.click("#listen")
    page.wait_for_selector("dialog[open]")
    assert axe.violations(page) == []


def test_guest_page_has_no_violation(page: Any, desk_stub: DeskStub) -> None:
    """Before the call, in each state of it, and after it."""
    page.goto(f"{desk_stub.url}call?invite=s3cret&name=Anna")
    page.wait_for_function("() => window.bassWebrtc?.caller !== undefined")
    page.click("summary")
    assert axe.violations(page) == []
    # How the page looks follows from these attributes.
    page.evaluate("() => { document.getElementById('controls').hidden = false }")
    for state in ("connecting", "queue", "on-air", "private", "interrupted", "failed"):
        page.evaluate("(state) => { document.getElementById('call-dial').dataset.state = state }", state)
        assert axe.violations(page) == [], state


def test_desk_without_calls_has_no_violation(page: Any, desk_stub: DeskStub) -> None:
    page.goto(f"{desk_stub.url}desk")
    assert axe.violations(page) == []
    page.fill("#token", TOKEN)
    page.keyboard.press("Enter")
    page.wait_for_selector("#empty:visible")
    assert axe.violations(page) == []


def test_desk_with_calls_has_no_violation(page: Any, desk_stub: DeskStub) -> None:
    """With everything that can be opened, a problem, and a lost connection."""
    desk_stub.add_call("Anna", "on_air", recording=True)
    desk_stub.add_call("Ben", "private", muted=True, network=NETWORK | {"fraction_lost": 0.02})
    desk_stub.add_call("Chidi", "waiting", talkback=True, network=NETWORK | {"fraction_lost": 0.2})
    desk_stub.add_call("Dora", "waiting", network=NETWORK | {"fraction_lost": None, "round_trip_ms": None})
    desk_stub.invites = [{"id": "a", "name": "Eve", "uses_left": 1, "expires_at": time.time() + 7200}]
    page.goto(f"{desk_stub.url}desk#token={TOKEN}")
    page.wait_for_selector(".caller")
    page.fill("#invite-name", "Fay")
    page.keyboard.press("Enter")
    page.wait_for_selector("#new-invite:visible")
    for summary in page.locator("summary").all():
        summary.click()
    page.locator("[data-action=rename]").nth(1).click()
    page.locator("[data-action=hang-up]").nth(2).click()
    assert axe.violations(page) == []
    desk_stub.sessions.posts = [_refuse]
    page.click("#talk")
    page.wait_for_function("() => bassWebrtc.producer.state === 'failed'")
    desk_stub.refusal = None
    page.evaluate("() => { document.getElementById('problem').hidden = false }")
    page.evaluate("() => { document.getElementById('problem-text').textContent = 'The disk is full.' }")
    assert axe.violations(page) == []
    desk_stub.shut()
    page.wait_for_selector("#lost:visible")
    assert axe.violations(page) == []


def _refuse(_request: Request) -> Response:
    return Response(403)
