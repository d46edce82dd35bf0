"""Opens BASS channels for files, URLs, tracker modules and recording devices."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from ..errors import BassError, ConfigError
from ..host_process import after_fork_in_child
from .devices import Device, default_input, inputs
from .error_names import ERROR_ALREADY, ERROR_DEVICE, ERROR_FILEFORM, error_name
from .library import FAILED_DWORD, UNICODE, BassLibrary, text_argument
from .locate import LIBRARY_NAME, find_bass
from .source import STREAM_DECODE, BassSource, open_source

SAMPLE_FLOAT = 0x100
SAMPLE_LOOP = 0x4
ASYNCFILE = 0x40000000
MUSIC_RAMPS = 0x400
MUSIC_STOPBACK = 0x80000
MUSIC_SINCINTER = 0x800000
CONFIG_REC_BUFFER = 19
CONFIG_NET_PLAYLIST = 21
FILEPOS_CURRENT = 0
FILEPOS_END = 2
FILEPOS_SIZE = 8

NO_SOUND_DEVICE = 0
SAMPLE_RATE_HZ = 48_000
CHANNELS = 2
RECORD_PERIOD_MS = 10
RECORD_BUFFER_MS = 1000
"""How far a stalled reader may fall behind before audio is lost. BASS's default is 2000."""

PLUGINS = ("bassflac", "bassopus", "bass_aac", "bassalac", "bass_ac3", "bass_ape", "basswebm", "basswma", "basswv")
"""Formats that BASS does not read without a plugin. BASSMIDI is left out: it plays silence without a soundfont."""

_URL = re.compile(r"(?!file:)[a-z][a-z0-9+.-]+://", re.IGNORECASE)
_configuring = threading.Lock()
"""Of what applies to the whole process: options, devices, plugins. BASS itself does not make a thread wait for a device
that another one is initialising: it says ALREADY, and the device works a moment later."""
_configured_before: dict[int, tuple[int, int]] = {}
"""By option: how many calls need their value of it, and the program's own value."""


@after_fork_in_child
def _renew_lock() -> None:
    """A thread that the child has not may hold it."""
    global _configuring
    _configuring = threading.Lock()


class OwnedChannel:
    """A channel that this package created and frees. A context manager.

    Attributes:
        source: Parameters with which the core reads the channel.
        device: The input that it records; None for the default one, and for what is not a recording.
    """

    def __init__(self, source: BassSource, library: BassLibrary, free: str, device: Device | None = None) -> None:
        self.source = source
        self.device = device
        self._library = library
        self._free = free
        self._closed = False

    @property
    def handle(self) -> int:
        """HSTREAM, HMUSIC or HRECORD."""
        return self.source.handle

    def position(self) -> int:
        """Return how many bytes have been read from the channel; -1 if it has been freed."""
        return self._library.try_call("BASS_ChannelGetPosition", self.handle, 0)

    def is_complete(self) -> bool:
        """Return whether a file has been read to its end. Always False if its length is unknown, as a station's is."""
        size, end, current = (
            self._library.try_call("BASS_StreamGetFilePosition", self.handle, mode)
            for mode in (FILEPOS_SIZE, FILEPOS_END, FILEPOS_CURRENT)
        )
        return size > 0 and current >= end  # The end of the audio, after which tags may follow.

    def close(self) -> None:
        """Free the channel; waits for a read in progress. Idempotent; any thread."""
        if not self._closed:
            self._closed = True
            # Fails if the host program has called BASS_Free, which frees the channel as well.
            self._library.try_call(self._free, self.handle)

    def __enter__(self) -> OwnedChannel:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_file(
    path_or_url: str | os.PathLike[str], loop: bool = False, *, library: BassLibrary | None = None
) -> OwnedChannel:
    """Open a file, a URL or a tracker module as a decoding channel.

    Initialises BASS's "no sound" device if the program has not called BASS_Init. Threads that never choose a device use
    the lowest initialised one, so a program that plays sound itself must call BASS_Init first.

    Args:
        path_or_url: Any format that BASS, or a plugin in its library's folder, can read.
        loop: Restart at the end, without a gap.
        library: Default: the BASS library of this process.

    Returns:
        The channel. For a URL, this waits for the connection (BASS_CONFIG_NET_TIMEOUT, 5 s by default).

    Raises:
        ConfigError: The file does not exist.
        BassError: BASS cannot open or read it.
        BassNotFoundError: No BASS library was found.
    """
    name = os.fspath(path_or_url)
    if "\0" in name:
        raise ConfigError(f"{name!r} is not a path or URL: it contains a NUL character")
    if not is_url(name):
        _check_file(name)
    library = library or find_bass()
    _initialise(library)
    load_plugins(library)
    flags = SAMPLE_FLOAT | STREAM_DECODE | UNICODE | (SAMPLE_LOOP if loop else 0)
    return _open_url(library, name, flags) if is_url(name) else _open_file(library, name, flags)


