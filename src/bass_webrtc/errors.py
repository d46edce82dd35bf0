"""The exception tree: everything that bass-webrtc raises on purpose.

BassWebRtcError
 ├── ConfigError         an argument or a setting is wrong
 ├── BassError           a call into BASS failed; carries BASS's code and its name
 ├── BassNotFoundError   no BASS library was found
 ├── PortInUseError      another program has the port
 ├── SdpError            a session description that cannot be read or used
 ├── SignalingError      an HTTP signaling request was refused or failed
 ├── IceError            no path to the peer, or the path was lost
 ├── DtlsError           the handshake failed
 ├── PeerLimitError      ``max_peers`` are connected already
 └── ClosedError         the object was closed
"""

from __future__ import annotations


class BassWebRtcError(Exception):
    """Base class of all errors of this package."""


class ConfigError(BassWebRtcError, ValueError):
    """A setting or an argument is wrong: says what it was, what was expected and what to do."""


class BassError(BassWebRtcError):
    """A call into BASS failed.

    Attributes:
        code: BASS's error code, as ``BASS_ErrorGetCode`` gave it.
        name: Its name, for example ``"BASS_ERROR_HANDLE"``.
        call: The BASS function that failed.
    """

    def __init__(self, code: int, name: str, call: str, hint: str = "") -> None:
        super().__init__(f"{call} failed: {name} ({code})" + (f"; {hint}" if hint else ""))
        self.code = code
        self.name = name
        self.call = call


class BassNotFoundError(BassWebRtcError):
    """No BASS library is loaded in this process and none was found."""


class PortInUseError(BassWebRtcError):
    """A TCP or UDP port that was asked for belongs to another program."""


class SdpError(BassWebRtcError, ValueError):
    """A session description is malformed (RFC 8866) or cannot be used."""


class SignalingError(BassWebRtcError):
    """A WHIP or WHEP request was refused, or its answer cannot be used.

    Attributes:
        status: HTTP status code; 0 when there was no response.
        url: The URL that was asked.
        detail: What the server said, shortened.
        retry_after_s: When the server wants to be asked again; None when it did not say.
    """

    def __init__(self, status: int, url: str, detail: str, retry_after_s: float | None = None) -> None:
        super().__init__(f"{url}: {f'HTTP {status}: ' if status else ''}{detail}")
        self.status = status
        self.url = url
        self.detail = detail
        self.retry_after_s = retry_after_s


class IceError(BassWebRtcError):
    """There is no path to the peer, or consent to use it was lost (RFC 8445, RFC 7675)."""


class DtlsError(BassWebRtcError):
    """The DTLS handshake failed or timed out, or the certificate is not the one that was signaled."""


class PeerLimitError(BassWebRtcError):
    """As many peers as ``ServerConfig.max_peers`` allows are connected already."""


class ClosedError(BassWebRtcError):
    """The object was closed and cannot be used any more."""
