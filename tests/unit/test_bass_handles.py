"""Handles that can be a source, and errors for those that cannot."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bass_webrtc.bass import BassLibrary, find_bass, open_source
from bass_webrtc.bass.channels import MUSIC_STOPBACK, SAMPLE_FLOAT
from bass_webrtc.bass.source import STREAM_DECODE
from bass_webrtc.errors import BassError, ConfigError
from support import media

SAMCHAN_STREAM = 2


@pytest.fixture(scope="module")
def bass() -> BassLibrary:
    library = find_bass()
    library.try_call("BASS_Init", 0, 48_000, 0, None, None)
    return library


@pytest.fixture
def stream(bass: BassLibrary, tmp_path: Path) -> Iterator[Callable[..., int]]:
    """Factory of streams of a WAV file, with BASS flags."""
    made: list[int] = []

    def make(flags: int, sample_rate_hz: int = 44_100, right_hz: float | None = 880.0) -> int:
        path = media.write_tone(tmp_path / "tone.wav", right_hz=right_hz, seconds=0.1, sample_rate_hz=sample_rate_hz)
        made.append(bass.call("BASS_StreamCreateFile", False, str(path).encode(), 0, 0, flags))
        return made[-1]

    yield make
    for handle in made:
        bass.try_call("BASS_StreamFree", handle)


@pytest.mark.parametrize("flags", [STREAM_DECODE, STREAM_DECODE | SAMPLE_FLOAT])
@pytest.mark.parametrize(("sample_rate_hz", "right_hz"), [(44_100, 880.0), (8_000, None), (192_000, 880.0)])
def test_decoding_channel_of_any_rate_is_accepted(
    bass: BassLibrary, stream: Callable[..., int], flags: int, sample_rate_hz: int, right_hz: float | None
) -> None:
    handle = stream(flags, sample_rate_hz, right_hz)
    source = open_source(handle)
    assert (source.handle, source.sample_rate_hz, source.live) == (handle, sample_rate_hz, False)
    assert source.channels == (1 if right_hz is None else 2)
    assert source.get_data_address == bass.address_of("BASS_ChannelGetData")


def test_tracker_music_is_accepted(bass: BassLibrary, tmp_path: Path) -> None:
    path = str(media.write_module(tmp_path / "tone.mod")).encode()
    music = bass.call("BASS_MusicLoad", False, path, 0, 0, STREAM_DECODE | MUSIC_STOPBACK, 48_000)
    try:
        assert open_source(music).sample_rate_hz == 48_000
    finally:
        bass.call("BASS_MusicFree", music)


def test_negative_handle_from_wrapper_is_accepted(stream: Callable[..., int]) -> None:
    handle = stream(STREAM_DECODE)
    assert handle >= 2**31
    assert open_source(handle - 2**32).handle == handle


def test_error_for_playing_channel_says_how_to_create_it(stream: Callable[..., int]) -> None:
    with pytest.raises(ConfigError, match=r"plays on a device.*BASS_STREAM_DECODE.*BASS_Split_StreamCreate"):
        open_source(stream(0))


def test_error_for_playing_sample_says_how_to_create_channel(bass: BassLibrary, tmp_path: Path) -> None:
    functions = ctypes.CDLL(str(bass.path))
    dword = ctypes.c_uint32
    functions.BASS_SampleLoad.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_uint64, dword, dword, dword]
    functions.BASS_SampleLoad.restype = functions.BASS_SampleGetChannel.restype = dword
    functions.BASS_SampleGetChannel.argtypes = [dword, dword]
    functions.BASS_SampleFree.argtypes = [dword]
    path = str(media.write_tone(tmp_path / "tone.wav", seconds=0.1)).encode()
    sample = functions.BASS_SampleLoad(0, path, 0, 0, 1, 0)
    try:
        with pytest.raises(BassError, match=r"the handle is a sample.*BASS_SampleGetChannel"):
            open_source(sample)
        with pytest.raises(ConfigError, match=r"plays a sample.*BASS_SAMCHAN_STREAM"):
            open_source(functions.BASS_SampleGetChannel(sample, 0))
        assert open_source(functions.BASS_SampleGetChannel(sample, SAMCHAN_STREAM | STREAM_DECODE)).channels == 2
    finally:
        functions.BASS_SampleFree(sample)


def test_freed_handle_raises_bass_error(bass: BassLibrary, stream: Callable[..., int]) -> None:
    handle = stream(STREAM_DECODE)
    bass.call("BASS_StreamFree", handle)
    with pytest.raises(BassError, match="the channel has been freed") as caught:
        open_source(handle)
    assert caught.value.name == "BASS_ERROR_HANDLE"


def test_handle_of_another_copy_has_its_own_error(monkeypatch: pytest.MonkeyPatch) -> None:
    copies = (Path("/a/libbass.so"), Path("/b/libbass.so"))
    monkeypatch.setattr("bass_webrtc.bass.source.loaded_copies", lambda: copies)
    with pytest.raises(BassError, match="BASS is loaded 2 times"):
        open_source(12345)


@pytest.mark.parametrize("handle", [0, 2**32, -(2**31) - 1, True, 1.5, "1", None])
def test_invalid_handle_is_rejected(handle: object) -> None:
    with pytest.raises(ConfigError, match="handle"):
        open_source(handle)  # type: ignore[arg-type]


@pytest.mark.parametrize(("sample_rate_hz", "advice"), [(7_999, "7999 Hz"), (200_000, "200000 Hz")])
def test_unsupported_rate_is_rejected(stream: Callable[..., int], sample_rate_hz: int, advice: str) -> None:
    with pytest.raises(ConfigError, match=advice):
        open_source(stream(STREAM_DECODE, sample_rate_hz))


def test_more_than_eight_channels_are_rejected(bass: BassLibrary) -> None:
    functions = ctypes.CDLL(str(bass.path))
    functions.BASS_StreamCreate.restype = ctypes.c_uint32
    functions.BASS_StreamCreate.argtypes = [ctypes.c_uint32] * 3 + [ctypes.c_void_p] * 2
    push = ctypes.c_void_p(-1)  # STREAMPROC_PUSH
    handle = functions.BASS_StreamCreate(48_000, 9, STREAM_DECODE, push, None)
    try:
        with pytest.raises(ConfigError, match="9 channels; expected 1 to 8"):
            open_source(handle)
    finally:
        bass.call("BASS_StreamFree", handle)
