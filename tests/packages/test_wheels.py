"""The wheels contain all that they need, and pip chooses the right one."""

from __future__ import annotations

import fnmatch
import re
import shutil
import subprocess
import tarfile
import zipfile
from collections.abc import Callable, Iterable
from email import message_from_string
from pathlib import Path

import pytest

import build_cache
import toolchains
import wheels
from support import packages

pytestmark = pytest.mark.timeout(600)  # The first run on a machine builds the third-party libraries.

elf = pytest.importorskip("elftools.elf.elffile", reason="needs the extra [packages]")

MAX_BYTES = {"linux-x64": 12_000_000, "linux-arm64": 12_000_000, "windows-x64": 10_000_000}
SYSTEM_LIBRARIES = {"libc.so.6", "libdl.so.2", "libm.so.6", "libpthread.so.0", "librt.so.1"}
"""Part of glibc."""
SYSTEM_DLLS = {"advapi32", "avrt", "bcrypt", "crypt32", "kernel32", "msvcrt", "user32", "winmm", "ws2_32"}
"""Part of every Windows."""
BASS_FILES = ("*bass.dll", "*bass_*.dll", "*bassmix*", "*libbass*.so", "*.dylib")


@pytest.fixture(params=toolchains.TARGETS)
def wheel(request: pytest.FixtureRequest) -> Path:
    """Each test runs with every wheel."""
    return packages.wheel(request.param)


def target_of(wheel: Path) -> str:
    (target,) = [target for target, tag in wheels.PLATFORM_TAGS.items() if tag in wheel.name]
    return target


def names_in(wheel: Path) -> set[str]:
    return set(zipfile.ZipFile(wheel).namelist())


def read(wheel: Path, pattern: str) -> bytes:
    (name,) = fnmatch.filter(names_in(wheel), pattern)
    return zipfile.ZipFile(wheel).read(name)


@pytest.fixture
def core(wheel: Path, tmp_path: Path) -> Path:
    """The compiled core of a wheel."""
    path = tmp_path / "core"
    path.write_bytes(read(wheel, "bass_webrtc/core/_core.*[od]"))
    return path


def test_wheel_is_small_and_its_name_says_what_it_runs_on(wheel: Path) -> None:
    target = target_of(wheel)
    assert re.fullmatch(rf"bass_webrtc-[^-]+-cp311-abi3-{wheels.PLATFORM_TAGS[target]}\.whl", wheel.name)
    tag = message_from_string(read(wheel, "*.dist-info/WHEEL").decode())["Tag"]
    assert wheel.name.endswith(f"{tag}.whl")
    assert wheel.stat().st_size <= MAX_BYTES[target]


def test_wheel_has_the_same_bytes_when_it_is_built_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before, made = packages.wheel("linux-x64"), build_cache.made

    def make_again(name: str, inputs: Iterable[str | bytes | Path], make: Callable[[Path], object]) -> Path:
        if not name.startswith("wheel"):
            return made(name, inputs, make)
        make(tmp_path)
        return tmp_path

    monkeypatch.setattr(build_cache, "made", make_again)
    monkeypatch.setenv("LDFLAGS", "-Wl,--build-id=0x0123456789abcdef")
    again = wheels.wheel("linux-x64")
    assert again != before
    assert again.read_bytes() == before.read_bytes()


def test_wheel_contains_the_sources_and_one_compiled_module(wheel: Path) -> None:
    with tarfile.open(wheels.sdist()) as archive:
        packed = [name.split("/src/")[1] for name in archive.getnames() if "/src/bass_webrtc/" in name and "." in name]
    sources = {name for name in packed if "." in name.rpartition("/")[2]}
    named = ("web/index.html", "signaling/server/openapi.json", "capi/bass_webrtc.h", "py.typed")
    assert {f"bass_webrtc/{name}" for name in named} <= sources
    assert sources <= names_in(wheel)
    more = {name for name in names_in(wheel) - sources if ".dist-info/" not in name}
    module = "_core.pyd" if target_of(wheel) == "windows-x64" else "_core.abi3.so"
    assert more == {f"bass_webrtc/core/{module}"}


