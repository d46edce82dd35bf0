"""The desk against the real server: two desks, invitations, the producer's microphone, and pages of other origins."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import bass_webrtc as bw
from support.browsers import Chromium, ChromiumTab, missing_chromium
from support.callers import CALLER_DBFS, Callers, read, request
from support.fixtures import skip_for
from support.guest_pages import GUEST_DBFS, Ear, Guest, guest_browser, in_blocks, level_dbfs
from support.page_server import PageServer
from support.patience import SLOWNESS, wait_until
from support.reruns import measures_waits, real_time_audio

TOKEN = "desk-secret"
PROGRAMME_HZ, ANNA_HZ, BEN_HZ, CLARA_HZ, PRODUCER_HZ = 500.0, 700.0, 900.0, 1300.0, 1700.0
SAME_WITHIN_MS = 300.0
WATCH = """() => {
    const seen = {};
    const note = () => {
        for (const row of document.querySelectorAll(".caller")) {
            const [name] = [...row.querySelectorAll(".caller-name")].map((one) => one.textContent);
            const gain = row.querySelector(".levels output").textContent;
            for (const fact of [row.dataset.state, gain]) seen[`${name} ${fact}`] ??= Date.now();
        }
    };
    new MutationObserver(note).observe(document.getElementById("calls"),
        { subtree: true, childList: true, attributes: true, characterData: true });
    window.seen = seen;
    window.forget = () => Object.keys(seen).forEach((key) => delete seen[key]);
}"""
"""Notes when the page first shows a state or fader."""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    """Chromium whose microphone hears the producer's tone. ``radio.test`` is this machine, as another site."""
    skip_for(missing_chromium())
    folder = tmp_path_factory.mktemp("microphone")
    with guest_browser(folder, PRODUCER_HZ, None, "--host-resolver-rules=MAP radio.test 127.0.0.1") as browser:
        yield browser


@pytest.fixture(scope="module")
def callers() -> Iterator[Callers]:
    with Callers() as callers:
        yield callers


@pytest.fixture
def server() -> Iterator[bw.Server]:
    programme = bw.Tone(hz=PROGRAMME_HZ, right_hz=PROGRAMME_HZ, level_dbfs=CALLER_DBFS)
    config = bw.ServerConfig(
        http_port=0, udp_port=0, calls="waiting", desk_token=TOKEN, max_peers=20, max_peers_per_address=20
    )
    with bw.Server(programme, config) as server:
        server.start()
        yield server


@pytest.fixture
def open_desk(browser: Chromium, server: bw.Server) -> Iterator[Callable[[], Any]]:
    """Opens a desk that is signed in."""
    tabs = []

    def opened() -> Any:
        tab = browser.open(f"{server.url}desk#token={TOKEN}")
        tabs.append(tab)
        tab.page.wait_for_selector("#console:visible")
        return tab.page

    yield opened
    for tab in tabs:
        tab.close()


def button(page: Any, name: str, caller: str = "Anna") -> Any:
    row = page.locator(".caller").filter(has=page.get_by_role("heading", name=caller, exact=True))
    return row.get_by_role("button", name=name, exact=True)


# -- two desks


@measures_waits
def test_two_desks_show_the_same_within_300_ms(
    open_desk: Callable[[], Any], server: bw.Server, callers: Callers, record_property: Callable[[str, object], None]
) -> None:
    """After a change by the program, by one desk and by the other: states, and a fader. By the clock of the machine."""
    callers.call(f"{server.url}call?name=Anna", ANNA_HZ)
    desks = [open_desk(), open_desk()]
    for desk in desks:
        button(desk, "On air").wait_for()
        desk.evaluate(WATCH)
    waits: dict[str, list[float]] = {}

    def measure(who: str, shown: str, change: Callable[[], float]) -> None:
        for desk in desks:
            desk.evaluate("forget()")
        begin_ms = change()
        for desk in desks:
            desk.wait_for_function("(fact) => seen[fact] !== undefined", arg=f"Anna {shown}", timeout=10_000)
            waits.setdefault(who, []).append(desk.evaluate("(fact) => seen[fact]", f"Anna {shown}") - begin_ms)

    def by_program(**changes: Any) -> float:
        begin_ms = time.time() * 1000
        server.calls[0].change(**changes)
        return begin_ms

    def by_desk(desk: Any, name: str) -> float:
        return float(button(desk, name).evaluate("(button) => { const now = Date.now(); button.click(); return now; }"))

    for _ in range(5):
        measure("program", "on_air", lambda: by_program(state="on_air"))
        measure("first desk", "private", lambda: by_desk(desks[0], "Private"))
        measure("second desk", "waiting", lambda: by_desk(desks[1], "Hold"))
        measure("program, fader", "+6.0 dB", lambda: by_program(gain=10**0.3))
        measure("program, fader", "0.0 dB", lambda: by_program(gain=1.0))
    for who, found in waits.items():
        ordered = sorted(found)
        record_property(
            "summary",
            f"both desks after a change by the {who}: "
            f"median {ordered[len(ordered) // 2]:.0f} ms, at most {ordered[-1]:.0f} ms",
        )
    assert max(max(found) for found in waits.values()) < SAME_WITHIN_MS * SLOWNESS, waits


