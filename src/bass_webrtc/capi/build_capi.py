"""Build ``libbass_webrtc`` with cffi in embedding mode.

    bass_webrtc.h ─► dispatch.py ─► dispatch.c, python_functions.h, the export list ─┐
                └──► cffi, with bridge.h ─► binding.c ───────────────────────────────┤
    library.c, error.c, stats.c, python_start.c, python_place.c ─────────────────────┴─► cc ─► libbass_webrtc.so

``build`` builds it for this machine and this Python environment: it is linked with the shared libpython of this Python
and contains the path of this environment's ``python``, so it needs no environment variables. It belongs to the
environment: build it again after moving or upgrading that.

``build_portable`` builds it for an SDK, also for another machine. It finds its Python in the folder ``bass_webrtc``
beside it, so both can be moved together. A Windows program links with a stub:

    stub.c, stub_functions.c (from dispatch.py) ─► bass_webrtc.dll ─loads─► bass_webrtc\\libbass_webrtc.dll
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cffi import FFI

from .. import __version__
from ..core.build_core import declarations
from ..errors import BassWebRtcError
from . import dispatch
from .header import HEADER, Header, parse_header
from .installed import LIBRARY_NAME

HERE = Path(__file__).parent
CORE = HERE.parent / "core"
HOME = "bass_webrtc"
"""The folder of an SDK that contains the library's Python."""
STUB_NAME = "bass_webrtc.dll"
STUB_SOURCES = frozenset({"stub.c"})
"""C files of the stub; all others are those of the library."""
WINDOWS_LIBRARY_NAME = "libbass_webrtc.dll"
PKG_CONFIG_NAME = "bass_webrtc.pc"
COMPILE_FLAGS = ("-std=c11", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra", "-pthread")
WINDOWS_FLAGS = ("-D_WIN32_WINNT=0x0A00", "-D__USE_MINGW_ANSI_STDIO=1", "-shared", "-static", "-s")
"""For MinGW: Windows 10; its C library and winpthreads are linked into the DLL."""

_PREAMBLE = """
#include "library.h"

int bw_bind(void) { return cffi_start_python(); }
"""
_INIT_CODE = """
from bass_webrtc.capi import capi
from libbass_webrtc import ffi, lib

capi.bind(ffi, lib, {failures})
"""


@dataclass(frozen=True, slots=True)
class Toolchain:
    """What differs between the builds of the library.

    Attributes:
        compiler: The compiler's command.
        include: The folders of ``Python.h`` and ``pyconfig.h``.
        flags: Options of the compiler and the linker, among them the library of Python.
    """

    compiler: tuple[str, ...]
    include: tuple[Path, ...]
    flags: tuple[str, ...]


def build(folder: Path) -> Path:
    """Compile the library for this environment and write it, its header and its pkg-config file.

    Args:
        folder: Where to write them; created if missing.

    Returns:
        The path of the library.

    Raises:
        BassWebRtcError: There is no compiler or no shared libpython, the compiler failed, or this is Windows.
        OSError: The folder cannot be written.
    """
    if sys.platform == "win32":
        raise BassWebRtcError(
            "the C library cannot be built on Windows; use the one in bass-webrtc-sdk-win-x64.zip, which needs neither "
            "a compiler nor this Python"
        )
    folder = folder.absolute()
    with _generated() as (generated, sources):
        _compile(folder / LIBRARY_NAME, sources, generated, for_environment(generated))
    shutil.copy(HEADER, folder / HEADER.name)
    (folder / PKG_CONFIG_NAME).write_text(_pkg_config(folder), encoding="utf-8")
    return folder / LIBRARY_NAME


def build_portable(
    target: str, folder: Path, include: Sequence[Path], libpython: Path, compiler: Sequence[str] = ("cc",)
) -> None:
    """Compile the library for an SDK, and write it and its header.

    On Linux that is ``libbass_webrtc.so``; its Python is ``bass_webrtc/lib/libpython3.*.so``,
    ``bass_webrtc/lib/python3.*`` and ``bass_webrtc/site-packages``. On Windows it is ``bass_webrtc.dll``,
    ``bass_webrtc/libbass_webrtc.dll`` and ``bass_webrtc.def``, the export list of ``bass_webrtc.dll``; its Python is
    Python's embeddable package, unpacked in ``bass_webrtc``, and ``bass_webrtc/site-packages``.

    Args:
        target: ``linux-x64`` or ``windows-x64``.
        folder: Where to write the files; created if missing.
        include: The folders of ``Python.h`` and of ``pyconfig.h`` or ``pyconfig.h.in``.
        libpython: ``python3*.dll`` or ``libpython3.*.so.1.0``.
        compiler: The compiler's command, for Windows that of MinGW-w64.

    Raises:
        BassWebRtcError: The compiler is missing or failed.
        OSError: The folder cannot be written.
    """
    header = parse_header(HEADER.read_text(encoding="utf-8"))
    with _generated() as (generated, sources):
        if target == "windows-x64":
            _compile(
                folder / HOME / WINDOWS_LIBRARY_NAME,
                sources,
                generated,
                _for_windows(generated, header, include, libpython, compiler),
            )
            stub = generated / "stub_functions.c"
            stub.write_text(dispatch.stub_source(header), encoding="utf-8")
            definition = folder / f"{HOME}.def"
            definition.write_text(dispatch.module_definition(header, STUB_NAME), encoding="utf-8")
            _compile(
                folder / STUB_NAME,
                [stub, *(HERE / name for name in STUB_SOURCES)],
                generated,
                Toolchain(tuple(compiler), (), (*WINDOWS_FLAGS, str(definition))),
            )
        else:
            linked = (str(libpython), f"-Wl,--disable-new-dtags,-rpath,$ORIGIN/{HOME}/lib")
            flags = (*linked, *_platform_flags(generated / "exports"))
            _compile(folder / LIBRARY_NAME, sources, generated, Toolchain(tuple(compiler), tuple(include), flags))
    shutil.copy(HEADER, folder / HEADER.name)


def generate(folder: Path, header: Header) -> list[Path]:
    """Write the generated C files and the export list.

    Returns:
        The C files of the library, generated and written by hand.
    """
    (folder / "python_functions.h").write_text(dispatch.python_header(header), encoding="utf-8")
    (folder / "dispatch.c").write_text(dispatch.dispatch_source(header), encoding="utf-8")
    export_list = dispatch.exported_symbols if sys.platform == "darwin" else dispatch.version_script
    (folder / "exports").write_text(export_list(header), encoding="utf-8")
    _builder(header).emit_c_code(str(folder / "binding.c"))
    written = sorted(path for path in HERE.glob("*.c") if path.name not in STUB_SOURCES)
    return [folder / "binding.c", folder / "dispatch.c", *written]


def for_environment(generated: Path) -> Toolchain:
    """The toolchain for a library that uses this Python environment.

    Args:
        generated: The folder of the export list.

    Raises:
        BassWebRtcError: This Python has no shared library.
    """
    libpython = find_libpython()
    python = Path(sys.prefix, "bin", "python3") if sys.prefix != sys.base_prefix else Path(sys.executable)
    return Toolchain(
        tuple(shlex.split(os.environ.get("CC", "cc"))),
        (Path(sysconfig.get_path("include")),),
        (
            f'-DBW_PYTHON="{_as_c_text(str(python))}"',
            str(libpython),
            f"-Wl,-rpath,{libpython.parent}",
            *_platform_flags(generated / "exports"),
        ),
    )


def command(library: Path, sources: list[Path], generated: Path, toolchain: Toolchain) -> list[str]:
    """The compiler's command line.

    Args:
        library: The file to write.
        sources: The C files to compile.
        generated: The folder of the generated headers.
        toolchain: The compiler and its options.
    """
    return [
        *toolchain.compiler,
        *COMPILE_FLAGS,
        f'-DBW_PACKAGE_VERSION="{__version__}"',
        *(f"-I{path}" for path in (HERE, CORE, generated, *toolchain.include)),
        *map(str, sources),
        *("-o", str(library)),
        *toolchain.flags,
    ]


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
    builder.cdef(header.types)
    builder.cdef(declarations((HERE / "bridge.h").read_text(encoding="utf-8")))
    builder.cdef('extern "Python+C" {\n' + dispatch.python_declarations(header) + "}")
    builder.set_source("libbass_webrtc", _PREAMBLE, compiler_verbose=0)
    builder.embedding_init_code(_INIT_CODE.format(failures=dispatch.failures(header)))
    return builder


@contextmanager
def _generated() -> Iterator[tuple[Path, list[Path]]]:
    """A temporary folder with the generated files, and the C files of the library."""
    with tempfile.TemporaryDirectory() as work:
        yield Path(work), generate(Path(work), parse_header(HEADER.read_text(encoding="utf-8")))


def _compile(library: Path, sources: list[Path], generated: Path, toolchain: Toolchain) -> None:
    """Compile a library. A program that has loaded the old file keeps it, as it is replaced, not overwritten."""
    made = generated / library.name
    library.parent.mkdir(parents=True, exist_ok=True)
    _run(command(made, sources, generated, toolchain))
    staged = library.with_name(f".{library.name}.{os.getpid()}")
    shutil.copy(made, staged)
    staged.replace(library)


def _for_windows(
    generated: Path, header: Header, include: Sequence[Path], libpython: Path, compiler: Sequence[str]
) -> Toolchain:
    definition = generated / "libbass_webrtc.def"
    definition.write_text(dispatch.module_definition(header, WINDOWS_LIBRARY_NAME), encoding="utf-8")
    for template in (path / "pyconfig.h.in" for path in include):
        if template.is_file():  # CPython's own build copies it, too.
            shutil.copy(template, generated / "pyconfig.h")
    # MinGW's linker reads the DLL itself. No "lib" for the file that cffi would name python3*.lib with MSVC.
    return Toolchain(
        tuple(compiler), tuple(include), ("-DPy_ENABLE_SHARED", *WINDOWS_FLAGS, str(definition), str(libpython))
    )


def _platform_flags(exports: Path) -> list[str]:
    if sys.platform == "darwin":
        return ["-dynamiclib", f"-Wl,-install_name,@rpath/{LIBRARY_NAME}", f"-Wl,-exported_symbols_list,{exports}"]
    return [
        "-shared",
        "-fPIC",
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
        subprocess.run(words, capture_output=True, encoding="utf-8", errors="replace", check=True)
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
