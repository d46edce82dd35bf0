"""The BASS library of this process, bound with fixed-width types.

DWORD is 32 bits wide in BASS on every platform. Wrappers that declare it as ``c_ulong`` pass 8 bytes on Linux and
macOS, so only their library file is used here, not their bindings.
"""

from __future__ import annotations

import ctypes
import locale
import sys
from ctypes import POINTER, c_char_p, c_float, c_int, c_int64, c_uint32, c_uint64, c_void_p
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import BassError, BassNotFoundError
from .error_names import error_name

DWORD = c_uint32
BOOL = c_int
FAILED_DWORD = 0xFFFFFFFF
"""Returned on failure by functions that return a count or an index: (DWORD)-1."""

UNICODE = 0x80000000 if sys.platform == "win32" else 0
"""BASS_UNICODE. On other systems BASS always reads strings as UTF-8."""

CONFIG_ADDON = 0x8000

_API_VERSION = 0x0204


if sys.platform == "win32":
    _SetError = ctypes.WINFUNCTYPE(None, c_int)
else:
    _SetError = ctypes.CFUNCTYPE(None, c_int)


class ChannelInfo(ctypes.Structure):
    """BASS_CHANNELINFO."""

    _fields_ = (
        ("freq", DWORD),
        ("chans", DWORD),
        ("flags", DWORD),
        ("ctype", DWORD),
        ("origres", DWORD),
        ("plugin", DWORD),
        ("sample", DWORD),
        ("filename", c_char_p),
    )


class DeviceInfo(ctypes.Structure):
    """BASS_DEVICEINFO, for outputs and inputs."""

    _fields_ = (("name", c_char_p), ("driver", c_char_p), ("flags", DWORD))


class _Prototype(NamedTuple):
    result: type
    failure: int | None
    arguments: tuple[Any, ...]


# Strings are void pointers: UTF-8 or, on Windows, UTF-16. See text_argument.
_PROTOTYPES = {
    "BASS_GetVersion": _Prototype(DWORD, None, ()),
    "BASS_ErrorGetCode": _Prototype(c_int, None, ()),
    "BASS_GetConfig": _Prototype(DWORD, FAILED_DWORD, (DWORD,)),
    "BASS_GetConfigPtr": _Prototype(c_void_p, None, (DWORD,)),
    "BASS_SetConfig": _Prototype(BOOL, 0, (DWORD, DWORD)),
    "BASS_PluginLoad": _Prototype(DWORD, 0, (c_void_p, DWORD)),
    "BASS_Init": _Prototype(BOOL, 0, (c_int, DWORD, DWORD, c_void_p, c_void_p)),
    "BASS_Free": _Prototype(BOOL, 0, ()),
    "BASS_Start": _Prototype(BOOL, 0, ()),
    "BASS_IsStarted": _Prototype(DWORD, None, ()),
    "BASS_SetDevice": _Prototype(BOOL, 0, (DWORD,)),
    "BASS_GetDevice": _Prototype(DWORD, FAILED_DWORD, ()),
    "BASS_GetDeviceInfo": _Prototype(BOOL, 0, (DWORD, POINTER(DeviceInfo))),
    "BASS_RecordInit": _Prototype(BOOL, 0, (c_int,)),
    "BASS_RecordFree": _Prototype(BOOL, 0, ()),
    "BASS_RecordGetDevice": _Prototype(DWORD, FAILED_DWORD, ()),
    "BASS_RecordSetDevice": _Prototype(BOOL, 0, (DWORD,)),
    "BASS_RecordGetDeviceInfo": _Prototype(BOOL, 0, (DWORD, POINTER(DeviceInfo))),
    "BASS_RecordStart": _Prototype(DWORD, 0, (DWORD, DWORD, DWORD, c_void_p, c_void_p)),
    "BASS_StreamCreate": _Prototype(DWORD, 0, (DWORD, DWORD, DWORD, c_void_p, c_void_p)),
    "BASS_StreamCreateFile": _Prototype(DWORD, 0, (BOOL, c_void_p, c_uint64, c_uint64, DWORD)),
    "BASS_StreamCreateURL": _Prototype(DWORD, 0, (c_void_p, DWORD, DWORD, c_void_p, c_void_p)),
    "BASS_StreamFree": _Prototype(BOOL, 0, (DWORD,)),
    "BASS_StreamGetFilePosition": _Prototype(c_int64, -1, (DWORD, DWORD)),
    "BASS_MusicLoad": _Prototype(DWORD, 0, (BOOL, c_void_p, c_uint64, DWORD, DWORD, DWORD)),
    "BASS_MusicFree": _Prototype(BOOL, 0, (DWORD,)),
    "BASS_ChannelGetInfo": _Prototype(BOOL, 0, (DWORD, POINTER(ChannelInfo))),
    "BASS_ChannelGetData": _Prototype(DWORD, FAILED_DWORD, (DWORD, c_void_p, DWORD)),
    "BASS_ChannelGetPosition": _Prototype(c_int64, -1, (DWORD, DWORD)),
    "BASS_ChannelPlay": _Prototype(BOOL, 0, (DWORD, BOOL)),
    "BASS_ChannelSetAttribute": _Prototype(BOOL, 0, (DWORD, DWORD, c_float)),
    "BASS_ChannelSetDevice": _Prototype(BOOL, 0, (DWORD, DWORD)),
    "BASS_ChannelStop": _Prototype(BOOL, 0, (DWORD,)),
}


