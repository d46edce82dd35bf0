"""Build libbass_webrtc once, compile C programs against it, and run them."""

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
from bass_webrtc.capi import build_capi, installed

TESTS = Path(__file__).parents[1] / "capi"
EXAMPLES = Path(__file__).parents[2] / "examples" / "c"
WARNINGS = ("-Wall", "-Wextra", "-Werror")
STANDARDS = {"c99": ("gcc", "-std=c99"), "c++": ("g++", "-std=c++11", "-x", "c++")}
"""The compiler for each language standard, with its options."""
EMPTY_ENVIRONMENT = {"PATH": "/usr/bin:/bin"}
"""The library must find its Python without environment variables. PATH is for the tools that programs run."""


@functools.cache
def folder() -> Path:
    """The folder of the library and the programs. The first call builds the library; exit removes the folder."""
    made = tempfile.TemporaryDirectory(prefix="bass_webrtc_capi")
    atexit.register(made.cleanup)
    build_capi.build(Path(made.name))
    return Path(made.name)


def library() -> Path:
    """The path of the library."""
    return folder() / installed.LIBRARY_NAME


def bass() -> Path:
    """The path of sound_lib's BASS library."""
    path = sound_lib_copy()
    assert path is not None
    return path


@functools.cache
def program(source: Path, standard: str = "c99", *flags: str) -> Path:
    """Compile a C program, with warnings as errors, and return its path."""
    binary = folder() / f"{source.stem}-{standard}{len(flags) or ''}"
    subprocess.run(
        [
            *STANDARDS[standard],
            *WARNINGS,
            "-g",
            *flags,
            *installed.cflags(folder()).split(),
            f"-I{TESTS}",
            str(source),
            *("-x", "none", "-o", str(binary)),
            *installed.ldflags(folder()).split(),
            *(str(bass()), f"-Wl,-rpath,{bass().parent}", "-pthread", "-lm", "-ldl"),
        ],
        check=True,
    )
    return binary


def run(binary: Path, *arguments: str, timeout_s: float = 60.0) -> str:
    """Run a program without environment variables, assert that it succeeds, and return what it printed."""
    result = subprocess.run(
        [str(binary), *arguments],
        env=EMPTY_ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=timeout_s,
        check=False,
    )
    assert result.returncode == 0, f"code {result.returncode}\n{result.stdout}{result.stderr}"
    return result.stdout


@contextmanager
def running(command: list[str], environment: dict[str, str] | None = None) -> Iterator[subprocess.Popen[str]]:
    """Start a program with pipes for its standard streams. It is killed at the end if it is still running."""
    process = subprocess.Popen(
        command,
        env={**EMPTY_ENVIRONMENT, **(environment or {})},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        cwd=os.path.dirname(command[0]),
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def press_return(process: subprocess.Popen[str], timeout_s: float = 30.0) -> str:
    """Enter an empty line, assert that the program exits without errors, and return the rest of its output."""
    printed, errors = process.communicate("\n", timeout=timeout_s)
    own_errors = [line for line in errors.splitlines() if not line.startswith("ALSA lib")]  # There is no sound card.
    assert (process.returncode, own_errors) == (0, [])
    return printed


def read_line(process: subprocess.Popen[str]) -> str:
    """The next line of output. Asserts that the output has not ended."""
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, process.communicate()
    return line


def read_until(process: subprocess.Popen[str], pattern: str, lines: int = 30) -> str:
    """Read up to a line that matches the pattern, at most ``lines`` lines, and return it."""
    read = [read_line(process)]
    while not re.fullmatch(pattern, read[-1]):
        assert len(read) < lines, read
        read.append(read_line(process))
    return read[-1]


def read_description(process: subprocess.Popen[str], kind: str) -> str:
    """Read the offer or answer that ``callback.c`` prints, up to the empty line."""
    read_until(process, f"The {kind}:\n")
    lines = [read_line(process)]
    while lines[-1] != "\n":
        lines.append(read_line(process))
    return "".join(line.rstrip("\n") + "\r\n" for line in lines[:-1])


def write_input(process: subprocess.Popen[str], text: str) -> None:
    """Write to a program's standard input."""
    assert process.stdin is not None
    process.stdin.write(text)
    process.stdin.flush()
