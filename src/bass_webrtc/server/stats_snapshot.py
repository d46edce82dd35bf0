"""What a server says of itself: a snapshot of its counters, and whether it keeps up. Any thread."""

from __future__ import annotations

import time

from ..core import Engine
from ..stats import Lateness, PeerStats, ServerStats, talks

_UNHEALTHY_AFTER_S = 1.0


def snapshot(engine: Engine, peers: tuple[PeerStats, ...], srtcp_errors: int) -> ServerStats:
    """The engine's counters and those of its peers.

    Args:
        engine: The audio path.
        peers: Everybody's.
        srtcp_errors: SRTCP that was not authentic, which the engine does not see.
    """
    counters = engine.stats()
    playout = engine.playout.stats()
    receivers = [engine.playout.receiver_stats(peer.id) for peer in peers if talks(peer.kind)]
    return ServerStats(
        active_peers=sum(peer.state == "connected" for peer in peers),
        packets_sent=counters.packets_sent,
        packets_received=counters.packets_received,
        bytes_sent=counters.bytes_sent,
        bytes_received=counters.bytes_received,
        frames_sent=counters.frames_sent,
        late_frames=counters.late_frames,
        frames_skipped=counters.frames_skipped,
        encode_errors=counters.encode_errors,
        source_underruns=counters.source_underruns,
        source_ended=bool(counters.source_ended),
        decode_errors=sum(receiver.decode_errors for receiver in receivers),
        input_buffer_ms=max((receiver.jitter_buffer_ms for receiver in receivers), default=0.0),
        input_is_buffering=any(receiver.is_buffering for receiver in receivers),
        playout_max_us=playout.callback_max_ns // 1000,
        playout_blocked=playout.blocked,
        clipped_samples=playout.clipped_samples,
        send_drops=counters.send_drops,
        datagrams_dropped=counters.datagrams_dropped,
        srtp_errors=counters.srtp_errors + srtcp_errors,
        events_dropped=counters.events_dropped,
        send_lateness_us=_lateness(engine.lateness_us()),
        realtime_priority=bool(counters.realtime_priority),
        peers=peers,
    )


def is_healthy(engine: Engine, frame_ms: int) -> bool:
    """Whether the sender thread keeps up with the clock."""
    counters = engine.stats()
    sent_s = (counters.frames_sent + counters.frames_skipped) * frame_ms / 1000
    return sent_s > engine.running_s(time.monotonic()) - _UNHEALTHY_AFTER_S


def _lateness(lateness_us: list[int]) -> Lateness:
    if not lateness_us:
        return Lateness()
    ordered = sorted(lateness_us)
    p50, p99 = (ordered[int((len(ordered) - 1) * share)] for share in (0.5, 0.99))
    return Lateness(p50, p99, ordered[-1])
