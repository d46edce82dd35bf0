"""The C examples under valgrind: the library, the core and the example make no memory error and free all memory.

Judged are only valgrind's findings after the example has exited: invalid reads and writes, use of uninitialised values,
and blocks that are still allocated after Free. Speed is not judged. Valgrind runs one thread at a time, about thirty
times slower, so every step waits for output of the example, and only the whole test has a deadline. Real-time protocols
have timeouts of their own, which a loaded machine can exceed (RFC 8863: 39.5 s for ICE; RFC 8083: 15 s without a
report): a connection that fails is tried again, and one that ends early counts.
"""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

import bass_webrtc as bw
from support import c_library, memcheck
from support.c_library import press_return, read_description, read_line, read_until, write_input
from support.callers import Callers
from support.echo_server import echo
from support.farm import PlayerFarm
from support.fixtures import skip_for

DEADLINE_S = 900.0
HEARD = r"heard: left [1-9]\d* Hz .*\n"


class Valgrind:
    """Runs examples under valgrind; they are killed at the end if they are still running."""

    def __init__(self, stack: ExitStack, logs: Path) -> None:
        self._stack = stack
        self._logs = logs
        self._runs: list[tuple[Path, Path]] = []

    def start(self, name: str, *arguments: str) -> subprocess.Popen[str]:
        """Start an example."""
        binary, log = c_library.program(c_library.EXAMPLES / f"{name}.c"), self._logs / f"{len(self._runs)}.xml"
        self._runs.append((binary, log))
        return self._stack.enter_context(c_library.running(memcheck.command(binary, log, *arguments)))

    def check(self) -> None:
        """Assert that no finding of any run is ours. All examples must have exited."""
        for binary, log in self._runs:
            found = memcheck.findings(log)
            assert len(found) > 100, "the report is incomplete: Python alone leaves more blocks than that"
            ours = [str(one) for one in found if one.is_of(binary)]
            assert ours == [], "\n".join(ours)


@pytest.fixture
def valgrind(tmp_path: Path) -> Iterator[Valgrind]:
    skip_for(memcheck.missing())
    with ExitStack() as stack:
        yield Valgrind(stack, tmp_path)


@pytest.mark.timeout(DEADLINE_S)
def test_serve_has_no_memory_errors(valgrind: Valgrind, farm: PlayerFarm) -> None:
    process = valgrind.start("serve", "", "0")
    url = re.search(r"http://\S+/", read_line(process))
    assert url is not None
    while farm.try_connect(f"{url[0]}whep")[1]:
        pass  # The player gave up after 20 s.
    assert "packets sent\n" in press_return(process, DEADLINE_S)
    valgrind.check()


@pytest.mark.timeout(DEADLINE_S)
def test_mediamtx_has_no_memory_errors(valgrind: Valgrind) -> None:
    with echo() as url:
        process = valgrind.start("mediamtx", "--whip", f"{url}whip", "--whep", f"{url}whep")
        assert read_line(process) == f"pushing to {url}whip\n"
        read_until(process, HEARD, lines=int(DEADLINE_S))
        press_return(process, DEADLINE_S)
    valgrind.check()


@pytest.mark.timeout(DEADLINE_S)
def test_callback_has_no_memory_errors(valgrind: Valgrind) -> None:
    with bw.Server(bw.Tone(), bw.ServerConfig(signaling_mode="callback")) as server:
        server.start()
        while not connects(process := call(valgrind, server)):
            assert process.wait() == 0
        press_return(process, DEADLINE_S)
    valgrind.check()


@pytest.mark.timeout(DEADLINE_S)
def test_phone_in_has_no_memory_errors(valgrind: Valgrind) -> None:
    process = valgrind.start("phone_in", "", "0")
    assert read_line(process).startswith("On air at http://")
    with Callers() as callers:
        while not begins_call(process, callers):
            pass  # The attempt took too long.
        call_id = read_until(process, r"\d+ Anna: waiting, .*\n").split()[0]
        write_input(process, f"air {call_id}\ngain {call_id} 0.5\nname {call_id} Ben\nlist\n")
        read_until(process, r"\d+ Ben: on air, gain 0\.50, .*\n")
        write_input(process, f"listen {call_id}\nbye {call_id} thank you\n")
        read_until(process, r"\d+ (Ben|Anna): thank you, .*\n")
        write_input(process, "quit")
        press_return(process, DEADLINE_S)
    valgrind.check()


def begins_call(process: subprocess.Popen[str], callers: Callers) -> bool:
    """Call with a new invite; whether the call is connected within 60 s."""
    write_input(process, "invite Anna\n")
    link = read_until(process, r"invite .*\n", lines=100).split()[-1]
    try:
        peer, answer = callers.post(link, 600.0)
    except TimeoutError:
        return False
    assert answer.status == 201, answer
    peer.set_answer(answer.body)
    deadline_s = time.monotonic() + 60.0
    while peer.state != "connected":
        if peer.state == "closed" or time.monotonic() > deadline_s:
            peer.close()
            return False
        time.sleep(0.1)
    return True


def call(valgrind: Valgrind, server: bw.Server) -> subprocess.Popen[str]:
    """Start the example of callback signaling, and answer its offer."""
    process = valgrind.start("callback")
    _, answer = server.add_peer(read_description(process, "offer"))
    write_input(process, f"{answer}\n")
    return process


def connects(process: subprocess.Popen[str]) -> bool:
    """Read the output up to a line about sound, or to the end if the connection ends before; whether there was one."""
    assert process.stdout is not None
    connected = False
    for line in process.stdout:
        connected = connected or line == "peer 0: connected\n"
        if re.fullmatch(HEARD, line):
            return True
    return connected


def test_leaks_of_a_program_are_reported(tmp_path: Path) -> None:
    skip_for(memcheck.missing())
    binary = c_library.program(c_library.TESTS / "leaks.c")
    subprocess.run(memcheck.command(binary, tmp_path / "log"), check=True, capture_output=True)
    found = [str(one) for one in memcheck.findings(tmp_path / "log") if one.is_of(binary)]
    assert len(found) == 2
    assert re.search(r"100 bytes in 1 blocks are definitely lost.*\n.*malloc.*\n.*main in .*leaks", found[0])
    assert re.search(r"200 bytes in 1 blocks are still reachable", found[1])
