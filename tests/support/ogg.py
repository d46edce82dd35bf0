"""Reads Ogg Opus files (RFC 3533, RFC 7845) independently of the product, and decodes them with other programs."""

from __future__ import annotations

import shutil
import struct
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .ffmpeg_programs import program

Samples = NDArray[np.float32]

FIRST, LAST = 2, 4


@dataclass(frozen=True)
class Page:
    """One page whose checksum is right."""

    flags: int
    granule: int
    serial: int
    sequence: int
    lacing: bytes
    body: bytes


def slow_checksum(page: bytes) -> int:
    """Return the CRC bit by bit: polynomial 0x04c11db7, no inversion (RFC 3533, 6)."""
    value = 0
    for byte in page:
        value ^= byte << 24
        for _ in range(8):
            value = (value << 1 ^ (0x04C11DB7 if value >> 31 else 0)) & 0xFFFFFFFF
    return value


def pages(data: bytes, *, check: bool = True) -> list[Page]:
    """Return the pages of a whole file; the slow check of their checksums is optional."""
    found = []
    while data:
        magic, version, flags, granule, serial, sequence, checksum, segments = struct.unpack_from("<4sBBqIIIB", data)
        assert magic == b"OggS"
        assert version == 0
        lacing = data[27 : 27 + segments]
        end = 27 + segments + sum(lacing)
        assert end <= len(data), "the last page is torn"
        if check:
            assert slow_checksum(data[:22] + bytes(4) + data[26:end]) == checksum
        found.append(Page(flags, granule, serial, sequence, lacing, data[27 + segments : end]))
        data = data[end:]
    return found


def packets(found: list[Page]) -> list[bytes]:
    """Return the packets of all pages."""
    result, packet = [], b""
    for page in found:
        at = 0
        for size in page.lacing:
            packet += page.body[at : at + size]
            at += size
            if size < 255:
                result.append(packet)
                packet = b""
    return result


def pre_skip(data: bytes) -> int:
    """Return the pre-skip of a file: its first page has one packet of one segment."""
    assert data[28:36] == b"OpusHead"
    return int(struct.unpack_from("<H", data, 38)[0])


def comments(data: bytes) -> dict[str, str]:
    """Return the tags of a file."""
    tags = packets(pages(data, check=False))[1]
    assert tags[:8] == b"OpusTags"
    fields, at = [], 8
    (size,) = struct.unpack_from("<I", tags, at)
    at += 4 + size
    (count,) = struct.unpack_from("<I", tags, at)
    at += 4
    for _ in range(count):
        (size,) = struct.unpack_from("<I", tags, at)
        fields.append(tags[at + 4 : at + 4 + size].decode())
        at += 4 + size
    assert at == len(tags)
    return dict(field.split("=", 1) for field in fields)


# ---------------------------------------------------------------------- other programs


class Refused(Exception):
    """A decoder has reported an error or warning."""


def _run(*command: str) -> bytes:
    result = subprocess.run(command, capture_output=True, check=False, timeout=60)
    is_empty = b"Output file is empty" in result.stderr  # FFmpeg warns of a file without samples.
    if result.returncode or (result.stderr.strip() and not is_empty):
        raise Refused(f"{command[0]}: {result.returncode}: {result.stderr.decode(errors='replace')}")
    return result.stdout


def _ffmpeg(decoder: str) -> Callable[[Path], Samples]:
    def decode(path: Path) -> Samples:
        options = ("-v", "warning", "-nostdin", "-c:a", decoder, "-i", str(path), "-f", "f32le", "-ac", "2", "-")
        executable = program(9)
        assert executable is not None, missing()
        return np.frombuffer(_run(executable, *options), "<f4").reshape(-1, 2)

    return decode


def _opusdec(path: Path) -> Samples:
    options = ("--quiet", "--float", "--rate", "48000", "--force-stereo", "--no-dither")
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "out.wav"
        _run("opusdec", *options, str(path), str(output))
        wav = output.read_bytes()
    start = wav.index(b"data") + 8
    return np.frombuffer(wav[start : len(wav) - (len(wav) - start) % 8], "<f4").reshape(-1, 2)


DECODERS: dict[str, Callable[[Path], Samples]] = {
    "ffmpeg": _ffmpeg("opus"),
    "ffmpeg-libopus": _ffmpeg("libopus"),
    "opusdec": _opusdec,
}


def missing() -> str | None:
    """Return what is missing on this machine, for ``pytest.skip``; None if nothing is."""
    if shutil.which("opusdec") and program(9):
        return None
    return "needs Debian's opus-tools and PyPI's imageio-ffmpeg"


def clicks(samples: Samples, threshold: float = 0.3, distance: int = 4_800) -> list[int]:
    """Return where the left channel becomes loud, at least ``distance`` samples apart."""
    found: list[int] = []
    for place in np.flatnonzero(np.abs(samples[:, 0]) > threshold):
        if not found or place - found[-1] > distance:
            found.append(int(place))
    return found
