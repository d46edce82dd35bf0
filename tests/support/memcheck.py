"""Run C programs under valgrind's memcheck, and decide which of its findings are errors of this project.

A finding belongs to the innermost code of its stack that is not transparent. The C library, the loader and the codec
and cipher libraries are transparent, because they only do what their callers request. A finding whose code is Python,
or an extension module of another project, is not counted: these keep blocks until the process exits.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

TRANSPARENT = re.compile(
    r"/(vgpreload_\w+-[\w-]+|ld-linux[\w-]*|lib(c|m|dl|pthread|opus|crypto|ssl|stdc\+\+|gcc_s))\.so"
)
OWN = re.compile(r"/(libbass_webrtc|_core\.abi3)\.so$")


@dataclass(frozen=True)
class Finding:
    """An invalid access, or a block that was not freed.

    Attributes:
        what: Valgrind's description.
        frames: The stack from the inside: the function, and the file of the code.
    """

    what: str
    frames: tuple[tuple[str, str], ...]

    def is_of(self, program: Path) -> bool:
        """Whether it belongs to the program, libbass_webrtc or the core."""
        for _, code in self.frames:
            if OWN.search(code) or code == str(program):
                return True
            if not TRANSPARENT.search(code):
                return False
        return False

    def __str__(self) -> str:
        return f"{self.what}\n" + "".join(f"    {function} in {code}\n" for function, code in self.frames[:12])


def missing() -> str | None:
    """A reason to skip if valgrind is not installed, otherwise None."""
    return None if shutil.which("valgrind") else "needs Debian's valgrind"


def command(program: Path, log: Path, *arguments: str) -> list[str]:
    """The command that runs a program under valgrind, which reports every block that is not freed, reachable or not."""
    return [
        "/usr/bin/valgrind",
        "--xml=yes",
        f"--xml-file={log}",
        "--leak-check=full",
        "--show-leak-kinds=all",
        "--num-callers=40",
        "--fair-sched=yes",  # Otherwise one thread of the program can starve the others.
        str(program),
        *arguments,
    ]


def findings(log: Path) -> list[Finding]:
    """Parse valgrind's report. It is complete once the program has exited."""
    return [
        Finding(
            what.findtext("text") or "" if (what := error.find("xwhat")) is not None else error.findtext("what") or "",
            tuple(
                (frame.findtext("fn") or "?", frame.findtext("obj") or "?")
                for frame in error.iterfind("./stack[1]/frame")
            ),
        )
        for error in ElementTree.parse(log).iterfind("error")
    ]
