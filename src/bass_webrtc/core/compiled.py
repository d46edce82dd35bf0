"""The compiled core. Where it does not load, whoever uses it is told why, and the doctor works without it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from ..errors import BassWebRtcError

ADVICE = "Install libopus and libsrtp2 (Debian: libopus0 libsrtp2-1), or bass-webrtc once more"


class _Missing:
    """In the place of what did not load."""

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

__all__ = ["ADVICE", "ffi", "lib"]
