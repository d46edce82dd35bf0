"""Output of a benchmark: what it proves, a table, and which goals were met.

A goal that could not be measured counts as missed.
"""

from __future__ import annotations

from collections.abc import Sequence


def quantile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least ``share`` of all values do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


class Report:
    """Prints results immediately and collects the missed goals."""

    def __init__(self, title: str, proves: str) -> None:
        self.missed: list[str] = []
        print(f"\n{title}\n{'=' * len(title)}\n{proves.strip()}\n", flush=True)

    def row(self, *cells: object) -> None:
        """Print one line of a table; the first cell is wide."""
        print(f"  {cells[0]!s:<48}" + "".join(f"{cell!s:>15}" for cell in cells[1:]), flush=True)

    def goal(self, what: str, met: bool) -> None:
        """Print a goal and whether it was met."""
        print(f"  {'met   ' if met else 'MISSED'}  {what}", flush=True)
        if not met:
            self.missed.append(what)

    def skipped_goal(self, what: str, reason: str) -> None:
        """Print a goal that is not measured here, and why; it counts as missed."""
        print(f"  LEFT OUT  {what}: {reason}", flush=True)
        self.missed.append(what)
