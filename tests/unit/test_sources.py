"""Which values are sources, and what ``PcmSource`` accepts."""

from __future__ import annotations

import numpy as np
import pytest

from bass_webrtc import BassFile, ConfigError, PcmSource, Server, Tone
from bass_webrtc.sources import open_for_core


@pytest.mark.parametrize("source", ["song.mp3", 1.5, True, b"x", object()])
def test_value_that_is_not_a_source_is_refused_by_the_constructor(source: object) -> None:
    with pytest.raises(ConfigError, match="expected a BASS handle"):
        Server(source)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "arguments",
    [{"hz": -1}, {"hz": 24_000}, {"right_hz": 1e9}, {"hz": float("nan")}, {"level_dbfs": 1}, {"level_dbfs": -np.inf}],
)
def test_tone_out_of_range_is_refused(arguments: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=r"(frequency|level_dbfs) is .*expected"):
        Tone(**arguments)


@pytest.mark.parametrize("arguments", [(7_999, 2), (192_001, 2), (48_000, 0), (48_000, 9), (48_000.0, 2)])
def test_pcm_rate_or_channel_count_out_of_range_is_refused(arguments: tuple[int, int]) -> None:
    with pytest.raises(ConfigError, match="expected"):
        PcmSource(*arguments)


def test_pcm_write_accepts_what_fits_and_returns_the_count() -> None:
    source = PcmSource(48_000, 2)
    assert source.space == 24_000
    assert source.write(np.zeros((20_000, 2), np.float32)) == 20_000
    assert source.write(np.zeros((20_000, 2), np.float32)) == 4_000
    assert source.write(np.zeros((1, 2), np.float32)) == 0
    assert source.write(np.zeros((0, 2), np.float32)) == 0
    assert source.space == 0


def test_pcm_write_accepts_other_types_and_layouts() -> None:
    source = PcmSource(48_000, 1)
    assert source.write([0.0, 0.5]) == 2
    assert source.write(np.zeros(10, np.int16)) == 10
    assert PcmSource().write(np.zeros((2, 10), np.float64).T) == 10


@pytest.mark.parametrize("shape", [(10,), (10, 1), (10, 3), (10, 2, 1), ()])
def test_pcm_write_refuses_other_shapes(shape: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match=r"expected \[frames, 2\]"):
        PcmSource().write(np.zeros(shape, np.float32))


def test_pcm_source_can_be_used_by_one_server_at_a_time() -> None:
    source = PcmSource()
    first = open_for_core(source)
    with pytest.raises(ConfigError, match="already in use"):
        open_for_core(source)
    first.close()
    open_for_core(source).close()


def test_missing_file_is_named_in_the_error() -> None:
    with pytest.raises(ConfigError, match=r"no-such-file\.mp3"):
        open_for_core(BassFile("no-such-file.mp3"))
