"""Convert the structures of ``bass_webrtc.h``: settings, callbacks, statistics of a peer or a call."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..config import ReceiveEnhancement, ServerConfig
from ..stats import CallState, CallStats, Kind, PeerStats
from . import errors
from .errors import CapiError

MODES = {0: "callback", 1: "whip", 2: "whep", 5: "http"}
"""BASS_WEBRTC_SIGNALING_*."""

ENHANCEMENTS: dict[int, ReceiveEnhancement] = {0: "auto", 1: "on", 2: "off"}
"""BASS_WEBRTC_ENHANCEMENT_*."""

KINDS: tuple[Kind, ...] = ("sendrecv", "player", "publisher")
"""BASS_WEBRTC_PEER_*."""

STATES = ("new", "connecting", "connected", "disconnected", "failed", "closed")
"""PEER_STATE_*."""

CALL_STATES: dict[int, CallState] = {1: "waiting", 2: "on_air", 3: "private", 4: "ended"}
"""BASS_WEBRTC_CALL_STATE_*, but for NONE, which is 0."""

CALL_EVENTS = ("call", "call_changed", "call_ended")
"""BASS_WEBRTC_CALL_EVENT_*, by the names of the events of ``Server``."""

_COMMON_FIELDS = (
    "packets_sent",
    "packets_received",
    "bytes_sent",
    "bytes_received",
    "packets_lost",
    "late_packets",
    "duplicate_packets",
    "fec_packets_used",
    "red_packets_used",
    "concealed_samples",
    "fraction_lost",
    "jitter_ms",
    "jitter_buffer_ms",
    "jitter_buffer_target_ms",
    "audio_level_dbfs",
)
"""Fields that ``WebRtcPeerStatsFFI`` and ``PeerStats`` have in common, with the same name, unit and meaning."""

_CALL_FIELDS = (
    "bitrate_kbps",
    "gain",
    "return_gain",
    "level_dbfs",
    "duration_s",
    "muted",
    "talkback",
    "recording",
)
"""Fields that ``WebRtcCallStatsFFI`` and ``CallStats`` have in common, with the same name, unit and meaning."""

_ADDRESS_BYTES = 63
_SILENCE_DBFS = -127.0


class Callbacks:
    """The host's callbacks as a ``Listener``. cffi releases the interpreter's lock while they run."""

    def __init__(self, ffi: Any, lib: Any, callbacks: Any) -> None:
        self._ffi = ffi
        self._lib = lib
        self._callbacks = callbacks

    def peer_state(self, peer: int, state: str) -> None:
        """Call ``on_peer_state``."""
        self._lib.bw_call_on_peer_state(self._callbacks, peer, STATES.index(state))

    def sdp(self, peer: int, kind: str, sdp: str) -> None:
        """Call ``on_sdp``."""
        self._lib.bw_call_on_sdp(self._callbacks, peer, self._text(kind), self._text(sdp))

    def ice_candidate(self, peer: int, candidate: str, sdp_mid: str | None, sdp_mline_index: int | None) -> None:
        """Call ``on_ice_candidate``."""
        mid = self._ffi.NULL if sdp_mid is None else self._text(sdp_mid)
        self._lib.bw_call_on_ice_candidate(self._callbacks, peer, self._text(candidate), mid, sdp_mline_index or 0)

    def _text(self, text: str) -> Any:
        return self._ffi.new("char[]", text.encode())


class CallsCallbacks:
    """The host's callbacks for calls as a ``CallListener``."""

    def __init__(self, ffi: Any, lib: Any, callbacks: Any) -> None:
        self._ffi = ffi
        self._lib = lib
        self._callbacks = callbacks

    def call(self, event: str, call: CallStats, reason: str) -> None:
        """Call ``on_call``."""
        stats = self._ffi.new("WebRtcCallStatsFFI *")
        fill_call(stats, call)
        text = self._ffi.new("char[]", reason.encode())
        self._lib.bw_call_on_call(self._callbacks, CALL_EVENTS.index(event), stats, text)


def config_fields(config: Any, **more: Any) -> dict[str, Any]:
    """The fields of a ``WebRtcConfigFFI``, with defaults in place of zeros, by the names of ``ServerConfig``.

    ``sample_rate`` and ``channels`` are in it, too; they belong to the PCM source.

    Raises:
        CapiError: The signaling mode is not one of BASS_WEBRTC_SIGNALING_*.
    """
    defaults = ServerConfig()
    if config.signaling_mode not in MODES:
        raise CapiError(errors.ILLPARAM, f"signaling_mode is {config.signaling_mode}; expected one of {[*MODES]}")
    return {
        "sample_rate": config.sample_rate or defaults.sample_rate,
        "channels": config.channels or defaults.channels,
        "bitrate_kbps": config.opus_bitrate or defaults.bitrate_kbps,
        "buffer_ms": config.buffer_ms or defaults.buffer_ms,
        "max_peers": config.max_peers or defaults.max_peers,
        "signaling_mode": MODES[config.signaling_mode],
        "http_port": config.http_port,
        "decode_stream": bool(config.decode_stream),
        **more,
    }


def fill(to: Any, stats: PeerStats) -> None:
    """Fill a ``WebRtcPeerStatsFFI`` from a snapshot."""
    to.peer_id = stats.id
    to.state = STATES.index(stats.state)
    for name in _COMMON_FIELDS:
        setattr(to, name, getattr(stats, name))
    to.round_trip_time_ms = -1.0 if stats.round_trip_time_ms is None else stats.round_trip_time_ms
    for name in ("local_address", "remote_address"):
        setattr(to, name, getattr(stats, name).encode()[:_ADDRESS_BYTES])


def fill_call(to: Any, stats: CallStats) -> None:
    """Fill a ``WebRtcCallStatsFFI`` from a snapshot."""
    if stats.state == "ended":  # The number of its peer may be that of another one, which has this level.
        stats = replace(stats, level_dbfs=_SILENCE_DBFS, bitrate_kbps=0)
    to.call_id = stats.id
    to.peer_id = stats.peer.id
    to.state = next(number for number, state in CALL_STATES.items() if state == stats.state)
    for name in _CALL_FIELDS:
        setattr(to, name, getattr(stats, name))
    to.name = stats.name.encode()
    to.invite_id = stats.invite.encode()
