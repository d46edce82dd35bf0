"""A program frozen with PyInstaller finds the page's files, the core and BASS, and needs nothing of this machine."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
import wave
from pathlib import Path

import pytest

import toolchains
from support.session_program import PUBLISH

pytestmark = pytest.mark.timeout(600)

PROJECT = tomllib.loads((toolchains.ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PROGRAM = f"""{PUBLISH}
import sys, urllib.request
import bass_webrtc as bw

with bw.Server(bw.BassFile(sys.argv[1], loop=True), bw.ServerConfig(http_port=0, udp_port=0)) as server:
    server.start()
    print("page", urllib.request.urlopen(server.url).status)
    with bw.WhipClient(bw.Tone(440), server.url + "whip") as client:
        publish(server, client)
"""


OF_TESTS = (
    "IPython",
    "docutils",
    "gevent",
    "hypothesis",
    "pytest",
    "rich",
    "setuptools",
    "sphinx",
    "tkinter",
    "uvloop",
)
"""Packages of this environment that numpy and others use if they are there. Each takes PyInstaller long."""


def installed(folder: Path) -> Path:
    """The project's metadata as pip installs it: a worktree may differ from what is installed here."""
    information = folder / "bass_webrtc-1.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: bass-webrtc\nVersion: 1\n", encoding="utf-8")
    (entry,) = PROJECT["entry-points"]["pyinstaller40"].items()
    (information / "entry_points.txt").write_text(f"[pyinstaller40]\n{' = '.join(entry)}\n", encoding="utf-8")
    return folder


def test_frozen_program_serves_a_file_and_receives_a_publisher(tmp_path: Path) -> None:
    """Without an environment, from another folder, whose name has a space and an umlaut."""
    source, jingle = tmp_path / "radio.py", tmp_path / "jingle.wav"
    source.write_text(PROGRAM, encoding="utf-8")
    with wave.open(str(jingle), "wb") as file:
        file.setparams((2, 2, 48_000, 0, "NONE", ""))
        file.writeframes(bytes(4 * 48_000))
    paths = (installed(tmp_path / "site"), toolchains.ROOT / "src")
    folder = tmp_path / "Müller & Söhne"
    command = [sys.executable, "-m", "PyInstaller", "--onedir", "--noconfirm", "--log-level", "ERROR"]
    command += ["--distpath", str(folder), *(f"--exclude-module={name}" for name in OF_TESTS)]
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths)), "PYINSTALLER_CONFIG_DIR": str(tmp_path)}
    done = subprocess.run(
        [*command, str(source)], cwd=tmp_path, env=variables, capture_output=True, encoding="utf-8", check=False
    )
    assert done.returncode == 0, done.stderr
    ran = subprocess.run(
        [str(folder / "radio" / "radio"), str(jingle)],
        cwd="/",
        env={},
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )
    assert (ran.stdout.splitlines(), ran.stderr) == (["page 200", "connected True", "received True"], "")
