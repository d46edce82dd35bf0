"""Ogg Opus files: pages, headers, granule positions, and packets for missing audio."""

from __future__ import annotations

import itertools
import struct
from pathlib import Path

import av
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bass_webrtc.rtc.ogg_opus import (
    GRAIN_SAMPLES,
    MAX_PACKET_SAMPLES,
    MAX_PAGE_SAMPLES,
    OggOpusMuxer,
    checksum,
    concealed,
    frame_samples,
    silent,
)
from support import ogg

TOCS = st.integers(0, 255).map(lambda byte: byte & ~3)  # One frame.
GAPS = st.integers(1, 2_000).map(lambda grains: grains * GRAIN_SAMPLES)


def opus_samples(packet: bytes) -> int:
    """Return the duration of a packet of code 0 or 3 (RFC 6716, 3.2)."""
    assert packet[0] & 3 in (0, 3)
    frames = 1 if packet[0] & 3 == 0 else packet[1] & 0x3F
    return frames * frame_samples(packet[0])


def muxed(packets: list[tuple[bytes, int]], trimmed: int = 0, pre_skip: int = 0) -> bytes:
    muxer = OggOpusMuxer(7, pre_skip, "vendor", {"TITLE": "a"})
    return b"".join([muxer.headers(), *(muxer.write(*packet) for packet in packets), muxer.finish(trimmed)])


@given(st.binary(max_size=300))
def test_checksum_is_that_of_the_rfc(data: bytes) -> None:
    assert checksum(data) == ogg.slow_checksum(data)


def test_headers_have_a_page_each_and_say_what_is_asked_for() -> None:
    data = OggOpusMuxer(0xFFFFFFFE, 3_840, "bass-webrtc 1", {"TITLE": "Änne = x", "ARTIST": ""}).headers()
    first, second = ogg.pages(data)
    assert (first.flags, first.granule, first.sequence, first.serial) == (ogg.FIRST, 0, 0, 0xFFFFFFFE)
    assert (second.flags, second.granule, second.sequence) == (0, 0, 1)
    assert first.body == struct.pack("<8sBBHIhB", b"OpusHead", 1, 2, 3_840, 48_000, 0, 0)
    assert second.body.startswith(b"OpusTags\x0d\0\0\0bass-webrtc 1")
    assert ogg.comments(data) == {"TITLE": "Änne = x", "ARTIST": ""}


def test_comment_that_is_no_unicode_is_replaced() -> None:
    assert ogg.comments(OggOpusMuxer(1, 0, "", {"TITLE": "a\ud800b"}).headers()) == {"TITLE": "a?b"}


@pytest.mark.parametrize("length", [65_000, 65_025, 130_000, 200_000])
def test_long_comments_span_pages(length: int) -> None:
    data = OggOpusMuxer(1, 0, "", {"TITLE": "x" * length}).headers()
    found = ogg.pages(data)
    assert [page.flags for page in found[1:]] == [0] + [1] * (len(found) - 2)
    assert [page.granule for page in found[1:]] == [-1] * (len(found) - 2) + [0]
    assert ogg.comments(data) == {"TITLE": "x" * length}


@given(
    st.lists(
        st.tuples(st.binary(min_size=1, max_size=1_500), st.integers(1, 48).map(lambda n: n * GRAIN_SAMPLES)),
        min_size=1,
        max_size=300,
    ),
    st.integers(0, 119),
)
@settings(deadline=None, max_examples=50)
def test_pages_hold_the_packets_and_count_their_samples(packets: list[tuple[bytes, int]], trimmed: int) -> None:
    found = ogg.pages(muxed(packets, trimmed), check=False)
    assert ogg.packets(found)[2:] == [packet for packet, _ in packets]
    assert [page.sequence for page in found] == list(range(len(found)))
    assert [page.flags for page in found] == [ogg.FIRST] + [0] * (len(found) - 2) + [ogg.LAST]
    ends = list(itertools.accumulate(samples for _, samples in packets))
    before = taken = 0
    for page in found[2:]:
        taken += sum(size < 255 for size in page.lacing)
        is_last = page.flags == ogg.LAST
        assert page.granule == ends[taken - 1] - (trimmed if is_last else 0)
        assert page.granule - before <= MAX_PAGE_SAMPLES
        before = page.granule


def test_every_page_ends_a_valid_file() -> None:
    """What a killed process leaves."""
    muxer = OggOpusMuxer(7, 0, "v", {})
    data = muxer.headers()
    for index in range(500):
        page = muxer.write(b"\xfc" + bytes(index), 960)
        data += page
        if page:
            ogg.pages(data)
    assert len(ogg.pages(data)) > 20


@given(TOCS, GAPS)
def test_concealment_has_the_duration_of_the_gap(toc: int, gap: int) -> None:
    packets = list(concealed(gap, toc))
    assert sum(samples for _, samples in packets) == gap
    for packet, samples in packets:
        assert opus_samples(packet) == samples <= MAX_PACKET_SAMPLES
        assert len(packet) <= 2, "no content"
        assert packet[0] & 4 == toc & 4, "mono or stereo as before"


@given(TOCS)
def test_concealment_of_whole_frames_keeps_their_configuration(toc: int) -> None:
    packets = list(concealed(10 * frame_samples(toc), toc))
    assert {packet[0] & 0xF8 for packet, _ in packets} == {toc & 0xF8}


@given(GAPS)
def test_silence_has_the_duration_of_the_gap(gap: int) -> None:
    packets = list(silent(gap))
    assert sum(samples for _, samples in packets) == gap
    assert all(opus_samples(packet) == samples for packet, samples in packets)


@pytest.mark.parametrize("decoder", ["opus", "libopus"])
@pytest.mark.parametrize("configuration", range(32))
def test_ffmpeg_decodes_fillers_of_every_configuration(decoder: str, configuration: int, tmp_path: Path) -> None:
    gap = 61 * GRAIN_SAMPLES
    toc = configuration << 3
    packets = [*silent(960), *concealed(frame_samples(toc), toc), *concealed(gap, toc), *silent(gap)]
    path = tmp_path / "a.opus"
    path.write_bytes(muxed(packets, trimmed=7, pre_skip=312))
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        context = av.CodecContext.create(decoder, "r")
        assert isinstance(context, av.AudioCodecContext)
        context.extradata = stream.codec_context.extradata
        frames = [frame for packet in container.demux(stream) for frame in context.decode(packet)]
    samples = sum(frame.samples for frame in frames)
    assert samples == 960 + frame_samples(toc) + 2 * gap - 312 - 7
