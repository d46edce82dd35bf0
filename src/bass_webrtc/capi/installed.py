"""Where this environment's C library is, and the flags of programs that use it. Imports nothing that builds."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

LIBRARY_NAME = "libbass_webrtc.dylib" if sys.platform == "darwin" else "libbass_webrtc.so"


def default_folder() -> Path:
    """The folder in this environment where ``build_capi.build`` puts the library unless another is given."""
    return Path(sys.prefix, "lib", "bass_webrtc")


def cflags(folder: Path) -> str:
    """Compiler flags for a program that uses the library in ``folder``."""
    return f"-I{shlex.quote(str(folder.absolute()))}"


def ldflags(folder: Path) -> str:
    """Linker flags for a program that uses the library in ``folder``; the program finds it there at run time."""
    where = shlex.quote(str(folder.absolute()))
    return f"-L{where} -Wl,-rpath,{where} -lbass_webrtc"