def test_wheel_contains_the_licenses_of_its_libraries_and_no_bass(wheel: Path) -> None:
    metadata = message_from_string(read(wheel, "*.dist-info/METADATA").decode())
    licenses = set(metadata.get_all("License-File", []))
    expected = {"LICENSE", "LICENSE-openssl.txt", "LICENSE-opus.txt"}
    if target_of(wheel) == "windows-x64":
        expected |= {"LICENSE-gcc.txt", "LICENSE-mingw-w64.txt"}
    assert licenses == expected
    for name in licenses:
        assert read(wheel, f"*.dist-info/licenses/{name}").strip()
    assert b"Skype" in read(wheel, "*.dist-info/licenses/LICENSE-opus.txt")
    assert not [name for pattern in BASS_FILES for name in fnmatch.filter(names_in(wheel), pattern)]


@pytest.mark.parametrize("wheel", ["linux-x64", "linux-arm64"], indirect=True)
def test_linux_core_needs_only_glibc_2_28_and_exports_one_function(core: Path) -> None:
    with core.open("rb") as file:
        binary = elf.ELFFile(file)
        dynamic = binary.get_section_by_name(".dynamic")
        needed = {tag.needed for tag in dynamic.iter_tags("DT_NEEDED")}
        symbols = list(binary.get_section_by_name(".dynsym").iter_symbols())
        versions = [
            version.name
            for _, versions in binary.get_section_by_name(".gnu.version_r").iter_versions()
            for version in versions
        ]
    assert {name for name in needed if not name.startswith("ld-linux-")} <= SYSTEM_LIBRARIES
    numbers = [tuple(map(int, name.removeprefix("GLIBC_").split("."))) for name in versions]
    assert max(numbers) <= tuple(map(int, toolchains.GLIBC.split(".")))
    defined = {symbol.name for symbol in symbols if symbol["st_shndx"] != "SHN_UNDEF" and symbol.name}
    assert defined == {"PyInit__core"}


@pytest.mark.parametrize("wheel", ["windows-x64"], indirect=True)
def test_windows_core_needs_only_windows_and_the_stable_abi(core: Path) -> None:
    command = [toolchains.MINGW.replace("gcc-posix", "objdump"), "-p", str(core)]
    listing = subprocess.run(command, capture_output=True, encoding="utf-8", check=True).stdout
    imported = {name.lower() for name in re.findall(r"DLL Name: (\S+)\.dll", listing)}
    assert "python3" in imported
    assert imported - {"python3"} <= SYSTEM_DLLS
    exports = listing.partition("[Ordinal/Name Pointer] Table\n")[2].partition("\n\n")[0]
    assert re.findall(r"\] (\w+)$", exports, re.MULTILINE) == ["PyInit__core"]


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All packages in one folder, as an index has them."""
    folder = tmp_path_factory.mktemp("dist")
    for path in (wheels.sdist(), *map(packages.wheel, toolchains.TARGETS)):
        shutil.copy(path, folder)
    return folder


@pytest.mark.parametrize("python", ["3.11", "3.13"])
@pytest.mark.parametrize(
    ("platform", "target"),
    [
        ("manylinux_2_28_x86_64", "linux-x64"),
        ("manylinux_2_36_aarch64", "linux-arm64"),
        ("win_amd64", "windows-x64"),
    ],
)
def test_pip_chooses_the_wheel(distributions: Path, tmp_path: Path, platform: str, target: str, python: str) -> None:
    download(distributions, tmp_path, platform, python)
    assert [path.name for path in tmp_path.iterdir()] == [wheels.wheel(target).name]


def test_pip_finds_no_wheel_for_an_older_python_or_glibc(distributions: Path, tmp_path: Path) -> None:
    for platform, python in (("manylinux_2_17_x86_64", "3.11"), ("win_amd64", "3.10"), ("win_arm64", "3.11")):
        with pytest.raises(subprocess.CalledProcessError):
            download(distributions, tmp_path, platform, python)


def download(distributions: Path, folder: Path, platform: str, python: str) -> None:
    options = ["--no-deps", "--no-index", "--only-binary=:all:", f"--platform={platform}", f"--python-version={python}"]
    # pip takes the platform literally, but a system accepts the wheels of all older ones.
    if match := re.fullmatch(r"manylinux_2_(\d+)_(\w+)", platform):
        options += [f"--platform=manylinux_2_{minor}_{match[2]}" for minor in range(17, int(match[1]))]
    packages.pip("download", *options, f"--find-links={distributions}", f"--dest={folder}", "bass-webrtc")
