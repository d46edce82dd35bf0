"""One snapshot of the statistics in the Prometheus text format."""

from __future__ import annotations

import dataclasses

from prometheus_client.parser import text_string_to_metric_families

from bass_webrtc.signaling.server import metrics
from bass_webrtc.stats import Lateness, PeerStats, ServerStats
from support.conformance import covers

NO_METRICS = {"peers", "send_lateness_us", "id", "kind", "state", "codec", "srtp_profile", "local_address"}
"""Fields that are no number of their own; ``send_lateness_us`` is one family with three samples."""

STATS = ServerStats(
    packets_sent=12345,
    realtime_priority=True,
    send_lateness_us=Lateness(100, 900, 1500),
    peers=(
        PeerStats(7, "player", "connected", 1.5, packets_sent=99, remote_address="192.0.2.7:5000"),
        PeerStats(8, "publisher", "connected", 2.5, round_trip_time_ms=12.5),
    ),
)


def samples(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def exposed() -> str:
    return metrics.exposition(STATS).decode()


def test_server_statistics_are_exposed() -> None:
    found = samples(exposed())
    assert found["bass_webrtc_packets_sent_total", ()] == 12345
    assert found["bass_webrtc_realtime_priority", ()] == 1
    assert found["bass_webrtc_send_lateness_us", (("quantile", "0.99"),)] == 900


@covers("SE62")
def test_peers_are_identified_by_their_public_id_only() -> None:
    """No address, no name, and nothing of the session URL."""
    found = samples(exposed())
    assert found["bass_webrtc_peer_packets_sent_total", (("kind", "player"), ("peer", "7"))] == 99
    labels = {name for _, pairs in found for name, _ in pairs}
    assert labels == {"peer", "kind", "quantile"}
    assert "192.0.2.7" not in exposed()


def test_unknown_values_are_omitted() -> None:
    found = samples(exposed())
    name = "bass_webrtc_peer_round_trip_time_ms"
    assert [pairs for sample, pairs in found if sample == name] == [(("kind", "publisher"), ("peer", "8"))]


def test_every_number_of_the_statistics_is_exposed() -> None:
    """So that no new field is forgotten."""
    for kind, counters, gauges in (
        (ServerStats, metrics.SERVER_COUNTERS, metrics.SERVER_GAUGES),
        (PeerStats, metrics.PEER_COUNTERS, metrics.PEER_GAUGES),
    ):
        fields = {field.name for field in dataclasses.fields(kind)}
        assert fields - NO_METRICS - {"remote_address"} == counters.keys() | gauges.keys()
