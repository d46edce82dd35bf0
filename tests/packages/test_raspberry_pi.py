"""The wheel for a Raspberry Pi under qemu-user: the core's C tests, and a server from the installed wheel."""

from __future__ import annotations

import re
import subprocess
import zipfile
from pathlib import Path

import pytest

import toolchains
from support import arm64, packages
from support.core_programs import PROGRAMS, CoreBuild
from support.fixtures import skip_for

pytestmark = pytest.mark.timeout(600)  # The first run on a machine builds the third-party libraries.

TARGET = "linux-arm64"

NOT_EMULATED = {
    "clocks": "plays two minutes and more at several drifts: over 100 s",
    "jitter_buffer": "encodes and decodes minutes of audio: over 47 s",
    "jitter_packets": "encodes and decodes minutes of audio: 40 s",
    "jitter_senders": "encodes and decodes minutes of audio: over 19 s",
    "opus_packet": "encodes with many settings: 43 s",
    "resampler": "measures spectra of minutes of audio: 63 s",
    "source": "encodes and resamples from many rates: 121 s",
}
"""C tests that are not emulated, and why: CPU seconds of the emulator, which runs libopus fifty times slower."""

PROGRAM = """
import sys, time
import bass_webrtc as bw
from bass_webrtc.cli.main import app
assert bw.__file__.startswith(sys.argv.pop()), bw.__file__
with bw.Server(bw.Tone(), bw.ServerConfig(http_port=0, udp_port=0)) as server:
    server.start()
    while server.stats().frames_sent < 10:
        time.sleep(0.05)
print("encoded", flush=True)
app(["doctor"])
"""
"""One process, because the emulator takes long for the imports."""


@pytest.fixture(scope="module", autouse=True)
def _requirements() -> None:
    skip_for(arm64.missing())


@pytest.fixture(scope="module")
def build() -> CoreBuild:
    """The core for arm64."""
    libraries = toolchains.third_party(TARGET)
    return CoreBuild(TARGET, ("-O3",), compiler=toolchains.compiler(TARGET), target=TARGET, libraries=libraries)


@pytest.mark.parametrize("name", [name for name in PROGRAMS if name not in NOT_EMULATED])
def test_c_test_passes_on_arm64(build: CoreBuild, name: str) -> None:
    command = ["nice", *arm64.command(build.program(f"test_{name}"))]
    subprocess.run(command, check=True, timeout=300)


def test_wheel_encodes_and_its_doctor_says_how_to_get_bass(tmp_path: Path) -> None:
    """sound-lib has no BASS for ARM: the user downloads it and sets BASS_LIBRARY."""
    zipfile.ZipFile(packages.wheel(TARGET)).extractall(tmp_path)
    command = ["nice", *arm64.python_command("-c", PROGRAM, tmp_path, path=tmp_path)]
    done = subprocess.run(command, stdout=subprocess.PIPE, encoding="utf-8", timeout=300, check=False)
    assert done.stdout.startswith("encoded\n")
    assert re.search(packages.LIBRARIES, done.stdout, re.MULTILINE), done.stdout
    assert re.search(r"BASS_LIBRARY", done.stdout), done.stdout
