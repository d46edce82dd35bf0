"""Compilers and third-party libraries for the targets that packages are built for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import build_cache

ROOT = Path(__file__).resolve().parents[1]
TARGETS = ("linux-x64", "linux-arm64", "windows-x64")
MINGW = "x86_64-w64-mingw32-gcc-posix"
GLIBC = "2.28"
"""Oldest glibc that the Linux packages run on."""
_MINGW_LICENSES = {
    "mingw-w64.txt": Path("/usr/share/doc/mingw-w64-x86-64-dev/copyright"),
    "gcc.txt": Path("/usr/share/doc/gcc-mingw-w64-x86-64-posix-runtime/copyright"),
}
"""Licenses of what MinGW-w64 links into every DLL."""


def compiler(target: str) -> list[str]:
    """Return the command of the C compiler for a target."""
    if target == "windows-x64":
        return [MINGW]
    architecture = {"linux-x64": "x86_64", "linux-arm64": "aarch64"}[target]
    return [sys.executable, "-m", "ziglang", "cc", "-target", f"{architecture}-linux-gnu.{GLIBC}"]


def compiler_environment() -> dict[str, str]:
    """Return this process's environment, with zig's cache (its C library for each target) inside ours."""
    zig = str(build_cache.root() / "zig")
    return {**os.environ, "ZIG_GLOBAL_CACHE_DIR": zig, "ZIG_LOCAL_CACHE_DIR": zig}


def third_party(target: str, *components: str) -> Path:
    """Return the prefix of the static third-party libraries for a target; builds them if necessary."""
    command = [str(ROOT / "scripts" / "third-party.sh"), target, *components]
    environment = {**os.environ, "PYTHON": sys.executable}
    done = subprocess.run(command, stdout=subprocess.PIPE, env=environment, text=True, check=True)
    return Path(done.stdout.strip())


def licenses(target: str, libraries: Path) -> dict[str, Path]:
    """Return the licenses of all that is linked into the core for a target: names of files and their paths.

    Args:
        target: One of ``TARGETS``.
        libraries: What ``third_party`` returned. Components may have added licenses of their own there.
    """
    found = {name: libraries / "licenses" / name for name in ("libsrtp2.txt", "openssl.txt", "opus.txt")}
    return found | _MINGW_LICENSES if target == "windows-x64" else found
