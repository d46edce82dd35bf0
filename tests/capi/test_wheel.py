"""The wheel contains the page, the sources of the C library and the compiled core, and works."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "bass_webrtc"
MADE = ("__pycache__", "*.egg-info", "_core.c", "_core.*.so", "*.o")
"""Build products, which are not sources."""
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


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel that was built from a copy of the sources, since setuptools writes into their folder."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    shutil.copytree(ROOT / "src", source / "src", ignore=shutil.ignore_patterns(*MADE))
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-deps"]
    subprocess.run([*command, "--no-build-isolation", "--wheel-dir", str(folder), str(source)], check=True, timeout=110)
    (built,) = folder.glob("*.whl")
    return built


def test_wheel_contains_all_sources(wheel: Path) -> None:
    packed = set(zipfile.ZipFile(wheel).namelist())
    ignored = shutil.ignore_patterns(*MADE)
    sources = {
        str(path.relative_to(ROOT / "src"))
        for path in PACKAGE.rglob("*")
        if path.is_file() and path.parent.name != "__pycache__" and not ignored("", [path.name])
    }
    assert {f"bass_webrtc/{name}" for name in ("web/index.html", "capi/bass_webrtc.h", "py.typed")} <= sources
    assert sources - packed == set()
    (core,) = packed - sources - {name for name in packed if ".dist-info/" in name}
    assert core.startswith("bass_webrtc/core/_core.")
    assert core.endswith(".so")


def test_server_runs_from_the_wheel(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path)
    command = [sys.executable, "-c", PROGRAM, str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr == ""
    assert done.stdout.splitlines() == ["200 text/html; charset=utf-8", "200 application/json"]
