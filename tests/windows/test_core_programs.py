"""Runs the core's C tests on Windows.

They are the programs of tests/core, optimized and without sanitizers, which exist on Linux only: there all of these
programs run under them (tests/core/test_core.py). ``probe_allocations.c`` replaces functions of glibc, so it does not
run here; the audio threads execute the same code on both systems, except ``platform_windows.c``.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import toolchains
from support import wine
from support.core_programs import PROGRAMS, CoreBuild
from support.fixtures import skip_for

TARGET = "windows-x64"

pytestmark = pytest.mark.timeout(600)  # The first run on a machine builds the third-party libraries.


@pytest.fixture(scope="module")
def build() -> CoreBuild:
    skip_for(wine.missing())
    libraries = toolchains.third_party(TARGET)
    return CoreBuild(TARGET, ("-O2",), compiler=toolchains.compiler(TARGET), target=TARGET, libraries=libraries)


@pytest.fixture(scope="module")
def windows() -> Iterator[wine.Machine]:
    skip_for(wine.missing())
    with wine.Machine() as machine:
        yield machine


@pytest.mark.parametrize("program", PROGRAMS)
def test_program_passes_on_windows(build: CoreBuild, windows: wine.Machine, program: str) -> None:
    done = windows.run(build.program(f"test_{program}"), timeout_s=300.0)
    assert done.returncode == 0, done.stdout + done.stderr