# -- invitations


def test_invitation_of_the_desk_admits_a_guest_and_revoking_it_ends_the_call(
    browser: Chromium, open_desk: Callable[[], Any], server: bw.Server
) -> None:
    desk = open_desk()
    desk.fill("#invite-name", "Anna")
    desk.get_by_role("button", name="Make link").click()
    desk.wait_for_selector("#new-invite:visible")
    link = desk.input_value("#invite-link")
    assert link.startswith(f"{server.url}call?invite=")
    guest = Guest(browser, link)
    guest.wait_for_title("Waiting")
    button(desk, "On air").click()
    guest.wait_for_title("On air")
    assert guest.advice() == "Everybody hears you, Anna."
    assert [(call.name, call.state) for call in server.calls] == [("Anna", "on_air")]
    refused = Guest(browser, link)
    refused.wait_for_title("This invitation is in use")
    refused.tab.close()
    revoke = desk.locator(".invite").get_by_role("button", name="Revoke")
    revoke.click()
    assert len(server.calls) == 1, "one press is not enough"
    desk.locator(".invite").get_by_role("button", name="Confirm").click()
    guest.wait_for_title("The call has ended")
    assert guest.advice() == "The invite was revoked."
    desk.wait_for_selector("#empty:visible")
    assert not server.calls
    guest.tab.close()
    late = Guest(browser, link)
    late.wait_for_title("This invitation has ended")
    late.tab.close()
    without = Guest(browser, f"{server.url}call")
    without.wait_for_title("You need an invitation")
    without.tab.close()


def test_caller_that_the_desk_hangs_up_on_is_told(
    browser: Chromium, open_desk: Callable[[], Any], server: bw.Server
) -> None:
    desk = open_desk()
    guest = Guest(browser, f"{server.url}call?name=Anna")
    guest.wait_for_title("Waiting")
    button(desk, "Hang up").click()
    button(desk, "Confirm").click()
    guest.wait_for_title("The call has ended")
    assert guest.advice() == "The producer hung up."
    desk.wait_for_selector("#empty:visible")
    guest.tab.close()


# -- the producer's microphone


@real_time_audio
def test_producer_is_heard_by_a_private_caller_and_by_nobody_else(
    open_desk: Callable[[], Any],
    browser: Chromium,
    server: bw.Server,
    callers: Callers,
    record_property: Callable[[str, object], None],
) -> None:
    """And hears the private caller, and nobody else."""
    page = open_desk()
    lines = {
        name: callers.call(f"{server.url}call?name={name}", hz)
        for name, hz in (("Anna", ANNA_HZ), ("Ben", BEN_HZ), ("Clara", CLARA_HZ))
    }
    button(page, "Private", "Anna").click()
    button(page, "On air", "Ben").click()
    for switch in ("echoCancellation", "noiseSuppression", "autoGainControl"):
        page.locator(f"#{switch}").uncheck()
    page.click("#talk")
    page.wait_for_function("() => document.getElementById('producer-title').textContent === 'Talking'")
    assert page.inner_text("#producer-advice") == "Anna hears you."
    ear = Ear(ChromiumTab(page), "bassWebrtc.producer.speaker.stream")
    listener = bw.WhepClient(f"{server.url}whep", forbid_private=False)
    with listener:
        listener.start()
        assert listener.wait_connected(20)
        wait_until(lambda: level_dbfs(in_blocks(lines["Anna"].hear(1.5)), PRODUCER_HZ) > GUEST_DBFS - 1)
        heard = {
            **{name: in_blocks(line.hear(3.0)) for name, line in lines.items()},
            "mix": in_blocks(read(server, 3.0)),
            "listener": in_blocks(read(listener, 3.0)),
            "producer": ear.hear(),
        }
    tones = {"programme": PROGRAMME_HZ, "Anna": ANNA_HZ, "Ben": BEN_HZ, "Clara": CLARA_HZ, "producer": PRODUCER_HZ}
    expected = {
        "Anna": {"producer"},
        "Ben": {"programme"},
        "Clara": {"programme", "Ben"},
        "mix": {"Ben"},
        "listener": {"programme", "Ben"},
        "producer": {"Anna"},
    }
    for who, blocks in heard.items():
        levels = {name: round(level_dbfs(blocks, hz), 1) for name, hz in tones.items()}
        record_property("summary", f"{who} hears (dBFS): {levels}")
        for name, level in levels.items():
            if name in expected[who]:
                assert level == pytest.approx(GUEST_DBFS if name == "producer" else CALLER_DBFS, abs=2.0), (who, levels)
            else:
                assert level < CALLER_DBFS - 50.0, (who, levels)
    page.click("#talk")
    wait_until(lambda: level_dbfs(in_blocks(lines["Anna"].hear(1.5)), PRODUCER_HZ) < CALLER_DBFS - 50.0)


