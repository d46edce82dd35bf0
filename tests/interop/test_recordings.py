"""Recordings in real time, decoded by FFmpeg and opusdec."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from bass_webrtc.config import ServerConfig
from bass_webrtc.core import Engine, SourceHandle
from bass_webrtc.recording import Recording, Recordings
from support import ogg
from support.child import Child
from support.opus_senders import FRAME_S, FRAME_SAMPLES, OpusSender, Receiver, click_track, encode, send_in_real_time
from support.reruns import real_time_audio

pytestmark = pytest.mark.skipif(ogg.missing() is not None, reason=ogg.missing() or "")

VENDOR = "bass-webrtc test"
CLICK_S = 0.5
BLOCK = 480


class Studio:
    """An engine whose channel plays a track, senders, and a thread that plays each sender on its own stream.

    Attributes:
        played: When the clicks of each sender were played, seconds of ``time.perf_counter``.
        start_s: When the channel's first frame was due.
    """

    def __init__(self, track: np.ndarray, senders: int, folder: Path) -> None:
        self._track = track
        self._written = 0
        self._source = SourceHandle.pcm(48_000, 2)
        self.engine = Engine(ServerConfig(frame_ms=10), 8, self._source)
        self.receiver = Receiver(self.engine)
        self.folder = folder
        self.errors: list[tuple[Recording, OSError]] = []
        self.recordings = Recordings(self.engine, VENDOR, lambda *error: self.errors.append(error))
        self.played: list[list[float]] = [[] for _ in range(senders)]
        packets = encode(track)
        self._write()
        self.receiver.__enter__()
        self.start_s = time.perf_counter() - self.engine.running_s(time.perf_counter())
        # Timestamps that wrap, and others.
        self.senders = [OpusSender(self.receiver, peer, packets, 0xFFFF0000 * peer) for peer in range(senders)]
        for sender in self.senders:
            self.engine.playout.set_own(sender.peer, True)

    def _write(self) -> None:
        count = min(self._source.space(), len(self._track) - self._written)
        if count > 0:
            part = np.ascontiguousarray(self._track[self._written : self._written + count])
            self._written += self._source.write(part.data, count)

    def record(self, start_ns: int, rotate_s: float = 0.0) -> list[Recording]:
        """Record all senders and the channel, which comes last."""
        path = self.folder / "{name}.opus"
        recordings = [
            self.recordings.record_peer(sender.peer, path, f"peer {sender.peer}", start_ns=start_ns, rotate_s=rotate_s)
            for sender in self.senders
        ]
        return [*recordings, self.recordings.record_channel(0, path, "programme", start_ns=start_ns, rotate_s=rotate_s)]

    def play(self, until_s: float) -> None:
        """Play in blocks of 10 ms, and feed the channel."""
        begin_s, number = time.perf_counter(), 0
        block = np.empty((BLOCK, 2), np.float32)
        while time.perf_counter() < until_s:
            time.sleep(max(0.0, begin_s + number * BLOCK / 48_000 - time.perf_counter()))
            number += 1
            self._write()
            for sender, played in zip(self.senders, self.played, strict=True):
                now_s = time.perf_counter()
                self.engine.playout.read_peer(sender.peer, block.data)
                loud = np.flatnonzero(np.abs(block[:, 0]) > 0.3)
                if len(loud) and (not played or now_s - played[-1] > 0.1):
                    played.append(now_s + loud[0] / 48_000)

    def stop(self, recordings: list[Recording]) -> None:
        for recording in recordings:
            recording.stop()
        for recording in recordings:
            assert recording.wait(5.0)
            assert recording.error is None
            assert not recording.is_active

    def close(self) -> None:
        self.recordings.close()
        for sender in self.senders:
            sender.close()
        self.receiver.__exit__()


@pytest.fixture
def studio(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Studio]:
    track, senders = request.param
    made = Studio(track, senders, tmp_path)
    yield made
    made.close()


def path_of(recording: Recording) -> Path:
    assert recording.path is not None
    return recording.path


def assert_aligned(frames: list[float], early: int) -> None:
    """Check how far clicks are off: at most a frame.

    Up to twice as far where the jitter buffer changes its delay faster than a recording follows: among so many early
    ones at the start of a stream, and once after a stall of the machine.
    """
    assert max(frames) <= 2, frames
    assert sorted(frames[early:])[-2] <= 1, frames


CLICKS = [round((CLICK_S + second) * 48_000) for second in range(7)]


@real_time_audio
@pytest.mark.parametrize("studio", [(click_track(8.0, CLICKS), 3)], indirect=True)
def test_clicks_are_where_they_were_played_in_all_files(studio: Studio) -> None:
    """Of three senders, one of them 30 ms farther away, and of a channel; within a frame."""
    start_ns = time.perf_counter_ns()
    recordings = studio.record(start_ns)
    thread = send_in_real_time(studio.senders, 400, time.perf_counter(), delays_s=(0.0, 0.03, 0.0))
    studio.play(start_ns / 1e9 + 8.2)
    thread.join()
    studio.stop(recordings)
    lengths_s = [recording.seconds for recording in recordings]
    assert max(lengths_s) - min(lengths_s) < FRAME_S
    for index, recording in enumerate(recordings):
        assert recording.lost_packets == 0
        expected_s = studio.played[index] if index < 3 else [studio.start_s + click / 48_000 for click in CLICKS]
        for name, decode in ogg.DECODERS.items():
            samples = decode(path_of(recording))
            found_s = [start_ns / 1e9 + click / 48_000 for click in ogg.clicks(samples)]
            assert len(found_s) == len(expected_s) == 7, (name, index)
            assert_aligned([abs(a - b) / FRAME_S for a, b in zip(found_s, expected_s, strict=True)], 3)


@real_time_audio
def test_callers_are_at_the_same_place_in_their_files_and_in_the_programme(tmp_path: Path) -> None:
    """Within a frame. The callers click at different times, and one has a longer path."""
    engine = Engine(ServerConfig(), 8, None)
    tracks = [click_track(7.0, [offset + 48_000 * second for second in range(6)]) for offset in (24_000, 38_400)]
    with Receiver(engine) as receiver:
        senders = [
            OpusSender(receiver, peer, encode(track), 77_777 * peer, calls=True) for peer, track in enumerate(tracks)
        ]
        recordings = Recordings(engine, VENDOR)
        start_ns = time.perf_counter_ns()
        path = tmp_path / "{name}.opus"
        files = [recordings.record_peer(peer, path, f"caller {peer}", start_ns=start_ns) for peer in range(2)]
        files.append(recordings.record_channel(0, path, "programme", start_ns=start_ns))
        send_in_real_time(senders, 350, time.perf_counter(), delays_s=(0.0, 0.05)).join()
        recordings.close()
        for sender in senders:
            sender.close()
    for name, decode in ogg.DECODERS.items():
        first, second, both = (ogg.clicks(decode(path_of(one))) for one in files)
        assert (len(first), len(second), len(both)) == (6, 6, 12), name
        own = sorted([*first, *second])
        assert_aligned([abs(a - b) / FRAME_SAMPLES for a, b in zip(own, both, strict=True)], 6)


@real_time_audio
@pytest.mark.parametrize("red", [0, 1])
@pytest.mark.parametrize("studio", [(click_track(6.0, CLICKS[:5]), 2)], indirect=True)
def test_losses_are_gaps_at_their_place_or_filled_by_copies(studio: Studio, red: int) -> None:
    """5 % of the packets of the second sender are lost, but none with a click."""
    chance = random.Random(5)
    kept = {click // FRAME_SAMPLES + k for click in CLICKS for k in (-1, 0, 1)}
    lost = {number for number in range(20, 290) if chance.random() < 0.05 and number not in kept} - {0}
    lost -= {number + 1 for number in lost}  # A copy is in the next packet only.
    start_ns = time.perf_counter_ns()
    recordings = studio.record(start_ns)
    thread = send_in_real_time(
        studio.senders, 300, time.perf_counter(), lost=lambda sender, number: sender == 1 and number in lost, red=red
    )
    time.sleep(6.5)  # Nothing plays them: their places do not change.
    thread.join()
    studio.stop(recordings)
    whole, torn = (path_of(recording) for recording in recordings[:2])
    assert [recording.lost_packets for recording in recordings[:2]] == [0, 0 if red else len(lost)]
    packets = {path: ogg.packets(ogg.pages(path.read_bytes(), check=False))[2:] for path in (whole, torn)}
    speech = [one for one in packets[torn] if len(one) > 20]
    assert len(speech) == 300 - (0 if red else len(lost))
    hollow = [one for one in packets[torn][: packets[torn].index(speech[-1])] if len(one) == 1]
    assert len(hollow) == (0 if red else len(lost))
    for name, decode in ogg.DECODERS.items():
        clicks = [ogg.clicks(decode(path)) for path in (whole, torn)]
        assert len(clicks[0]) == len(clicks[1]) == 5, name
        assert max(abs(a - b) for a, b in zip(*clicks, strict=True)) <= FRAME_SAMPLES, name


@real_time_audio
@pytest.mark.parametrize("studio", [(click_track(5.0, CLICKS[:4]), 1)], indirect=True)
def test_rotation_loses_no_sample_and_is_not_heard(studio: Studio) -> None:
    start_ns = time.perf_counter_ns()
    pieces = studio.record(start_ns, rotate_s=1.0)
    whole = studio.record(start_ns)
    thread = send_in_real_time(studio.senders, 250, time.perf_counter())
    studio.play(start_ns / 1e9 + 5.2)
    thread.join()
    studio.stop([*pieces, *whole])
    for piece, one in zip(pieces, whole, strict=True):
        assert len(piece.paths) == 6
        for name, decode in ogg.DECODERS.items():
            parts = [decode(path) for path in piece.paths]
            assert [len(part) for part in parts[:-1]] == [48_000] * 5, name
            joined, reference = np.concatenate(parts), decode(path_of(one))
            length = min(len(joined), len(reference))
            assert abs(len(joined) - len(reference)) < 4_800
            # A decoder that starts anew has not quite the same state as one that has run for long.
            difference = joined[:length] - reference[:length]
            assert np.abs(difference).max() < 0.02, name


@pytest.mark.timeout(240)
def test_killed_process_leaves_valid_files_of_nearly_full_length(tmp_path: Path) -> None:
    """50 times at a random moment: files of two peers, one with losses, and of a channel that changes files."""
    chance = random.Random(14)
    folders = [tmp_path / str(number) for number in range(50)]

    def run(numbers: range) -> None:
        for number in numbers:
            folders[number].mkdir()
            child = Child("support.recording_worker", str(folders[number]))
            start_ns = int(child.read_line())
            time.sleep(delays_s[number])
            os.kill(child.pid, signal.SIGKILL)
            ends_s[number] = (time.perf_counter_ns() - start_ns) / 1e9
            child.close()

    delays_s = [chance.uniform(0.0, 2.5) for _ in folders]
    ends_s = [0.0] * len(folders)
    threads = [threading.Thread(target=run, args=(range(first, 50, 4),)) for first in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for folder, end_s in zip(folders, ends_s, strict=True):
        files = sorted(folder.glob("*.opus"))
        lengths: dict[str, float] = {"peer 0": 0.0, "peer 1": 0.0, "programme": 0.0}
        for file in files:
            for decode in (ogg.DECODERS["opusdec"], ogg.DECODERS["ffmpeg"]):
                samples = len(decode(file))
            lengths[file.name.partition(".")[0].partition(" (")[0]] += samples / 48_000
        for name, length in lengths.items():
            assert end_s - 1.2 <= length <= end_s, (name, folder, length, end_s)


# ---------------------------------------------------------------------- errors

LIMITED = """
import resource, signal, sys, time
from pathlib import Path
from bass_webrtc.config import ServerConfig
from bass_webrtc.core import Engine, SourceHandle
from bass_webrtc.recording import Recordings

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))
engine = Engine(ServerConfig(), 1, SourceHandle.tone(440.0, 440.0, -20.0))
engine.start()
errors = []
recordings = Recordings(engine, "test", lambda recording, error: errors.append((recording, error)))
recording = recordings.record_channel(0, Path(sys.argv[1]) / "a.opus")
assert recording.wait(20.0)
time.sleep(0.3)
assert errors == [(recording, recording.error)]
assert not recordings.active
print(type(recording.error).__name__, recording.error.errno, recording.seconds)
recordings.close()
engine.close()
"""


def test_file_that_cannot_grow_ends_the_recording_with_an_error(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path)], capture_output=True, encoding="utf-8", check=False, timeout=60
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("OSError 27 "), "EFBIG"
    assert (tmp_path / "a.opus").stat().st_size <= 30_000
    for decode in ogg.DECODERS.values():
        assert len(decode(tmp_path / "a.opus")) > 48_000


@pytest.mark.parametrize("studio", [(click_track(1.0, []), 1)], indirect=True)
def test_missing_folder_and_forbidden_one_are_reported_and_harm_no_other(studio: Studio, tmp_path: Path) -> None:
    good = studio.recordings.record_channel(0, tmp_path / "good.opus")
    (tmp_path / "file").touch()
    bad = [
        studio.recordings.record_channel(0, tmp_path / "missing" / "a.opus"),
        studio.recordings.record_peer(0, tmp_path / "file" / "a.opus"),
    ]
    assert all(recording.wait(5.0) for recording in bad)
    assert [type(recording.error) for recording in bad] == [FileNotFoundError, NotADirectoryError]
    assert all(recording.path is None for recording in bad)
    deadline_s = time.perf_counter() + 5.0
    while len(studio.errors) < 2 and time.perf_counter() < deadline_s:
        time.sleep(0.01)
    assert [recording for recording, _ in studio.errors] == bad
    studio.stop([good])


@pytest.mark.parametrize("studio", [(click_track(1.0, []), 1)], indirect=True)
def test_recording_ends_with_its_peer(studio: Studio, tmp_path: Path) -> None:
    recording = studio.recordings.record_peer(0, tmp_path / "a.opus")
    studio.senders[0].send(0)
    time.sleep(0.3)
    studio.engine.remove_peer(0)
    assert recording.wait(5.0)
    assert recording.error is None
    assert recording.bytes == path_of(recording).stat().st_size
    assert ogg.pages(path_of(recording).read_bytes())[-1].flags == ogg.LAST
    assert not studio.recordings.active


@pytest.mark.parametrize("studio", [(click_track(1.0, []), 1)], indirect=True)
def test_close_completes_the_files(studio: Studio, tmp_path: Path) -> None:
    recording = studio.recordings.record_channel(0, tmp_path / "a.opus", "Title", "Artist")
    time.sleep(1.0)
    studio.recordings.close()
    studio.recordings.close()
    assert not recording.is_active
    for decode in ogg.DECODERS.values():
        assert abs(len(decode(path_of(recording))) - recording.seconds * 48_000) < FRAME_SAMPLES
    tags = ogg.comments(path_of(recording).read_bytes())
    assert (tags["TITLE"], tags["ARTIST"], tags["ENCODER"]) == ("Title", "Artist", VENDOR)


@pytest.mark.alone
def test_twenty_recordings_cost_little(tmp_path: Path) -> None:
    """Of channels with packets of 20 ms, by the time of the recorder thread."""
    engine = Engine(ServerConfig(), 1, SourceHandle.tone(440.0, 441.0, -12.0))
    engine.start()
    recordings = Recordings(engine, VENDOR)
    started = [recordings.record_channel(0, tmp_path / "{name}.opus", "a") for _ in range(20)]
    time.sleep(1.0)
    thread = next(one for one in threading.enumerate() if one.name == "bass-webrtc recordings")
    clock = time.pthread_getcpuclockid(thread.ident or 0)
    before_s, began_s = time.clock_gettime(clock), time.perf_counter()
    time.sleep(4.0)
    share = (time.clock_gettime(clock) - before_s) / (time.perf_counter() - began_s)
    recordings.close()
    engine.close()
    assert all(recording.error is None and recording.dropped_packets == 0 for recording in started)
    assert share < 0.06, f"{share:.1%} of a core for 20 recordings"
