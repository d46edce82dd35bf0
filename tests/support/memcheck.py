"""C programs under valgrind, and which of its errors are ours.

An error belongs to the innermost code of its stack that is neither the C library, nor the loader, nor a codec or
cipher library, which only do what they are asked. Python, and the modules that other projects compiled for it, have
blocks of their own that they keep for life.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

TRANSPARENT = re.compile(
    r"/(vgpreload_\w+-[\w-]+|ld-linux[\w-]*|lib(c|m|dl|pthread|opus|srtp2|crypto|ssl|stdc\+\+|gcc_s))\.so"
)
FOR_LIFE = "initialise_srtp"
"""What libsrtp2 sets up once and keeps as long as the process lives."""
OWN = re.compile(r"/(libbass_webrtc|_core\.abi3)\.so$")


@dataclass(frozen=True)
class Finding:
    """One error or lost block, with its stack from the inside."""

    what: str
    frames: tuple[tuple[str, str], ...]
    """Function and file of the code."""

    def is_of(self, program: Path) -> bool:
        """Whether it belongs to the library, the core or the program."""
        if any(function == FOR_LIFE for function, _ in self.frames):
            return False
        for _, code in self.frames:
            if OWN.search(code) or code == str(program):
                return True
            if not TRANSPARENT.search(code):
                return False
        return False

    def __str__(self) -> str:
        return f"{self.what}\n" + "".join(f"    {function} in {code}\n" for function, code in self.frames[:12])


def missing() -> str | None:
    """What it needs that this machine lacks."""
    return None if shutil.which("valgrind") else "needs Debian's valgrind"


def command(program: Path, log: Path, *arguments: str) -> list[str]:
    """What to run. Every block that is not freed is looked for, whether something points at it or not."""
    return [
        "/usr/bin/valgrind",
        "--xml=yes",
        f"--xml-file={log}",
        "--leak-check=full",
        "--show-leak-kinds=all",
        "--num-callers=40",
        "--fair-sched=yes",
        str(program),
        *arguments,
    ]


def findings(log: Path) -> list[Finding]:
    """What valgrind wrote down, once the program has ended."""
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
