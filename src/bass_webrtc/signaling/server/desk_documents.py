"""Calls, invites and the desk as the JSON documents of ``openapi.json``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ...stats import CallStats, DeskStats, PeerStats
from .invites import Invite

_SILENCE_DBFS = -127.0
_SAMPLES_PER_S = 48_000


def call_document(call: CallStats) -> dict[str, Any]:
    """Return a ``Call``."""
    return {
        "id": call.id,
        "name": call.name,
        "state": call.state,
        "gain": call.gain,
        "muted": call.muted,
        "talkback": call.talkback,
        "return_gain": call.return_gain,
        "level_dbfs": _level(call.level_dbfs),
        "seconds": round(call.duration_s, 1),
        "recording": call.recording,
        "invite": call.invite,
        "network": _network_document(call.peer, call.bitrate_kbps),
    }


def _network_document(peer: PeerStats, bitrate_kbps: int) -> dict[str, Any]:
    round_trip_ms = peer.round_trip_time_ms
    return {
        "round_trip_ms": None if round_trip_ms is None else round(round_trip_ms, 1),
        "fraction_lost": round(peer.fraction_lost, 4) if peer.reports_received else None,
        "packets_lost": peer.packets_lost,
        "jitter_ms": round(peer.jitter_ms, 1),
        "buffer_ms": round(peer.jitter_buffer_ms, 1),
        "concealed_s": round(peer.concealed_samples / _SAMPLES_PER_S, 2),
        "bitrate_kbps": bitrate_kbps,
    }


def desk_document(desk: DeskStats) -> dict[str, Any]:
    """Return a ``Desk``."""
    return {
        "programme_dbfs": _level(desk.programme_dbfs),
        "producer_connected": desk.producer_connected,
        "listeners": desk.listeners,
        "peak_listeners": desk.peak_listeners,
        "history": desk.history,
        "initial_state": desk.initial_state,
        "invite_required": desk.invite_required,
        "recording": desk.recording,
        "can_record": desk.can_record,
    }


def invite_document(invite: Invite) -> dict[str, Any]:
    """Return an ``Invite``."""
    return {"id": invite.id, "name": invite.name, "uses_left": invite.uses_left, "expires_at": invite.expires_at}


def levels_document(programme_dbfs: float, calls: Mapping[int, float]) -> dict[str, Any]:
    """Return ``Levels``."""
    return {"programme": _level(programme_dbfs), "calls": {str(number): _level(dbfs) for number, dbfs in calls.items()}}


def _level(dbfs: float) -> float | None:
    """JSON has no infinity, so silence is null."""
    return round(dbfs, 1) if math.isfinite(dbfs) and dbfs > _SILENCE_DBFS else None
