"""Errors for files, URLs and devices that cannot be opened; opened channels are freed."""

from __future__ import annotations

import contextlib
import ctypes
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from bass_webrtc.bass import BassLibrary, channels, devices, find_bass, open_file, open_recording
from bass_webrtc.bass.devices import Device
from bass_webrtc.bass.error_names import ERROR_ALREADY
from bass_webrtc.bass.library import FAILED_DWORD, ChannelInfo
from bass_webrtc.errors import BassError, ConfigError
from support import media
from support.media_server import MediaServer


@pytest.fixture(scope="module")
def bass() -> BassLibrary:
    return find_bass()


def _is_alive(bass: BassLibrary, handle: int) -> bool:
    return bass.try_call("BASS_ChannelGetInfo", handle, ctypes.byref(ChannelInfo())) != 0


def test_no_sound_device_is_initialised_only_if_no_device_is(bass: BassLibrary, tmp_path: Path) -> None:
    functions = ctypes.CDLL(str(bass.path))
    while bass.try_call("BASS_GetDevice") != FAILED_DWORD:
        functions.BASS_Free()
    path = media.write_tone(tmp_path / "tone.wav", seconds=0.1)
    with open_file(path):
        assert bass.call("BASS_GetDevice") == 0
        with open_file(path):
            assert bass.call("BASS_GetDevice") == 0


class _SlowDevice(BassLibrary):
    """BASS on a slow machine: to a second thread it says ALREADY before the device of the first one works."""

    def __init__(self, bass: BassLibrary) -> None:
        self.__dict__ = dict(bass.__dict__)
        self.initialising = threading.Event()

    def try_call(self, name: str, *arguments: Any) -> int:
        if name != "BASS_Init":
            return super().try_call(name, *arguments)
        if self.initialising.is_set():
            self.set_last_error_code(ERROR_ALREADY)
            return 0
        self.initialising.set()
        time.sleep(0.1)
        return super().try_call(name, *arguments)


def test_threads_that_open_the_first_channels_at_once_wait_for_the_device(bass: BassLibrary, tmp_path: Path) -> None:
    """As the channels of a server do."""
    functions = ctypes.CDLL(str(bass.path))
    while bass.try_call("BASS_GetDevice") != FAILED_DWORD:
        functions.BASS_Free()
    path = media.write_tone(tmp_path / "tone.wav", seconds=0.1)
    library = _SlowDevice(bass)

    def open_and_close() -> None:
        open_file(path, library=library).close()

    with ThreadPoolExecutor() as threads:
        first = threads.submit(open_and_close)
        assert library.initialising.wait(10.0)
        second = threads.submit(open_and_close)
        first.result()
        second.result()


def test_input_is_opened_again_by_its_name_wherever_it_is_now(monkeypatch: pytest.MonkeyPatch) -> None:
    """While it is away, or disabled, another input at its index is not taken for it."""
    opened: list[int] = []

    @contextlib.contextmanager
    def select(_library: object, index: int, _hint: str) -> Iterator[None]:
        opened.append(index)
        yield

    def have(*found: Device) -> None:
        for module in (channels, devices):
            monkeypatch.setattr(module, "inputs", lambda _library: found)

    monkeypatch.setattr(channels, "_recording_device", select)
    monkeypatch.setattr(channels, "_start_recording", lambda *_: 77)
    monkeypatch.setattr(channels, "_checked", lambda _library, handle, _free: SimpleNamespace(handle=handle))
    mixer, camera = Device(1, "Mixer", "hw:1", False, True), Device(2, "Camera", "hw:2", True, True)
    have(mixer, camera)
    library = cast(BassLibrary, object())
    lost = open_recording(2, library=library)
    assert lost.device == camera
    for others in ((mixer,), (mixer, replace(camera, is_enabled=False)), (replace(mixer, index=2),)):
        have(*others)
        with pytest.raises(BassError, match="the input 'Camera' is not available"):
            channels.reopen_recording(lost)
    have(mixer, replace(mixer, index=2), replace(camera, index=5))
    assert channels.reopen_recording(lost).device == camera
    assert opened == [2, 5]
    default = open_recording(None, library=library)
    have(mixer, replace(camera, index=0))
    channels.reopen_recording(default)
    assert opened[-1] == 0


