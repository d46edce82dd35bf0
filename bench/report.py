"""How a benchmark speaks: what it proves, a table, and whether what was wanted was met.

A goal that could not be measured is one that was not met: only what was shown counts.
"""

from __future__ import annotations

from collections.abc import Sequence


def quantile(values: Sequence[float], share: float) -> float:
    """The value that ``share`` of all are not above (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


class Report:
    """Prints as it goes, and remembers what was missed."""

    def __init__(self, title: str, proves: str) -> None:
        self.missed: list[str] = []
        print(f"\n{title}\n{'=' * len(title)}\n{proves.strip()}\n", flush=True)

    def row(self, *cells: object) -> None:
        """One line of a table; the first cell is wide."""
        print(f"  {cells[0]!s:<32}" + "".join(f"{cell!s:>15}" for cell in cells[1:]), flush=True)

    def wants(self, what: str, met: bool) -> None:
        """States a goal and whether it was met."""
        print(f"  {'met   ' if met else 'MISSED'}  {what}", flush=True)
        if not met:
            self.missed.append(what)

    def leaves_out(self, what: str, reason: str) -> None:
        """States a goal that is not measured here, and why; it counts as missed."""
        print(f"  LEFT OUT  {what}: {reason}", flush=True)
        self.missed.append(what)
