"""Checks whether this machine has what a server needs; ``bass-webrtc doctor`` prints the findings."""

from __future__ import annotations

import importlib
import os
import platform
import socket
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from ..bass import channels, devices
from ..bass.library import BassLibrary
from ..bass.locate import find_bass
from ..config import ServerConfig
from ..core.compiled import ADVICE
from ..core.libraries import libraries
from ..errors import BassWebRtcError
from ..host_process import start_thread

Level = Literal["ok", "warning", "error"]

OLDEST_PYTHON = (3, 11)
CORE_MODULE = "bass_webrtc.core._core"
_REALTIME_PRIORITY = 8
"""The priority that the core's sending thread requests."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Result of one check."""

    title: str
    level: Level
    """``"ok"``; ``"warning"``: a feature is missing or degraded; ``"error"``: nothing will work."""
    detail: str
    """What was found."""
    advice: str = ""
    """What to do; empty if ``level`` is ``"ok"``."""


def examine(config: ServerConfig | None = None) -> list[Finding]:
    """Check everything that a server needs, without playing or recording.

    Args:
        config: Settings whose ports are checked; by default ``ServerConfig()``.

    Returns:
        The findings; a check comes after those it depends on. Never raises.
    """
    config = config or ServerConfig()
    return [_python(), *_core(), *_bass(), *_realtime(), *_ports(config)]


def _python() -> Finding:
    detail = f"{platform.python_implementation()} {platform.python_version()} on {platform.platform(terse=True)}"
    if sys.version_info >= OLDEST_PYTHON:
        return Finding("Python", "ok", detail)
    return Finding("Python", "error", detail, "Install Python 3.11 or newer")


def _core() -> Iterator[Finding]:
    try:
        importlib.import_module(CORE_MODULE)
    except ImportError as error:
        yield Finding("core", "error", str(error), ADVICE)
        return
    found = libraries()
    models = ", ".join(
        name if present else f"no {name}" for name, present in (("deep PLC", found.deep_plc), ("OSCE", found.osce))
    )
    yield Finding("core", "ok", f"{found.opus} ({models}), {found.openssl}")
    enhancement = "available" if found.osce else "not available, because libopus has no OSCE"
    yield Finding("receive_enhancement", "ok", enhancement)


def _bass() -> Iterator[Finding]:
    try:
        library = find_bass()
    except BassWebRtcError as error:
        advice = "Needed for files, devices and BASS channels; tones and PCM sources work without it"
        yield Finding("BASS", "warning", str(error), advice)
        return
    yield Finding("BASS", "ok", f"{library.version}, {library.origin}: {library.path}")
    yield _plugins(library)
    yield _devices("outputs", devices.outputs(library))
    yield _devices("inputs", devices.inputs(library))


def _plugins(library: BassLibrary) -> Finding:
    loaded = ", ".join(path.name for path in channels.load_plugins(library))
    if loaded:
        return Finding("BASS plugins", "ok", loaded)
    advice = f"To play FLAC, Opus and AAC files, copy plugins from https://www.un4seen.com to {library.path.parent}"
    return Finding("BASS plugins", "warning", "none next to the library", advice)


def _devices(kind: str, found: tuple[devices.Device, ...]) -> Finding:
    default = next((device.name for device in found if device.is_default), None)
    if default is None:
        return Finding(
            f"BASS {kind}",
            "warning",
            "no default device",
            "Playing or recording here needs a sound card or sound server",
        )
    return Finding(f"BASS {kind}", "ok", f"{len(found)}, default: {default}")


def _realtime() -> Iterator[Finding]:
    """Request the priority in a temporary thread. Python can do this on Linux and FreeBSD only."""
    if sys.platform == "win32" or sys.platform == "darwin":
        return
    refusals: list[str] = []

    def attempt() -> None:
        try:
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(_REALTIME_PRIORITY))
        except OSError as error:
            refusals.append(str(error))

    thread = threading.Thread(target=attempt)
    start_thread(thread)
    thread.join()
    if not refusals:
        yield Finding("real-time priority", "ok", "granted")
        return
    advice = "Without it, packets are late when the machine is busy. Grant it with 'LimitRTPRIO=8' (systemd), "
    advice += "'@audio - rtprio 8' in /etc/security/limits.d, or --cap-add SYS_NICE (containers)"
    yield Finding("real-time priority", "warning", refusals[0], advice)


def _ports(config: ServerConfig) -> Iterator[Finding]:
    yield _port("TCP", socket.SOCK_STREAM, config.http_host, config.http_port, "--port")
    # The server binds the UDP port on every local address.
    yield _port("UDP", socket.SOCK_DGRAM, "0.0.0.0", config.udp_port, "--udp-port")


def _port(protocol: str, kind: socket.SocketKind, host: str, port: int, option: str) -> Finding:
    try:
        _bind(kind, host, port)
    except OSError as error:
        return Finding(f"{protocol} port {port}", "warning", str(error), f"Choose another port with {option}")
    return Finding(f"{protocol} port {port}", "ok", "free")


def _bind(kind: socket.SocketKind, host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, kind) as trial:
        if kind is socket.SOCK_STREAM and os.name == "posix":
            # Like the server: ignore connections in TIME_WAIT that an earlier server left behind.
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        trial.bind((host, port))
