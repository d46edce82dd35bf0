"""The desk: sign-in, callers and their controls, invitations, and what happens when the connection is lost.

The server is a stub whose calls each test sets.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from bass_webrtc.signaling.messages import Refused
from support.browsers import Chromium
from support.desk_stub import NETWORK, TOKEN, DeskStub
from support.page_stub import refusal
from support.patience import wait_until

MARKUP = "<img src=x onerror=alert(1)>"
NAMES = "() => [...document.querySelectorAll('.caller-name')].map((name) => name.textContent)"

OpenPage = Callable[..., Any]


@pytest.fixture
def stub() -> Iterator[DeskStub]:
    with DeskStub() as running:
        yield running


@pytest.fixture
def open_page(chromium: Chromium, stub: DeskStub) -> Iterator[OpenPage]:
    """Opens the desk, by default signed in."""
    tabs = []

    def opened(fragment: str = f"#token={TOKEN}") -> Any:
        tab = chromium.open(f"{stub.url}desk{fragment}")
        tabs.append(tab)
        if fragment:
            tab.page.wait_for_selector("#console:visible")
        return tab.page

    yield opened
    for tab in tabs:
        tab.close()


def row(page: Any, index: int = 0) -> Any:
    return page.locator(".caller").nth(index)


def button(page: Any, name: str, index: int = 0) -> Any:
    return row(page, index).get_by_role("button", name=name, exact=True)


def is_pressed(page: Any, name: str, index: int = 0) -> bool:
    return bool(button(page, name, index).get_attribute("aria-pressed") == "true")


def fader(page: Any, index: int = 0) -> Any:
    return row(page, index).locator("[data-fader=gain]")


def wait_for_calls(page: Any, *names: str) -> None:
    page.wait_for_function(f"(names) => JSON.stringify(({NAMES})()) === JSON.stringify(names)", arg=list(names))


def wait_for_text(page: Any, selector: str, text: str) -> None:
    page.wait_for_function(
        "([selector, text]) => document.querySelector(selector).textContent.trim() === text", arg=[selector, text]
    )


def test_token_of_the_fragment_leaves_the_address_bar_at_once(open_page: OpenPage, stub: DeskStub) -> None:
    """It is kept until the tab is closed."""
    page = open_page()
    assert page.url == f"{stub.url}desk"
    page.reload()
    page.wait_for_selector("#console:visible")
    assert page.evaluate("Object.values(localStorage)") == []


@pytest.mark.parametrize("written", ["a+b/c==", "a%2Bb%2Fc%3D%3D"])
def test_token_of_the_fragment_is_read_exactly(chromium: Chromium, stub: DeskStub, written: str) -> None:
    tab = chromium.open(f"{stub.url}desk#token={written}")
    assert tab.evaluate("sessionStorage.getItem('bass-webrtc.token.desk')") == "a+b/c=="
    tab.close()


def test_token_is_typed_and_a_wrong_one_is_refused(open_page: OpenPage) -> None:
    page = open_page("")
    assert not page.is_visible("#console")
    page.fill("#token", "wrong")
    page.keyboard.press("Enter")
    wait_for_text(page, "#sign-in-problem", "The token was rejected.")
    page.fill("#token", TOKEN)
    page.keyboard.press("Enter")
    page.wait_for_selector("#console:visible")
    assert not page.is_visible("#sign-in")
    assert page.input_value("#token") == ""


def test_signing_out_forgets_the_token(open_page: OpenPage) -> None:
    page = open_page()
    page.click("#sign-out")
    assert page.is_visible("#sign-in")
    assert page.evaluate("sessionStorage.length") == 0
    page.reload()
    page.wait_for_timeout(500)
    assert not page.is_visible("#console")


def test_desk_without_callers_explains_how_to_invite_one(open_page: OpenPage, stub: DeskStub) -> None:
    page = open_page()
    assert page.inner_text(".empty-title") == "Nobody is calling yet"
    assert "wait until you put them on air" in page.inner_text("#empty")
    assert page.inner_text("#call-address") == f"{stub.url}call"
    stub.desk |= {"initial_state": "on_air", "invite_required": True}
    stub.update()
    page.wait_for_selector("#empty-open", state="hidden")
    assert "are on air at once" in page.inner_text("#empty")
    stub.add_call("Anna")
    page.wait_for_selector("#empty", state="hidden")


def test_callers_are_listed_in_the_order_of_their_calls(open_page: OpenPage, stub: DeskStub) -> None:
    stub.add_call("Anna", "on_air", seconds=3725)
    stub.add_call("")
    page = open_page()
    assert page.evaluate(NAMES) == ["Anna", "Caller 2"]
    assert row(page).locator(".lamp").inner_text() == "On air"
    assert row(page).locator(".duration").inner_text().startswith("1:02:0")
    assert [is_pressed(page, name) for name in ("On air", "Hold", "Private")] == [True, False, False]
    assert page.inner_text("#count-on-air") == page.inner_text("#count-waiting") == "1"
    assert page.title() == "(1) Desk – bass-webrtc"
    stub.remove_call(1)
    wait_for_calls(page, "Caller 2")


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("On air", {"state": "on_air"}),
        ("Private", {"state": "private"}),
        ("Talkback", {"talkback": True}),
        ("Mute", {"muted": True}),
        ("Record", {"recording": True}),
    ],
)
def test_button_changes_the_call(open_page: OpenPage, stub: DeskStub, name: str, changes: dict[str, Any]) -> None:
    """Of the caller whose button it is, shown before the server has answered."""
    stub.add_call("Anna")
    ben = stub.add_call("Ben")
    stub.delay_s = 0.3
    page = open_page()
    button(page, name, 1).click()
    assert is_pressed(page, name, 1)
    wait_until(lambda: stub.requests == [("PATCH", f"/api/calls/{ben}", changes)])
    page.wait_for_timeout(1000)
    assert is_pressed(page, name, 1)
    assert not is_pressed(page, name, 0)


def test_call_that_is_ending_is_shown_until_it_is_gone(open_page: OpenPage, stub: DeskStub) -> None:
    """The server fades it out first."""
    stub.add_call("Anna")
    page = open_page()
    stub.call(1)["state"] = "ended"
    stub.update()
    wait_for_text(page, ".caller .lamp", "Ended")
    stub.remove_call(1)
    wait_for_calls(page)
    wait_for_text(page, "#announcements", "Anna has left.")


def test_toggle_is_switched_off_again(open_page: OpenPage, stub: DeskStub) -> None:
    stub.add_call("Anna", muted=True)
    page = open_page()
    assert is_pressed(page, "Mute")
    button(page, "Mute").click()
    assert not is_pressed(page, "Mute")
    wait_until(lambda: stub.changes() == [{"muted": False}])


def test_two_desks_show_the_same(open_page: OpenPage, stub: DeskStub) -> None:
    stub.add_call("Anna")
    first, second = open_page(), open_page()
    button(first, "On air").click()
    second.wait_for_function("() => document.querySelector('.lamp').textContent === 'On air'", timeout=2000)
    assert is_pressed(second, "On air")
    fader(second).evaluate("(input) => { input.value = 6; input.dispatchEvent(new Event('input')) }")
    first.wait_for_function("() => document.querySelector('.fader output').textContent === '+6.0 dB'", timeout=2000)
    assert fader(first).input_value() == "6"


@pytest.mark.parametrize(
    ("gain", "text", "position"),
    [(1.0, "0.0 dB", 0.0), (4.0, "+12.0 dB", 12.0), (0.5, "–6.0 dB", -6.0), (0, "off", -48)],
)
def test_fader_shows_decibels(open_page: OpenPage, stub: DeskStub, gain: float, text: str, position: float) -> None:
    stub.add_call("Anna", gain=gain)
    page = open_page()
    assert row(page).locator(".levels output").inner_text() == text
    assert fader(page).get_attribute("aria-valuetext") == text
    assert float(fader(page).input_value()) == position


def test_fader_is_moved_with_keys(open_page: OpenPage, stub: DeskStub) -> None:
    """Half a decibel per arrow key; the ends are silence and a factor of 4."""
    stub.add_call("Anna")
    page = open_page()
    fader(page).focus()
    for key, gain in (("ArrowLeft", 0.9441), ("Home", 0), ("End", 4)):
        page.keyboard.press(key)
        wait_until(lambda gain=gain: stub.call(1)["gain"] == gain)  # type: ignore[misc]


def test_double_click_sets_the_fader_to_0_db(open_page: OpenPage, stub: DeskStub) -> None:
    stub.add_call("Anna", gain=0.25)
    page = open_page()
    fader(page).dblclick()
    wait_until(lambda: stub.call(1)["gain"] == 1)
    page.wait_for_timeout(600)
    assert fader(page).input_value() == "0"


def test_fader_that_is_dragged_ignores_incoming_state(open_page: OpenPage, stub: DeskStub) -> None:
    """Meanwhile another desk moves it, too; the value of the one who drags last wins."""
    stub.add_call("Anna")
    page = open_page()
    box = fader(page).bounding_box()
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * 0.8, y)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.4, y, steps=5)
    held = fader(page).input_value()
    assert float(held) < -15
    wait_until(lambda: stub.call(1)["gain"] < 0.2)
    stub.call(1)["gain"] = 2.0
    stub.update()
    page.wait_for_timeout(1200)
    assert fader(page).input_value() == held
    page.mouse.move(box["x"] + box["width"] * 0.5, y, steps=3)
    moved = fader(page).input_value()
    page.mouse.up()
    page.wait_for_timeout(1200)
    assert fader(page).input_value() == moved
    assert stub.call(1)["gain"] == pytest.approx(10 ** (float(moved) / 20), abs=0.001)


def test_dragging_sends_the_last_value_and_few_requests(open_page: OpenPage, stub: DeskStub) -> None:
    stub.add_call("Anna")
    stub.delay_s = 0.1
    page = open_page()
    moves = """async (input) => {
        for (let db = 0; db >= -40; db -= 0.5) {
            input.value = db;
            input.dispatchEvent(new Event("input"));
            await new Promise((resolve) => setTimeout(resolve, 5));
        }
    }"""
    fader(page).evaluate(moves)
    wait_until(lambda: stub.call(1)["gain"] == 0.01)
    assert len(stub.changes()) < 15


def test_state_sent_before_a_change_does_not_undo_it(open_page: OpenPage, stub: DeskStub) -> None:
    """An event can be older than the answer that arrives before it."""
    stub.add_call("Anna")
    page = open_page()
    stub.is_stale = True
    button(page, "Mute").click()
    wait_until(lambda: stub.changes() == [{"muted": True}])
    stub.update()
    assert is_pressed(page, "Mute")
    # If the server still says so later, it is right: another desk has changed it back.
    page.wait_for_timeout(1500)
    assert not is_pressed(page, "Mute")


def test_refused_change_is_undone_and_explained(open_page: OpenPage, stub: DeskStub) -> None:
    stub.add_call("Anna")
    page = open_page()
    stub.refusal = Refused(409, "the disk is full")
    button(page, "Record").click()
    page.wait_for_selector("#problem:visible")
    assert page.inner_text("#problem-text") == "The disk is full."
    assert page.get_attribute("#problem", "role") == "alert"
    assert not is_pressed(page, "Record")
    page.click("#problem-close")
    assert not page.is_visible("#problem")


def test_hang_up_asks_first_without_blocking(open_page: OpenPage, stub: DeskStub) -> None:
    stub.add_call("Anna")
    stub.add_call("Ben")
    page = open_page()
    button(page, "Hang up").click()
    assert button(page, "Confirm").is_visible()
    wait_for_text(page, "#announcements", "Press again to hang up Anna.")
    button(page, "On air", 1).click()  # Nothing waits for the answer, and doing something else is a no.
    wait_until(lambda: stub.changes() == [{"state": "on_air"}])
    assert button(page, "Hang up").is_visible()
    assert stub.changes("DELETE") == []
    button(page, "Hang up").click()
    button(page, "Confirm").click()
    wait_for_calls(page, "Ben")
    assert [path for method, path, _ in stub.requests if method == "DELETE"] == ["/api/calls/1"]


def test_caller_is_renamed(open_page: OpenPage, stub: DeskStub) -> None:
    stub.add_call("Ann")
    page = open_page()
    button(page, "Rename").click()
    field = row(page).get_by_label("New name")
    assert field.input_value() == "Ann"
    field.fill(" Anna ")
    field.press("Enter")
    wait_for_calls(page, "Anna")
    wait_until(lambda: stub.changes() == [{"name": "Anna"}])
    assert page.evaluate("document.activeElement.ariaLabel") == "Rename"
    button(page, "Rename").click()
    field.fill("Berta")
    field.press("Escape")
    assert page.evaluate(NAMES) == ["Anna"]
    assert stub.changes() == [{"name": "Anna"}]


def test_new_name_is_not_lost_when_state_arrives(open_page: OpenPage, stub: DeskStub) -> None:
    stub.add_call("Ann")
    page = open_page()
    button(page, "Rename").click()
    field = row(page).get_by_label("New name")
    field.fill("Annab")
    stub.add_call("Ben")
    wait_for_calls(page, "Ann", "Ben")
    assert field.input_value() == "Annab"
    assert field.evaluate("(input) => input === document.activeElement")


def test_text_of_callers_never_becomes_markup(open_page: OpenPage, stub: DeskStub) -> None:
    stub.add_call(MARKUP)
    stub.invites = [{"id": "a", "name": MARKUP, "uses_left": 1, "expires_at": time.time() + 3600}]
    page = open_page()
    assert page.evaluate(NAMES) == [MARKUP]
    assert page.inner_text(".invite-name") == MARKUP
    stub.refusal = Refused(409, MARKUP)
    button(page, "Record").click()
    page.wait_for_selector("#problem:visible")
    assert MARKUP in page.inner_text("#problem-text")
    assert page.locator("img").count() == 0


def test_meters_show_the_levels(open_page: OpenPage, stub: DeskStub) -> None:
    stub.desk["programme_dbfs"] = -9.0
    stub.add_call("Anna", level_dbfs=-20.0)
    page = open_page()
    page.wait_for_function(
        "() => document.querySelector('#programme .fill').style.clipPath === 'inset(0px 22.5% 0px 0px)'"
    )
    meter = row(page).get_by_role("meter")
    page.wait_for_function(
        "() => document.querySelector('.caller [role=meter]').getAttribute('aria-valuenow') === '-20'"
    )
    assert meter.get_attribute("aria-label") == "Level of Anna"
    stub.call(1)["level_dbfs"] = None
    page.wait_for_function(
        "() => document.querySelector('.caller [role=meter]').getAttribute('aria-valuetext') === 'silent'"
    )


@pytest.mark.parametrize(
    ("network", "words"),
    [
        ({}, "Good"),
        ({"fraction_lost": 0.02}, "Fair: audio is lost"),
        ({"round_trip_ms": 500.0}, "Poor: long delay"),
        ({"jitter_ms": 30.0}, "Fair: uneven delay"),
        ({"round_trip_ms": None, "fraction_lost": None}, "Not measured yet"),
    ],
)
def test_network_is_described_in_words(
    open_page: OpenPage, stub: DeskStub, network: dict[str, Any], words: str
) -> None:
    stub.add_call("Anna", network=NETWORK | network)
    assert row(open_page()).locator(".health-words").inner_text() == words


def test_figures_of_the_network_are_shown_on_demand(open_page: OpenPage, stub: DeskStub) -> None:
    """And stay open when state arrives."""
    stub.add_call("Anna", network=NETWORK | {"fraction_lost": 0.0123})
    page = open_page()
    figures = row(page).locator(".network")
    assert not figures.is_visible()
    row(page).locator("summary").click()
    assert "Round trip\n23 ms" in figures.inner_text()
    assert "Loss\n1.2 %" in figures.inner_text()
    stub.call(1)["network"]["round_trip_ms"] = 51.0
    stub.update()
    page.wait_for_function("() => document.querySelector('.network').innerText.includes('51 ms')")
    row(page).locator("[data-fader=return_gain]").focus()
    page.keyboard.press("Home")
    wait_until(lambda: stub.call(1)["return_gain"] == 0)


def test_record_buttons_need_a_server_that_records(open_page: OpenPage, stub: DeskStub) -> None:
    stub.add_call("Anna")
    page = open_page()
    page.click("#record-programme")
    assert page.get_attribute("#record-programme", "aria-pressed") == "true"
    wait_until(lambda: stub.desk["recording"])
    stub.desk["can_record"] = False
    stub.update()
    page.wait_for_selector("#record-programme", state="hidden")
    assert not button(page, "Record").is_visible()


def test_new_callers_and_changes_are_announced(open_page: OpenPage, stub: DeskStub) -> None:
    """What was there when the desk was opened is not."""
    stub.add_call("Anna")
    page = open_page()
    assert page.get_attribute("#announcements", "role") == "status"
    assert page.inner_text("#announcements") == ""
    ben = stub.add_call("Ben")
    wait_for_text(page, "#announcements", "Ben is calling: waiting.")
    stub.call(ben)["state"] = "on_air"
    stub.update()
    wait_for_text(page, "#announcements", "Ben: on air.")
    stub.remove_call(ben)
    wait_for_text(page, "#announcements", "Ben has left.")


def test_lost_connection_is_shown_and_repaired(open_page: OpenPage, stub: DeskStub) -> None:
    """The callers stay visible; their levels do not."""
    stub.add_call("Anna")
    page = open_page()
    stub.shut()
    page.wait_for_selector("#lost:visible")
    page.wait_for_function("() => bassWebrtc.link.state === 'waiting'")
    assert page.inner_text("#link-countdown").startswith("Retrying in")
    assert page.evaluate(NAMES) == ["Anna"]
    assert row(page).locator(".figure").inner_text() == "–∞"
    stub.calls[0]["name"] = "Anna B"
    stub.restart()
    page.wait_for_selector("#lost", state="hidden")
    wait_for_calls(page, "Anna B")


def test_ended_stream_is_opened_again(open_page: OpenPage, stub: DeskStub) -> None:
    page = open_page()
    stub.cut_streams()
    stub.add_call("Anna")
    wait_for_calls(page, "Anna")


def test_silent_stream_counts_as_lost(open_page: OpenPage, stub: DeskStub) -> None:
    """A connection can be dead without an end, as after a change of the network."""
    page = open_page()
    stub.is_silent = True
    page.wait_for_selector("#lost:visible", timeout=10_000)
    stub.is_silent = False
    page.wait_for_selector("#lost", state="hidden", timeout=10_000)


def test_attempts_are_made_less_often(chromium: Chromium, stub: DeskStub) -> None:
    tab = chromium.open(f"{stub.url}desk")
    delays = tab.evaluate(
        """(async () => {
            const { DeskLink } = await import(new URL("desk_link.js", document.baseURI));
            const link = new DeskLink("http://127.0.0.1:9/", () => null);
            const delays = [];
            link.addEventListener("change", () => {
                if (link.state === "waiting") delays.push(link.retryAtMs - Date.now());
            });
            link.start();
            while (delays.length < 3) await new Promise((resolve) => setTimeout(resolve, 50));
            link.stop();
            return delays;
        })()"""
    )
    tab.close()
    assert 450 <= delays[0] <= 630
    assert 950 <= delays[1] <= 1260
    assert 1950 <= delays[2] <= 2510


@pytest.mark.parametrize(
    ("parts", "events"),
    [
        (["event: a\ndata: 1\n\n"], [["a", "1"]]),
        (["data: 1\ndata: 2\n\n"], [["message", "1\n2"]]),
        (["ev", "ent: a\r", "\ndata:", " {}\r\n\r", "\n"], [["a", "{}"]]),
        ([": comment\n\n", "event: a\n\n", "data: x\n\n"], [["message", "x"]]),
        (["data\n\n", "data:  two spaces\rid: 7\rretry: 1\r\r\n"], [["message", ""], ["message", " two spaces"]]),
        (["event: a\ndata: unfinished\n"], []),
    ],
    ids=["one", "lines", "cut anywhere", "comments", "fields", "unfinished"],
)
def test_events_are_parsed(chromium: Chromium, stub: DeskStub, parts: list[str], events: list[list[str]]) -> None:
    """As HTML, 9.2.6, says."""
    tab = chromium.open(f"{stub.url}desk")
    parsed = tab.page.evaluate(
        """async ([module, parts]) => {
            const { EventParser } = await import(module);
            const parser = new EventParser();
            return parts.flatMap((part) => parser.feed(part)).map(({ event, data }) => [event, data]);
        }""",
        [f"{stub.url}event_parser.js", parts],
    )
    tab.close()
    assert parsed == events


def test_invitation_is_made_and_its_link_copied(open_page: OpenPage, stub: DeskStub) -> None:
    page = open_page()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.fill("#invite-name", "Anna")
    page.fill("#invite-uses", "3")
    page.select_option("#invite-expiry", label="7 days")
    page.click("#invite-form .primary")
    page.wait_for_selector("#new-invite:visible")
    assert stub.changes("POST") == [{"name": "Anna", "uses": 3, "expires_s": 604_800}]
    link = page.input_value("#invite-link")
    assert link == f"{stub.url}call?invite=secret-1"
    assert page.evaluate("document.activeElement.id") == "invite-copy"
    page.keyboard.press("Enter")
    wait_for_text(page, "#invite-copied", "Copied.")
    assert page.evaluate("navigator.clipboard.readText()") == link
    assert page.inner_text(".invite-facts") == "3 uses left, expires in 7 days"


def test_link_of_an_earlier_invitation_can_be_copied_while_the_page_is_open(
    open_page: OpenPage, stub: DeskStub
) -> None:
    """The server tells it only once."""
    stub.invites = [{"id": "old", "name": "Old", "uses_left": 1, "expires_at": time.time() + 7200}]
    page = open_page()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    for name in ("Anna", "Ben"):
        page.fill("#invite-name", name)
        page.keyboard.press("Enter")
        page.wait_for_function("(name) => document.getElementById('invites').textContent.includes(name)", arg=name)
    assert not page.locator(".invite").nth(0).get_by_text("Copy link").is_visible()
    page.locator(".invite").nth(1).get_by_text("Copy link").click()
    wait_for_text(page, "#invite-copied", "Copied.")
    assert page.evaluate("navigator.clipboard.readText()") == f"{stub.url}call?invite=secret-1"


def test_link_is_selected_where_pages_cannot_copy(chromium: Chromium, stub: DeskStub) -> None:
    """Without HTTPS there is no clipboard."""
    url = stub.url.replace("127.0.0.1", "radio.test")
    tab = chromium.open(f"{url}desk#token={TOKEN}")
    page = tab.page
    page.wait_for_selector("#console:visible")
    page.fill("#invite-name", "Anna")
    page.keyboard.press("Enter")
    page.wait_for_selector("#new-invite:visible")
    page.click("#invite-copy")
    wait_for_text(page, "#invite-copied", "Press Ctrl+C to copy.")
    assert page.evaluate("getSelection().toString()") == f"{url}call?invite=secret-1"
    assert page.inner_text("#producer-title") == "The microphone requires HTTPS"
    tab.close()


def test_invitation_is_revoked_after_a_question(open_page: OpenPage, stub: DeskStub) -> None:
    stub.invites = [{"id": "a b", "name": "Anna", "uses_left": 1, "expires_at": time.time() + 7200}]
    page = open_page()
    page.get_by_role("button", name="Revoke").click()
    assert stub.changes("DELETE") == []
    page.get_by_role("button", name="Confirm").click()
    page.wait_for_selector("#no-invites:visible")
    assert [path for _, path, _ in stub.requests] == ["/api/invites/a%20b"]


def test_plot_shows_the_listeners_of_a_day(open_page: OpenPage, stub: DeskStub) -> None:
    now_s = int(time.time())
    history = [[now_s - 60 * minute, 10 if minute > 720 else 40] for minute in range(1440, 0, -1)]
    stub.desk |= {"listeners": 25, "peak_listeners": 40, "history": history}
    page = open_page()
    plot = page.get_by_role("img")
    page.wait_for_function("() => document.querySelectorAll('.plot path').length === 2")
    box = plot.bounding_box()
    assert page.inner_text("#count-listeners") == "25"
    assert page.inner_text("#count-peak") == "40"
    assert "25 listeners now, at most 40" in page.inner_text("#plot-text")
    for share, listeners in ((0.25, 10), (0.75, 40)):
        page.mouse.move(box["x"] + box["width"] * share, box["y"] + 40)
        assert page.inner_text("figcaption").endswith(f": {listeners} listeners")
    height = box["height"]
    page.wait_for_timeout(1500)
    assert plot.bounding_box()["height"] == height


def test_producer_talks_with_the_token_of_the_desk(open_page: OpenPage, stub: DeskStub) -> None:
    stub.sessions.posts = [refusal(403, "enough")]
    page = open_page()
    page.click("#talk")
    wait_until(lambda: len(stub.sessions.of("POST")) == 1)
    [post] = stub.sessions.of("POST")
    assert (post.path, post.headers.get("Authorization")) == ("/desk/audio", f"Bearer {TOKEN}")
    assert "a=sendrecv" in post.body.decode().split("\r\n")
    wait_for_text(page, "#producer-title", "Access denied")
    assert page.inner_text("#producer-advice") == "Enough."


def test_page_complies_with_its_content_security_policy(chromium: Chromium, stub: DeskStub) -> None:
    stub.add_call("Anna")
    messages: list[str] = []
    page = chromium.open("about:blank").page
    page.on("console", lambda message: messages.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: messages.append(str(error)))
    page.goto(f"{stub.url}desk#token={TOKEN}")
    page.wait_for_selector(".caller")
    page.wait_for_timeout(500)
    # Chromium advises a user name beside each password.
    assert [text for text in messages if "Password forms" not in text] == []
    page.close()


@pytest.mark.parametrize("width_px", [320, 375, 768, 1280, 2560])
def test_page_is_not_wider_than_the_screen(open_page: OpenPage, stub: DeskStub, width_px: int) -> None:
    stub.add_call("Somebody with a name that is as long as the server permits it.", "on_air", seconds=36_000)
    stub.invites = [{"id": "a", "name": "W" * 60, "uses_left": 1000, "expires_at": time.time() + 7200}]
    page = open_page()
    page.set_viewport_size({"width": width_px, "height": 800})
    page.click(".more summary")
    button(page, "Hang up").click()
    assert page.evaluate("document.documentElement.scrollWidth") == width_px


def test_controls_have_touch_size(open_page: OpenPage, stub: DeskStub) -> None:
    stub.add_call("Anna")
    page = open_page()
    page.set_viewport_size({"width": 375, "height": 812})
    for control in page.locator("button:visible, input:visible, select:visible").all():
        assert control.bounding_box()["height"] >= 44, control.inner_text()
