"""libbass_webrtc, built once, and C programs that are compiled against it and run."""

from __future__ import annotations

import atexit
import functools
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bass_webrtc.bass.locate import sound_lib_copy
from bass_webrtc.capi import build_capi

TESTS = Path(__file__).parents[1] / "capi"
EXAMPLES = Path(__file__).parents[2] / "examples" / "c"
WARNINGS = ("-Wall", "-Wextra", "-Werror")
STANDARDS = {"c99": ("gcc", "-std=c99"), "c++": ("g++", "-std=c++11", "-x", "c++")}
"""A compiler, and what it takes a file for."""
EMPTY_ENVIRONMENT = {"PATH": "/usr/bin:/bin"}
"""The library finds its Python without a variable; PATH is for the programs' own tools."""


@functools.cache
def folder() -> Path:
    """Where the library is, and the programs: built by its first user, gone when the tests are."""
    made = tempfile.TemporaryDirectory(prefix="bass_webrtc_capi")
    atexit.register(made.cleanup)
    build_capi.build(Path(made.name))
    return Path(made.name)


def library() -> Path:
    """The library."""
    return folder() / build_capi.LIBRARY_NAME


def bass() -> Path:
    """The BASS that sound_lib brought."""
    path = sound_lib_copy()
    assert path is not None
    return path


@functools.cache
def program(source: Path, standard: str = "c99", *flags: str) -> Path:
    """A compiled program, without a warning."""
    binary = folder() / f"{source.stem}-{standard}{len(flags) or ''}"
    subprocess.run(
        [
            *STANDARDS[standard],
            *WARNINGS,
            "-g",
            *flags,
            *build_capi.cflags(folder()).split(),
            f"-I{TESTS}",
            str(source),
            *("-x", "none", "-o", str(binary)),
            *build_capi.ldflags(folder()).split(),
            *(str(bass()), f"-Wl,-rpath,{bass().parent}", "-pthread", "-lm", "-ldl"),
        ],
        check=True,
    )
    return binary


def run(binary: Path, *arguments: str, timeout_s: float = 60.0) -> str:
    """Runs a program with no variable set; what it printed. Fails when it does."""
    result = subprocess.run(
        [str(binary), *arguments],
        env=EMPTY_ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    assert result.returncode == 0, f"code {result.returncode}\n{result.stdout}{result.stderr}"
    return result.stdout


@contextmanager
def running(command: list[str], environment: dict[str, str] | None = None) -> Iterator[subprocess.Popen[str]]:
    """A program that is talked to over its pipes; killed if it has not ended."""
    process = subprocess.Popen(
        command,
        env={**EMPTY_ENVIRONMENT, **(environment or {})},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=os.path.dirname(command[0]),
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def press_return(process: subprocess.Popen[str], timeout_s: float = 30.0) -> str:
    """It ends well; what it said last."""
    printed, errors = process.communicate("\n", timeout=timeout_s)
    own_errors = [line for line in errors.splitlines() if not line.startswith("ALSA lib")]  # There is no sound card.
    assert (process.returncode, own_errors) == (0, [])
    return printed


def read_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, process.communicate()
    return line


def read_until(process: subprocess.Popen[str], pattern: str, lines: int = 30) -> str:
    """The first line that is like this."""
    read = [read_line(process)]
    while not re.fullmatch(pattern, read[-1]):
        assert len(read) < lines, read
        read.append(read_line(process))
    return read[-1]


def read_description(process: subprocess.Popen[str], kind: str) -> str:
    """What ``callback.c`` shows, up to an empty line."""
    read_until(process, f"The {kind}:\n")
    lines = [read_line(process)]
    while lines[-1] != "\n":
        lines.append(read_line(process))
    return "".join(line.rstrip("\n") + "\r\n" for line in lines[:-1])


def say(process: subprocess.Popen[str], text: str) -> None:
    """Types it."""
    assert process.stdin is not None
    process.stdin.write(text)
    process.stdin.flush()
