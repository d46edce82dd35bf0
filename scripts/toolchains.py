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
    return [*zig(), "cc", "-target", f"{architecture}-linux-gnu.{GLIBC}"]


def zig() -> list[str]:
    """Return the command of zig, which keeps its C library for each target in our cache."""
    cache = build_cache.root() / "zig"
    variables = [f"{name}={cache}" for name in ("ZIG_GLOBAL_CACHE_DIR", "ZIG_LOCAL_CACHE_DIR")]
    return ["env", *variables, sys.executable, "-m", "ziglang"]


def compiler_inputs(target: str) -> list[str | Path]:
    """Return what the products for a target depend on besides their sources: the compiler and what it links."""
    command = compiler(target)
    inputs: list[str | Path] = [_output(*command, "--version")]
    if target == "windows-x64":
        libraries = ("libgcc.a", "libmingwex.a", "libwinpthread.a")
        inputs += [Path(_output(*command, f"-print-file-name={name}").strip()) for name in libraries]
        inputs += _MINGW_LICENSES.values()
    return inputs


def environment() -> dict[str, str]:
    """Return the environment of a build: this process's, without what would add to the options of compilers."""
    changing = ("CFLAGS", "CPPFLAGS", "LDFLAGS", "LIBS", "CPATH", "C_INCLUDE_PATH", "LIBRARY_PATH", "PKG_CONFIG_PATH")
    return {name: value for name, value in os.environ.items() if name not in changing}


def third_party(target: str, *components: str) -> Path:
    """Return the prefix of the static third-party libraries for a target; builds them if necessary."""
    command = ["env", f"PYTHON={sys.executable}", str(ROOT / "scripts" / "third-party.sh"), target, *components]
    return Path(_output(*command).strip())


def licenses(target: str, libraries: Path) -> dict[str, Path]:
    """Return the licenses of all that is linked into the core for a target: names of files and their paths.

    Args:
        target: One of ``TARGETS``.
        libraries: What ``third_party`` returned. Components may have added licenses of their own there.
    """
    found = {name: libraries / "licenses" / name for name in ("openssl.txt", "opus.txt")}
    return found | _MINGW_LICENSES if target == "windows-x64" else found


def _output(*command: str) -> str:
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
