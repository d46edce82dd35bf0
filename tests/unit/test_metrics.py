"""The Prometheus metrics of one snapshot."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from bass_webrtc.signaling.server import metrics
from bass_webrtc.stats import PEER_STATISTICS, SERVER_STATISTICS, ChannelStats, Lateness, PeerStats, ServerStats
from support.conformance import covers

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
    """No address, no name and no part of a session URL is exposed."""
    found = samples(exposed())
    assert found["bass_webrtc_peer_packets_sent_total", (("kind", "player"), ("peer", "7"))] == 99
    labels = {name for _, pairs in found for name, _ in pairs}
    assert labels == {"peer", "kind", "quantile"}
    assert "192.0.2.7" not in exposed()


def test_unknown_value_is_omitted() -> None:
    found = samples(exposed())
    name = "bass_webrtc_peer_round_trip_time_ms"
    assert [pairs for sample, pairs in found if sample == name] == [(("kind", "publisher"), ("peer", "8"))]


def test_every_numeric_statistic_is_a_metric_with_its_help_text() -> None:
    text = exposed()
    for prefix, table in (("bass_webrtc_", SERVER_STATISTICS), ("bass_webrtc_peer_", PEER_STATISTICS)):
        for one in table:
            name = f"{prefix}{one.name}" + ("_total" if one.kind == "counter" else "")
            kind = "counter" if one.kind == "counter" else "gauge"
            described = f"# HELP {name} {one.help}\n# TYPE {name} {kind}\n" in text
            assert described is (one.kind != "text"), one.name


def test_each_channel_has_its_metrics_under_its_name() -> None:
    channels = (ChannelStats("main", listeners=3), ChannelStats("late.night", send_lateness_us=Lateness(1, 2, 3)))
    lines = metrics.exposition(ServerStats(channels=channels)).decode().splitlines()
    assert 'bass_webrtc_channel_listeners{channel="main"} 3.0' in lines
    assert 'bass_webrtc_channel_frames_sent_total{channel="late.night"} 0.0' in lines
    assert 'bass_webrtc_channel_send_lateness_us{channel="late.night",quantile="0.99"} 2.0' in lines
