"""Ogg Opus files on disk: safe names, a new file after a given time, and what remains valid whatever happens.

A file appears under its name with its headers and 80 ms of silence or earlier audio already written, and grows by whole
pages, one ``write`` each: decoders ignore a page that a killed process has left unfinished. Existing files are never
overwritten. Nothing here is thread-safe.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import sys
import unicodedata
from collections import deque
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from ..rtc.ogg_opus import OggOpusMuxer, silent

PREROLL_SAMPLES = 3_840
"""80 ms that players drop, after which a decoder that starts in the middle of a stream is right (RFC 7845, 4.2)."""

_MAX_NAME_BYTES = 200
_MAX_SAME_NAMES = 100_000
_FORBIDDEN = '<>:"/\\|?*'
_RESERVED = {"CON", "PRN", "AUX", "NUL", *(f"{port}{number}" for port in ("COM", "LPT") for number in "123456789¹²³")}
_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
_NO_LINKS = {errno.EPERM, errno.EACCES, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EXDEV, errno.EINVAL}


def safe_name(text: str) -> str:
    """Return a part of a file name that is valid on all systems, whatever a guest has typed.

    Characters that Windows forbids, control characters and those that change the direction of writing become ``_``. The
    result is never empty, never starts or ends with a dot or space, and has at most 200 bytes.
    """
    normal = unicodedata.normalize("NFC", text)
    plain = "".join("_" if _is_forbidden(character) else character for character in normal)
    short = plain.encode()[:_MAX_NAME_BYTES].decode(errors="ignore").strip(". ")
    if short.partition(".")[0].rstrip().upper() in _RESERVED:
        short = f"_{short}"
    return short or "_"


def _is_forbidden(character: str) -> bool:
    return character in _FORBIDDEN or unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")


def expand(template: str, name: str, moment: datetime) -> Path:
    """Return a path: ``{name}``, ``{date}`` and ``{time}`` in the template are replaced, safely on all systems."""
    for field, value in (
        ("{date}", f"{moment:%Y-%m-%d}"),
        ("{time}", f"{moment:%H-%M-%S}"),
        ("{name}", safe_name(name)),
    ):
        template = template.replace(field, value)
    return Path(template)


def _write_all(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def create(path: Path, content: bytes) -> tuple[Path, int]:
    """Create a file with this content; return its path and descriptor.

    Where a file has the name, the new one is called ``name (2)``. Nobody ever sees the file without its content, even
    when the process is killed, except on Windows and on file systems without hard links.

    Raises:
        OSError: The folder is missing, the disk is full …
    """
    try:
        return _create(path, content)
    except ValueError as error:  # A zero byte, or no Unicode.
        raise OSError(errno.EINVAL, f"not a file name: {error}", str(path)) from error


def _create(path: Path, content: bytes) -> tuple[Path, int]:
    if sys.platform != "win32":
        hidden = path.with_name(f".{secrets.token_hex(8)}.part")
        descriptor = _create_new(hidden, content)
        try:
            return _link(hidden, path), descriptor
        except (OSError, ValueError) as error:
            os.close(descriptor)
            if not isinstance(error, OSError) or error.errno not in _NO_LINKS:
                raise
        finally:
            hidden.unlink(missing_ok=True)
    for candidate in _candidates(path):
        with contextlib.suppress(FileExistsError):
            return candidate, _create_new(candidate, content)
    raise _all_exist(path)


def _candidates(path: Path) -> Iterator[Path]:
    yield path
    for number in range(2, _MAX_SAME_NAMES):
        yield path.with_name(f"{path.stem} ({number}){path.suffix}")


def _all_exist(path: Path) -> OSError:
    return FileExistsError(errno.EEXIST, f"the file and {_MAX_SAME_NAMES - 2} numbered ones exist", str(path))


def _link(hidden: Path, path: Path) -> Path:
    for candidate in _candidates(path):
        with contextlib.suppress(FileExistsError):
            os.link(hidden, candidate)
            return candidate
    raise _all_exist(path)


def _create_new(path: Path, content: bytes) -> int:
    descriptor = os.open(path, _FLAGS, 0o600)
    try:
        _write_all(descriptor, content)
    except OSError:
        os.close(descriptor)
        path.unlink(missing_ok=True)
        raise
    return descriptor


class _OpenFile:
    """One file: pages are appended until it is finished."""

    def __init__(self, path: Path, muxer: OggOpusMuxer, packets: Sequence[tuple[bytes, int]]) -> None:
        """Create it with headers and a page of these packets, at least as long as the pre-skip. Raises OSError.

        Without that page, FFmpeg and opusdec refuse the file.
        """
        self._muxer = muxer
        content = b"".join([muxer.headers(), *(muxer.write(*packet) for packet in packets), muxer.flush()])
        self.path, self._descriptor = create(path, content)
        self.size_bytes = len(content)

    def write(self, packet: bytes, samples: int) -> None:
        self._append(self._muxer.write(packet, samples))

    def finish(self, trimmed: int) -> None:
        try:
            self._append(self._muxer.finish(trimmed))
        finally:
            self.abandon()

    def abandon(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _append(self, page: bytes) -> None:
        """Append a whole page or nothing. Raises OSError."""
        if not page:
            return
        try:
            _write_all(self._descriptor, page)
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, self.size_bytes)
            raise
        self.size_bytes += len(page)


class RecordingFiles:
    """Writes one sequence of packets into a file, or into one after the other. Raises OSError from any method.

    Each later file begins with the last 80 ms of the one before, which players drop: it sounds from its first sample on
    as if there had been no change. The files' samples add up to the time that was recorded.

    Attributes:
        paths: Of all files, the current one last.
        position: Samples of the recording so far.
    """

    def __init__(
        self, template: str, name: str, start_unix_s: float, vendor: str, tags: dict[str, str], rotate_samples: int
    ) -> None:
        """
        Args:
            template: As for ``expand``.
            name: For ``{name}``.
            start_unix_s: Time 0.
            vendor: Name and version of the program.
            tags: Comments beside DATE and ENCODER.
            rotate_samples: Length of each file but the last, longer than a packet; 0: there is one file.
        """
        self.paths: list[Path] = []
        self.position = 0
        self._template = template
        self._name = name
        self._start_unix_s = start_unix_s
        self._vendor = vendor
        self._tags = tags
        self._rotate_samples = rotate_samples
        self._next_file = rotate_samples or None
        self._recent: deque[tuple[bytes, int]] = deque()
        self._recent_samples = 0
        self._finished_bytes = 0
        self._file: _OpenFile | None = None

    @property
    def size_bytes(self) -> int:
        """Of all files."""
        return self._finished_bytes + (self._file.size_bytes if self._file is not None else 0)

    def open(self) -> None:
        """Create the first file: 80 ms of silence before time 0."""
        self._file = self._open(0, PREROLL_SAMPLES, list(silent(PREROLL_SAMPLES)))

    def write(self, packet: bytes, samples: int) -> None:
        """Append a packet of this duration."""
        assert self._file is not None, "open was called"
        # Not earlier, so that the last page of every file has a packet, which can be trimmed.
        if self._next_file is not None and self.position >= self._next_file:
            self._rotate(self._next_file)
            self._next_file += self._rotate_samples
        self.position += samples
        self._remember(packet, samples)
        self._file.write(packet, samples)

    def finish(self, end: int) -> None:
        """End the last file after so many samples of the recording: at most those written, less at most one packet."""
        if self._file is not None:
            self._file.finish(max(0, self.position - end))

    def abandon(self) -> None:
        """Close the file as the last successful write has left it. Idempotent."""
        if self._file is not None:
            self._file.abandon()

    def _rotate(self, end: int) -> None:
        assert self._file is not None
        self._file.finish(self.position - end)
        self._finished_bytes += self._file.size_bytes
        self._file = None
        self._file = self._open(end, end - self.position + self._recent_samples, list(self._recent))

    def _open(self, start: int, pre_skip: int, packets: Sequence[tuple[bytes, int]]) -> _OpenFile:
        moment = datetime.fromtimestamp(self._start_unix_s + start / 48_000).astimezone()
        tags = self._tags | {"DATE": moment.isoformat(timespec="milliseconds"), "ENCODER": self._vendor}
        muxer = OggOpusMuxer(secrets.randbits(32), pre_skip, self._vendor, tags)
        file = _OpenFile(expand(self._template, self._name, moment), muxer, packets)
        self.paths.append(file.path)
        return file

    def _remember(self, packet: bytes, samples: int) -> None:
        """Keep as many packets as the next file may begin with."""
        if self._rotate_samples == 0:
            return
        self._recent.append((packet, samples))
        self._recent_samples += samples
        # The last packet may lie after the end of a file.
        while self._recent_samples - self._recent[0][1] >= PREROLL_SAMPLES + samples:
            self._recent_samples -= self._recent.popleft()[1]
