"""Without BASS, sources that need it fail with a clear error; the others work."""

from __future__ import annotations

import ctypes.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from support import media
from support.patience import PROCESS_S

pytestmark = pytest.mark.skipif(ctypes.util.find_library("bass") is not None, reason="BASS is installed system-wide")

_START = """
import sys
import bass_webrtc as bw

config = bw.ServerConfig(http_port=0, udp_port=0)
with bw.Server(bw.BassFile(sys.argv[1]), config) as server:
    try:
        server.start()
    except bw.BassNotFoundError as error:
        print(error)
    print(repr(server.url))
with bw.Server(bw.Tone(), config) as server:
    server.start()
    print(server.url)
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Environment of a process whose sound_lib contains no BASS."""
    (tmp_path / "sound_lib").mkdir()
    (tmp_path / "sound_lib" / "__init__.py").touch()
    path = os.pathsep.join((str(tmp_path), os.environ.get("PYTHONPATH", "")))
    return {name: value for name, value in os.environ.items() if name != "BASS_LIBRARY"} | {"PYTHONPATH": path}


@pytest.fixture
def song(tmp_path: Path) -> str:
    return str(media.write_tone(tmp_path / "song.mp3", seconds=1.0))


def run(arguments: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments]
    return subprocess.run(
        command, env=environment, capture_output=True, encoding="utf-8", timeout=PROCESS_S, check=False
    )


def test_start_names_the_missing_library_and_opens_nothing(environment: dict[str, str], song: str) -> None:
    done = run(["-c", _START, song], environment)
    assert done.stderr == ""
    error, url_of_file, url_of_tone = done.stdout.splitlines()
    assert "pip install 'sound-lib" in error
    assert url_of_file == "''"
    assert url_of_tone.startswith("http://127.0.0.1:")


def test_serve_reports_missing_bass_in_one_line(environment: dict[str, str], song: str) -> None:
    done = run(["-m", "bass_webrtc", "serve", song, "--port", "0", "--udp-port", "0"], environment)
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("bass-webrtc: ")
    assert "pip install 'sound-lib" in line
