"""``GET /metrics``: one snapshot of the statistics in Prometheus's text format.

The metrics follow the tables of ``bass_webrtc.stats``. A custom collector reads the snapshot, so no value is counted
twice.
"""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

from ...stats import PEER_STATISTICS, SERVER_STATISTICS, PeerStats, ServerStats, Statistic

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
"""Accepted by every scraper."""
_PREFIX = "bass_webrtc_"
_PEER_LABELS = ("peer", "kind")
"""``peer`` is the peer's public id. No label may reveal the URL of a session."""


class SnapshotCollector(Collector):
    """Turns one snapshot into metric families."""

    def __init__(self, stats: ServerStats) -> None:
        self._stats = stats

    def collect(self) -> Iterable[Metric]:
        """Yield every metric of the snapshot."""
        for one in SERVER_STATISTICS:
            if one.kind == "quantiles":
                yield self._lateness(one)
            elif one.kind != "text":
                family = _family(one, _PREFIX, ())
                family.add_metric([], float(getattr(self._stats, one.name)))
                yield family
        for one in PEER_STATISTICS:
            if one.kind != "text":
                family = _family(one, f"{_PREFIX}peer_", _PEER_LABELS)
                for peer in self._stats.peers:
                    value = getattr(peer, one.name)
                    if value is not None:
                        family.add_metric(_labels(peer), value)
                yield family

    def _lateness(self, statistic: Statistic) -> Metric:
        family = GaugeMetricFamily(_PREFIX + statistic.name, statistic.help, labels=("quantile",))
        lateness = getattr(self._stats, statistic.name)
        for quantile, value in (("0.5", lateness.p50), ("0.99", lateness.p99), ("1", lateness.max)):
            family.add_metric([quantile], value)
        return family


def exposition(stats: ServerStats) -> bytes:
    """Return the body of a scrape, of type ``CONTENT_TYPE``.

    There is one format only: prometheus-client's own negotiation raises on some ``Accept`` values.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(SnapshotCollector(stats))
    return generate_latest(registry)


def _family(one: Statistic, prefix: str, labels: tuple[str, ...]) -> CounterMetricFamily | GaugeMetricFamily:
    family = CounterMetricFamily if one.kind == "counter" else GaugeMetricFamily
    return family(prefix + one.name, one.help.replace("``", ""), labels=labels)


def _labels(peer: PeerStats) -> list[str]:
    return [str(peer.id), peer.kind]
