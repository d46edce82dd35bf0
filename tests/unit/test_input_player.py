"""Playing and recording incoming audio without a server, on the "no sound" device of BASS."""

from __future__ import annotations

import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from bass_webrtc import BassError, ConfigError
from bass_webrtc.bass import BassLibrary, find_bass, output
from bass_webrtc.cli import input_player
from bass_webrtc.cli.input_player import InputPlayer
from bass_webrtc.cli.recorder import Samples
from support import media, tones
from support.patience import PROCESS_S

SCRIPT = """
import sys, time
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from bass_webrtc.bass import find_bass, open_output
from bass_webrtc.bass.source import STREAM_DECODE
import numpy as np
library = find_bass()
with open_output(0) as output:
    stream = library.call("BASS_StreamCreateFile", False, sys.argv[1].encode(), 0, 0, STREAM_DECODE | 0x100)
    tap = output.play_and_tap(stream)
    blocks, frames, give_up_s = [], 0, time.monotonic() + 20
    while frames < 48_000 and time.monotonic() < give_up_s:
        time.sleep(0.3)  # Like a busy thread; the tap must keep what was played meanwhile.
        blocks.append(tap.read())
        frames += len(blocks[-1])
    np.save(sys.argv[2], np.concatenate(blocks))
assert library.try_call("BASS_GetDevice") == 0xFFFFFFFF
assert len(tap.read()) == 0
"""


def _unexpected(error: OSError) -> None:
    raise AssertionError("writing failed") from error


class Mix:
    """Records whether it was read."""

    def __init__(self, stream: int = 0) -> None:
        self.input_stream = stream
        self.was_read = False

    def read_input(self, frames: int) -> Samples:
        self.was_read = True
        return np.zeros((frames, 2), np.float32)


@pytest.mark.parametrize("device", ["", "loud", "-1", "1.5", "²", "None"])
def test_invalid_device_is_rejected(device: str) -> None:
    with pytest.raises(ConfigError, match="expected none, default or a number"):
        InputPlayer(device, None)


@pytest.mark.parametrize(
    ("device", "recording", "expected"),
    [("none", None, False), ("none", Path("a.wav"), False), ("default", None, False), ("3", Path("a.wav"), True)],
)
def test_decode_stream_is_needed_only_for_splitting(
    monkeypatch: pytest.MonkeyPatch, device: str, recording: Path | None, expected: bool
) -> None:
    calls = list[bool]()
    monkeypatch.setattr(input_player, "find_splitter", lambda: calls.append(True))
    assert InputPlayer(device, recording).decode_stream is expected
    assert calls == [True] * expected


def test_missing_bassmix_error_names_the_alternatives(tmp_path: Path) -> None:
    library = find_bass()
    elsewhere = BassLibrary.__new__(BassLibrary)
    elsewhere.path = tmp_path / library.path.name
    with pytest.raises(ConfigError, match=r"needs BASSmix: put .*bassmix.*un4seen.*leave one"):
        output.find_splitter(elsewhere)


@pytest.mark.parametrize(
    ("platform", "version", "crashes"),
    [("win32", 0x02040502, True), ("win32", 0x02040503, False), ("linux", 0x02040502, False)],
)
def test_bassmix_whose_splitters_crash_is_refused(
    monkeypatch: pytest.MonkeyPatch, platform: str, version: int, crashes: bool
) -> None:
    functions = {"BASS_Split_StreamCreate": SimpleNamespace(), "BASS_Mixer_GetVersion": lambda: version}
    library = find_bass()
    monkeypatch.setattr(output, "_load", lambda _path: functions)
    monkeypatch.setattr(output, "sys", SimpleNamespace(platform=platform))
    expected = pytest.raises(ConfigError, match=r"BASSmix newer than 2\.4\.5\.2: put .*un4seen.*leave one")
    with expected if crashes else nullcontext():
        output.find_splitter(library)


def test_mix_is_recorded_by_a_thread_without_a_device(tmp_path: Path) -> None:
    player, mix = InputPlayer("none", tmp_path / "a.wav"), Mix()
    errors = list[OSError]()
    with player.open_device(), player.play(mix, errors.append):
        assert soundfile.info(tmp_path / "a.wav").frames == 0
    assert errors == []


def test_unknown_device_error_names_the_devices_command() -> None:
    with pytest.raises(BassError, match="bass-webrtc devices lists the outputs"), InputPlayer("99", None).open_device():
        pass


def test_device_plays_the_stream_without_python_reading_the_mix(monkeypatch: pytest.MonkeyPatch) -> None:
    played = list[int]()

    class Device:
        def __enter__(self) -> Device:
            return self

        def __exit__(self, *_: object) -> None:
            played.append(-1)

        def play(self, stream: int) -> None:
            played.append(stream)

    def open_output(device: int) -> Device:
        assert device == 7
        return Device()

    monkeypatch.setattr(input_player, "open_output", open_output)
    player, mix = InputPlayer("7", None), Mix(stream=55)
    with player.open_device(), player.play(mix, _unexpected):
        assert played == [55]
    assert played == [55, -1]
    assert not mix.was_read


def test_tap_returns_everything_played_even_if_read_late(tmp_path: Path) -> None:
    """Runs in a subprocess, because BASS_Init and BASS_Free affect the whole process."""
    source = media.write_tone(tmp_path / "tone.wav", 440.0, 880.0, seconds=5.0, sample_rate_hz=48_000)
    result = tmp_path / "tapped.npy"
    subprocess.run([sys.executable, "-c", SCRIPT, str(source), str(result)], check=True, timeout=PROCESS_S)
    tapped: Samples = np.load(result)
    original, _ = soundfile.read(source, dtype="float32")
    assert len(tapped) >= tones.SAMPLE_RATE_HZ
    assert np.array_equal(tapped, original[: len(tapped)])
