"""The source distribution contains all sources, can be reproduced, and installs with the system's libraries."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import toolchains
import wheels
from support import packages

GENERATED = ("__pycache__", "*.egg-info", "_core.c", "*.so", "*.pyd", "*.o")
PROGRAM = """
import sys, urllib.request
import bass_webrtc as bw
assert bw.__file__.startswith(sys.argv[1]), bw.__file__
with bw.Server(bw.Tone(), bw.ServerConfig(http_port=0, udp_port=0)) as server:
    server.start()
    for path in ("", "api/stats"):
        with urllib.request.urlopen(server.url + path) as response:
            print(response.status, response.headers["Content-Type"])
"""


def test_sdist_contains_all_sources() -> None:
    ignored = shutil.ignore_patterns(*GENERATED)
    package = toolchains.ROOT / "src" / "bass_webrtc"
    sources = {
        str(path.relative_to(toolchains.ROOT))
        for path in package.rglob("*")
        if path.is_file() and path.parent.name != "__pycache__" and not ignored("", [path.name])
    }
    with tarfile.open(wheels.sdist()) as archive:
        packed = {name.partition("/")[2] for name in archive.getnames()}
    assert {"LICENSE", "pyproject.toml", "setup.py", "src/bass_webrtc/core/_core.pyi"} <= packed
    assert sources - packed == set()


def test_sdist_has_the_same_bytes_when_it_is_built_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before = wheels.sdist()
    monkeypatch.setenv("BASS_WEBRTC_CACHE", str(tmp_path))
    again = wheels.sdist()
    assert again != before
    assert again.read_bytes() == before.read_bytes()


def test_server_runs_from_what_pip_builds_of_the_sdist(tmp_path: Path) -> None:
    """With the compiler and the libraries of this system."""
    options = ("--no-deps", "--no-build-isolation", "--wheel-dir", str(tmp_path))
    packages.pip("wheel", *options, str(wheels.sdist()))
    (built,) = tmp_path.glob("*.whl")
    zipfile.ZipFile(built).extractall(tmp_path)
    command = [sys.executable, "-c", PROGRAM, str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, encoding="utf-8", timeout=60, check=False)
    assert done.stderr == ""
    assert done.stdout.splitlines() == ["200 text/html; charset=utf-8", "200 application/json"]
