"""What the doctor says, and that it never fails itself."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from typing import Any

import pytest

from bass_webrtc.cli import doctor
from bass_webrtc.config import ServerConfig
from bass_webrtc.errors import BassNotFoundError

FREE_PORTS = ServerConfig(http_port=0, udp_port=0)


def finding(title: str, config: ServerConfig = FREE_PORTS) -> doctor.Finding:
    return next(found for found in doctor.examine(config) if found.title.startswith(title))


def _raise(error: Exception) -> Any:
    raise error


def test_everything_that_is_not_well_comes_with_advice() -> None:
    findings = doctor.examine(FREE_PORTS)
    assert len({found.title for found in findings}) == len(findings) >= 7
    for found in findings:
        assert found.detail
        assert (found.level == "ok") == (found.advice == "")


def test_finds_python_the_core_and_bass() -> None:
    assert finding("Python").level == "ok"
    assert "libopus" in finding("core").detail
    assert "libsrtp" in finding("core").detail
    assert finding("BASS").detail.startswith("2.4.")


def test_an_old_python_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.version_info", (3, 10, 0))
    assert finding("Python").level == "error"


def without_core(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The command line where libopus or libsrtp2 is missing."""
    program = "import sys; sys.modules['bass_webrtc.core._core'] = None; from bass_webrtc.cli.main import main; main()"
    return subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False)


def test_a_core_that_does_not_load_is_found_and_the_rest_is_still_examined() -> None:
    done = without_core("doctor")
    assert done.returncode == 1
    core = next(line for line in done.stdout.splitlines() if " core: " in line)
    assert core.startswith("error")
    assert "libopus0 libsrtp2-1" in done.stdout
    assert "BASS" in done.stdout
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("arguments", [("serve", "tone"), ("push", "tone", "http://127.0.0.1:1/whip")])
def test_what_needs_the_core_says_in_one_line_what_to_install(arguments: tuple[str, ...]) -> None:
    done = without_core(*arguments)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "the audio path does not load" in line
    assert "libopus0 libsrtp2-1" in line


def test_without_bass_the_rest_is_still_examined(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "find_bass", lambda: _raise(BassNotFoundError("no BASS library")))
    assert finding("BASS").level == "warning"
    assert "no BASS library" in finding("BASS").detail
    assert finding("UDP port").level == "ok"


def test_missing_plugins_and_devices_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bass_webrtc.bass.channels.load_plugins", lambda _library: ())
    monkeypatch.setattr("bass_webrtc.bass.devices.inputs", lambda _library: ())
    assert finding("BASS plugins").level == "warning"
    assert finding("BASS inputs").level == "warning"


@pytest.mark.skipif(not hasattr(os, "sched_setscheduler"), reason="Python cannot ask for real-time priority here")
def test_real_time_priority_that_is_refused_comes_with_three_ways_to_grant_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_setscheduler", lambda *_: _raise(PermissionError(1, "Operation not permitted")))
    found = finding("real-time priority")
    assert found.level == "warning"
    assert all(way in found.advice for way in ("LimitRTPRIO", "limits.d", "SYS_NICE"))


@pytest.mark.skipif(not hasattr(os, "sched_getscheduler"), reason="Python cannot ask for real-time priority here")
def test_asking_for_real_time_priority_leaves_the_caller_as_it_was() -> None:
    before = os.sched_getscheduler(0)
    doctor.examine(FREE_PORTS)
    assert os.sched_getscheduler(0) == before


@pytest.mark.parametrize(
    ("kind", "option", "title"),
    [(socket.SOCK_STREAM, "http_port", "TCP port"), (socket.SOCK_DGRAM, "udp_port", "UDP port")],
)
def test_a_port_that_is_taken_is_told(kind: socket.SocketKind, option: str, title: str) -> None:
    with socket.socket(socket.AF_INET, kind) as other:
        other.bind(("127.0.0.1", 0))
        if kind is socket.SOCK_STREAM:
            other.listen()
        port = other.getsockname()[1]
        found = finding(title, ServerConfig(**{"http_port": 0, "udp_port": 0, option: port}))
    assert found.level == "warning"
    assert found.title == f"{title} {port}"
    assert "Choose another with --" in found.advice
