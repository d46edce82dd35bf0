"""``bass-webrtc capi``: building the library, and loading it into different hosts."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bass_webrtc import __version__
from bass_webrtc.capi import build_capi, errors, installed
from bass_webrtc.capi.header import HEADER, parse_header
from bass_webrtc.cli import main as cli
from bass_webrtc.errors import BassWebRtcError
from support import c_library

HOST = """
import ctypes, sys, threading
library = getattr(ctypes, sys.argv[2])(sys.argv[1])
library.BASS_WEBRTC_Create.restype = ctypes.c_void_p
library.BASS_WEBRTC_ErrorGetMessage.restype = ctypes.c_char_p
def use():
    server = ctypes.c_void_p(library.BASS_WEBRTC_Create(0xFFFFFFFF, bytes((0,) * 17 + (5,) + (0,) * 6)))
    started = library.BASS_WEBRTC_Start(server) if server else 0
    print(started, library.BASS_WEBRTC_ErrorGetCode(), library.BASS_WEBRTC_ErrorGetMessage().decode(), flush=True)
threads = [threading.Thread(target=use) for _ in range(2)]
for thread in threads: thread.start()
for thread in threads: thread.join()
use()
"""
"""A Python program that loads the library. It leaves its servers open, and they are closed at exit."""


def in_python(python: str, kind: str = "CDLL", library: Path | None = None) -> list[str]:
    return c_library.run(Path(python), "-c", HOST, str(library or c_library.library()), kind).splitlines()


def dlopened(library: Path, *flags: str) -> str:
    return c_library.run(c_library.program(c_library.TESTS / "dlopened.c", "c99", *flags), str(library)).strip()


def test_command_line_builds_the_library_and_prints_its_flags(tmp_path: Path) -> None:
    run, folder = CliRunner().invoke, tmp_path / "a folder"
    flags = run(cli.app, ["capi", "ldflags", "--output", str(folder)])
    assert isinstance(flags.exception, BassWebRtcError)
    assert "capi build" in str(flags.exception)
    built = run(cli.app, ["capi", "build", "--output", str(folder)])
    assert (built.exit_code, built.output) == (0, f"{folder / installed.LIBRARY_NAME}\n")
    assert (folder / "bass_webrtc.h").read_text(encoding="utf-8") == HEADER.read_text(encoding="utf-8")
    folder = folder.rename(tmp_path / "moved")  # Without spaces, as $(shell ...) of a Makefile needs it.
    words = [run(cli.app, ["capi", name, "--output", str(folder)]).output.split() for name in ("cflags", "ldflags")]
    source = c_library.TESTS / "layout.c"
    subprocess.run(
        ["gcc", *words[0], str(source), "-o", str(tmp_path / "a"), *words[1], "-Wl,--no-as-needed"], check=True
    )
    assert c_library.run(tmp_path / "a").startswith("WebRtcConfigFFI 24\n")


def test_pkg_config_finds_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PKG_CONFIG_PATH", str(c_library.folder()))
    for option, wanted in (
        ("modversion", __version__),
        ("cflags", f"-I{c_library.folder()}"),
        ("libs", "-lbass_webrtc"),
    ):
        command = ["pkg-config", f"--{option}", "bass_webrtc"]
        assert wanted in subprocess.run(command, capture_output=True, encoding="utf-8", check=True).stdout.split()


def test_header_has_the_version_of_the_package() -> None:
    version = re.search(r"#define BASS_WEBRTC_VERSION 0x(\w{8})", HEADER.read_text(encoding="utf-8"))
    assert version is not None
    assert ".".join(str(byte) for byte in bytes.fromhex(version[1])) == f"{__version__}.0"


def test_header_has_the_error_codes_of_the_module() -> None:
    found = dict(re.findall(r"#define BASS_WEBRTC_ERROR_(\w+) (-?\d+)", HEADER.read_text(encoding="utf-8")))
    assert {name: int(code) for name, code in found.items()} == {
        name: value for name, value in vars(errors).items() if name.isupper() and not name.startswith("_")
    }


def test_only_the_functions_of_the_header_are_exported() -> None:
    listed = subprocess.run(
        ["nm", "-D", "--defined-only", str(c_library.library())], capture_output=True, encoding="utf-8"
    )
    exported = [line.split()[-1] for line in listed.stdout.splitlines()]
    assert sorted(exported) == sorted(parse_header(HEADER.read_text(encoding="utf-8")).functions)


def test_generated_c_compiles_without_warnings(tmp_path: Path) -> None:
    sources = build_capi.generate(tmp_path, parse_header(HEADER.read_text(encoding="utf-8")))
    toolchain = build_capi.for_environment(tmp_path)
    command = build_capi.command(tmp_path / "library.so", sources, tmp_path, toolchain)
    result = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    assert result.returncode == 0, result.stderr
    warnings = [line for line in result.stderr.splitlines() if "warning:" in line]
    assert [line for line in warnings if "/binding.c:" not in line] == []  # binding.c is cffi's.


def test_error_names_what_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("CC", "no-such-compiler")
        with pytest.raises(
            BassWebRtcError, match=r"the C compiler 'no-such-compiler' was not found.*apt-get install gcc"
        ):
            build_capi.build(tmp_path)
        patch.setenv("CC", "cc --no-such-option")
        with pytest.raises(BassWebRtcError, match=r"could not be built: .*no-such-option"):
            build_capi.build(tmp_path)
    monkeypatch.setattr(sysconfig, "get_config_var", {"LIBDIR": "/usr/lib", "LDLIBRARY": "libpython3.11.a"}.get)
    with pytest.raises(BassWebRtcError, match=r"no shared library.*--enable-shared"):
        build_capi.build(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_windows_users_are_told_to_use_the_sdk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(BassWebRtcError, match=r"cannot be built on Windows; use .*bass-webrtc-sdk-win-x64\.zip"):
        build_capi.build(tmp_path)


def test_host_may_load_the_library_with_local_symbols() -> None:
    assert dlopened(c_library.library()) == "1 0"


def test_garbage_collection_does_not_look_at_what_was_imported() -> None:
    """It would stop the signaling for 50 ms."""
    collected = c_library.program(c_library.TESTS / "collected.c")
    assert int(c_library.run(collected, str(c_library.library()))) > 10_000


def test_host_with_another_python_version_is_refused() -> None:
    printed = dlopened(c_library.library(), "-DOTHER_PYTHON", "-rdynamic")
    assert re.fullmatch(r"0 43 this program runs Python 3\.9\.2.* was built for Python 3\.\d+\. .*capi build", printed)


def test_library_of_another_package_version_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(build_capi, "__version__", "0.0.9")
    assert dlopened(build_capi.build(tmp_path)) == (
        f"0 43 the library was built by bass-webrtc 0.0.9, but this environment has {__version__}. "
        "Build it again: bass-webrtc capi build"
    )


def test_error_names_the_environment_that_is_gone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "prefix", "/gone")
    printed = dlopened(build_capi.build(tmp_path))
    assert printed.startswith("0 5001 the Python environment that the library was built in is gone: /gone/bin/python3")


@pytest.mark.parametrize("kind", ["CDLL", "PyDLL"])
def test_python_program_shares_its_interpreter(kind: str) -> None:
    """``PyDLL`` calls with the interpreter's lock held, as extension modules do."""
    assert in_python(sys.executable, kind) == ["1 0 "] * 3


def test_python_without_the_package_is_refused() -> None:
    python = shutil.which("python3", path="/usr/bin")
    assert python is not None
    lines = in_python(python)
    version = subprocess.run([python, "--version"], capture_output=True, encoding="utf-8", check=True).stdout.split()[1]
    same = [*map(int, version.split(".")[:2])] == [*sys.version_info[:2]]
    wanted = "0 5001 .* in the Python of /usr: No module named 'bass_webrtc'" if same else f"0 43 .*Python {version}"
    assert len(lines) == 3
    assert all(re.match(wanted, line) for line in lines), lines
