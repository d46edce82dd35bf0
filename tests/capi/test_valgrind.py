"""The example programs under valgrind: no error in our code, and nothing of ours is left after Free."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

import bass_webrtc as bw
from support import c_library, memcheck
from support.c_library import press_return, read_description, read_line, read_until, say
from support.echo_server import echo
from support.farm import PlayerFarm
from support.fixtures import skip_for

PATIENCE_S = 100.0
"""Valgrind runs one thread at a time, thirty times slower."""


class Watched:
    """Programs under valgrind; they start together, for each takes half a minute to."""

    def __init__(self, stack: ExitStack, logs: Path) -> None:
        self._stack = stack
        self._logs = logs

    def start(self, name: str, *arguments: str) -> subprocess.Popen[str]:
        """One example."""
        command = memcheck.command(_binary(name), self._log(name), *arguments)
        return self._stack.enter_context(c_library.running(command))

    def findings(self, name: str) -> list[memcheck.Finding]:
        """What is ours of what was found in it."""
        found = memcheck.findings(self._log(name))
        assert len(found) > 100, "Python keeps more than that"
        return [one for one in found if one.is_of(_binary(name))]

    def _log(self, name: str) -> Path:
        return self._logs / f"{name}.xml"


def _binary(name: str) -> Path:
    return c_library.program(c_library.EXAMPLES / f"{name}.c")


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    skip_for(memcheck.missing())
    with ExitStack() as stack:
        yield Watched(stack, tmp_path)


@pytest.mark.timeout(400)
def test_no_error_and_nothing_lost_in_our_code(watched: Watched, farm: PlayerFarm) -> None:
    with echo() as url:
        pusher = watched.start("mediamtx", "--whip", f"{url}whip", "--whep", f"{url}whep")
        server = watched.start("serve", "", "0")
        caller = watched.start("callback")
        page = re.search(r"http://\S+/", read_line(server))
        assert page is not None
        farm.connect(f"{page[0]}whep")
        assert read_line(pusher) == f"pushing to {url}whip\n"
        with bw.Server(bw.Tone(), bw.ServerConfig(signaling_mode="callback")) as called:
            called.start()
            _, answer = called.add_peer(read_description(caller, "offer"))
            say(caller, f"{answer}\n")
            wait_for_sound(caller)
            wait_for_sound(pusher)
            assert "packets sent\n" in press_return(server, PATIENCE_S)
            press_return(pusher, PATIENCE_S)
            press_return(caller, PATIENCE_S)
    for name in ("serve", "mediamtx", "callback"):
        found = watched.findings(name)
        assert found == [], "\n".join(map(str, found))


def wait_for_sound(process: subprocess.Popen[str]) -> None:
    read_until(process, r"heard: left [1-9]\d* Hz .*\n", lines=int(PATIENCE_S))


def test_what_a_program_loses_is_noticed(watched: Watched, tmp_path: Path) -> None:
    binary = c_library.program(c_library.TESTS / "loser.c")
    subprocess.run(memcheck.command(binary, tmp_path / "log"), check=True, capture_output=True)
    found = [str(one) for one in memcheck.findings(tmp_path / "log") if one.is_of(binary)]
    assert len(found) == 2
    assert re.search(r"100 bytes in 1 blocks are definitely lost.*\n.*malloc.*\n.*main in .*loser", found[0])
    assert re.search(r"200 bytes in 1 blocks are still reachable", found[1])
