"""Ogg Opus files: pages, headers, granule positions, and packets for audio that is missing (RFC 7845, RFC 3533).

    OpusHead page ─► OpusTags page ─► audio pages: header, lacing, whole packets ─► … ─► last page, end trimmed

Sans-I/O: ``OggOpusMuxer`` returns the bytes to append. Each page holds whole packets only and at most
``MAX_PAGE_SAMPLES`` of audio, so a file that ends after any page is valid. The packets follow each other without gaps,
because decoders count the samples of the packets, whatever the granule positions say: missing audio becomes
packets (RFC 7845, 4.1).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from struct import Struct

MAX_PAGE_SAMPLES = 24_000
"""Half a second: what a killed process can lose of its file, beside the packets that it has not been given yet."""
GRAIN_SAMPLES = 120
"""2.5 ms: the duration of every Opus packet is a multiple."""
MAX_PACKET_SAMPLES = 5_760
"""120 ms (RFC 6716, 3.2.5)."""

_page = Struct("<4sBBqIII")
_CAPTURE = b"OggS"
_FIRST, _LAST = 0x02, 0x04
_CHECKSUM = slice(22, 26)
_MAX_SEGMENTS = 255
_SEGMENT_BYTES = 255
_head = Struct("<8sBBHIhB")
_u32 = Struct("<I")
_INPUT_RATE_HZ = 48_000

_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_ONES = 0xFFFFFFFF


def checksum(page: bytes | bytearray) -> int:
    """Return the CRC of a page whose own checksum is zero (RFC 3533, 6).

    zlib computes the same polynomial with the bits of each byte and of the result reversed, and inverts the register
    before and after.
    """
    reflected = zlib.crc32(page.translate(_REVERSED), _ONES) ^ _ONES
    return int.from_bytes(_u32.pack(reflected).translate(_REVERSED), "big")


# ---------------------------------------------------------------------- packets for missing audio

_CODE = 0x03
_STEREO = 0x04
_SILENCE_TOC = 0xFC
"""CELT, full band, 20 ms, stereo, one frame."""
_SILENT_FRAME = b"\xff\xfe"
"""A CELT frame whose first bit says that it is silent (RFC 6716, 4.3)."""
_CELT_SAMPLES = (120, 240, 480, 960)
_SILK_SAMPLES = (480, 960, 1_920, 2_880)
_CELT_LIKE = (16, 20, 20, 24, 28)
"""Configuration of CELT's shortest frames with about the bandwidth of narrow, medium and wide band SILK, and of the
hybrids."""


def _configurations(toc: int) -> dict[int, int]:
    """Return the configuration for each frame duration of the same bandwidth, longest first (RFC 6716, 3.1)."""
    configuration = toc >> 3
    durations: tuple[int, ...]
    if configuration >= 16:
        base, durations = configuration & ~3, _CELT_SAMPLES
    elif configuration >= 12:
        base, durations = configuration & ~1, _SILK_SAMPLES[:2]
    else:
        base, durations = configuration & ~3, _SILK_SAMPLES
    found = {samples: base + index for index, samples in enumerate(durations)}
    if configuration < 16:  # There are no shorter frames of this mode.
        celt = _CELT_LIKE[min(configuration, 12) // 4 + (configuration >= 14)]
        found |= {samples: celt + index for index, samples in enumerate(_CELT_SAMPLES[:2])}
    return dict(sorted(found.items(), reverse=True))


def frame_samples(toc: int) -> int:
    """Return the duration of one frame of a packet that starts with this byte (RFC 6716, 3.1)."""
    configuration = toc >> 3
    if configuration >= 16:
        return _CELT_SAMPLES[configuration & 3]
    return _SILK_SAMPLES[configuration & 1 if configuration >= 12 else configuration & 3]


def concealed(samples: int, toc: int) -> Iterator[tuple[bytes, int]]:
    """Yield packets without content and their durations: the decoder conceals what is missing (RFC 7845, 4.1).

    Args:
        samples: To fill; a multiple of ``GRAIN_SAMPLES``.
        toc: First byte of the packet before, whose mode the decoder continues.
    """
    own = frame_samples(toc)
    configurations = _configurations(toc)
    for duration in (own, *(shorter for shorter in configurations if shorter < own)):
        frames, samples = divmod(samples, duration)
        start = configurations[duration] << 3 | toc & _STEREO
        while frames > 0:
            count = min(frames, MAX_PACKET_SAMPLES // duration)
            yield bytes((start,)) if count == 1 else bytes((start | _CODE, count)), count * duration
            frames -= count


def silent(samples: int) -> Iterator[tuple[bytes, int]]:
    """Yield packets of digital silence and their durations, for a multiple of ``GRAIN_SAMPLES``."""
    for duration in reversed(_CELT_SAMPLES):
        frames, samples = divmod(samples, duration)
        start = _SILENCE_TOC & ~0x18 | _CELT_SAMPLES.index(duration) << 3
        while frames > 0:
            count = min(frames, MAX_PACKET_SAMPLES // duration)
            head = bytes((start,)) if count == 1 else bytes((start | _CODE, count))
            yield head + _SILENT_FRAME * count, count * duration
            frames -= count


# ---------------------------------------------------------------------- muxer


def _opus_head(channels: int, pre_skip: int) -> bytes:
    """Return the identification header (RFC 7845, 5.1): version 1, no gain, mapping family 0."""
    return _head.pack(b"OpusHead", 1, channels, pre_skip, _INPUT_RATE_HZ, 0, 0)


def _opus_tags(vendor: str, tags: Mapping[str, str]) -> bytes:
    """Return the comment header (RFC 7845, 5.2)."""
    comments = [f"{name}={value}".encode(errors="replace") for name, value in tags.items()]
    parts = [b"OpusTags", _sized(vendor.encode(errors="replace")), _u32.pack(len(comments)), *map(_sized, comments)]
    return b"".join(parts)


def _sized(text: bytes) -> bytes:
    return _u32.pack(len(text)) + text


class OggOpusMuxer:
    """Makes the bytes of one Ogg Opus file. Not thread-safe.

    Attributes:
        samples: Of all packets so far. The file's time is ``samples - pre_skip``.
        pre_skip: Samples that a player drops at the start (RFC 7845, 4.2).
    """

    def __init__(self, serial: int, pre_skip: int, vendor: str, tags: Mapping[str, str], channels: int = 2) -> None:
        """
        Args:
            serial: Of the stream: any number of 32 bits, another one for each file.
            pre_skip: Samples that a player drops at the start, 0 to 65535.
            vendor: Name of the program.
            tags: Comments by name, such as ``TITLE``.
            channels: That a player outputs: 1 or 2. Packets may have either.
        """
        self.samples = 0
        self.pre_skip = pre_skip
        self._serial = serial
        self._sequence = 0
        self._headers = [_opus_head(channels, pre_skip), _opus_tags(vendor, tags)]
        self._packets: list[bytes] = []
        self._segments = 0
        self._page_samples = 0

    def headers(self) -> bytes:
        """Return the first pages: each header has its own (RFC 7845, 3). To be called first, once."""
        identification, comments = self._headers
        pages = [self._make_page([identification], 0, _FIRST)]
        # A comment header may span pages; only the page on which it ends has a granule position (RFC 3533, 6).
        room = _MAX_SEGMENTS * _SEGMENT_BYTES
        while len(comments) >= room:
            pages.append(self._continued_page(comments[:room], is_continued=len(pages) > 1))
            comments = comments[room:]
        pages.append(self._make_page([comments], 0, 0x01 if len(pages) > 1 else 0))
        return b"".join(pages)

    def write(self, packet: bytes, samples: int) -> bytes:
        """Add a packet of this duration; return the page that is complete now, or nothing."""
        segments = len(packet) // _SEGMENT_BYTES + 1
        page = b""
        if self._segments + segments > _MAX_SEGMENTS or self._page_samples + samples > MAX_PAGE_SAMPLES:
            page = self.flush()
        self._packets.append(packet)
        self._segments += segments
        self._page_samples += samples
        self.samples += samples
        return page

    def flush(self) -> bytes:
        """Return a page of the packets that wait, or nothing."""
        return self._take_page(self.samples, 0) if self._packets else b""

    def finish(self, trimmed: int = 0) -> bytes:
        """Return the last page. Nothing may be written after it.

        Args:
            trimmed: Samples that a player drops at the end (RFC 7845, 4.4), less than the last packet has.
        """
        return self._take_page(self.samples - trimmed, _LAST)

    def _take_page(self, granule: int, flags: int) -> bytes:
        page = self._make_page(self._packets, granule, flags)
        self._packets, self._segments, self._page_samples = [], 0, 0
        return page

    def _make_page(self, packets: list[bytes], granule: int, flags: int) -> bytes:
        lacing = b"".join(
            b"\xff" * (len(packet) // _SEGMENT_BYTES) + bytes((len(packet) % _SEGMENT_BYTES,)) for packet in packets
        )
        return self._checked_page(lacing, b"".join(packets), granule, flags)

    def _continued_page(self, part: bytes, *, is_continued: bool) -> bytes:
        return self._checked_page(b"\xff" * _MAX_SEGMENTS, part, -1, 0x01 if is_continued else 0)

    def _checked_page(self, lacing: bytes, body: bytes, granule: int, flags: int) -> bytes:
        header = _page.pack(_CAPTURE, 0, flags, granule, self._serial, self._sequence, 0)
        page = bytearray(b"".join((header, bytes((len(lacing),)), lacing, body)))
        page[_CHECKSUM] = _u32.pack(checksum(page))
        self._sequence = (self._sequence + 1) & _ONES
        return bytes(page)