def is_url(path_or_url: str | os.PathLike[str]) -> bool:
    """Return whether ``open_file`` treats it as a URL."""
    return _URL.match(os.fspath(path_or_url)) is not None


def open_recording(device: int | None = None, *, library: BassLibrary | None = None) -> OwnedChannel:
    """Start a recording, 48 kHz stereo. Closing it stops the recording; the device stays initialised.

    Args:
        device: Index as in ``devices.inputs()``; None is the default input.
        library: Default: the BASS library of this process.

    Raises:
        BassError: The device does not exist or cannot be opened.
        BassNotFoundError: No BASS library was found.
    """
    library = library or find_bass()
    hint = "bass-webrtc devices lists the inputs"
    index = default_input(library) if device is None else device
    with _recording_device(library, index, hint):
        handle = _start_recording(library, hint)
    known = None if device is None else next((one for one in inputs(library) if one.index == index), None)
    return OwnedChannel(_checked(library, handle, "BASS_ChannelStop"), library, "BASS_ChannelStop", known)


def reopen_recording(lost: OwnedChannel) -> OwnedChannel:
    """Start a recording of the same input again after BASS has lost it. It may have another index now.

    Args:
        lost: A closed recording.

    Raises:
        BassError: The input is not there, or cannot be opened.
    """
    library, device = lost._library, lost.device
    if device is None:
        index = default_input(library)
    else:
        index = next((one.index for one in inputs(library) if _is_back(one, device)), -1)
        if index < 0:
            hint = f"the input {device.name!r} is not available"
            raise BassError(ERROR_DEVICE, error_name(ERROR_DEVICE), "BASS_RecordInit", hint)
    with _recording_device(library, index, ""):
        try:
            handle = _start_recording(library)
        except BassError:
            # Where the device must be opened anew. Nothing else can record from it either.
            library.try_call("BASS_RecordFree")
            library.call("BASS_RecordInit", index)
            handle = _start_recording(library)
    return OwnedChannel(_checked(library, handle, "BASS_ChannelStop"), library, "BASS_ChannelStop", device)


def _is_back(found: Device, lost: Device) -> bool:
    return found.is_enabled and (found.driver, found.name) == (lost.driver, lost.name)


def _start_recording(library: BassLibrary, hint: str = "") -> int:
    flags = SAMPLE_FLOAT | RECORD_PERIOD_MS << 16
    with _configured(library, CONFIG_REC_BUFFER, RECORD_BUFFER_MS):
        return library.call("BASS_RecordStart", SAMPLE_RATE_HZ, CHANNELS, flags, None, None, hint=hint)


@functools.cache
def load_plugins(library: BassLibrary) -> tuple[Path, ...]:
    """Load the plugins in the library's folder, once, and return those that work.

    Plugins from other folders would load the BASS in their folder, which would be a second copy.
    """
    found = (library.path.with_name(LIBRARY_NAME.replace("bass", plugin)) for plugin in PLUGINS)
    with _configuring:  # The first calls may come at once: each returns when the plugins work.
        return tuple(path for path in found if path.is_file() and _load_plugin(library, path))


def _load_plugin(library: BassLibrary, path: Path) -> bool:
    plugin = library.try_call("BASS_PluginLoad", text_argument(str(path)), UNICODE)
    return plugin != 0 or library.last_error_code() == ERROR_ALREADY


