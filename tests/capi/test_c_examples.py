"""The C examples work, compiled as C99 and as C++ without warnings."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import time

import pytest

from support import c_library, tones
from support.aiortc_caller import Caller
from support.browsers import Chromium, missing_chromium
from support.c_library import press_return, read_description, read_line, read_until, write_input
from support.callers import Callers, TestCaller, request
from support.echo_server import echo
from support.fixtures import skip_for
from support.listener import Listener
from support.page_server import PageServer
from support.reruns import real_time_audio

pytestmark = real_time_audio

standards = pytest.mark.parametrize("standard", c_library.STANDARDS)


@standards
def test_chromium_plays_the_tone_of_serve(standard: str) -> None:
    skip_for(missing_chromium())
    binary = c_library.program(c_library.EXAMPLES / "serve.c", standard)
    # The test player's page has another origin, which serve.c does not allow.
    with (
        c_library.running([str(binary), "", "0"]) as process,
        Chromium(extra_flags=("--disable-web-security",)) as browser,
        PageServer() as pages,
    ):
        url = re.search(r"http://127\.0\.0\.1:\d+/", read_line(process))
        assert url is not None
        listener = Listener(browser, pages.listen_url)
        assert listener.play(url[0] + "whep")["status"] == 201
        assert [read_line(process) for _ in range(3)] == [
            f"peer 0: {state}\n" for state in ("new", "connecting", "connected")
        ]
        time.sleep(1.0)  # until the browser's jitter buffer has adapted
        heard = listener.record(1.0)
        printed = press_return(process)
    assert_tone(heard[:, 0], 440.0)
    assert_tone(heard[:, 1], 880.0)
    counted = re.search(r"1 connected, (\d+) packets sent\n", printed)
    assert counted is not None
    assert int(counted[1]) > 100
    assert printed.endswith("peer 0: closed\n")


def assert_tone(samples: tones.Samples, hz: float) -> None:
    assert tones.frequency_hz(samples) == pytest.approx(hz, abs=1.0)
    assert tones.tone_dbfs(samples, hz) == pytest.approx(-12.0, abs=1.0)


@standards
def test_mediamtx_sends_to_a_server_and_plays_from_it(standard: str) -> None:
    binary = c_library.program(c_library.EXAMPLES / "mediamtx.c", standard)
    with echo(token="secret") as url:
        arguments = ["--whip", f"{url}whip", "--whep", f"{url}whep", "--token", "secret"]
        with c_library.running([str(binary), *arguments]) as process:
            assert read_line(process) == f"pushing to {url}whip\n"
            levels = r"heard: left (\d+) Hz at (\S+) dBFS, right (\d+) Hz at (\S+) dBFS\n"
            for _ in range(15):
                heard = re.fullmatch(levels, read_line(process))
                if heard is not None and heard[1] == "440":
                    break
            assert heard is not None
            assert [float(figure) for figure in heard.groups()] == pytest.approx([440, -12, 880, -12], abs=1.0)
            press_return(process)


@standards
@pytest.mark.parametrize("role", ["offers", "answers"])
async def test_callback_calls_aiortc(role: str, standard: str) -> None:
    binary = c_library.program(c_library.EXAMPLES / "callback.c", standard)
    async with Caller(600.0) as caller:
        offer = await caller.offer() if role == "answers" else ""
        with c_library.running([str(binary), *(["--answer"] if offer else [])]) as process:
            write_input(process, f"{offer}\n" if offer else "")
            description = await asyncio.to_thread(read_description, process, "answer" if offer else "offer")
            if offer:
                await caller.take_answer(description)
            else:
                write_input(process, f"{await caller.answer(description)}\n")
            heard = await caller.hear(1.0)
            assert_tone(heard[:, 0], 440.0)
            assert_tone(heard[:, 1], 880.0)
            write_input(process, "candidate:1 1 udp 1 name.local 9 typ host\n")  # It cannot use this one.
            wanted = r"heard: left 600 Hz at -12\.\d dBFS, right 600 Hz at -12\.\d dBFS\n"
            await asyncio.to_thread(read_until, process, wanted)
            printed = await asyncio.to_thread(press_return, process)
    assert printed.endswith("peer 0: closed\n")


@standards
def test_phone_in_puts_guests_on_air(standard: str) -> None:
    """Two guests with invites; the producer types commands."""
    binary = c_library.program(c_library.EXAMPLES / "phone_in.c", standard)
    with Callers() as callers, c_library.running([str(binary), "", "0"]) as process:
        url = re.search(r"http://127\.0\.0\.1:\d+/", read_line(process))
        assert url is not None
        assert callers.post(f"{url[0]}call", 600.0)[1].status == 403
        anna = callers.call(invited(process, "Anna"), 600.0)
        assert read_line(process).startswith("1 Anna: waiting, gain 1.00, -")
        ben = callers.call(invited(process, "Ben B"), 1000.0)
        assert read_line(process).startswith("2 Ben B: waiting, ")
        assert heard_by(anna) == {440}
        for command, printed in (
            ("air 1", "1 Anna: on air"),
            ("air 2", "2 Ben B: on air"),
            ("gain 2 0.5", "gain 0.50"),
        ):
            write_input(process, f"{command}\n")
            assert printed in read_line(process)
        assert heard_by(anna) == {440, 1000}
        assert heard_by(ben) == {440, 600}
        write_input(process, "mute 2\nname 1  Änne\nlisten 1\nunlisten 1\nlist\n")
        described = [read_line(process) for _ in range(4)]  # two events, two of the list
        assert "2 Ben B: on air, gain 0.50, muted, -" in "".join(described)
        assert "1 Änne: on air, gain 1.00, -" in "".join(described)
        assert heard_by(anna) == {440}
        write_input(process, "private 2\nwait 1\nreturn 1 0\n")
        states = "".join(read_line(process) for _ in range(3))
        assert "2 Ben B: private, " in states
        assert "1 Änne: waiting, " in states
        assert heard_by(anna) == heard_by(ben) == set()
        write_input(process, "bye 1 thank you\n")
        gone = re.fullmatch(r"1 Änne: thank you, gain 1\.00, -127 dBFS, \d+ s, invite (\w+)\n", read_line(process))
        assert gone is not None
        write_input(process, f"revoke {gone[1]}\n")  # It was used up.
        assert re.fullmatch(r"revoke: there is no invite '\w+': .* \(error 37\)\n", read_line(process))
        assert callers.post(f"{url[0]}call", 600.0)[1].status == 403
        assert press_quit(process).startswith("2 Ben B: the server stops, ")


def invited(process: subprocess.Popen[str], name: str) -> str:
    """The link of an invite that ``phone_in.c`` makes."""
    write_input(process, f"invite {name}\n")
    link = re.fullmatch(r"invite \w+, for one call within an hour: (http:\S+)\n", read_line(process))
    assert link is not None
    return link[1]


def heard_by(caller: TestCaller) -> set[int]:
    """The tones that a caller hears on the left: that of ``phone_in.c``, and those of the callers."""
    samples = caller.hear(1.0)[:, 0]
    return {hz for hz in (440, 600, 1000) if tones.tone_dbfs(samples, hz) > -40}


def press_quit(process: subprocess.Popen[str]) -> str:
    """Type "quit", assert that the program exits without errors, and return the rest of its output."""
    write_input(process, "quit")
    return press_return(process)


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("air 7\n", r"air: there is no call 7: it never connected, or it has ended \(error 37\)\n"),
        ("bye\n", r"bye: there is no call 0: .*\n"),
        ("gain 7 9\n", r"gain: there is no call 7: .*\n"),
        ("talk 7\n", r"no microphone: BASS error \d+\ntalk: there is no call 7: .*\n"),
        ("revoke\n", r"revoke: there is no invite '': .*\n"),
        ("list\n", ""),
        ("\n", r"list +show the calls\n(.+\n)+quit +end the show\n"),
        ("dance 1\n", r"list +show the calls\n(.+\n)+"),
    ],
)
def test_phone_in_explains_what_it_cannot_do(typed: str, expected: str) -> None:
    binary = c_library.program(c_library.EXAMPLES / "phone_in.c")
    with c_library.running([str(binary), "", "0"]) as process:
        read_line(process)
        printed, _ = process.communicate(typed, timeout=30)
    assert process.returncode == 0
    assert re.fullmatch(expected, printed), printed


def test_phone_in_begins_links_with_the_public_url() -> None:
    binary = c_library.program(c_library.EXAMPLES / "phone_in.c")
    with c_library.running([str(binary), "", "0", "https://radio.example/show/"]) as process:
        read_line(process)
        printed, _ = process.communicate("invite\n", timeout=30)
    assert re.search(r": https://radio\.example/show/call\?invite=[\w-]{20,}\n$", printed), printed


def test_phone_in_tells_what_the_desk_changes() -> None:
    binary = c_library.program(c_library.EXAMPLES / "phone_in.c")
    with Callers() as callers, c_library.running([str(binary), "", "0", "", "secret"]) as process:
        url = re.search(r"http://127\.0\.0\.1:\d+/", read_line(process))
        assert url is not None
        callers.call(invited(process, "Anna"), 600.0)
        assert read_line(process).startswith("1 Anna: waiting, ")
        calls = f"{url[0]}api/calls"
        assert request(calls, "GET").status == 401
        fields = {"Authorization": "Bearer secret", "Content-Type": "application/json"}
        assert [call["name"] for call in json.loads(request(calls, "GET", "", fields).body)] == ["Anna"]
        assert request(f"{calls}/1", "PATCH", '{"state": "on_air", "muted": true}', fields).status == 200
        assert read_line(process).startswith("1 Anna: on air, gain 1.00, muted, ")
        assert request(f"{calls}/1", "DELETE", "", fields).status == 204
        assert re.match(r"1 Anna: the producer hung up, gain 1\.00, muted, -127 dBFS, ", read_line(process))
        assert press_quit(process) == ""


@pytest.mark.parametrize("arguments", [["radio.example"], ["", "two words"]])
def test_phone_in_names_a_wrong_argument(arguments: list[str]) -> None:
    binary = c_library.program(c_library.EXAMPLES / "phone_in.c")
    with c_library.running([str(binary), "", "0", *arguments]) as process:
        printed, errors = process.communicate(timeout=30)
    assert (process.returncode, printed) == (1, "")
    assert re.search(r"(radio\.example|SetDeskToken): .* \(error 20\)\n$", errors), errors


@pytest.mark.parametrize(
    ("arguments", "typed", "code", "expected"),
    [
        (["--answer"], "v=0\nrubbish\n\n", 1, r"the call: .*\(error 5002\)\n"),
        (["--answer"], "", 1, "no description was entered, or it is too long\n"),
        (["--ice-server", "http://h"], "", 1, r"http://h: ICE server .* cannot be used.*\(error 20\)\n"),
        (["--ice-server"], "", 2, r"usage: .*\n"),
    ],
)
def test_callback_prints_why_it_failed(arguments: list[str], typed: str, code: int, expected: str) -> None:
    binary = c_library.program(c_library.EXAMPLES / "callback.c")
    with c_library.running([str(binary), *arguments]) as process:
        _, errors = process.communicate(typed, timeout=30)
        assert process.returncode == code
    assert re.fullmatch(expected, errors), errors


def test_mediamtx_prints_why_it_failed() -> None:
    binary = c_library.program(c_library.EXAMPLES / "mediamtx.c")
    with echo(token="secret") as url, c_library.running([str(binary), "--whip", f"{url}whip"]) as process:
        assert process.wait(30) == 1
        printed, errors = process.communicate()
    assert printed == ""
    assert re.fullmatch(rf"{url}whip: .*401.* \(error 5003\)\n", errors)


def test_serve_names_a_file_that_bass_cannot_open() -> None:
    """Without a source the server would run, and only receive."""
    binary = c_library.program(c_library.EXAMPLES / "serve.c")
    with c_library.running([str(binary), "typo.mp3", "0"]) as process:
        printed, errors = process.communicate("\n", timeout=30)
    assert (process.returncode, printed) == (1, "")
    assert errors.endswith("cannot open typo.mp3: BASS error 2\n")  # After what ALSA says without a sound card.
