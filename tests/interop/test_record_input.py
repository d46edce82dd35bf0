"""``serve --input-device`` and ``--record-input``: incoming audio on the sound card, in the file, in both."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pytest
import soundfile

from support import pulse, tones
from support.fixtures import skip_for
from support.publisher_farm import PublisherFarm
from support.publisher_recorder import Samples, assert_tones
from support.pulse import PulseServer
from support.reruns import real_time_audio

pytestmark = real_time_audio

TESTS = Path(__file__).parents[1]
LEFT_HZ, RIGHT_HZ = 440.0, 880.0
SETTLING_S = 0.5

Command: TypeAlias = "subprocess.Popen[str]"
Serve: TypeAlias = "Callable[..., tuple[Command, str]]"


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start the command; yield it and its WHIP endpoint; kill what is left at the end."""
    running: list[Command] = []

    def serve(*options: str, **environment: str) -> tuple[Command, str]:
        ports = ["--port", "0", "--udp-port", "0", "--stats-every", "0.2"]
        command = [sys.executable, "-m", "bass_webrtc", "serve", "tone", *ports, *options]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8", env=os.environ | environment
        )
        running.append(process)
        assert process.stderr is not None
        line = process.stderr.readline()
        url = re.fullmatch(r"listening on (http\S+)\n", line)
        assert url is not None, line
        return process, url[1] + "whip"

    yield serve
    for process in running:
        process.kill()
        process.communicate()


@pytest.fixture
def publishers() -> Iterator[PublisherFarm]:
    with PublisherFarm() as farm:
        yield farm


@pytest.fixture
def sound_card() -> Iterator[PulseServer]:
    skip_for(pulse.missing())
    with tempfile.TemporaryDirectory(prefix="bw") as folder, PulseServer(Path(folder)) as server:
        yield server


def _wait_until_played(process: Command, seconds: float) -> dict[str, float]:
    """Wait until so much of the first publisher was played; return its statistics."""
    assert process.stdout is not None
    for line in process.stdout:
        for peer in json.loads(line)["peers"]:
            if peer["total_samples_received"] >= seconds * tones.SAMPLE_RATE_HZ:
                found: dict[str, float] = peer
                return found
    raise AssertionError("the server ended")


def _expect_end(process: Command) -> None:
    """Read its statistics meanwhile, so that the process does not block on its output."""
    process.communicate(timeout=20)
    assert process.returncode == 0


def _heard(path: Path, seconds: float) -> Samples:
    """Skip the beginning, while the jitter buffer settles."""
    samples, rate_hz = soundfile.read(path, dtype="float32")
    assert rate_hz == tones.SAMPLE_RATE_HZ
    loud = np.flatnonzero(np.abs(samples).max(axis=1) > 0.01)
    assert len(loud) > 0, "silence"
    start = loud[0] + round(SETTLING_S * rate_hz)
    return np.asarray(samples[start : start + round(seconds * rate_hz)])


def test_recording_survives_a_kill_except_for_its_last_second(
    serve: Serve, publishers: PublisherFarm, tmp_path: Path
) -> None:
    path = tmp_path / "said.wav"
    process, url = serve("--record-input", str(path))
    assert publishers.publish(url, LEFT_HZ, RIGHT_HZ) == 201
    stats = _wait_until_played(process, 3.5)
    process.kill()
    process.wait()
    assert stats["audio_level_dbfs"] == pytest.approx(-15.0, abs=1.0)  # RMS of a sine of -12 dBFS.
    assert soundfile.info(path).frames % tones.SAMPLE_RATE_HZ == 0
    heard = _heard(path, 1.5)
    assert len(heard) == 1.5 * tones.SAMPLE_RATE_HZ
    assert_tones(heard, LEFT_HZ, RIGHT_HZ)


def test_recording_is_complete_when_the_server_stops(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "silence.wav"
    process, _ = serve("--record-input", str(path))
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    _expect_end(process)
    info = soundfile.info(path)
    assert info.frames > 0
    assert info.frames % 960 == 0
    assert path.stat().st_size == 80 + 4 * info.frames


def test_levels_are_reported_without_recording_or_playback(serve: Serve, publishers: PublisherFarm) -> None:
    process, url = serve()
    publishers.publish(url, LEFT_HZ, RIGHT_HZ)
    assert _wait_until_played(process, 1.0)["audio_level_dbfs"] == pytest.approx(-15.0, abs=1.0)


def test_device_plays_incoming_audio(
    serve: Serve, publishers: PublisherFarm, sound_card: PulseServer, tmp_path: Path
) -> None:
    process, url = serve("--input-device", "default", **sound_card.environment)
    publishers.publish(url, LEFT_HZ, RIGHT_HZ)
    _wait_until_played(process, SETTLING_S)
    assert_tones(_monitored(sound_card, tmp_path), LEFT_HZ, RIGHT_HZ)


def test_device_and_file_get_the_same_audio_without_a_gap(
    serve: Serve, publishers: PublisherFarm, sound_card: PulseServer, tmp_path: Path
) -> None:
    path = tmp_path / "said.wav"
    process, url = serve("--input-device", "default", "--record-input", str(path), **sound_card.environment)
    publishers.publish(url, LEFT_HZ, RIGHT_HZ)
    _wait_until_played(process, SETTLING_S)
    played = _monitored(sound_card, tmp_path)
    process.send_signal(signal.SIGTERM)
    _expect_end(process)
    recorded = _heard(path, 1.5)
    for samples in (played, recorded):
        assert_tones(samples, LEFT_HZ, RIGHT_HZ)
        assert tones.phase_jumps(samples[:, 0], LEFT_HZ) == []


def _monitored(sound_card: PulseServer, folder: Path) -> Samples:
    """Record 1.5 s of the sound card's output in another process."""
    path = folder / "monitor.npy"
    subprocess.run(
        [sys.executable, "-m", "support.bass_reader", str(path), str(1.5 + SETTLING_S)],
        env=os.environ | sound_card.environment | {"PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path])},
        check=True,
        timeout=60,
    )
    heard: Samples = np.load(path)
    return heard[round(SETTLING_S * tones.SAMPLE_RATE_HZ) :]


def test_missing_device_is_a_one_line_error_and_exit_code_1() -> None:
    command = [sys.executable, "-m", "bass_webrtc", "serve", "tone", "--port", "0", "--input-device", "99"]
    result = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=60, check=False)
    assert (result.returncode, result.stdout) == (1, "")
    assert re.fullmatch(r"bass-webrtc: BASS_Init failed: BASS_ERROR_DEVICE \(23\); .*devices.*\n", result.stderr)


def test_unwritable_file_is_a_one_line_error_and_exit_code_1(tmp_path: Path) -> None:
    path = tmp_path / "nowhere" / "said.wav"
    command = [sys.executable, "-m", "bass_webrtc", "serve", "tone", "--port", "0", "--udp-port", "0"]
    result = subprocess.run(
        [*command, "--record-input", str(path)], capture_output=True, encoding="utf-8", timeout=60, check=False
    )
    assert (result.returncode, result.stdout) == (1, "")
    assert re.fullmatch(r"bass-webrtc: .*nowhere.*\n", result.stderr)
