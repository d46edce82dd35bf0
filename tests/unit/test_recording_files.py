"""Files of recordings: names, rotation, and what is left when something fails."""

from __future__ import annotations

import errno
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bass_webrtc.recording.files import RecordingFiles, create, expand, safe_name
from support import ogg

FRAME = 960
UNIX_S = 1_800_000_000.0
MOMENT = datetime(2026, 11, 30, 9, 5, 7, tzinfo=UTC)


def packet(number: int) -> bytes:
    return b"\xfc" + b"%06d" % number


def opened(folder: Path, name: str = "a.opus", rotate_samples: int = 0) -> RecordingFiles:
    recording = RecordingFiles(str(folder / name), "Anna", UNIX_S, "bass-webrtc 9", {"TITLE": "Anna"}, rotate_samples)
    recording.open()
    return recording


def speech_of(path: Path) -> list[bytes]:
    found = ogg.pages(path.read_bytes(), check=False)
    return [one for one in ogg.packets(found)[2:] if one.startswith(b"\xfc0")]


# ---------------------------------------------------------------------- names


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Anna", "Anna"),
        ("Änne / 1:2", "Änne _ 1_2"),
        ("../../etc/passwd", "_.._etc_passwd"),
        ('a<b>c:d"e|f?g*h\\i', "a_b_c_d_e_f_g_h_i"),
        ("", "_"),
        (" . ", "_"),
        ("CON", "_CON"),
        ("con.txt", "_con.txt"),
        ("lpt¹", "_lpt¹"),
        ("console", "console"),
        ("a\nb\x00c\x7f", "a_b_c_"),
        ("a\u202eb", "a_b"),
        ("name. ", "name"),
        ("\ud800", "_"),
    ],
)
def test_names_are_safe_on_all_systems(text: str, expected: str) -> None:
    assert safe_name(text) == expected


@given(st.text(max_size=500))
def test_every_name_is_safe_and_short(text: str) -> None:
    name = safe_name(text)
    assert 1 <= len(name.encode()) <= 201
    assert not set(name) & set('<>:"/\\|?*\0')
    assert name not in (".", "..")
    assert name[0] not in " ."
    assert name[-1] not in " ."
    assert safe_name(name) == name


def test_template_is_filled_with_name_and_time() -> None:
    assert expand("rec/{date}/{time} {name}.opus", "a/{date}", MOMENT) == Path("rec/2026-11-30/09-05-07 a_{date}.opus")
    assert expand("{other}.opus", "Anna", MOMENT) == Path("{other}.opus")


def test_existing_files_are_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "a.opus"
    path.write_bytes(b"mine")
    second = tmp_path / "a (2).opus"
    if sys.platform == "win32":
        second.touch()
    else:
        second.symlink_to(tmp_path / "elsewhere")
    third, descriptor = create(path, b"new")
    os.close(descriptor)
    assert third == tmp_path / "a (3).opus"
    assert (path.read_bytes(), third.read_bytes()) == (b"mine", b"new")
    assert not (tmp_path / "elsewhere").exists()
    assert len(list(tmp_path.iterdir())) == 3, "nothing temporary is left"


def test_file_system_without_links_is_supported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    (tmp_path / "a.opus").touch()
    path, descriptor = create(tmp_path / "a.opus", b"new")
    os.close(descriptor)
    assert path.name == "a (2).opus"
    assert path.read_bytes() == b"new"
    assert len(list(tmp_path.iterdir())) == 2


# ---------------------------------------------------------------------- one file


def test_new_file_is_valid_before_anything_is_written(tmp_path: Path) -> None:
    recording = opened(tmp_path)
    data = recording.paths[0].read_bytes()
    assert len(ogg.pages(data)) == 3
    assert ogg.pre_skip(data) == 3_840
    assert ogg.comments(data) == {
        "TITLE": "Anna",
        "DATE": datetime.fromtimestamp(UNIX_S).astimezone().isoformat(timespec="milliseconds"),
        "ENCODER": "bass-webrtc 9",
    }
    assert recording.size_bytes == len(data)
    recording.abandon()
    recording.abandon()


