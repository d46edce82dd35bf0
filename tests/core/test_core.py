"""Compiles and runs the core's C tests: each ``test_<name>.c`` is a program that is linked with the core.

All run under AddressSanitizer and UndefinedBehaviorSanitizer. Programs whose first comment contains "Threaded." also
run under ThreadSanitizer. Programs that use ``BW_FULL_LENGTH`` also run without sanitizers, in full length. The output
of a program is shown when it fails, or with ``pytest -s``.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bass_webrtc.core import build_core

HERE = Path(__file__).parent
CORE = HERE.parents[1] / "src" / "bass_webrtc" / "core"
WARNINGS = ("-std=c11", "-Wall", "-Wextra", "-Werror", "-pthread")
BUILDS = {
    "address": ("-O2", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer"),
    "thread": ("-O2", "-g", "-fsanitize=thread"),
    "fast": ("-O3", "-DBW_FULL_LENGTH"),
}

SOURCES = {path.stem.removeprefix("test_"): path.read_text() for path in HERE.glob("test_*.c")}
PROGRAMS = sorted(SOURCES)
THREADED = [name for name in PROGRAMS if "Threaded." in SOURCES[name].partition("*/")[0]]
LONG = [name for name in PROGRAMS if "BW_FULL_LENGTH" in SOURCES[name]]


def _compiler() -> str:
    compiler = shutil.which("clang") or shutil.which("gcc")
    assert compiler is not None, "neither clang nor gcc is installed"
    return compiler


def _pkg_config(flag: str) -> list[str]:
    command = ["pkg-config", flag, *build_core.LIBRARIES]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


class Build:
    """Object files of the core, compiled with one set of flags."""

    def __init__(self, flags: tuple[str, ...], folder: Path) -> None:
        self._command = [_compiler(), *WARNINGS, *flags, f"-I{CORE}", f"-I{HERE}", *_pkg_config("--cflags")]
        self._folder = folder
        sources = [path for path in sorted(CORE.glob("*.c")) if path.name != "_core.c"]
        with ThreadPoolExecutor(os.cpu_count()) as compilers:
            self._objects = list(compilers.map(self._compile, sources))

    def _compile(self, source: Path) -> str:
        compiled = self._folder / f"{source.stem}.o"
        subprocess.run([*self._command, "-c", str(source), "-o", str(compiled)], check=True)
        return str(compiled)

    def link(self, source: str) -> str:
        """Compile one program of this folder, link it with the core, and return its path."""
        binary = str(self._folder / Path(source).stem)
        link = [*self._command, str(HERE / source), *self._objects, "-o", binary, *_pkg_config("--libs"), "-lm"]
        subprocess.run(link, check=True)
        return binary

    def run(self, program: str) -> None:
        """Link and run one test program; its output becomes part of the test's output."""
        subprocess.run([self.link(f"test_{program}.c")], check=True)


@pytest.fixture(scope="module")
def builds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Build]:
    """One build of the core per entry of ``BUILDS``."""
    return {kind: Build(flags, tmp_path_factory.mktemp(kind)) for kind, flags in BUILDS.items()}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("program", PROGRAMS)
def test_program_passes_under_address_and_undefined_behavior_sanitizers(builds: dict[str, Build], program: str) -> None:
    builds["address"].run(program)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("program", THREADED)
def test_threaded_program_passes_under_thread_sanitizer(builds: dict[str, Build], program: str) -> None:
    builds["thread"].run(program)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("program", LONG)
def test_program_passes_in_full_length(builds: dict[str, Build], program: str) -> None:
    """Simulates hours of virtual time."""
    builds["fast"].run(program)


@pytest.mark.timeout(300)
def test_audio_threads_do_not_allocate(builds: dict[str, Build]) -> None:
    """``probe_allocations.c`` counts allocations of the running sender and playing threads."""
    subprocess.run([builds["fast"].link("probe_allocations.c")], check=True)
