"""A virtual sound card: a private PulseAudio daemon with one null sink.

Playback goes to the sink "speaker"; its monitor is the default input. Programs that use ALSA, as BASS does,
find both as their default devices in this environment:

    with PulseServer(tmp_path) as pulse:
        subprocess.run([...], env=os.environ | pulse.environment)

A child process, because the environment belongs to the whole process. Everything is in the given folder; the
daemon shares nothing with another of the same user, root included.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Self

_START_TIMEOUT_S = 10.0

_DAEMON_SCRIPT = """\
load-module module-native-protocol-unix auth-anonymous=1 socket={socket}
load-module module-null-sink sink_name=speaker rate=48000 channels=2 format=float32le
"""
_ALSA_CONFIGURATION = """\
pcm.!default {{ type pulse server "unix:{socket}" }}
ctl.!default {{ type pulse server "unix:{socket}" }}
"""


def missing() -> str | None:
    """Return what is missing on this machine, for ``pytest.skip``; None if nothing is."""
    if shutil.which("pulseaudio") is None or shutil.which("pacat") is None:
        return "a virtual sound card needs Debian's pulseaudio and pulseaudio-utils"
    if not any(Path("/usr/lib").glob("*/alsa-lib/libasound_module_pcm_pulse.so")):
        return "a virtual sound card needs Debian's libasound2-plugins"
    return None


class PulseServer:
    """The running daemon. A context manager; ``close`` stops it."""

    def __init__(self, folder: Path) -> None:
        """Start it. ``folder`` is empty, or that of a server that was closed, whose clients find this one there.

        Its path must be short: a socket's path has at most 107 characters.
        """
        folder.chmod(0o700)
        native = folder / "native"
        script = folder / "daemon.pa"
        script.write_text(_DAEMON_SCRIPT.format(socket=native), encoding="utf-8")
        alsa = folder / "asound.conf"
        alsa.write_text(_ALSA_CONFIGURATION.format(socket=native), encoding="utf-8")
        self.environment = {
            "ALSA_CONFIG_PATH": str(alsa),
            "PULSE_SERVER": f"unix:{native}",
            "PULSE_COOKIE": str(folder / "cookie"),
        }
        """Environment variables that make it the default output and input."""
        own = {"HOME": str(folder), "XDG_RUNTIME_DIR": str(folder), "PULSE_RUNTIME_PATH": str(folder)}
        command = ["pulseaudio", "-n", "--daemonize=no", "--use-pid-file=no", "--disable-shm=yes"]
        command += ["--exit-idle-time=-1", "--log-target=stderr", "--log-level=error", f"--file={script}"]
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ready, (folder / "log").open("w") as log:
            ready.bind(str(folder / "notify"))
            ready.settimeout(_START_TIMEOUT_S)
            own["NOTIFY_SOCKET"] = str(folder / "notify")
            self._daemon = subprocess.Popen(command, env=os.environ | own, stdin=subprocess.DEVNULL, stderr=log)
            try:
                # "READY=1", as in sd_notify.
                ready.recv(64)
                (folder / "notify").unlink()
            except TimeoutError:
                self.close()
                raise RuntimeError(
                    f"PulseAudio did not start: {(folder / 'log').read_text(encoding='utf-8')}"
                ) from None

    @property
    def pid(self) -> int:
        """Of the daemon."""
        return self._daemon.pid

    def close(self) -> None:
        """Stop the daemon. Idempotent."""
        self._daemon.terminate()
        self._daemon.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
