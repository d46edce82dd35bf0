"""Build ``libbass_webrtc`` for this machine and this Python environment, with cffi in embedding mode.

    bass_webrtc.h ─► dispatch.py ─► dispatch.c, python_functions.h, the export list ─┐
                └──► cffi, with bridge.h ─► binding.c ───────────────────────────────┤
    library.c, error.c, stats.c, python_start.c ─────────────────────────────────────┴─► cc ─► libbass_webrtc.so

The library is linked with the shared libpython of this Python and contains the path of this environment's ``python``,
so it needs no environment variables. It belongs to the environment: build it again after moving or upgrading that.
"""

from __future__ import annotations

import os
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
from . import dispatch
from .header import HEADER, Header, parse_header

HERE = Path(__file__).parent
CORE = HERE.parent / "core"
LIBRARY_NAME = "libbass_webrtc.dylib" if sys.platform == "darwin" else "libbass_webrtc.so"
PKG_CONFIG_NAME = "bass_webrtc.pc"
COMPILE_FLAGS = ("-std=c11", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra", "-fPIC", "-pthread")

_BASS_TYPES = "typedef uint32_t DWORD;\ntypedef DWORD HSTREAM;"
_PREAMBLE = """
#include "library.h"

int bw_bind(void) { return cffi_start_python(); }
"""
_INIT_CODE = """
from bass_webrtc.capi import capi
from libbass_webrtc import ffi, lib

capi.bind(ffi, lib, {failures})
"""


def default_folder() -> Path:
    """The folder in this environment where ``build`` puts the library unless another is given."""
    return Path(sys.prefix, "lib", "bass_webrtc")


def build(folder: Path) -> Path:
    """Compile the library and write it, its header and its pkg-config file.

    Args:
        folder: Where to write them; created if missing.

    Returns:
        The path of the library.

    Raises:
        BassWebRtcError: There is no compiler or no shared libpython, or the compiler failed.
        OSError: The folder cannot be written.
    """
    folder = folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    library = folder / LIBRARY_NAME
    with tempfile.TemporaryDirectory() as work:
        sources = generate(Path(work), parse_header(HEADER.read_text()))
        made = Path(work, LIBRARY_NAME)
        _run(command(made, [*sources, *sorted(HERE.glob("*.c"))], Path(work)))
        # Rename, do not overwrite: a program that has loaded the old file keeps it.
        staged = folder / f".{LIBRARY_NAME}.{os.getpid()}"
        shutil.copy(made, staged)
        staged.replace(library)
    shutil.copy(HEADER, folder / HEADER.name)
    (folder / PKG_CONFIG_NAME).write_text(_pkg_config(folder))
    return library


def generate(folder: Path, header: Header) -> list[Path]:
    """Write the generated C files and the export list.

    Returns:
        The files to compile.
    """
    (folder / "python_functions.h").write_text(dispatch.python_header(header))
    (folder / "dispatch.c").write_text(dispatch.dispatch_source(header))
    export_list = dispatch.exported_symbols if sys.platform == "darwin" else dispatch.version_script
    (folder / "exports").write_text(export_list(header))
    _builder(header).emit_c_code(str(folder / "binding.c"))
    return [folder / "binding.c", folder / "dispatch.c"]


def command(library: Path, sources: list[Path], generated: Path) -> list[str]:
    """The compiler's command line.

    Args:
        library: The file to write.
        sources: The C files to compile.
        generated: The folder of the generated header and the export list.
    """
    libpython = find_libpython()
    python = Path(sys.prefix, "bin", "python3") if sys.prefix != sys.base_prefix else Path(sys.executable)
    include = sysconfig.get_path("include")
    return [
        *shlex.split(os.environ.get("CC", "cc")),
        *COMPILE_FLAGS,
        f'-DBW_PYTHON="{_as_c_text(str(python))}"',
        f'-DBW_PACKAGE_VERSION="{__version__}"',
        *(f"-I{path}" for path in (HERE, CORE, generated, include)),
        *map(str, sources),
        *("-o", str(library)),
        str(libpython),
        f"-Wl,-rpath,{libpython.parent}",
        *_platform_flags(generated / "exports"),
    ]


def cflags(folder: Path) -> str:
    """Compiler flags for a program that uses the library in ``folder``."""
    return f"-I{shlex.quote(str(folder.absolute()))}"


def ldflags(folder: Path) -> str:
    """Linker flags for a program that uses the library in ``folder``; the program finds it there at run time."""
    where = shlex.quote(str(folder.absolute()))
    return f"-L{where} -Wl,-rpath,{where} -lbass_webrtc"


def find_libpython() -> Path:
    """The shared library of this Python.

    Raises:
        BassWebRtcError: This Python was built without one.
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
        f"the Python of {sys.base_prefix} has no shared library, which the C library must be linked with. "
        f"Debian's Python: apt-get install libpython{version}. pyenv: rebuild it with "
        "PYTHON_CONFIGURE_OPTS=--enable-shared. Others: configure --enable-shared"
    )


def _builder(header: Header) -> FFI:
    """cffi's description of the calls in both directions."""
    builder = FFI()
    builder.embedding_api("")  # cffi exports nothing: the exported functions are in other files.
    builder.cdef(f"{_BASS_TYPES}\n{header.types}")
    builder.cdef(declarations((HERE / "bridge.h").read_text()))
    builder.cdef('extern "Python+C" {\n' + dispatch.python_declarations(header) + "}")
    builder.set_source("libbass_webrtc", _PREAMBLE, compiler_verbose=0)
    builder.embedding_init_code(_INIT_CODE.format(failures=dispatch.failures(header)))
    return builder


def _platform_flags(exports: Path) -> list[str]:
    if sys.platform == "darwin":
        return ["-dynamiclib", f"-Wl,-install_name,@rpath/{LIBRARY_NAME}", f"-Wl,-exported_symbols_list,{exports}"]
    return [
        "-shared",
        f"-Wl,-soname,{LIBRARY_NAME}",
        f"-Wl,--version-script={exports}",
        # Python's threads and atexit handlers would outlive the code that dlclose unmaps.
        "-Wl,-z,nodelete",
        "-Wl,--no-undefined",
        "-ldl",
        "-lm",
    ]


def _run(words: list[str]) -> None:
    try:
        subprocess.run(words, capture_output=True, text=True, check=True)
    except FileNotFoundError:
        raise BassWebRtcError(
            f"the C compiler {words[0]!r} was not found. On Debian: apt-get install gcc libc6-dev; or set CC"
        ) from None
    except subprocess.CalledProcessError as error:
        raise BassWebRtcError(f"the C library could not be built: {error.stderr.strip() or error}") from None


def _pkg_config(folder: Path) -> str:
    return f"""libdir={folder}
includedir={folder}

Name: bass_webrtc
Description: WebRTC for the BASS audio library
Version: {__version__}
Cflags: -I${{includedir}}
Libs: -L${{libdir}} -Wl,-rpath,${{libdir}} -lbass_webrtc
"""


def _as_c_text(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
