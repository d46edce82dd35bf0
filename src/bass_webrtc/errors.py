"""The exception hierarchy of bass-webrtc.

BassWebRtcError
 ├── ConfigError         an argument or a setting is wrong
 ├── BassError           a call into BASS failed; has its error code and name
 ├── BassNotFoundError   no BASS library was found
 ├── PortInUseError      another program uses the port
 ├── SdpError            a session description is malformed or cannot be used
 ├── SignalingError      a WHIP or WHEP request was refused or failed
 ├── IceError            there is no path to the peer, or it was lost
 ├── DtlsError           the DTLS handshake failed
 ├── PeerLimitError      as many peers as allowed are connected already
 └── ClosedError         the object was closed
"""

from __future__ import annotations


class BassWebRtcError(Exception):
    """Base class of all errors of this package."""


class ConfigError(BassWebRtcError, ValueError):
    """A setting or an argument is wrong. The message has its value and what was expected."""


class BassError(BassWebRtcError):
    """A call into BASS failed.

    Attributes:
        code: Error code, from ``BASS_ErrorGetCode``.
        name: Name of the error code, for example ``"BASS_ERROR_HANDLE"``.
        call: The BASS function that failed.
    """

    def __init__(self, code: int, name: str, call: str, hint: str = "") -> None:
        super().__init__(f"{call} failed: {name} ({code})" + (f"; {hint}" if hint else ""))
        self.code = code
        self.name = name
        self.call = call


class BassNotFoundError(BassWebRtcError):
    """No BASS library is loaded in this process, and none was found."""


class PortInUseError(BassWebRtcError):
    """A requested TCP or UDP port is used by another program."""


class SdpError(BassWebRtcError, ValueError):
    """A session description is malformed (RFC 8866) or cannot be used."""


class SignalingError(BassWebRtcError):
    """A WHIP or WHEP request was refused or failed, or its response cannot be used.

    Attributes:
        status: HTTP status code; 0 when there was no response.
        url: URL of the request.
        detail: The server's explanation, shortened, or what failed.
        retry_after_s: Seconds after which the server allows another request; None if it did not say.
    """

    def __init__(self, status: int, url: str, detail: str, retry_after_s: float | None = None) -> None:
        super().__init__(f"{url}: {f'HTTP {status}: ' if status else ''}{detail}")
        self.status = status
        self.url = url
        self.detail = detail
        self.retry_after_s = retry_after_s


class IceError(BassWebRtcError):
    """There is no path to the peer (RFC 8445), or consent to use it was lost (RFC 7675)."""


class DtlsError(BassWebRtcError):
    """The DTLS handshake failed or timed out, or the certificate does not match the signaled fingerprint."""


class PeerLimitError(BassWebRtcError):
    """``ServerConfig.max_peers`` peers are connected already, or on Windows as many with full ICE as it allows."""


class ClosedError(BassWebRtcError):
    """The object was closed, is not running, or was stopped before the call finished."""
