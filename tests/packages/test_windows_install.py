"""The Windows wheel under Wine, in a new Python that is newer than the one it was built with."""

from __future__ import annotations

import asyncio
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from support import aiortc_player, packages, tones, wine, wine_lab
from support.fixtures import skip_for
from support.publisher_farm import PublisherFarm
from support.publisher_recorder import assert_tones
from support.reruns import real_time_audio

pytestmark = pytest.mark.timeout(600)

VERSION = "3.13"
RATE_HZ = tones.SAMPLE_RATE_HZ


@pytest.fixture(scope="module", autouse=True)
def _requirements() -> None:
    skip_for(wine.missing())


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``python.exe`` of a new Windows Python into which pip has installed the wheel and what that requires."""
    folder = tmp_path_factory.mktemp("python")
    shutil.unpack_archive(wine.embeddable(VERSION), folder)
    next(folder.glob("python*._pth")).unlink()  # It keeps Python from its site-packages.
    (folder / "_wmi.pyd").unlink()  # The module platform does without it. Wine 8 has no WMI, so Python would abort.
    target = ("--platform=win_amd64", f"--python-version={VERSION}", "--only-binary=:all:")
    # pip reads conditions such as sys_platform == "win32" for the system that it runs on.
    requirements = (str(packages.wheel("windows-x64")), "colorama")
    packages.pip("install", *target, "--no-compile", f"--target={folder / 'Lib/site-packages'}", *requirements)
    return folder / "python.exe"


def test_doctor_shows_the_libraries_of_the_wheel(python: Path) -> None:
    with wine.Machine() as windows:
        report = windows.run(python, "-m", "bass_webrtc", "doctor", timeout_s=300.0).stdout
    assert re.search(packages.LIBRARIES, report, re.MULTILINE), report
    assert re.search(r"^ok +BASS: .*sound_lib", report, re.MULTILINE), report


@real_time_audio
def test_player_on_linux_hears_the_tone_and_a_publisher_is_heard(python: Path, tmp_path: Path) -> None:
    recording = tmp_path / "said.wav"
    options = ("--port", "0", "--udp-port", "0", "--record-input", recording)
    with (
        wine_lab.open_lab() as lab,
        PublisherFarm(lab.linux) as farm,
        lab.windows.start(
            *(python, "-m", "bass_webrtc", "serve", "tone", "--host", lab.windows_address, *options), console=True
        ) as server,
    ):
        line = server.read_error_line()
        url = re.fullmatch(r"listening on (http\S+)", line)
        assert url is not None, line
        assert farm.publish(f"{url[1]}whip", 440.0, 880.0) == 201
        with lab.linux.entered():
            heard = asyncio.run(aiortc_player.listen(f"{url[1]}whep", 4.0))
        server.interrupt()
        server.popen.communicate(timeout=30)
        assert server.popen.returncode == 0
    assert_tones(heard.samples[-2 * RATE_HZ :], 440.0, 440.0)
    said, rate_hz = soundfile.read(recording, dtype="float32")
    assert rate_hz == RATE_HZ
    assert_tones(np.asarray(said[-2 * RATE_HZ : -RATE_HZ]), 440.0, 880.0)
