"""Builds ``bass_webrtc.core._core`` from the C files in this folder, with cffi in API mode.

The interface is declared only in ``core.h`` and ``playout.h``: the C compiler includes them, and cffi's declarations
are read from them. setuptools runs this file from the project's root (``setup.py``).

Two environment variables, which ``scripts/wheels.py`` sets together with setuptools' own (``CC``, ``LDSHARED``):

``BASS_WEBRTC_TARGET``
    ``linux-x64``, ``linux-arm64`` or ``windows-x64``. Default: the running platform.
``BASS_WEBRTC_THIRD_PARTY``
    The folder that ``scripts/third-party.sh TARGET`` has printed: its static libraries are linked instead of the
    system's shared ones. Required for Windows.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

from cffi import FFI

HERE = Path(__file__).parent
LIBRARIES = {"opus": "libopus-dev", "libcrypto": "libssl-dev"}
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


def pkg_config(flag: str, folder: Path | None = None) -> list[str]:
    """Return pkg-config's output for all libraries.

    Args:
        flag: ``--cflags`` or ``--libs``.
        folder: Of the static libraries to use instead of the system's shared ones.

    Raises:
        SystemExit: pkg-config or a library is missing; the message names the packages to install.
    """
    command, environment = ["pkg-config", flag, *LIBRARIES], dict(os.environ)
    if folder is not None:
        command.append("--static")
        environment |= {"PKG_CONFIG_LIBDIR": str(folder / "lib/pkgconfig"), "PKG_CONFIG_PATH": ""}
    try:
        result = subprocess.run(
            command, capture_output=True, encoding="utf-8", errors="replace", check=True, env=environment
        )
    except FileNotFoundError:
        raise SystemExit(f"bass-webrtc: pkg-config is missing; {_advice('pkg-config')}") from None
    except subprocess.CalledProcessError as error:
        raise SystemExit(f"bass-webrtc: {error.stderr.strip()}\n{_advice()}") from None
    return shlex.split(result.stdout)


def link_flags(target: str = sys.platform, folder: Path | None = None) -> list[str]:
    """Return the linker's flags for the core's libraries.

    Args:
        target: As ``BASS_WEBRTC_TARGET``.
        folder: As for ``pkg_config``.

    Raises:
        SystemExit: As ``pkg_config``.
    """
    libraries = ["-pthread", "-lm", *pkg_config("--libs", folder)]
    if _is_windows(target):  # Only DLLs of the system are not linked statically.
        return ["-static", *libraries, "-lws2_32", "-lavrt", "-lwinmm"]
    return libraries


def _is_windows(target: str) -> bool:
    return target.startswith("win")  # "windows-x64", or Python's "win32".


def _advice(*more: str) -> str:
    packages = " ".join(("gcc", "libc6-dev", *more, *LIBRARIES.values()))
    return f"the core needs libopus and libcrypto with their headers; on Debian: apt-get install {packages}"


def ffibuilder() -> FFI:
    """Return cffi's description of the extension module.

    Raises:
        SystemExit: As ``pkg_config``, or the target is Windows and ``BASS_WEBRTC_THIRD_PARTY`` is not set.
    """
    target = os.environ.get("BASS_WEBRTC_TARGET", sys.platform)
    named = os.environ.get("BASS_WEBRTC_THIRD_PARTY")
    folder = Path(named) if named else None
    include_dirs, extra_objects = ["src/bass_webrtc/core"], []
    if _is_windows(target):
        if folder is None:
            advice = f"set it to what `scripts/third-party.sh {target}` prints"
            raise SystemExit(f"bass-webrtc: BASS_WEBRTC_THIRD_PARTY is not set, which {target} requires; {advice}")
        include_dirs.append(str(folder / "python/include"))
        extra_objects.append(str(folder / "python/lib/libpython3.dll.a"))
    builder = FFI()
    builder.cdef(declarations("".join((HERE / name).read_text(encoding="utf-8") for name in HEADERS)))
    builder.set_source(
        "bass_webrtc.core._core",
        '#include "core.h"',
        # setuptools expects paths relative to the project's root.
        sources=[f"src/bass_webrtc/core/{path.name}" for path in sources()],
        depends=[f"src/bass_webrtc/core/{path.name}" for path in sorted(HERE.glob("*.h"))],
        include_dirs=include_dirs,
        extra_objects=extra_objects,
        extra_compile_args=[*COMPILE_FLAGS, *pkg_config("--cflags", folder)],
        extra_link_args=link_flags(target, folder),
    )
    return builder
