"""Error codes of the C library, and which exception has which: BASS's codes where BASS has one.

The names are those of ``bass_webrtc.h`` without the prefix ``BASS_WEBRTC_ERROR_``.
"""

from __future__ import annotations

from ..errors import (
    BassError,
    BassNotFoundError,
    BassWebRtcError,
    ClosedError,
    ConfigError,
    DtlsError,
    IceError,
    PeerLimitError,
    PortInUseError,
    SdpError,
    SignalingError,
)

HANDLE = 5
START = 9
ALREADY = 14
ILLPARAM = 20
CREATE = 33
NOTAVAIL = 37
TIMEOUT = 40
VERSION = 43
BUSY = 46
UNKNOWN = -1
PYTHON = 5001
SDP = 5002
SIGNALING = 5003
ICE = 5004
DTLS = 5005
PEERS = 5006
BUFFER = 5007

_CODES: tuple[tuple[type[BaseException], int], ...] = (
    (ClosedError, HANDLE),
    (BassNotFoundError, NOTAVAIL),
    (PortInUseError, BUSY),
    (PeerLimitError, PEERS),
    (SdpError, SDP),
    (SignalingError, SIGNALING),
    (IceError, ICE),
    (DtlsError, DTLS),
    (ConfigError, ILLPARAM),
    (BassWebRtcError, CREATE),
    (TimeoutError, TIMEOUT),
    (OSError, CREATE),
)
"""The first matching class decides."""


class CapiError(Exception):
    """A mistake that only a caller in C can make.

    Attributes:
        code: What ``BASS_WEBRTC_ErrorGetCode`` returns.
    """

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


def code_of(error: BaseException) -> int:
    """The code that ``BASS_WEBRTC_ErrorGetCode`` returns for an exception."""
    if isinstance(error, CapiError | BassError):
        return error.code
    return next((code for kind, code in _CODES if isinstance(error, kind)), UNKNOWN)


def message_of(error: BaseException) -> str:
    """The text that ``BASS_WEBRTC_ErrorGetMessage`` returns for an exception."""
    if code_of(error) == UNKNOWN:
        return f"internal error of bass-webrtc, please report it: {error!r}"
    return str(error)
