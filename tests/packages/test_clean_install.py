"""The Linux wheel on a machine with nothing but Python: no compiler, no pkg-config, no libraries of Debian."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from support import browsers, packages, tones
from support.fixtures import skip_for
from support.packages import CleanEnvironment
from support.publisher_farm import PublisherFarm
from support.publisher_recorder import assert_tones
from support.reruns import real_time_audio
from support.studio import open_chromium

pytestmark = pytest.mark.timeout(600)

RATE_HZ = tones.SAMPLE_RATE_HZ


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> CleanEnvironment:
    """An environment into which pip has installed the wheel."""
    made = CleanEnvironment(tmp_path_factory.mktemp("clean"))
    made.install(str(packages.wheel("linux-x64")))
    return made


def test_environment_has_no_build_tools(environment: CleanEnvironment) -> None:
    for program in ("cc", "gcc", "clang", "pkg-config", "ld"):
        assert shutil.which(program, path=environment.variables["PATH"]) is None


def test_doctor_shows_the_libraries_of_the_wheel(environment: CleanEnvironment) -> None:
    report = environment.run("bass-webrtc", "doctor")
    assert re.search(packages.LIBRARIES, report, re.MULTILINE), report
    assert re.search(r"^ok +BASS: .*sound_lib", report, re.MULTILINE), report


@real_time_audio
def test_browser_plays_the_demo_programme_and_a_publisher_is_heard(
    environment: CleanEnvironment, tmp_path: Path
) -> None:
    skip_for(browsers.missing_chromium())
    recording = tmp_path / "said.wav"
    with open_chromium() as studio, PublisherFarm() as farm:
        options = ("--record-input", recording, "--allow-origin", studio.pages.origin)
        command = (environment.programs / "bass-webrtc", "serve", *options)
        with packages.serving(command, environment.variables) as url:
            assert farm.publish(f"{url}whip", 440.0, 880.0) == 201
            listener = studio.listener()
            assert listener.play(f"{url}whep")["status"] == 201
            heard = listener.record(3.0)
            listener.stop()
    for channel in (0, 1):
        assert -40.0 < tones.rms_dbfs(heard[-RATE_HZ:, channel]) < 0.0
    said, rate_hz = soundfile.read(recording, dtype="float32")
    assert rate_hz == RATE_HZ
    assert_tones(np.asarray(said[-RATE_HZ:]), 440.0, 880.0)
