"""The archives of ``make sdk``: what they contain, and that programs built with them need nothing else."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
import tarfile
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import authenticode
import build_cache
import sdk as builder
import toolchains
from bass_webrtc import __version__
from support import aiortc_player, c_library, media, netns, other_languages, sdk, wine
from support.fixtures import skip_for
from support.publisher_recorder import assert_tones
from support.reruns import real_time_audio
from support.wine_lab import open_lab

pytestmark = pytest.mark.timeout(1800)  # The first run on a machine builds Python and the third-party libraries.

TARGETS = tuple(builder.COMPONENTS)
MAX_BYTES = 30_000_000
OPEN = re.compile(r"Open (http://127\.0\.0\.1:\d+/) and press Listen\. Press Return to stop\.\n")
# What a wheel for Linux may need of the system (PEP 600).
SYSTEM_LIBRARIES = {"libc.so.6", "libm.so.6", "libdl.so.2", "libpthread.so.0", "librt.so.1", "libutil.so.1"}
SYSTEM_LIBRARIES |= {"ld-linux-x86-64.so.2", "libgcc_s.so.1", "libresolv.so.2", "libcrypt.so.1", "libstdc++.so.6"}
WINDOWS_DLLS = re.compile(
    r"(kernel32|user32|advapi32|ws2_32|avrt|winmm|crypt32|bcrypt\w*|ntdll|msvcrt|shell32|ole32|oleaut32|rpcrt4|version|"
    r"iphlpapi|gdi32|shlwapi|pathcch|secur32|mswsock|propsys|wbemuuid|api-ms-win-.*|ucrtbase)\.dll"
)


@pytest.fixture(params=TARGETS)
def target(request: pytest.FixtureRequest) -> str:
    """A target whose tools are installed."""
    name: str = request.param
    if name == "windows-x64":
        skip_for(wine.missing())
    return name


@pytest.fixture(scope="module")
def linux(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Linux archive, unpacked to a path with a space and an umlaut."""
    folder = tmp_path_factory.mktemp("sdk") / "Müllers Radio"
    shutil.unpack_archive(sdk.archive("linux-x64"), folder, filter="data")
    return folder / f"bass-webrtc-sdk-{__version__}-linux-x64"


