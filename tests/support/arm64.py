"""A Debian system for arm64, as on a Raspberry Pi, whose programs run here under qemu-user."""

from __future__ import annotations

import platform
import shutil
import subprocess
import tomllib
from pathlib import Path

import build_cache
import toolchains

from . import packages

EMULATOR = "qemu-aarch64-static"
DEBIAN_PACKAGES = ("python3-minimal", "libpython3-stdlib", "libstdc++6")
"""What the wheels of our dependencies expect of every system."""


def missing() -> str | None:
    """Return what is missing on this machine, for ``pytest.skip``; None if nothing is."""
    if shutil.which(EMULATOR) is None:
        return "needs Debian's qemu-user-static"
    if shutil.which("apt-get") is None:
        return "needs apt-get, which fetches Debian's Python for arm64"
    return packages.missing("linux-arm64")


def root() -> Path:
    """Return the root folder of the system: Debian's Python and what it depends on, nothing else."""
    system = platform.freedesktop_os_release()
    return build_cache.made("arm64-root", [*DEBIAN_PACKAGES, system["ID"], system.get("VERSION_ID", "")], _unpack)


def site_packages() -> Path:
    """Return a folder with the dependencies of bass-webrtc, for the Python of that system."""
    project = tomllib.loads((toolchains.ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    requirements: list[str] = project["dependencies"]
    version = _python().name.removeprefix("python")

    def make(folder: Path) -> None:
        platforms = [f"--platform=manylinux_2_{minor}_aarch64" for minor in (17, 28)]
        options = [*platforms, f"--python-version={version}", "--only-binary=:all:"]
        packages.pip("install", *options, "--no-compile", f"--target={folder}", *requirements)

    return build_cache.made("arm64-site-packages", [version, *requirements], make)


def command(program: Path, *arguments: str | Path, **variables: str) -> list[str | Path]:
    """Return the command that runs a program of or for that system here; ``variables`` are added to its environment."""
    settings = [part for name, value in variables.items() for part in ("-E", f"{name}={value}")]
    return [EMULATOR, *settings, "-L", root(), program, *arguments]


def python_command(*arguments: str | Path, path: Path) -> list[str | Path]:
    """Return the command that runs its Python with the modules in ``path`` and the dependencies of bass-webrtc."""
    return command(_python(), *arguments, PYTHONPATH=f"{path}:{site_packages()}", PYTHONDONTWRITEBYTECODE="1")


def _python() -> Path:
    return (root() / "usr/bin/python3").resolve()


def _unpack(folder: Path) -> None:
    """Unpack Debian's packages without installing them; apt has its state in this folder."""
    state, archives = folder / "state", folder / "cache" / "archives"
    (state / "lists" / "partial").mkdir(parents=True)
    (archives / "partial").mkdir(parents=True)
    settings = {
        "Dir::State": state,
        "Dir::State::status": "/dev/null",
        "Dir::Cache": folder / "cache",
        "APT::Architecture": "arm64",
        "APT::Architectures::": "arm64",
        "APT::Sandbox::User": "root",
        "Debug::NoLocking": "1",
    }
    apt = ["apt-get", "-qq", *(f"-o{name}={value}" for name, value in settings.items())]
    subprocess.run([*apt, "update"], check=True, timeout=300)
    install = ["install", "--yes", "--no-install-recommends", "--download-only"]
    subprocess.run([*apt, *install, *DEBIAN_PACKAGES], check=True, timeout=300)
    for archive in archives.glob("*.deb"):
        subprocess.run(["dpkg-deb", "--extract", archive, folder], check=True)
    shutil.rmtree(state)
    shutil.rmtree(folder / "cache")
