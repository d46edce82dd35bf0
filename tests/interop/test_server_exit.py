"""A program exits without closing its server: listeners get close_notify, and nothing is printed."""

from __future__ import annotations

import subprocess
import sys

import pytest

from support.driving import connect, drive
from support.player import Certificate, Player

PROGRAM = """
import sys
import bass_webrtc as bw

server = bw.Server(bw.Tone(), bw.ServerConfig(http_port=0, udp_port=0))
server.start()
print(server.url, flush=True)
sys.stdin.readline()
{ending}
"""
GONE_WITHIN_S = 3.0


@pytest.mark.parametrize(("ending", "code"), [("", 0), ("sys.exit(3)", 3), ("1 / 0", 1)])
def test_interpreter_exit_sends_close_notify_to_listeners(ending: str, code: int) -> None:
    """Long before consent would expire; the exit does not wait."""
    command = [sys.executable, "-c", PROGRAM.format(ending=ending)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8"
    ) as program:
        try:
            assert program.stdout is not None
            listener = Player(Certificate())
            connect(listener, f"{program.stdout.readline().rstrip()}whep")
            assert program.stdin is not None
            program.stdin.write("\n")
            program.stdin.flush()
            assert drive([listener], lambda: listener.state == "closed", GONE_WITHIN_S), listener.state
            assert listener.reason == "close_notify"
            _, errors = program.communicate(timeout=GONE_WITHIN_S)
        finally:
            program.kill()
    assert program.returncode == code
    assert errors == "" or (code == 1 and errors.endswith("ZeroDivisionError: division by zero\n"))
