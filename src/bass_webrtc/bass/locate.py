"""Finds the BASS library to which handles of this process belong.

BASS keeps its channels in the library's own memory, so a second copy does not know the handles of the first: every
call fails with BASS_ERROR_HANDLE. A copy that is already loaded is therefore always used, and another is loaded only
if there is none.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import importlib.util
import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ..errors import BassNotFoundError, ConfigError
from .library import BassLibrary

ENVIRONMENT_VARIABLE = "BASS_LIBRARY"
LIBRARY_NAME = {"win32": "bass.dll", "darwin": "libbass.dylib"}.get(sys.platform, "libbass.so")

# Some distributions and users append version numbers; "(deleted)" marks a library that was replaced on disk.
_MAPPED_BASS = re.compile(r"(/.*/libbass\.so[.\d]*)( \(deleted\))?$")
_WINDOWS_PATH_CHARACTERS = 32_768
_LOADED = "loaded by this program"


@functools.cache
def find_bass() -> BassLibrary:
    """Return the BASS library of this process; load one if none is loaded.

    Tries the environment variable BASS_LIBRARY, the loaded modules, sound_lib's copy, and the system loader's search
    path, in this order. The result is cached. Any thread.

    Raises:
        BassNotFoundError: None was found, or the file is not BASS 2.4.
        ConfigError: Two copies are loaded, or BASS_LIBRARY names another file than the loaded one.
    """
    loaded = loaded_copies()
    named = os.environ.get(ENVIRONMENT_VARIABLE)
    if named:
        return _open_named(Path(named).absolute(), loaded)  # The loader looks for a bare name elsewhere.
    if len(loaded) > 1:
        raise ConfigError(
            f"BASS is loaded twice: {_listed(loaded)}. Handles of one are unknown to the other. "
            f"Load only one of them, or set {ENVIRONMENT_VARIABLE} to the one that creates your channels"
        )
    if loaded:
        return _open(str(loaded[0]), _LOADED)
    return _open_first_of(_installed_copies())


@contextlib.contextmanager
def kept_error_code() -> Iterator[None]:
    """Restore this thread's BASS error code on exit, whatever is called in between."""
    library = None
    with contextlib.suppress(BassNotFoundError, ConfigError):
        library = find_bass() if find_bass.cache_info().currsize or loaded_copies() else None
    before = library.last_error_code() if library is not None else 0
    try:
        yield
    finally:
        if library is not None:
            library.set_last_error_code(before)


def loaded_copies() -> tuple[Path, ...]:
    """Return the files of the BASS libraries loaded in this process: none, one, or by mistake several."""
    return tuple(dict.fromkeys(Path(path) for path in _loaded_paths()))


def _loaded_paths() -> Iterator[str]:
    if sys.platform == "win32":
        return windows_modules(ctypes.WinDLL("kernel32"))
    if sys.platform == "darwin":
        return darwin_images(ctypes.CDLL(None))
    return mapped_libraries(Path("/proc/self/maps"))


def mapped_libraries(maps: Path) -> Iterator[str]:
    """Linux: read the memory map, which has one line per mapped part of a file, the path in the sixth column."""
    if maps.exists():
        with maps.open(encoding="utf-8", errors="surrogateescape") as lines:
            for line in lines:
                if match := _MAPPED_BASS.search(line.rstrip("\n")):
                    yield match[1]


def darwin_images(dyld: Any) -> Iterator[str]:
    """macOS: read dyld's list of loaded images."""
    dyld._dyld_get_image_name.restype = ctypes.c_char_p
    for index in range(dyld._dyld_image_count()):
        path = os.fsdecode(dyld._dyld_get_image_name(index) or b"")
        if path.endswith("/libbass.dylib"):
            yield path


def windows_modules(kernel32: Any) -> Iterator[str]:
    """Windows: ask for the module. There is one per name and process, unless another was loaded by full path."""
    kernel32.GetModuleHandleW.restype = ctypes.c_void_p
    kernel32.GetModuleHandleW.argtypes = (ctypes.c_wchar_p,)
    kernel32.GetModuleFileNameW.argtypes = (ctypes.c_void_p, ctypes.c_wchar_p, ctypes.c_uint32)
    if module := kernel32.GetModuleHandleW("bass.dll"):
        path = ctypes.create_unicode_buffer(_WINDOWS_PATH_CHARACTERS)
        kernel32.GetModuleFileNameW(module, path, _WINDOWS_PATH_CHARACTERS)
        yield path.value


def _open_named(named: Path, loaded: Sequence[Path]) -> BassLibrary:
    if not named.is_file():
        raise BassNotFoundError(f"{ENVIRONMENT_VARIABLE} is {str(named)!r}, but that file does not exist")
    if loaded and not any(path.exists() and path.samefile(named) for path in loaded):
        raise ConfigError(
            f"{ENVIRONMENT_VARIABLE} is {str(named)!r}, but this program has loaded {_listed(loaded)}. A second "
            f"copy would not know its handles. Unset {ENVIRONMENT_VARIABLE}, or load that file in the program"
        )
    return _open(str(named), f"named by {ENVIRONMENT_VARIABLE}")


def _open_first_of(copies: Iterable[tuple[str, str]]) -> BassLibrary:
    refusals = []
    for name, origin in copies:
        try:
            return _open(name, origin)
        except BassNotFoundError as error:
            refusals.append(str(error))
    raise BassNotFoundError(
        f"no BASS library is loaded or installed: {'; '.join(refusals)}. "
        f"pip install 'sound-lib>=0.8.8,<0.9' provides one for Linux x64, Windows and macOS; for another system, get "
        f"{LIBRARY_NAME} from https://www.un4seen.com and set {ENVIRONMENT_VARIABLE} to its path"
    )


def _installed_copies() -> Iterator[tuple[str, str]]:
    """Yield libraries to load, and their origin."""
    if (path := sound_lib_copy()) is not None:
        yield str(path), "from the package sound_lib"
    yield LIBRARY_NAME, "installed in the system"


def sound_lib_copy() -> Path | None:
    """Return the library file inside the package sound_lib, without importing it, which would start more than BASS."""
    spec = importlib.util.find_spec("sound_lib")
    if spec is None or not spec.submodule_search_locations:
        return None
    folder = "x64" if sys.maxsize > 2**32 else "x86"
    path = Path(spec.submodule_search_locations[0], "lib", folder, LIBRARY_NAME)
    return path if path.is_file() else None


def _open(name: str, origin: str) -> BassLibrary:
    try:
        library = _load(name, must_be_loaded=origin == _LOADED)
    except OSError as error:
        raise BassNotFoundError(f"{name}, {origin}, cannot be opened: {error}") from None
    # For a bare name, the system loader does not report the file.
    path = Path(name) if os.path.isabs(name) else next(iter(loaded_copies()), Path(name))
    return BassLibrary(path, library, origin)


def _load(name: str, must_be_loaded: bool) -> ctypes.CDLL:
    if sys.platform == "win32":
        return ctypes.WinDLL(name)
    # RTLD_NOLOAD fails instead of loading a second copy if the file has been replaced.
    # RTLD_GLOBAL: BASSmix and others are not linked to BASS; they look up its symbols in the process.
    return ctypes.CDLL(name, mode=os.RTLD_NOLOAD if must_be_loaded else os.RTLD_GLOBAL)


def _listed(paths: Sequence[Path]) -> str:
    return " and ".join(str(path) for path in paths)