def test_close_frees_channel_once(bass: BassLibrary, tmp_path: Path) -> None:
    channel = open_file(media.write_tone(tmp_path / "tone.wav", seconds=0.1))
    other = open_file(tmp_path / "tone.wav")
    assert _is_alive(bass, channel.handle)
    channel.close()
    channel.close()
    assert not _is_alive(bass, channel.handle)
    assert _is_alive(bass, other.handle)
    other.close()


def test_close_after_bass_free_raises_nothing(bass: BassLibrary, tmp_path: Path) -> None:
    channel = open_file(media.write_tone(tmp_path / "tone.wav", seconds=0.1))
    ctypes.CDLL(str(bass.path)).BASS_Free()
    channel.close()


def test_close_frees_tracker_music(bass: BassLibrary, tmp_path: Path) -> None:
    channel = open_file(media.write_module(tmp_path / "tone.mod"))
    channel.close()
    assert not _is_alive(bass, channel.handle)


@pytest.mark.parametrize("name", ["no such file.mp3", "", "a" * 5000])
def test_missing_file_is_named_in_error(name: str) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        open_file(name)


def test_path_with_nul_is_rejected(tmp_path: Path) -> None:
    path = media.write_tone(tmp_path / "tone.wav", seconds=0.1)
    with pytest.raises(ConfigError, match="NUL"):
        open_file(f"{path}\0.txt")


def test_folder_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is a folder"):
        open_file(tmp_path)


@pytest.mark.parametrize("content", [b"", b"no audio", b"RIFF", b"ID3" + bytes(2000), bytes(100_000)])
def test_file_without_audio_raises_bass_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "song.mp3"
    path.write_bytes(content)
    with pytest.raises(BassError, match=r"song\.mp3.*plugin") as caught:
        open_file(path)
    assert caught.value.call == "BASS_StreamCreateFile"
    assert caught.value.name == "BASS_ERROR_FILEFORM"


def test_file_name_may_contain_any_characters(tmp_path: Path) -> None:
    path = media.write_tone(tmp_path / "tone.wav", seconds=0.1).rename(tmp_path / "Lied ä ♪ 🎵.wav")
    open_file(path).close()


def test_plugin_opens_flac(bass: BassLibrary, tmp_path: Path) -> None:
    names = [path.name for path in channels.load_plugins(bass)]
    if not any("bassflac" in name for name in names):
        pytest.skip("no BASSFLAC beside BASS")
    open_file(media.write_tone(tmp_path / "tone.flac", seconds=0.1)).close()


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/radio.mp3", "gopher://127.0.0.1/", "HTTP://127.0.0.1:1/"])
def test_unreachable_url_raises_bass_error(url: str) -> None:
    with pytest.raises(BassError, match=r"check that .* is correct, reachable and audio") as caught:
        open_file(url)
    assert caught.value.call == "BASS_StreamCreateURL"


def test_url_without_audio_raises_bass_error(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("<html>" * 1000, encoding="utf-8")
    with MediaServer(tmp_path) as server:
        for name in ("page.html", "nothing.mp3"):
            with pytest.raises(BassError, match="BASS_StreamCreateURL"):
                open_file(f"{server.origin}/{name}")


def test_playlist_url_is_opened_and_setting_is_restored(bass: BassLibrary, tmp_path: Path) -> None:
    media.write_tone(tmp_path / "tone.mp3", seconds=0.5)
    before = bass.call("BASS_GetConfig", channels.CONFIG_NET_PLAYLIST)
    with MediaServer(tmp_path) as server:
        (tmp_path / "radio.m3u").write_text(f"#EXTM3U\n{server.origin}/tone.mp3\n", encoding="utf-8")
        with open_file(f"{server.origin}/radio.m3u") as channel:
            assert channel.source.sample_rate_hz == 44_100
    assert bass.call("BASS_GetConfig", channels.CONFIG_NET_PLAYLIST) == before


def test_unknown_input_device_raises_bass_error() -> None:
    with pytest.raises(BassError, match=r"BASS_ERROR_DEVICE.*bass-webrtc devices"):
        open_recording(999)
