"""Finds violations of accessibility rules with axe-core."""

from __future__ import annotations

from typing import Any

import node_packages

missing = node_packages.missing


def violations(page: Any) -> list[str]:
    """Return the violations on a Playwright page, one line for each element."""
    source = node_packages.node_modules() / "axe-core" / "axe.min.js"
    page.evaluate(source.read_text(encoding="utf-8"))
    found = page.evaluate("axe.run(document, { resultTypes: ['violations'] }).then(({ violations }) => violations)")
    return [f"{one['id']}: {node['html']} {node['failureSummary']}" for one in found for node in one["nodes"]]
