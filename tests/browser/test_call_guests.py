"""Guests in the real page call the real server: who hears whom, what the page shows, and that changes make no click.

Each guest is a browser of its own, whose microphone hears a tone.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

import bass_webrtc as bw
from support import netns, pulse, tones
from support.browsers import (
    FIREFOX_MICROPHONE_DBFS,
    FIREFOX_MICROPHONE_HZ,
    Chromium,
    missing_chromium,
    missing_firefox,
)
from support.callers import read, request
from support.fixtures import skip_for
from support.guest_pages import GUEST_DBFS, Guest, guest_browser, in_blocks, level_dbfs, secure_origin
from support.patience import wait_until
from support.publisher_recorder import Recorder
from support.reruns import real_time_audio
from support.studio import open_firefox
from support.tones import Samples

pytestmark = [pytest.mark.alone, real_time_audio]

# None is a harmonic of another, and they are far enough apart to judge each in 10 ms.
PROGRAMME_HZ, ANNA_HZ, BEN_HZ, CLARA_HZ, DORA_HZ, STUDIO_HZ = 500.0, 1700.0, 2900.0, 3700.0, 4300.0, 5300.0
SEPARATION_DB = 60.0
"""About 80 are measured: what Opus adds to five tones."""
Judge = Callable[[str, Sequence[Samples], dict[float, float], Sequence[float]], None]
BEARER = {"Authorization": "Bearer desk", "Content-Type": "application/json"}


def make_server(config: bw.ServerConfig) -> bw.Server:
    return bw.Server(bw.Tone(hz=PROGRAMME_HZ, right_hz=PROGRAMME_HZ, level_dbfs=GUEST_DBFS), config)


def call_of(server: bw.Server, name: str) -> bw.Call:
    wait_until(lambda: any(call.name == name for call in server.calls))
    return next(call for call in server.calls if call.name == name)


def put_on_air(server: bw.Server, guest: Guest, name: str) -> bw.Call:
    call = call_of(server, name)
    call.state = "on_air"
    guest.wait_for_title("On air")
    return call


@pytest.fixture
def judge(record_property: Callable[[str, object], None]) -> Judge:
    """Checks that tones have their level, and that others are at least ``SEPARATION_DB`` below all of them."""

    def judge(who: str, blocks: Sequence[Samples], there: dict[float, float], missing: Sequence[float]) -> None:
        levels = {hz: round(level_dbfs(blocks, hz), 1) for hz in (*there, *missing)}
        shown = ", ".join(f"{hz:g} Hz {level:g}" for hz, level in levels.items())
        record_property("summary", f"{who} hears (dBFS): {shown}")
        for hz, expected_dbfs in there.items():
            assert levels[hz] == pytest.approx(expected_dbfs, abs=2.0), (who, levels)
        for hz in missing:
            assert levels[hz] < min(there.values(), default=GUEST_DBFS) - SEPARATION_DB, (who, levels)

    return judge


def heard(*hz: float) -> dict[float, float]:
    """Return these tones at the level of the guests."""
    return dict.fromkeys(hz, GUEST_DBFS)


@dataclass
class Show:
    """A server with three guests on air."""

    server: bw.Server
    guests: dict[str, Guest]
    calls: dict[str, bw.Call]


HZ = {"Anna": ANNA_HZ, "Ben": BEN_HZ, "Clara": CLARA_HZ}


@pytest.fixture(scope="module")
def browsers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Chromium]]:
    skip_for(missing_chromium())
    folder = tmp_path_factory.mktemp("microphones")
    with contextlib.ExitStack() as stack:
        yield {name: stack.enter_context(guest_browser(folder, hz)) for name, hz in HZ.items()}


@pytest.fixture
def server() -> Iterator[bw.Server]:
    """Each test has its own, also when it runs again: calls outlive a test that fails."""
    config = bw.ServerConfig(http_port=0, udp_port=0, calls="waiting", desk_token="desk", max_peers=20)
    with make_server(config) as server:
        server.start()
        yield server


@pytest.fixture
def show(server: bw.Server, browsers: dict[str, Chromium]) -> Iterator[Show]:
    guests, calls = {}, {}
    with contextlib.ExitStack() as tabs:
        for name, browser in browsers.items():
            guests[name] = Guest(browser, f"{server.url}call?name={name}")
            tabs.callback(guests[name].tab.close)
            calls[name] = put_on_air(server, guests[name], name)
            guests[name].listen()
        yield Show(server, guests, calls)


def test_guests_hear_the_programme_and_each_other_but_not_themselves(show: Show, judge: Judge, tmp_path: Path) -> None:
    """And a fourth guest, who waits, hears them all, but is in nobody's feed."""
    server = show.server
    listener = bw.WhepClient(f"{server.url}whep", forbid_private=False)
    with guest_browser(tmp_path, DORA_HZ) as browser, listener:
        listener.start()
        waiting = Guest(browser, f"{server.url}call?name=Dora")
        waiting.wait_for_title("Waiting")
        waiting.listen()
        wait_until(lambda: waiting.advice().startswith("You are next."))
        assert listener.wait_connected(20)
        for name, own_hz in HZ.items():
            others = [hz for hz in HZ.values() if hz != own_hz]
            judge(name, show.guests[name].hear(), heard(PROGRAMME_HZ, *others), [own_hz, DORA_HZ])
        judge("Dora, who waits", waiting.hear(), heard(PROGRAMME_HZ, *HZ.values()), [DORA_HZ])
        judge("mix", in_blocks(read(server, 3.0)), heard(*HZ.values()), [PROGRAMME_HZ, DORA_HZ])
        judge("listener", in_blocks(read(listener, 3.0)), heard(PROGRAMME_HZ, *HZ.values()), [DORA_HZ])
        judge("Dora alone", in_blocks(read(call_of(server, "Dora"), 3.0)), heard(DORA_HZ), list(HZ.values()))
        waiting.leave()
    wait_until(lambda: len(server.calls) == 3)


