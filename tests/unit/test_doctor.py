"""Findings of ``bass-webrtc doctor`` on this machine."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from typing import Any

import pytest

from bass_webrtc.cli import doctor
from bass_webrtc.cli.endpoint_doctor import unusable_packets
from bass_webrtc.config import ServerConfig
from bass_webrtc.core import compiled
from bass_webrtc.core.libraries import Libraries
from bass_webrtc.errors import BassNotFoundError
from bass_webrtc.stats import PeerStats
from support.patience import PROCESS_S

FREE_PORTS = ServerConfig(http_port=0, udp_port=0)


def finding(title: str, config: ServerConfig = FREE_PORTS) -> doctor.Finding:
    return next(found for found in doctor.examine(config) if found.title.startswith(title))


def _raise(error: Exception) -> Any:
    raise error


def test_every_problem_has_advice() -> None:
    findings = doctor.examine(FREE_PORTS)
    assert len({found.title for found in findings}) == len(findings) >= 7
    for found in findings:
        assert found.detail
        assert (found.level == "ok") == (found.advice == "")


def test_python_core_and_bass_are_found() -> None:
    assert finding("Python").level == "ok"
    assert re.fullmatch(r"libopus [\d.]+\S* \((no )?deep PLC, (no )?OSCE\), OpenSSL 3.*", finding("core").detail)
    assert finding("BASS").detail.startswith("2.4.")


@pytest.mark.parametrize(
    ("deep_plc", "osce", "models", "enhancement"),
    [
        (False, False, "(no deep PLC, no OSCE)", "not available, because libopus has no OSCE"),
        (True, True, "(deep PLC, OSCE)", "available"),
    ],
)
def test_doctor_shows_what_libopus_was_built_with(
    monkeypatch: pytest.MonkeyPatch, deep_plc: bool, osce: bool, models: str, enhancement: str
) -> None:
    monkeypatch.setattr(doctor, "libraries", lambda: Libraries("libopus 1.6.1", "OpenSSL 3.5.7", deep_plc, osce))
    assert finding("core").detail == f"libopus 1.6.1 {models}, OpenSSL 3.5.7"
    assert finding("receive_enhancement").detail == enhancement


def test_old_python_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.version_info", (3, 10, 0))
    assert finding("Python").level == "error"


def without_core(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command line as if libopus or OpenSSL were missing."""
    program = "import sys; sys.modules['bass_webrtc.core._core'] = None; from bass_webrtc.cli.main import main; main()"
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        capture_output=True,
        encoding="utf-8",
        timeout=PROCESS_S,
        check=False,
    )


def test_missing_core_does_not_stop_the_other_checks() -> None:
    done = without_core("doctor")
    assert done.returncode == 1
    core = next(line for line in done.stdout.splitlines() if " core: " in line)
    assert core.startswith("error")
    assert compiled.ADVICE in done.stdout
    assert "BASS" in done.stdout
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("arguments", [("serve", "tone"), ("push", "tone", "http://127.0.0.1:1/whip")])
def test_commands_without_core_print_what_to_install(arguments: tuple[str, ...]) -> None:
    done = without_core(*arguments)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "the audio path does not load" in line
    assert compiled.ADVICE in line


def test_missing_bass_does_not_stop_the_other_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "find_bass", lambda: _raise(BassNotFoundError("no BASS library")))
    assert finding("BASS").level == "warning"
    assert "no BASS library" in finding("BASS").detail
    assert finding("UDP port").level == "ok"


def test_missing_plugins_and_devices_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bass_webrtc.bass.channels.load_plugins", lambda _library: ())
    monkeypatch.setattr("bass_webrtc.bass.devices.inputs", lambda _library: ())
    assert finding("BASS plugins").level == "warning"
    assert finding("BASS inputs").level == "warning"


@pytest.mark.skipif(not hasattr(os, "sched_setscheduler"), reason="Python cannot request real-time priority here")
def test_refused_real_time_priority_comes_with_three_ways_to_grant_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_setscheduler", lambda *_: _raise(PermissionError(1, "Operation not permitted")))
    found = finding("real-time priority")
    assert found.level == "warning"
    assert all(way in found.advice for way in ("LimitRTPRIO", "limits.d", "SYS_NICE"))


@pytest.mark.skipif(not hasattr(os, "sched_getscheduler"), reason="Python cannot request real-time priority here")
def test_priority_check_does_not_change_the_calling_thread() -> None:
    before = os.sched_getscheduler(0)
    doctor.examine(FREE_PORTS)
    assert os.sched_getscheduler(0) == before


@pytest.mark.parametrize(
    ("kind", "option", "title"),
    [(socket.SOCK_STREAM, "http_port", "TCP port"), (socket.SOCK_DGRAM, "udp_port", "UDP port")],
)
def test_port_in_use_is_reported(kind: socket.SocketKind, option: str, title: str) -> None:
    with socket.socket(socket.AF_INET, kind) as other:
        other.bind(("127.0.0.1", 0))
        if kind is socket.SOCK_STREAM:
            other.listen()
        port = other.getsockname()[1]
        found = finding(title, ServerConfig(**{"http_port": 0, "udp_port": 0, option: port}))
    assert found.level == "warning"
    assert found.title == f"{title} {port}"
    assert "Choose another port with --" in found.advice


def test_packets_that_cannot_be_played_are_named() -> None:
    assert unusable_packets(PeerStats(0, "publisher", "connected", 1.0)) == ""
    stats = PeerStats(0, "publisher", "connected", 1.0, packets_not_negotiated=7, sequence_restarts=1, srtp_errors=90)
    assert unusable_packets(stats) == (
        "; 7 of payload types that were not negotiated; sequence numbers began anew under the same keys, refused as "
        "replays (RFC 3711, 3.3.2); 90 not authentic or replayed"
    )
