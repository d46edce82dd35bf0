"""``GET /metrics``: statistics in the Prometheus text format, made from one snapshot per scrape.

A custom collector reads the snapshot. Nothing is counted here, so no counter exists twice.
"""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

from ...stats import PeerStats, ServerStats

SERVER_COUNTERS = {
    "packets_sent": "RTP packets sent to all peers.",
    "packets_received": "Packets received from all peers.",
    "bytes_sent": "UDP payload bytes sent.",
    "bytes_received": "UDP payload bytes received.",
    "frames_sent": "Opus frames, encoded once for all peers.",
    "late_frames": "Frames whose last packet left more than one frame time late.",
    "frames_skipped": "Frame times in which the process did not run at all.",
    "encode_errors": "Frames that could not be encoded.",
    "playout_blocked": "Blocks left silent because another thread was just playing the same.",
    "clipped_samples": "Samples of the mix that were bent to fit.",
    "source_underruns": "Frames filled up with silence because the source had not enough.",
    "decode_errors": "Packets of publishers that were no Opus.",
    "send_drops": "Packets that the operating system did not take.",
    "datagrams_dropped": "Datagrams that were empty, too long, junk or from strangers.",
    "srtp_errors": "Packets that were not authentic, or replayed.",
    "events_dropped": "STUN, DTLS and RTCP datagrams that came faster than they could be looked at.",
}
SERVER_GAUGES = {
    "active_peers": "Peers at this moment.",
    "input_buffer_ms": "The longest of the publishers' jitter buffers.",
    "input_is_buffering": "Whether some publisher's jitter buffer waits for packets.",
    "playout_max_us": "The longest that BASS's thread was in one of our stream procedures.",
    "source_ended": "Whether the source has come to its end.",
    "realtime_priority": "Whether the sender thread has real-time priority.",
}
PEER_COUNTERS = {
    "packets_sent": "RTP packets sent to the peer.",
    "packets_received": "Packets received from the peer.",
    "bytes_sent": "UDP payload bytes sent to the peer.",
    "bytes_received": "UDP payload bytes received from the peer.",
    "send_drops": "Packets to the peer that the operating system did not take.",
    "concealment_events": "Lost or late passages.",
    "concealed_samples": "Sound that was made up for what was missing, per channel.",
    "inserted_samples_for_deceleration": "Time that was stretched, per channel.",
    "removed_samples_for_acceleration": "Time that was cut, per channel.",
    "jitter_buffer_delay_s": "Seconds from arrival to decoding, summed over jitter_buffer_emitted_count.",
    "jitter_buffer_emitted_count": "Samples that came out of packets, per channel.",
    "total_samples_received": "Sound that was played, per channel.",
    "fec_packets_used": "Lost frames taken from Opus's in-band copy.",
    "red_packets_used": "Lost frames taken from a redundant copy.",
    "late_packets": "Packets that came when their time had passed.",
    "duplicate_packets": "Packets that came twice.",
    "packets_discarded": "Packets of no use.",
    "decode_errors": "Packets that were no Opus.",
    "underruns": "How often nothing was there to be played.",
    "srtp_errors": "Packets of the peer that were not authentic, or replayed.",
}
PEER_GAUGES = {
    "connected_s": "Seconds since the peer was connected.",
    "packets_lost": "Packets that the peer says it lost; duplicates make it smaller.",
    "fraction_lost": "Share of packets that the peer lost in the last reporting interval.",
    "jitter_ms": "Interarrival jitter that the peer reports.",
    "jitter_buffer_ms": "Delay of the jitter buffer.",
    "jitter_buffer_target_ms": "Delay that the jitter buffer wants.",
    "is_buffering": "Whether the jitter buffer waits for packets.",
    "drift_ppm": "The peer's clock against the one that plays.",
    "audio_level_dbfs": "RMS of a publisher.",
    "round_trip_time_ms": "From the peer's last receiver report.",
}
CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
"""Every scraper accepts this version."""
_PREFIX = "bass_webrtc_"
_PEER_LABELS = ("peer", "kind")
"""``peer`` is the public id; nothing of the session URL is exposed."""


class SnapshotCollector(Collector):
    """Converts one snapshot to metric families."""

    def __init__(self, stats: ServerStats) -> None:
        self._stats = stats

    def collect(self) -> Iterable[Metric]:
        """Yield every metric of the snapshot."""
        for name, text in SERVER_COUNTERS.items():
            yield CounterMetricFamily(_PREFIX + name, text, value=getattr(self._stats, name))
        for name, text in SERVER_GAUGES.items():
            yield GaugeMetricFamily(_PREFIX + name, text, value=float(getattr(self._stats, name)))
        yield self._lateness()
        for name, text in PEER_COUNTERS.items():
            yield self._peers(CounterMetricFamily(f"{_PREFIX}peer_{name}", text, labels=_PEER_LABELS), name)
        for name, text in PEER_GAUGES.items():
            yield self._peers(GaugeMetricFamily(f"{_PREFIX}peer_{name}", text, labels=_PEER_LABELS), name)

    def _lateness(self) -> Metric:
        family = GaugeMetricFamily(
            f"{_PREFIX}send_lateness_us", "How late the last packet of a frame left.", labels=("quantile",)
        )
        lateness = self._stats.send_lateness_us
        for quantile, value in (("0.5", lateness.p50), ("0.99", lateness.p99), ("1", lateness.max)):
            family.add_metric([quantile], value)
        return family

    def _peers(self, family: CounterMetricFamily | GaugeMetricFamily, name: str) -> Metric:
        for peer in self._stats.peers:
            value = getattr(peer, name)
            if value is not None:
                family.add_metric(_labels(peer), value)
        return family


def exposition(stats: ServerStats) -> bytes:
    """Return the body of a scrape response, of type ``CONTENT_TYPE``.

    Only one format is offered: prometheus-client's content negotiation raises for some values of ``Accept``.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(SnapshotCollector(stats))
    return generate_latest(registry)


def _labels(peer: PeerStats) -> list[str]:
    return [str(peer.id), peer.kind]
