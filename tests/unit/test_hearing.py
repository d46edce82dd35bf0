"""Where what publishers send goes, decided without a server: BASS's "no sound" device, and a mix that is made here."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from bass_webrtc import BassError, ConfigError
from bass_webrtc.bass import BassLibrary, find_bass, output
from bass_webrtc.cli import input_player as hearing
from bass_webrtc.cli.input_player import Hearing
from bass_webrtc.cli.recorder import Samples
from support import media, tones

SCRIPT = """
import sys, time
from pathlib import Path
from bass_webrtc.bass import find_bass, open_output
from bass_webrtc.bass.source import STREAM_DECODE
import numpy as np
library = find_bass()
with open_output(0) as output:
    stream = library.call("BASS_StreamCreateFile", False, sys.argv[1].encode(), 0, 0, STREAM_DECODE | 0x100)
    tap = output.play_and_tap(stream)
    blocks, frames, give_up_s = [], 0, time.monotonic() + 20
    while frames < 48_000 and time.monotonic() < give_up_s:
        time.sleep(0.3)  # As a busy thread comes: what was played meanwhile is kept.
        blocks.append(tap.read())
        frames += len(blocks[-1])
    np.save(sys.argv[2], np.concatenate(blocks))
assert library.try_call("BASS_GetDevice") == 0xFFFFFFFF
assert len(tap.read()) == 0
"""


def _unexpected(error: OSError) -> None:
    raise AssertionError("the file took no more") from error


class Mix:
    """Remembers who read it."""

    def __init__(self, stream: int = 0) -> None:
        self.input_stream = stream
        self.was_read = False

    def read_input(self, frames: int) -> Samples:
        self.was_read = True
        return np.zeros((frames, 2), np.float32)


@pytest.mark.parametrize("device", ["", "loud", "-1", "1.5", "²", "None"])
def test_what_names_no_output_is_refused(device: str) -> None:
    with pytest.raises(ConfigError, match="expected none, default, or a number"):
        Hearing(device, None)


@pytest.mark.parametrize(
    ("device", "recording", "expected"),
    [("none", None, False), ("none", Path("a.wav"), False), ("default", None, False), ("3", Path("a.wav"), True)],
)
def test_only_a_stream_that_is_split_must_be_a_decoding_one(
    monkeypatch: pytest.MonkeyPatch, device: str, recording: Path | None, expected: bool
) -> None:
    asked = list[bool]()
    monkeypatch.setattr(hearing, "find_splitter", lambda: asked.append(True))
    assert Hearing(device, recording).decode_stream is expected
    assert asked == [True] * expected


def test_without_bassmix_the_way_out_is_named(tmp_path: Path) -> None:
    library = find_bass()
    elsewhere = BassLibrary.__new__(BassLibrary)
    elsewhere.path = tmp_path / library.path.name
    with pytest.raises(ConfigError, match=r"needs BASSmix: put .*bassmix.*un4seen.*leave one"):
        output.find_splitter(elsewhere)


def test_with_no_device_the_mix_is_read_by_a_thread(tmp_path: Path) -> None:
    chosen, mix = Hearing("none", tmp_path / "a.wav"), Mix()
    errors = list[OSError]()
    with chosen.open(), chosen.hear(mix, errors.append):
        assert soundfile.info(tmp_path / "a.wav").frames == 0
    assert errors == []


def test_a_device_that_is_not_there_is_an_error_that_says_where_to_look() -> None:
    with pytest.raises(BassError, match="bass-webrtc devices lists the outputs"), Hearing("99", None).open():
        pass


def test_a_device_plays_the_stream_and_python_does_not_read_the_mix(monkeypatch: pytest.MonkeyPatch) -> None:
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

    monkeypatch.setattr(hearing, "open_output", open_output)
    chosen, mix = Hearing("7", None), Mix(stream=55)
    with chosen.open(), chosen.hear(mix, _unexpected):
        assert played == [55]
    assert played == [55, -1]
    assert not mix.was_read


def test_a_tap_gives_all_that_is_played_however_late_it_is_read(tmp_path: Path) -> None:
    """In a process of its own: BASS_Init and BASS_Free are the whole process's."""
    source = media.write_tone(tmp_path / "tone.wav", 440.0, 880.0, seconds=5.0, sample_rate_hz=48_000)
    result = tmp_path / "tapped.npy"
    subprocess.run([sys.executable, "-c", SCRIPT, str(source), str(result)], check=True, timeout=60)
    tapped: Samples = np.load(result)
    original, _ = soundfile.read(source, dtype="float32")
    assert len(tapped) >= tones.SAMPLE_RATE_HZ
    assert np.array_equal(tapped, original[: len(tapped)])
