"""Choice of the BASS library. A second copy beside a loaded one would not know its handles."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bass_webrtc.bass import BassLibrary, locate
from bass_webrtc.errors import BassNotFoundError, ConfigError
from support.patience import PROCESS_S

SOUND_LIB_COPY = locate.sound_lib_copy()
needs_bass = pytest.mark.skipif(SOUND_LIB_COPY is None, reason="sound_lib carries no BASS for this system")


def find(monkeypatch: pytest.MonkeyPatch, *, loaded: tuple[Path, ...] = (), named: str = "") -> BassLibrary:
    """Run ``find_bass`` without its cache, as if these libraries were loaded."""
    monkeypatch.setattr(locate, "loaded_copies", lambda: loaded)
    monkeypatch.setenv(locate.ENVIRONMENT_VARIABLE, named)
    return locate.find_bass.__wrapped__()


def in_a_child(script: str, *arguments: object) -> list[str]:
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, encoding="utf-8", timeout=PROCESS_S).stdout.split(
        "\n"
    )


def test_mapped_libraries_are_read_on_linux(tmp_path: Path) -> None:
    maps = tmp_path / "maps"
    columns = "7f3a6c000000-7f3a6c021000 r-xp 00000000 fe:00 1234"
    paths = [
        "/opt/radio/libbass.so",
        "/opt/my radio/libbass.so.2.4",
        "/opt/old/libbass.so (deleted)",
        "/opt/radio/libbassmix.so",
        "/opt/radio/libbass_fx.so",
        "/opt/notlibbass.so",
        "/opt/radio/libbass.so.txt",
    ]
    maps.write_text(
        "\n".join([f"{columns}    {path}" for path in paths] + [columns, f"{columns}    [heap]"]) + "\n",
        encoding="utf-8",
    )
    found = ["/opt/radio/libbass.so", "/opt/my radio/libbass.so.2.4", "/opt/old/libbass.so"]
    assert list(locate.mapped_libraries(maps)) == found
    assert list(locate.mapped_libraries(tmp_path / "none")) == []


def test_loaded_images_are_read_on_macos() -> None:
    class Dyld:
        images = (b"/usr/lib/libSystem.dylib", b"/Applications/R.app/libbass.dylib", b"/x/libbassmix.dylib", None)

        class _dyld_get_image_name:
            restype: Any = None

            def __new__(cls, index: int) -> Any:
                return Dyld.images[index]

        def _dyld_image_count(self) -> int:
            return len(self.images)

    assert list(locate.darwin_images(Dyld())) == ["/Applications/R.app/libbass.dylib"]


@pytest.mark.parametrize("module", [0x7FFA12340000, None])
def test_loaded_module_is_read_on_windows(module: int | None) -> None:
    class GetModuleHandleW:
        def __call__(self, name: str) -> int | None:
            return module if name == "bass.dll" else None

    class GetModuleFileNameW:
        def __call__(self, handle: int, buffer: Any, characters: int) -> int:
            assert handle == module
            buffer.value = r"C:\Radio\bass.dll"
            return len(buffer.value)

    class Kernel32:
        def __init__(self) -> None:
            self.GetModuleHandleW = GetModuleHandleW()
            self.GetModuleFileNameW = GetModuleFileNameW()

    assert list(locate.windows_modules(Kernel32())) == ([r"C:\Radio\bass.dll"] if module else [])


@needs_bass
def test_sound_lib_copy_is_found_without_import() -> None:
    script = "import sys; from bass_webrtc.bass import find_bass; b = find_bass(); "
    script += "print(b.path); print(b.origin); print('sound_lib' in sys.modules)"
    assert in_a_child(script)[:3] == [str(SOUND_LIB_COPY), "from the package sound_lib", "False"]


@needs_bass
def test_copy_loaded_by_program_is_used_and_no_second_loaded(tmp_path: Path) -> None:
    assert SOUND_LIB_COPY is not None
    own_copy = Path(shutil.copy(SOUND_LIB_COPY, tmp_path))
    script = """
import ctypes, sys
own = ctypes.CDLL(sys.argv[1])
own.BASS_Init(0, 48000, 0, None, None)
from bass_webrtc.bass import find_bass, locate
b = find_bass()
print(b.path, b.origin, len(locate.loaded_copies()), b.call("BASS_GetDevice"), sep="\\n")
"""
    assert in_a_child(script, own_copy)[:4] == [str(own_copy), "loaded by this program", "1", "0"]


@needs_bass
def test_sound_lib_copy_in_use_is_shared() -> None:
    script = "from sound_lib.external import pybass; from bass_webrtc.bass import find_bass, locate; "
    script += "print(find_bass().origin); print(len(locate.loaded_copies()))"
    assert in_a_child(script)[:2] == ["loaded by this program", "1"]


@needs_bass
def test_environment_variable_selects_library(monkeypatch: pytest.MonkeyPatch) -> None:
    library = find(monkeypatch, named=str(SOUND_LIB_COPY))
    assert library.path == SOUND_LIB_COPY
    assert library.origin == "named by BASS_LIBRARY"


def test_missing_file_in_environment_variable_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BassNotFoundError, match="that file does not exist"):
        find(monkeypatch, named="/no/such/libbass.so")


def test_file_in_environment_variable_must_be_a_library(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "libbass.so").write_text("nothing", encoding="utf-8")
    with pytest.raises(BassNotFoundError, match="cannot be opened"):
        find(monkeypatch, named=str(tmp_path / "libbass.so"))


@pytest.mark.skipif(sys.platform != "linux", reason="names a library of Linux")
def test_other_library_in_environment_variable_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    with Path("/proc/self/maps").open(encoding="utf-8") as maps:
        libc = next(line.split()[-1] for line in maps if "libc.so" in line or "libc-" in line)
    with pytest.raises(BassNotFoundError, match=r"not a BASS 2\.4"):
        find(monkeypatch, named=libc)


@needs_bass
def test_second_copy_in_environment_variable_is_rejected(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    other = tmp_path / "libbass.so"
    other.touch()
    with pytest.raises(ConfigError, match="Unset BASS_LIBRARY"):
        find(monkeypatch, named=str(SOUND_LIB_COPY), loaded=(other,))


def test_two_loaded_copies_are_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = Path("/a/libbass.so"), Path("/b/libbass.so")
    with pytest.raises(ConfigError, match=re.escape(f"loaded twice: {one} and {other}")):
        find(monkeypatch, loaded=(one, other))


def test_error_without_bass_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locate, "sound_lib_copy", lambda: None)
    monkeypatch.setattr(locate, "LIBRARY_NAME", "libbass-that-nobody-has.so")
    with pytest.raises(BassNotFoundError, match=r"pip install 'sound-lib>=0\.8\.8,<0\.9'.*BASS_LIBRARY"):
        find(monkeypatch)


@pytest.mark.skipif(sys.platform == "win32", reason="dlopen's")
def test_loaded_copy_is_never_loaded_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A file that is not loaded is rejected under this origin, even if it could be loaded."""
    assert SOUND_LIB_COPY is not None
    replaced = Path(shutil.copy(SOUND_LIB_COPY, tmp_path))
    with pytest.raises(BassNotFoundError, match="loaded by this program, cannot be opened"):
        find(monkeypatch, loaded=(replaced,))
