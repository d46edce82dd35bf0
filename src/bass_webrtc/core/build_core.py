"""Builds ``bass_webrtc.core._core`` from the C files in this folder, with cffi in API mode.

The interface is declared only in ``core.h`` and ``playout.h``: the C compiler includes them, and cffi's declarations
are read from them. setuptools runs this file from the project's root (``setup.py``).
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from cffi import FFI

HERE = Path(__file__).parent
LIBRARIES = {"opus": "libopus-dev", "libsrtp2": "libsrtp2-dev", "libcrypto": "libssl-dev"}
"""pkg-config names and the Debian packages that provide them."""

HEADERS = ("playout.h", "core.h")
"""Headers of the interface for Python."""

COMPILE_FLAGS = ("-std=c11", "-O3", "-Wall", "-Wextra", "-pthread", "-fvisibility=hidden")
"""Symbols are hidden because a host program may load other add-ons that define functions of the same names."""

_NUMBER_DEFINE = re.compile(r"\s*#\s*define\s+\w+\s+-?(0[xX][0-9a-fA-F]+|\d+)\s*(/\*.*)?$")


def declarations(header: str) -> str:
    """Return a header's text for cffi: without preprocessor lines, except ``#define NAME number``."""
    lines = header.replace("\\\n", "").splitlines()
    return "\n".join(line for line in lines if not line.lstrip().startswith("#") or _NUMBER_DEFINE.match(line))


def sources() -> list[Path]:
    """Return the core's C files, except the one that cffi generates."""
    return sorted(path for path in HERE.glob("*.c") if path.name != "_core.c")


def pkg_config(flag: str) -> list[str]:
    """Return pkg-config's output for all libraries.

    Raises:
        SystemExit: pkg-config or a library is missing; the message names the packages to install.
    """
    try:
        result = subprocess.run(["pkg-config", flag, *LIBRARIES], capture_output=True, text=True, check=True)
    except FileNotFoundError:
        raise SystemExit(f"bass-webrtc: pkg-config is missing; {_advice('pkg-config')}") from None
    except subprocess.CalledProcessError as error:
        raise SystemExit(f"bass-webrtc: {error.stderr.strip()}\n{_advice()}") from None
    return result.stdout.split()


def _advice(*more: str) -> str:
    packages = " ".join(("gcc", "libc6-dev", *more, *LIBRARIES.values()))
    return f"the core needs libopus, libsrtp2 and libcrypto with their headers; on Debian: apt-get install {packages}"


def _builder() -> FFI:
    builder = FFI()
    builder.cdef(declarations("".join((HERE / name).read_text() for name in HEADERS)))
    builder.set_source(
        "bass_webrtc.core._core",
        '#include "core.h"',
        # setuptools expects paths relative to the project's root.
        sources=[f"src/bass_webrtc/core/{path.name}" for path in sources()],
        depends=[f"src/bass_webrtc/core/{path.name}" for path in sorted(HERE.glob("*.h"))],
        include_dirs=["src/bass_webrtc/core"],
        extra_compile_args=[*COMPILE_FLAGS, *pkg_config("--cflags")],
        extra_link_args=["-pthread", "-lm", *pkg_config("--libs")],
    )
    return builder


ffibuilder = _builder()
