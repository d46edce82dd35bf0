"""The library of an SDK on Linux: it finds its Python beside it, wherever the folder is, and nothing disturbs it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path

import pytest

import bass_webrtc
from bass_webrtc.capi import build_capi, installed
from support import c_library

MINOR = f"python{sys.version_info.major}.{sys.version_info.minor}"
PROBE = """
import sys
def check_library(_version):
    raise RuntimeError(f"{sys.path} {sys.prefix} {sys.flags.no_site} {sys.flags.no_user_site} {sys.executable}")
"""
"""A ``bass_webrtc/capi/capi.py`` that fails with what it finds."""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the library and its Python, which is this one: links to its files."""
    folder = tmp_path_factory.mktemp("built")
    libpython = build_capi.find_libpython()
    build_capi.build_portable("linux-x64", folder, [Path(sysconfig.get_path("include"))], libpython)
    (folder / "bass_webrtc" / "lib").mkdir(parents=True)
    (folder / "bass_webrtc" / "lib" / f"lib{MINOR}.so.1.0").symlink_to(libpython.resolve())
    (folder / "bass_webrtc" / "lib" / MINOR).symlink_to(sysconfig.get_path("stdlib"))
    packages = folder / "bass_webrtc" / "site-packages"
    packages.mkdir()
    for path in {*Path(sysconfig.get_path("purelib")).iterdir(), *Path(sysconfig.get_path("platlib")).iterdir()}:
        if path.name != "bass_webrtc":
            (packages / path.name).symlink_to(path)
    (packages / "bass_webrtc").symlink_to(Path(bass_webrtc.__file__).parent)
    return folder


@pytest.fixture
def sdk(built: Path, tmp_path: Path) -> Path:
    """A copy in another place, with a name that is not ASCII."""
    return Path(shutil.copytree(built, tmp_path / "Töne und mehr", symlinks=True))


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program that is not linked with any library of Python."""
    binary = tmp_path_factory.mktemp("host") / "dlopened"
    source = c_library.TESTS / "dlopened.c"
    subprocess.run(["gcc", f"-I{build_capi.HERE}", str(source), "-o", str(binary), "-ldl"], check=True)
    return binary


def use_probe(sdk: Path) -> None:
    """Replace the package by one that reports the interpreter's paths."""
    package = sdk / "bass_webrtc" / "site-packages" / "bass_webrtc"
    package.unlink()
    (package / "capi").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "capi" / "__init__.py").touch()
    (package / "capi" / "capi.py").write_text(PROBE, encoding="utf-8")


def printed_by(host: Path, library: str, environment: Mapping[str, str], folder: Path) -> str:
    done = subprocess.run(
        [str(host), library],
        env=dict(environment),
        cwd=folder,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout


def test_moved_library_starts_a_server(sdk: Path, host: Path) -> None:
    library = str(sdk / installed.LIBRARY_NAME)
    assert printed_by(host, library, c_library.EMPTY_ENVIRONMENT, sdk.parent) == "1 0 \n"


def test_no_other_python_disturbs_the_library(sdk: Path, host: Path, tmp_path: Path) -> None:
    use_probe(sdk)
    home = sdk / "bass_webrtc"
    other = tmp_path / "other"
    (other / "bin").mkdir(parents=True)
    (other / f"lib{MINOR}.so.1.0").write_text("not a library", encoding="utf-8")
    (other / "pyvenv.cfg").write_text("home = /nonsense\n", encoding="utf-8")
    shutil.copy(shutil.which("true") or "", other / "bin" / "python3")
    (other / "sitecustomize.py").write_text("print('disturbed')", encoding="utf-8")
    (home / "pyvenv.cfg").write_text("home = /nonsense\n", encoding="utf-8")
    environment = {
        "PATH": str(other / "bin"),
        "HOME": str(other),
        "LD_LIBRARY_PATH": str(other),
        "PYTHONHOME": "/nonsense",
        "PYTHONPATH": str(other),
        "PYTHONUSERBASE": str(other),
        "PYTHONVERBOSE": "1",
    }
    # By a relative path, from a folder that has modules of the standard library's names.
    (other / "json.py").write_text("print('disturbed')", encoding="utf-8")
    library = os.path.relpath(sdk / installed.LIBRARY_NAME, other)
    paths = [home / "lib" / MINOR, home / "lib" / MINOR / "lib-dynload", home / "site-packages"]
    expected = f"{[str(path) for path in paths]} {home} 1 1 {home / 'bin' / 'python3'}"
    printed = printed_by(host, library, environment, other).replace("other/../", "")
    assert printed.endswith(f"in the Python of {home}: {expected}\n")


@pytest.mark.parametrize("missing", ["site-packages", f"lib/{MINOR}"])
def test_error_names_the_part_that_is_missing(sdk: Path, host: Path, missing: str) -> None:
    path = sdk / "bass_webrtc" / missing
    path.rename(path.with_name("gone"))
    printed = printed_by(host, str(sdk / installed.LIBRARY_NAME), {}, sdk)
    expected = f"0 5001 the library's Python is incomplete: {path} was not found. Copy the library and its folder "
    assert re.match(re.escape(expected), printed), printed
