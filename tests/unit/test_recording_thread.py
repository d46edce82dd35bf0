"""The thread of all recordings: wrong arguments, errors, and the end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bass_webrtc.config import ServerConfig
from bass_webrtc.core import ChannelSettings, Engine, SourceHandle
from bass_webrtc.errors import BassWebRtcError, ClosedError, ConfigError
from bass_webrtc.recording import Recording, Recordings, files
from support import ogg


@pytest.fixture
def engine() -> Iterator[Engine]:
    made = Engine(ServerConfig(), 2, SourceHandle.tone(440.0, 440.0, -12.0))
    made.start()
    yield made
    made.close()


def wait_until(condition: Callable[[], bool]) -> None:
    deadline_s = time.perf_counter() + 10.0
    while not condition():
        assert time.perf_counter() < deadline_s
        time.sleep(0.005)


def is_complete(recording: Recording) -> bool:
    assert recording.path is not None
    return ogg.pages(recording.path.read_bytes())[-1].flags == ogg.LAST


def test_wrong_arguments_are_refused_before_a_file_exists(engine: Engine, tmp_path: Path) -> None:
    recordings = Recordings(engine, "test")
    path = tmp_path / "a.opus"
    with pytest.raises(BassWebRtcError, match="cannot record peer 1"):
        recordings.record_peer(1, path)
    with pytest.raises(BassWebRtcError, match="cannot record channel 7"):
        recordings.record_channel(7, path)
    with pytest.raises(ConfigError, match=r"rotate_s is 0.5; expected 0 or at least 1.0 s"):
        recordings.record_channel(0, path, rotate_s=0.5)
    recordings.close()
    with pytest.raises(ClosedError):
        recordings.record_channel(0, path)
    assert list(tmp_path.iterdir()) == []


def test_recording_tells_its_state(engine: Engine, tmp_path: Path) -> None:
    recordings = Recordings(engine, "test")
    recording = recordings.record_channel(0, tmp_path / "{name}.opus", "a/b")
    assert recordings.active == (recording,)
    wait_until(lambda: recording.seconds > 0.2)
    assert recording.path == tmp_path / "a_b.opus"
    assert recording.paths == (recording.path,)
    assert recording.bytes == recording.path.stat().st_size
    assert (recording.error, recording.lost_packets, recording.dropped_packets) == (None, 0, 0)
    recording.stop()
    recording.stop()
    assert recording.wait(10.0)
    assert not recording.is_active
    assert not recordings.active
    assert is_complete(recording)
    recordings.close()


def test_recording_that_is_stopped_at_once_is_complete(engine: Engine, tmp_path: Path) -> None:
    recordings = Recordings(engine, "test")
    recording = recordings.record_channel(0, tmp_path / "a.opus")
    recording.stop()
    assert recording.wait(10.0)
    assert is_complete(recording)
    recordings.close()


def test_callback_that_fails_does_not_end_the_others(
    engine: Engine, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_recording: Recording, error: OSError) -> None:
        raise RuntimeError("the program's own mistake")

    recordings = Recordings(engine, "test", fail)
    good = recordings.record_channel(0, tmp_path / "a.opus")
    bad = [recordings.record_channel(0, tmp_path / name / "a.opus") for name in ("missing", "zero\0byte")]
    assert all(one.wait(10.0) for one in bad)
    before_s = good.seconds
    wait_until(lambda: good.seconds > before_s + 0.2)
    recordings.close()
    assert is_complete(good)
    assert "the program's own mistake" in caplog.text
    assert "a recording has ended: [Errno 2]" in caplog.text


@pytest.mark.parametrize("engine_first", [True, False])
def test_engine_and_recordings_may_be_closed_in_any_order(engine: Engine, tmp_path: Path, engine_first: bool) -> None:
    recordings = Recordings(engine, "test")
    recording = recordings.record_channel(0, tmp_path / "a.opus")
    wait_until(lambda: recording.seconds > 0.1)
    if engine_first:
        engine.close()
        time.sleep(0.25)
    recordings.close()
    assert is_complete(recording)
    assert not [one for one in threading.enumerate() if one.name == "bass-webrtc recordings"]
    engine.close()


def test_recording_ends_with_its_channel(engine: Engine, tmp_path: Path) -> None:
    recordings = Recordings(engine, "test")
    channel = engine.add_channel(ChannelSettings.of(ServerConfig()), None)
    recording = recordings.record_channel(channel, tmp_path / "a.opus")
    wait_until(lambda: recording.seconds > 0.1)
    engine.remove_channel(channel)
    assert recording.wait(10.0)
    assert is_complete(recording)
    recordings.close()


def test_disk_that_does_not_answer_does_not_keep_close_waiting(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    answers = threading.Event()

    def create(*_: object) -> None:
        answers.wait()
        raise OSError("it has answered")

    monkeypatch.setattr(files, "create", create)
    recordings = Recordings(engine, "test")
    recording = recordings.record_channel(0, tmp_path / "a.opus")
    recordings.close(0.1)
    assert not recording.wait(0)
    assert "the disk is slow or does not answer" in caplog.text
    answers.set()
    assert recording.wait(10.0)
    assert str(recording.error) == "it has answered"
