"""How many redundant frames a peer gets, from the loss it reports (RFC 2198)."""

from __future__ import annotations

_ONE_COPY_FROM = 0.01
"""One in a hundred packets lost is heard with music."""
_TWO_COPIES_FROM = 0.04
"""With one in twenty lost, two in a row are lost every few seconds: one copy leaves 0.3 % to conceal, two 0.05 %."""
_CLEAN_REPORTS = 4
"""Reports come every 5 s or so: protection stays for some 20 s after the last loss, since losses come in groups."""


class RedundancyPolicy:
    """More at once when a report says so, less one step at a time when loss has been gone for a while."""

    def __init__(self) -> None:
        self.level = 0
        self._reports_below = 0

    def update(self, fraction_lost: float) -> int | None:
        """Takes the loss of one report, 0 to 1.

        Returns:
            The new number of copies, 0 to 2; None when it stays.
        """
        wanted = (fraction_lost >= _ONE_COPY_FROM) + (fraction_lost >= _TWO_COPIES_FROM)
        if wanted > self.level:
            return self._change_to(wanted)
        self._reports_below = self._reports_below + 1 if wanted < self.level else 0
        return self._change_to(self.level - 1) if self._reports_below >= _CLEAN_REPORTS else None

    def _change_to(self, level: int) -> int:
        self.level = level
        self._reports_below = 0
        return level
