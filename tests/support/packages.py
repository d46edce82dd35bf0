"""The project's packages, and environments on which nothing but Python is installed."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import toolchains
import wheels

from .fixtures import skip_for

PIP = ("-m", "pip", "--quiet", "--disable-pip-version-check")

LIBRARIES = r"^ok +core: libopus 1\.6\.1 \(deep PLC, OSCE\), OpenSSL 3\.5\.7"
"""Pattern of the doctor's line about the libraries inside the wheels (scripts/third-party.sh)."""


def missing(target: str) -> str | None:
    """Return why the packages of a target cannot be built here, for ``pytest.skip``; None if they can."""
    if importlib.util.find_spec("build") is None or importlib.util.find_spec("auditwheel") is None:
        return "needs the extra [packages]"
    if target == "windows-x64":
        return None if shutil.which(toolchains.MINGW) else "needs Debian's gcc-mingw-w64-x86-64-posix"
    return None if importlib.util.find_spec("ziglang") else "needs ziglang from PyPI"


def wheel(target: str) -> Path:
    """Return the wheel for a target, or skip the test; built at most once from the same sources."""
    skip_for(missing(target))
    return wheels.wheel(target)


def pip(*arguments: str, python: Path | str = sys.executable, environment: dict[str, str] | None = None) -> None:
    """Run pip of a Python; its errors become part of the test's output."""
    command = [str(python), *PIP, *arguments]
    subprocess.run(command, env=environment, check=True, timeout=300)


class CleanEnvironment:
    """A virtual environment whose programs are the only ones: no compiler, no pkg-config, nothing of this checkout.

    Args:
        folder: Where to make it.
    """

    def __init__(self, folder: Path) -> None:
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, timeout=300)
        self.programs = folder / "bin"
        self.variables = {"PATH": str(self.programs), "HOME": os.environ["HOME"], "LANG": "C.UTF-8"}

    def install(self, *requirements: str) -> None:
        """Install with pip, from wheels only."""
        options = ("--only-binary=:all:", "--no-compile")
        pip("install", *options, *requirements, python=self.programs / "python", environment=self.variables)

    def run(self, *command: str) -> str:
        """Run one of its programs and return its output.

        Raises:
            CalledProcessError: It failed.
        """
        path = str(self.programs / command[0])
        done = subprocess.run(
            [path, *command[1:]], env=self.variables, stdout=subprocess.PIPE, encoding="utf-8", timeout=300, check=True
        )
        return done.stdout


@contextmanager
def serving(command: Sequence[str | Path], variables: dict[str, str]) -> Iterator[str]:
    """Run ``bass-webrtc serve`` with these arguments and yield its URL; SIGTERM ends it with exit code 0."""
    ports = ("--port", "0", "--udp-port", "0", "--stats-every", "1", "--log-level", "warning")
    process = subprocess.Popen(
        [*command, *ports], env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, encoding="utf-8"
    )
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        found = re.fullmatch(r"listening on (http\S+)\n", line)
        assert found is not None, line
        yield found[1]
        process.terminate()
        _, errors = process.communicate(timeout=20)
        assert (process.returncode, errors) == (0, "")
    finally:
        process.kill()
        process.communicate()
