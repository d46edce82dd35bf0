"""Compile the programs of ``tests/capi`` in C, C++, C# and Pascal; the latter two use the bindings of ``examples``."""

from __future__ import annotations

import functools
import shutil
import subprocess
from pathlib import Path

from . import c_library

EXAMPLES = Path(__file__).parents[2] / "examples"
CSHARP = EXAMPLES / "csharp" / "BassWebRtc.cs"
PASCAL = EXAMPLES / "pascal" / "bass_webrtc.pas"
LANGUAGES = (*c_library.STANDARDS, "csharp", "pascal")
_COMPILERS = {"csharp": ("mcs", "mono-mcs"), "pascal": ("fpc", "fp-compiler")}
"""The compiler of each language, and its Debian package."""


def missing(language: str) -> str | None:
    """The Debian package that a language needs and this machine lacks, as a reason to skip; None if there is none."""
    compiler, package = _COMPILERS.get(language, (None, None))
    return None if compiler is None or shutil.which(compiler) else f"needs Debian's {package}"


@functools.cache
def program(name: str, language: str) -> tuple[str, ...]:
    """Compile a program, with warnings as errors, and return the command that runs it."""
    if language == "csharp":
        return _csharp_program(name)
    if language == "pascal":
        return _pascal_program(name)
    return (str(c_library.program(c_library.TESTS / f"{name}.c", language, f"-I{c_library.EXAMPLES}")),)


def environment() -> dict[str, str]:
    """The variable that a C# program needs to find the libraries; the other programs contain their paths."""
    return {"LD_LIBRARY_PATH": ":".join(map(str, _library_folders()))}


def _csharp_program(name: str) -> tuple[str, ...]:
    binary = c_library.folder() / f"{name}.exe"
    sources = (CSHARP, c_library.TESTS / f"{name.title()}.cs")
    _compile("mcs", "-nologo", "-warn:4", "-warnaserror", f"-out:{binary}", *map(str, sources))
    return "/usr/bin/mono", str(binary)


def _pascal_program(name: str) -> tuple[str, ...]:
    folder = c_library.folder() / "pascal"
    folder.mkdir(exist_ok=True)
    libraries = [f"{flag}{where}" for where in _library_folders() for flag in ("-Fl", "-k-rpath=")]
    source = c_library.TESTS / f"{name}.pas"
    _compile("fpc", "-vew", "-Sew", f"-Fu{PASCAL.parent}", f"-FE{folder}", *libraries, str(source))
    return (str(folder / name),)


def _library_folders() -> tuple[Path, Path]:
    return c_library.folder(), c_library.bass().parent


def _compile(*command: str) -> None:
    result = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    assert result.returncode == 0, f"{' '.join(command)}\n{result.stdout}{result.stderr}"
