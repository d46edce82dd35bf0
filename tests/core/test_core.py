"""Compiles and runs the core's C tests: each ``test_<name>.c`` is a program that is linked with the core.

All run under AddressSanitizer and UndefinedBehaviorSanitizer. Programs whose first comment contains "Threaded." also
run under ThreadSanitizer. Programs that use ``BW_FULL_LENGTH`` also run without sanitizers, in full length. The output
of a program is shown when it fails, or with ``pytest -s``.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import build_cache
from bass_webrtc.core import build_core

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
CORE = ROOT / "src" / "bass_webrtc" / "core"
WARNINGS = ("-std=c11", "-Wall", "-Wextra", "-Werror", "-pthread")
BUILDS = {
    "address": ("-O2", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer"),
    "thread": ("-O2", "-g", "-fsanitize=thread"),
    "fast": ("-O3", "-DBW_FULL_LENGTH"),
}

SOURCES = {path.stem.removeprefix("test_"): path.read_text() for path in HERE.glob("test_*.c")}
PROGRAMS = sorted(SOURCES)
THREADED = [name for name in PROGRAMS if "Threaded." in SOURCES[name].partition("*/")[0]]
UNTIMED = set(PROGRAMS) - set(THREADED)
LONG = [name for name in PROGRAMS if "BW_FULL_LENGTH" in SOURCES[name]]


def _compiler() -> str:
    compiler = shutil.which("clang") or shutil.which("gcc")
    assert compiler is not None, "neither clang nor gcc is installed"
    return compiler


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def _pkg_config(flag: str) -> list[str]:
    return _output("pkg-config", flag, *build_core.LIBRARIES).split()


class Build:
    """The core, compiled with one set of flags, and programs linked with it; both are kept for the next run.

    Programs without threads take a whole core for up to a minute. They run with ``nice``, because other tests judge
    audio in real time meanwhile.
    """

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._command = [_compiler(), *WARNINGS, *BUILDS[kind], *_pkg_config("--cflags")]
        self._command += [f"-I{path.relative_to(ROOT)}" for path in (CORE, HERE)]
        self._sources = [path for path in sorted(CORE.glob("*.c")) if path.name != "_core.c"]
        versions = (_output(_compiler(), "--version"), *_pkg_config("--modversion"))
        headers = sorted((*CORE.glob("*.h"), *HERE.glob("*.h")))
        self._inputs: list[str | Path] = [*self._command, *versions, *self._sources, *headers]
        self._objects = build_cache.made(f"core-{kind}", self._inputs, self._compile)

    def _compile(self, folder: Path) -> None:
        def compile_one(source: Path) -> None:
            self._run("-c", str(source.relative_to(ROOT)), "-o", str(folder / f"{source.stem}.o"))

        with ThreadPoolExecutor(os.cpu_count()) as compilers:
            list(compilers.map(compile_one, self._sources))

    def _run(self, *arguments: str) -> None:
        # Relative paths, so that the product is the same in every clone.
        subprocess.run([*self._command, f"-ffile-prefix-map={ROOT}=.", *arguments], check=True, cwd=ROOT)

    def program(self, name: str) -> str:
        """Compile one program of this folder, link it with the core, and return its path."""
        source = HERE / f"{name}.c"

        def link(folder: Path) -> None:
            objects = map(str, sorted(self._objects.glob("*.o")))
            libraries = [*_pkg_config("--libs"), "-lm"]
            self._run(str(source.relative_to(ROOT)), *objects, "-o", str(folder / name), *libraries)

        return str(build_cache.made(f"core-{self._kind}-{name}", [*self._inputs, source], link) / name)

    def run(self, program: str) -> None:
        """Run one program; its output becomes part of the test's output."""
        prefix = ["nice"] if program.removeprefix("test_") in UNTIMED else []
        subprocess.run([*prefix, self.program(program)], check=True)


@functools.cache
def build(kind: str) -> Build:
    """The core as an entry of ``BUILDS`` says."""
    return Build(kind)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("program", PROGRAMS)
def test_program_passes_under_address_and_undefined_behavior_sanitizers(program: str) -> None:
    build("address").run(f"test_{program}")


@pytest.mark.timeout(300)
@pytest.mark.parametrize("program", THREADED)
def test_threaded_program_passes_under_thread_sanitizer(program: str) -> None:
    build("thread").run(f"test_{program}")


@pytest.mark.timeout(300)
@pytest.mark.parametrize("program", LONG)
def test_program_passes_in_full_length(program: str) -> None:
    """Simulates hours of virtual time."""
    build("fast").run(f"test_{program}")


@pytest.mark.timeout(300)
def test_audio_threads_do_not_allocate() -> None:
    """``probe_allocations.c`` counts allocations of the running sender and playing threads."""
    build("fast").run("probe_allocations")
