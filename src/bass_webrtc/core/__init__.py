"""The audio path (C11), and the Python that calls it: ``engine.py``, ``playout.py``."""

from __future__ import annotations

from importlib import import_module

try:
    import_module("._core", __name__)
except ImportError as error:
    _ADVICE = "Install libopus and libsrtp2 (Debian: libopus0 libsrtp2-1), or bass-webrtc once more"
    raise ImportError(f"the audio path of bass-webrtc does not load: {error}. {_ADVICE}") from error

from .engine import (
    Datagram,
    Engine,
    EngineEvent,
    EngineStats,
    NewSsrc,
    PeerCounters,
    PeerKeys,
    PeerRemoved,
    ReceivingStream,
    Reception,
    SendingStream,
    SourceEnded,
    SourceHandle,
    Srtcp,
    statistics_functions,
)
from .playout import Playout, PlayoutStats, ReceiverStats

__all__ = [
    "Datagram",
    "Engine",
    "EngineEvent",
    "EngineStats",
    "NewSsrc",
    "PeerCounters",
    "PeerKeys",
    "PeerRemoved",
    "Playout",
    "PlayoutStats",
    "ReceiverStats",
    "ReceivingStream",
    "Reception",
    "SendingStream",
    "SourceEnded",
    "SourceHandle",
    "Srtcp",
    "statistics_functions",
]