@pytest.fixture(scope="module")
def song(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with a different tone on each channel."""
    path = tmp_path_factory.mktemp("song") / "song.wav"
    return media.write_tone(path, 440.0, 880.0, seconds=10.0, sample_rate_hz=44_100)


# ------------------------------------------------------------------ content


def test_archive_is_small_and_its_members_are_in_one_folder_of_this_version(target: str) -> None:
    archive = sdk.archive(target)
    assert archive.stat().st_size <= MAX_BYTES
    names = _names(archive)
    assert {name.partition("/")[0] for name in names} == {sdk.unpacked(target).name}
    assert f"-{__version__}-" in sdk.unpacked(target).name
    assert names == sorted(names)


def test_archive_contains_declarations_examples_and_import_libraries(target: str) -> None:
    root = sdk.unpacked(target)
    expected = {"README.txt", "include/bass_webrtc.h", "csharp/BassWebRtc.cs", "pascal/bass_webrtc.pas"}
    expected |= {f"examples/c/{path.name}" for path in c_library.EXAMPLES.iterdir()}
    if target == "windows-x64":
        expected |= {"bin/bass_webrtc.dll", "lib/bass_webrtc.lib", "lib/libbass_webrtc.dll.a", "lib/bass_webrtc.def"}
    else:
        expected |= {"lib/libbass_webrtc.so", "lib/pkgconfig/bass_webrtc.pc"}
    assert {name for name in expected if not (root / name).is_file()} == set()


def test_archive_contains_no_bass_and_nothing_that_only_the_command_line_needs(target: str) -> None:
    root = sdk.unpacked(target)
    binaries = [path for path in _files(root) if path.suffix in {".so", ".dll", ".pyd"}]
    named = {path.name for path in binaries if re.match(r"(lib)?bass\w*\.(dll|so)", path.name)}
    assert named <= {"bass_webrtc.dll", "libbass_webrtc.dll", "libbass_webrtc.so"}
    # Every BASS library exports this function, or imports it.
    assert [path for path in binaries if b"BASS_StreamCreateFile\0" in path.read_bytes()] == []
    packages = {path.name for path in _home(target).joinpath("site-packages").iterdir()}
    assert packages >= {"bass_webrtc", "aiohttp", "cryptography"}
    assert packages & {"numpy", "typer", "rich", "sound_lib", "pip", "bin"} == set()


def test_every_part_has_its_license(target: str) -> None:
    licenses = _home(target) / "LICENSES"
    index = (licenses / "README.txt").read_text(encoding="utf-8")
    locked = re.findall(r"^([\w-]+)==(\S+)", builder.LOCK.read_text(encoding="utf-8"), re.MULTILINE)
    for name, version in locked:
        entry = re.search(rf"^({re.escape(name)}) {re.escape(version)} +\S", index, re.MULTILINE | re.IGNORECASE)
        assert entry is not None, name
        assert any(path.stat().st_size > 200 for path in (licenses / entry[1]).iterdir()), name
    expected = {"bass-webrtc.txt", "opus.txt", "openssl.txt", "python.txt"}
    if target == "windows-x64":
        expected |= {"mingw-w64.txt", "gcc.txt", "vcruntime.txt"}
    assert expected <= {path.name for path in licenses.iterdir()}
    assert "Copyright" in (licenses / "bass-webrtc.txt").read_text(encoding="utf-8")


def test_archive_does_not_mention_the_machine_that_built_it(target: str) -> None:
    folders = [os.fsencode(folder) for folder in (toolchains.ROOT, build_cache.root())]
    files = _files(sdk.unpacked(target))
    assert [path for path in files if any(folder in path.read_bytes() for folder in folders)] == []


def test_lock_contains_the_dependencies_that_the_c_library_needs() -> None:
    locked = dict(re.findall(r"^([\w-]+)==(\S+)", builder.LOCK.read_text(encoding="utf-8"), re.MULTILINE))
    for requirement in builder.shipped_dependencies():
        name, _, oldest = requirement.partition(",")[0].partition(">=")
        assert _release(locked[name.lower()]) >= _release(oldest), requirement
    assert set(locked) & builder.NOT_SHIPPED == set()


def test_linux_libraries_need_only_each_other_and_glibc_2_28() -> None:
    root = sdk.unpacked("linux-x64")
    files = [path for path in _files(root) if ".so" in path.name]
    assert len(files) > 8
    own = {path.name for path in files}
    for path in files:
        dynamic = _output("readelf", "--wide", "--dynamic", "--version-info", str(path))
        needed = set(re.findall(r"\(NEEDED\).*\[(.*)\]", dynamic))
        assert needed - own - SYSTEM_LIBRARIES == set(), path
        versions = {tuple(map(int, version.split("."))) for version in re.findall(r"Name: GLIBC_([\d.]+)", dynamic)}
        assert max(versions, default=(0,)) <= (2, 28), path


def test_windows_dlls_need_only_each_other_and_windows() -> None:
    skip_for(wine.missing())
    root = sdk.unpacked("windows-x64")
    files = [path for path in _files(root) if path.suffix in {".dll", ".pyd"}]
    assert len(files) > 8
    own = {path.name.lower() for path in files}
    for path in files:
        listed = _output("x86_64-w64-mingw32-objdump", "-p", str(path))
        needed = {name.lower() for name in re.findall(r"DLL Name: (\S+)", listed)}
        assert {name for name in needed - own if WINDOWS_DLLS.fullmatch(name) is None} == set(), path


def test_windows_archive_with_an_unverified_python_says_so() -> None:
    skip_for(wine.missing())
    assert sdk.archive("windows-x64").name == "bass-webrtc-sdk-win-x64-unverified.zip"
    assert "FOR TESTS ONLY" in (sdk.unpacked("windows-x64") / "FOR-TESTS-ONLY.txt").read_text(encoding="utf-8")


def test_python_with_a_wrong_signature_is_refused(tmp_path: Path) -> None:
    skip_for(wine.missing() or authenticode.missing())
    name = "select.pyd"
    with zipfile.ZipFile(wine.embeddable("3.13")) as packed:
        packed.extract(name, tmp_path)
    file = tmp_path / name
    assert authenticode.check_signatures([file]).startswith("the Python Software Foundation's signatures of 1 files")
    content = bytearray(file.read_bytes())
    content[5000] ^= 1
    file.write_bytes(content)
    with pytest.raises(SystemExit, match=r"select\.pyd is not the Python Software Foundation's"):
        authenticode.check_signatures([file])
    shutil.copy(sdk.unpacked("windows-x64") / "bin/bass_webrtc.dll", tmp_path)
    with pytest.raises(SystemExit, match=r"bass_webrtc\.dll is not signed"):
        authenticode.check_signatures([tmp_path / "bass_webrtc.dll"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("windows-x86",), r"unknown target 'windows-x86'; expected some of: linux-x64 windows-x64"),
        (("windows-x64",), r"windows-x64 needs python\.org's Python"),
        (("windows-x64", "--python-embed", __file__), r"test_sdk\.py'; expected a zip file.*download the latest"),
        (
            ("windows-x64", "--python-embed", "/nonexistent"),
            r"'/nonexistent'; expected a zip file.*download the latest",
        ),
    ],
)
def test_wrong_arguments_are_refused_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
) -> None:
    monkeypatch.setattr(sys, "argv", ["sdk.py", *arguments])
    with pytest.raises(SystemExit) as exit_info:
        builder.main()
    assert re.search(message, f"{exit_info.value} {capsys.readouterr().err}")


def test_archive_that_may_be_published_needs_the_check_of_signatures(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    skip_for(wine.missing())
    monkeypatch.setattr(authenticode, "missing", lambda: "needs Debian's osslsigncode")
    embed = builder.Embed(wine.embeddable("3.13"), verified=True)
    with pytest.raises(SystemExit, match=r"may be published needs Debian's osslsigncode"):
        builder._unpack_embed(embed, tmp_path)


# ------------------------------------------------------------------ Linux programs


@pytest.fixture(scope="module")
def serve(linux: Path) -> Path:
    """``serve.c``, compiled as README.txt says."""
    skip_for(None if shutil.which("pkg-config") else "needs Debian's pkg-config")
    binary = linux / "examples/c/serve"
    bass = c_library.bass()
    command = (
        "eval cc -std=c99 -Wall -Wextra -Werror serve.c -o serve $(pkg-config --cflags --libs bass_webrtc) "
        f"'{bass}' -Wl,-rpath,'{bass.parent}' -lm"
    )
    environment = {"PATH": "/usr/bin:/bin", "PKG_CONFIG_PATH": str(linux / "lib/pkgconfig")}
    subprocess.run(["sh", "-ec", command], cwd=binary.parent, env=environment, check=True)
    return binary


@real_time_audio
def test_linux_program_plays_a_file_without_any_environment(serve: Path, song: Path) -> None:
    with c_library.running(["/usr/bin/env", "-i", str(serve), str(song), "0"]) as process:
        heard = asyncio.run(aiortc_player.listen(f"{_address(c_library.read_line(process))}whep", 4.0))
        assert "1 connected" not in c_library.press_return(process)
    assert_tones(heard.samples[-48_000:], 440.0, 880.0)


@pytest.mark.parametrize("name", ["PYTHONHOME", "PYTHONPATH", "PYTHONSTARTUP", "LD_LIBRARY_PATH"])
def test_environment_does_not_disturb_the_library(serve: Path, name: str) -> None:
    with c_library.running([str(serve), "", "0"], {name: "/nonexistent"}) as process:
        assert _health(_address(c_library.read_line(process))) == b'{"status": "ok"}'
        c_library.press_return(process)


def test_library_can_be_moved(serve: Path, tmp_path: Path) -> None:
    moved = tmp_path / "плеер"
    shutil.copytree(serve.parents[2] / "lib", moved)
    shutil.copy(serve, moved)
    for path in moved.rglob("*"):
        path.chmod(0o555 if path.is_dir() or path.name == "serve" else 0o444)  # as below /usr
    environment = {"LD_LIBRARY_PATH": str(moved)}
    with c_library.running([str(moved / "serve"), "", "0"], environment) as process:
        assert _health(_address(c_library.read_line(process))) == b'{"status": "ok"}'
        maps = Path(f"/proc/{process.pid}/maps").read_text(encoding="utf-8")
        assert str(moved / "libbass_webrtc.so") in maps
        assert str(serve.parents[2] / "lib") not in maps
        c_library.press_return(process)


@pytest.mark.parametrize("language", ["csharp", "pascal"])
def test_example_in_another_language_starts_a_server(linux: Path, song: Path, tmp_path: Path, language: str) -> None:
    skip_for(other_languages.missing(language))
    folders = [str(linux / "lib"), str(c_library.bass().parent)]
    if language == "csharp":
        sources = [str(linux / "csharp" / name) for name in ("Radio.cs", "BassWebRtc.cs")]
        _output("mcs", "-nologo", f"-out:{tmp_path / 'Radio.exe'}", *sources)
        command = ["/usr/bin/mono", str(tmp_path / "Radio.exe")]
    else:
        # Free Pascal passes these folders to the linker in a script that knows no spaces.
        (tmp_path / "lib").symlink_to(linux / "lib")
        options = [f"-Fl{tmp_path / 'lib'}", f"-Fl{folders[1]}", f"-FE{tmp_path}"]
        _output("fpc", *options, str(linux / "pascal/radio.pas"))
        command = [str(tmp_path / "radio")]
    environment = {"LD_LIBRARY_PATH": ":".join(folders)}
    with c_library.running([*command, str(song), "0"], environment) as process:
        assert _health(_address(c_library.read_line(process))) == b'{"status": "ok"}'
        c_library.press_return(process)


# ------------------------------------------------------------------ Windows programs


@pytest.fixture(scope="module")
def windows() -> Iterator[wine.Machine]:
    """A Windows machine with one address, because servers open the same UDP port on each."""
    skip_for(wine.missing() or netns.missing())
    with open_lab() as lab:
        yield lab.windows


@pytest.mark.parametrize("library", ["libbass_webrtc.dll.a", "bass_webrtc.lib"])
def test_windows_program_linked_with_an_import_library_starts_a_server(
    windows: wine.Machine, tmp_path: Path, library: str
) -> None:
    root = sdk.unpacked("windows-x64")
    folder = tmp_path / "Müllers Radio"
    folder.mkdir()
    bass = wine.python().parent / "Lib/site-packages/sound_lib/lib/x64/bass.dll"
    shutil.copy(bass, folder)
    shutil.copy(root / "bin/bass_webrtc.dll", folder)
    (folder / "bass_webrtc").symlink_to(root / "bin/bass_webrtc")
    flags = ("-std=c99", "-Wall", "-Wextra", "-Werror", f"-I{root / 'include'}")
    libraries = (str(root / "lib" / library), str(bass))
    _output(wine.COMPILER, *flags, str(root / "examples/c/serve.c"), "-o", str(folder / "serve.exe"), *libraries)
    with windows.start(folder / "serve.exe", "", "0", PYTHONHOME="C:\\nonexistent") as process:
        line = process.read_line()
        printed, errors = process.popen.communicate("\n", timeout=100)
    assert OPEN.fullmatch(f"{line}\n"), (line, errors)
    assert printed.startswith("0 connected, ")
    assert process.popen.returncode == 0


@pytest.mark.parametrize("name", ["serve", "mediamtx", "callback"])
def test_example_compiles_for_windows(tmp_path: Path, name: str) -> None:
    skip_for(wine.missing())
    root = sdk.unpacked("windows-x64")
    flags = ("-std=c99", "-Wall", "-Wextra", "-Werror", f"-I{root / 'include'}", "-c")
    _output(wine.COMPILER, *flags, str(root / f"examples/c/{name}.c"), "-o", str(tmp_path / "program.o"))


# ------------------------------------------------------------------


def _home(target: str) -> Path:
    return sdk.unpacked(target) / sdk.LIBRARY[target] / "bass_webrtc"


def _files(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file()]


def _names(archive: Path) -> list[str]:
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive) as packed:
            return packed.namelist()
    with tarfile.open(archive) as packed:
        return packed.getnames()


def _release(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def _address(line: str) -> str:
    match = OPEN.fullmatch(line)
    assert match is not None, line
    return match[1]


def _health(address: str) -> bytes:
    with urllib.request.urlopen(f"{address}healthz", timeout=10) as response:
        body: bytes = response.read()
        return body


def _output(*command: str) -> str:
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", check=False)
    assert result.returncode == 0, result.stdout
    return result.stdout
