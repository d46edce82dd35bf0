"""Finds the BASS that a handle of this process can belong to.

BASS keeps its channels in the library's own memory, so a second copy knows none of the first one's handles: every
call fails with BASS_ERROR_HANDLE. A copy that is loaded already is therefore always the one to use, and another is
loaded only where there is none.
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

# Anaconda, Debian packages and people add version numbers; a library that was replaced on disk is "(deleted)".
_MAPPED_BASS = re.compile(r"(/.*/libbass\.so[.\d]*)( \(deleted\))?$")
_WINDOWS_PATH_CHARACTERS = 32_768
_LOADED = "loaded by this program"


@functools.cache
def find_bass() -> BassLibrary:
    """The BASS of this process; loaded, when none is.

    Looks at the environment variable BASS_LIBRARY, then the loaded modules, then sound_lib's copy, then where the
    system's loader looks. What was found once is kept. Any thread.

    Raises:
        BassNotFoundError: There is none, or the file is no BASS 2.4.
        ConfigError: Two copies are loaded, or BASS_LIBRARY names another than the loaded one.
    """
    loaded = loaded_copies()
    named = os.environ.get(ENVIRONMENT_VARIABLE)
    if named:
        return _open_named(Path(named), loaded)
    if len(loaded) > 1:
        raise ConfigError(
            f"BASS is loaded twice: {_listed(loaded)}. A handle of one means nothing to the other. "
            f"Load one of them only, or set {ENVIRONMENT_VARIABLE} to the one that makes your channels"
        )
    if loaded:
        return _open(str(loaded[0]), _LOADED)
    return _open_first_of(_installed_copies())


@contextlib.contextmanager
def kept_error_code() -> Iterator[None]:
    """BASS's error code of this thread is afterwards as it was before, whatever is called in between."""
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
    """Files of the BASS libraries that are loaded in this process: none, one, or by mistake more."""
    return tuple(dict.fromkeys(Path(path) for path in _loaded_paths()))


def _loaded_paths() -> Iterator[str]:
    if sys.platform == "win32":
        return windows_modules(ctypes.WinDLL("kernel32"))
    if sys.platform == "darwin":
        return darwin_images(ctypes.CDLL(None))
    return mapped_libraries(Path("/proc/self/maps"))


def mapped_libraries(maps: Path) -> Iterator[str]:
    """Linux: one line per mapped part of a file, the path in the sixth column."""
    if maps.exists():
        with maps.open(encoding="utf-8", errors="surrogateescape") as lines:
            for line in lines:
                if match := _MAPPED_BASS.search(line.rstrip("\n")):
                    yield match[1]


def darwin_images(dyld: Any) -> Iterator[str]:
    """macOS: dyld numbers the loaded images."""
    dyld._dyld_get_image_name.restype = ctypes.c_char_p
    for index in range(dyld._dyld_image_count()):
        path = os.fsdecode(dyld._dyld_get_image_name(index) or b"")
        if path.endswith("/libbass.dylib"):
            yield path


def windows_modules(kernel32: Any) -> Iterator[str]:
    """Windows: a process has one module of a name, whatever its folder, unless it was asked for by full path."""
    kernel32.GetModuleHandleW.restype = ctypes.c_void_p
    kernel32.GetModuleHandleW.argtypes = (ctypes.c_wchar_p,)
    kernel32.GetModuleFileNameW.argtypes = (ctypes.c_void_p, ctypes.c_wchar_p, ctypes.c_uint32)
    if module := kernel32.GetModuleHandleW("bass.dll"):
        path = ctypes.create_unicode_buffer(_WINDOWS_PATH_CHARACTERS)
        kernel32.GetModuleFileNameW(module, path, _WINDOWS_PATH_CHARACTERS)
        yield path.value


def _open_named(named: Path, loaded: Sequence[Path]) -> BassLibrary:
    if not named.is_file():
        raise BassNotFoundError(f"{ENVIRONMENT_VARIABLE} is {str(named)!r}, and there is no such file")
    if loaded and not any(path.exists() and path.samefile(named) for path in loaded):
        raise ConfigError(
            f"{ENVIRONMENT_VARIABLE} is {str(named)!r}, but this program has loaded {_listed(loaded)}. A second BASS "
            f"would know none of its handles. Unset {ENVIRONMENT_VARIABLE}, or load that file in the program"
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
        f"no BASS library is loaded, and none was found: {'; '.join(refusals)}. "
        f"pip install 'sound-lib>=0.8.8,<0.9' brings one for Linux x64, Windows and macOS; for another system, get "
        f"{LIBRARY_NAME} from https://www.un4seen.com and set {ENVIRONMENT_VARIABLE} to its path"
    )


def _installed_copies() -> Iterator[tuple[str, str]]:
    """What to load, and where it comes from."""
    if (path := sound_lib_copy()) is not None:
        yield str(path), "brought by sound_lib"
    yield LIBRARY_NAME, "installed in the system"


def sound_lib_copy() -> Path | None:
    """The file inside the package sound_lib, which is not imported: importing it starts more than BASS."""
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
    # The system's loader does not say which file it took for a bare name.
    path = Path(name) if os.path.isabs(name) else next(iter(loaded_copies()), Path(name))
    return BassLibrary(path, library, origin)


def _load(name: str, must_be_loaded: bool) -> ctypes.CDLL:
    if sys.platform == "win32":
        return ctypes.WinDLL(name)
    # RTLD_NOLOAD fails, rather than loads a second copy, should the file have been replaced meanwhile.
    # RTLD_GLOBAL, because BASSmix and others are linked to no library: they look for BASS's symbols anywhere.
    return ctypes.CDLL(name, mode=os.RTLD_NOLOAD if must_be_loaded else os.RTLD_GLOBAL)


def _listed(paths: Sequence[Path]) -> str:
    return " and ".join(str(path) for path in paths)
