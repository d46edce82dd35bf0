"""The audio path (C11) and its Python interface: ``engine.py`` and ``playout.py``."""

from __future__ import annotations

from .compiled import exit_simply_in_children, name_thread
from .engine import (
    Datagram,
    Engine,
    EngineEvent,
    EngineStats,
    Limited,
    PeerCounters,
    PeerKeys,
    PeerRemoved,
    ReceivingStream,
    Reception,
    RtcpReceived,
    SendingStream,
    SocketRemoved,
    SourceEnded,
    SourceHandle,
    SourceReplaced,
    Srtcp,
    statistics_functions,
)
from .playout import Playout, PlayoutStats, ReceiverStats, fill_with_silence, read_array

__all__ = [
    "Datagram",
    "Engine",
    "EngineEvent",
    "EngineStats",
    "Limited",
    "PeerCounters",
    "PeerKeys",
    "PeerRemoved",
    "Playout",
    "PlayoutStats",
    "ReceiverStats",
    "ReceivingStream",
    "Reception",
    "RtcpReceived",
    "SendingStream",
    "SocketRemoved",
    "SourceEnded",
    "SourceHandle",
    "SourceReplaced",
    "Srtcp",
    "exit_simply_in_children",
    "fill_with_silence",
    "name_thread",
    "read_array",
    "statistics_functions",
]