# -- pages of other origins

ATTEMPTS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "read the calls": ("GET", "api/calls", {}),
    "read the desk": ("GET", "api/desk", {}),
    "read the invites": ("GET", "api/invites", {}),
    "read the events": ("GET", "api/events", {}),
    "read without CORS": ("GET", "api/calls", {"mode": "no-cors"}),
    "put a caller on air": ("PATCH", "api/calls/1", {"body": '{"state": "on_air"}', "type": "application/json"}),
    "hang up": ("DELETE", "api/calls/1", {}),
    "make an invite": ("POST", "api/invites", {"body": "{}", "type": "application/json"}),
    "make an invite as a form": ("POST", "api/invites", {"body": "{}", "type": "text/plain"}),
    "make an invite without CORS": ("POST", "api/invites", {"body": "{}", "type": "text/plain", "mode": "no-cors"}),
    "record the programme": ("PATCH", "api/desk", {"body": '{"recording": true}', "type": "application/json"}),
    "speak as the producer": ("POST", "desk/audio", {"body": "v=0\\r\\n", "type": "application/sdp"}),
    "call": ("POST", "call", {"body": "v=0\\r\\n", "type": "application/sdp"}),
}
FETCH = """async ([url, method, { body, type, mode }, token]) => {
    const headers = { ...(type && { "Content-Type": type }), ...(token && { Authorization: `Bearer ${token}` }) };
    try {
        const response = await fetch(url, { method, headers, body, mode });
        return response.type === "opaque" ? "opaque" : `read: ${response.status} ${await response.text()}`;
    } catch (error) {
        return error.name;
    }
}"""


def state_of(server: bw.Server) -> Any:
    """Return everything that a desk can change."""
    answers = [request(f"{server.url}api/{path}", "GET", "", BEARER) for path in ("calls", "invites", "desk")]
    calls, invites, desk = (json.loads(answer.body) for answer in answers)
    kept = ("id", "name", "state", "gain", "muted", "talkback", "return_gain", "recording")
    return (
        [{name: call[name] for name in kept} for call in calls],
        invites,
        desk["recording"],
        desk["producer_connected"],
    )


BEARER = {"Authorization": f"Bearer {TOKEN}"}


@pytest.mark.parametrize("place", ["radio.test", "127.0.0.1"], ids=["another site", "another port"])
@pytest.mark.parametrize("token", ["", TOKEN], ids=["without token", "with token"])
def test_page_of_another_origin_can_read_and_change_nothing(
    token: str,
    place: str,
    browser: Chromium,
    server: bw.Server,
    callers: Callers,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Each attempt leaves one line in the log, which has no token."""
    callers.call(f"{server.url}call?name=Anna", ANNA_HZ)
    before = state_of(server)
    with PageServer() as pages:
        tab = browser.open(pages.listen_url.replace("127.0.0.1", place))
        for name, (method, path, options) in ATTEMPTS.items():
            caplog.clear()
            with caplog.at_level(logging.INFO, "bass_webrtc.signaling"):
                result = tab.page.evaluate(FETCH, [f"{server.url}{path}", method, options, token])
            assert result in ("TypeError", "opaque"), (name, result)
            lines = [line for line in caplog.messages if line.startswith("refused ")]
            assert len(lines) == 1, (name, caplog.messages)
            assert " 403 " in lines[0], (name, lines)
            assert TOKEN not in caplog.text
        tab.close()
    assert state_of(server) == before


def test_page_of_another_origin_cannot_show_the_desk_in_a_frame(browser: Chromium, server: bw.Server) -> None:
    with PageServer() as pages:
        tab = browser.open(pages.listen_url.replace("127.0.0.1", "radio.test"))
        tab.page.evaluate(
            """(url) => new Promise((resolve) => {
                const frame = Object.assign(document.createElement("iframe"), { src: url, onload: resolve });
                document.body.append(frame);
            })""",
            f"{server.url}desk#token={TOKEN}",
        )
        tab.page.wait_for_timeout(500)
        assert [frame.query_selector("#console") for frame in tab.page.frames[1:]] == [None]
        tab.close()