def test_file_grows_by_whole_pages_and_ends_at_a_sample(tmp_path: Path) -> None:
    recording = opened(tmp_path)
    path = recording.paths[0]
    for number in range(100):
        recording.write(packet(number), FRAME)
        assert len(speech_of(path)) >= number - 25, "at most half a second and a packet waits"
    recording.finish(100 * FRAME - 500)
    last = ogg.pages(path.read_bytes())[-1]
    assert last.flags == ogg.LAST
    assert last.granule == 3_840 + 100 * FRAME - 500
    assert speech_of(path) == [packet(number) for number in range(100)]
    assert recording.size_bytes == path.stat().st_size


def test_recording_without_packets_ends_validly(tmp_path: Path) -> None:
    recording = opened(tmp_path)
    recording.finish(0)
    last = ogg.pages(recording.paths[0].read_bytes())[-1]
    assert (last.flags, last.granule, last.lacing) == (ogg.LAST, 3_840, b"")


# ---------------------------------------------------------------------- rotation


@pytest.mark.parametrize("length", [48_000, 50_000, 48_960])
def test_files_add_up_and_repeat_only_what_players_drop(tmp_path: Path, length: int) -> None:
    recording = opened(tmp_path, "{name}.opus", length)
    for number in range(300):
        recording.write(packet(number), FRAME)
    end = 300 * FRAME - 100
    recording.finish(end)
    assert [path.name for path in recording.paths[:2]] == ["Anna.opus", "Anna (2).opus"]
    total = 0
    for index, path in enumerate(recording.paths):
        data = path.read_bytes()
        samples = ogg.pages(data)[-1].granule - ogg.pre_skip(data)
        assert samples == (length if index < len(recording.paths) - 1 else end - index * length)
        total += samples
        first = int(speech_of(path)[0][1:])
        begins = 0 if index == 0 else first * FRAME
        assert ogg.pre_skip(data) == (3_840 if index == 0 else index * length - begins)
        assert ogg.pre_skip(data) >= 3_840, "time for a decoder to converge (RFC 7845, 4.2)"
        numbers = [int(one[1:]) for one in speech_of(path)]
        assert numbers == list(range(numbers[0], numbers[-1] + 1)), "nothing is missing"
    assert total == end
    assert recording.size_bytes == sum(path.stat().st_size for path in recording.paths)


def test_every_file_is_valid_from_its_beginning(tmp_path: Path) -> None:
    """opusdec refuses a file whose first page ends before the pre-skip does."""
    recording = opened(tmp_path, rotate_samples=50_000)
    for number in range(200):
        recording.write(packet(number), FRAME)
        data = recording.paths[-1].read_bytes()
        assert ogg.pages(data, check=False)[2].granule >= ogg.pre_skip(data)
    recording.abandon()


@pytest.mark.parametrize("end", [48_000, 48_010, 48_500, 48_900, 48_970])
def test_end_near_a_change_of_files_is_trimmed(tmp_path: Path, end: int) -> None:
    recording = opened(tmp_path, rotate_samples=48_500)
    for number in range(-(-end // FRAME)):
        recording.write(packet(number), FRAME)
    recording.finish(end)
    contents = [path.read_bytes() for path in recording.paths]
    assert sum(ogg.pages(data)[-1].granule - ogg.pre_skip(data) for data in contents) == end
    assert len(contents) == (1 if end <= 48_960 else 2)


# ---------------------------------------------------------------------- errors


def test_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        opened(tmp_path, "missing/a.opus")
    with pytest.raises(OSError, match="not a file name"):
        opened(tmp_path, "a\0b.opus")
    assert list(tmp_path.iterdir()) == []


def test_full_disk_leaves_no_file_or_a_valid_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = 0
    real = os.write

    def write(descriptor: int, data: memoryview) -> int:
        """A disk with 3,000 bytes, which accepts a part of a page."""
        nonlocal written
        room = 3_000 - written
        if room <= 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        count = real(descriptor, bytes(data[:room]))
        written += count
        return count

    monkeypatch.setattr(os, "write", write)
    recording = opened(tmp_path)

    def fill() -> None:
        for number in range(1_000):
            recording.write(packet(number), FRAME)

    with pytest.raises(OSError, match="No space"):
        fill()
    recording.abandon()
    assert speech_of(recording.paths[0])[-1] > packet(50)
    assert ogg.pages(recording.paths[0].read_bytes())
    with pytest.raises(OSError, match="No space"):
        opened(tmp_path, "b.opus")
    assert [path.name for path in tmp_path.iterdir()] == ["a.opus"]
