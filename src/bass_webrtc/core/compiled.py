"""Imports the compiled core. If that fails, every use of it raises the reason; the doctor works without it."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING, NoReturn

from ..errors import BassWebRtcError

if sys.platform == "win32":
    ADVICE = "Reinstall bass-webrtc with a 64-bit Python 3.11 or newer"
else:
    ADVICE = "Install libopus and OpenSSL (Debian: libopus0 libssl3), or reinstall bass-webrtc"


class _Missing:
    """Placeholder for ``ffi`` and ``lib`` when the import failed."""

    def __init__(self, reason: str) -> None:
        self._reason = reason

    def __getattr__(self, name: str) -> NoReturn:
        raise BassWebRtcError(f"the audio path does not load: {self._reason}. {ADVICE}")


if TYPE_CHECKING:
    from ._core import ffi, lib
else:
    try:
        from ._core import ffi, lib
    except ImportError as error:
        ffi = lib = _Missing(str(error))

__all__ = ["ADVICE", "exit_simply_in_children", "ffi", "lib", "name_thread"]


def name_thread(name: str) -> None:
    """Name the calling thread for ``top`` and debuggers, at most 15 ASCII characters. Python before 3.14 does not.

    Does nothing without the core.
    """
    with contextlib.suppress(BassWebRtcError):
        lib.bw_name_thread(name.encode())


def exit_simply_in_children() -> None:
    """Let forked children of this process exit without the destructors of libraries, where BASS would hang.

    For a process in which this package has started BASS. On Linux; does nothing without the core.
    """
    with contextlib.suppress(BassWebRtcError):
        lib.bw_exit_simply_in_children()
