"""Builds ``libbass_webrtc`` for this machine and this Python environment: cffi, embedding mode.

    bass_webrtc.h (structures) + bridge.h + python_half.h ─► cffi ─► C ─┐
    library.c, stats.c, error.c, python_start.c ────────────────────────┴─► cc ─► libbass_webrtc.so + bass_webrtc.pc

The library is linked with this Python's shared libpython and knows the path of this environment's ``python``, so it
needs no variable, and belongs to the environment: move or upgrade that, and build again.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

from cffi import FFI

from .. import __version__
from ..core.build_core import declarations
from ..errors import BassWebRtcError

HERE = Path(__file__).parent
HEADER = HERE / "bass_webrtc.h"
CORE = HERE.parent / "core"
LIBRARY_NAME = "libbass_webrtc.dylib" if sys.platform == "darwin" else "libbass_webrtc.so"
PKG_CONFIG_NAME = "bass_webrtc.pc"
COMPILE_FLAGS = ("-std=c11", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra", "-fPIC", "-pthread", "-fvisibility=hidden")

_STRUCTURES = re.compile(r"^(?:typedef struct \{.*?^\} \w+;|typedef [\w ]+ \w+;)", re.MULTILINE | re.DOTALL)
_PREAMBLE = """
#include "library.h"

int bw_bind(void) { return cffi_start_python(); }
"""
_INIT_CODE = """
from bass_webrtc.capi import capi
from libbass_webrtc import ffi, lib

capi.bind(ffi, lib)
"""


def default_folder() -> Path:
    """Where ``build`` puts the library unless it is told: in this environment."""
    return Path(sys.prefix, "lib", "bass_webrtc")


def build(folder: Path) -> Path:
    """Compiles the library and writes it, its header and its pkg-config file.

    Args:
        folder: Where to; made if it is not there.

    Returns:
        The library.

    Raises:
        BassWebRtcError: There is no compiler, or no shared libpython; or the compiler failed.
        OSError: The folder cannot be written.
    """
    folder = folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    library = folder / LIBRARY_NAME
    with tempfile.TemporaryDirectory() as work:
        generated = Path(work, "binding.c")
        _builder().emit_c_code(str(generated))
        # A program that has loaded the old file keeps it whole: the new one takes its name, not its place.
        made = Path(work, LIBRARY_NAME)
        _run(command(made, [generated, *sorted(HERE.glob("*.c"))]))
        staged = folder / f".{LIBRARY_NAME}.{os.getpid()}"
        shutil.copy(made, staged)
        staged.replace(library)
    shutil.copy(HEADER, folder / HEADER.name)
    (folder / PKG_CONFIG_NAME).write_text(_pkg_config(folder))
    return library


def command(library: Path, sources: list[Path]) -> list[str]:
    """The compiler's command line."""
    libpython = find_libpython()
    python = Path(sys.prefix, "bin", "python3") if sys.prefix != sys.base_prefix else Path(sys.executable)
    include = sysconfig.get_path("include")
    return [
        *shlex.split(os.environ.get("CC", "cc")),
        *COMPILE_FLAGS,
        f'-DBW_PYTHON="{_as_c_text(str(python))}"',
        f'-DBW_PACKAGE_VERSION="{__version__}"',
        *(f"-I{path}" for path in (HERE, CORE, include)),
        *map(str, sources),
        *("-o", str(library)),
        str(libpython),
        f"-Wl,-rpath,{libpython.parent}",
        *_platform_flags(),
    ]


def cflags(folder: Path) -> str:
    """What a program's compiler is told."""
    return f"-I{shlex.quote(str(folder.absolute()))}"


def ldflags(folder: Path) -> str:
    """What a program's linker is told, so that the library is found when the program runs, too."""
    where = shlex.quote(str(folder.absolute()))
    return f"-L{where} -Wl,-rpath,{where} -lbass_webrtc"


def find_libpython() -> Path:
    """This Python as a shared library.

    Raises:
        BassWebRtcError: It was built without one.
    """
    names = [sysconfig.get_config_var(name) for name in ("INSTSONAME", "LDLIBRARY")]
    folders = [sysconfig.get_config_var("LIBDIR"), os.path.join(sys.base_prefix, "lib")]
    if multiarch := sysconfig.get_config_var("MULTIARCH"):
        folders += [os.path.join(folder, multiarch) for folder in folders if folder]
    for folder in filter(None, folders):
        for name in filter(None, names):
            path = Path(folder, name)
            if ".a" not in path.suffixes and path.is_file():
                return path
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    raise BassWebRtcError(
        f"the Python of {sys.base_prefix} has no shared library, which a C program would load it from. "
        f"Debian's Python: apt-get install libpython{version}. pyenv: build it once more, with "
        "PYTHON_CONFIGURE_OPTS=--enable-shared. Others: configure --enable-shared"
    )


def _builder() -> FFI:
    """What cffi makes: the functions of ``python_half.h``, which Python defines, and ``bridge.h`` for Python."""
    builder = FFI()
    builder.embedding_api("")  # Nothing of it is exported: library.c does that.
    builder.cdef(structures(HEADER.read_text()))
    builder.cdef(declarations((HERE / "bridge.h").read_text()))
    half = declarations((HERE / "python_half.h").read_text())
    builder.cdef('extern "Python+C" {\n' + half + "\n}")
    builder.set_source("libbass_webrtc", _PREAMBLE, compiler_verbose=0)
    builder.embedding_init_code(_INIT_CODE)
    return builder


def structures(header: str) -> str:
    """The types of ``bass_webrtc.h``, as cffi reads them."""
    without_comments = re.sub(r"/\*.*?\*/", "", header, flags=re.DOTALL)
    names = (match[0] for match in _STRUCTURES.finditer(without_comments))
    return "\n".join(text for text in names if not re.search(r"\b(DWORD|HSTREAM);", text))


def _platform_flags() -> list[str]:
    if sys.platform == "darwin":
        return ["-dynamiclib", f"-Wl,-install_name,@rpath/{LIBRARY_NAME}"]
    # nodelete: Python's threads and atexit handlers would outlive the code that dlclose takes away.
    return ["-shared", f"-Wl,-soname,{LIBRARY_NAME}", "-Wl,-z,nodelete", "-Wl,--no-undefined", "-ldl", "-lm"]


def _run(words: list[str]) -> None:
    try:
        subprocess.run(words, capture_output=True, text=True, check=True)
    except FileNotFoundError:
        raise BassWebRtcError(
            f"there is no C compiler {words[0]!r}. On Debian: apt-get install gcc libc6-dev; or set CC"
        ) from None
    except subprocess.CalledProcessError as error:
        raise BassWebRtcError(f"the C library could not be built: {error.stderr.strip() or error}") from None


def _pkg_config(folder: Path) -> str:
    return f"""libdir={folder}
includedir={folder}

Name: bass_webrtc
Description: BASS audio in browsers, over WebRTC
Version: {__version__}
Cflags: -I${{includedir}}
Libs: -L${{libdir}} -Wl,-rpath,${{libdir}} -lbass_webrtc
"""


def _as_c_text(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
