"""Compiles and runs the core's C tests.

All run under AddressSanitizer and UndefinedBehaviorSanitizer. Programs whose first comment contains "Threaded." also
run under ThreadSanitizer. Programs that use ``BW_FULL_LENGTH`` also run without sanitizers, in full length. The output
of a program is shown when it fails, or with ``pytest -s``.
"""

from __future__ import annotations

import functools
import platform
import subprocess

import pytest

import toolchains
from support.core_programs import PROGRAMS, SOURCES, CoreBuild

BUILDS = {
    "address": ("-O2", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer"),
    "thread": ("-O2", "-g", "-fsanitize=thread"),
    "fast": ("-O3", "-DBW_FULL_LENGTH"),
}

THREADED = [name for name in PROGRAMS if "Threaded." in SOURCES[name].partition("*/")[0]]
UNTIMED = set(PROGRAMS) - set(THREADED)
LONG = [name for name in PROGRAMS if "BW_FULL_LENGTH" in SOURCES[name]]


MODELS = "linux-x64"
"""Kind of the build with the static libraries of the wheels, whose libopus has models."""


@functools.cache
def _build(kind: str) -> CoreBuild:
    if kind == MODELS:
        return CoreBuild("models", ("-O2",), target=MODELS, libraries=toolchains.third_party(MODELS))
    return CoreBuild(kind, BUILDS[kind])


def _run(kind: str, name: str) -> None:
    """Run one program; its output becomes part of the test's output.

    Programs without threads take a whole core for up to a minute. They run with ``nice``, because other tests judge
    audio in real time meanwhile.
    """
    prefix = ["nice"] if name.removeprefix("test_") in UNTIMED else []
    subprocess.run([*prefix, _build(kind).program(name)], check=True)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("program", PROGRAMS)
def test_program_passes_under_address_and_undefined_behavior_sanitizers(program: str) -> None:
    _run("address", f"test_{program}")


@pytest.mark.timeout(300)
@pytest.mark.parametrize("program", THREADED)
def test_threaded_program_passes_under_thread_sanitizer(program: str) -> None:
    _run("thread", f"test_{program}")


@pytest.mark.timeout(300)
@pytest.mark.parametrize("program", LONG)
def test_program_passes_in_full_length(program: str) -> None:
    """Simulates hours of virtual time."""
    _run("fast", f"test_{program}")


@pytest.mark.timeout(300)
def test_audio_threads_do_not_allocate() -> None:
    """``probe_allocations.c`` counts allocations of the running sender and playing threads."""
    _run("fast", "probe_allocations")


@pytest.mark.timeout(600)  # The first run on a machine builds the third-party libraries.
@pytest.mark.skipif(platform.machine() != "x86_64", reason="the libraries are those of x86-64 Linux")
@pytest.mark.parametrize("program", ["test_enhanced_speech", "probe_allocations"])
def test_program_passes_with_models_of_libopus(program: str) -> None:
    _run(MODELS, program)