def _check_file(name: str) -> None:
    if os.path.isdir(name):
        raise ConfigError(f"{name!r} is a folder; expected an audio file")
    if not os.path.exists(name):
        raise ConfigError(f"the file {name!r} does not exist (absolute path: {os.path.abspath(name)})")


def _initialise(library: BassLibrary) -> None:
    with _configuring:
        if library.try_call("BASS_GetDevice") != FAILED_DWORD:
            return
        initialised = library.try_call("BASS_Init", NO_SOUND_DEVICE, SAMPLE_RATE_HZ, 0, None, None)
        if not initialised and library.last_error_code() != ERROR_ALREADY:
            raise library.last_error("BASS_Init")


def _open_url(library: BassLibrary, url: str, flags: int) -> OwnedChannel:
    # 1: the URL may be a playlist (.m3u, .pls), as links of radio stations often are.
    with _configured(library, CONFIG_NET_PLAYLIST, 1):
        hint = f"check that {url} is correct, reachable and audio"
        handle = library.call("BASS_StreamCreateURL", text_argument(url), 0, flags, None, None, hint=hint)
    return _owned(library, handle, "BASS_StreamFree")


def _open_file(library: BassLibrary, name: str, flags: int) -> OwnedChannel:
    # ASYNCFILE: a BASS thread reads ahead, so that a slow disk does not block the sender.
    stream = library.try_call("BASS_StreamCreateFile", False, text_argument(name), 0, 0, flags | ASYNCFILE)
    if stream:
        return _owned(library, stream, "BASS_StreamFree")
    error = library.last_error("BASS_StreamCreateFile", _file_hint(library, name))
    if error.code == ERROR_FILEFORM and (music := _load_module(library, name, flags)):
        return _owned(library, music, "BASS_MusicFree")
    raise error


def _load_module(library: BassLibrary, name: str, flags: int) -> int:
    flags |= MUSIC_RAMPS | MUSIC_SINCINTER
    if not flags & SAMPLE_LOOP:
        flags |= MUSIC_STOPBACK  # Many modules jump back at their end and would play forever.
    return library.try_call("BASS_MusicLoad", False, text_argument(name), 0, 0, flags, SAMPLE_RATE_HZ)


def _file_hint(library: BassLibrary, name: str) -> str:
    return (
        f"{name}: BASS itself reads MP3, MP2, MP1, Ogg Vorbis, WAV, AIFF and tracker modules; FLAC, Opus, AAC and "
        f"others need their plugin from https://www.un4seen.com in {library.path.parent}"
    )


def _owned(library: BassLibrary, handle: int, free: str) -> OwnedChannel:
    return OwnedChannel(_checked(library, handle, free), library, free)


def _checked(library: BassLibrary, handle: int, free: str) -> BassSource:
    try:
        return open_source(handle, library)
    except (ConfigError, BassError):
        library.try_call(free, handle)
        raise


@contextlib.contextmanager
def _recording_device(library: BassLibrary, index: int, hint: str) -> Iterator[None]:
    """Select a recording device for BASS_RecordStart, then restore the thread's previous device."""
    before = library.try_call("BASS_RecordGetDevice")
    with _configuring:
        if not library.try_call("BASS_RecordInit", index) and library.last_error_code() != ERROR_ALREADY:
            raise library.last_error("BASS_RecordInit", hint)
    library.call("BASS_RecordSetDevice", index, hint=hint)
    try:
        yield
    finally:
        if before != FAILED_DWORD:
            library.try_call("BASS_RecordSetDevice", before)


@contextlib.contextmanager
def _configured(library: BassLibrary, option: int, value: int) -> Iterator[None]:
    """Set a BASS option during one call. Options apply to the whole process, so the previous value is restored.

    Calls with the same option may overlap, since one that opens a URL may take seconds.
    """
    with _configuring:
        users, before = _configured_before.get(option, (0, library.try_call("BASS_GetConfig", option)))
        _configured_before[option] = users + 1, before
        library.try_call("BASS_SetConfig", option, value)
    try:
        yield
    finally:
        with _configuring:
            users, before = _configured_before.pop(option)
            if users > 1:
                _configured_before[option] = users - 1, before
            else:
                library.try_call("BASS_SetConfig", option, before)
