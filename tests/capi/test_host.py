"""C programs as hosts: their signals, their forks, their closed standard streams: ``host.c``."""

from __future__ import annotations

import signal
import socket

from support import c_library, usage
from support.patience import PROCESS_S

SOURCE = c_library.TESTS / "host.c"
VISITORS = 12
PIPELINED = 60


def test_signals_stay_the_programs_and_no_visitor_ends_it() -> None:
    """SIGPIPE would end the program, and no handler but its own runs. Ctrl-C ends it, as before the first call.

    A real-time signal that the program does not block may be one with which its runtime stops threads.
    """
    with c_library.running([str(c_library.program(SOURCE)), "signals"]) as process:
        port = int(c_library.read_line(process))
        for thread, status in usage.thread_statuses(process.pid).items():
            blocked = int(status["SigBlk"], 16)
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE, signal.SIGCHLD, signal.SIGUSR1):
                assert thread == process.pid or blocked >> (number - 1) & 1, (status["Name"], number)
            for number in (signal.SIGRTMIN, signal.SIGRTMAX):
                assert blocked >> (number - 1) & 1 == (number == signal.SIGRTMIN), (status["Name"], number)
        for _ in range(VISITORS):
            with socket.create_connection(("127.0.0.1", port)) as visitor:
                visitor.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" * PIPELINED)
        with socket.create_connection(("127.0.0.1", port)) as last:  # All others were served before.
            last.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert last.recv(12) == b"HTTP/1.1 200"
        process.send_signal(signal.SIGINT)
        assert process.wait(PROCESS_S) == -signal.SIGINT


def test_forked_child_is_refused_and_exits() -> None:
    """Each call in it fails at once; its exit handlers do not wait; the parent goes on."""
    assert c_library.run(c_library.program(SOURCE), "forks") == "passed\n"


def test_library_works_without_standard_streams() -> None:
    assert c_library.run(c_library.program(SOURCE), "streams") == ""
