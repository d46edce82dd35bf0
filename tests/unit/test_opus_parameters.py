"""Opus parameters in SDP (RFC 7587)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bass_webrtc.rtc.opus_parameters import OpusParameters
from support.conformance import covers

DEFAULTS = OpusParameters()


def test_empty_parameters_have_the_defaults_of_the_rfc() -> None:
    assert OpusParameters.parse("") == DEFAULTS
    assert not DEFAULTS.stereo
    assert DEFAULTS.max_average_bitrate_bps is None
    assert DEFAULTS.max_playback_rate_hz == 48_000


@covers("OP4")
@pytest.mark.parametrize(
    "text",
    [
        "stereo=1;useinbandfec=1;maxaveragebitrate=96000",
        "stereo=1; useinbandfec=1; maxaveragebitrate=96000;",
        " Stereo = 1 ;USEINBANDFEC=1;;MaxAverageBitrate=96000;minptime=10;x-unknown;=;",
        "stereo=1;useinbandfec=1;maxaveragebitrate=96000;stereo=0",
    ],
    ids=["plain", "blanks", "capitals", "duplicate"],
)
def test_spaces_capitals_duplicates_and_unknown_parameters_are_tolerated(text: str) -> None:
    expected = OpusParameters(stereo=True, use_inband_fec=True, max_average_bitrate_bps=96_000)
    assert OpusParameters.parse(text) == expected


@covers("OP4")
@pytest.mark.parametrize("value", ["true", "2", "-1", "", "1.0", "١", "9" * 5000])
def test_flag_other_than_1_is_off(value: str) -> None:
    assert OpusParameters.parse(f"stereo={value}") == DEFAULTS


@covers("OP4")
@pytest.mark.parametrize("value", ["5999", "510001", "-64000", "64k", "", "9" * 5000])
def test_bitrate_out_of_range_is_ignored(value: str) -> None:
    assert OpusParameters.parse(f"maxaveragebitrate={value}").max_average_bitrate_bps is None


@pytest.mark.parametrize(("value", "expected"), [("8000", 8_000), ("16000", 16_000), ("7999", 48_000), ("x", 48_000)])
def test_playback_rate_out_of_range_is_ignored(value: str, expected: int) -> None:
    assert OpusParameters.parse(f"maxplaybackrate={value}").max_playback_rate_hz == expected


def test_flags_are_written_as_digits() -> None:
    everything = OpusParameters(True, True, 64_000, 16_000, True, True, True)
    assert everything.to_fmtp() == (
        "stereo=1;sprop-stereo=1;useinbandfec=1;usedtx=1;cbr=1;maxaveragebitrate=64000;maxplaybackrate=16000"
    )
    assert DEFAULTS.to_fmtp() == ""


@given(
    st.builds(
        OpusParameters,
        stereo=st.none() | st.booleans(),
        sprop_stereo=st.booleans(),
        max_average_bitrate_bps=st.none() | st.integers(6_000, 510_000),
        max_playback_rate_hz=st.integers(8_000, 48_000),
        use_inband_fec=st.booleans(),
        use_dtx=st.booleans(),
        cbr=st.booleans(),
    )
)
def test_serialized_parameters_are_parsed_back(parameters: OpusParameters) -> None:
    assert OpusParameters.parse(parameters.to_fmtp()) == parameters


@covers("SE70")
@given(st.text())
def test_any_text_yields_parameters_in_range(text: str) -> None:
    parameters = OpusParameters.parse(text)
    assert 8_000 <= parameters.max_playback_rate_hz <= 48_000
