"""bass-webrtc: send BASS channels to browsers over WebRTC, and receive audio from them.

import bass_webrtc as bw

with bw.Server(bw.BassFile("song.mp3", loop=True)) as server:
    server.start()
    input(f"Open {server.url} and press play. Press Return to stop.")
"""

from __future__ import annotations

try:
    from . import aio
except ImportError as error:
    if "interpreter" not in str(error):
        raise
    raise ImportError(
        "bass_webrtc is imported in a second interpreter of this process, or in an isolated one, where cryptography "
        "and cffi do not load; use it in the main interpreter (mod_wsgi: WSGIApplicationGroup %{GLOBAL})"
    ) from error
from .client.clients import WhepClient, WhipClient
from .config import ChannelConfig, IceServer, ServerConfig
from .errors import (
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
from .recording import Recording
from .server.call import Call
from .server.channel import Channel
from .server.peer import Peer
from .server.server import Server
from .signaling.server.invites import Invite
from .signaling.server.sessions import PeerRequest
from .sources import BassFile, BassInput, PcmSource, SourceEnd, SourceState, Tone
from .stats import CallStats, ChannelStats, Lateness, PeerStats, ServerStats
from .version import __version__ as __version__

__all__ = [
    "BassError",
    "BassFile",
    "BassInput",
    "BassNotFoundError",
    "BassWebRtcError",
    "Call",
    "CallStats",
    "Channel",
    "ChannelConfig",
    "ChannelStats",
    "ClosedError",
    "ConfigError",
    "DtlsError",
    "IceError",
    "IceServer",
    "Invite",
    "Lateness",
    "PcmSource",
    "Peer",
    "PeerLimitError",
    "PeerRequest",
    "PeerStats",
    "PortInUseError",
    "Recording",
    "SdpError",
    "Server",
    "ServerConfig",
    "ServerStats",
    "SignalingError",
    "SourceEnd",
    "SourceState",
    "Tone",
    "WhepClient",
    "WhipClient",
    "aio",
]
