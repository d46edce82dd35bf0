"""The directive ``.. metric-names::`` lists the Prometheus metrics, read from a scrape of an empty snapshot."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from command_line import escape
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective

from bass_webrtc import ServerStats
from bass_webrtc.signaling.server.metrics import exposition

if TYPE_CHECKING:
    from sphinx.application import Sphinx

_METRIC = re.compile(r"^# HELP (?P<name>\S+) (?P<help>.*)\n# TYPE \S+ (?P<kind>\S+)$", re.MULTILINE)


def metrics() -> list[tuple[str, str, str]]:
    """Name, type and meaning of every metric."""
    text = exposition(ServerStats()).decode()
    return [(match["name"], match["kind"], match["help"]) for match in _METRIC.finditer(text)]


class MetricNames(SphinxDirective):
    """Writes a table."""

    def run(self) -> list[nodes.Node]:
        lines = [".. list-table::", "   :header-rows: 1", "", "   * - metric", "     - type", "     - meaning"]
        for name, kind, meaning in metrics():
            lines += [f"   * - ``{name}``", f"     - {kind}", f"     - {escape(meaning)}"]
        node = nodes.container()
        self.state.nested_parse(StringList(lines, source="metrics"), 0, node)
        return list(node.children)


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("metric-names", MetricNames)
    return {"parallel_read_safe": True}