class BassLibrary:
    """A loaded BASS library. ``find_bass()`` returns the one of this process.

    Any thread may call it: BASS has its own locks, ctypes releases the interpreter's lock during a call, and error
    codes are kept per thread. The library is never unloaded, so function addresses stay valid.

    Attributes:
        path: The library file.
        origin: Where it was found, as text for users.
        version: For example ``"2.4.16.7"``.
    """

    def __init__(self, path: Path, library: ctypes.CDLL, origin: str) -> None:
        """Bind the functions.

        Raises:
            BassNotFoundError: The file is not a BASS 2.4 library.
        """
        self.path = path
        self.origin = origin
        try:
            self._functions = {name: _bind(library, name) for name in _PROTOTYPES}
        except AttributeError as error:
            raise BassNotFoundError(f"{path} is not a BASS 2.4 library: {error}") from None
        number = self.try_call("BASS_GetVersion")
        self.version = ".".join(str(byte) for byte in number.to_bytes(4, "big"))
        if number >> 16 != _API_VERSION:
            raise BassNotFoundError(f"{path} is BASS {self.version}; expected 2.4, see https://www.un4seen.com")

    def __repr__(self) -> str:
        return f"<BassLibrary {self.version} at {self.path}>"

    def call(self, name: str, *arguments: Any, hint: str = "") -> int:
        """Call a BASS function.

        Args:
            name: For example ``"BASS_StreamFree"``.
            arguments: As in its prototype in ``bass.h``.
            hint: What the user can do, for the error's message.

        Returns:
            The function's result.

        Raises:
            BassError: The result means failure.
        """
        result = self.try_call(name, *arguments)
        if result == _PROTOTYPES[name].failure:
            raise self.last_error(name, hint)
        return result

    def try_call(self, name: str, *arguments: Any) -> int:
        """Call a function and return its result without checking it."""
        return int(self._functions[name](*arguments))

    def last_error_code(self) -> int:
        """Return the error code of this thread's last call; 0 if it succeeded."""
        return self.try_call("BASS_ErrorGetCode")

    def set_last_error_code(self, code: int) -> None:
        """Set the error code that ``last_error_code`` returns on this thread.

        Calls the first function in the table that BASS offers to its add-ons.
        """
        functions = ctypes.cast(self.address_in_config(CONFIG_ADDON), POINTER(c_void_p))
        _SetError(functions[0])(code)

    def address_in_config(self, option: int) -> int:
        """Return the address from BASS_GetConfigPtr."""
        return int(self._functions["BASS_GetConfigPtr"](option))

    def last_error(self, call: str, hint: str = "") -> BassError:
        """Return the error of this thread's last call, to be raised."""
        code = self.last_error_code()
        return BassError(code, error_name(code), call, hint)

    def address_of(self, name: str) -> int:
        """Return the address of a function, for C code. Valid for the life of the process."""
        address = ctypes.cast(self._functions[name], c_void_p).value
        assert address is not None
        return address


def _bind(library: ctypes.CDLL, name: str) -> Any:
    prototype = _PROTOTYPES[name]
    function = library[name]
    function.restype = prototype.result
    function.argtypes = prototype.arguments
    return function


def text_argument(text: str) -> bytes | str:
    """Encode a path or URL for BASS, to be passed with ``UNICODE``: on Windows, ctypes turns str into UTF-16."""
    return text if sys.platform == "win32" else text.encode("utf-8", "surrogateescape")


def text_result(text: bytes | None) -> str:
    """Decode a string from BASS: UTF-8, except on Windows, where the system's code page is the default."""
    try:
        return (text or b"").decode()
    except UnicodeDecodeError:
        return (text or b"").decode(locale.getencoding(), "replace")
