"""Compiles the core and its C tests: each ``tests/core/test_<name>.c`` is a program that is linked with the core."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import build_cache
from bass_webrtc.core import build_core

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "tests" / "core"
SOURCES = {path.stem.removeprefix("test_"): path.read_text(encoding="utf-8") for path in FOLDER.glob("test_*.c")}
PROGRAMS = sorted(SOURCES)
WARNINGS = ("-std=c11", "-Wall", "-Wextra", "-Werror", "-pthread")


class CoreBuild:
    """The core, compiled with one set of flags, and programs linked with it; both are kept for the next run.

    Args:
        kind: Name in the cache.
        flags: Of the compiler.
        compiler: Its command; by default clang or gcc for this machine.
        target: As ``BASS_WEBRTC_TARGET``.
        libraries: Folder of static libraries, with its key in its name; by default the system's shared ones.
    """

    def __init__(
        self,
        kind: str,
        flags: Sequence[str],
        *,
        compiler: Sequence[str] = (),
        target: str = sys.platform,
        libraries: Path | None = None,
    ) -> None:
        self._kind = kind
        compiler = compiler or (own_compiler(),)
        self._command = [*compiler, *WARNINGS, *flags, *build_core.pkg_config("--cflags", libraries)]
        self._command += [f"-I{path.relative_to(ROOT)}" for path in (build_core.HERE, FOLDER)]
        self._link_flags = build_core.link_flags(target, libraries)
        version = subprocess.run([*compiler, "--version"], capture_output=True, encoding="utf-8", check=True).stdout
        versions = (version, *build_core.pkg_config("--modversion", libraries))
        headers = sorted((*build_core.HERE.glob("*.h"), *FOLDER.glob("*.h")))
        self._inputs: list[str | Path] = [
            *self._command,
            *self._link_flags,
            *versions,
            *build_core.sources(),
            *headers,
        ]
        self._objects = build_cache.made(f"core-{kind}", self._inputs, self._compile)

    def _compile(self, folder: Path) -> None:
        def compile_one(source: Path) -> None:
            self._run("-c", str(source.relative_to(ROOT)), "-o", str(folder / f"{source.stem}.o"))

        with ThreadPoolExecutor(os.cpu_count()) as compilers:
            list(compilers.map(compile_one, build_core.sources()))

    def _run(self, *arguments: str) -> None:
        # Relative paths, so that the product is the same in every clone.
        subprocess.run(["nice", *self._command, f"-ffile-prefix-map={ROOT}=.", *arguments], check=True, cwd=ROOT)

    def program(self, name: str) -> Path:
        """Compile one program of ``tests/core``, link it with the core, and return its path."""
        source = FOLDER / f"{name}.c"

        def link(folder: Path) -> None:
            objects = map(str, sorted(self._objects.glob("*.o")))
            # The ending matters to compilers for Windows only.
            self._run(str(source.relative_to(ROOT)), *objects, "-o", str(folder / f"{name}.exe"), *self._link_flags)

        return build_cache.made(f"core-{self._kind}-{name}", [*self._inputs, source], link) / f"{name}.exe"


def own_compiler() -> str:
    """Return clang, or gcc where there is none."""
    compiler = shutil.which("clang") or shutil.which("gcc")
    assert compiler is not None, "neither clang nor gcc is installed"
    return compiler