def test_talkback_reaches_only_whom_it_should(show: Show, judge: Judge) -> None:
    """Anna with talkback, Ben in private; not Clara, the mix or the listeners."""
    server, guests, calls = show.server, show.guests, show.calls
    listener = bw.WhepClient(f"{server.url}whep", forbid_private=False)
    with listener:
        listener.start()
        assert listener.wait_connected(20)
        server.set_talkback(bw.Tone(hz=STUDIO_HZ, right_hz=STUDIO_HZ, level_dbfs=GUEST_DBFS))
        judge("Anna before", guests["Anna"].hear(), heard(PROGRAMME_HZ, BEN_HZ, CLARA_HZ), [ANNA_HZ, STUDIO_HZ])
        calls["Anna"].talkback = True
        calls["Ben"].state = "private"
        guests["Ben"].wait_for_title("Talking with the producer")
        judge("Anna", guests["Anna"].hear(), heard(PROGRAMME_HZ, CLARA_HZ, STUDIO_HZ), [ANNA_HZ, BEN_HZ])
        judge("Ben", guests["Ben"].hear(), heard(STUDIO_HZ), [PROGRAMME_HZ, *HZ.values()])
        judge("Clara", guests["Clara"].hear(), heard(PROGRAMME_HZ, ANNA_HZ), [BEN_HZ, CLARA_HZ, STUDIO_HZ])
        judge("mix", in_blocks(read(server, 3.0)), heard(ANNA_HZ, CLARA_HZ), [BEN_HZ, STUDIO_HZ, PROGRAMME_HZ])
        on_air = heard(PROGRAMME_HZ, ANNA_HZ, CLARA_HZ)
        judge("listener", in_blocks(read(listener, 3.0)), on_air, [BEN_HZ, STUDIO_HZ])
        server.set_talkback(None)
        calls["Anna"].talkback = False
        calls["Ben"].state = "on_air"
        guests["Ben"].wait_for_title("On air")
        judge("Anna after", guests["Anna"].hear(), heard(PROGRAMME_HZ, BEN_HZ, CLARA_HZ), [ANNA_HZ, STUDIO_HZ])


def test_hundred_changes_of_state_in_a_row_make_no_click(
    show: Show, record_property: Callable[[str, object], None]
) -> None:
    """Anna's, through the desk's API, as a listener hears the programme and Ben.

    Repeated if a stall of the machine was heard: then audio was late on its way to the server, or to the listener.
    """
    server = show.server
    listener = bw.WhepClient(f"{server.url}whep", forbid_private=False)
    with listener:
        listener.start()
        assert listener.wait_connected(20)
        with Recorder(listener.read) as recorder:
            recorder.wait_for_sound()
            for _ in range(5):
                recorder.take(2.0)
                before = adaptations(listener, show.calls["Ben"])
                recorder.worst_late_s = 0.0
                samples = change_state_100_times(show, recorder)
                after = adaptations(listener, show.calls["Ben"])
                stalled = recorder.worst_late_s > 0.02 or after != before
                changed = len(tones.phase_jumps(samples, ANNA_HZ))
                jumps = {hz: tones.phase_jumps(samples, hz) for hz in (PROGRAMME_HZ, BEN_HZ)}
                record_property(
                    "summary",
                    f"100 changes of state: phase jumps at {jumps} s; late audio of the listener and of Ben: {before} "
                    f"to {after} samples, worst read {1000 * recorder.worst_late_s:.0f} ms late",
                )
                assert changed > 200, "Anna's tone was not switched"
                if not any(jumps.values()) or not stalled:
                    break
    assert jumps == {PROGRAMME_HZ: [], BEN_HZ: []}


