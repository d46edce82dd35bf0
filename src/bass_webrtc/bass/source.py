"""Checks that a BASS handle can be a source, and returns how the core reads it."""

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
"""Limits of the core's resampler."""


@dataclass(frozen=True, slots=True)
class BassSource:
    """Parameters of a channel for the core's sending thread: ``bw_source_new_bass`` in ``core.h``.

    Behaviour of ``BASS_ChannelGetData`` that the reader must expect, measured with BASS 2.4.16.7:

    - It returns what is available. A file returns all that is requested until its end; a network stream may return
      less, or 0 bytes while the network stalls; a recording returns what the device has delivered, or 0 bytes. None of
      this is an error, and none of it blocks.
    - After the last sample, every call fails with BASS_ERROR_ENDED, in a microsecond, until BASS_ChannelSetPosition
      rewinds the channel; a push stream or a STREAMPROC needs that after its end, too. A recording whose device was
      removed fails in the same way.
    - After BASS_StreamFree, BASS_MusicFree, BASS_ChannelStop of a recording, BASS_Free or BASS_RecordFree it fails with
      BASS_ERROR_HANDLE. These may be called while another thread is inside it: they wait for it.
    """

    handle: int
    """HSTREAM, HMUSIC or HRECORD."""
    sample_rate_hz: int
    channels: int
    """1 to 8, interleaved in BASS's order."""
    live: bool
    """True for a recording, which delivers at its device's clock, not on demand."""
    get_data_address: int
    """Address of ``BASS_ChannelGetData`` in the library that owns the handle. Valid for the life of the process."""
    get_error_address: int
    """The same of ``BASS_ErrorGetCode``."""


def open_source(handle: int, library: BassLibrary | None = None) -> BassSource:
    """Check a handle that the host program created. The program keeps the handle and must free it.

    The core's sending thread reads the source once per frame. Nothing else may read it, and whatever it calls (a
    STREAMPROC, a DSP) runs on that thread: callbacks written in Python make it wait for the interpreter.

    Args:
        handle: A decoding channel (HSTREAM, HMUSIC, a BASSmix mixer or splitter) of 8 to 192 kHz and 1 to 8 channels,
            or a recording (HRECORD) without a RECORDPROC.
        library: The BASS library that created it; default: the one of this process.

    Returns:
        Parameters for the core.

    Raises:
        ConfigError: The channel plays on a device, has a RECORDPROC, or its rate or number of channels is out of range.
        BassError: BASS does not know the handle.
        BassNotFoundError: No BASS library was found.
    """
    # Wrappers that declare HSTREAM as a signed int return negative numbers.
    if isinstance(handle, bool) or not isinstance(handle, int) or not -(2**31) <= handle < 2**32:
        raise ConfigError(f"{handle!r} is not a BASS handle; expected a 32-bit number")
    handle &= 0xFFFFFFFF
    if handle == 0:
        raise ConfigError(
            "the BASS handle is 0: the call that should have created it failed; check BASS_ErrorGetCode after it"
        )
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
        get_error_address=library.address_of("BASS_ErrorGetCode"),
    )


def _unknown_handle_hint(library: BassLibrary) -> str:
    if library.last_error_code() != ERROR_HANDLE:
        return ""
    copies = loaded_copies()
    if len(copies) > 1:
        return f"BASS is loaded {len(copies)} times, and the handle belongs to another copy than {library.path}"
    return "the channel has been freed, or the handle is a sample: create a channel with BASS_SampleGetChannel"


def _check(info: ChannelInfo) -> None:
    # A recording counts as a decoding channel unless it has a RECORDPROC; then BASS_ChannelGetData only peeks.
    if not info.flags & STREAM_DECODE:
        raise ConfigError(_not_readable(info.ctype))
    if info.chans > MAX_CHANNELS:
        raise ConfigError(f"the BASS channel has {info.chans} channels; expected 1 to 8. Mix it down with BASSmix")
    if not MIN_SAMPLE_RATE_HZ <= info.freq <= MAX_SAMPLE_RATE_HZ:
        raise ConfigError(f"the BASS channel runs at {info.freq} Hz; expected 8000 to 192000. Convert it with BASSmix")


def _not_readable(channel_type: int) -> str:
    if channel_type == CTYPE_RECORD:
        return (
            "the recording has a RECORDPROC, which consumes its data. Start it with BASS_RecordStart(..., NULL, NULL)"
        )
    if channel_type == CTYPE_SAMPLE:
        return (
            "the BASS channel plays a sample. To get a decoding channel, use "
            "BASS_SampleGetChannel(sample, BASS_SAMCHAN_STREAM | BASS_STREAM_DECODE)"
        )
    return (
        "the BASS channel plays on a device, so its data cannot be read. Create it with BASS_STREAM_DECODE (or "
        "BASS_MUSIC_DECODE). To play it locally as well, create a decoding channel, split it "
        "with BASSmix (BASS_Split_StreamCreate) and pass one branch to bass-webrtc"
    )
