"""Checks that a BASS handle can be a source, and says how the core reads it."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

from ..errors import ConfigError
from .error_names import ERROR_HANDLE
from .library import BassLibrary, ChannelInfo
from .locate import find_bass, loaded_copies

STREAM_DECODE = 0x200000
CTYPE_SAMPLE = 1
CTYPE_RECORD = 2

MAX_CHANNELS = 8
MIN_SAMPLE_RATE_HZ = 8_000
MAX_SAMPLE_RATE_HZ = 192_000
"""Limits of the core's converter."""


@dataclass(frozen=True, slots=True)
class BassSource:
    """A channel that the core's sender thread may read: ``bw_source_new_bass`` in ``core.h``.

    Measured with BASS 2.4.16.7, for what the reader must expect of ``BASS_ChannelGetData``:

    - It gives what is there. A file gives all that is asked for, until its end; a stream from the network less, or
      0 bytes while the network stalls; a recording what the device has delivered, or 0. None of that is an error,
      and none of it blocks.
    - After the last sample it fails with BASS_ERROR_ENDED, and goes on failing. So does a recording whose device
      went away.
    - After BASS_StreamFree, BASS_MusicFree, BASS_ChannelStop of a recording, BASS_Free or BASS_RecordFree it fails
      with BASS_ERROR_HANDLE. These may be called while another thread is inside it: they wait for it.
    """

    handle: int
    """HSTREAM, HMUSIC or HRECORD."""
    sample_rate_hz: int
    channels: int
    """1 to 8, interleaved in BASS's order."""
    live: bool
    """A recording: delivers at its device's clock, not on demand."""
    get_data_address: int
    """Of ``BASS_ChannelGetData`` in the library that owns the handle. Good as long as the process lives."""


def open_source(handle: int, library: BassLibrary | None = None) -> BassSource:
    """Checks a handle that the host program made. The handle stays the program's own, to be freed by it.

    A source is read from a thread of the core, once per frame. Nobody else may read it, and what it calls (a
    STREAMPROC, a DSP) runs on that thread: written in Python, it waits for the interpreter there.

    Args:
        handle: A decoding channel (HSTREAM, HMUSIC, a BASSmix mixer or splitter) of any rate from 8 to 192 kHz and 1
            to 8 channels, or a recording (HRECORD) that has no RECORDPROC.
        library: The BASS that made it; the one of this process by default.

    Returns:
        What the core needs.

    Raises:
        ConfigError: The channel plays, or has a RECORDPROC, or more channels than 8: reading it is not possible.
        BassError: BASS does not know the handle.
        BassNotFoundError: There is no BASS.
    """
    # Wrappers that declare HSTREAM as a signed int give negative numbers.
    if isinstance(handle, bool) or not isinstance(handle, int) or not -(2**31) <= handle < 2**32:
        raise ConfigError(f"{handle!r} is no BASS handle; expected a 32-bit number")
    handle &= 0xFFFFFFFF
    if handle == 0:
        raise ConfigError("the BASS handle is 0: the call that should have made it failed; see BASS_ErrorGetCode there")
    library = library or find_bass()
    info = ChannelInfo()
    if not library.try_call("BASS_ChannelGetInfo", handle, ctypes.byref(info)):
        raise library.last_error("BASS_ChannelGetInfo", _unknown_handle_hint(library))
    _check(info)
    return BassSource(
        handle=handle,
        sample_rate_hz=info.freq,
        channels=info.chans,
        live=info.ctype == CTYPE_RECORD,
        get_data_address=library.address_of("BASS_ChannelGetData"),
    )


def _unknown_handle_hint(library: BassLibrary) -> str:
    if library.last_error_code() != ERROR_HANDLE:
        return ""
    copies = loaded_copies()
    if len(copies) > 1:
        return f"BASS is loaded {len(copies)} times, and {library.path} did not make this handle"
    return "the channel was freed, or it is a sample: make a channel of it with BASS_SampleGetChannel"


def _check(info: ChannelInfo) -> None:
    # A recording is a decoding channel, too, unless it has a RECORDPROC: then BASS_ChannelGetData only peeks.
    if not info.flags & STREAM_DECODE:
        raise ConfigError(_not_readable(info.ctype))
    if info.chans > MAX_CHANNELS:
        raise ConfigError(f"the BASS channel has {info.chans} channels; expected 1 to 8. Mix it down with BASSmix")
    if not MIN_SAMPLE_RATE_HZ <= info.freq <= MAX_SAMPLE_RATE_HZ:
        raise ConfigError(f"the BASS channel runs at {info.freq} Hz; expected 8000 to 192000. Convert it with BASSmix")


def _not_readable(channel_type: int) -> str:
    if channel_type == CTYPE_RECORD:
        return (
            "the recording has a RECORDPROC, which takes its data away. Start it with BASS_RecordStart(..., NULL, NULL)"
        )
    if channel_type == CTYPE_SAMPLE:
        return (
            "the BASS channel plays a sample. For a decoding channel of it, use "
            "BASS_SampleGetChannel(sample, BASS_SAMCHAN_STREAM | BASS_STREAM_DECODE)"
        )
    return (
        "the BASS channel plays on a device, so its data cannot be read. Make it with BASS_STREAM_DECODE (or "
        "BASS_MUSIC_DECODE). To hear it here as well, make a decoding channel, split it with BASSmix "
        "(BASS_Split_StreamCreate) and give one half to bass-webrtc"
    )