def adaptations(listener: bw.WhepClient, call: bw.Call) -> list[int]:
    """Return how many samples were made up or left out because audio was late: for the listener, and of a call."""
    return [
        one.concealed_samples + one.inserted_samples_for_deceleration + one.removed_samples_for_acceleration
        for one in (listener.stats(), call.peer.stats())
    ]


def change_state_100_times(show: Show, recorder: Recorder) -> Samples:
    """Change Anna's state every 100 ms; return what the listener hears meanwhile."""
    address = f"{show.server.url}api/calls/{show.calls['Anna'].id}"
    begin_s = time.perf_counter()
    for number in range(100):
        state = ("waiting", "on_air", "private", "on_air")[number % 4]
        assert request(address, "PATCH", json.dumps({"state": state}), BEARER).status == 200
        time.sleep(max(0.0, begin_s + (number + 1) * 0.1 - time.perf_counter()))
    assert show.calls["Anna"].state == "on_air"
    return recorder.last(time.perf_counter() - begin_s + 0.3)[:, 0]


@pytest.fixture
def emil(server: bw.Server, browsers: dict[str, Chromium]) -> Iterator[Guest]:
    """A guest who has entered this name, and waits."""
    guest = Guest(browsers["Anna"], f"{server.url}call", "Emil")
    with contextlib.closing(guest.tab):
        guest.wait_for_title("Waiting")
        yield guest


def test_page_shows_each_state_and_why_the_call_has_ended(server: bw.Server, emil: Guest) -> None:
    call = call_of(server, "Emil")
    wait_until(lambda: emil.advice() == "You are next. You hear the programme. You are not on air yet.")
    call.state = "on_air"
    emil.wait_for_title("On air")
    assert emil.advice() == "Everybody hears you, Emil."
    call.state = "private"
    emil.wait_for_title("Talking with the producer")
    call.state = "waiting"
    emil.wait_for_title("Waiting")
    call.hang_up("the show is over")
    emil.wait_for_title("The call has ended")
    assert emil.advice() == "The show is over."


def test_producer_who_hangs_up_ends_the_call_in_the_page(server: bw.Server, emil: Guest) -> None:
    """Through the desk's API."""
    call = call_of(server, "Emil")
    assert request(f"{server.url}api/calls/{call.id}", "DELETE", "", BEARER).status == 204
    emil.wait_for_title("The call has ended")
    assert emil.advice() == "The producer hung up."


def test_firefox_and_two_chromium_guests_hear_each_other_but_not_themselves(judge: Judge, tmp_path: Path) -> None:
    skip_for(missing_chromium() or missing_firefox() or netns.missing() or pulse.missing())
    with contextlib.ExitStack() as stack:
        studio = stack.enter_context(open_firefox())
        assert studio.host is not None
        server = stack.enter_context(make_server(studio.config(calls="waiting", max_peers=20)))
        studio.start(server)
        guests = {"Fritz": Guest(studio.browser, f"{server.url}call?name=Fritz")}
        put_on_air(server, guests["Fritz"], "Fritz")
        for name, hz in (("Anna", ANNA_HZ), ("Ben", BEN_HZ)):
            browser = stack.enter_context(guest_browser(tmp_path, hz, studio.host, secure_origin(server)))
            guests[name] = Guest(browser, f"{server.url}call?name={name}")
            put_on_air(server, guests[name], name)
        for guest in guests.values():
            guest.listen()
        fritz = {FIREFOX_MICROPHONE_HZ: FIREFOX_MICROPHONE_DBFS}
        judge("mix", in_blocks(read(server, 3.0)), heard(ANNA_HZ, BEN_HZ) | fritz, [PROGRAMME_HZ])
        own = {"Fritz": FIREFOX_MICROPHONE_HZ, "Anna": ANNA_HZ, "Ben": BEN_HZ}
        for name, guest in guests.items():
            there = heard(PROGRAMME_HZ, ANNA_HZ, BEN_HZ) | fritz
            del there[own[name]]
            judge(name, guest.hear(), there, [own[name]])
