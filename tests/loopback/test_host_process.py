"""Programs of every kind as hosts: with signal handlers, forks, closed streams, patched threads, other loops.

Each is a process of its own, ``support.host_*``, that asserts what it can see from inside; it must end well and soon.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from support.patience import PROCESS_S

TESTS = Path(__file__).parents[1]


def run_host(*command: str, closed: tuple[int, ...] = ()) -> tuple[int, str, str]:
    """Run a Python program; returns its code and what it printed."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])}

    def close() -> None:
        for descriptor in closed:
            os.close(descriptor)

    done = subprocess.run(
        [sys.executable, *command],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=5 * PROCESS_S,
        check=False,
        preexec_fn=close if closed else None,
    )
    return done.returncode, done.stdout, done.stderr


def assert_passes(*command: str) -> None:
    code, printed, errors = run_host(*command)
    assert (code, printed) == (0, "passed\n"), errors


def test_signals_stay_the_programs_and_no_visitor_ends_it() -> None:
    """Every disposition is as before, every thread of ours blocks signals, and SIGPIPE, which ends this program, never
    comes."""
    assert_passes("-m", "support.host_signals")


def test_forked_child_has_no_part_in_what_its_parent_runs() -> None:
    """It exits soon, gets errors at once, holds no port, ends no session, and can start servers of its own."""
    assert_passes("-m", "support.host_fork")


def test_forked_child_exits_from_uvloop() -> None:
    pytest.importorskip("uvloop")
    assert_passes("-m", "support.host_fork", "uvloop")


def test_forked_child_can_show_log_lines() -> None:
    program = """
import logging, os
from bass_webrtc.limited_log import log_to_standard_error
log_to_standard_error("info")
child = os.fork()
if child == 0:
    log_to_standard_error("info")
logging.getLogger("bass_webrtc").info("child" if child == 0 else "parent")
if child:
    assert os.waitpid(child, 0)[1] == 0
"""
    code, printed, errors = run_host("-W", "ignore", "-c", program)
    assert (code, printed) == (0, ""), errors
    assert sorted(line.rpartition(" ")[2] for line in errors.splitlines()) == ["child", "parent"]


def test_library_works_without_standard_streams(tmp_path: Path) -> None:
    code, _, _ = run_host("-m", "support.host_streams", str(tmp_path / "result"), closed=(0, 1, 2))
    assert code == 0
    assert (tmp_path / "result").read_text(encoding="utf-8") == "passed"


def test_commands_work_without_standard_streams() -> None:
    """``serve`` as a service manager starts it, with its streams closed."""
    command = [sys.executable, "-m", "bass_webrtc", "serve", "tone", "--port", "0", "--udp-port", "0"]
    with subprocess.Popen(
        ["sh", "-c", 'exec "$@" <&- >&-', "sh", *command], stderr=subprocess.PIPE, encoding="utf-8"
    ) as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith("listening on ")
        process.send_signal(signal.SIGTERM)
        assert (process.wait(PROCESS_S), process.stderr.read()) == (0, "")
    usage_error = [sys.executable, "-m", "bass_webrtc", "serve", "tone:x"]
    assert subprocess.run(["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *usage_error], check=False).returncode == 2


@pytest.mark.parametrize(
    ("patcher", "patch"),
    [
        ("gevent", "import gevent.monkey; gevent.monkey.patch_all()"),
        ("gevent", "import gevent.monkey; gevent.monkey.patch_all(thread=False)"),
        ("eventlet", "import eventlet; eventlet.monkey_patch()"),
    ],
)
def test_patched_threads_are_one_error_at_start(patcher: str, patch: str) -> None:
    pytest.importorskip(patcher)
    program = f"{patch}\nimport bass_webrtc as bw\nwith bw.Server(bw.Tone()) as server: server.start()"
    code, _, errors = run_host("-W", "ignore", "-c", program)
    last = errors.splitlines()[-1]
    assert code == 1
    assert last.startswith(f"bass_webrtc.errors.BassWebRtcError: {patcher} has patched the module "), errors


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_asgi_lifespan_runs_a_server(loop: str) -> None:
    """Ctrl-C is uvicorn's, and ends the server by way of the lifespan."""
    pytest.importorskip("uvicorn")
    pytest.importorskip(loop)
    assert_passes("-m", "support.host_asgi", loop)


def test_notebook_runs_a_server_on_its_loop() -> None:
    """Both APIs work in cells, and the kernel's exit closes what is open."""
    pytest.importorskip("ipykernel")
    assert_passes("-m", "support.host_jupyter")


def test_qt_program_gets_events_by_a_signal() -> None:
    pytest.importorskip("PyQt5")
    assert_passes("-m", "support.host_qt")


def test_second_interpreter_is_one_error_at_import() -> None:
    """The first one that imports the package can use it, whichever that is."""
    program = """
import sys
try:
    import _interpreters as interpreters  # Python 3.13
except ImportError:
    import _xxsubinterpreters as interpreters
USE = "import bass_webrtc as bw; s = bw.Server(None, bw.ServerConfig(http_port=0, udp_port=0)); s.start(); s.close()"
for _ in range(2):
    made = interpreters.create("legacy") if sys.version_info >= (3, 13) else interpreters.create(isolated=False)
    try:
        failed = interpreters.run_string(made, USE)
        print(getattr(failed, "formatted", failed))
    except Exception as error:
        print(error)
    interpreters.destroy(made)
"""
    code, printed, errors = run_host("-W", "ignore", "-c", program)
    first, second = printed.splitlines()
    assert (code, errors, first) == (0, "", "None")
    assert "ImportError" in second
    assert "bass_webrtc is imported in a second interpreter" in second
